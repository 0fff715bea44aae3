//! What operations do, to the core and to devices.

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::boundary::Event;
use lamplighter_model::{
    Sample, Value,
    device::{Action, Answer, Fault, Origin},
};

use crate::common::{
    NAMES, RESET, SET_POINT, SSID, TEMPERATURE, World, accepting, get, request, segments, text,
};

const TLV: u16 = 11542;
const SENML_JSON: u16 = 110;
const CBOR: u16 = 60;
const LWM2M_JSON: u16 = 11543;
const LWM2M_CBOR: u16 = 11544;

#[test]
fn registers_with_everything_the_server_must_know() {
    let world = World::registered();
    let (_, register) = &world.requests[0];
    assert_eq!(
        register.queries,
        ["ep=cab-17", "lt=3600", "lwm2m=1.2", "b=U"]
    );
    assert_eq!(register.content_format, Some(40));
    assert_eq!(
        String::from_utf8_lossy(&register.payload),
        "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1/0>,</3/0>,\
         </3303>;ver=1.1,</3303/0>,</3303/1>,</3308/0>"
    );
}

#[test]
fn a_refused_write_changes_nothing() {
    let mut world = World::registered();
    let before = world.get("/1/0").payload;
    let writes = [
        &b"\xc1\x02\x65\xc1\x07X"[..],
        b"\xc1\x02\x65\xc1\x00\x07",
        b"\xc1\x02\x65\xc1\x01",
    ];
    for payload in writes {
        let response = world.ask(request(Method::Post, "/1/0", Some(TLV), payload));
        assert!(!response.code.is_success());
    }
    assert_eq!(world.get("/1/0").payload, before);
}

#[test]
fn a_write_to_the_account_is_kept_before_it_is_answered() {
    let mut world = World::registered();
    world.put("/1/0/2", "17");
    assert!(
        world
            .saved
            .values()
            .any(|record| format!("{record:?}").contains("pmin_s: 17"))
    );
}

#[test]
fn a_written_lifetime_is_told_by_an_update() {
    let mut world = World::registered();
    assert_eq!(world.put("/1/0/1", "60").code, Code::CHANGED);
    let (_, update) = world.requests.last().unwrap();
    assert_eq!(
        (&update.path[..], &update.queries[..]),
        (&segments("/rd/5a3f")[..], &["lt=60".to_owned()][..])
    );
    assert!(update.payload.is_empty());
}

#[test]
fn the_update_trigger_sends_an_update_without_parameters() {
    let mut world = World::registered();
    assert_eq!(world.execute("/1/0/8", "0='U'").code, Code::CHANGED);
    let (_, update) = world.requests.last().unwrap();
    assert_eq!(update.path, segments("/rd/5a3f"));
    assert!(update.queries.is_empty() && update.payload.is_empty());
}

#[test]
fn disable_is_answered_first_and_then_nothing_is_sent_to_its_end() {
    let mut world = World::registered();
    world.put("/1/0/5", "600");
    let response = world.execute("/1/0/4", "");
    assert_eq!(response.code, Code::CHANGED);
    let (_, last) = world.requests.last().unwrap();
    assert_eq!(
        (last.method, &last.path[..]),
        (Method::Delete, &segments("/rd/5a3f")[..])
    );
    let sent = world.sent.len();
    world.seconds(599);
    assert_eq!(world.sent.len(), sent, "a packet during the silence");
    world.seconds(1 + 150);
    assert!(world.sent.len() > sent);
    assert_eq!(world.times(&["rd"]).len(), 2);
}

#[test]
fn a_device_is_read_where_one_resource_is_wanted() {
    let mut world = World::registered();
    world.request(get("/3303/0/5700"));
    let (_, asked) = &world.device[0];
    assert_eq!(asked.action, Action::Read(vec![TEMPERATURE]));
    assert_eq!(asked.origin, Origin::Server(SSID));
    let sample = Sample::good(TEMPERATURE, Value::Float(21.5), world.now().stamp());
    world.done(Ok(Answer {
        samples: vec![sample],
        failed: Vec::new(),
    }));
    assert_eq!(text(&world.responses.last().unwrap().1), "21.5");
}

#[test]
fn wide_reads_use_what_was_last_heard_and_ask_nobody() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    let response = world.ask(accepting("/3303", SENML_JSON));
    assert!(world.device.is_empty());
    assert_eq!(
        text(&response),
        "[{\"bn\":\"/3303/0/\",\"n\":\"5700\",\"v\":20}]"
    );
    assert_eq!(text(&world.ask(accepting("/3308", SENML_JSON))), "[]");
}

