//! Schedules, photocells and thermostats at work: what their tests share.

mod photocells;
mod schedules;
mod thermostats;
mod written;

use std::sync::Arc;

use lamplighter_model::{
    BootId, InstanceAddress, InstancePath, Quality, ResourceAddress, Sample, Scope, UnixTime,
    Value,
    device::{Action, AdapterEvent, Answer, Fault, LinkState},
};
use lamplighter_site::{
    boundary::{
        Clock, ClockTrust, GroupConfig, Guard, LightLevels, Limit, Mode, OnViolation,
        PhotocellConfig, PointKind, Policy, Position, Setpoint, SiteConfig, SiteEvent, SiteInput,
        Slot, ThermostatConfig, WhenLost, Why,
    },
    rule::{DEFAULT_MAX_AGE, Zone},
};

use crate::rig::*;

const RULE: u16 = VENDOR + 4;
const TWILIGHT: ResourceAddress = ResourceAddress::gateway(3419, 0, 3);
const LUX: ResourceAddress = ResourceAddress::gateway(3301, 0, 5700);
const AIR: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
const COMPRESSOR: ResourceAddress = ResourceAddress::gateway(3306, 0, 5850);
/// 2026-06-15T12:00:00Z
const NOON: i64 = 1_781_524_800;
const HOUR: u64 = 3600;

fn rule(instance: u16, resource: u16) -> ResourceAddress {
    ResourceAddress::gateway(RULE, instance, resource)
}

