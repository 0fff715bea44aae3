//! How the box, its servers and its outputs are shown.

use super::*;

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
