//! An electricity meter that speaks IEC 62056-21 over any stream, modes A to C, with registers that go
//! on counting and faults on demand.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const EOT: u8 = 0x04;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// A sign-on or acknowledgement that is longer than this is noise.
const REQUEST_MAX: usize = 64;
/// Speeds by the digit of the protocol, in Bd.
const SPEEDS: [u32; 7] = [300, 600, 1200, 2400, 4800, 9600, 19200];
const MS_PER_HOUR: i64 = 3_600_000;

/// How the meter is built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeterConfig {
    /// Answers to this device address and to none.
    pub serial: String,
    /// `/XXXZtext`: maker, speed, text.
    pub identification: String,
    pub reaction: Duration,
    /// The head on it returns what it is sent.
    pub echo: bool,
    /// Puts the parity bit into eight data bits and checks it.
    pub software_parity: bool,
    /// Each character takes the time that it takes on a real line.
    pub paced: bool,
    /// Tells its data in two blocks.
    pub two_blocks: bool,
    /// How long the head on it holds back what it is sent.
    pub head_delay: Duration,
}

/// The speed that the reader's end of the line has now, in Bd: at another than its own the meter
/// neither understands nor is understood.
pub type LineSpeed = Arc<dyn Fn() -> u32 + Send + Sync>;

/// What can go wrong, for the next readout only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MeterFault {
    /// Falls silent in the middle of the data.
    Cut,
    /// Bytes of something else behind the data.
    ExtraBehind,
    /// Answers the sign-on too late.
    Late,
    /// Says nothing.
    Mute,
    /// Bytes of something else before the identification.
    Noise,
    /// A damaged character; seen where parity is checked.
    Parity,
    /// Stays at its first speed, whatever was agreed on.
    NoSwitch,
    /// Answers the acknowledgement with NAK.
    Refuse,
    /// Has changed its speed and talks before the reader has.
    SwitchEarly,
    /// Changes its speed only behind the beginning of its data.
    SwitchLate,
    /// A wrong check character, in the repetition too.
    WrongCheck,
    /// A wrong check character, right when repeated.
    WrongCheckOnce,
}

/// The meter on the wall; clones are the same meter.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: MeterConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    power_w: i64,
    voltage_dv: i64,
    /// Energy in watt-milliseconds: exact whatever the power does.
    energy_wms: i64,
    serial: String,
    since: Instant,
    errors: u32,
    faults: VecDeque<MeterFault>,
    speed: u32,
    readouts: u64,
}

impl Default for MeterConfig {
    fn default() -> Self {
        Self {
            serial: "00012345".to_owned(),
            identification: "/LMP5lamplighter-1".to_owned(),
            reaction: Duration::from_millis(200),
            echo: false,
            software_parity: false,
            paced: false,
            two_blocks: false,
            head_delay: Duration::ZERO,
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(MeterConfig::default())
    }
}

impl Meter {
    pub fn new(config: MeterConfig) -> Self {
        let state = State {
            power_w: 350,
            voltage_dv: 2301,
            energy_wms: 12_345_678 * MS_PER_HOUR,
            serial: config.serial.clone(),
            since: Instant::now(),
            errors: 0,
            faults: VecDeque::new(),
            speed: SPEEDS[0],
            readouts: 0,
        };
        Self(Arc::new(Shared {
            config,
            state: Mutex::new(state),
        }))
    }

    /// From now on this power is drawn.
    pub fn set_power_w(&self, watts: u32) {
        let mut state = self.lock();
        state.count();
        state.power_w = i64::from(watts);
    }

    /// Tenths of a volt.
    pub fn set_voltage_dv(&self, decivolts: u32) {
        self.lock().voltage_dv = i64::from(decivolts);
    }

    /// Content of F.F; anything but zero is an error of the meter.
    pub fn set_errors(&self, errors: u32) {
        self.lock().errors = errors;
    }

    pub fn set_energy_wh(&self, energy: u32) {
        let mut state = self.lock();
        state.count();
        state.energy_wms = i64::from(energy) * MS_PER_HOUR;
    }

    /// Another meter was put in its place.
    pub fn set_serial(&self, serial: &str) {
        serial.clone_into(&mut self.lock().serial);
    }

    /// The counter now, in whole watt-hours, as a readout tells it.
    pub fn energy_wh(&self) -> i64 {
        let mut state = self.lock();
        state.count();
        state.energy_wms / MS_PER_HOUR
    }

