//! The box bootstrapped by a real bootstrap server of Leshan: rows of its BootstrapTest and
//! SecureBootstrapTest that a client can show.

use lamplighter_interop::{agent::Agent, station::SOON};
use serde_json::{Value, json};

use crate::{
    place::{CERTIFIED, KEY, NAMED, OTHER_KEY, Place, certified, hex_of, keyed, x509},
    town::{A, B, Town, by_key, delete, security, server, servers},
};

const UNSECURED: &str = "{ mode = \"none\" }";
const ALLOWED: &str = "allow_unsecured = true";

fn open() -> Value {
    json!({"endpoints": ["coap"]})
}

/// What people are told of the bootstrap.
fn told(agent: &Agent, what: &str) -> Value {
    let events = agent.until(&["events"], SOON, |events| {
        let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().any(|event| event["what"] == what)
    });
    let events = events.as_array().cloned().unwrap_or_default();
    let found = events.into_iter().find(|event| event["what"] == what);
    found.unwrap()
}

#[test]
fn leshan_bootstrap_without_security_gives_an_account_with_a_key() {
    let mut town = Town::of("bs-open", "bs-open", [open(), keyed(), keyed()]);
    town.b.knows(Some(("provider-b", OTHER_KEY)));
    town.give(&town.only_b());
    let agent = town.run(&town.account(UNSECURED, ALLOWED));
    let initiated = town.bootstrap.event("initiated");
    assert_eq!(initiated["endpoint"], "bs-open", "{initiated}");
    town.moves_to_b();
    // A restart needs no bootstrap server.
    drop(agent);
    town.bootstrap.leshan.forget_events();
    let _agent = Agent::rerun(&town.bootstrap.directory, &[]);
    town.b.event("updated");
    town.b.reads();
    assert!(town.bootstrap.leshan.events().is_empty());
}

#[test]
fn leshan_bootstrap_psk_writes_in_every_format() {
    let mut town = Town::keyed("bs-formats");
    let uri = town.b.relay.uri();
    let give = |town: &mut Town, lifetime: u32, format: Option<&str>| {
        let [security, _] = by_key(1, &uri, B, ("provider-b", OTHER_KEY));
        let tasks = [delete("/"), security, server(1, B, lifetime)];
        town.give_in(&tasks, format);
    };
    give(&mut town, 301, None);
    let agent = town.run(&town.secured(""));
    let initiated = town.bootstrap.event("initiated");
    assert!(
        initiated["format"].to_string().contains("SENML_CBOR"),
        "{initiated}"
    );
    town.finished();
    assert_eq!(town.b.registered()["lifetime"], 301);
    let formats = ["TLV", "SENML_JSON", "SENML_CBOR"];
    for (format, lifetime) in formats.into_iter().zip(302..) {
        give(&mut town, lifetime, Some(format));
        assert!(agent.cli(&["bootstrap"]).status.success());
        town.finished();
        assert_eq!(town.b.registered()["lifetime"], lifetime, "{format}");
    }
}

/// Over certificates on all ways; the server is known by its own.
#[test]
fn leshan_bootstrap_x509_gives_an_account_with_certificates() {
    let shown = || certified(&["server.der", "issuer.der"], "authority.der");
    let mut town = Town::of("bs-x509", CERTIFIED, [shown(), shown(), keyed()]);
    town.bootstrap.knows(None);
    town.a.knows(None);
    let account = json!({
        "0": ["string", town.a.relay.uri()], "1": ["boolean", false], "2": ["integer", 2],
        "3": ["opaque", hex_of("client.der")], "4": ["opaque", hex_of("server.der")],
        "5": ["opaque", hex_of("client.key.der")], "10": ["integer", A]});
    town.give(&[delete("/"), security(1, account), server(1, A, 300)]);
    let _agent = town.run(&town.account(&x509("authority.der", NAMED), ""));
    town.finished();
    town.a.registered();
    town.a.reads();
}

#[test]
fn leshan_bootstrap_x509_with_a_foreign_certificate_is_refused_by_name() {
    let shown = certified(&["foreign.der"], "authority.der");
    let mut town = Town::of("bs-foreign", CERTIFIED, [shown, keyed(), keyed()]);
    town.bootstrap.knows(None);
    town.give(&town.only_b());
    let agent = town.run(&town.account(&x509("authority.der", NAMED), ""));
    told(&agent, "bootstrap_failed");
    assert!(town.bootstrap.leshan.events().is_empty());
}

