//! Object 1 as a server sees it, by version, and what its writes do to the registration.

use std::time::Duration;

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{
    boundary::{Command, Event, Input, LocalOperation, Output},
    client::{Change, ClientConfig, RegistrationConfig, RetryConfig, ServerConfig, VersionChoice},
    saved::Record,
    server::ServerState,
};
use lamplighter_model::object::Version;

use crate::common::{SSID, World, accepting, config, get, segments, server_config, text};

const LINK: u16 = 40;

fn spoken(version: VersionChoice) -> World {
    with(ServerConfig {
        version,
        ..server_config()
    })
}

fn with(server: ServerConfig) -> World {
    let mut world = World::new(of(server), Vec::new(), accept);
    world.run();
    world
}

fn of(server: ServerConfig) -> ClientConfig {
    ClientConfig {
        servers: vec![server],
        ..config()
    }
}

fn accept(request: &Request) -> Option<Response> {
    let code = match (request.method, request.path.len()) {
        (Method::Delete, _) => Code::DELETED,
        (_, 1) => Code::CREATED,
        _ => Code::CHANGED,
    };
    let location_path = match code {
        Code::CREATED => segments("/rd/5a3f"),
        _ => Vec::new(),
    };
    Some(Response {
        location_path,
        ..Response::new(code)
    })
}

fn queries(world: &World) -> Vec<String> {
    let (_, last) = world.requests.last().expect("a request");
    last.queries.clone()
}

/// The resources of its account that the server discovers, or can write or execute.
fn resources(world: &mut World) -> Vec<u16> {
    (0..=30)
        .filter(|id| {
            let path = format!("/1/0/{id}");
            let discovered = world.ask(accepting(&path, LINK)).code == Code::CONTENT;
            let written = world.put(&path, "").code != Code::NOT_FOUND;
            discovered || written
        })
        .collect()
}

#[test]
fn each_version_has_the_resources_of_its_time() {
    let old: Vec<u16> = (0..=8).collect();
    let middle: Vec<u16> = (0..=8).chain([22, 23]).collect();
    let new: Vec<u16> = (0..=8).chain(13..=20).chain([22, 23, 26]).collect();
    for (version, expected) in [
        (VersionChoice::V1_0, old),
        (VersionChoice::V1_1, middle),
        (VersionChoice::V1_2, new.clone()),
    ] {
        assert_eq!(resources(&mut spoken(version)), expected, "{version:?}");
    }
    // lwm2m/10, 17: a 1.1 registration may show object 1 in version 1.2.
    let mut world = with(ServerConfig {
        version: VersionChoice::V1_1,
        object_versions: [(lamplighter_model::ObjectId(1), Version::new(1, 2))].into(),
        ..server_config()
    });
    let register = text_of(&world.requests[0].1);
    assert!(register.contains("</1>;ver=1.2,</1/0>"), "{register}");
    assert_eq!(resources(&mut world), new);
}

#[test]
fn register_says_what_the_server_wants_to_know_beside() {
    let world = with(ServerConfig {
        register_parameters: vec!["imei=490154203237518".to_owned()],
        version: VersionChoice::V1_1,
        ..server_config()
    });
    let queries = &world.requests[0].1.queries;
    assert_eq!(
        queries.last().unwrap(),
        "imei=490154203237518",
        "{queries:?}"
    );
}

fn text_of(request: &Request) -> String {
    String::from_utf8_lossy(&request.payload).into_owned()
}

#[test]
fn versions_of_objects_are_told_where_the_version_does_not_imply_them() {
    for (version, told) in [
        (VersionChoice::V1_0, "</3303>;ver=\"1.1\","),
        (VersionChoice::V1_1, "</3303>;ver=1.1,"),
        (VersionChoice::V1_2, "</3303>;ver=1.1,"),
    ] {
        let world = spoken(version);
        let register = text_of(&world.requests[0].1);
        assert!(register.contains(told), "{register}");
        assert!(
            register.contains("</1/0>,</3/0>,"),
            "1 and 3 are as implied: {register}"
        );
    }
}

