//! The calls against a scripted event loop, over a real socket.

use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Event, LocalOperation},
    reject::Reject,
    server::Cause,
};
use lamplighter_model::{
    Quality, Ssid, Value,
    device::{AdapterId, LinkState},
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
    time::timeout,
};

use super::control::ControlSocket;
use crate::socket::SocketError;
use crate::{
    events::{Class, News},
    fake::{Answer, Site, now_at},
};

#[tokio::test]
async fn status_has_the_shape_that_scripts_rely_on() {
    let cabinet = Control::start();
    cabinet.site.status.on_event(
        &Event::Registered {
            ssid: Ssid(101),
            version: "1.1",
        },
        now_at(10),
    );
    cabinet
        .site
        .status
        .on_link(AdapterId(0), LinkState::Online, "", now_at(11));
    let status = cabinet.get("/api/v1/status").await.json();
    assert_eq!(status["servers"][0]["name"], "main");
    assert_eq!(status["servers"][0]["state"], "registered");
    assert_eq!(status["servers"][0]["since"], "1970-01-01T00:00:10.000Z");
    assert_eq!(status["devices"][0]["name"], "ahu1");
    assert_eq!(status["devices"][0]["state"], "online");
    assert_eq!(status["problems"], json!([]));
    assert_eq!(status["endpoint"], "cab-17");
}

#[tokio::test]
async fn servers_are_shown_with_what_they_may_do() {
    let cabinet = Control::start();
    let only = cabinet.get("/api/v1/servers").await.json();
    let all = json!({ "*": "RWEDC" });
    assert_eq!(
        (&only[0]["owner"], &only[0]["rights"]),
        (&json!(true), &all)
    );
    let server = |name: &str, ssid, owner, rights: &[(&str, &str)]| {
        let rights = rights
            .iter()
            .map(|(pattern, rights)| (pattern.parse().unwrap(), rights.parse().unwrap()));
        crate::status::ServerEntry {
            name: name.to_owned(),
            ssid: Ssid(ssid),
            uri: "coap://a".to_owned(),
            rights: lamplighter_lwm2m::access::Grants {
                owner,
                rights: rights.collect(),
            },
        }
    };
    let servers = vec![
        server("a", 1, true, &[("*", "R")]),
        server("b", 2, false, &[("/3416", "EWR"), ("*", "R")]),
        server("c", 3, false, &[]),
    ];
    cabinet.site.status.on_servers(servers, now_at(1));
    let three = cabinet.get("/api/v1/servers").await.json();
    let shown = three.as_array().unwrap().iter();
    let shown: Vec<_> = shown
        .map(|server| (&server["owner"], &server["rights"]))
        .collect();
    let (some, none) = (json!({ "*": "R", "/3416": "RWE" }), json!({}));
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(shown, [(&yes, &all), (&no, &some), (&no, &none)]);
}

