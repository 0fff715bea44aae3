//! What the box is fed from, as object 3 tells it (3/0/6 to 3/0/9, 3/0/20): what the kernel says in
//! `/sys/class/power_supply`, else what the configuration says. What devices tell is theirs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lamplighter_model::{ResourceInstanceId, Value};

use crate::config::PowerSource;

/// Where the kernel tells it.
pub(super) const DIRECTORY: &str = "/sys/class/power_supply";

pub(super) mod id {
    pub(in crate::system) const SOURCES: u16 = 6;
    pub(in crate::system) const VOLTAGE: u16 = 7;
    pub(in crate::system) const CURRENT: u16 = 8;
    pub(in crate::system) const LEVEL: u16 = 9;
    pub(in crate::system) const STATUS: u16 = 20;
}

/// Error codes of 3/0/11.
const LOW_BATTERY: u8 = 1;
const EXTERNAL_SUPPLY_OFF: u8 = 2;
pub(crate) const CODES: [u8; 2] = [LOW_BATTERY, EXTERNAL_SUPPLY_OFF];

/// A battery that does not say itself when it is low is below this, in percent.
const LOW: i64 = 10;
/// No more than a person reads.
const MAX_SUPPLIES: usize = 16;

/// A value of object 3.
pub(super) type Told = (u16, Option<ResourceInstanceId>, Value);

#[derive(Debug)]
pub(super) struct Power {
    directory: PathBuf,
    configured: Vec<PowerSource>,
    /// Resources that devices tell.
    taken: BTreeSet<u16>,
}

/// Values of 3/0/20 (lwm2m/70).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Battery {
    Normal = 0,
    Charging = 1,
    Complete = 2,
    Damaged = 3,
    Low = 4,
    NotInstalled = 5,
    Unknown = 6,
}

/// One directory of the kernel's.
#[derive(Debug)]
struct Supply {
    /// Where it stands among all, whether they are available or not.
    number: u16,
    source: PowerSource,
    is_available: bool,
    millivolts: Option<i64>,
    milliamperes: Option<i64>,
    percent: Option<i64>,
    battery: Battery,
}

impl Power {
    pub(super) const fn new(
        directory: PathBuf,
        configured: Vec<PowerSource>,
        taken: BTreeSet<u16>,
    ) -> Self {
        Self {
            directory,
            configured,
            taken,
        }
    }

    /// What there is to be told now, and the error codes that hold.
    pub(super) fn look(&self) -> (Vec<Told>, BTreeSet<u8>) {
        let supplies = supplies(&self.directory);
        let mut told = Vec::new();
        for supply in supplies.iter().filter(|supply| supply.is_available) {
            let index = Some(ResourceInstanceId(supply.number));
            let mut tell = |resource, value| told.push((resource, index, Value::Integer(value)));
            tell(id::SOURCES, supply.source as i64);
            supply
                .millivolts
                .into_iter()
                .for_each(|mv| tell(id::VOLTAGE, mv));
            supply
                .milliamperes
                .into_iter()
                .for_each(|ma| tell(id::CURRENT, ma));
        }
        if told.is_empty() {
            let configured = (0..).map(ResourceInstanceId).zip(&self.configured);
            let source = |(index, source): (_, &PowerSource)| {
                (id::SOURCES, Some(index), Value::Integer(*source as i64))
            };
            told.extend(configured.map(source));
        }
        // Level and status are those of the battery in the box.
        let own = |supply: &&Supply| supply.source == PowerSource::Battery;
        let battery = supplies.iter().find(own);
        if let Some(battery) = battery {
            let percent = battery.percent.filter(|_| battery.is_available);
            told.extend(percent.map(|percent| (id::LEVEL, None, Value::Integer(percent))));
            told.push((id::STATUS, None, Value::Integer(battery.battery as i64)));
        }
        told.retain(|(resource, ..)| !self.taken.contains(resource));
        (told, errors(&supplies))
    }
}

