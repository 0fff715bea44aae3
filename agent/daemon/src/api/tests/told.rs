//! What is told over time: history, events, changes.

use super::*;

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