pub(crate) fn clock() -> SiteInput {
    SiteInput::Clock(Clock {
        trust: ClockTrust::Trusted,
        zone: Arc::new(Zone::utc()),
    })
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn scheduled(schedule: &str) -> GroupConfig {
    GroupConfig {
        schedule: Some(schedule.parse().expect("a schedule")),
        ..group([1, 2], millis(300))
    }
}

fn photocell(policy: Policy) -> PhotocellConfig {
    PhotocellConfig {
        input: TWILIGHT,
        policy,
        levels: None,
        dwell: secs(0),
        instance: None,
    }
}

fn lux() -> PhotocellConfig {
    PhotocellConfig {
        input: LUX,
        levels: Some(LightLevels {
            on_lux: 20.0,
            off_lux: 40.0,
        }),
        dwell: secs(60),
        instance: Some(InstanceAddress {
            scope: Scope::Gateway,
            path: InstancePath::new(3419, 1),
        }),
        ..photocell(Policy::Or)
    }
}

fn lamps(group: GroupConfig) -> SiteConfig {
    let mut points = vec![lamp_point(1), lamp_point(2)];
    points.push(ahu_point("twilight", TWILIGHT, PointKind::Value));
    points.push(ahu_point("lux", LUX, PointKind::Value));
    SiteConfig {
        position: Some(Position {
            lat: 52.52,
            lon: 13.40,
        }),
        ..config(points, vec![group])
    }
}

fn at(unix: i64) -> lamplighter_model::Now {
    lamplighter_model::Now {
        unix: Some(UnixTime::from_seconds(unix)),
        ..start()
    }
}

/// Started with the date known, everything declared and answered.
fn ready(config: SiteConfig, now: lamplighter_model::Now) -> Rig {
    let points = config.points.clone();
    let mut rig = Rig::restarted(config, None, now);
    rig.tell(clock());
    for point in points {
        rig.declare(point.adapter, point.address);
    }
    rig.pass(secs(2));
    rig.forget();
    rig
}

/// The same box again, after it was off for some time.
fn again(rig: &Rig, config: SiteConfig, off: u64) -> Rig {
    let now = lamplighter_model::Now {
        boot: BootId(rig.now.boot.0 + 1),
        mono: secs(20),
        unix: rig
            .now
            .unix
            .map(|unix| UnixTime(unix.0 + i64::try_from(off).expect("short") * 1000)),
    };
    let points = config.points.clone();
    let mut rig = Rig::restarted(config, rig.saved.clone(), now);
    rig.tell(clock());
    for point in points {
        rig.declare(point.adapter, point.address);
    }
    rig.pass(secs(2));
    rig
}

fn why(rig: &Rig, name: &str) -> Why {
    rig.site
        .why(name, rig.now)
        .expect("the name is an output's")
}

fn is_on(rig: &Rig, number: u16) -> bool {
    why(rig, &format!("lamps.l{number}")).commanded == Some(Value::Boolean(true))
}

fn winner(rig: &Rig, name: &str) -> Slot {
    why(rig, name).slots[0].slot
}

fn says(rig: &Rig, name: &str) -> String {
    why(rig, name).rules[0].says.clone()
}

fn step_clock(rig: &mut Rig, seconds: i64) {
    rig.now.unix = rig.now.unix.map(|unix| UnixTime(unix.0 + seconds * 1000));
    rig.tell(clock());
}

fn compressor(rig: &Rig) -> Option<Value> {
    why(rig, "ahu1.compressor").commanded
}

fn air(rig: &mut Rig, degrees: f64) {
    rig.sample(AHU, AIR, Value::Float(degrees));
    rig.pass(secs(1));
}

fn thermostat() -> ThermostatConfig {
    ThermostatConfig {
        name: "server_room".to_owned(),
        sensor: AIR,
        setpoint: Setpoint::Point(SETPOINT),
        on_threshold: 0.5,
        off_threshold: 0.5,
        output: COMPRESSOR,
        mode: Mode::Cool,
        when_lost: WhenLost::Release,
        max_age: DEFAULT_MAX_AGE,
        instance: None,
        limit: None,
    }
}

fn cooled(thermostat: ThermostatConfig, guard: Option<Guard>) -> SiteConfig {
    let mut points = vec![
        ahu_point("supply_air", AIR, PointKind::Value),
        ahu_point("setpoint", SETPOINT, PointKind::Value),
        ahu_point("compressor", COMPRESSOR, PointKind::Output),
    ];
    points[2].guard = guard;
    SiteConfig {
        thermostats: vec![thermostat],
        ..config(points, Vec::new())
    }
}

/// What outputs were told by a box that starts, before anybody measured anything.
fn told_at_start(rig: &mut Rig) -> Vec<Value> {
    let mut told = Vec::new();
    while let Some((adapter, request)) = rig.asked.first().cloned() {
        if let Action::Write { values, .. } = request.action {
            told.extend(values.into_iter().map(|assignment| assignment.value));
        }
        rig.answer(adapter, Ok(Answer::default()));
    }
    told
}

#[test]
fn a_crash_loop_switches_nothing() {
    // Dark by the photocell alone, and a compressor that runs inside its band.
    let mut config = lamps(GroupConfig {
        photocell: Some(photocell(Policy::Or)),
        ..scheduled("on=20:00 off=06:00")
    });
    config.points.extend(cooled(thermostat(), None).points);
    config.thermostats = vec![thermostat()];
    let mut rig = ready(config.clone(), at(NOON));
    rig.sample(AHU, TWILIGHT, Value::Boolean(true));
    rig.sample(AHU, SETPOINT, Value::Float(21.0));
    air(&mut rig, 22.0);
    air(&mut rig, 21.0);
    for crash in 0..40u32 {
        let now = lamplighter_model::Now {
            boot: BootId(rig.now.boot.0 + crash % 2),
            ..rig.now
        };
        rig = Rig::restarted(config.clone(), rig.saved.clone(), now);
        rig.tell(clock());
        for point in &config.points {
            rig.declare(point.adapter, point.address);
        }
        let mut told = told_at_start(&mut rig);
        for _ in 0..20 {
            let end = rig.now.mono + millis(100);
            while rig.step(end) {}
            told.extend(told_at_start(&mut rig));
        }
        assert!(told.len() >= 3, "{told:?}");
        assert!(
            told.iter().all(|value| *value == Value::Boolean(true)),
            "start {crash}: {told:?}"
        );
    }
}
