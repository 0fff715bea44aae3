//! Servers whose accounts a bootstrap server has not written stay as they are (design, 6: suspension).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{boundary::Command, server::ServerState};

use crate::world::*;

fn add_b(world: &mut World) {
    world.command(Command::Bootstrap);
    for request in [security(2, SSID_B, B), server(1, SSID_B, 600), finish()] {
        assert!(world.ask(BS, request).code.is_success());
    }
}

/// 5000 seconds of it.
fn silence(world: &mut World) {
    let lasts = Request {
        content_format: Some(0),
        payload: b"5000".to_vec(),
        ..request(Method::Put, "/1/0/5")
    };
    assert_eq!(world.ask(A, lasts).code, Code::CHANGED);
    let disable = request(Method::Post, "/1/0/4");
    assert_eq!(world.ask(A, disable).code, Code::CHANGED);
}

#[test]
fn a_server_that_was_not_written_keeps_registration_account_and_observations() {
    for script in [accept, mute] {
        let mut world = at_a();
        world.put_lifetime(A, "500");
        let observe = Request {
            observe: Some(0),
            ..request(Method::Get, "/3303")
        };
        assert_eq!(world.ask(A, observe).code, Code::CONTENT);
        world.script(B, script);
        add_b(&mut world);
        // 1/x/12 is about the box.
        let told = world.peer(A).told;
        let bootstrapped = request(Method::Get, "/1/0/12");
        assert_eq!(world.ask(A, bootstrapped).code, Code::CONTENT);
        world.wait(5);
        world.sample(20.0);
        assert_eq!(world.peer(A).told, told + 1, "the observation goes on");
        // What was given comes, or is taken back after its time.
        world.wait(2000);
        let methods = world.asked(A, "/rd/1");
        let is_update = |request: &&Request| request.method == Method::Post;
        assert!(methods.iter().all(is_update), "never left");
        assert_eq!(world.asked(A, "/rd").len(), 1, "never registered anew");
        let answer = world.ask(A, request(Method::Get, "/1/0/1"));
        assert_eq!(answer.payload, b"500");
        let told = world.peer(A).told;
        world.sample(21.0);
        assert_eq!(world.peer(A).told, told + 1);
    }
}

#[test]
fn a_server_that_has_asked_for_silence_has_it_whatever_a_bootstrap_does() {
    for script in [accept, mute] {
        for restarts in [false, true] {
            let mut world = at_a();
            let silent_from = world.now.as_secs();
            silence(&mut world);
            world.wait(10);
            let before = world.peer(A).datagrams.len();
            world.script(B, script);
            add_b(&mut world);
            if restarts {
                world = world.restarted(owned(), 5);
            }
            // Beyond the end of the trial.
            world.wait(silent_from + 4999 - world.now.as_secs());
            assert_eq!(world.peer(A).datagrams.len(), before, "not a packet");
            world.wait(1300);
            let states = world.states();
            assert!(states.contains(&(SSID_A, ServerState::Registered)));
        }
    }
}

/// Whoever is taken away while it has asked for silence, and comes back, is still not spoken to.
#[test]
fn a_silence_comes_back_with_its_server() {
    let mut world = at_a();
    let silent_from = world.now.as_secs();
    silence(&mut world);
    world.wait(10);
    let before = world.peer(A).datagrams.len();
    world.script(B, mute);
    world.command(Command::Bootstrap);
    for request in move_to_b() {
        assert!(world.ask(BS, request).code.is_success());
    }
    world.wait(2000);
    assert_eq!(world.states(), [(SSID_A, ServerState::Disabled)]);
    world.wait(silent_from + 4999 - world.now.as_secs());
    assert_eq!(world.peer(A).datagrams.len(), before);
    world.wait(1300);
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
}
