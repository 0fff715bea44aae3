//! Use case B.3 case 5 (lwm2m/00): a contract ends, and another provider takes the box over, by
//! bootstrap and without anybody on the spot. There is no moment at which the box has no provider.

use std::{fs, net::UdpSocket, path::Path};

use lamplighter_interop::{agent::Agent, station::SOON};
use serde_json::{Value, json};

use crate::{
    b3_4_user_change::until,
    place::{KEY, OTHER_KEY, Place},
    town::{A, B, Town, by_key, delete, servers},
};

/// The provider before: by the configuration, or given by a bootstrap as well.
const OLD: &str = "main";
const NEW: &str = "server-102";

fn moves(town: &mut Town) {
    let tasks = town.only_b();
    town.give(&tasks);
}

/// Waits until people were told this.
fn told(agent: &Agent, what: &str) {
    agent.until(&["events"], SOON, |events| {
        let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().any(|event| event["what"] == what)
    });
}

fn ask(place: &mut Place, command: Value) -> Value {
    let endpoint = place.endpoint.clone();
    place.leshan.ask(&endpoint, command)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn b3_5_provider_change_the_new_provider_has_the_box_and_the_old_one_nothing() {
    let mut town = Town::keyed("b35-change");
    // The old provider came by bootstrap, too.
    let mut tasks = vec![delete("/")];
    tasks.extend(by_key(1, &town.a.relay.uri(), A, ("provider-a", KEY)));
    town.give(&tasks);
    let agent = town.run(&town.secured(""));
    town.finished();
    town.a.registered();
    told(&agent, "bootstrap_confirmed");
    for path in ["/3303/0/5700", "/3/0/13"] {
        let observe = json!({"do": "observe", "path": path});
        assert_eq!(ask(&mut town.a, observe)["code"], 205, "{path}");
    }
    let state = agent.state_dir.clone();

    moves(&mut town);
    let trigger = json!({"do": "execute", "path": "/1/1/9"});
    assert_eq!(ask(&mut town.a, trigger)["code"], 204);
    town.moves_to_b();
    told(&agent, "bootstrap_confirmed");
    assert_eq!(servers(&agent), [NEW]);
    until("the end of the former queue", || {
        !names(&state).contains(&"queue-0-101.tail".to_owned())
    });
    // He is told nothing more, and what he observed is not told to the new one either.
    let before = town.a.relay.sent();
    town.a.leshan.forget_events();
    town.b.leshan.forget_events();
    assert!(agent.cli(&["server", "refresh", NEW]).status.success());
    town.b.event("updated");
    town.b.reads();
    assert_eq!(town.a.relay.sent(), before);
    let events = town.b.leshan.events();
    assert!(events.is_empty(), "{events:?}");
}

/// What was stored for the old provider is gone with him; until the new one has taken the box it stays.
#[test]
fn b3_5_provider_change_what_was_stored_for_the_old_provider_is_gone() {
    let mut town = Town::keyed("b35-stored");
    let agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    let observe = json!({"do": "observe", "path": "/3/0/15", "format": "SENML_CBOR"});
    assert_eq!(ask(&mut town.a, observe)["code"], 205);
    let state = agent.state_dir.clone();
    town.a.relay.cut();
    // A time zone is told in words; it is also what the box has, and so has to change again.
    for zone in ["Swordfish/One", "Swordfish/Two", "Etc/UTC"] {
        let written = agent.cli(&["write", "/3/0/15", zone]);
        assert!(written.status.success(), "{written:?}");
    }
    let queue = state.join("queue-0-101.tail");
    let stores = |words: &str| {
        let content = fs::read(&queue).unwrap_or_default();
        content
            .windows(words.len())
            .any(|part| part == words.as_bytes())
    };
    until("the stored value", || stores("Swordfish/Two"));
    moves(&mut town);
    assert!(agent.cli(&["bootstrap"]).status.success());
    town.finished();
    town.b.registered();
    until("the end of the queue", || !queue.exists());
    assert_eq!(servers(&agent), [NEW]);
}

/// Cuts the line behind so many datagrams of a server, kills the box, and looks what it has then: the
/// old provider or the new one, never both or none; and it ends at the new.
fn killed(town: &mut Town, behind: usize, of_bootstrap: bool) -> bool {
    let state = town.bootstrap.directory.join("state");
    let _ = fs::remove_dir_all(&state);
    let mut agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    agent.registered_with(&[OLD], SOON);
    let relay = if of_bootstrap {
        &town.bootstrap.relay
    } else {
        &town.b.relay
    };
    let (sent, answered) = (relay.sent(), relay.answered());
    relay.cut_after(behind);
    assert!(agent.cli(&["bootstrap"]).status.success());
    // It is killed while it deals with the last, or just after.
    until("the last datagram", || {
        relay.answered() >= answered + behind && relay.sent() > sent
    });
    agent.lines.signal("KILL");
    relay.mend();
    let mut agent = Agent::rerun(&town.bootstrap.directory, &[]);
    let after = servers(&agent);
    let is_new = after == [NEW];
    assert!(is_new || after == [OLD], "behind {behind}: {after:?}");
    if !is_new {
        agent.registered_with(&[OLD], SOON);
        assert!(agent.cli(&["bootstrap"]).status.success());
    }
    agent.registered_with(&[NEW], SOON);
    // The kill may have taken the event along, not what it tells of.
    agent.until(&["status"], SOON, |status| {
        status["bootstrap"]["state"] == "idle"
    });
    assert_eq!(servers(&agent), [NEW]);
    agent.lines.signal("KILL");
    town.bootstrap.leshan.forget_events();
    town.a.leshan.forget_events();
    town.b.leshan.forget_events();
    is_new
}

#[test]
fn b3_5_provider_change_survives_kill_9_behind_every_datagram_of_the_bootstrap() {
    let mut town = Town::keyed("b35-kill");
    moves(&mut town);
    // How many datagrams it takes, handshake and all.
    let before = town.bootstrap.relay.answered();
    let agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    assert!(agent.cli(&["bootstrap"]).status.success());
    town.finished();
    agent.registered_with(&[NEW], SOON);
    let all = town.bootstrap.relay.answered() - before;
    drop(agent);
    town.a.leshan.forget_events();
    let ends: Vec<bool> = (1..=all)
        .map(|behind| killed(&mut town, behind, true))
        .collect();
    assert!(!ends[0], "nothing was written yet: {ends:?}");
}

#[test]
fn b3_5_provider_change_survives_kill_9_on_the_way_to_the_new_provider() {
    let mut town = Town::keyed("b35-kill-later");
    moves(&mut town);
    for behind in 0..4 {
        assert!(killed(&mut town, behind, false), "{behind}");
    }
}

/// The box comes back to the old provider, who manages it as before.
fn comes_back(town: &mut Town, agent: &Agent) {
    town.finished();
    told(agent, "bootstrap_rolled_back");
    town.a.registered();
    town.a.reads();
    assert_eq!(servers(agent), [OLD]);
    assert!(town.b.leshan.events().is_empty());
}

fn begun(town: &mut Town, tasks: &[Value]) -> Agent {
    town.give(tasks);
    let agent = town.run(&(town.factory() + &town.secured("rollback_s = 5")));
    town.a.registered();
    assert!(agent.cli(&["bootstrap"]).status.success());
    agent
}

#[test]
fn b3_5_provider_change_a_new_provider_who_refuses_does_not_get_the_box() {
    let mut town = Town::keyed("b35-refuses");
    town.b.is_of_another("provider-b", OTHER_KEY);
    let tasks = town.only_b();
    let agent = begun(&mut town, &tasks);
    comes_back(&mut town, &agent);
}

#[test]
fn b3_5_provider_change_a_new_provider_with_another_key_does_not_get_the_box() {
    let mut town = Town::keyed("b35-key");
    town.b.knows(Some(("provider-b", KEY)));
    let tasks = town.only_b();
    let agent = begun(&mut town, &tasks);
    comes_back(&mut town, &agent);
}

#[test]
fn b3_5_provider_change_a_new_provider_who_never_answers_does_not_get_the_box() {
    let mut town = Town::keyed("b35-silent");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri = format!("coaps://{}", silent.local_addr().unwrap());
    let mut tasks = vec![delete("/")];
    tasks.extend(by_key(1, &uri, B, ("provider-b", OTHER_KEY)));
    let mut agent = begun(&mut town, &tasks);
    town.finished();
    // A kill in between costs neither the way back nor its time.
    agent.lines.signal("KILL");
    let agent = Agent::rerun(&town.bootstrap.directory, &[]);
    told(&agent, "bootstrap_rolled_back");
    town.a.registered();
    town.a.reads();
    assert_eq!(servers(&agent), [OLD]);
}
