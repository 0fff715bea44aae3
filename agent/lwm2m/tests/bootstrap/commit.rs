//! What a finished bootstrap leaves, over power cuts, and back where nobody takes us (design, 6).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, Command},
    client::ClientConfig,
    format::ContentFormat,
    saved::Record,
    security::{Secret, SecurityAccount, SecurityMode},
    server::ServerState,
};
use lamplighter_model::{Ssid, Value};

use crate::world::*;

fn at_a() -> World {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(1);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    world
}

fn moved(world: &mut World) {
    world.command(Command::Bootstrap);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
}

fn has(world: &World, wanted: fn(&BootstrapEvent) -> bool) -> bool {
    world.bootstrap_events().into_iter().any(wanted)
}

#[test]
fn the_former_server_is_left_and_the_new_one_confirms() {
    let mut world = at_a();
    moved(&mut world);
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
    assert_eq!(world.asked(A, "/rd/1")[0].method, Method::Delete);
    assert!(has(&world, |event| matches!(
        event,
        BootstrapEvent::Confirmed(Ssid(SSID_B))
    )));
    let answer = world.ask(B, request(Method::Get, "/1/0/12"));
    assert_eq!(answer.code, Code::CONTENT);
    // Nobody answers A any more.
    world.post(A, request(Method::Get, "/3/0/0"));
    world.wait(10_000);
    assert_eq!(world.servers(), [SSID_B]);
    assert!(
        !world
            .saved
            .values()
            .any(|record| matches!(record, Record::Fallback(_)))
    );
}

/// What devices say of themselves is not a bootstrap server's to take away.
#[test]
fn what_devices_have_declared_outlives_a_bootstrap() {
    let mut world = at_a();
    world.sample(21.5);
    world.command(Command::Bootstrap);
    for request in [
        request(Method::Delete, "/"),
        security(1, SSID_B, B),
        server(0, SSID_B, 600),
        finish(),
    ] {
        assert!(world.ask(BS, request).code.is_success());
    }
    for restarts in [false, true] {
        if restarts {
            world = world.restarted(config(&[(SSID_A, A)]), 5);
            world.wait(1);
            world.sample(21.5);
        }
        let answer = world.ask(B, request(Method::Get, "/3303"));
        assert_eq!(answer.code, Code::CONTENT);
    }
}

#[test]
fn accounts_that_were_given_outlive_restarts_and_win_over_the_file() {
    let mut world = at_a();
    moved(&mut world);
    let mut again = world.restarted(config(&[(SSID_A, A)]), 5);
    again.wait(1);
    assert_eq!(again.states(), [(SSID_B, ServerState::Registered)]);
    assert_eq!(again.client.overruled(), ["file-101"]);
    // What people add later is theirs.
    let mut again = again.restarted(config(&[(SSID_A, A), (103, A)]), 5);
    again.wait(1);
    assert_eq!(again.servers(), [SSID_B, 103]);
}

#[test]
fn an_account_that_was_not_touched_follows_the_file() {
    let mut world = at_a();
    world.command(Command::Bootstrap);
    for request in [security(2, SSID_B, B), server(1, SSID_B, 600), finish()] {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.servers(), [SSID_A, SSID_B]);
    let mut again = world.restarted(config(&[(SSID_A, B)]), 5);
    again.wait(1);
    assert_eq!(again.servers(), [SSID_A, SSID_B]);
    assert_eq!(again.asked(B, "/rd").len(), 2);
}

/// The power is cut behind each output of a whole bootstrap, from the request to the registration
/// with the new server and beyond: afterwards the box has the accounts of before or those of after,
/// never others, and those of after wherever the server was told that it has finished.
#[test]
fn a_power_cut_between_any_two_steps_leaves_old_or_new() {
    let mut whole = at_a();
    let before = whole.outputs;
    moved(&mut whole);
    whole.wait(1);
    let outputs = whole.outputs;
    let mut seen = [0, 0];
    for cut in before..=outputs {
        let mut world = at_a();
        world.cut = Some(cut);
        world.command(Command::Bootstrap);
        for request in move_to_b() {
            if !world.is_dead() {
                world.post(BS, request);
            }
        }
        let finished = world.answers(BS) == move_to_b().len();
        let mut again = world.restarted(config(&[(SSID_A, A)]), 5);
        again.wait(2000);
        let is_new = match again.states()[..] {
            [(SSID_A, ServerState::Registered)] => false,
            [(SSID_B, ServerState::Registered)] => true,
            ref other => panic!("cut behind {cut}: {other:?}"),
        };
        assert!(
            is_new || !finished,
            "cut behind {cut}: answered and not kept"
        );
        seen[usize::from(is_new)] += 1;
    }
    assert!(seen[0] > 4 && seen[1] > 4, "{seen:?} of {outputs}");
}