    /// Spoils the readouts to come, one each.
    pub fn inject(&self, faults: &[MeterFault]) {
        self.lock().faults.extend(faults);
    }

    /// Readouts that were told to their end.
    pub fn readouts(&self) -> u64 {
        self.lock().readouts
    }

    /// The speed of the last readout, in Bd.
    pub fn speed(&self) -> u32 {
        self.lock().speed
    }

    /// Answers on a stream until it ends.
    ///
    /// # Errors
    /// What the stream says; a hang-up is an error too.
    pub async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin) -> io::Result<()> {
        self.serve_at(stream, None).await
    }

    /// As [`Self::serve`], on a line whose speed matters.
    ///
    /// # Errors
    /// What the stream says; a hang-up is an error too.
    pub async fn serve_at(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin,
        line: Option<LineSpeed>,
    ) -> io::Result<()> {
        let mut talk = Talk {
            stream,
            meter: self,
            line,
            next: None,
        };
        loop {
            talk.session().await?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data lines now.
    pub fn data(&self) -> String {
        let mut state = self.lock();
        state.count();
        let watt_hours = state.energy_wms / MS_PER_HOUR;
        let milliamps = state.power_w * 10_000 / state.voltage_dv.max(1);
        format!(
            "F.F({:08})\r\n0.0.0({})\r\n1.8.0({:07}.{:03}*kWh)\r\n1.8.0*01({:07}.{:03}*kWh)\r\n\
             16.7.0({:02}.{:03}*kW)\r\n32.7.0({}.{}*V)\r\n31.7.0({}.{:03}*A)\r\n!\r\n",
            state.errors,
            state.serial,
            watt_hours / 1000,
            watt_hours % 1000,
            watt_hours / 2000,
            watt_hours % 1000,
            state.power_w / 1000,
            state.power_w % 1000,
            state.voltage_dv / 10,
            state.voltage_dv % 10,
            milliamps / 1000,
            milliamps % 1000,
        )
    }
}

impl State {
    fn count(&mut self) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.since);
        self.since = now;
        self.energy_wms += self.power_w * i64::try_from(elapsed.as_millis()).unwrap_or(0);
    }
}

