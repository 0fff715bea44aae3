//! After a return of power the cabinets of a town do not hit the grid together: what was on, and
//! what rules want, goes on after a random time that belongs to this start of the machine.
//!
//! A restart of the program within it goes on with the same times. Commands that are given since
//! the power is back, and hand switches, do not wait.

use std::time::Duration;

use lamplighter_model::Now;

use crate::{moment::Moment, saved::SavedPowerReturn, saved::SavedSite};

/// When the power came back, and where the random times of this start come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PowerReturn {
    at: Moment,
    seed: u64,
}

/// The time that one output waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    /// Commands that are older wait with the rules.
    pub(crate) since: Moment,
    pub(crate) until: Moment,
}

impl PowerReturn {
    /// `None` where the machine did not start since the state was kept.
    pub(crate) fn new(saved: Option<&SavedSite>, seed: u64, now: Now) -> Option<Self> {
        let begun = Self {
            at: Moment::of(now),
            seed,
        };
        // Where nothing but locks could be read nobody knows either.
        let Some(saved) = saved.filter(|saved| !saved.outputs.is_empty()) else {
            return Some(begun);
        };
        if saved.boot? != now.boot {
            return Some(begun);
        }
        let SavedPowerReturn { at, seed } = saved.power_return?;
        let at = Moment::past(at, now)?;
        Some(Self { at, seed })
    }

    pub(crate) fn to_saved(self, now: Now) -> SavedPowerReturn {
        SavedPowerReturn {
            at: self.at.to_saved(now),
            seed: self.seed,
        }
    }

    /// What something of this name waits: all that share a name wait alike.
    pub(crate) fn delay(self, name: &str, spread: Duration) -> Delay {
        let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        let chance = mix(name
            .bytes()
            .fold(self.seed, |mixed, byte| mix(mixed ^ u64::from(byte))));
        let wait = chance % millis.saturating_add(1);
        Delay {
            since: self.at,
            until: self.at.plus(Duration::from_millis(wait)),
        }
    }
}

/// Spreads every bit over all others (SplitMix64, public domain).
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::BootId;

    use super::*;

    #[test]
    fn times_spread_over_the_whole_span() {
        let now = Now {
            boot: BootId(1),
            mono: Duration::from_secs(20),
            unix: None,
        };
        let spread = Duration::from_secs(120);
        let mut tenths = [0; 10];
        for seed in 0..1000 {
            let power = PowerReturn::new(None, seed, now).expect("a start");
            let wait = Moment::of(now).until(power.delay("main_street", spread).until);
            assert!(wait <= spread);
            tenths[(wait.as_millis() * 10 / 120_001) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (50..200).contains(count)),
            "{tenths:?}"
        );
    }
}
