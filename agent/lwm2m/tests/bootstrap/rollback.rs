//! What comes back where no new server takes us is all that was before, and nothing else (design, 6).

use std::time::Duration;

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, Command},
    format::ContentFormat,
    saved::Record,
    server::ServerState,
};
use lamplighter_model::Value;

use crate::world::*;

fn put(path: &str, text: &str) -> Request {
    Request {
        content_format: Some(0),
        payload: text.as_bytes().to_vec(),
        ..request(Method::Put, path)
    }
}

fn read(world: &mut World, host: &str, path: &str) -> Option<String> {
    let get = Request {
        accept: Some(0),
        ..request(Method::Get, path)
    };
    let answer = world.ask(host, get);
    let is_there = answer.code == Code::CONTENT;
    is_there.then(|| String::from_utf8(answer.payload).expect("a text"))
}

fn portfolio(instance: u16, text: &str) -> Request {
    let path = format!("/16/{instance}");
    let values = vec![(format!("{path}/0/0"), Value::String(text.to_owned()))];
    write_owned(&path, values)
}

fn bootstrap(world: &mut World, requests: Vec<Request>) {
    world.command(Command::Bootstrap);
    for request in requests {
        let answer = world.ask(BS, request);
        assert!(answer.code.is_success(), "{answer:?}");
    }
}

/// Everything else than before, with nobody at the new server.
fn disturbed() -> World {
    let mut world = at_a();
    world.put_lifetime(A, "500");
    assert_eq!(world.ask(A, put("/3/0/15", "UTC")).code, Code::CHANGED);
    let made = Request {
        method: Method::Post,
        path: segments("/16"),
        ..portfolio(0, "cabinet 17")
    };
    assert_eq!(world.ask(A, made).code, Code::CREATED);
    let mut attribute = request(Method::Put, "/16/0");
    attribute.queries = vec!["pmin=10".to_owned()];
    assert_eq!(world.ask(A, attribute).code, Code::CHANGED);
    world.script(B, mute);
    let rights = [
        ("/2/0/0", Value::Integer(3)),
        ("/2/0/1", Value::Integer(0)),
        ("/2/0/2/101", Value::Integer(1)),
        ("/2/0/3", Value::Integer(102)),
    ];
    let requests = vec![
        request(Method::Delete, "/"),
        put("/3/0/15", "Europe/Paris"),
        portfolio(1, "B's"),
        security(1, SSID_B, B),
        server(0, SSID_B, 600),
        write("/2/0", &rights, ContentFormat::Tlv),
        finish(),
    ];
    bootstrap(&mut world, requests);
    assert_eq!(world.servers(), [SSID_B]);
    world
}

fn assert_as_before(world: &mut World) {
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    let mut shown = |path| read(world, A, path);
    assert_eq!(shown("/1/0/1").as_deref(), Some("500"));
    assert_eq!(shown("/3/0/15").as_deref(), Some("UTC"));
    assert_eq!(shown("/16/0/0/0").as_deref(), Some("cabinet 17"));
    assert_eq!(shown("/16/1/0/0"), None);
    // Nobody has taken its rights either.
    assert_eq!(world.ask(A, put("/3/0/15", "UTC")).code, Code::CHANGED);
    let discover = Request {
        accept: Some(40),
        ..request(Method::Get, "/16/0")
    };
    let links = world.ask(A, discover).payload;
    let links = String::from_utf8(links).expect("a text");
    assert!(links.contains("pmin=10"), "{links}");
}

#[test]
fn instances_settings_rights_and_attributes_come_back_with_their_server() {
    for restarts in [[false, false], [true, false], [false, true], [true, true]] {
        let mut world = disturbed();
        world.wait(600);
        if restarts[0] {
            world = world.restarted(owned(), 5);
        }
        world.wait(1300);
        assert!(
            restarts[0]
                || world
                    .bootstrap_events()
                    .contains(&&BootstrapEvent::RolledBack)
        );
        if restarts[1] {
            world = world.restarted(owned(), 5);
            world.wait(1);
        }
        assert_as_before(&mut world);
    }
}

#[test]
fn a_second_bootstrap_before_the_first_was_of_use_extends_what_comes_back() {
    let mut world = disturbed();
    world.wait(100);
    // It takes away what the first has left, and puts something else in the place of what that gave.
    let requests = vec![
        put("/3/0/15", "Asia/Tokyo"),
        portfolio(0, "C's"),
        request(Method::Delete, "/16/1"),
        security(1, SSID_A, B),
        server(0, SSID_A, 700),
        finish(),
    ];
    bootstrap(&mut world, requests);
    assert_eq!(world.servers(), [SSID_A]);
    world.wait(2000);
    assert_as_before(&mut world);
}