#[test]
fn what_is_absent_cannot_be_read_and_what_is_written_is_read_back() {
    let mut world = spoken(VersionChoice::V1_2);
    for id in [14, 17, 18, 19, 20] {
        let path = format!("/1/0/{id}");
        assert_eq!(world.get(&path).code, Code::NOT_FOUND, "{path}");
        assert_eq!(world.put(&path, "4294967295").code, Code::CHANGED);
        assert_eq!(text(&world.get(&path)), "4294967295");
        assert_eq!(world.put(&path, "-1").code, Code::BAD_REQUEST);
    }
    for id in [13, 15, 16] {
        let path = format!("/1/0/{id}");
        assert_eq!(world.put(&path, "1").code, Code::METHOD_NOT_ALLOWED);
    }
    assert_eq!(world.put("/1/0/22", "U").code, Code::CHANGED);
    assert_eq!(text(&world.get("/1/0/22")), "U");
}

#[test]
fn a_binding_is_checked_letter_by_letter() {
    for (version, binding, code) in [
        (VersionChoice::V1_2, "U", Code::CHANGED),
        (VersionChoice::V1_2, "UQ", Code::BAD_REQUEST),
        (VersionChoice::V1_2, "UT", Code::BAD_REQUEST),
        (VersionChoice::V1_2, "UU", Code::BAD_REQUEST),
        (VersionChoice::V1_2, "X", Code::BAD_REQUEST),
        (VersionChoice::V1_2, "u", Code::BAD_REQUEST),
        (VersionChoice::V1_1, "UQ", Code::BAD_REQUEST),
        (VersionChoice::V1_0, "UQ", Code::CHANGED),
        (VersionChoice::V1_0, "UQS", Code::BAD_REQUEST),
        (VersionChoice::V1_0, "Q", Code::BAD_REQUEST),
        (VersionChoice::V1_0, "QU", Code::BAD_REQUEST),
    ] {
        let mut world = spoken(version);
        let response = world.put("/1/0/7", binding);
        assert_eq!(response.code, code, "{version:?} {binding}");
    }
    for (transport, code) in [
        ("U", Code::CHANGED),
        ("T", Code::BAD_REQUEST),
        ("UU", Code::BAD_REQUEST),
        ("Q", Code::BAD_REQUEST),
    ] {
        let mut world = spoken(VersionChoice::V1_2);
        assert_eq!(world.put("/1/0/22", transport).code, code, "{transport}");
    }
}

#[test]
fn queue_mode_is_said_in_the_form_of_the_version() {
    for (version, told) in [
        (VersionChoice::V1_0, &["lwm2m=1.0", "b=UQ"][..]),
        (VersionChoice::V1_1, &["lwm2m=1.1", "b=U", "Q"]),
        (VersionChoice::V1_2, &["lwm2m=1.2", "b=U", "Q"]),
    ] {
        let mut world = with(ServerConfig {
            queue_mode: true,
            version,
            ..server_config()
        });
        assert_eq!(queries(&world)[2..], *told);
        let binding = told[1].strip_prefix("b=").unwrap();
        assert_eq!(text(&world.get("/1/0/7")), binding);
    }
}

#[test]
fn a_1_0_server_turns_queue_mode_on_and_off_by_the_binding() {
    let mut world = spoken(VersionChoice::V1_0);
    assert_eq!(world.put("/1/0/7", "UQ").code, Code::CHANGED);
    assert_eq!(queries(&world), ["b=UQ"]);
    let mut again = World::new(of(world_config()), world.records(), accept);
    again.run();
    assert_eq!(text(&again.get("/1/0/7")), "UQ", "after a restart");
    assert_eq!(world.put("/1/0/7", "U").code, Code::CHANGED);
    assert_eq!(queries(&world), ["b=U"]);
}