/// Low is a battery that lasts no longer; off is the supply where the box has one, and a battery
/// feeds it instead.
fn errors(supplies: &[Supply]) -> BTreeSet<u8> {
    let is_battery = |supply: &&Supply| {
        matches!(
            supply.source,
            PowerSource::Battery | PowerSource::ExternalBattery
        )
    };
    let is_low = supplies
        .iter()
        .filter(is_battery)
        .any(|supply| supply.is_available && supply.battery == Battery::Low);
    let (batteries, outside): (Vec<_>, Vec<_>) = supplies.iter().partition(is_battery);
    let is_off = !outside.is_empty()
        && outside.iter().all(|supply| !supply.is_available)
        && batteries.iter().any(|supply| supply.is_available);
    let low = is_low.then_some(LOW_BATTERY);
    low.into_iter()
        .chain(is_off.then_some(EXTERNAL_SUPPLY_OFF))
        .collect()
}

/// All that feed this machine, in the order of their names; without those of a mouse or a keyboard.
fn supplies(directory: &Path) -> Vec<Supply> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut directories: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    directories.sort();
    let own = directories
        .into_iter()
        .filter(|path| word(path, "scope").as_deref() != Some("Device"));
    let numbered = (0..).zip(own.take(MAX_SUPPLIES));
    numbered
        .filter_map(|(number, path)| supply(number, &path))
        .collect()
}

fn supply(number: u16, path: &Path) -> Option<Supply> {
    let source = match word(path, "type")?.as_str() {
        "Battery" => PowerSource::Battery,
        "Mains" => PowerSource::Ac,
        "UPS" => PowerSource::ExternalBattery,
        kind if kind.starts_with("USB") => PowerSource::Usb,
        _ => return None,
    };
    let is_battery = matches!(source, PowerSource::Battery | PowerSource::ExternalBattery);
    let switch = if is_battery { "present" } else { "online" };
    // A battery that does not say whether it is there is.
    let is_available = figure(path, switch).map_or(is_battery, |switch| switch != 0);
    // The kernel counts in millionths.
    let thousandths = |name| figure(path, name).map(|micro| micro / 1000);
    let percent = figure(path, "capacity").map(|percent| percent.clamp(0, 100));
    Some(Supply {
        number,
        source,
        is_available,
        millivolts: thousandths("voltage_now"),
        milliamperes: thousandths("current_now"),
        percent,
        battery: battery(path, is_available, percent),
    })
}

fn battery(path: &Path, is_available: bool, percent: Option<i64>) -> Battery {
    if !is_available {
        return Battery::NotInstalled;
    }
    let health = word(path, "health").unwrap_or_default();
    if matches!(
        health.as_str(),
        "Dead" | "Unspecified failure" | "Over voltage"
    ) {
        return Battery::Damaged;
    }
    let level = word(path, "capacity_level").unwrap_or_default();
    let is_low = match level.as_str() {
        "Critical" | "Low" => true,
        "" | "Unknown" => percent.is_some_and(|percent| percent < LOW),
        _ => false,
    };
    match word(path, "status").unwrap_or_default().as_str() {
        "Charging" => Battery::Charging,
        "Full" => Battery::Complete,
        _ if is_low => Battery::Low,
        "Discharging" | "Not charging" => Battery::Normal,
        _ => Battery::Unknown,
    }
}

fn word(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path.join(name)).ok()?;
    Some(text.trim().to_owned())
}