#[test]
fn reads_answer_in_every_format_that_is_asked_for() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.5));
    for (path, accept, payload) in [
        ("/1/0/1", CBOR, &b"\x19\x0E\x10"[..]),
        ("/1/0/7", CBOR, b"\x61U"),
        ("/1/0/1", LWM2M_JSON, br#"{"bn":"/1/0/1","e":[{"v":3600}]}"#),
        (
            "/3303",
            LWM2M_JSON,
            br#"{"bn":"/3303/","e":[{"n":"0/5700","v":20.5}]}"#,
        ),
        ("/1/0/1", LWM2M_CBOR, b"\xA1\x83\x01\x00\x01\x19\x0E\x10"),
    ] {
        let response = world.ask(accepting(path, accept));
        assert_eq!(response.code, Code::CONTENT, "{path} in {accept}");
        assert_eq!(response.content_format, Some(accept));
        assert_eq!(
            String::from_utf8_lossy(&response.payload),
            String::from_utf8_lossy(payload)
        );
    }
}

#[test]
fn servers_older_than_the_registered_numbers_are_answered_in_theirs() {
    let mut world = World::registered();
    for (path, number) in [("/1/0/1", 1541), ("/1/0", 1542), ("/1/0", 1543)] {
        let response = world.ask(accepting(path, number));
        assert_eq!(
            (response.code, response.content_format),
            (Code::CONTENT, Some(number))
        );
    }
    assert_eq!(
        world.ask(accepting("/1/0/1", 1544)).code,
        Code::NOT_ACCEPTABLE
    );
    let write = request(Method::Put, "/1/0/2", Some(1541), b"17");
    assert_eq!(world.ask(write).code, Code::CHANGED);
    let execute = request(Method::Post, "/1/0/8", Some(1541), b"0='U'");
    assert_eq!(world.ask(execute).code, Code::CHANGED);
    world.request(Request {
        accept: Some(1542),
        observe: Some(0),
        ..get("/1/0/2")
    });
    world.put("/1/0/2", "18");
    world.seconds(60);
    let (_, _, told) = world.notifications.last().unwrap();
    assert_eq!(told.content_format, Some(1542));
}

#[test]
fn writes_are_taken_in_every_format() {
    let mut world = World::registered();
    for (method, path, format, payload, written) in [
        (Method::Put, "/1/0/2", CBOR, &b"\x11"[..], "17"),
        (
            Method::Put,
            "/1/0/2",
            LWM2M_JSON,
            br#"{"bn":"/1/0/2","e":[{"v":18}]}"#,
            "18",
        ),
        (
            Method::Post,
            "/1/0",
            LWM2M_JSON,
            br#"{"bn":"/1/0/","e":[{"n":"2","v":19}]}"#,
            "19",
        ),
        (
            Method::Post,
            "/1/0",
            1543,
            br#"{"e":[{"n":"2","v":20}]}"#,
            "20",
        ),
        (
            Method::Post,
            "/1/0",
            LWM2M_CBOR,
            b"\xA1\x82\x01\x00\xA1\x02\x15",
            "21",
        ),
    ] {
        let response = world.ask(request(method, path, Some(format), payload));
        assert_eq!(response.code, Code::CHANGED, "{path} in {format}");
        assert_eq!(text(&world.get("/1/0/2")), written);
    }
}

#[test]
fn a_device_is_told_a_value_that_came_in_cbor() {
    let mut world = World::registered();
    world.request(request(
        Method::Put,
        "/3308/0/5900",
        Some(CBOR),
        b"\xF9\x4D\x40",
    ));
    let (_, asked) = &world.device[0];
    let Action::Write { values, .. } = &asked.action else {
        panic!("no write: {asked:?}");
    };
    assert_eq!(
        (values[0].address, &values[0].value),
        (SET_POINT, &Value::Float(21.0))
    );
}

#[test]
fn faults_of_devices_have_their_codes() {
    for (fault, code, max_age) in [
        (Fault::Unreachable, Code::GATEWAY_TIMEOUT, None),
        (Fault::Timeout, Code::GATEWAY_TIMEOUT, None),
        (Fault::NoValue, Code::SERVICE_UNAVAILABLE, Some(10)),
        (Fault::Busy, Code::SERVICE_UNAVAILABLE, Some(2)),
        (
            Fault::BadValue("too hot".to_owned()),
            Code::BAD_REQUEST,
            None,
        ),
        (
            Fault::Device("exception 4".to_owned()),
            Code::INTERNAL_SERVER_ERROR,
            None,
        ),
        (Fault::Unsupported, Code::METHOD_NOT_ALLOWED, None),
        (
            Fault::Refused {
                reason: "hand switch on, 43 min left".to_owned(),
                retry_after: Some(std::time::Duration::from_millis(2_579_500)),
            },
            Code::SERVICE_UNAVAILABLE,
            Some(2580),
        ),
    ] {
        let mut world = World::registered();
        world.request(request(Method::Put, "/3308/0/5900", Some(0), b"21.5"));
        world.done(Err(fault.clone()));
        let (_, response) = world.responses.last().unwrap();
        assert_eq!(
            (response.code, response.max_age),
            (code, max_age),
            "{fault:?}"
        );
        assert_eq!(text(response), fault.to_string());
    }
}

#[test]
fn a_resource_that_was_never_read_is_not_available_yet() {
    let mut world = World::registered();
    world.request(get("/3303/0/5700"));
    world.done(Ok(Answer::default()));
    assert_eq!(
        world.responses.last().unwrap().1.code,
        Code::SERVICE_UNAVAILABLE
    );
}

