//! When a bootstrap server is asked, and how often (lwm2m/40, 1 and 6).

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, Command},
    server::ServerState,
};

use crate::world::*;

#[test]
fn a_box_without_a_server_asks_after_the_hold_off_time() {
    let mut config = config(&[]);
    let bootstrap = config.bootstrap.as_mut().expect("bootstrap");
    bootstrap.security.hold_off_s = 5;
    let mut world = World::new(config);
    world.wait(4);
    assert!(world.peers[BS].requests.is_empty());
    world.wait(2);
    let [asked] = world.asked(BS, "/bs")[..] else {
        panic!("not asked once");
    };
    assert_eq!(asked.method, Method::Post);
    assert_eq!(asked.queries, ["ep=cab-17", "pct=112"]);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
    let register = world.asked(B, "/rd")[0];
    assert!(register.queries.contains(&"lt=600".to_owned()));
}

#[test]
fn a_server_of_1_0_is_asked_again_without_a_format() {
    fn old(request: &Request) -> Option<Response> {
        let has_format = request.queries.iter().any(|query| query.starts_with("pct"));
        Some(Response::new(if has_format {
            Code::BAD_REQUEST
        } else {
            Code::CHANGED
        }))
    }
    let mut world = World::new(config(&[]));
    world.script(BS, old);
    world.wait(1);
    let asked = world.asked(BS, "/bs");
    assert_eq!(asked[1].queries, ["ep=cab-17"]);
    // What it discovers is told as 1.0 has it.
    let discover = Request {
        accept: Some(40),
        ..request(Method::Get, "/0")
    };
    let links = String::from_utf8(world.ask(BS, discover).payload).expect("text");
    assert_eq!(links, "lwm2m=\"1.0\",</0/0>");
}

#[test]
fn a_bootstrap_server_that_refuses_is_asked_by_the_table_and_then_every_hour() {
    let mut world = World::new(config(&[]));
    world.script(BS, refuse);
    world.wait(40_000);
    let mut times = world.times(BS, "/bs");
    times.dedup();
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, table) in pauses.iter().zip([60, 120, 240, 480]) {
        assert!((table..=table * 11 / 10).contains(pause), "{pauses:?}");
    }
    assert!(pauses.len() > 8);
    let hourly = &pauses[4..];
    assert!(
        hourly.iter().all(|pause| (1800..=5400).contains(pause)),
        "{pauses:?}"
    );
}

#[test]
fn a_mute_bootstrap_server_is_asked_again() {
    let mut world = World::new(config(&[]));
    world.script(BS, mute);
    world.wait(400);
    assert!(world.times(BS, "/bs").len() > 1);
    let failed = world.bootstrap_events().into_iter().any(|event| {
        matches!(event, BootstrapEvent::Failed { reason, .. } if reason.contains("no answer"))
    });
    assert!(failed);
}

#[test]
fn a_server_that_refuses_us_is_a_case_for_the_bootstrap_server() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.script(A, refuse);
    world.wait(1);
    assert_eq!(world.asked(BS, "/bs").len(), 1);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
}

#[test]
fn a_server_that_takes_us_later_ends_the_need() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.script(A, refuse);
    world.script(BS, refuse);
    world.wait(30);
    world.script(A, accept);
    world.wait(4000);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    let before = world.times(BS, "/bs").len();
    world.wait(20_000);
    assert_eq!(world.times(BS, "/bs").len(), before);
}

#[test]
fn a_server_executes_the_trigger_and_is_answered_first() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(1);
    assert!(world.asked(BS, "/bs").is_empty());
    let response = world.ask(A, request(Method::Post, "/1/0/9"));
    assert_eq!(response.code, Code::CHANGED);
    assert_eq!(world.asked(BS, "/bs").len(), 1);
    // It stays registered, and what it wants has to wait (Core 1.2, 6.1.7).
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    let response = world.ask(A, request(Method::Get, "/3/0/0"));
    assert_eq!(response.code, Code::SERVICE_UNAVAILABLE);
}

#[test]
fn without_an_account_there_is_no_trigger() {
    let mut config = config(&[(SSID_A, A)]);
    config.bootstrap = None;
    let mut world = World::new(config);
    world.wait(1);
    let response = world.ask(A, request(Method::Post, "/1/0/9"));
    assert_eq!(response.code, Code::NOT_FOUND);
    world.command(Command::Bootstrap);
    assert!(world.bootstrap_events().is_empty());
}

#[test]
fn a_person_asks_at_once() {
    let mut world = World::new(config(&[]));
    world.script(BS, refuse);
    world.wait(1);
    let before = world.times(BS, "/bs").len();
    world.command(Command::Bootstrap);
    assert!(world.times(BS, "/bs").len() > before);
}

