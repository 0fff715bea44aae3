//! The ways to the servers: how they are shown and chosen.

use super::*;
use crate::{
    bearer::{self, BearerFacts, BearerId, Choice, Chosen, Meta, Reason},
    fake::{bearer, configured_bearer},
};

/// A box with these bearers in its configuration, the first of them in use.
fn with(names: [&str; 2]) -> Control {
    let cabinet = Control::start();
    let configured = names.map(configured_bearer);
    let board = cabinet.site.status.board();
    board.configure(&configured, now_at(5));
    board.show(BearerFacts {
        status: bearer::Status::Connected,
        reason: None,
        is_current: true,
        is_urgent_only: false,
        last_exchange: Some(now_at(40).stamp()),
        round_trip: Some(Duration::from_micros(41_500)),
        address: Some([192, 0, 2, 7].into()),
        bytes_today: 1200,
        bytes_month: 34_000,
        flaps: 2,
        meta: Meta {
            signal: Some(-97),
            operator: Some("21401".to_owned()),
            ..Meta::default()
        },
        ..bearer(0, names[0])
    });
    cabinet
}

#[tokio::test]
async fn bearers_have_the_shape_that_scripts_rely_on() {
    let cabinet = with(["lan", "cell"]);
    let list = cabinet.get("/api/v1/bearers").await.json();
    let lan = json!({
        "name": "lan", "kind": "ethernet", "interface": "lan0", "status": "connected",
        "reason": null, "since": "1970-01-01T00:00:10.000Z", "since_s": 90.0, "current": true,
        "last_exchange": "1970-01-01T00:00:40.000Z", "last_exchange_s": 60.0,
        "round_trip_ms": 41.5, "address": "192.0.2.7", "metered": false, "bytes_today": 1200,
        "bytes_month": 34000, "flaps": 2, "signal_dbm": -97, "quality": null, "snr_db": null,
        "operator": "21401", "roaming": null, "apn": null, "trouble": null,
        "urgent_only": false,
    });
    assert_eq!(list[0], lan);
    let cell = &list[1];
    assert_eq!(
        (&cell["name"], &cell["status"], &cell["reason"]),
        (&json!("cell"), &json!("disconnected"), &json!("untried"))
    );
    let status = cabinet.get("/api/v1/status").await.json();
    assert_eq!(status["bearers"], list);
    assert_eq!(status["bearer_choice"]["mode"], "auto");
}

#[tokio::test]
async fn bearers_are_chosen_by_name_on_trial_with_who_wants_it() {
    let cabinet = with(["lan", "cell"]);
    for (target, body) in [
        ("/api/v1/bearers/lan/use", ""),
        ("/api/v1/bearers/auto", ""),
        ("/api/v1/offline", ""),
        ("/api/v1/offline", r#"{"for_s":7200}"#),
        ("/api/v1/online", "{}"),
    ] {
        let answer = cabinet.post(target, body).await;
        assert_eq!(answer.status, 200, "{target} {body}: {}", answer.body);
    }
    let asked = cabinet.site.server_actions();
    let wanted = ["use lan", "auto", "offline", "offline for 7200 s", "online"];
    for (asked, wanted) in asked.iter().zip(wanted) {
        let (what, who) = asked.split_once(" by ").unwrap();
        assert_eq!(what, wanted);
        assert!(who.ends_with(" (local)"), "{who}");
    }
    let used = cabinet.post("/api/v1/bearers/lan/use", "").await.json();
    assert!(used["note"].as_str().unwrap().starts_with("on trial"));
}

#[tokio::test]
async fn a_bearer_that_cannot_reach_anybody_is_not_used_by_hand() {
    let cabinet = with(["lan", "cell"]);
    let board = cabinet.site.status.board();
    board.show(BearerFacts {
        reason: Some(Reason::NoLink),
        ..bearer(1, "cell")
    });
    let answer = cabinet.post("/api/v1/bearers/cell/use", "").await;
    assert_eq!(answer.status, 409);
    let answer = answer.json();
    assert_eq!(answer["code"], "4.09");
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains("disconnected (no-link)") && error.contains("on trial"),
        "{error}"
    );
    board.show(BearerFacts {
        reason: Some(Reason::Timeout),
        ..bearer(1, "cell")
    });
    let answer = cabinet.post("/api/v1/bearers/cell/use", "").await;
    assert_eq!(answer.status, 200, "a trial may show that it works");
    let unknown = cabinet.post("/api/v1/bearers/wlan/use", "").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(cabinet.site.server_actions().len(), 1);
}

