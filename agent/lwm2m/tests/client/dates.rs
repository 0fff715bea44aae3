//! Certificates and the date: who is believed when, over what is known of the clock (design, 6).
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, time::Duration};

use lamplighter_dtls::{
    Secret as Key,
    test_server::{ServerCertificate, Settings},
};
use lamplighter_lwm2m::{
    boundary::{ClockTrust, Event, Input},
    client::ClientConfig,
    saved::Record,
    security::{Secret, SecurityAccount, SecurityMode},
};

use crate::{
    common::SSID,
    secured::{TODAY, World, secured},
};

/// Before everything that the certificates of the tests say.
const LONG_AGO: i64 = 86_400;

fn file(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/dtls");
    fs::read(format!("{root}/{name}.der")).unwrap()
}

/// The authority of the tests is believed (usage 2).
fn account() -> ClientConfig {
    let mut config = secured();
    config.servers[0].security = SecurityAccount {
        certificate_usage: Some(2),
        identity: file("client"),
        mode: SecurityMode::X509,
        secret_key: Secret::new(file("client.key")),
        server_key: file("authority"),
        ssid: Some(SSID),
        uri: "coaps://server.example".to_owned(),
        ..SecurityAccount::default()
    };
    config
}

fn strict() -> ClientConfig {
    let mut config = account();
    config.servers[0].security.strict_time = true;
    config
}

fn showing(certificate: &str) -> Settings {
    Settings {
        certificate: Some(ServerCertificate {
            chain: vec![file(certificate), file("issuer")],
            key: Key::new(file("server.key")),
            trust: vec![file("authority")],
        }),
        ..Settings::default()
    }
}

/// Why a box does not register with a server that shows this, if it does not.
fn refused(
    config: ClientConfig,
    certificate: &str,
    date: Option<i64>,
    trust: ClockTrust,
) -> Option<String> {
    let mut world = World::new(config, showing(certificate));
    world.date = date;
    world.input(Input::Clock(trust));
    let registered = world.asked().contains(&"POST rd".to_owned());
    let why = reasons(&world).pop();
    assert_eq!(registered, why.is_none(), "{why:?}");
    why
}

fn reasons(world: &World) -> Vec<String> {
    let reason = |event: &Event| match event {
        Event::RegistrationFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    world.events.iter().filter_map(reason).collect()
}

const EXPIRED: Option<&str> = Some("the server's certificate has expired");
const EARLY: Option<&str> = Some("the server's certificate is not valid yet");
const UNKNOWN: Option<&str> =
    Some("the date is not known, and certificates are not accepted without (strict_time)");

#[test]
fn dates_decide_as_far_as_the_clock_is_believed() {
    use ClockTrust::{Estimated, Trusted};
    let cases = [
        // Ended before the build of this program: whatever the clock says.
        ("expired", None, Estimated, EXPIRED, EXPIRED),
        ("expired", Some(LONG_AGO), Estimated, EXPIRED, EXPIRED),
        ("expired", Some(LONG_AGO), Trusted, EXPIRED, EXPIRED),
        ("expired", Some(TODAY), Trusted, EXPIRED, EXPIRED),
        // Not valid yet: only a clock that is trusted can tell, or one that has to be enough.
        ("future", None, Estimated, None, UNKNOWN),
        ("future", Some(TODAY), Estimated, None, EARLY),
        ("future", Some(TODAY), Trusted, EARLY, EARLY),
        // A date before the build is none.
        ("future", Some(LONG_AGO), Estimated, None, UNKNOWN),
        ("server", None, Estimated, None, UNKNOWN),
        ("server", Some(TODAY), Estimated, None, None),
        ("server", Some(TODAY), Trusted, None, None),
    ];
    for (certificate, date, trust, usual, with_strict_time) in cases {
        let what = format!("{certificate} {date:?} {trust:?}");
        let why = refused(account(), certificate, date, trust);
        assert_eq!(why.as_deref(), usual, "{what}");
        let why = refused(strict(), certificate, date, trust);
        assert_eq!(why.as_deref(), with_strict_time, "strict: {what}");
    }
}

#[test]
fn a_server_that_was_believed_without_a_date_is_left_when_the_date_says_no() {
    let mut world = World::new(account(), showing("future"));
    world.date = None;
    world.run();
    assert_eq!(world.asked(), ["POST rd"]);
    world.date = Some(TODAY);
    world.input(Input::Clock(ClockTrust::Estimated));
    assert_eq!(reasons(&world), [""; 0]);
    world.input(Input::Clock(ClockTrust::Trusted));
    world.wait(Duration::from_secs(5));
    assert_eq!(reasons(&world).first().map(String::as_str), EARLY);
}

#[test]
fn a_date_that_was_trusted_outlives_the_clock() {
    let mut world = World::new(account(), showing("server"));
    world.input(Input::Clock(ClockTrust::Trusted));
    let kept = world.stored.values().find_map(|record| match record {
        Record::Date(date) => Some(date.seconds()),
        _ => None,
    });
    assert!(kept.is_some_and(|kept| kept >= TODAY), "{kept:?}");
}
