//! Reads, writes and executes, and why they are refused.

use super::*;

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
        ("POST", "/api/v1/bearers/lan/use", "", 404),
        ("POST", "/api/v1/bearers/auto", "", 409),
        ("POST", "/api/v1/offline", "", 409),
        ("POST", "/api/v1/online", "", 409),
        ("GET", "/api/v1/online", "", 405),
        ("POST", "/api/v1/bearers", "", 405),
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
