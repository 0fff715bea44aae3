//! Meters on a wired M-Bus: several on one line, who talk over each other when several are meant,
//! with faults on demand. Frames are made here anew, so that an error of the agent's own is seen.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

/// How a meter is built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MbusConfig {
    pub primary: u8,
    /// Identification, lowest digits first, maker, version, medium, as they stand in the header.
    pub secondary: [u8; 8],
    /// Pause before it answers.
    pub reaction: Duration,
    pub status: u8,
    /// Word about encryption in the header.
    pub security: u16,
    /// Records of each telegram, without the mark that another one follows.
    pub telegrams: Vec<Vec<u8>>,
}

/// What can go wrong, for one answer with data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MbusFault {
    /// Says that it is busy.
    Busy,
    /// Falls silent in the middle.
    Cut,
    /// Answers after this time.
    Late(Duration),
    Mute,
    /// Says that it has no data.
    NoData,
    /// Something else before the answer.
    Noise,
    WrongCheckSum,
}

/// What the line does with what is said on it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MbusLineConfig {
    /// The level converter returns what the master says.
    pub echo: bool,
    /// Each character takes this time.
    pub char_time: Duration,
}

/// All meters of one line; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct MbusMeters(Arc<Mutex<Vec<Meter>>>);

#[derive(Debug)]
struct Meter {
    config: MbusConfig,
    is_selected: bool,
    is_mute: bool,
    /// Count bit of the last question that was understood; `None` after a reset.
    count_bit: Option<bool>,
    at: usize,
    access: u8,
    readouts: u64,
    faults: VecDeque<MbusFault>,
}

/// What the master says.
enum Said {
    Ask {
        address: u8,
        count_bit: bool,
    },
    Reset {
        address: u8,
    },
    Select {
        pattern: [u8; 8],
    },
    /// Known to be a frame, meant for nobody here.
    Something,
}

const ACK: u8 = 0xE5;
const SELECTED: u8 = 0xFD;
const ALONE: u8 = 0xFE;
const ALL: u8 = 0xFF;
/// What is longer is no frame of a master.
const REQUEST_MAX: usize = 512;
/// Bytes that make no frame are forgotten after this time.
const FORGET: Duration = Duration::from_millis(200);

impl Default for MbusConfig {
    /// A heat meter with primary address 1.
    fn default() -> Self {
        Self {
            primary: 1,
            secondary: [0x78, 0x56, 0x34, 0x12, 0x24, 0x23, 0x28, 0x04],
            reaction: Duration::from_millis(20),
            status: 0,
            security: 0,
            telegrams: vec![heat(12_345_678, 1_234_567, 3_500)],
        }
    }
}

/// Records of a heat meter: energy in kWh, volume in litres, power in W, flow and return temperature.
pub fn heat(kilowatt_hours: u32, litres: u32, watts: u32) -> Vec<u8> {
    let mut records = vec![0x0C, 0x06];
    records.extend(bcd(kilowatt_hours));
    records.extend([0x04, 0x13]);
    records.extend(litres.to_le_bytes());
    records.extend([0x04, 0x2B]);
    records.extend(watts.to_le_bytes());
    // 61.3 and 38.5 °C; the energy at the last due date.
    records.extend([0x02, 0x5A, 0x65, 0x02, 0x02, 0x5E, 0x81, 0x01]);
    records.extend([0x4C, 0x06, 0x00, 0x00, 0x00, 0x12, 0x42, 0x6C, 0x7F, 0x3C]);
    records
}

fn bcd(mut number: u32) -> [u8; 4] {
    std::array::from_fn(|_| {
        let pair = number % 100;
        number /= 100;
        u8::try_from(pair / 10 * 16 + pair % 10).unwrap_or(0)
    })
}

impl MbusMeters {
    pub fn new(meters: impl IntoIterator<Item = MbusConfig>) -> Self {
        let meters = meters.into_iter().map(Meter::new).collect();
        Self(Arc::new(Mutex::new(meters)))
    }