fn world_config() -> ServerConfig {
    ServerConfig {
        version: VersionChoice::V1_0,
        ..server_config()
    }
}

#[test]
fn the_box_sleeps_93_seconds_after_the_last_message_and_every_message_wakes_it() {
    let mut world = with(ServerConfig {
        queue_mode: true,
        ..server_config()
    });
    let is_asleep = |world: &World| world.client.servers().next().unwrap().asleep;
    world.seconds(92);
    assert!(!is_asleep(&world));
    world.seconds(1);
    assert!(is_asleep(&world));
    let sent = world.sent.len();
    world.seconds(3000);
    assert_eq!(world.sent.len(), sent, "a packet while asleep");
    // A request that comes all the same is answered, and keeps it awake.
    assert_eq!(world.get("/3/0/0").code, Code::CONTENT);
    assert!(!is_asleep(&world));
    world.seconds(93);
    assert!(is_asleep(&world));
    world.input(Input::Command(Command::Update(SSID)));
    assert!(!is_asleep(&world));
    let mut awake = spoken(VersionChoice::Auto);
    awake.seconds(1000);
    assert!(!is_asleep(&awake), "no queue mode");
}

#[test]
fn the_trigger_takes_the_letter_of_a_transport() {
    for (args, code) in [
        ("", Code::CHANGED),
        ("0='U'", Code::CHANGED),
        // Another transport is not obeyed where there is none; the Update comes all the same.
        ("0='T'", Code::CHANGED),
        ("1='x,0',0='U'", Code::CHANGED),
        ("0", Code::BAD_REQUEST),
        ("0=''", Code::BAD_REQUEST),
        ("0='UT'", Code::BAD_REQUEST),
        ("0='X'", Code::BAD_REQUEST),
    ] {
        let mut world = World::registered();
        let before = world.requests.len();
        assert_eq!(world.execute("/1/0/8", args).code, code, "{args}");
        let updates = usize::from(code == Code::CHANGED);
        assert_eq!(world.requests.len(), before + updates, "{args}");
    }
}

#[test]
fn the_letter_may_stand_in_the_query() {
    for (query, code) in [("0=U", Code::CHANGED), ("0=X", Code::BAD_REQUEST)] {
        let mut world = World::registered();
        let response = world.ask(Request {
            queries: vec![query.to_owned()],
            ..Request::new(Method::Post, segments("/1/0/8"))
        });
        assert_eq!(response.code, code, "{query}");
    }
}

#[test]
fn a_lifetime_for_ever_is_for_1_2_only() {
    let mut world = spoken(VersionChoice::V1_1);
    assert_eq!(world.put("/1/0/1", "0").code, Code::BAD_REQUEST);
    let mut world = spoken(VersionChoice::V1_2);
    assert_eq!(world.put("/1/0/1", "0").code, Code::CHANGED);
    assert_eq!(queries(&world), ["lt=0"]);
    let before = world.requests.len();
    world.seconds(86_399);
    assert_eq!(world.requests.len(), before);
    world.seconds(1);
    assert_eq!(world.requests.len(), before + 1, "a sign of life a day");
}

#[test]
fn changes_that_come_together_are_told_by_one_update() {
    let mut world = spoken(VersionChoice::V1_0);
    let before = world.requests.len();
    let tlv = b"\xc1\x01\x64\xc2\x07UQ\xc1\x06\x01\xc1\x02\x05";
    let response = world.ask(Request {
        content_format: Some(11542),
        payload: tlv.to_vec(),
        ..Request::new(Method::Post, segments("/1/0"))
    });
    assert_eq!(response.code, Code::CHANGED);
    world.seconds(5);
    let updates = world.requests.split_off(before);
    let mut told: Vec<_> = updates
        .iter()
        .flat_map(|(_, request)| request.queries.clone())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["b=UQ", "lt=100"]);
    assert_eq!(updates.len(), 1, "{updates:?}");
}