#[test]
fn leshan_bootstrap_psk_with_a_wrong_key_fails_is_told_and_succeeds_when_it_is_right() {
    let mut town = Town::keyed("bs-wrong-key");
    town.bootstrap.knows(Some(("bs", OTHER_KEY)));
    town.give(&town.only_b());
    let agent = town.run(&town.secured(""));
    let failed = told(&agent, "bootstrap_failed");
    assert!(failed["text"].as_str().unwrap().contains("key"), "{failed}");
    assert!(town.bootstrap.leshan.events().is_empty());
    drop(agent);
    town.bootstrap
        .credential("bs", &format!("hex:{OTHER_KEY}\n"));
    let _agent = Agent::rerun(&town.bootstrap.directory, &[]);
    town.finished();
    town.b.registered();
}

#[test]
fn leshan_bootstrap_of_an_endpoint_that_is_not_configured_is_refused_and_asked_again() {
    let mut town = Town::keyed("bs-unknown");
    let agent = town.run(&town.secured(""));
    town.bootstrap.event("not-configured");
    let failed = told(&agent, "bootstrap_failed");
    assert!(
        failed["text"].as_str().unwrap().contains("4.00"),
        "{failed}"
    );
    town.give(&town.only_b());
    town.finished();
    town.b.registered();
}

#[test]
fn leshan_bootstrap_discovers_and_reads_and_does_not_see_keys() {
    let mut town = Town::keyed("bs-discover");
    let discover = |path: &str| json!({"do": "discover", "path": path});
    let read = |path: &str| json!({"do": "read", "path": path});
    let mut tasks = vec![
        discover("/"),
        discover("/3"),
        read("/1"),
        read("/2"),
        delete("/"),
        discover("/0"),
    ];
    tasks.extend(by_key(1, &town.b.relay.uri(), B, ("provider-b", OTHER_KEY)));
    tasks.push(discover("/1"));
    town.give(&tasks);
    let agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    assert!(agent.cli(&["bootstrap"]).status.success());

    let all = town.answered("Discover", "/")["links"].to_string();
    for link in [
        "</>;lwm2m=1.",
        ";ssid=101",
        "</1/0>;ssid=101",
        "</3/0>",
        "uri=",
    ] {
        assert!(all.contains(link), "{link} is not in {all}");
    }
    let device = town.answered("Discover", "/3")["links"].to_string();
    assert!(
        device.contains("</3/0>") && !device.contains("</1"),
        "{device}"
    );
    let servers = town.answered("Read", "/1");
    assert_eq!(servers["content"]["0"]["0"], A, "{servers}");
    assert_eq!(town.answered("Delete", "/")["code"], 202);
    let left = town.answered("Discover", "/0")["links"].to_string();
    assert!(
        left.contains("</0/") && !left.contains("ssid"),
        "its own account only: {left}"
    );
    let given = town.answered("Discover", "/1")["links"].to_string();
    assert!(given.contains("</1/1>;ssid=102"), "{given}");
    town.finished();
    town.b.registered();
}

#[test]
fn leshan_bootstrap_deletes_what_it_names_and_the_device_stays() {
    let mut town = Town::keyed("bs-delete");
    let uri = town.b.relay.uri();
    let mut tasks: Vec<Value> = ["/2", "/3", "/3303", "/0", "/1"].map(delete).into();
    tasks.extend(by_key(7, &uri, B, ("provider-b", OTHER_KEY)));
    town.give(&tasks);
    let agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    assert!(agent.cli(&["bootstrap"]).status.success());
    for path in ["/2", "/3", "/3303", "/0", "/1"] {
        assert_eq!(town.answered("Delete", path)["code"], 202, "{path}");
    }
    town.finished();
    let registered = town.b.registered();
    let links = registered["links"].to_string();
    for link in ["</1/7>", "</3/0>", "</3303/0>"] {
        assert!(links.contains(link), "{link} is not in {links}");
    }
    // Its own account stays, so it can be asked again.
    assert_eq!(servers(&agent), ["server-102"]);
    assert!(agent.cli(&["bootstrap"]).status.success());
    town.finished();
}

