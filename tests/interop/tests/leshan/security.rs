//! The secured endpoint of Leshan: keys and certificates, right and wrong, and boxes that move.

use lamplighter_interop::station::SOON;
use serde_json::{Value, json};

use crate::place::{
    APPLICATION, CERTIFIED, HANDSHAKE, KEY, NAMED, OTHER_KEY, Place, WITH_CONNECTION_ID, account,
    certified, keyed, kinds, psk, says, vector, x509,
};

#[test]
fn leshan_psk_a_box_registers_updates_leaves_and_comes_back() {
    let mut place = Place::new("psk-life", keyed());
    place.knows(Some(("life", KEY)));
    let agent = place.run(&place.main(&psk("life")));
    let registered = place.registered();
    place.reads();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    assert_eq!(place.event("updated")["location"], registered["location"]);
    let left = agent.cli(&["server", "deregister", "main"]);
    assert!(left.status.success());
    place.event("deregistered");
    assert!(agent.cli(&["server", "register", "main"]).status.success());
    place.registered();
    place.reads();
    // What is secured is no problem.
    let status = agent.json(&["status"]);
    assert_eq!(status["problems"], json!([]));
}

#[test]
fn leshan_psk_a_wrong_key_is_told_paced_and_costs_its_server_only() {
    let mut place = Place::new("psk-wrong-key", keyed());
    place.knows(Some(("wrong", OTHER_KEY)));
    let mut other = Place::of("psk-right-key", "psk-wrong-key", keyed());
    other.knows(Some(("right", KEY)));
    let accounts =
        place.main(&psk("wrong")) + &account("city", &other.relay.uri(), 102, &psk("right"));
    let agent = place.run(&accounts);
    // The good one does not wait for the bad one.
    other.registered();
    other.reads();
    says(&agent, "main", "most likely the server has another key");
    agent.logged(&["Registration failed", "another key"], SOON);
    let events = agent.json(&["events"]);
    let failed = |event: &Value| event["what"] == "handshake_failed" && event["about"] == "main";
    assert!(events.as_array().unwrap().iter().any(failed), "{events}");
    // Two handshakes at most in the 3 s of the pause: a dozen datagrams, not hundreds.
    assert!(place.relay.sent() < 40, "{}", place.relay.sent());
    assert!(place.leshan.events().is_empty());
    // The right key is there after the next start.
    drop(agent);
    place.credential("psk", &format!("hex:{OTHER_KEY}"));
    let _agent = place.run(&place.main(&psk("wrong")));
    place.registered();
}

#[test]
fn leshan_psk_an_unknown_identity_is_refused_and_told() {
    let mut place = Place::new("psk-identity", keyed());
    place.knows(Some(("known", KEY)));
    let agent = place.run(&place.main(&psk("unknown")));
    // Scandium answers an alert, or nothing, as it is configured.
    agent.logged(&["Registration failed", "ssid=101"], SOON);
    assert!(place.leshan.events().is_empty());
}

#[test]
fn leshan_psk_the_key_of_another_box_is_refused() {
    let mut place = Place::of("psk-endpoint", "psk-owner", keyed());
    place.knows(Some(("owner", KEY)));
    place.endpoint = "psk-thief".to_owned();
    let agent = place.run(&place.main(&psk("owner")));
    // Leshan: an identity belongs to one endpoint.
    says(&agent, "main", "4.0");
    assert!(place.leshan.events().is_empty());
}

#[test]
fn leshan_x509_both_sides_show_certificates() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut place = Place::of("x509-mutual", CERTIFIED, settings);
    place.knows(None);
    let agent = place.run(&place.main(&x509("authority.der", NAMED)));
    place.registered();
    place.reads();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    place.event("updated");
}

#[test]
fn leshan_x509_the_servers_own_certificate_or_its_hash_is_enough() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut place = Place::of("x509-domain", CERTIFIED, settings);
    place.knows(None);
    let security = format!(
        "{{ mode = \"x509\", cert = \"{}\", key = \"credential:x509\", server_cert = \"{}\" }}",
        vector("client.der").display(),
        vector("server.der").display()
    );
    let agent = place.run(&place.main(&security));
    place.registered();
    drop(agent);
    let other = security.replace("server.der", "foreign.der");
    let agent = place.run(&place.main(&other));
    says(&agent, "main", "is not the one of the account");
}

