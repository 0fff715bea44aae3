//! Object 3, row by row (`lwm2m/70`), with all that the registry defines of it.

use std::sync::Arc;

use lamplighter_coap::{Code, Request};
use lamplighter_lwm2m::{
    boundary::{Command, Input},
    client::{ClientConfig, DeviceDescription},
};
use lamplighter_model::{
    ObjectId, ResourceAddress, ResourceInstanceId, Sample, Value,
    device::{Answer, Declaration, Declared, DeviceEvent},
    object::Operations,
    tables,
};

use crate::common::{World, accept_all, accepting, config, get, text};

/// A box whose description leaves nothing out.
fn described() -> World {
    let word = str::to_owned;
    let mut world = World::without_devices(
        ClientConfig {
            definitions: Arc::new(tables::standard()),
            device: DeviceDescription {
                described_by: vec![ObjectId(3410)],
                device_type: word("gateway"),
                firmware: word("Linux 6.1"),
                hardware: word("board 2"),
                manufacturer: word("Lamplighter"),
                model: word("cabinet"),
                serial: word("0815"),
                software: word("0.1.0"),
                timezone: word("Europe/Berlin"),
                utc_offset: word("+01:00"),
            },
            ..config()
        },
        accept_all,
    );
    world.run();
    world
}

impl World {
    fn error(&mut self, code: u8, present: bool) {
        self.input(Input::Command(Command::DeviceError { code, present }));
    }

    /// 3/0/11 as a server reads it.
    fn errors(&mut self) -> String {
        text(&self.ask(accepting("/3/0/11", 110))).to_owned()
    }

    fn has(&mut self, resource: u16) -> bool {
        let links = self.ask(accepting("/3/0", 40));
        let link = format!("</3/0/{resource}>");
        text(&links).split([',', ';']).any(|part| part == link)
    }
}

#[test]
fn a_box_says_what_it_is() {
    let mut world = described();
    for (resource, said) in [
        (0, "Lamplighter"),
        (1, "cabinet"),
        (2, "0815"),
        (3, "Linux 6.1"),
        (14, "+01:00"),
        (15, "Europe/Berlin"),
        (16, "U"),
        (17, "gateway"),
        (18, "board 2"),
        (19, "0.1.0"),
    ] {
        let answer = world.get(&format!("/3/0/{resource}"));
        assert_eq!(
            (answer.code, text(&answer)),
            (Code::CONTENT, said),
            "{resource}"
        );
    }
}

#[test]
fn a_new_error_takes_the_lowest_free_instance_and_the_others_stay() {
    let mut world = described();
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"0","v":0}]"#);
    world.error(16, true);
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"0","v":16}]"#);
    world.error(2, true);
    world.error(7, true);
    // Twice is once.
    world.error(2, true);
    let three = r#"[{"bn":"/3/0/11/","n":"0","v":16},{"n":"1","v":2},{"n":"2","v":7}]"#;
    assert_eq!(world.errors(), three);
    world.error(2, false);
    let two = r#"[{"bn":"/3/0/11/","n":"0","v":16},{"n":"2","v":7}]"#;
    assert_eq!(world.errors(), two);
    world.error(16, false);
    world.error(8, true);
    let two = r#"[{"bn":"/3/0/11/","n":"0","v":8},{"n":"2","v":7}]"#;
    assert_eq!(world.errors(), two);
    world.error(8, false);
    world.error(7, false);
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"0","v":0}]"#);
}

#[test]
fn a_reset_of_the_errors_begins_the_list_anew_with_what_still_holds() {
    let mut world = described();
    world.error(2, true);
    world.error(16, true);
    world.error(2, false);
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"1","v":16}]"#);
    assert_eq!(world.execute("/3/0/12", "").code, Code::CHANGED);
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"0","v":16}]"#);
    world.error(16, false);
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"0","v":0}]"#);
    assert_eq!(world.execute("/3/0/12", "").code, Code::CHANGED);
    assert_eq!(world.errors(), r#"[{"bn":"/3/0/11/","n":"0","v":0}]"#);
}