#[test]
fn a_written_retry_table_is_obeyed_also_after_a_restart() {
    let mut world = spoken(VersionChoice::V1_2);
    for (id, value) in [(17, "2"), (18, "5"), (19, "100"), (20, "2")] {
        world.put(&format!("/1/0/{id}"), value);
    }
    let mut again = World::new(config(), world.records(), |_| {
        Some(Response::new(Code::UNAUTHORIZED))
    });
    again.seconds(120);
    let times: Vec<u64> = again
        .times(&["rd"])
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs())
        .collect();
    assert!(
        matches!(times[..], [5, 100..=110, ..]),
        "2 attempts 5 s apart, and 100 s to the next: {times:?}"
    );
}

#[test]
fn failures_without_end_are_told_as_a_case_for_a_bootstrap_server() {
    let refuse = |_: &Request| Some(Response::new(Code::FORBIDDEN));
    let wanted = |world: &World| {
        let events = world.events.iter();
        events
            .filter(|event| matches!(event, Event::BootstrapWanted(SSID)))
            .count()
    };
    let mut world = World::new(config(), Vec::new(), refuse);
    world.seconds(100_000);
    assert_eq!(wanted(&world), 1, "once");
    assert!(world.times(&["rd"]).len() > 15, "and it is tried on");
    let never = ServerConfig {
        registration: RegistrationConfig {
            bootstrap_on_failure: Some(false),
            ..RegistrationConfig::default()
        },
        ..server_config()
    };
    let mut world = World::new(of(never), Vec::new(), refuse);
    world.seconds(100_000);
    assert_eq!(wanted(&world), 0);
}

#[test]
fn the_initial_delay_passes_before_the_first_packet_but_not_before_an_update() {
    let delayed = || ServerConfig {
        registration: RegistrationConfig {
            initial_delay_s: Some(30),
            ..RegistrationConfig::default()
        },
        ..server_config()
    };
    let mut world = World::new(of(delayed()), Vec::new(), accept);
    world.seconds(29);
    assert_eq!(world.opened, []);
    world.seconds(1);
    assert_eq!(world.times(&["rd"]).len(), 1);
    let mut again = World::new(of(delayed()), world.records(), accept);
    again.run();
    assert_eq!(again.times(&["rd", "5a3f"]).len(), 1);
}

#[test]
fn a_list_that_is_too_long_is_told_without_the_instances_of_large_objects() {
    use lamplighter_model::{
        ResourceAddress,
        device::{Declaration, Declared, DeviceEvent},
        object::Operations,
    };
    fn narrow(request: &Request) -> Option<Response> {
        if request.payload.len() > 300 {
            return Some(Response::new(Code::REQUEST_ENTITY_TOO_LARGE));
        }
        accept(request)
    }
    let mut world = World::new(config(), Vec::new(), narrow);
    let added = (0..200)
        .map(|instance| Declaration {
            address: ResourceAddress::gateway(3303, instance, 5700),
            operations: Operations::R,
        })
        .collect();
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added,
        removed: Vec::new(),
    })));
    world.seconds(2);
    let state = world.client.servers().next().unwrap().state;
    assert_eq!(state, ServerState::Registered);
    let list = text_of(&world.requests.last().unwrap().1);
    assert!(list.contains("</3303>;ver=1.1,</3308/0>"), "{list}");
    assert!(!list.contains("</3303/"), "{list}");
    assert!(world.events.contains(&Event::ListShortened(SSID)));
    let there = world.ask(accepting("/3303/150", LINK));
    assert_eq!(there.code, Code::CONTENT, "it is there");
}

