//! Bytes as a history of boxes and servers, against the reference model of `tests/sim`.

use std::time::Duration;

use lamplighter_lwm2m::client::VersionChoice;
use lamplighter_sim::server::CancelMode;
use lamplighter_sim_tests::{
    cabinet::Settings,
    history::{self, Failure},
    network::Weather,
    step::{History, Step},
    world::{Loss, ServerId},
};

use crate::input::Input;

/// Steps of one history.
const STEPS: usize = 60;

/// A history; what the model says about it is the find.
pub(crate) fn run(bytes: &[u8]) {
    let history = history_of(bytes);
    if let Err(why) = history::run(&history) {
        panic!("{}", Failure { history, why }.report());
    }
}

fn history_of(bytes: &[u8]) -> History {
    let mut input = Input::new(bytes);
    let seed = u64::from(input.number());
    let servers = 1 + usize::from(input.byte() % 2);
    let settings = Settings {
        lifetime: Duration::from_secs(input.one_of(&[60, 300, 1200])),
        servers: (0..servers).map(ServerId).collect(),
        store_notifications: input.byte() % 4 != 3,
        version: input.one_of(&[
            VersionChoice::Auto,
            VersionChoice::Auto,
            VersionChoice::V1_0,
        ]),
        queue_mode: input.byte() % 4 == 3,
        mutant: None,
        commit_takes: Duration::from_millis(input.one_of(&[0, 3, 200])),
    };
    let versions = (0..servers).map(|_| spoken(&mut input, settings.version));
    let versions = versions.collect();
    let mut steps = Vec::new();
    while !input.is_empty() && steps.len() < STEPS {
        steps.push(step(&mut input, servers));
    }
    History {
        seed,
        settings,
        versions,
        steps,
    }
}

fn spoken(input: &mut Input<'_>, choice: VersionChoice) -> Vec<String> {
    let all: [&[&str]; 4] = [&["1.0", "1.1", "1.2"], &["1.0", "1.1"], &["1.1"], &["1.0"]];
    let spoken = input.one_of(&all);
    let spoken = if choice == VersionChoice::Auto {
        spoken
    } else {
        all[0]
    };
    spoken.iter().map(|version| (*version).to_owned()).collect()
}

/// The same steps with the same ranges of numbers as the random histories have.
fn step(input: &mut Input<'_>, servers: usize) -> Step {
    let kind = input.byte();
    let server = ServerId(usize::from(input.byte()) % servers);
    let measured = usize::from(input.byte() % 2);
    match kind % 28 {
        0..=4 => Step::DeviceChange(measured),
        5..=7 => Step::Idle(pause(input)),
        8 => Step::ServerRead(server, measured),
        9 => Step::ServerWrite(server, u32::from(input.number())),
        10 | 11 => Step::ServerObserve(server, measured),
        12 => {
            let mode = input.one_of(&[CancelMode::Active, CancelMode::Reset]);
            Step::ServerCancel(server, measured, mode)
        }
        13 => Step::WriteAttributes(server, measured, attributes(input)),
        14 => Step::BearerLost(input.one_of(&[Loss::Told, Loss::Silent])),
        15 => Step::BearerUp,
        16 => Step::Weather(weather(input)),
        17 => Step::ServerReboot(server),
        18 => match input.is_set() {
            true => Step::ServerDown(server),
            false => Step::ServerUp(server),
        },
        19 => Step::ClientPowerCut {
            outputs: u32::from(input.byte() % 12),
            off: Duration::from_secs(input.one_of(&[1, 30, 600])),
        },
        20 => Step::ClientKilled,
        21 => Step::Disable(server, input.one_of(&[60, 300, 3600])),
        22 => Step::Update(server),
        23 => Step::LocalRegister(server),
        24 => match input.is_set() {
            true => Step::NatRebind,
            false => Step::Roam,
        },
        25 => Step::Overload(server, input.one_of(&[Some(30), Some(400), None])),
        26 => Step::WriteLifetime(server, input.one_of(&[60, 300, 900])),
        _ => match input.is_set() {
            true => Step::DevicesDead(input.is_set()),
            false => Step::DevicesTake(Duration::from_millis(input.one_of(&[0, 300, 3000]))),
        },
    }
}

fn pause(input: &mut Input<'_>) -> Duration {
    let longest = input.one_of(&[1, 10, 60, 60, 300, 2000]);
    Duration::from_millis(longest * u64::from(input.byte()) * 4)
}

fn attributes(input: &mut Input<'_>) -> Vec<&'static str> {
    let sets: [&[&str]; 6] = [
        &["pmin=5"],
        &["pmax=60"],
        &["pmin=10", "pmax=100"],
        &["st=3"],
        &["gt=10"],
        &["pmin", "pmax", "st", "gt"],
    ];
    input.one_of(&sets).to_vec()
}

fn weather(input: &mut Input<'_>) -> Weather {
    let nat_idle = Duration::from_secs(input.one_of(&[0, 0, 0, 30, 200]));
    let own = Weather {
        latency: Duration::from_millis(10 + u64::from(input.byte()) * 5),
        jitter: Duration::from_millis(u64::from(input.byte()) * 7),
        lost: u32::from(input.byte()),
        bursts: u32::from(input.byte() % 20),
        burst: Duration::from_secs(u64::from(input.byte() % 60)),
        doubled: u32::from(input.byte()),
        mtu: input.one_of(&[1280, 1280, 1280, 600]),
        nat_idle,
    };
    let fair = Weather {
        nat_idle,
        ..Weather::FAIR
    };
    input.one_of(&[fair, Weather::FOUL, own, own])
}