/// A box that must not come through, and what it says.
fn refused(name: &str, chain: &[&str], trust: &str, security: &str, words: &str) {
    let mut place = Place::of(name, CERTIFIED, certified(chain, trust));
    place.knows(None);
    let agent = place.run(&place.main(security));
    says(&agent, "main", words);
    assert!(place.leshan.events().is_empty());
}

#[test]
fn leshan_x509_certificates_of_the_server_that_do_not_convince_are_refused_by_name() {
    let good = &["server.der", "issuer.der"];
    let trusting = x509("authority.der", NAMED);
    refused(
        "x509-expired",
        &["expired.der", "issuer.der"],
        "authority.der",
        &trusting,
        "has expired",
    );
    refused(
        "x509-future",
        &["future.der", "issuer.der"],
        "authority.der",
        &x509(
            "authority.der",
            ", sni = \"server.example\", strict_time = true",
        ),
        "is not valid yet",
    );
    // At 127.0.0.1, which it does not name.
    refused(
        "x509-name",
        good,
        "authority.der",
        &x509("authority.der", ""),
        "is for another name",
    );
    refused(
        "x509-stranger",
        good,
        "authority.der",
        &x509("stranger.der", NAMED),
        "signed by anybody whom we trust",
    );
}

#[test]
fn leshan_x509_a_box_that_the_server_does_not_trust_says_so() {
    refused(
        "x509-untrusted",
        &["server.der", "issuer.der"],
        "stranger.der",
        &x509("authority.der", NAMED),
        "refused by the server",
    );
}

#[test]
fn leshan_dynamic_ip_with_a_connection_id_a_new_address_costs_no_handshake() {
    let mut place = Place::new("psk-moves", keyed());
    place.knows(Some(("moves", KEY)));
    let agent = place.run(&place.main(&psk("moves")));
    let registered = place.registered();
    let (up, down) = (place.relay.sent(), place.relay.answered());
    place.relay.move_agent();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    let updated = place.event("updated");
    assert_eq!(updated["location"], registered["location"]);
    assert_ne!(updated["port"], registered["port"]);
    place.reads();
    let up = kinds(&place.relay.sent_since(up));
    let down = kinds(&place.relay.answered_since(down));
    assert!(up.iter().all(|kind| *kind == WITH_CONNECTION_ID), "{up:?}");
    assert!(!down.contains(&HANDSHAKE), "{down:?}");
}

/// What the box sends of its own accord from a new address is taken as its own as well.
fn tells_from_a_new_address(mut place: Place, security: &str) {
    let agent = place.run(&place.main(security));
    place.registered();
    let endpoint = place.endpoint.clone();
    let observe = json!({"do": "observe", "path": "/3/0/15"});
    assert_eq!(place.leshan.ask(&endpoint, observe)["code"], 205);
    let (up, down) = (place.relay.sent(), place.relay.answered());
    place.relay.move_agent();
    let written = agent.cli(&["write", "/3/0/15", "Europe/Lisbon"]);
    assert!(written.status.success(), "{written:?}");
    let told = place.event("notification");
    assert_eq!(told["content"], "Europe/Lisbon", "{told}");
    place.relay.move_agent();
    assert!(agent.cli(&["send", "/3303/0/5700"]).status.success());
    place.event("send");
    let up = kinds(&place.relay.sent_since(up));
    let down = kinds(&place.relay.answered_since(down));
    assert!(up.iter().all(|kind| *kind == WITH_CONNECTION_ID), "{up:?}");
    assert!(!down.contains(&HANDSHAKE), "{down:?}");
}

#[test]
fn leshan_dynamic_ip_psk_notifications_and_sends_come_from_a_new_address() {
    let mut place = Place::new("psk-tells", keyed());
    place.knows(Some(("tells", KEY)));
    tells_from_a_new_address(place, &psk("tells"));
}