/// A server that refuses or never answers: what was before comes back, over restarts as well.
#[test]
fn the_accounts_before_come_back_where_no_new_server_takes_us() {
    for script in [refuse, mute] {
        for cut in [false, true] {
            let mut world = at_a();
            world.put_lifetime(A, "500");
            world.script(B, script);
            moved(&mut world);
            world.wait(600);
            assert_eq!(world.servers(), [SSID_B]);
            if cut {
                world = world.restarted(config(&[(SSID_A, A)]), 100);
            }
            world.wait(1000);
            assert_eq!(world.servers(), [SSID_B]);
            world.wait(300);
            assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
            assert!(has(&world, |event| *event == BootstrapEvent::RolledBack));
            // With what A had written about itself.
            let answer = world.ask(A, request(Method::Get, "/1/0/1"));
            assert_eq!(answer.payload, b"500");
            let mut again = world.restarted(config(&[(SSID_A, A)]), 5);
            again.wait(1);
            assert_eq!(again.servers(), [SSID_A]);
        }
    }
}

#[test]
fn what_comes_back_is_what_a_server_has_confirmed() {
    let mut world = at_a();
    world.script(B, mute);
    moved(&mut world);
    world.wait(100);
    // A second bootstrap before the first was of any use.
    world.command(Command::Bootstrap);
    for request in [security(1, SSID_B, B), server(0, SSID_B, 700), finish()] {
        assert!(world.ask(BS, request).code.is_success());
    }
    world.wait(2000);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
}

/// Whoever has the same short id at another address gets nothing of what was stored for the former.
#[test]
fn stored_samples_do_not_change_hands() {
    for same_id in [true, false] {
        let mut world = at_a();
        world.post(
            A,
            Request {
                observe: Some(0),
                ..request(Method::Get, "/3303")
            },
        );
        world.sample(20.0);
        world.script(A, mute);
        world.lose(A);
        for degrees in 0..5 {
            world.wait(5);
            world.sample(degrees.into());
        }
        world.wait(4000);
        world.sample(9.0);
        assert!(!world.kept.is_empty());
        let id = if same_id { SSID_A } else { SSID_B };
        world.command(Command::Bootstrap);
        for request in [
            request(Method::Delete, "/"),
            security(1, id, B),
            server(0, id, 600),
            finish(),
        ] {
            assert!(world.ask(BS, request).code.is_success());
        }
        assert_eq!(world.states(), [(id, ServerState::Registered)]);
        assert!(world.kept.is_empty(), "stored for A and kept");
        let told = world.peers[B].requests.iter();
        assert!(told.clone().all(|(_, request)| request.path != ["dp"]));
    }
}

#[test]
fn the_account_of_the_bootstrap_server_ends_after_its_time() {
    let timed = |seconds| {
        let mut config = config(&[(SSID_A, A)]);
        let bootstrap = config.bootstrap.as_mut().expect("bootstrap");
        bootstrap.security.account_timeout_s = seconds;
        config
    };
    let mut world = World::new(timed(50));
    world.wait(1000);
    assert!(
        world.client.bootstrap().uri.is_some(),
        "it has not done its work"
    );
    moved(&mut world);
    let mut world = world.restarted(timed(50), 20);
    world.wait(25);
    assert!(world.client.bootstrap().uri.is_some());
    world.wait(10);
    assert!(has(&world, |event| *event == BootstrapEvent::AccountEnded));
    assert_eq!(world.client.bootstrap().uri, None);
    let answer = world.ask(B, request(Method::Post, "/1/0/9"));
    assert_eq!(answer.code, Code::NOT_FOUND);
    // For good, unless people configure another.
    let mut again = world.restarted(timed(50), 5);
    again.wait(1);
    assert_eq!(again.client.bootstrap().uri, None);
    let other = {
        let mut config = timed(50);
        config.bootstrap.as_mut().expect("bootstrap").security.uri = format!("coap://{A}");
        config
    };
    let mut again = again.restarted(other, 5);
    again.wait(500);
    assert!(again.client.bootstrap().uri.is_some());
}