#[test]
fn nothing_is_kept_of_an_account_that_was_removed() {
    let observe = || Request {
        observe: Some(0),
        ..get("/3/0/0")
    };
    let filled = || {
        let mut world = World::registered();
        world.put("/1/0/2", "17");
        world.attributes("/3303", &["pmin=3"]);
        world.ask(observe());
        assert_eq!(kept(&world).len(), 4, "{:?}", kept(&world));
        world
    };
    let mut world = filled();
    world.input(Input::Configure(Change::RemoveServer(SSID)));
    assert_eq!(kept(&world), []);
    // Also where it was removed from the configuration while the box was off.
    let world = filled();
    let nobody = ClientConfig {
        servers: Vec::new(),
        ..config()
    };
    let mut again = World::new(nobody, world.records(), accept);
    again.saved = world.saved;
    again.run();
    assert_eq!(kept(&again), []);
}

/// All but the numbers of the queue, which the store makes.
fn kept(world: &World) -> Vec<Record> {
    let mut records = world.records();
    records.retain(|record| !matches!(record, Record::Queue(..)));
    records
}

#[test]
fn a_disabled_server_is_not_asked_for_an_update() {
    let mut world = World::registered();
    world.put("/1/0/5", "600");
    world.execute("/1/0/4", "");
    let sent = world.sent.len();
    world.input(Input::Command(Command::Update(SSID)));
    world.local(LocalOperation::Execute {
        path: "/1/0/8".parse().unwrap(),
        args: Vec::new(),
    });
    let (_, answer) = world.answers.last().unwrap();
    let code = answer.as_ref().unwrap_err().code;
    assert_eq!(code, Code::BAD_REQUEST);
    world.wait(Duration::from_secs(599));
    assert_eq!(world.sent.len(), sent);
}

#[test]
fn the_retry_config_of_the_file_counts_until_a_server_writes() {
    let retry = RetryConfig {
        count: Some(3),
        ..RetryConfig::default()
    };
    let mut world = with(ServerConfig {
        registration: RegistrationConfig {
            priority: Some(2),
            failure_block: Some(true),
            retry,
            ..RegistrationConfig::default()
        },
        ..server_config()
    });
    assert_eq!(text(&world.get("/1/0/13")), "2");
    assert_eq!(text(&world.get("/1/0/15")), "1");
    assert_eq!(text(&world.get("/1/0/17")), "3");
    world.put("/1/0/17", "9");
    assert_eq!(text(&world.get("/1/0/17")), "9");
}

/// Design, 7: what a server or a person was told is true after a power cut.
#[test]
fn a_disable_is_kept_before_it_is_answered() {
    let kept_first = |world: &mut World, input: Input| {
        let now = world.now();
        world.client.handle(input, &mut world.tree, now);
        // Behind a Commit nothing is told until it is on the disk.
        let outputs: Vec<_> = std::iter::from_fn(|| world.client.poll()).collect();
        let Some(Output::Commit(id, records)) = outputs.last() else {
            panic!("{outputs:?}");
        };
        assert!(format!("{records:?}").contains("Disabled"), "{records:?}");
        let early = |output: &Output| matches!(output, Output::Transmit(..) | Output::Answer(..));
        assert!(!outputs.iter().any(early), "{outputs:?}");
        world
            .client
            .handle(Input::Committed(*id), &mut world.tree, now);
        assert!(std::iter::from_fn(|| world.client.poll()).any(|output| early(&output)));
    };
    let mut world = World::registered();
    let execute = Request::new(Method::Post, segments("/1/0/4"));
    world.server.request(execute, world.now);
    let datagram = world.server.poll_transmit().unwrap();
    let link = world.link.unwrap();
    kept_first(&mut world, Input::Received(link, datagram));
    let mut world = World::registered();
    let request = lamplighter_lwm2m::boundary::LocalRequest {
        user: "anna".to_owned(),
        operation: LocalOperation::Execute {
            path: "/1/0/4".parse().unwrap(),
            args: Vec::new(),
        },
    };
    let id = lamplighter_lwm2m::boundary::RequestId(1);
    kept_first(&mut world, Input::Command(Command::Local(id, request)));
}