/// Finish is answered 4.06, and everything is as it was.
#[test]
fn leshan_bootstrap_that_does_not_hold_together_is_refused_at_finish() {
    let mut town = Town::keyed("bs-inconsistent");
    let agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    let second = json!({
        "0": ["string", "coaps://127.0.0.1:5784"], "1": ["boolean", true], "2": ["integer", 0],
        "3": ["opaque", "6964"], "4": ["opaque", ""], "5": ["opaque", KEY]});
    let [one, other] = by_key(1, &town.b.relay.uri(), B, ("provider-b", OTHER_KEY));
    let unpaired = vec![delete("/1"), delete("/0"), one.clone()];
    let two = vec![one, other, security(2, second)];
    for tasks in [unpaired, two] {
        town.give(&tasks);
        town.bootstrap.leshan.forget_events();
        assert!(agent.cli(&["bootstrap"]).status.success());
        let failed = town.bootstrap.event("failed");
        assert_eq!(failed["cause"], "FINISH_FAILED", "{failed}");
        assert_eq!(servers(&agent), ["main"]);
    }
    told(&agent, "bootstrap_inconsistent");
    assert!(town.b.leshan.events().is_empty());
}

#[test]
fn leshan_bootstrap_is_begun_by_execute_of_another_leshan() {
    let mut town = Town::keyed("bs-trigger");
    town.give(&town.only_b());
    let _agent = town.run(&(town.factory() + &town.secured("")));
    town.a.registered();
    let trigger = json!({"do": "execute", "path": "/1/0/9"});
    let endpoint = town.endpoint.clone();
    assert_eq!(town.a.leshan.ask(&endpoint, trigger)["code"], 204);
    town.finished();
    town.b.registered();
    town.b.reads();
}

#[test]
fn leshan_bootstrap_is_asked_where_a_server_refuses_the_registration() {
    let mut town = Town::keyed("bs-failure");
    town.a.is_of_another("provider-a", KEY);
    town.give(&town.only_b());
    let main = town
        .factory()
        .replace("retry_timer_s = 3", "retry_count = 1\nretry_timer_s = 1");
    let agent = town.run(&(main + &town.secured("")));
    town.finished();
    town.b.registered();
    told(&agent, "registration_failed");
    assert_eq!(servers(&agent), ["server-102"]);
}

/// Two servers, and what each may do.
#[test]
fn leshan_bootstrap_gives_rights_along() {
    let mut town = Town::keyed("bs-rights");
    let rights = |instance: u16, object: u16, entries: Value| {
        json!({"do": "write", "path": format!("/2/{instance}"), "resources": {
            "0": ["integer", object], "1": ["integer", 0],
            "2": ["integer", entries], "3": ["integer", A]}})
    };
    let mut tasks = vec![delete("/")];
    tasks.extend(by_key(1, &town.a.relay.uri(), A, ("provider-a", KEY)));
    tasks.extend(by_key(2, &town.b.relay.uri(), B, ("provider-b", OTHER_KEY)));
    tasks.push(rights(0, 3303, json!({"101": 15, "102": 1})));
    tasks.push(rights(1, 3, json!({"101": 15})));
    town.give(&tasks);
    let _agent = town.run(&town.secured(""));
    assert_eq!(town.answered("Write", "/2/0")["code"], 204);
    town.finished();
    town.a.registered();
    town.b.registered();
    let endpoint = town.endpoint.clone();
    let mut code = |place: fn(&mut Town) -> &mut Place, command: Value| {
        place(&mut town).leshan.ask(&endpoint, command)["code"].clone()
    };
    let read = |path: &str| json!({"do": "read", "path": path});
    let reset = || json!({"do": "execute", "path": "/3303/0/5605"});
    assert_eq!(code(|town| &mut town.a, read("/3303/0/5700")), 205);
    assert_eq!(code(|town| &mut town.b, read("/3303/0/5700")), 205);
    assert_eq!(code(|town| &mut town.b, reset()), 401);
    assert_ne!(code(|town| &mut town.a, reset()), 401);
    assert_eq!(code(|town| &mut town.b, read("/3/0/0")), 401);
    assert_eq!(code(|town| &mut town.a, read("/3/0/0")), 205);
}

/// Accounts without security are for those who allow them.
#[test]
fn leshan_bootstrap_of_an_unsecured_server_is_refused_where_nobody_allows_it() {
    let mut town = Town::of("bs-unsecured", "bs-unsecured", [keyed(), open(), keyed()]);
    town.bootstrap
        .knows(Some(("bs", crate::town::BOOTSTRAP_KEY)));
    let account = json!({"0": ["string", town.a.relay.uri()], "1": ["boolean", false],
        "2": ["integer", 3], "10": ["integer", A]});
    town.give(&[delete("/"), security(1, account), server(1, A, 300)]);
    let agent = town.run(&town.secured(""));
    let failed = town.bootstrap.event("failed");
    assert_eq!(failed["cause"], "FINISH_FAILED", "{failed}");
    drop(agent);
    town.bootstrap.leshan.forget_events();
    let _agent = town.run(&town.secured(ALLOWED));
    town.finished();
    town.a.registered();
}
