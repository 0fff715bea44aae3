//! How much of an interface's rate was used lately (4/0/6), where the kernel knows the rate.

use std::{fs, path::PathBuf};

use lamplighter_model::Stamp;

/// Bits per second in the unit of `speed`.
const MEGABIT: u128 = 1_000_000;

#[derive(Debug)]
pub(super) struct Utilisation {
    /// `/sys/class/net` but in tests.
    sysfs: PathBuf,
    /// Where the counters of which interface stood.
    last: Option<(String, Stamp, [u64; 2])>,
    /// Between the last two looks.
    percent: Option<(String, u8)>,
}

impl Utilisation {
    pub(super) const fn new(sysfs: PathBuf) -> Self {
        Self {
            sysfs,
            last: None,
            percent: None,
        }
    }

    /// Looks at the counters of this interface again.
    pub(super) fn look(&mut self, interface: &str, now: Stamp) {
        let counters = ["rx_bytes", "tx_bytes"];
        let [Some(received), Some(sent)] =
            counters.map(|name| self.number(interface, &format!("statistics/{name}")))
        else {
            (self.last, self.percent) = (None, None);
            return;
        };
        let last = self
            .last
            .replace((interface.to_owned(), now, [received, sent]));
        self.percent = last.and_then(|(before, at, bytes)| {
            let time = now.mono.checked_sub(at.mono)?.as_millis();
            let speed = self.number(interface, "speed").filter(|speed| *speed > 0)?;
            let there = before == interface && time > 0;
            // Both ways have the whole rate; the busier one is the one that matters.
            let moved = received
                .saturating_sub(bytes[0])
                .max(sent.saturating_sub(bytes[1]));
            let possible = u128::from(speed) * MEGABIT / 8 * time / 1000;
            let percent = (u128::from(moved) * 100).checked_div(possible)?.min(100);
            there.then_some((before, u8::try_from(percent).unwrap_or(100)))
        });
    }

    /// Per cent; `None` where it is not known.
    pub(super) fn of(&self, interface: &str) -> Option<u8> {
        let known = self.percent.as_ref().filter(|(name, _)| name == interface);
        known.map(|(_, percent)| *percent)
    }

    /// -1 of what has no rate is none.
    fn number(&self, interface: &str, name: &str) -> Option<u64> {
        let path = self.sysfs.join(interface).join(name);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::BootId;

    use super::*;

    #[test]
    fn the_busier_way_counts_against_the_rate_of_the_interface() {
        let sysfs = crate::fake::directory("utilisation");
        let device = sysfs.join("eth0/statistics");
        fs::create_dir_all(&device).unwrap();
        let put = |name: &str, value: &str| {
            crate::atomic::write(&sysfs.join("eth0").join(name), value.as_bytes(), 0o600).unwrap();
        };
        let at = |s| Stamp {
            boot: BootId(1),
            mono: Duration::from_secs(s),
        };
        let mut utilisation = Utilisation::new(sysfs.clone());
        put("speed", "10\n");
        put("statistics/rx_bytes", "1000\n");
        put("statistics/tx_bytes", "0\n");
        utilisation.look("eth0", at(0));
        assert_eq!(utilisation.of("eth0"), None, "one look says nothing");
        put("statistics/tx_bytes", "12500000\n");
        utilisation.look("eth0", at(40));
        assert_eq!(utilisation.of("eth0"), Some(25));
        assert_eq!(utilisation.of("wlan0"), None);
        put("speed", "-1\n");
        utilisation.look("eth0", at(80));
        assert_eq!(utilisation.of("eth0"), None, "nobody knows its rate");
    }
}
