//! What can happen in a history. Steps carry all their numbers, so that leaving one out changes no
//! other.

use std::time::Duration;

use lamplighter_lwm2m::client::VersionChoice;
use lamplighter_sim::server::CancelMode;

use crate::{
    cabinet::Settings,
    chance::Chance,
    network::Weather,
    world::{Loss, ServerId},
};

/// A measurement of the box, by its place in [`crate::model::MEASURED`].
pub type Measured = usize;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    BearerLost(Loss),
    BearerUp,
    /// The agent is killed and started again.
    ClientKilled,
    /// The power fails after so many outputs, for this long.
    ClientPowerCut {
        outputs: u32,
        off: Duration,
    },
    DeviceChange(Measured),
    /// Whether the devices answer.
    DevicesDead(bool),
    DevicesTake(Duration),
    Disable(ServerId, u32),
    Idle(Duration),
    /// A person wants it at once.
    LocalRegister(ServerId),
    /// The address that servers see is another.
    NatRebind,
    Overload(ServerId, Option<u32>),
    Roam,
    ServerCancel(ServerId, Measured, CancelMode),
    ServerDown(ServerId),
    ServerObserve(ServerId, Measured),
    ServerRead(ServerId, Measured),
    ServerReboot(ServerId),
    ServerUp(ServerId),
    ServerWrite(ServerId, u32),
    Update(ServerId),
    Weather(Weather),
    WriteAttributes(ServerId, Measured, Vec<&'static str>),
    WriteLifetime(ServerId, u32),
}

/// A whole history: who takes part, and what happens.
#[derive(Clone, Debug)]
pub struct History {
    pub seed: u64,
    pub settings: Settings,
    /// What each server speaks.
    pub versions: Vec<Vec<String>>,
    pub steps: Vec<Step>,
}

/// Steps of one history.
const STEPS: (u64, u64) = (5, 40);

impl History {
    /// The history of this number.
    pub fn random(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let chance = &mut chance;
        let servers = 1 + chance.index(2);
        let settings = Settings {
            lifetime: Duration::from_secs(one_of(chance, &[60, 300, 300, 1200])),
            servers: (0..servers).map(ServerId).collect(),
            store_notifications: chance.permille(800),
            version: one_of(
                chance,
                &[
                    VersionChoice::Auto,
                    VersionChoice::Auto,
                    VersionChoice::V1_0,
                ],
            ),
            queue_mode: chance.permille(200),
            mutant: None,
            commit_takes: Duration::from_millis(one_of(chance, &[0, 3, 200])),
        };
        let spoken: [&[&str]; 4] = [&["1.0", "1.1", "1.2"], &["1.0", "1.1"], &["1.1"], &["1.0"]];
        let versions = (0..servers).map(|_| {
            let spoken = if settings.version == VersionChoice::Auto {
                one_of(chance, &spoken)
            } else {
                spoken[0]
            };
            spoken.iter().map(|version| (*version).to_owned()).collect()
        });
        let versions = versions.collect();
        let count = STEPS.0 + chance.below(STEPS.1 - STEPS.0);
        let steps = (0..count).map(|_| Step::random(chance, servers)).collect();
        Self {
            seed,
            settings,
            versions,
            steps,
        }
    }
}

impl Step {
    fn random(chance: &mut Chance, servers: usize) -> Self {
        let server = ServerId(chance.index(servers));
        let measured = chance.index(2);
        match chance.below(100) {
            0..20 => Self::DeviceChange(measured),
            20..40 => Self::Idle(pause(chance)),
            40..47 => Self::ServerRead(server, measured),
            47..54 => Self::ServerWrite(server, number(chance)),
            54..58 => Self::ServerObserve(server, measured),
            58..60 => Self::ServerCancel(
                server,
                measured,
                one_of(chance, &[CancelMode::Active, CancelMode::Reset]),
            ),
            60..64 => Self::WriteAttributes(server, measured, attributes(chance)),
            64..67 => Self::BearerLost(one_of(chance, &[Loss::Told, Loss::Silent])),
            67..72 => Self::BearerUp,
            72..77 => Self::Weather(weather(chance)),
            77..79 => Self::ServerReboot(server),
            79..80 => Self::ServerDown(server),
            80..82 => Self::ServerUp(server),
            82..85 => Self::ClientPowerCut {
                outputs: u32::try_from(chance.below(12)).unwrap_or(0),
                off: Duration::from_secs(one_of(chance, &[1, 30, 600])),
            },
            85..87 => Self::ClientKilled,
            87..89 => Self::Disable(server, one_of(chance, &[60, 300, 3600])),
            89..91 => Self::Update(server),
            91..92 => Self::LocalRegister(server),
            92..93 => Self::NatRebind,
            93..94 => Self::Roam,
            94..95 => Self::Overload(server, one_of(chance, &[Some(30), Some(400), None])),
            95..96 => Self::WriteLifetime(server, one_of(chance, &[60, 300, 900])),
            96..97 => Self::DevicesDead(chance.permille(500)),
            97..98 => Self::DevicesTake(Duration::from_millis(one_of(chance, &[0, 300, 3000]))),
            _ => Self::Idle(Duration::from_millis(chance.below(500))),
        }
    }
}

fn one_of<T: Clone>(chance: &mut Chance, all: &[T]) -> T {
    all[chance.index(all.len())].clone()
}

fn number(chance: &mut Chance) -> u32 {
    u32::try_from(chance.below(1_000_000)).unwrap_or(0)
}

fn pause(chance: &mut Chance) -> Duration {
    let longest = one_of(chance, &[1, 10, 60, 60, 300, 2000]);
    chance.up_to(Duration::from_secs(longest))
}

fn attributes(chance: &mut Chance) -> Vec<&'static str> {
    let sets: [&[&str]; 6] = [
        &["pmin=5"],
        &["pmax=60"],
        &["pmin=10", "pmax=100"],
        &["st=3"],
        &["gt=10"],
        &["pmin", "pmax", "st", "gt"],
    ];
    one_of(chance, &sets).to_vec()
}

fn weather(chance: &mut Chance) -> Weather {
    let weather = Weather {
        latency: Duration::from_millis(10 + chance.below(1500)),
        jitter: Duration::from_millis(chance.below(2000)),
        lost: u32::try_from(chance.below(350)).unwrap_or(0),
        bursts: u32::try_from(chance.below(20)).unwrap_or(0),
        burst: Duration::from_secs(chance.below(60)),
        doubled: u32::try_from(chance.below(200)).unwrap_or(0),
        mtu: one_of(chance, &[1280, 1280, 1280, 600]),
        // Addresses change by steps of their own.
        nat_idle: Duration::ZERO,
    };
    one_of(chance, &[Weather::FAIR, Weather::FOUL, weather, weather])
}