#[test]
fn an_instance_is_told_without_what_could_not_be_read() {
    let mut world = World::registered();
    world.sample(TEMPERATURE, Value::Float(20.0));
    world.request(accepting("/3303/0", SENML_JSON));
    let failed = vec![(NAMES, Fault::Unreachable)];
    world.done(Ok(Answer {
        samples: Vec::new(),
        failed,
    }));
    assert_eq!(
        text(&world.responses.last().unwrap().1),
        "[{\"bn\":\"/3303/0/\",\"n\":\"5700\",\"v\":20}]"
    );
    world.request(accepting("/3303/0", SENML_JSON));
    world.done(Err(Fault::Unreachable));
    assert_eq!(
        world.responses.last().unwrap().1.code,
        Code::GATEWAY_TIMEOUT
    );
}

#[test]
fn a_mute_device_is_answered_for_after_four_seconds_and_its_late_answer_is_dropped() {
    let mut world = World::registered();
    world.request(get("/3303/0/5700"));
    let before = world.responses.len();
    world.wait(std::time::Duration::from_millis(3900));
    assert_eq!(world.responses.len(), before);
    world.seconds(1);
    assert_eq!(
        world.responses.last().unwrap().1.code,
        Code::GATEWAY_TIMEOUT
    );
    let after = world.responses.len();
    world.done(Ok(Answer::default()));
    world.seconds(100);
    assert_eq!(world.responses.len(), after);
}

#[test]
fn a_write_reaches_the_device_with_its_origin() {
    let mut world = World::registered();
    world.request(request(Method::Put, "/3308/0/5900", Some(0), b"21.5"));
    let (_, asked) = &world.device[0];
    let Action::Write { values, hold: None } = &asked.action else {
        panic!("{asked:?}");
    };
    assert_eq!(
        (values[0].address, &values[0].value),
        (SET_POINT, &Value::Float(21.5))
    );
    world.done(Ok(Answer::default()));
    assert_eq!(world.responses.last().unwrap().1.code, Code::CHANGED);
    assert!(world.events.iter().any(|event| matches!(
        event,
        Event::Obeyed { by: Origin::Server(SSID), operation: "write", detail, .. } if detail.contains("21.5")
    )));
}

#[test]
fn values_outside_their_range_do_not_reach_the_device() {
    let mut world = World::registered();
    let response = world.put("/3308/0/5900", "100.5");
    assert_eq!(response.code, Code::BAD_REQUEST);
    assert!(world.device.is_empty());
}

#[test]
fn an_execute_reaches_the_device_with_its_arguments() {
    let mut world = World::registered();
    world.request(request(Method::Post, "/3303/0/5605", None, b"0='x'"));
    let action = Action::Execute {
        resource: RESET,
        args: b"0='x'".to_vec(),
    };
    assert_eq!(world.device[0].1.action, action);
    world.done(Ok(Answer::default()));
    assert_eq!(world.responses.last().unwrap().1.code, Code::CHANGED);
}

#[test]
fn discover_shows_what_is_there_and_the_attributes_of_the_asker() {
    let mut world = World::registered();
    world.attributes("/3303", &["pmin=10", "pmax=200"]);
    world.attributes("/3303/0/5700", &["lt=1", "gt=6", "st=1"]);
    let mut discover = |path: &str| text(&world.ask(accepting(path, 40))).to_owned();
    assert_eq!(
        discover("/3303"),
        "</3303>;ver=1.1;pmin=10;pmax=200,</3303/0>,</3303/0/5605>,\
         </3303/0/5700>;gt=6;lt=1;st=1,</3303/0/6000>;dim=0,</3303/1>,</3303/1/5700>"
    );
    assert_eq!(
        discover("/3303/0"),
        "</3303/0>;pmin=10;pmax=200,</3303/0/5605>,</3303/0/5700>;gt=6;lt=1;st=1,</3303/0/6000>;dim=0"
    );
    assert_eq!(
        discover("/3303/0/5700"),
        "</3303/0/5700>;pmin=10;pmax=200;gt=6;lt=1;st=1"
    );
    assert_eq!(discover("/3/0/11"), "</3/0/11>;dim=1,</3/0/11/0>");
    assert!(
        !discover("/3/0").contains("</3/0/1>"),
        "absent optional resources are not listed"
    );
}

#[test]
fn a_written_time_changes_only_the_view() {
    let mut world = World::registered();
    let before = world.unix;
    assert_eq!(world.put("/3/0/13", "1000000").code, Code::CHANGED);
    world.seconds(5);
    assert_eq!(text(&world.get("/3/0/13")), "1000005");
    assert_eq!(world.unix, before.map(|unix| unix + 5));
}

#[test]
fn reboot_is_answered_before_the_host_is_asked() {
    let mut world = World::registered();
    assert_eq!(world.execute("/3/0/4", "").code, Code::CHANGED);
    assert_eq!(world.hosts, 1);
}