/// The server may still mend it, but nobody has to wait for that.
#[test]
fn a_person_asks_again_after_what_did_not_hold_together() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(1);
    world.command(Command::Bootstrap);
    let asked = world.times(BS, "/bs").len();
    world.ask(BS, request(Method::Delete, "/"));
    world.command(Command::Bootstrap);
    assert_eq!(world.times(BS, "/bs").len(), asked, "the server is at it");
    world.ask(BS, security(1, SSID_B, B));
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
    world.command(Command::Bootstrap);
    assert_eq!(world.times(BS, "/bs").len(), asked + 1);
    world.ask(BS, request(Method::Delete, "/0"));
    world.ask(BS, security(1, SSID_B, B));
    world.ask(BS, server(1, SSID_B, 600));
    world.ask(BS, request(Method::Delete, "/1/0"));
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    assert_eq!(world.servers(), [SSID_B]);
}

#[test]
fn a_bootstrap_that_is_abandoned_changes_nothing() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(1);
    world.command(Command::Bootstrap);
    world.ask(BS, request(Method::Delete, "/"));
    world.ask(BS, security(1, SSID_B, B));
    // lwm2m/40, 6: EXCHANGE_LIFETIME after the last operation.
    world.wait(248);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    let failed = world.bootstrap_events().into_iter().any(|event| {
        matches!(event, BootstrapEvent::Failed { reason, .. } if reason.contains("not finished"))
    });
    assert!(failed);
    assert_eq!(
        world.ask(A, request(Method::Get, "/1/0/1")).code,
        Code::CONTENT
    );
}

#[test]
fn the_server_may_begin_by_itself_where_that_is_configured() {
    let mut config = config(&[]);
    let bootstrap = config.bootstrap.as_mut().expect("bootstrap");
    bootstrap.server_initiated = true;
    bootstrap.security.hold_off_s = 60;
    let mut world = World::new(config);
    world.wait(30);
    assert!(world.peers[BS].requests.is_empty());
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
}

fn pack_of(written: &[Request]) -> Response {
    let pack = write_all(written);
    Response {
        content_format: pack.content_format,
        payload: pack.payload,
        ..Response::new(Code::CONTENT)
    }
}

/// A box at A that was told to ask for a Bootstrap-Pack.
fn asking_for_a_pack(script: Script) -> World {
    let mut config = config(&[(SSID_A, A)]);
    config.bootstrap.as_mut().expect("bootstrap").pack = true;
    let mut world = World::new(config);
    world.script(BS, script);
    world.wait(1);
    world.command(Command::Bootstrap);
    world.wait(1);
    world
}

#[test]
fn a_pack_needs_no_finish() {
    fn packs(request: &Request) -> Option<Response> {
        if request.path != ["bspack"] {
            return Some(Response::new(Code::NOT_FOUND));
        }
        Some(pack_of(&[security(1, SSID_B, B), server(0, SSID_B, 600)]))
    }
    let world = asking_for_a_pack(packs);
    let asked = world.asked(BS, "/bspack")[0];
    assert_eq!(asked.queries, ["ep=cab-17", "acc=</0/0>"]);
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
    assert!(world.asked(BS, "/bs").is_empty());
}

#[test]
fn a_server_that_is_silent_about_packs_is_asked_the_ordinary_way() {
    fn silent(request: &Request) -> Option<Response> {
        (request.path != ["bspack"]).then(|| Response::new(Code::CHANGED))
    }
    let mut config = config(&[]);
    config.bootstrap.as_mut().expect("bootstrap").pack = true;
    let mut world = World::new(config);
    world.script(BS, silent);
    world.wait(120);
    assert_eq!(world.asked(BS, "/bs").len(), 1);
}

#[test]
fn an_answer_behind_the_end_begins_nothing() {
    let mut world = World::new(config(&[]));
    world.script(BS, mute);
    world.wait(1);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
    world.answer_late(BS, Code::CHANGED);
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
    assert_ne!(world.client.bootstrap_state().as_str(), "running");
}

#[test]
fn without_a_pack_the_ordinary_way_follows() {
    fn knows_no_pack(request: &Request) -> Option<Response> {
        Some(Response::new(if request.path == ["bspack"] {
            Code::NOT_IMPLEMENTED
        } else {
            Code::CHANGED
        }))
    }
    let mut config = config(&[]);
    config.bootstrap.as_mut().expect("bootstrap").pack = true;
    let mut world = World::new(config);
    world.script(BS, knows_no_pack);
    world.wait(1);
    assert_eq!(world.asked(BS, "/bs").len(), 1);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
}

/// Factory: what the file says comes first, and nobody else is asked. // lwm2m/40, 10: int-6
#[test]
fn a_box_whose_server_takes_it_asks_nobody_else() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(20_000);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    assert!(world.peers[BS].datagrams.is_empty());
}

/// lwm2m/40, 8: what a pack would have left is nothing, and the ordinary way follows.
#[test]
fn a_pack_that_does_not_hold_together_changes_nothing() {
    fn half(request: &Request) -> Option<Response> {
        if request.path != ["bspack"] {
            return Some(Response::new(Code::CHANGED));
        }
        Some(pack_of(&[security(1, SSID_B, B)]))
    }
    let mut world = asking_for_a_pack(half);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
    assert_eq!(world.asked(BS, "/bs").len(), 1);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
}