fn figure(path: &Path, name: &str) -> Option<i64> {
    word(path, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory as the kernel makes it: supplies, each with its files.
    fn kernel(supplies: &[(&str, &[(&str, &str)])]) -> PathBuf {
        let directory = crate::fake::directory("power");
        for (name, files) in supplies {
            let path = directory.join(name);
            fs::create_dir_all(&path).unwrap();
            for (file, text) in *files {
                let content = format!("{text}\n");
                crate::atomic::write(&path.join(file), content.as_bytes(), 0o600).unwrap();
            }
        }
        directory
    }

    /// Resource, instance and number.
    type Plain = Vec<(u16, Option<u16>, i64)>;

    fn look(supplies: &[(&str, &[(&str, &str)])]) -> (Plain, Vec<u8>) {
        let power = Power::new(kernel(supplies), Vec::new(), BTreeSet::new());
        plain(&power)
    }

    fn plain(power: &Power) -> (Plain, Vec<u8>) {
        let (told, codes) = power.look();
        let told = told.into_iter().map(|(resource, index, value)| {
            let Value::Integer(number) = value else {
                panic!("{value:?}");
            };
            (resource, index.map(|index| index.0), number)
        });
        (told.collect(), codes.into_iter().collect())
    }

    const BATTERY: [(&str, &str); 6] = [
        ("type", "Battery"),
        ("present", "1"),
        ("status", "Discharging"),
        ("capacity", "83"),
        ("voltage_now", "12345678"),
        ("current_now", "-250000"),
    ];

    #[test]
    fn a_battery_and_the_mains_are_told_with_their_own_instances() {
        let mains = [("type", "Mains"), ("online", "1")];
        let (told, codes) = look(&[("BAT0", &BATTERY), ("AC", &mains)]);
        let expected = [
            (6, Some(0), 6),
            (6, Some(1), 1),
            (7, Some(1), 12_345),
            (8, Some(1), -250),
            (9, None, 83),
            (20, None, 0),
        ];
        assert_eq!(told, expected);
        assert_eq!(codes, [] as [u8; 0]);
    }

    #[test]
    fn a_supply_that_is_off_is_an_error_where_a_battery_takes_over() {
        let mains = [("type", "Mains"), ("online", "0")];
        let (told, codes) = look(&[("BAT0", &BATTERY), ("AC", &mains)]);
        assert_eq!(told[0], (6, Some(1), 1), "what is off is not available");
        assert_eq!(codes, [2]);
        let (_, codes) = look(&[("AC", &mains)]);
        assert_eq!(
            codes,
            [] as [u8; 0],
            "something feeds us: the kernel does not see it"
        );
    }

    #[test]
    fn the_state_of_a_battery_is_that_of_the_standard() {
        for (files, state, codes) in [
            (&[("status", "Charging")][..], 1, &[][..]),
            (&[("status", "Full")], 2, &[]),
            (&[("status", "Not charging")], 0, &[]),
            (&[("status", "Discharging"), ("capacity", "9")], 4, &[1]),
            (&[("status", "Charging"), ("capacity", "9")], 1, &[]),
            (
                &[("status", "Discharging"), ("capacity_level", "Critical")],
                4,
                &[1],
            ),
            (
                &[
                    ("status", "Discharging"),
                    ("capacity_level", "Normal"),
                    ("capacity", "5"),
                ],
                0,
                &[],
            ),
            (&[("status", "Unknown")], 6, &[]),
            (&[("health", "Dead"), ("status", "Full")], 3, &[]),
            (&[("present", "0"), ("capacity", "0")], 5, &[]),
        ] {
            let all: Vec<_> = [("type", "Battery")].iter().chain(files).copied().collect();
            let (told, found) = look(&[("BAT0", &all)]);
            assert_eq!(told.last(), Some(&(20, None, state)), "{files:?}");
            assert_eq!(found, codes, "{files:?}");
        }
    }

    #[test]
    fn what_feeds_a_mouse_does_not_feed_the_box() {
        let mouse = [("type", "Battery"), ("scope", "Device"), ("capacity", "3")];
        assert_eq!(look(&[("hidpp_battery_0", &mouse)]), (vec![], vec![]));
        let odd = [("type", "Wireless"), ("online", "1")];
        assert_eq!(look(&[("w", &odd), ("empty", &[])]), (vec![], vec![]));
    }

    #[test]
    fn the_configuration_says_what_the_kernel_does_not_know() {
        let configured = vec![PowerSource::Poe, PowerSource::ExternalBattery];
        let nothing = Power::new(kernel(&[]), configured.clone(), BTreeSet::new());
        assert_eq!(plain(&nothing).0, [(6, Some(0), 4), (6, Some(1), 2)]);
        let usb = [("type", "USB"), ("online", "1")];
        let known = Power::new(kernel(&[("usb", &usb)]), configured, BTreeSet::new());
        assert_eq!(plain(&known).0, [(6, Some(0), 5)]);
    }

    #[test]
    fn what_a_device_tells_is_left_to_it() {
        let taken = BTreeSet::from([id::LEVEL, id::VOLTAGE]);
        let power = Power::new(kernel(&[("BAT0", &BATTERY)]), Vec::new(), taken);
        assert_eq!(
            plain(&power).0,
            [(6, Some(0), 1), (8, Some(0), -250), (20, None, 0)]
        );
    }
}