/// Whoever types another key wants the bootstrap server to be asked again.
#[test]
fn another_key_is_another_account_of_the_bootstrap_server() {
    let keyed = |key: &str| {
        let mut config = config(&[(SSID_A, A)]);
        let bootstrap = config.bootstrap.as_mut().expect("bootstrap");
        bootstrap.security.account_timeout_s = 50;
        let key = key.as_bytes().to_vec();
        bootstrap.security.secret_key = Secret::new(key);
        config
    };
    let mut world = World::new(keyed("swordfish"));
    world.wait(1);
    moved(&mut world);
    world.wait(60);
    assert_eq!(world.client.bootstrap().uri, None, "it had its time");
    let mut same = world.restarted(keyed("swordfish"), 5);
    same.wait(1);
    assert_eq!(same.client.bootstrap().uri, None);
    let mut other = same.restarted(keyed("sailfish"), 5);
    other.wait(500);
    assert!(other.client.bootstrap().uri.is_some());
    // It works, and then has its time.
    moved(&mut other);
    other.wait(10);
    assert!(other.client.bootstrap().uri.is_some());
    other.wait(60);
    assert_eq!(other.client.bootstrap().uri, None);
    let mut again = other.restarted(keyed("sailfish"), 5);
    again.wait(1);
    assert_eq!(again.client.bootstrap().uri, None);
}

/// That a server is still there proves nothing of the one that was given.
#[test]
fn only_a_server_that_was_given_confirms() {
    let mut world = at_a();
    world.script(B, mute);
    world.command(Command::Bootstrap);
    for request in [security(2, SSID_B, B), server(1, SSID_B, 600), finish()] {
        assert!(world.ask(BS, request).code.is_success());
    }
    world.wait(100);
    assert_eq!(world.servers(), [SSID_A, SSID_B]);
    assert!(!has(&world, |event| matches!(
        event,
        BootstrapEvent::Confirmed(_)
    )));
    world.wait(2000);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
}

#[test]
fn a_bootstrap_server_cannot_cut_off_the_way_back() {
    let mut world = at_a();
    world.command(Command::Bootstrap);
    world.ask(BS, security(0, SSID_B, B));
    world.ask(BS, server(1, SSID_B, 600));
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
}

#[test]
fn a_bootstrap_server_may_hand_over_to_another() {
    let mut world = at_a();
    world.command(Command::Bootstrap);
    let other = [
        ("/0/0/0", Value::String(format!("coap://{B}"))),
        ("/0/0/1", Value::Boolean(true)),
        ("/0/0/2", Value::Integer(3)),
        ("/0/0/10", Value::Integer(0)),
        ("/0/0/11", Value::Integer(3)),
    ];
    let answer = world.ask(BS, write("/0/0", &other, ContentFormat::Tlv));
    assert_eq!(answer.code, Code::CHANGED);
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    let mut again = world.restarted(config(&[(SSID_A, A)]), 5);
    again.wait(1);
    assert_eq!(
        again.client.bootstrap().uri.as_deref(),
        Some("coap://b.example")
    );
    again.command(Command::Bootstrap);
    again.wait(2);
    assert!(again.asked(B, "/bs").is_empty());
    again.wait(2);
    assert_eq!(again.asked(B, "/bs").len(), 1);
}

#[test]
fn rights_come_along_and_are_taken_back() {
    let mut world = at_a();
    world.command(Command::Bootstrap);
    let rights = [
        ("/2/0/0", Value::Integer(3)),
        ("/2/0/1", Value::Integer(0)),
        ("/2/0/2/101", Value::Integer(1)),
        ("/2/0/2/102", Value::Integer(3)),
        ("/2/0/3", Value::Integer(102)),
    ];
    for request in [
        security(2, SSID_B, B),
        server(1, SSID_B, 600),
        write("/2/0", &rights, ContentFormat::Tlv),
        finish(),
    ] {
        assert!(world.ask(BS, request).code.is_success());
    }
    let zone = |text: &str| Request {
        content_format: Some(0),
        payload: text.as_bytes().to_vec(),
        ..request(Method::Put, "/3/0/15")
    };
    assert_eq!(world.ask(A, zone("UTC")).code, Code::UNAUTHORIZED);
    assert_eq!(world.ask(B, zone("UTC")).code, Code::CHANGED);
    let mut again = world.restarted(config(&[(SSID_A, A)]), 5);
    again.wait(1);
    assert_eq!(again.ask(A, zone("UTC")).code, Code::UNAUTHORIZED);
    assert_eq!(again.ask(B, zone("UTC")).code, Code::CHANGED);
}

#[test]
fn an_account_with_a_key_is_met_with_a_handshake_and_never_without() {
    let mut world = at_a();
    world.command(Command::Bootstrap);
    let secured = |key: &[u8]| {
        let account = [
            ("/0/1/0", Value::String(format!("coaps://{B}"))),
            ("/0/1/1", Value::Boolean(false)),
            ("/0/1/2", Value::Integer(0)),
            ("/0/1/3", Value::Opaque(b"cab-17".to_vec())),
            ("/0/1/5", Value::Opaque(key.to_vec())),
            ("/0/1/10", Value::Integer(SSID_B.into())),
        ];
        write("/0/1", &account, ContentFormat::SenmlCbor)
    };
    world.ask(BS, server(0, SSID_B, 600));
    world.ask(BS, secured(b""));
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
    world.ask(BS, secured(b"0123456789abcdef"));
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    world.wait(60);
    // RFC 6347, 4.1: content type 22, handshake, of DTLS.
    let datagrams = &world.peers[B].datagrams;
    assert!(!datagrams.is_empty());
    assert!(datagrams.iter().all(|datagram| datagram[..2] == [22, 0xfe]));
}