struct Talk<S> {
    stream: S,
    meter: Meter,
    line: Option<LineSpeed>,
    /// Came when an answer to the last block was possible, and was none.
    next: Option<u8>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Talk<S> {
    /// From one sign-on to the end of its readout.
    async fn session(&mut self) -> io::Result<()> {
        self.meter.lock().speed = SPEEDS[0];
        let request = self.line().await?;
        let Some(at) = request.windows(2).position(|pair| pair == b"/?") else {
            return Ok(());
        };
        let address = request[at + 2..].strip_suffix(b"!").unwrap_or_default();
        if !address.is_empty() && address != self.meter.lock().serial.as_bytes() {
            return Ok(());
        }
        let fault = self.meter.lock().faults.pop_front();
        if fault == Some(MeterFault::Mute) {
            return Ok(());
        }
        sleep(self.meter.0.config.reaction).await;
        if fault == Some(MeterFault::Late) {
            sleep(Duration::from_secs(3)).await;
        }
        if fault == Some(MeterFault::Noise) {
            self.send(b"\xff\x00garbage\r\n").await?;
        }
        let identification = format!("{}\r\n", self.meter.0.config.identification);
        self.send(identification.as_bytes()).await?;
        if !self.agree_speed(fault).await? {
            return Ok(());
        }
        if fault == Some(MeterFault::Refuse) {
            return self.send(&[NAK]).await;
        }
        self.tell(fault).await
    }

    /// Whether data are wanted. Modes A and B are told by the identification and ask nothing.
    async fn agree_speed(&mut self, fault: Option<MeterFault>) -> io::Result<bool> {
        let mode = self.meter.0.config.identification.as_bytes().get(4);
        let speed = match mode {
            Some(b'0'..=b'6') => {
                // Without an acknowledgement the data follow at 300 Bd.
                match timeout(Duration::from_millis(2200), self.line()).await {
                    Err(_) => return Ok(true),
                    Ok(request) => match asked_speed(&request?) {
                        // What it does not understand is no acknowledgement either.
                        None if self.line.is_some() => Some(SPEEDS[0]),
                        asked => asked,
                    },
                }
            }
            Some(letter @ b'A'..=b'F') => SPEEDS.get(usize::from(letter - b'A') + 1).copied(),
            Some(_) | None => Some(SPEEDS[0]),
        };
        let Some(speed) = speed else { return Ok(false) };
        match fault {
            Some(MeterFault::NoSwitch | MeterFault::SwitchLate) => {}
            _ => self.meter.lock().speed = speed,
        }
        if fault != Some(MeterFault::SwitchEarly) {
            sleep(self.meter.0.config.reaction).await;
        }
        if fault == Some(MeterFault::SwitchLate) {
            self.send(b"\x02F.F(0").await?;
            self.meter.lock().speed = speed;
        }
        Ok(true)
    }

    async fn tell(&mut self, fault: Option<MeterFault>) -> io::Result<()> {
        let data = self.meter.data().into_bytes();
        let (first, last) = data.split_at(if self.meter.0.config.two_blocks {
            data.len() / 2
        } else {
            0
        });
        if !first.is_empty() && !self.tell_block(first, EOT, None).await? {
            return Ok(());
        }
        if self.tell_block(last, ETX, fault).await? {
            self.meter.lock().readouts += 1;
        }
        Ok(())
    }

    /// Whether the reader has taken it.
    async fn tell_block(
        &mut self,
        text: &[u8],
        end: u8,
        fault: Option<MeterFault>,
    ) -> io::Result<bool> {
        let good = block(text, end);
        let spoilt = spoil(good.clone(), fault);
        let again = match fault {
            Some(MeterFault::WrongCheck | MeterFault::Parity) => &spoilt,
            Some(
                MeterFault::Cut
                | MeterFault::ExtraBehind
                | MeterFault::Late
                | MeterFault::Mute
                | MeterFault::NoSwitch
                | MeterFault::Noise
                | MeterFault::Refuse
                | MeterFault::SwitchEarly
                | MeterFault::SwitchLate
                | MeterFault::WrongCheckOnce,
            )
            | None => &good,
        };
        let spoils_parity = fault == Some(MeterFault::Parity);
        match fault {
            // Its start went out at the old speed.
            Some(MeterFault::SwitchLate) => self.send(&spoilt[6..]).await?,
            _ => self.send_spoilt(&spoilt, spoils_parity).await?,
        }
        if fault == Some(MeterFault::ExtraBehind) {
            self.send(b"\r\n\x00garbage").await?;
        }
        if fault == Some(MeterFault::Cut) {
            return Ok(false);
        }
        // Nothing is a consent behind the last block; behind the others it takes an ACK.
        for _ in 0..2 {
            match timeout(Duration::from_millis(1500), self.receive()).await {
                Err(_) => return Ok(end == ETX),
                Ok(Ok(ACK)) => return Ok(true),
                Ok(Ok(NAK)) => self.send_spoilt(again, spoils_parity).await?,
                Ok(Ok(byte)) => {
                    self.next = Some(byte);
                    return Ok(end == ETX);
                }
                Ok(Err(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    /// A line up to its end, without it.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let byte = self.receive().await?;
            if line.is_empty() {
                sleep(self.meter.0.config.head_delay).await;
            }
            match byte {
                b'\n' => return Ok(line),
                b'\r' | 0 => {}
                _ if line.len() >= REQUEST_MAX => line.clear(),
                byte => line.push(byte),
            }
        }
    }

    async fn receive(&mut self) -> io::Result<u8> {
        if let Some(byte) = self.next.take() {
            return Ok(byte);
        }
        let byte = self.stream.read_u8().await?;
        if self.meter.0.config.echo {
            self.stream.write_u8(byte).await?;
        }
        if self.meter.0.config.paced {
            sleep(self.character()).await;
        }
        Ok(self.as_heard(byte) & 0x7f)
    }

    fn character(&self) -> Duration {
        Duration::from_micros(10_000_000 / u64::from(self.meter.speed()))
    }

    /// A byte between ends of different speeds is another.
    fn as_heard(&self, byte: u8) -> u8 {
        let is_understood = self
            .line
            .as_ref()
            .is_none_or(|line| line() == self.meter.speed());
        if is_understood { byte } else { 0x7f }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_spoilt(bytes, false).await
    }

    async fn send_spoilt(&mut self, bytes: &[u8], spoils_parity: bool) -> io::Result<()> {
        let MeterConfig {
            software_parity,
            paced,
            ..
        } = self.meter.0.config;
        let mut bytes = bytes.to_vec();
        if software_parity {
            for byte in &mut bytes {
                *byte |= (byte.count_ones() as u8 & 1) << 7;
            }
        }
        if spoils_parity && let Some(byte) = bytes.get_mut(4) {
            *byte ^= 0x80;
        }
        let character = self.character();
        if !paced {
            let heard: Vec<u8> = bytes.iter().map(|byte| self.as_heard(*byte)).collect();
            self.stream.write_all(&heard).await?;
            return self.stream.flush().await;
        }
        for byte in bytes {
            sleep(character).await;
            let heard = self.as_heard(byte);
            self.stream.write_u8(heard).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }
}

/// `ACK 0 Z 0`: the speed; `None` for anything but a readout.
fn asked_speed(request: &[u8]) -> Option<u32> {
    match request {
        [ACK, b'0', digit @ b'0'..=b'6', b'0'] => SPEEDS.get(usize::from(digit - b'0')).copied(),
        _ => None,
    }
}

fn block(text: &[u8], end: u8) -> Vec<u8> {
    let mut block = Vec::with_capacity(text.len() + 3);
    block.push(STX);
    block.extend(text);
    block.push(end);
    let check = block[1..].iter().fold(0, |check, byte| check ^ byte);
    block.push(check);
    block
}

fn spoil(mut block: Vec<u8>, fault: Option<MeterFault>) -> Vec<u8> {
    match fault {
        Some(MeterFault::Cut) => block.truncate(block.len() / 2),
        Some(MeterFault::WrongCheck | MeterFault::WrongCheckOnce) => {
            if let Some(check) = block.last_mut() {
                *check ^= 1;
            }
        }
        Some(
            MeterFault::ExtraBehind
            | MeterFault::Late
            | MeterFault::Mute
            | MeterFault::NoSwitch
            | MeterFault::Noise
            | MeterFault::Parity
            | MeterFault::Refuse
            | MeterFault::SwitchEarly
            | MeterFault::SwitchLate,
        )
        | None => {}
    }
    block
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    async fn read_out(meter: &Meter, sign_on: &[u8]) -> Vec<u8> {
        let (mut head, stream) = duplex(4096);
        let task = tokio::spawn(meter.clone().serve(stream));
        head.write_all(sign_on).await.unwrap();
        let mut answer = vec![0; 256];
        let Ok(count) = timeout(Duration::from_secs(10), head.read(&mut answer)).await else {
            return Vec::new();
        };
        answer.truncate(count.unwrap());
        head.write_all(b"\x06050\r\n").await.unwrap();
        let mut data = Vec::new();
        while let Ok(byte) = timeout(Duration::from_secs(10), head.read_u8()).await {
            data.push(byte.unwrap());
        }
        task.abort();
        answer.extend(data);
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn a_readout_follows_the_standard_byte_for_byte() {
        let meter = Meter::default();
        meter.set_power_w(0);
        let told = read_out(&meter, b"/?!\r\n").await;
        let text = String::from_utf8(told).unwrap();
        let (identification, block) = text.split_once("\r\n").unwrap();
        assert_eq!(identification, "/LMP5lamplighter-1");
        assert!(
            block.starts_with("\x02F.F(00000000)\r\n0.0.0(00012345)\r\n1.8.0(0012345.678*kWh)\r\n")
        );
        assert!(block[..block.len() - 1].ends_with("!\r\n\x03"));
        assert_eq!(block.bytes().skip(1).fold(0, |check, byte| check ^ byte), 0);
        assert_eq!(
            (meter.readouts(), meter.speed()),
            (1, 300),
            "back to 300 Bd for the next sign-on"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn energy_is_power_times_time_exactly() {
        let meter = Meter::default();
        let before = meter.energy_wh();
        for watts in [1000, 7, 333] {
            meter.set_power_w(watts);
            sleep(Duration::from_secs(3600)).await;
        }
        assert_eq!(meter.energy_wh() - before, 1340);
    }

    #[tokio::test(start_paused = true)]
    async fn another_meters_address_is_not_answered() {
        assert_eq!(read_out(&Meter::default(), b"/?999!\r\n").await, b"");
        assert_ne!(read_out(&Meter::default(), b"/?00012345!\r\n").await, b"");
    }
}
