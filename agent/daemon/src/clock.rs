//! The only reader of clocks. Everything but payload times and logs runs on the boot-time clock,
//! which goes on while the machine sleeps and never jumps.

mod local;
mod ntp;
mod trust;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lamplighter_adapters::Clock as AdapterClock;
use lamplighter_lwm2m::boundary::ClockTrust;
use lamplighter_model::{BootId, Now, Stamp, UnixTime};
use nix::time::{ClockId, clock_gettime};

use crate::store::{StateDir, snapshot};

pub use trust::Watch;

/// No clock that is set shows a time before this program was written (2026-01-01).
const NOT_BEFORE: UnixTime = UnixTime::from_seconds(1_767_225_600);

/// Where the kernel names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

const FILE: &str = "boots.cbor";
const FORMAT: &str = "lamplighter boots";
const VERSION: u32 = 1;

/// The clocks of this start of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: BootId,
}

/// How many starts this state directory has seen, and the kernel's name of the latest.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
struct Boots {
    count: u32,
    latest: String,
}

impl Clock {
    /// Counts this start of the machine in the state directory. Where that cannot be written, the
    /// agent runs all the same; times of an earlier start then count as unknown.
    pub fn start(state_dir: &Path) -> Self {
        let mut disk = StateDir::new(state_dir);
        let mut boots = match snapshot::read::<Boots>(&mut disk, FILE, FORMAT, VERSION) {
            Some(found) => found.body,
            None => Boots::default(),
        };
        let latest = fs::read_to_string(BOOT_ID)
            .unwrap_or_default()
            .trim()
            .to_owned();
        if boots.count == 0 || boots.latest != latest || latest.is_empty() {
            boots = Boots {
                count: boots.count.wrapping_add(1),
                latest,
            };
            if let Err(error) = snapshot::write(&mut disk, FILE, FORMAT, VERSION, &boots) {
                tracing::warn!(%error, "Cannot count the start of the machine");
            }
        }
        Self {
            boot: BootId(boots.count),
        }
    }

    /// A start of this number, for tests.
    #[cfg(test)]
    pub(crate) const fn of(boot: BootId) -> Self {
        Self { boot }
    }

    pub fn now(self) -> Now {
        Now {
            boot: self.boot,
            mono: mono(),
            unix: unix(),
        }
    }

    /// The clock that adapters stamp their samples with.
    pub fn for_adapters(self) -> AdapterClock {
        AdapterClock::new(move || Stamp {
            boot: self.boot,
            mono: mono(),
        })
    }
}

/// The date, and whether it can be believed, as far as a command can tell without the agent.
pub(crate) fn judged() -> (Now, ClockTrust) {
    let now = Clock { boot: BootId(0) }.now();
    (now, Watch::default().wait(now).unwrap_or_default())
}

/// A seed that differs from start to start.
pub fn seed() -> u64 {
    let nanos = mono().as_nanos() as u64;
    let wall = wall().as_nanos() as u64;
    nanos.rotate_left(32) ^ wall ^ (u64::from(std::process::id()) << 48)
}

/// Wall clock; `None` until the date is plausible.
pub fn unix() -> Option<UnixTime> {
    let now = UnixTime(i64::try_from(wall().as_millis()).ok()?);
    (now >= NOT_BEFORE).then_some(now)
}

pub(crate) fn mono() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .expect("Linux has had CLOCK_BOOTTIME since 2.6.39")
}

#[expect(
    clippy::disallowed_methods,
    reason = "this file is the one reader of clocks"
)]
fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
