//! Meters that send by themselves, over any stream: SML, the customer port P1 in two versions, and
//! mode D of IEC 62056-21, with registers that tests change and faults on demand.

mod sml;
mod text;

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep, sleep_until},
};

/// What the meter sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Telegram {
    ModeD,
    /// Before version 4: no check, another form of sub-meters.
    P1Old,
    P1,
    Sml,
}

/// What can go wrong, for the next telegram only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PushFault {
    /// Only the second half is sent: the reader has come in the middle.
    CutStart,
    /// Only the first half.
    CutEnd,
    /// As in Luxembourg: ciphered, without a word that can be read.
    Encrypted,
    /// Bytes of something else before and behind.
    Extra,
    /// Nothing is sent.
    Mute,
    /// The check at the end is wrong; where there is none, a character is damaged.
    WrongCheck,
}

/// What the registers hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registers {
    /// The number on the plate, ten bytes.
    pub serial: [u8; 10],
    pub energy_wh: i64,
    /// Negative where energy is given away.
    pub power_w: i64,
    pub voltage_dv: i64,
    /// Of the meter behind it, in litres.
    pub gas_l: i64,
}

/// The meter on the wall; clones are the same meter.
#[derive(Clone, Debug)]
pub struct PushMeter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    telegram: Telegram,
    period: Duration,
    /// Speed of the line, where each character takes its time; 10 bits each.
    paced: Option<u32>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    registers: Registers,
    faults: VecDeque<PushFault>,
    sent: u64,
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            serial: *b"\x0a\x01LMP\x00\x00\x00\x30\x39",
            energy_wh: 12_345_678,
            power_w: 350,
            voltage_dv: 2301,
            gas_l: 785_123,
        }
    }
}

impl PushMeter {
    pub fn new(telegram: Telegram, period: Duration) -> Self {
        Self::paced(telegram, period, None)
    }

    /// On a line whose characters take their time at `baud`.
    pub fn paced(telegram: Telegram, period: Duration, baud: Option<u32>) -> Self {
        Self(Arc::new(Shared {
            telegram,
            period,
            paced: baud,
            state: Mutex::new(State {
                registers: Registers::default(),
                faults: VecDeque::new(),
                sent: 0,
            }),
        }))
    }

    pub fn set(&self, change: impl FnOnce(&mut Registers)) {
        change(&mut self.lock().registers);
    }

    /// Spoils the telegrams to come, one each.
    pub fn inject(&self, faults: &[PushFault]) {
        self.lock().faults.extend(faults);
    }

    /// Telegrams so far, spoilt ones too.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// The next telegram as it is when nothing is wrong.
    pub fn telegram(&self) -> Vec<u8> {
        let state = self.lock();
        match self.0.telegram {
            Telegram::ModeD => text::mode_d(&state.registers),
            Telegram::P1 => text::p1(&state.registers),
            Telegram::P1Old => text::p1_old(&state.registers),
            Telegram::Sml => sml::telegram(&state.registers, state.sent),
        }
    }

    /// Sends on a stream until it ends.
    ///
    /// # Errors
    /// What the stream says; a hang-up is an error too.
    pub async fn serve(self, mut stream: impl AsyncWrite + Send + Unpin) -> io::Result<()> {
        loop {
            let next = Instant::now() + self.0.period;
            let bytes = self.next();
            self.send(&mut stream, &bytes).await?;
            sleep_until(next).await;
        }
    }

    fn next(&self) -> Vec<u8> {
        let good = self.telegram();
        let mut state = self.lock();
        state.sent += 1;
        let middle = good.len() / 2;
        match state.faults.pop_front() {
            None => good,
            Some(PushFault::CutStart) => good[middle..].to_vec(),
            Some(PushFault::CutEnd) => good[..middle].to_vec(),
            Some(PushFault::Encrypted) => ciphered(&good),
            Some(PushFault::Extra) => [b"\x00\xff\x1b/noise", &good[..], b"\x1b\x1b!\x55"].concat(),
            Some(PushFault::Mute) => Vec::new(),
            Some(PushFault::WrongCheck) => {
                let mut bad = good;
                bad[middle] ^= 1;
                bad
            }
        }
    }

    async fn send(&self, stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
        let Some(baud) = self.0.paced else {
            stream.write_all(bytes).await?;
            return stream.flush().await;
        };
        // In pieces: the runtime's timer counts in milliseconds.
        for piece in bytes.chunks(16) {
            let bits = 10 * u64::try_from(piece.len()).unwrap_or(0);
            sleep(Duration::from_micros(bits * 1_000_000 / u64::from(baud))).await;
            stream.write_all(piece).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// General-glo-ciphering: header, then what nobody can read.
fn ciphered(telegram: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xDB, 0x08];
    bytes.extend(b"SIMmeter");
    bytes.push(0x82);
    let length = u16::try_from(telegram.len() + 5).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend([0x30, 0, 0, 0, 1]);
    bytes.extend(telegram.iter().map(|byte| byte ^ 0xA5));
    bytes
}