#[tokio::test]
async fn offline_takes_a_second_to_seven_days() {
    let cabinet = with(["lan", "cell"]);
    for (body, status) in [
        (r#"{"for_s":0}"#, 400),
        (r#"{"for_s":-5}"#, 400),
        (r#"{"for_s":0.5}"#, 400),
        (r#"{"for_s":604801}"#, 400),
        (r#"{"for_s":1e300}"#, 400),
        (r#"{"for_s":"2h"}"#, 400),
        (r#"{"fors":5}"#, 400),
        (r#"{"for_s":1}"#, 200),
        (r#"{"for_s":604800}"#, 200),
        (r#"{"for_s":null}"#, 200),
    ] {
        let answer = cabinet.post("/api/v1/offline", body).await;
        assert_eq!(answer.status, status, "{body}");
    }
}

#[tokio::test]
async fn what_was_chosen_and_for_how_long_stands_in_the_status() {
    let cabinet = with(["lan", "cell"]);
    let board = cabinet.site.status.board();
    board.choose(Chosen {
        choice: Choice::Use(BearerId(1)),
        trial_until: Some(Duration::from_secs(700)),
    });
    let status = cabinet.get("/api/v1/status").await.json();
    let by_hand = json!({ "configured": true, "mode": "use", "bearer": "cell", "ends_in_s": null, "trial_left_s": 600.0 });
    assert_eq!(status["bearer_choice"], by_hand);
    board.choose(Chosen {
        choice: Choice::Offline(Some(Duration::from_secs(160))),
        trial_until: None,
    });
    let status = cabinet.get("/api/v1/status").await.json();
    let offline = json!({ "configured": true, "mode": "offline", "bearer": null, "ends_in_s": 60.0, "trial_left_s": null });
    assert_eq!(status["bearer_choice"], offline);
}

#[tokio::test]
async fn whoever_follows_the_status_is_told_of_a_switch() {
    let cabinet = with(["lan", "cell"]);
    let watch = cabinet.site.status.watch(Vec::new()).unwrap();
    let board = cabinet.site.status.board();
    board.show(BearerFacts {
        is_current: true,
        is_urgent_only: false,
        ..bearer(1, "cell")
    });
    let changes = timeout(Duration::from_secs(10), watch.changed()).await;
    assert!(changes.unwrap().status());
}

#[tokio::test]
async fn every_bearer_has_its_figures_in_the_metrics() {
    let cabinet = with(["lan", "cell"]);
    let text = cabinet.get("/metrics").await.body;
    let lan = r#"{bearer="lan",kind="ethernet"}"#;
    let cell = r#"{bearer="cell",kind="ethernet"}"#;
    for line in [
        format!("lamplighter_bearer_connected{lan} 1"),
        format!("lamplighter_bearer_connected{cell} 0"),
        format!("lamplighter_bearer_current{lan} 1"),
        format!("lamplighter_bearer_round_trip_seconds{lan} 0.0415"),
        format!("lamplighter_bearer_signal_dbm{lan} -97"),
        format!("lamplighter_bearer_bytes_today{lan} 1200"),
        format!("lamplighter_bearer_bytes_month{lan} 34000"),
        format!("lamplighter_bearer_flaps_total{lan} 2"),
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
    let unknown = format!("bearer_round_trip_seconds{cell}");
    assert!(!text.contains(&unknown), "{text}");
}
