//! The plant that is played: a street, and an air handler whose compressor and heater are never on
//! together.

use std::time::Duration;

use lamplighter_model::{ResourceAddress, Value, device::AdapterId};
use lamplighter_site::boundary::{
    FailSafe, FailSafeOn, Guard, InterlockConfig, ManualConfig, Mode, PhotocellConfig, PointConfig,
    PointKind, Policy, Setpoint, SiteConfig, ThermostatConfig, WhenLost, WhileWaiting,
};

use crate::rig::{ahu_point, config, group, lamp_point, millis, secs};

pub(super) const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
pub(super) const HEATER: ResourceAddress = ResourceAddress::gateway(3306, 1, 5850);
pub(super) const FAN: ResourceAddress = ResourceAddress::gateway(3306, 2, 5850);
/// Inputs that are never lost.
pub(super) const INPUTS: AdapterId = AdapterId(7);
pub(super) const TWILIGHT: ResourceAddress = ResourceAddress::gateway(3419, 0, 3);
pub(super) const AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
pub(super) const HAND: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);
pub(super) const DEAD_TIME: Duration = secs(60);
pub(super) const FAIL_SAFE_AFTER: Duration = secs(120);
/// Without servers their commands end after this time where a rule takes over.
pub(super) const SERVER_LOST_AFTER: Duration = secs(4 * 3600);
/// How long the site waits for an adapter.
pub(super) const WAITED_FOR: Duration = secs(10);
pub(super) const NAMES: [&str; 6] = [
    "lamps.l1",
    "lamps.l2",
    "lamps.l3",
    "ahu1.compressor",
    "ahu1.heater",
    "ahu1.fan",
];
pub(super) const COMPRESSOR_AT: usize = 3;
pub(super) const HEATER_AT: usize = 4;
pub(super) const FAN_AT: usize = 5;
/// Members of the groups, by number of the output.
pub(super) const STREET: [usize; 2] = [0, 1];
pub(super) const PLANT: [usize; 3] = [2, COMPRESSOR_AT, HEATER_AT];

/// What can be locked, and which outputs that covers.
pub(super) const LOCKS: [(&str, &[usize]); 4] = [
    ("all", &[0, 1, 2, 3, 4, 5]),
    ("main_street", &STREET),
    ("plant", &PLANT),
    ("ahu1.fan", &[FAN_AT]),
];

pub(super) fn site() -> SiteConfig {
    let slow = Guard {
        min_on: secs(180),
        min_off: secs(300),
        max_starts_per_hour: Some(4),
        while_waiting: WhileWaiting::Queue,
    };
    let off_when = |on| {
        Some(FailSafe {
            on,
            after: FAIL_SAFE_AFTER,
            value: Value::Boolean(false),
        })
    };
    let mut points = (1..=3).map(lamp_point).collect::<Vec<_>>();
    for lamp in &mut points {
        lamp.min_switch = secs(2);
    }
    points.push(PointConfig {
        guard: Some(slow),
        fail_safe: off_when(FailSafeOn::ServerLost),
        ..ahu_point("compressor", COMPRESSOR, PointKind::Output)
    });
    points.push(ahu_point("heater", HEATER, PointKind::Output));
    points.push(PointConfig {
        fail_safe: off_when(FailSafeOn::DeviceLost),
        ..ahu_point("fan", FAN, PointKind::Output)
    });
    let mut street = group(1..=2, millis(300));
    street.manual = Some(ManualConfig {
        on: Some(HAND),
        off: None,
        limit: None,
    });
    street.photocell = Some(PhotocellConfig {
        input: TWILIGHT,
        policy: Policy::Or,
        levels: None,
        dwell: Duration::ZERO,
        instance: None,
    });
    street.until_next_event = false;
    let mut plant = group(3..=3, millis(500));
    plant.name = "plant".to_owned();
    plant.standard_instance = None;
    plant.members.extend([COMPRESSOR, HEATER]);
    SiteConfig {
        interlocks: vec![InterlockConfig {
            name: "heat_cool".to_owned(),
            never_together: vec![COMPRESSOR, HEATER],
            dead_time: DEAD_TIME,
        }],
        thermostats: vec![ThermostatConfig {
            name: "cooling".to_owned(),
            sensor: AIR,
            setpoint: Setpoint::Fixed(20.0),
            on_threshold: 0.5,
            off_threshold: 0.5,
            output: COMPRESSOR,
            mode: Mode::Cool,
            when_lost: WhenLost::Release,
            max_age: secs(30 * 86_400),
            instance: None,
            limit: None,
        }],
        ..config(points, vec![street, plant])
    }
}

pub(super) fn members(group: usize) -> &'static [usize] {
    if group == 0 { &STREET } else { &PLANT }
}

pub(super) fn covers(lock: &str, output: usize) -> bool {
    let covered = LOCKS.iter().find(|(name, _)| *name == lock);
    covered.is_some_and(|(_, covered)| covered.contains(&output))
}
