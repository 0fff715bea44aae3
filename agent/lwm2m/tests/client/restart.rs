//! What survives the end of the process.

use std::time::Duration;

use lamplighter_coap::{Code, Request, Response};
use lamplighter_lwm2m::{client::ClientConfig, saved::Record};
use lamplighter_model::{Value, device::Answer};

use crate::common::{TEMPERATURE, World, accept_all, config, get, segments, text};

/// The same box some time later, after its process was killed.
fn restarted(world: &World, later: u64) -> World {
    let at = world.now + Duration::from_secs(later);
    let config = ClientConfig {
        seed: 8,
        ..config()
    };
    World::at(at, 1, config, world.records(), accept_all)
}

#[test]
fn a_restart_continues_with_an_update() {
    let world = World::registered();
    let mut again = restarted(&world, 60);
    again.run();
    let (_, first) = &again.requests[0];
    assert_eq!(first.path, segments("/rd/5a3f"));
    assert!(first.queries.is_empty());
}

#[test]
fn a_restart_after_the_lifetime_registers() {
    let world = World::registered();
    let mut again = restarted(&world, 3601);
    again.run();
    assert_eq!(again.requests[0].1.path, ["rd"]);
}

#[test]
fn what_a_server_wrote_wins_over_the_configuration() {
    let mut world = World::registered();
    world.put("/1/0/1", "500");
    world.put("/1/0/2", "9");
    world.put("/3/0/15", "Europe/Paris");
    let mut again = restarted(&world, 700);
    again.run();
    assert!(again.requests[0].1.queries.contains(&"lt=500".to_owned()));
    assert_eq!(text(&again.get("/1/0/2")), "9");
    assert_eq!(text(&again.get("/3/0/15")), "Europe/Paris");
}

#[test]
fn observations_and_attributes_go_on() {
    let mut world = World::registered();
    world.attributes("/3303/0/5700", &["pmin=20"]);
    world.sample(TEMPERATURE, Value::Float(20.0));
    world.request(Request {
        observe: Some(0),
        ..get("/3303/0/5700")
    });
    world.done(Ok(Answer::default()));
    let mut again = restarted(&world, 60);
    // The same server: it knows the token.
    std::mem::swap(&mut again.server, &mut world.server);
    again.run();
    again.sample(TEMPERATURE, Value::Float(22.0));
    again.seconds(25);
    assert_eq!(again.client.servers().next().unwrap().observations, 1);
    let (_, _, last) = again.notifications.last().expect("a notification");
    assert_eq!((last.code, text(last)), (Code::CONTENT, "22"));
}

#[test]
fn the_silence_of_a_disable_survives() {
    let mut world = World::registered();
    world.put("/1/0/5", "600");
    world.execute("/1/0/4", "");
    let mut again = restarted(&world, 100);
    again.seconds(499);
    assert!(again.sent.is_empty() && again.opened.is_empty());
    again.seconds(1 + 150);
    assert_eq!(again.requests[0].1.path, ["rd"]);
}

#[test]
fn records_read_back_as_they_were_written() {
    let mut world = World::registered();
    world.put("/1/0/2", "9");
    world.put("/3/0/15", "Europe/Paris");
    world.attributes("/3303/0/5700", &["pmin=20", "gt=2.5"]);
    world.ask(Request {
        observe: Some(0),
        ..get("/3/0/0")
    });
    assert_eq!(world.records().len(), 5);
    for record in world.records() {
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }
}

#[test]
fn what_an_older_version_kept_is_taken_up() {
    #[derive(serde::Deserialize)]
    struct Golden {
        records: Vec<Record>,
    }
    let golden = include_str!("../../../../tests/vectors/saved/records-1.json");
    let Golden { records } = serde_json::from_str(golden).unwrap();
    assert_eq!(records.len(), 7);
    let mut world = World::at(Duration::from_secs(1100), 1, config(), records, |_| {
        Some(Response::new(Code::CHANGED))
    });
    world.run();
    let (_, update) = &world.requests[0];
    assert_eq!(
        update.path,
        segments("/rd/5a3f"),
        "it goes on with an Update"
    );
    let status = world.client.servers().next().unwrap();
    assert_eq!((status.version, status.observations), ("1.1", 1));
    for (path, value) in [
        ("/1/0/1", "300"),
        ("/1/0/2", "9"),
        ("/3/0/15", "Europe/Paris"),
    ] {
        assert_eq!(text(&world.get(path)), value, "{path}");
    }
}