#[test]
fn leshan_dynamic_ip_x509_notifications_and_sends_come_from_a_new_address() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut place = Place::of("x509-tells", CERTIFIED, settings);
    place.knows(None);
    tells_from_a_new_address(place, &x509("authority.der", NAMED));
}

/// Scandium does not know the address, and drops what comes from it: the box notices by the missing
/// answer, and agrees upon a session anew.
#[test]
fn leshan_dynamic_ip_without_a_connection_id_a_new_address_costs_a_handshake() {
    let mut place = Place::new("psk-moves-anew", keyed());
    place.knows(Some(("moves", KEY)));
    let security = psk("moves").replace(" }", ", connection_id = false }");
    let agent = place.run(&place.main(&security));
    let before = place.registered();
    let up = place.relay.sent();
    place.relay.move_agent();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    let after = place.leshan.event(SOON, |event| {
        (event["event"] == "updated" || event["event"] == "registered")
            && event["port"] != before["port"]
    });
    assert_eq!(after["endpoint"], before["endpoint"]);
    place.reads();
    let up = kinds(&place.relay.sent_since(up));
    assert!(up.contains(&HANDSHAKE), "{up:?}");
    assert!(!up.contains(&WITH_CONNECTION_ID), "{up:?}");
}

#[test]
fn leshan_psk_credentials_that_are_removed_end_it_until_they_are_there_again() {
    let mut place = Place::new("psk-removed", keyed());
    place.knows(Some(("removed", KEY)));
    let agent = place.run(&place.main(&psk("removed")));
    place.registered();
    place.forgets();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    agent.logged(&["Registration failed", "ssid=101"], SOON);
    let updated = |event: &Value| event["event"] == "updated" || event["event"] == "registered";
    assert!(!place.leshan.events().iter().any(updated));
    place.knows(Some(("removed", KEY)));
    place.registered();
    place.reads();
}

#[test]
fn leshan_psk_what_is_forged_or_repeated_is_refused_counted_and_told() {
    let mut place = Place::new("psk-forged", keyed());
    place.knows(Some(("forged", KEY)));
    let agent = place.run(&place.main(&psk("forged")));
    place.registered();
    place.reads();
    let records = place.relay.answered_since(0);
    let record = records.iter().rfind(|record| record[0] == APPLICATION);
    let record = record.expect("Leshan has asked something").clone();
    let mut altered = record.clone();
    *altered.last_mut().unwrap() ^= 1;
    // A number that nobody has used yet: otherwise it would be refused as a repetition.
    altered[9] = 0x7f;
    place.relay.forge_down(&record);
    place.relay.forge_down(&altered);
    place.relay.forge_down(b"by your leave");
    // This one the kernel refuses: the socket is for the server only.
    place.relay.forge_down_from_elsewhere(&record);
    let servers = agent.until(&["server", "list"], SOON, |servers| {
        servers[0]["intrusions"].as_u64() >= Some(3)
    });
    assert_eq!(servers[0]["intrusions"], 3, "{servers}");
    agent.logged(&["Datagrams were not the server's"], SOON);
    let events = agent.json(&["events"]).to_string();
    assert!(events.contains("intruded"), "{events}");
    // The session goes on as if nothing had happened.
    place.reads();
    assert_eq!(agent.json(&["server", "list"])[0]["state"], "registered");
}

#[test]
fn several_secured_servers_are_told_apart_by_their_sessions() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut owner = Place::of("several-owner", CERTIFIED, settings);
    owner.knows(None);
    let mut reader = Place::of("several-reader", CERTIFIED, keyed());
    reader.knows(Some(("reader", KEY)));
    let accounts = owner.main(&x509("authority.der", NAMED))
        + &account("reader", &reader.relay.uri(), 102, &psk("reader"));
    let agent = owner.run(&accounts);
    owner.registered();
    reader.registered();
    agent.registered_with(&["main", "reader"], SOON);
    let reset = |place: &mut Place| {
        let command = json!({"do": "execute", "path": "/3303/0/5605"});
        place.leshan.ask(CERTIFIED, command)["code"].clone()
    };
    // May read, and no more.
    reader.reads();
    assert_eq!(reset(&mut reader), 401);
    assert_ne!(reset(&mut owner), 401);
}
