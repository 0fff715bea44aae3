//! Servers that cannot be agreed with: how often it is tried, and that nobody else waits for it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use lamplighter_dtls::{Closed, test_server::Settings};
use lamplighter_lwm2m::{
    boundary::Event,
    client::ClientConfig,
    security::{Secret, SecurityAccount, SecurityMode},
    server::Cause,
};
use lamplighter_model::Ssid;

use crate::secured::{World, secured};

/// Cause and pause of the failures since the test has asked.
fn failures(world: &mut World) -> Vec<(Ssid, Cause, Duration)> {
    let failure = |event: Event| match event {
        Event::RegistrationFailed {
            cause,
            ssid,
            retry_in,
            ..
        } => Some((ssid, cause, retry_in)),
        _ => None,
    };
    world.events.drain(..).filter_map(failure).collect()
}

/// Waits for the next failure, a minute at most.
fn next_failure(world: &mut World) -> (Cause, Duration) {
    for _ in 0..6000 {
        if let Some((_, cause, retry_in)) = failures(world).pop() {
            return (cause, retry_in);
        }
        world.wait(Duration::from_millis(10));
    }
    panic!("no failure");
}

fn with_another_key() -> ClientConfig {
    let mut config = secured();
    config.servers[0].security.secret_key = Secret::new(b"another-key-entirely".to_vec());
    config
}

// Issue C: never faster than the back-off that people are told.
#[test]
fn a_handshake_that_fails_comes_again_after_its_pause_and_not_before() {
    let mut world = World::new(with_another_key(), Settings::default());
    world.run();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let (cause, pause) = next_failure(&mut world);
        assert!(
            matches!(
                cause,
                Cause::Handshake(Closed::Peer(20) | Closed::Unconfirmed)
            ),
            "{cause:?}"
        );
        let opened = world.opened;
        world.handshakes();
        // It failed within the last 200 ms.
        world.wait(pause - Duration::from_millis(200));
        assert_eq!((world.opened, world.handshakes()), (opened, 0));
        world.wait(Duration::from_millis(200));
        assert_eq!(world.opened, opened + 1);
        // Two handshakes have a dozen datagrams.
        assert!(world.handshakes() <= 12);
        pauses.push(pause.as_secs());
    }
    // lwm2m/10, 7: 60 s, doubled with each attempt.
    assert!(pauses.is_sorted() && pauses[0] >= 59, "{pauses:?}");
    assert!(pauses[4] > pauses[0] * 4, "{pauses:?}");
}

#[test]
fn an_account_that_cannot_be_used_costs_its_server_only() {
    let mut config = secured();
    let mut broken = config.servers[0].clone();
    broken.ssid = Ssid(7);
    broken.name = "broken".to_owned();
    broken.security = SecurityAccount {
        mode: SecurityMode::X509,
        identity: b"no certificate".to_vec(),
        ..broken.security
    };
    config.servers.insert(0, broken);
    let mut world = World::new(config, Settings::default());
    world.run();
    world.wait(Duration::from_secs(1));
    assert_eq!(world.asked(), ["POST rd"]);
    let failed = failures(&mut world);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((failed[0].0, failed[0].1), (Ssid(7), Cause::Account));
    // It is tried again all the same: the file may be there then, after a restart of the agent.
    world.wait(failed[0].2 + Duration::from_secs(1));
    assert_eq!(failures(&mut world).len(), 1);
}