#[test]
fn an_error_is_told_to_those_who_observe_the_errors() {
    let mut world = described();
    let answer = world.ask(Request {
        observe: Some(0),
        ..accepting("/3/0/11", 110)
    });
    assert_eq!(answer.code, Code::CONTENT);
    world.error(1, true);
    world.seconds(1);
    let told = world.notifications.last().map(|(_, _, told)| text(told));
    assert_eq!(told, Some(r#"[{"bn":"/3/0/11/","n":"0","v":1}]"#));
}

#[test]
fn the_offset_and_the_zone_are_checked_before_they_are_taken() {
    let mut world = described();
    for good in ["+02:00", "-03:30", "+0530", "UTC+2", "Z"] {
        assert_eq!(world.put("/3/0/14", good).code, Code::CHANGED, "{good}");
        assert_eq!(text(&world.get("/3/0/14")), good);
    }
    for bad in ["", "2", "+", "+15:00", "+02:60", "+2:000", "UTC2", "summer"] {
        assert_eq!(world.put("/3/0/14", bad).code, Code::BAD_REQUEST, "{bad}");
    }
    assert_eq!(text(&world.get("/3/0/14")), "Z");
    for good in ["Europe/Paris", "America/Port-au-Prince", "Etc/GMT+5", "UTC"] {
        assert_eq!(world.put("/3/0/15", good).code, Code::CHANGED, "{good}");
    }
    let long = "x".repeat(65);
    for bad in ["", "Europe Paris", "Paris\n", &long] {
        assert_eq!(world.put("/3/0/15", bad).code, Code::BAD_REQUEST, "{bad}");
    }
    assert_eq!(text(&world.get("/3/0/15")), "UTC");
}

#[test]
fn the_time_goes_on_as_the_clock_does() {
    let mut world = described();
    let unix = world.unix.unwrap();
    assert_eq!(text(&world.get("/3/0/13")), unix.to_string());
    world.seconds(90);
    assert_eq!(text(&world.get("/3/0/13")), (unix + 90).to_string());
}

#[test]
fn both_ways_to_start_the_box_anew_are_for_the_host_and_answered_first() {
    let mut world = described();
    assert_eq!(world.execute("/3/0/4", "").code, Code::CHANGED);
    assert_eq!(world.hosts, 1);
    assert_eq!(world.execute("/3/0/5", "").code, Code::CHANGED);
    assert_eq!(world.hosts, 2);
    // Not with something to write.
    assert_eq!(world.put("/3/0/4", "1").code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn the_offset_follows_the_zone_of_the_machine_unless_a_server_says_another() {
    let mut world = described();
    let zone = |world: &mut World, timezone: &str, utc_offset: &str| {
        world.input(Input::Command(Command::DeviceZone {
            timezone: timezone.to_owned(),
            utc_offset: utc_offset.to_owned(),
        }));
    };
    let observe = Request {
        observe: Some(0),
        ..get("/3/0/14")
    };
    assert_eq!(text(&world.ask(observe)), "+01:00");
    zone(&mut world, "Europe/Berlin", "+02:00");
    world.seconds(1);
    let told = world.notifications.last().map(|(_, _, told)| text(told));
    assert_eq!(told, Some("+02:00"), "summer");
    assert_eq!(world.put("/3/0/15", "Asia/Tokyo").code, Code::CHANGED);
    let other = world.get("/3/0/14").code;
    assert_eq!(other, Code::NOT_FOUND, "the machine's is not that of Tokyo");
    assert_eq!(world.put("/3/0/14", "+09:00").code, Code::CHANGED);
    zone(&mut world, "Europe/Berlin", "+01:00");
    assert_eq!(text(&world.get("/3/0/14")), "+09:00");
    assert_eq!(text(&world.get("/3/0/15")), "Asia/Tokyo");
}

#[test]
fn instances_that_tell_of_devices_around_the_box_are_named() {
    let mut world = described();
    assert!(!world.has(22), "there is none");
    let address = ResourceAddress::gateway(3410, 0, 1);
    let declared = |added: bool| {
        let declaration = Declaration {
            address,
            operations: Operations::R,
        };
        Input::Device(DeviceEvent::Declared(Declared {
            added: added.then_some(declaration).into_iter().collect(),
            removed: (!added).then_some(address).into_iter().collect(),
        }))
    };
    world.input(declared(true));
    assert!(world.has(22));
    assert_eq!(text(&world.get("/3/0/22/0")), "3410:0");
    world.input(declared(false));
    let none = world.ask(accepting("/3/0/22", 110));
    assert_eq!((none.code, text(&none)), (Code::CONTENT, "[]"));
}

/// What is known of power, battery and memory comes from whoever measures it.
#[test]
fn power_battery_and_memory_are_there_where_something_measures_them() {
    let mut world = described();
    let measured = [6, 7, 8, 9, 10, 20, 21];
    for resource in measured {
        assert!(!world.has(resource), "{resource}");
        let answer = world.get(&format!("/3/0/{resource}"));
        assert_eq!(answer.code, Code::NOT_FOUND, "{resource}");
    }
    let address = |resource| ResourceAddress::gateway(3, 0, resource);
    let added = measured.map(|resource| Declaration {
        address: address(resource),
        operations: Operations::R,
    });
    world.input(Input::Device(DeviceEvent::Declared(Declared {
        added: added.to_vec(),
        removed: Vec::new(),
    })));
    let values = [
        // AC, and a battery inside.
        (6, Some(0), Value::Integer(6)),
        (6, Some(1), Value::Integer(1)),
        (7, Some(0), Value::Integer(230_000)),
        (8, Some(0), Value::Integer(40)),
        (9, None, Value::Integer(87)),
        (10, None, Value::Integer(200_000)),
        (20, None, Value::Integer(1)),
        (21, None, Value::Integer(512_000)),
    ];
    let samples = values.map(|(resource, index, value)| Sample {
        index: index.map(ResourceInstanceId),
        ..Sample::good(address(resource), value, world.now().stamp())
    });
    world.input(Input::Device(DeviceEvent::Changed(samples.to_vec())));
    for (path, said) in [
        ("/3/0/6/0", "6"),
        ("/3/0/6/1", "1"),
        ("/3/0/7/0", "230000"),
        ("/3/0/8/0", "40"),
        ("/3/0/9", "87"),
        ("/3/0/10", "200000"),
        ("/3/0/20", "1"),
        ("/3/0/21", "512000"),
    ] {
        world.request(get(path));
        world.done(Ok(Answer::default()));
        let (_, answer) = world.responses.last().unwrap();
        assert_eq!((answer.code, text(answer)), (Code::CONTENT, said), "{path}");
    }
    for resource in measured {
        assert!(world.has(resource), "{resource}");
    }
}