#[tokio::test]
async fn the_history_of_a_point_is_told_in_parts() {
    let directory = crate::fake::directory("api-history");
    let clock = crate::clock::Clock::of(lamplighter_model::BootId(1));
    let config = crate::store::StoreConfig::default();
    let (store, _) = crate::store::Store::open(&directory, config, clock);
    let mut site = Site::start();
    site.history = Some(store.history());
    let cabinet = Control::of(site);
    let point = lamplighter_model::ResourceAddress::gateway(3308, 0, 5900);
    let kept = |second: u64| lamplighter_lwm2m::boundary::Kept {
        number: second * 1000,
        sample: lamplighter_model::Sample {
            source_time: now_at(second).unix,
            ..lamplighter_model::Sample::good(point, Value::Float(21.5), now_at(1).stamp())
        },
    };
    store.remember((100..110).map(kept).collect());
    let all = cabinet
        .get("/api/v1/history?path=ahu1.setpoint")
        .await
        .json();
    assert_eq!(
        all["samples"][0],
        json!({
            "path": "/3308/0/5900", "name": "ahu1.setpoint", "time": "1970-01-01T00:01:40.000Z",
            "value": 21.5, "unit": "Cel", "quality": "good",
        })
    );
    assert_eq!(all["samples"].as_array().unwrap().len(), 10);
    assert_eq!(all["next"], Json::Null);
    let part = "/api/v1/history?path=/3308/0&from=1970-01-01T00:01:42Z&to=107&limit=4";
    let first = cabinet.get(part).await.json();
    let times = |answer: &Json| -> Vec<String> {
        let samples = answer["samples"].as_array().unwrap().iter();
        let seconds = |sample: &Json| sample["time"].as_str().unwrap()[17..19].to_owned();
        samples.map(seconds).collect()
    };
    assert_eq!(times(&first), ["42", "43", "44", "45"]);
    let rest = format!("{part}&next={}", first["next"]);
    assert_eq!(times(&cabinet.get(&rest).await.json()), ["46", "47"]);
    for (query, status) in [
        ("path=nothing", 404),
        ("path=/9999/0/1", 404),
        ("path=/", 404),
        ("", 400),
        ("path=/3308/0/5900&from=yesterday", 400),
        ("path=/3308/0/5900&from=200&to=100", 400),
        ("path=/3308/0/5900&limit=0", 400),
        ("path=/3308/0/5900&limit=10001", 400),
        ("path=/3308/0/5900&limit=x", 400),
        ("path=/3308/0/5900&next=-1", 400),
        ("path=/3308/0/5900&since=1", 400),
    ] {
        let answer = cabinet.get(&format!("/api/v1/history?{query}")).await;
        assert_eq!(answer.status, status, "{query}");
    }
    store.close();
    let answer = cabinet.get("/api/v1/history?path=/3308/0/5900").await;
    assert_eq!(answer.status, 503, "the store has ended");
}