#[test]
fn no_key_is_in_what_can_be_printed() {
    let key = b"swordfish-0123456789";
    let mut config: ClientConfig = config(&[(SSID_A, A)]);
    let security = &mut config.servers[0].security;
    security.secret_key = Secret::new(key.to_vec());
    let printed = format!("{config:?}");
    let mut world = World::new(config);
    world.wait(1);
    world.command(Command::Bootstrap);
    let secret = [("/0/1/5", Value::Opaque(key.to_vec()))];
    world.ask(BS, write("/0/1/5", &secret, ContentFormat::Tlv));
    world.ask(BS, server(0, SSID_A, 60));
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    assert!(
        world
            .saved
            .values()
            .any(|record| matches!(record, Record::Given(_)))
    );
    let printed = format!(
        "{printed} {:?} {:?} {:?}",
        world.client, world.saved, world.events
    );
    let decimal = format!("{key:?}");
    let decimal = decimal.trim_matches(['[', ']']);
    assert!(!printed.contains("swordfish") && !printed.contains(decimal));
}

/// A server that was met with a certificate is not spoiled by a bootstrap server that is met otherwise
/// and changes a number only: whom this box trusts is said by the table of the server.
#[test]
fn a_lifetime_that_is_written_leaves_a_certificate_what_it_is() {
    let file = |name: &str| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/dtls");
        std::fs::read(format!("{root}/{name}")).expect("a test vector")
    };
    let certified = || {
        let mut config = config(&[(SSID_A, A)]);
        let server = &mut config.servers[0];
        server.uri = format!("coaps://{A}").parse().expect("a URI");
        server.security = SecurityAccount {
            certificate_usage: Some(2),
            identity: file("client.der"),
            mode: SecurityMode::X509,
            secret_key: Secret::new(file("client.key.der")),
            ssid: Some(Ssid(SSID_A)),
            trust_store: vec![file("authority.der")],
            uri: format!("coaps://{A}"),
            ..SecurityAccount::default()
        };
        config
    };
    let mut world = World::new(certified());
    world.wait(1);
    world.command(Command::Bootstrap);
    let lifetime = [("/1/0/1", Value::Integer(500))];
    let written = write("/1/0/1", &lifetime, ContentFormat::Text);
    assert_eq!(world.ask(BS, written).code, Code::CHANGED);
    let answer = world.ask(BS, finish());
    let why = String::from_utf8_lossy(&answer.payload).into_owned();
    assert_eq!(answer.code, Code::CHANGED, "{why}");
    for restarts in [false, true] {
        if restarts {
            world = world.restarted(certified(), 5);
        }
        let before = world.peer(A).datagrams.len();
        world.wait(60);
        assert_eq!(world.servers(), [SSID_A]);
        let new = &world.peers[A].datagrams[before..];
        // RFC 6347, 4.1: a handshake, which nothing but usable credentials begin.
        assert!(!new.is_empty() && new.iter().all(|datagram| datagram[0] == 22));
    }
}

/// Numbers of the messages that the box has begun with a server.
fn message_ids(world: &World, host: &str) -> Vec<[u8; 2]> {
    let datagrams = world.peers[host].datagrams.iter();
    // RFC 7252, 3: neither acknowledgements nor resets.
    let begun = datagrams.filter(|datagram| datagram[0] & 0x20 == 0);
    begun.map(|datagram| [datagram[2], datagram[3]]).collect()
}

/// RFC 7252, 4.4: not again within EXCHANGE_LIFETIME, whatever has become of the account.
#[test]
fn an_account_that_is_made_anew_uses_no_message_id_again() {
    let mut world = at_a();
    let before = message_ids(&world, A);
    world.command(Command::Bootstrap);
    for request in [security(1, SSID_A, A), server(0, SSID_A, 600), finish()] {
        assert_eq!(world.ask(BS, request).code, Code::CHANGED);
    }
    world.wait(10);
    let all = message_ids(&world, A);
    let after = &all[before.len()..];
    assert!(!before.is_empty() && !after.is_empty());
    assert!(after.iter().all(|id| !before.contains(id)), "{all:?}");
}