    /// Changes the meter with this primary address.
    pub fn configure(&self, primary: u8, change: impl FnOnce(&mut MbusConfig)) {
        self.with(primary, |meter| change(&mut meter.config));
    }

    /// Faults of its next answers with data, in this order.
    pub fn inject(&self, primary: u8, faults: &[MbusFault]) {
        self.with(primary, |meter| meter.faults.extend(faults));
    }

    /// Off the line, or on it again.
    pub fn set_mute(&self, primary: u8, is_mute: bool) {
        self.with(primary, |meter| meter.is_mute = is_mute);
    }

    /// How often its data were asked for from the first telegram on.
    pub fn readouts(&self, primary: u8) -> u64 {
        let mut readouts = 0;
        self.with(primary, |meter| readouts = meter.readouts);
        readouts
    }

    /// Answers until the other end closes.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn serve(
        self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        line: MbusLineConfig,
    ) -> io::Result<()> {
        let mut received = Vec::new();
        let mut chunk = [0; 256];
        loop {
            let count = if received.is_empty() {
                stream.read(&mut chunk).await?
            } else if let Ok(count) = timeout(FORGET, stream.read(&mut chunk)).await {
                count?
            } else {
                received.clear();
                continue;
            };
            if count == 0 {
                return Ok(());
            }
            if line.echo {
                stream.write_all(&chunk[..count]).await?;
            }
            received.extend_from_slice(&chunk[..count]);
            while let Some((said, length)) = understand(&received) {
                received.drain(..length);
                let pace = line.char_time * u32::try_from(length).unwrap_or(0);
                if let Some((after, bytes)) = self.answer(&said) {
                    sleep(pace + after).await;
                    let pace = line.char_time * u32::try_from(bytes.len()).unwrap_or(0);
                    sleep(pace).await;
                    stream.write_all(&bytes).await?;
                }
            }
            if received.len() > REQUEST_MAX {
                received.clear();
            }
        }
    }

    /// What is heard of all that answer: a space of one covers a mark of another. Single characters
    /// may cover each other wholly; longer answers never keep step.
    fn answer(&self, said: &Said) -> Option<(Duration, Vec<u8>)> {
        let mut heard: Option<(Duration, Vec<u8>)> = None;
        for (place, meter) in (0u32..).zip(self.lock().iter_mut()) {
            let Some((after, mut bytes)) = meter.answer(said) else {
                continue;
            };
            if bytes.len() > 1 && heard.is_some() {
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = byte.rotate_left(place % 8));
            }
            heard = Some(match heard {
                None => (after, bytes),
                Some((first, mut both)) => {
                    if both.len() < bytes.len() {
                        both.resize(bytes.len(), 0xFF);
                    }
                    for (of_both, own) in both.iter_mut().zip(&bytes) {
                        *of_both &= own;
                    }
                    (first.min(after), both)
                }
            });
        }
        heard
    }

    fn with(&self, primary: u8, change: impl FnOnce(&mut Meter)) {
        let mut meters = self.lock();
        if let Some(meter) = meters
            .iter_mut()
            .find(|meter| meter.config.primary == primary)
        {
            change(meter);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    fn new(config: MbusConfig) -> Self {
        Self {
            config,
            is_selected: false,
            is_mute: false,
            count_bit: None,
            at: 0,
            access: 0,
            readouts: 0,
            faults: VecDeque::new(),
        }
    }

    fn answer(&mut self, said: &Said) -> Option<(Duration, Vec<u8>)> {
        if self.is_mute {
            return None;
        }
        let ack = (self.config.reaction, vec![ACK]);
        match said {
            Said::Reset { address } => {
                if !self.is_meant(*address) {
                    return None;
                }
                self.count_bit = None;
                self.at = 0;
                let was_selected = std::mem::take(&mut self.is_selected);
                (*address != SELECTED || was_selected).then_some(ack)
            }
            Said::Select { pattern } => {
                self.is_selected = fits(pattern, &self.config.secondary);
                self.count_bit = None;
                self.at = 0;
                self.is_selected.then_some(ack)
            }
            Said::Ask { address, count_bit } => {
                if !self.is_meant(*address) {
                    return None;
                }
                self.data(*count_bit)
            }
            Said::Something => None,
        }
    }

    fn is_meant(&self, address: u8) -> bool {
        match address {
            SELECTED => self.is_selected,
            ALONE | ALL => true,
            address => address == self.config.primary,
        }
    }

    fn data(&mut self, count_bit: bool) -> Option<(Duration, Vec<u8>)> {
        let is_repeated = self.count_bit == Some(count_bit);
        if !is_repeated && self.count_bit.is_some() {
            self.at = (self.at + 1) % self.config.telegrams.len().max(1);
        }
        self.count_bit = Some(count_bit);
        if !is_repeated {
            self.access = self.access.wrapping_add(1);
            self.readouts += u64::from(self.at == 0);
        }
        let mut answer = self.telegram();
        let mut after = self.config.reaction;
        match self.faults.pop_front() {
            None => (),
            Some(MbusFault::Busy) => answer = long(self.config.primary, 0x70, &[8]),
            Some(MbusFault::Cut) => answer.truncate(answer.len() / 2),
            Some(MbusFault::Late(late)) => after = late,
            Some(MbusFault::Mute) => return None,
            Some(MbusFault::NoData) => answer = vec![ACK],
            Some(MbusFault::Noise) => answer.splice(0..0, [0x00, 0xFF, 0x55]).for_each(drop),
            Some(MbusFault::WrongCheckSum) => {
                let at = answer.len() - 2;
                answer[at] ^= 0x55;
            }
        }
        Some((after, answer))
    }

    fn telegram(&self) -> Vec<u8> {
        let config = &self.config;
        let mut data = config.secondary.to_vec();
        data.extend([self.access, config.status]);
        data.extend(config.security.to_le_bytes());
        data.extend(config.telegrams.get(self.at).into_iter().flatten());
        if self.at + 1 < config.telegrams.len() {
            data.push(0x1F);
        }
        long(config.primary, 0x72, &data)
    }
}

fn long(address: u8, information: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len() + 3).expect("a telegram fits into a frame");
    let mut frame = vec![0x68, length, length, 0x68, 0x08, address, information];
    frame.extend(data);
    let sum = frame[4..]
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend([sum, 0x16]);
    frame
}