#[tokio::test]
async fn events_are_told_in_order_and_followed() {
    let cabinet = Control::start();
    for what in ["started", "registered", "refused"] {
        cabinet.site.events.tell(News::new(Class::System, what));
    }
    let words = |events: &Json| -> Vec<String> {
        let events = events.as_array().unwrap().iter();
        events
            .map(|event| event["what"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = cabinet.get("/api/v1/events").await.json();
    assert_eq!(words(&all), ["started", "registered", "refused"]);
    assert_eq!(
        all[0],
        json!({
            "id": 1, "time": "1970-01-01T00:01:40.000Z", "class": "system", "what": "started",
            "about": "", "by": "", "text": "",
        })
    );
    let newest = cabinet.get("/api/v1/events?limit=1").await.json();
    assert_eq!(words(&newest), ["refused"]);
    let behind = cabinet.get("/api/v1/events?since=1").await.json();
    assert_eq!(words(&behind), ["registered", "refused"]);
    assert_eq!(cabinet.get("/api/v1/events?from=1").await.status, 400);

    let mut followed = cabinet.open("/api/v1/events/follow?since=2").await;
    assert_eq!(followed.event().await["what"], "refused");
    cabinet
        .site
        .events
        .tell(News::new(Class::Event, "switched"));
    let next = followed.event().await;
    assert_eq!(
        (&next["what"], &next["id"]),
        (&json!("switched"), &json!(4))
    );
}

#[tokio::test]
async fn failures_are_listed_as_problems_until_they_end() {
    let cabinet = Control::start();
    let failed = Event::RegistrationFailed {
        cause: Cause::Silence,
        ssid: Ssid(101),
        reason: "no answer".to_owned(),
        retry_in: Duration::from_secs(60),
    };
    cabinet.site.status.on_event(&failed, now_at(1));
    cabinet
        .site
        .status
        .on_link(AdapterId(0), LinkState::Offline, "port gone", now_at(2));
    cabinet
        .site
        .status
        .problem("page", "port 8080 is in use", now_at(3));
    let status = cabinet.get("/api/v1/status").await.json();
    let about = |status: &Json| -> Vec<String> {
        let list = status["problems"].as_array().unwrap().iter();
        list.map(|problem| format!("{}: {}", problem["about"], problem["text"]).replace('"', ""))
            .collect()
    };
    assert_eq!(
        about(&status),
        [
            "page: port 8080 is in use",
            "server main: no answer",
            "device ahu1: port gone"
        ]
    );
    assert_eq!(status["servers"][0]["state"], "offline");

    cabinet
        .site
        .status
        .on_event(&Event::Updated(Ssid(101)), now_at(4));
    cabinet
        .site
        .status
        .on_link(AdapterId(0), LinkState::Online, "", now_at(5));
    cabinet.site.status.solved("page");
    let status = cabinet.get("/api/v1/status").await.json();
    assert_eq!(about(&status), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_does_not_answer_has_a_reason_before_it_is_given_up() {
    let cabinet = Control::start();
    let unanswered = Event::Unanswered {
        ssid: Ssid(101),
        reason: "nobody listens at that address",
    };
    cabinet.site.status.on_event(&unanswered, now_at(1));
    let status = cabinet.get("/api/v1/status").await.json();
    assert_eq!(status["servers"][0]["state"], "registering");
    assert_eq!(
        status["servers"][0]["last_error"],
        "nobody listens at that address"
    );
    assert_eq!(status["problems"][0]["about"], "server main");
    let answered = Event::Answered(Ssid(101));
    cabinet.site.status.on_event(&answered, now_at(2));
    let status = cabinet.get("/api/v1/status").await.json();
    assert_eq!(status["servers"][0]["last_error"], Json::Null);
    assert_eq!(status["problems"], json!([]));
}

#[tokio::test]
async fn why_says_what_a_name_is_that_is_no_output() {
    let cabinet = Control::start();
    for (name, words) in [
        ("ahu1.supply_air", "is a value, not an output"),
        ("main_street", "ask for a member: lamps.l1, lamps.l2"),
        ("nothing", "no output nothing"),
    ] {
        let answer = cabinet.get(&format!("/api/v1/why?name={name}")).await;
        let error = answer.json()["error"].to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_resource_is_read_by_path_or_name_as_one_object() {
    let cabinet = Control::start();
    cabinet.site.sample("/3303/0/5700", Value::Float(21.5), 5);
    for target in ["3303/0/5700", "ahu1.supply_air"] {
        let read = cabinet
            .get(&format!("/api/v1/objects/{target}"))
            .await
            .json();
        assert_eq!(read["path"], "/3303/0/5700");
        assert_eq!(read["name"], "ahu1.supply_air");
        assert_eq!(read["value"], 21.5);
        assert_eq!(read["unit"], "Cel");
        assert_eq!(read["time"], "1970-01-01T00:00:05.000Z");
        assert_eq!(read["quality"], "good");
        assert_eq!(read["device"], "ahu1");
    }
}

#[tokio::test]
async fn a_shorter_path_is_read_as_a_list() {
    let cabinet = Control::start();
    cabinet.site.sample("/3303/0/5700", Value::Float(21.5), 5);
    cabinet.site.sample("/3308/0/5900", Value::Float(20.0), 5);
    for (target, count) in [("", 2), ("3303", 1), ("3303/0", 1)] {
        let list = cabinet
            .get(&format!("/api/v1/objects/{target}"))
            .await
            .json();
        assert_eq!(list.as_array().unwrap().len(), count, "{target}");
    }
}

#[tokio::test]
async fn the_last_value_of_a_lost_device_is_shown_as_stale() {
    let cabinet = Control::start();
    cabinet.site.sample("/3303/0/5700", Value::Float(21.5), 5);
    cabinet.site.reject(Reject {
        code: Code::GATEWAY_TIMEOUT,
        detail: "the device cannot be reached".to_owned(),
        max_age: None,
    });
    let read = cabinet.get("/api/v1/objects/ahu1.supply_air").await.json();
    assert_eq!(read["value"], 21.5);
    assert_eq!(read["quality"], "stale");
    assert_eq!(read["error"], "the device cannot be reached");

    let never = cabinet.get("/api/v1/objects/ahu1.setpoint").await;
    assert_eq!(
        (never.status, never.json()["code"].as_str()),
        (504, Some("5.04"))
    );
}

#[tokio::test]
async fn an_old_value_and_one_of_a_lost_device_are_stale_points() {
    let cabinet = Control::start();
    cabinet.site.sample("/3303/0/5700", Value::Float(21.5), 5);
    let quality = |points: Json| points[0]["quality"].clone();
    assert_eq!(quality(cabinet.get("/api/v1/points").await.json()), "good");
    cabinet.site.clock_s.store(500, Ordering::Relaxed);
    assert_eq!(quality(cabinet.get("/api/v1/points").await.json()), "stale");
    cabinet.site.sample("/3303/0/5700", Value::Float(21.5), 499);
    assert_eq!(quality(cabinet.get("/api/v1/points").await.json()), "good");
    cabinet
        .site
        .status
        .on_link(AdapterId(0), LinkState::Offline, "gone", now_at(500));
    assert_eq!(quality(cabinet.get("/api/v1/points").await.json()), "stale");
}

#[tokio::test]
async fn a_write_becomes_the_definitions_type_and_carries_who_and_how_long() {
    let cabinet = Control::start();
    let answer = cabinet
        .put(
            "/api/v1/objects/ahu1.setpoint",
            r#"{"value":21,"for_s":7200}"#,
        )
        .await;
    assert_eq!(
        (answer.status, answer.json()["path"].as_str()),
        (200, Some("/3308/0/5900"))
    );
    assert_eq!(
        cabinet
            .put("/api/v1/objects/main_street", r#"{"value":true}"#)
            .await
            .status,
        200
    );
    let done = cabinet.site.done();
    let LocalOperation::Write { value, hold, .. } = &done[0].operation else {
        panic!("{done:?}")
    };
    assert_eq!(
        (value, *hold),
        (&Value::Float(21.0), Some(Duration::from_secs(7200)))
    );
    assert!(done[0].user.ends_with(" (local)"), "{}", done[0].user);
    let LocalOperation::Write { path, value, .. } = &done[1].operation else {
        panic!("{done:?}")
    };
    assert_eq!(
        (path.to_string().as_str(), value),
        ("/3416/60000/1", &Value::Integer(100))
    );
}

#[tokio::test]
async fn execute_takes_arguments_or_nothing() {
    let cabinet = Control::start();
    assert_eq!(cabinet.post("/api/v1/objects/3/0/4", "").await.status, 200);
    assert_eq!(
        cabinet
            .post("/api/v1/objects/3/0/4", r#"{"args":"1='x'"}"#)
            .await
            .status,
        200
    );
    let args: Vec<_> = cabinet
        .site
        .done()
        .iter()
        .map(|request| format!("{:?}", request.operation))
        .collect();
    assert!(
        args[0].contains("args: []") && args[1].contains("49, 61"),
        "{args:?}"
    );
}

#[tokio::test]
async fn refusals_carry_status_words_and_the_lwm2m_code() {
    let cabinet = Control::start();
    for (reject, status, code) in [
        (
            Reject {
                code: Code::METHOD_NOT_ALLOWED,
                detail: "not writable".to_owned(),
                max_age: None,
            },
            405,
            "4.05",
        ),
        (
            Reject {
                code: Code::UNAUTHORIZED,
                detail: "not yours".to_owned(),
                max_age: None,
            },
            403,
            "4.01",
        ),
        (
            Reject {
                code: Code::SERVICE_UNAVAILABLE,
                detail: "locked".to_owned(),
                max_age: Some(Duration::from_millis(1500)),
            },
            503,
            "5.03",
        ),
    ] {
        let words = reject.detail.clone();
        cabinet.site.reject(reject);
        let answer = cabinet
            .put("/api/v1/objects/3308/0/5900", r#"{"value":21}"#)
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json(), json!({ "error": words, "code": code }));
        assert_eq!(answer.head.contains("retry-after: 2"), code == "5.03");
    }
}

#[tokio::test]
async fn wrong_requests_are_refused_before_the_loop_hears_of_them() {
    let cabinet = Control::start();
    for (method, target, body, status) in [
        ("PUT", "/api/v1/objects/ahu1.setpoint", "{", 400),
        (
            "PUT",
            "/api/v1/objects/ahu1.setpoint",
            r#"{"value":"warm"}"#,
            400,
        ),
        (
            "PUT",
            "/api/v1/objects/ahu1.setpoint",
            r#"{"value":1,"fors":2}"#,
            400,
        ),
        (
            "PUT",
            "/api/v1/objects/ahu1.setpoint",
            r#"{"value":1,"for_s":-2}"#,
            400,
        ),
        ("PUT", "/api/v1/objects/3308/0", r#"{"value":1}"#, 405),
        ("PUT", "/api/v1/objects/nothing", r#"{"value":1}"#, 404),
        ("GET", "/api/v1/objects/1/2/3/4/5", "", 404),
        ("GET", "/api/v1/objects/3?x", "", 400),
        ("DELETE", "/api/v1/objects/3/0/1", "", 405),
        ("GET", "/api/v1/nothing", "", 404),
        ("GET", "/api/v1/history?path=/3308/0/5900", "", 404),
        ("POST", "/api/v1/bearers/lan/use", "", 501),
        ("POST", "/api/v1/offline", "", 501),
        ("POST", "/api/v1/lock", "{}", 400),
        ("POST", "/api/v1/lock", r#"{"name":"nothing"}"#, 404),
        ("GET", "/api/v1/demo/clients", "", 404),
        ("POST", "/api/v1/servers/other/register", "", 404),
        ("POST", "/api/v1/servers/main/destroy", "", 404),
    ] {
        let answer = cabinet.call(method, target, body).await;
        assert_eq!(answer.status, status, "{method} {target} {body}");
        assert!(answer.json()["error"].is_string(), "{method} {target}");
    }
    assert!(cabinet.site.done().is_empty());
    let large = format!(r#"{{"value":"{}"}}"#, "x".repeat(100_000));
    assert_eq!(
        cabinet
            .put("/api/v1/objects/ahu1.setpoint", &large)
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn servers_are_commanded_by_name() {
    let cabinet = Control::start();
    for action in ["register", "refresh", "deregister"] {
        assert_eq!(
            cabinet
                .post(&format!("/api/v1/servers/main/{action}"), "")
                .await
                .status,
            200
        );
    }
    assert_eq!(
        cabinet.site.server_actions(),
        ["Register main", "Refresh main", "Deregister main"]
    );
}

#[tokio::test]
async fn the_bootstrap_server_is_asked_where_there_is_one() {
    let cabinet = Control::start();
    assert_eq!(cabinet.post("/api/v1/bootstrap", "").await.status, 200);
    let actions = cabinet.site.server_actions();
    assert!(actions[0].starts_with("Bootstrap by "), "{actions:?}");
    let nobody = Reject::new(Code::NOT_FOUND, "there is no account of a bootstrap server");
    cabinet.site.reject(nobody);
    assert_eq!(cabinet.post("/api/v1/bootstrap", "").await.status, 404);
}

#[tokio::test]
async fn values_are_sent_to_one_server_or_to_all() {
    let cabinet = Control::start();
    for (body, status) in [
        (r#"{"paths":["ahu1.setpoint","/3/0/9"]}"#, 200),
        (r#"{"paths":["/3303"],"server":"main"}"#, 200),
        (r#"{"paths":["/3303"],"server":"other"}"#, 404),
        (r#"{"paths":["nothing"]}"#, 404),
        (r#"{"paths":[]}"#, 400),
        (r#"{"path":"/3303"}"#, 400),
    ] {
        let answer = cabinet.post("/api/v1/send", body).await;
        assert_eq!(answer.status, status, "{body}");
    }
    let sent = cabinet.site.server_actions();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(
        sent[0].starts_with("Send /3308/0/5900 /3/0/9 to all by "),
        "{sent:?}"
    );
    assert!(sent[1].starts_with("Send /3303 to main by "), "{sent:?}");
}

#[tokio::test]
async fn locks_go_to_the_loop_with_who_wants_them() {
    let cabinet = Control::start();
    for (target, body) in [
        ("/api/v1/lock", r#"{"name":"all"}"#),
        ("/api/v1/unlock", ""),
    ] {
        let answer = cabinet.call("POST", target, body).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.json()["result"], "done");
    }
    let asked = cabinet.site.server_actions();
    assert!(
        asked[0].starts_with("Lock { what: \"all\", by: Local("),
        "{asked:?}"
    );
    assert!(
        asked[1].starts_with("Unlock { what: None, by: Local("),
        "{asked:?}"
    );
}

#[tokio::test]
async fn why_is_answered_for_outputs_only() {
    let cabinet = Control::start();
    let why = cabinet.get("/api/v1/why?name=lamps.l1").await.json();
    assert_eq!(why["slots"][0]["by"], "server main");
    assert_eq!(why["slots"][0]["value"], true);
    assert_eq!(why["slots"][0]["since_s"], 3.0);
    assert_eq!(cabinet.get("/api/v1/why?name=other").await.status, 404);
}

#[tokio::test]
async fn discover_gives_links_and_metrics_give_prometheus_text() {
    let cabinet = Control::start();
    let links = cabinet.get("/api/v1/objects/3303?discover").await;
    assert_eq!(links.body, "</3303/0/5700>");
    assert!(links.head.contains("application/link-format"));
    cabinet.site.sample("/3303/0/5700", Value::Float(21.5), 5);
    cabinet.site.status.on_event(
        &Event::Registered {
            ssid: Ssid(101),
            version: "1.1",
        },
        now_at(10),
    );
    let metrics = cabinet.get("/metrics").await.body;
    for line in [
        "lamplighter_registered{server=\"main\"} 1",
        "lamplighter_value{point=\"ahu1.supply_air\",path=\"/3303/0/5700\"} 21.5",
        "lamplighter_value_age_seconds{point=\"ahu1.supply_air\",path=\"/3303/0/5700\"} 95",
        "lamplighter_registrations_total 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_watcher_gets_the_present_value_then_changes_of_its_paths_only() {
    let cabinet = Control::start();
    cabinet.site.sample("/3303/0/5700", Value::Float(1.0), 5);
    let mut watch = cabinet.open("/api/v1/watch?path=ahu1.supply_air").await;
    assert_eq!(watch.event().await["value"], 1.0);
    cabinet.site.sample("/3308/0/5900", Value::Float(9.0), 6);
    cabinet.site.sample("/3303/0/5700", Value::Float(2.0), 6);
    let event = watch.event().await;
    assert_eq!(
        (&event["path"], &event["value"]),
        (&json!("/3303/0/5700"), &json!(2.0))
    );
    cabinet
        .site
        .status
        .on_link(AdapterId(0), LinkState::Offline, "gone", now_at(100));
    let stale = watch.event().await;
    assert_eq!(stale["quality"], "stale");
}

#[tokio::test]
async fn a_slow_watcher_sees_the_newest_value_and_holds_up_nobody() {
    let site = Site::start();
    let watch = site.status.watch(vec!["/3303".parse().unwrap()]).unwrap();
    for number in 0..100_000 {
        site.sample("/3303/0/5700", Value::Float(f64::from(number)), 5);
    }
    let changes = watch.changed().await;
    let values = watch.values(&changes, now_at(6));
    assert_eq!(values.len(), 1);
    assert_eq!(values[0].value, 99_999.0);
    assert!(
        timeout(Duration::from_millis(1), watch.changed())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn watchers_are_limited_and_leave_when_dropped() {
    let site = Site::start();
    let watches: Vec<_> = std::iter::from_fn(|| site.status.watch(Vec::new()).ok()).collect();
    assert_eq!(watches.len(), 32);
    drop(watches);
    assert!(site.status.watch(Vec::new()).is_ok());
}

#[tokio::test]
async fn groups_say_whether_their_members_are_on() {
    let cabinet = Control::start();
    let state = async || cabinet.get("/api/v1/status").await.json()["groups"][0]["state"].clone();
    assert_eq!(state().await, "unknown");
    cabinet.site.sample("/3416/1/1", Value::Integer(100), 5);
    cabinet.site.sample("/3416/2/1", Value::Integer(0), 5);
    assert_eq!(state().await, "mixed");
    cabinet.site.sample("/3416/2/3", Value::Integer(100), 6);
    assert_eq!(state().await, "on");
    cabinet.site.sample("/3416/1/3", Value::Integer(0), 7);
    cabinet.site.sample("/3416/2/3", Value::Integer(0), 7);
    assert_eq!(state().await, "off");
}

#[tokio::test]
async fn the_trend_of_a_number_keeps_its_last_value() {
    let cabinet = Control::start();
    for second in 0..30 {
        cabinet.site.sample(
            "/3303/0/5700",
            Value::Float(f64::from(second)),
            u64::try_from(second).unwrap(),
        );
    }
    let trend = cabinet
        .get("/api/v1/trend?path=ahu1.supply_air")
        .await
        .json();
    let values = trend["values"].as_array().unwrap();
    assert!((5..=8).contains(&values.len()), "{values:?}");
    assert_eq!(values.last().unwrap(), &json!([71.0, 29.0]));
    assert_eq!(cabinet.get("/api/v1/trend?path=lamps.l1").await.status, 404);
}

#[tokio::test]
async fn a_bad_value_stays_bad() {
    let cabinet = Control::start();
    cabinet
        .site
        .sample_as("/3303/0/5700", Value::Float(850.0), 5, Quality::Bad);
    assert_eq!(
        cabinet.get("/api/v1/points").await.json()[0]["quality"],
        "bad"
    );
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let dir = RunDir::new();
    drop(std::os::unix::net::UnixListener::bind(dir.0.join("control.sock")).unwrap());
    let socket = ControlSocket::bind(&dir.0).unwrap();
    assert!(matches!(
        ControlSocket::bind(&dir.0),
        Err(SocketError::InUse(_))
    ));
    drop(socket);
    assert!(!dir.0.join("control.sock").exists());
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_the_peers_name_is_the_kernels() {
    use std::os::unix::fs::PermissionsExt;
    let cabinet = Control::start();
    let mode = std::fs::metadata(cabinet.dir.0.join("control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    cabinet.post("/api/v1/objects/3/0/4", "").await;
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .map(|user| user.name);
    let own = own.unwrap_or_else(|| format!("uid {}", nix::unistd::geteuid()));
    assert_eq!(cabinet.site.done()[0].user, format!("{own} (local)"));
}

/// A control socket with a scripted loop behind it.
struct Control {
    dir: RunDir,
    site: Site,
    server: JoinHandle<()>,
}

impl Control {
    fn start() -> Self {
        Self::of(Site::start())
    }

    fn of(site: Site) -> Self {
        let dir = RunDir::new();
        let socket = ControlSocket::bind(&dir.0).unwrap();
        let server = tokio::spawn(socket.serve(site.api()));
        Self { dir, site, server }
    }

    async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, "").await
    }

    async fn put(&self, target: &str, body: &str) -> Answer {
        self.call("PUT", target, body).await
    }

    async fn post(&self, target: &str, body: &str) -> Answer {
        self.call("POST", target, body).await
    }

    async fn call(&self, method: &str, target: &str, body: &str) -> Answer {
        Answer::to(
            self.connect().await,
            &format!("{method} {target}"),
            "host: x\r\n",
            body,
        )
        .await
    }

    async fn open(&self, target: &str) -> Events {
        let mut stream = self.connect().await;
        stream
            .write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        Events {
            stream,
            text: String::new(),
        }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.0.join("control.sock"))
            .await
            .unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Server-sent events as they come.
struct Events {
    stream: UnixStream,
    text: String,
}

impl Events {
    /// The next value; words about the status are passed over.
    async fn event(&mut self) -> Json {
        loop {
            if let Some((before, after)) = self.text.split_once("}\n\n") {
                let data = before
                    .rsplit_once("data: ")
                    .map(|(_, data)| format!("{data}}}"));
                let is_status = before.contains("event: status");
                self.text = after.to_owned();
                if let Some(data) = data.filter(|_| !is_status) {
                    return serde_json::from_str(&data).unwrap();
                }
                continue;
            }
            let mut buffer = [0; 4096];
            let read = timeout(Duration::from_secs(10), self.stream.read(&mut buffer))
                .await
                .unwrap()
                .unwrap();
            assert!(read > 0, "the stream ended: {}", self.text);
            self.text
                .push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }
}

/// A directory of its own for each test.
struct RunDir(PathBuf);

impl RunDir {
    fn new() -> Self {
        Self(crate::fake::directory("control"))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