/// The power is cut behind each output of a way back: afterwards it comes to its end.
#[test]
fn a_power_cut_on_the_way_back_only_delays_it() {
    let mut whole = disturbed();
    whole.wait(1790);
    let before = whole.outputs;
    whole.wait(20);
    let outputs = whole.outputs;
    assert!(outputs > before + 5);
    for cut in before..=outputs {
        let mut world = disturbed();
        world.wait(1790);
        world.cut = Some(cut);
        world.wait(20);
        let mut again = world.restarted(owned(), 5);
        again.wait(60);
        assert_as_before(&mut again);
    }
}

/// A server that was told everything and then fell silent, with what it has still to be told.
fn behind() -> World {
    let mut world = at_a();
    let observe = Request {
        observe: Some(0),
        ..request(Method::Get, "/3303")
    };
    world.post(A, observe);
    world.sample(20.0);
    world.script(A, mute);
    world.lose(A);
    for degrees in 0..5 {
        world.wait(5);
        world.sample(degrees.into());
    }
    world.wait(4000);
    world.sample(9.0);
    assert!(world.kept.len() >= 5, "{:?}", world.kept);
    world
}

fn given(ssid: u16, host: &str) -> Vec<Request> {
    vec![
        request(Method::Delete, "/0"),
        request(Method::Delete, "/1"),
        security(1, ssid, host),
        server(0, ssid, 600),
        finish(),
    ]
}

#[test]
fn stored_samples_wait_for_their_server_until_another_has_taken_us() {
    for ids in [
        vec![SSID_A],
        vec![SSID_B],
        vec![SSID_A, SSID_A],
        vec![SSID_B, SSID_A],
    ] {
        for restarts in [false, true] {
            let mut world = behind();
            let stored = world.kept.clone();
            world.script(B, mute);
            for id in &ids {
                bootstrap(&mut world, given(*id, B));
                world.wait(100);
                if restarts {
                    world = world.restarted(owned(), 5);
                    world.wait(1);
                }
            }
            assert_eq!(world.kept, stored, "{ids:?}");
            world.script(A, accept);
            world.find(A);
            world.wait(2100);
            assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
            assert!(!world.asked(A, "/dp").is_empty(), "{ids:?} {restarts}");
            assert!(world.kept.is_empty());
            assert!(world.asked(B, "/dp").is_empty());
        }
    }
}

#[test]
fn stored_samples_never_reach_the_next_provider() {
    for ids in [vec![SSID_A], vec![SSID_B], vec![SSID_B, SSID_A]] {
        let mut world = behind();
        world.script(B, mute);
        for id in &ids {
            bootstrap(&mut world, given(*id, B));
            world.wait(100);
            world = world.restarted(owned(), 5);
            world.wait(1);
        }
        world.script(B, accept);
        world.wait(600);
        let last = ids[ids.len() - 1];
        assert_eq!(world.states(), [(last, ServerState::Registered)]);
        assert!(world.kept.is_empty(), "stored for A and kept");
        assert!(world.asked(B, "/dp").is_empty());
        assert!(world.now > Duration::from_secs(600));
    }
}

/// A box that does not know the date cannot tell how long it was off: it starts again and again, and
/// comes to the end of the trial all the same, neither much too early nor never.
#[test]
fn restarts_do_not_begin_the_time_on_trial_anew() {
    for (runs_for, least, most) in [(100, 8, 20), (1, 20, 31), (1700, 0, 2)] {
        let mut world = World::without_date(owned());
        world.wait(1);
        world.script(B, mute);
        bootstrap(&mut world, given(SSID_B, B));
        let mut starts = 0;
        loop {
            world.wait(runs_for);
            if world.servers() == [SSID_A] {
                break;
            }
            starts += 1;
            assert!(starts < 100, "it never ends");
            world = world.restarted(owned(), 7);
        }
        assert!((least..=most).contains(&starts), "{runs_for}: {starts}");
        let key = Record::FallbackTime(None).key();
        assert!(world.writes[&key] <= 2 * 31, "{}", world.writes[&key]);
        assert!(!world.saved.contains_key(&key));
    }
}

/// Wherever the power goes while the new server takes us: what was stored for the former is told to
/// neither of the two then, or still to the former.
#[test]
fn a_power_cut_while_a_new_server_takes_us_tells_it_nothing_of_the_former() {
    for id in [SSID_A, SSID_B] {
        let mut whole = behind();
        let before = whole.outputs;
        bootstrap(&mut whole, given(id, B));
        whole.wait(1);
        for cut in before..=whole.outputs {
            let mut world = behind();
            world.cut = Some(cut);
            world.command(Command::Bootstrap);
            for request in given(id, B) {
                if !world.is_dead() {
                    world.post(BS, request);
                }
            }
            let mut again = world.restarted(owned(), 5);
            again.wait(600);
            assert!(again.asked(B, "/dp").is_empty(), "cut behind {cut}");
            let is_b = again.states() == [(id, ServerState::Registered)]
                && !again.asked(B, "/rd").is_empty();
            assert!(!is_b || again.kept.is_empty(), "cut behind {cut}");
        }
    }
}