fn fits(pattern: &[u8; 8], own: &[u8; 8]) -> bool {
    let digits = pattern[..4].iter().zip(&own[..4]).all(|(wanted, own)| {
        let fits = |wanted: u8, own: u8| wanted == 0xF || wanted == own;
        fits(wanted >> 4, own >> 4) && fits(wanted & 0xF, own & 0xF)
    });
    let maker = pattern[4..6] == [0xFF; 2] || pattern[4..6] == own[4..6];
    let rest = pattern[6..].iter().zip(&own[6..]);
    digits
        && maker
        && rest
            .into_iter()
            .all(|(wanted, own)| *wanted == 0xFF || wanted == own)
}

/// The frame at the beginning and its length; what cannot begin one is skipped.
fn understand(received: &[u8]) -> Option<(Said, usize)> {
    match received {
        [0x10, control, address, check, 0x16, ..] if control.wrapping_add(*address) == *check => {
            let address = *address;
            let said = match control {
                0x40 => Said::Reset { address },
                0x5A | 0x5B | 0x7A | 0x7B => Said::Ask {
                    address,
                    count_bit: control & 0x20 != 0,
                },
                _ => Said::Something,
            };
            Some((said, 5))
        }
        [0x68, length, again, 0x68, rest @ ..] if length == again => {
            let length = usize::from(*length);
            let body = rest.get(..length)?;
            rest.get(length + 1)?;
            let said = match body {
                [0x53 | 0x73, SELECTED, 0x52, pattern @ ..] => pattern
                    .try_into()
                    .map_or(Said::Something, |pattern| Said::Select { pattern }),
                _ => Said::Something,
            };
            Some((said, length + 6))
        }
        [0x10, ..] if received.len() < 5 => None,
        [0x68, ..] if received.len() < 4 => None,
        [_, ..] => Some((Said::Something, 1)),
        [] => None,
    }
}
