//! One box and several servers at once, in virtual time: who may do what, and that nobody waits for
//! anybody else.

use std::time::Duration;

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{
    boundary::{Event, Input},
    client::Change,
    format::{Content, ContentFormat, Node},
};
use lamplighter_model::{ResourceInstanceId, Value, device::Origin};
use lamplighter_sim::server::{Operation, WriteMode};

use crate::world::{
    A, B, RESET, SET_POINT, Share, TEMPERATURE, World, account, path, ssid, write, write_value,
};

mod location;
mod world;

const OWNER: Share<'static> = (true, &[]);
const READER: Share<'static> = (false, &[("*", "R")]);

fn world(other: Share<'_>) -> World {
    World::new(&[OWNER, other], &[])
}

/// 2/x/2 as it stands.
fn acl(world: &mut World, server: usize, about: &str) -> Vec<(u16, i64)> {
    let answer = world.read(server, &format!("{about}/2"));
    let entry = |(index, value): &(ResourceInstanceId, Value)| {
        let Value::Integer(bits) = value else {
            panic!("{value:?}");
        };
        (index.0, *bits)
    };
    match answer.nodes.first().map(|node| &node.content) {
        Some(Content::Multiple(values)) => values.iter().map(entry).collect(),
        other => panic!("{other:?}"),
    }
}

/// A write of 2/x/2.
fn list(about: &str, mode: WriteMode, entries: &[(u16, i64)]) -> Operation {
    let entry = |(who, bits): &(u16, i64)| (ResourceInstanceId(*who), Value::Integer(*bits));
    let path = path(&format!("{about}/2"));
    let resource = path.resource().expect("a resource");
    let values = entries.iter().map(entry).collect();
    Operation::Write {
        path,
        nodes: vec![Node::multiple(resource, values)],
        format: ContentFormat::Tlv,
        mode,
    }
}

/// An entry that may be new: a resource instance can be written only where it exists.
fn grant(world: &mut World, server: usize, about: &str, to: usize, bits: i64) -> Code {
    world.code(
        server,
        &list(about, WriteMode::Partial, &[(ssid(to).0, bits)]),
    )
}

#[test]
fn the_owner_switches_and_a_reader_reads_and_observes() {
    let mut world = world(READER);
    assert_eq!(world.code(A, &write(22.0)), Code::CHANGED);
    world.observe(B, "/3308/0/5900");
    assert_eq!(
        world.read(B, "/3308/0/5900").value(),
        Some(&Value::Float(22.0))
    );
    world.told.clear();
    assert_eq!(world.code(B, &write(5.0)), Code::UNAUTHORIZED);
    let refused = world.told.iter().any(|event| {
        matches!(event, Event::Refused { by: Origin::Server(by), operation: "write", path: at, code }
            if *by == ssid(B) && *at == path("/3308/0/5900") && code.starts_with("4.01"))
    });
    assert!(refused, "{:?}", world.told);
    assert_eq!(world.code(A, &write(23.0)), Code::CHANGED);
    let values: Vec<Value> = world
        .notified(B)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, [Value::Float(23.0)]);
}

#[test]
fn a_server_with_rights_on_an_object_writes_there_and_nowhere_else() {
    let mut world = world((false, &[("/3308", "RWE"), ("*", "R")]));
    assert_eq!(world.code(B, &write(19.0)), Code::CHANGED);
    let zone = write_value("/3/0/15", Value::String("Europe/Paris".to_owned()));
    assert_eq!(world.code(B, &zone), Code::UNAUTHORIZED);
    let reboot = Operation::Execute(path("/3/0/4"), String::new());
    assert_eq!(world.code(B, &reboot), Code::UNAUTHORIZED);
    assert_eq!(world.code(A, &zone), Code::CHANGED);
}

#[test]
fn without_rights_a_server_sees_what_there_is_and_nothing_of_it() {
    let mut world = world((false, &[("/3303", "R")]));
    assert_eq!(world.read(B, "/3308/0/5900").code, Code::UNAUTHORIZED);
    let attributes =
        |path_text: &str| Operation::WriteAttributes(path(path_text), vec!["pmin=1".to_owned()]);
    assert_eq!(
        world.code(B, &attributes("/3308/0/5900")),
        Code::UNAUTHORIZED
    );
    assert_eq!(world.code(B, &attributes("/3303/0/5700")), Code::CHANGED);
    let links = world.ask(B, &Operation::Discover(path("/3308/0")));
    assert_eq!(links.code, Code::CONTENT, "Discover needs no right");
    assert!(!links.links.is_empty());
    // Whole objects: what may be read, which can be nothing (Core 1.2, 8.2.2).
    let object = world.read(B, "/3308");
    assert_eq!((object.code, object.nodes.len()), (Code::CONTENT, 0));
    assert_eq!(world.read(B, "/3303").nodes.len(), 1);
    assert_eq!(
        world
            .read(B, "/1")
            .nodes
            .iter()
            .filter(|node| node.path.resource.0 == 0)
            .count(),
        1,
        "its own account"
    );
    assert_eq!(
        world
            .read(A, "/1")
            .nodes
            .iter()
            .filter(|node| node.path.resource.0 == 0)
            .count(),
        2
    );
}

/// A composite of these paths, or of these records.
fn composite(method: Method, body: &str) -> Operation {
    let json = Some(ContentFormat::SenmlJson.number());
    let request = Request {
        accept: json,
        content_format: json,
        payload: body.as_bytes().to_vec(),
        ..Request::new(method, Vec::new())
    };
    Operation::Raw(path("/"), request)
}

#[test]
fn composites_leave_out_what_is_not_for_the_server_unless_nothing_is() {
    let mut world = world((false, &[("/3303", "R"), ("/3308", "W"), ("/1", "")]));
    assert_eq!(world.code(A, &write(22.0)), Code::CHANGED);
    for (body, code, found) in [
        (r#"[{"n":"/3303"},{"n":"/3308"}]"#, Code::CONTENT, 1),
        (r#"[{"n":"/"}]"#, Code::CONTENT, 1),
        (r#"[{"n":"/3308"},{"n":"/3/0"}]"#, Code::UNAUTHORIZED, 0),
        (
            r#"[{"n":"/3308/0/5900"},{"n":"/99"}]"#,
            Code::UNAUTHORIZED,
            0,
        ),
        (r#"[{"n":"/99"},{"n":"/0"}]"#, Code::CONTENT, 0),
    ] {
        let answer = world.ask(B, &composite(Method::Fetch, body));
        let nodes = answer
            .nodes
            .iter()
            .filter(|node| [3303, 3308, 3].contains(&node.path.object().0));
        assert_eq!((answer.code, nodes.count()), (code, found), "{body}");
    }
    let both = r#"[{"n":"/3308/0/5900","v":18},{"n":"/3/0/15","vs":"Europe/Paris"}]"#;
    assert_eq!(
        world.code(B, &composite(Method::IPatch, both)),
        Code::UNAUTHORIZED
    );
    assert_eq!(
        world.read(A, "/3308/0/5900").value(),
        Some(&Value::Float(22.0))
    );
    let one = r#"[{"n":"/3308/0/5900","v":18}]"#;
    assert_eq!(
        world.code(B, &composite(Method::IPatch, one)),
        Code::CHANGED
    );
    assert_eq!(
        world.read(A, "/3308/0/5900").value(),
        Some(&Value::Float(18.0))
    );
}

#[test]
fn object_2_is_announced_where_there_are_several_servers_only() {
    let mut world = World::new(&[OWNER], &[]);
    assert!(!world.listed(A).iter().any(|path| path.starts_with("/2/")));
    assert_eq!(world.read(A, "/2").code, Code::NOT_FOUND);
    let config = account(B, READER);
    let mut two = self::world(READER);
    let listed = two.listed(B);
    // One about each instance of the others.
    let instances = listed.iter().filter(|path| path.matches('/').count() == 2);
    let (about, others): (Vec<_>, Vec<_>) = instances.partition(|path| path.starts_with("/2/"));
    // And about those objects of which the owner may make some.
    assert_eq!(about.len(), others.len() + 2, "{listed:?}");
    for object in [16, 19] {
        let about = two
            .about(B, object, 65_535)
            .expect("an instance of object 2");
        assert!(listed.contains(&about));
        assert_eq!(acl(&mut two, B, &about), [(101, 16)]);
    }
    assert_eq!(two.read(B, "/2").code, Code::CONTENT);
    two.input(Input::Configure(Change::RemoveServer(config.ssid)));
    two.seconds(60);
    assert!(!two.listed(A).iter().any(|path| path.starts_with("/2/")));
    assert_eq!(two.code(A, &write(22.0)), Code::CHANGED);
}

#[test]
fn instances_that_come_and_go_have_their_rights_by_pattern() {
    let mut world = world((false, &[("/3306/7", "RW")]));
    let before = world.listed(A).len();
    let switch = |instance| lamplighter_model::ResourceAddress::gateway(3306, instance, 5850);
    world.declare(&[switch(7), switch(8)]);
    world.seconds(60);
    // Object 3306, its two instances and one about each of them.
    assert_eq!(world.listed(A).len(), before + 5, "{:?}", world.listed(A));
    let about = world.about(B, 3306, 7).expect("an instance of object 2");
    assert!(world.listed(B).contains(&about));
    assert_eq!(acl(&mut world, B, &about), [(101, 15), (102, 3)]);
    world.remove(switch(7));
    assert_eq!(world.about(B, 3306, 7), None);
    assert_eq!(world.read(B, &about).code, Code::NOT_FOUND);
}

#[test]
fn the_owner_changes_rights_and_they_outlive_a_restart() {
    let mut world = world(READER);
    let about = world.about(A, 3308, 0).expect("an instance of object 2");
    assert_eq!(grant(&mut world, B, &about, B, 7), Code::UNAUTHORIZED);
    assert_eq!(world.code(B, &write(5.0)), Code::UNAUTHORIZED);
    assert_eq!(grant(&mut world, A, &about, B, 3), Code::CHANGED);
    assert_eq!(acl(&mut world, B, &about), [(101, 15), (102, 3)]);
    assert_eq!(world.code(B, &write(5.0)), Code::CHANGED);
    world.restart(&[OWNER, READER]);
    world.seconds(60);
    assert_eq!(world.about(A, 3308, 0), Some(about));
    assert_eq!(world.code(B, &write(6.0)), Code::CHANGED);
    // The key in the configuration was changed since: it counts.
    world.restart(&[OWNER, (false, &[("*", "RE")])]);
    world.seconds(60);
    assert_eq!(world.code(B, &write(7.0)), Code::UNAUTHORIZED);
}

#[test]
fn a_list_is_written_whole_or_in_part() {
    let mut world = world(READER);
    let about = world.about(A, 3308, 0).expect("an instance of object 2");
    let list = |mode, entries: &[(u16, i64)]| list(&about, mode, entries);
    assert_eq!(
        world.code(A, &list(WriteMode::Partial, &[(0, 1)])),
        Code::CHANGED
    );
    assert_eq!(acl(&mut world, A, &about), [(0, 1), (101, 15), (102, 1)]);
    assert_eq!(
        world.code(A, &list(WriteMode::Replace, &[(102, 2)])),
        Code::CHANGED
    );
    assert_eq!(acl(&mut world, A, &about), [(102, 2)]);
    // The owner without an entry has all rights all the same.
    assert_eq!(world.code(A, &write(21.5)), Code::CHANGED);
    assert_eq!(world.code(B, &write(21.0)), Code::CHANGED);
    assert_eq!(world.read(B, "/3308/0/5900").code, Code::UNAUTHORIZED);
    for wrong in [&[(102, 32)][..], &[(999, 1)]] {
        assert_eq!(
            world.code(A, &list(WriteMode::Partial, wrong)),
            Code::BAD_REQUEST
        );
    }
    assert_eq!(acl(&mut world, A, &about), [(102, 2)]);
    let entry = write_value(&format!("{about}/2/102"), Value::Integer(3));
    assert_eq!(world.code(A, &entry), Code::CHANGED);
    assert_eq!(acl(&mut world, A, &about), [(102, 3)]);
    let absent = write_value(&format!("{about}/2/101"), Value::Integer(3));
    assert_eq!(world.code(A, &absent), Code::NOT_FOUND);
    let object = write_value(&format!("{about}/0"), Value::Integer(3));
    assert_eq!(world.code(A, &object), Code::METHOD_NOT_ALLOWED);
}

#[test]
fn a_right_that_is_taken_silences_the_observation_and_one_that_is_given_back_lets_it_go_on() {
    let mut world = world(READER);
    let about = world.about(A, 3303, 0).expect("an instance of object 2");
    world.observe(B, "/3303/0/5700");
    world.observe(A, "/3303/0/5700");
    world.change(TEMPERATURE, 21.0);
    assert_eq!((world.notified(A).len(), world.notified(B).len()), (1, 1));
    assert_eq!(grant(&mut world, A, &about, B, 0), Code::CHANGED);
    world.change(TEMPERATURE, 22.0);
    world.seconds(60);
    assert_eq!((world.notified(A).len(), world.notified(B).len()), (1, 0));
    assert_eq!(grant(&mut world, A, &about, B, 1), Code::CHANGED);
    world.change(TEMPERATURE, 23.0);
    let values: Vec<Value> = world
        .notified(B)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, [Value::Float(23.0)]);
}

#[test]
fn those_who_observe_rights_are_told_of_changes() {
    let mut world = world(READER);
    let about = world.about(A, 3308, 0).expect("an instance of object 2");
    world.observe(B, &format!("{about}/2/{}", ssid(B).0));
    assert_eq!(grant(&mut world, A, &about, B, 7), Code::CHANGED);
    let values: Vec<Value> = world
        .notified(B)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, [Value::Integer(7)]);
}

#[test]
fn the_owner_can_give_an_instance_away() {
    let mut world = world(READER);
    let about = world.about(A, 3308, 0).expect("an instance of object 2");
    let owner = write_value(&format!("{about}/3"), Value::Integer(ssid(B).0.into()));
    assert_eq!(world.code(B, &owner), Code::UNAUTHORIZED);
    assert_eq!(world.code(A, &owner), Code::CHANGED);
    assert_eq!(grant(&mut world, A, &about, A, 15), Code::UNAUTHORIZED);
    assert_eq!(grant(&mut world, B, &about, B, 3), Code::CHANGED);
    assert_eq!(world.code(B, &write(18.0)), Code::CHANGED);
}

#[test]
fn every_server_has_attributes_of_its_own() {
    let mut world = world(READER);
    let attributes = Operation::WriteAttributes(path("/3303/0/5700"), vec!["pmin=10".to_owned()]);
    assert_eq!(world.code(A, &attributes), Code::CHANGED);
    let shown = |world: &mut World, server| {
        let answer = world.ask(server, &Operation::Discover(path("/3303/0/5700")));
        String::from_utf8(answer.payload).expect("links")
    };
    assert!(shown(&mut world, A).contains("pmin=10"));
    assert!(!shown(&mut world, B).contains("pmin"));
    world.observe(A, "/3303/0/5700");
    world.observe(B, "/3303/0/5700");
    world.change(TEMPERATURE, 25.0);
    assert_eq!((world.notified(A).len(), world.notified(B).len()), (0, 1));
    world.seconds(11);
    assert_eq!(world.notified(A).len(), 1);
}

#[test]
fn a_mute_server_slows_nobody() {
    let mut world = World::new(&[OWNER, READER], &[A]);
    assert!(world.is_registered(B) && !world.is_registered(A));
    world.observe(B, "/3303/0/5700");
    for minute in 0..120 {
        let at = world.now;
        world.change(TEMPERATURE, 30.0 + f64::from(minute));
        let notified: Vec<Duration> = world.notified(B).into_iter().map(|(at, _)| at).collect();
        assert_eq!(notified, [at], "at once");
        world.seconds(60);
    }
    world.silence(A, false);
    world.seconds(7200);
    assert!(world.is_registered(A) && world.is_registered(B));
    world.silence(A, true);
    world.seconds(7200);
    assert!(world.is_registered(B));
    assert_eq!(world.read(B, "/3308/0/5900").code, Code::CONTENT);
    assert_eq!(
        world.code(B, &write(5.0)),
        Code::UNAUTHORIZED,
        "whoever else is there"
    );
    world.change(SET_POINT, 18.0);
}

/// Makes an instance of Portfolio.
fn create(instance: u16) -> Operation {
    let payload = format!(r#"[{{"bn":"/16/{instance}/0/","n":"0","vs":"mine"}}]"#);
    let request = Request {
        content_format: Some(ContentFormat::SenmlJson.number()),
        payload: payload.into_bytes(),
        ..Request::new(Method::Post, vec!["16".to_owned()])
    };
    Operation::Raw(path("/16"), request)
}

fn delete(instance: u16) -> Operation {
    let segments = vec!["16".to_owned(), instance.to_string()];
    Operation::Raw(path("/16"), Request::new(Method::Delete, segments))
}

#[test]
fn what_a_server_makes_is_its_own_until_it_deletes_it() {
    let mut world = World::new(&[OWNER, (false, &[("/16", "C")]), READER], &[]);
    const C: usize = 2;
    assert_eq!(world.code(C, &create(0)), Code::UNAUTHORIZED);
    assert_eq!(world.code(B, &create(0)), Code::CREATED);
    world.seconds(30);
    let about = world.about(B, 16, 0).expect("an instance of object 2");
    assert!(world.listed(A).contains(&about));
    let owner = |world: &mut World| world.read(C, &format!("{about}/3")).value().cloned();
    assert_eq!(owner(&mut world), Some(Value::Integer(102)));
    assert_eq!(acl(&mut world, C, &about), [(101, 15), (102, 15), (103, 1)]);
    assert_eq!(world.read(B, "/16/0/0").code, Code::CONTENT);
    assert_eq!(grant(&mut world, A, &about, C, 0), Code::UNAUTHORIZED);
    assert_eq!(grant(&mut world, B, &about, C, 0), Code::CHANGED);
    assert_eq!(world.read(C, "/16/0/0").code, Code::UNAUTHORIZED);
    assert_eq!(world.code(C, &delete(0)), Code::UNAUTHORIZED);
    world.restart(&[OWNER, (false, &[("/16", "C")]), READER]);
    world.seconds(30);
    assert_eq!(owner(&mut world), Some(Value::Integer(102)));
    assert_eq!(world.code(B, &delete(0)), Code::DELETED);
    assert_eq!(world.about(B, 16, 0), None);
    world.seconds(30);
    assert!(!world.listed(A).contains(&about));
}

#[test]
fn instances_of_object_2_are_neither_made_nor_deleted_by_servers() {
    let mut world = world(READER);
    let about = world.about(A, 3308, 0).expect("an instance of object 2");
    let segments: Vec<String> = about.split('/').skip(1).map(str::to_owned).collect();
    let delete = Operation::Raw(path("/2"), Request::new(Method::Delete, segments));
    let create = Operation::Raw(
        path("/2"),
        Request {
            content_format: Some(ContentFormat::SenmlJson.number()),
            payload: br#"[{"bn":"/2/9/","n":"3","v":101}]"#.to_vec(),
            ..Request::new(Method::Post, vec!["2".to_owned()])
        },
    );
    for refused in [delete, create] {
        assert_eq!(world.code(A, &refused), Code::METHOD_NOT_ALLOWED);
    }
}

#[test]
fn what_a_removed_server_owned_goes_to_the_one_that_may_do_most_or_away() {
    let maker: Share<'_> = (false, &[("/16", "C")]);
    for (entries, heir) in [(&[(103, 3)][..], Some(103)), (&[], None)] {
        let mut world = World::new(
            &[
                (false, &[("/3308", "RW")]),
                maker,
                (false, &[("/3303", "R")]),
            ],
            &[],
        );
        const C: usize = 2;
        assert_eq!(world.code(B, &create(0)), Code::CREATED);
        let about = world.about(B, 16, 0).expect("an instance of object 2");
        for (who, bits) in entries {
            assert_eq!(
                grant(&mut world, B, &about, usize::from(*who - 101u16), *bits),
                Code::CHANGED
            );
        }
        world.input(Input::Configure(Change::RemoveServer(ssid(B))));
        let owner = world.read(C, &format!("{about}/3")).value().cloned();
        assert_eq!(owner, heir.map(Value::Integer));
        let exists = world.read(C, "/16/0/0").code;
        assert_eq!(
            exists,
            if heir.is_some() {
                Code::CONTENT
            } else {
                Code::NOT_FOUND
            }
        );
    }
}

#[test]
fn a_server_that_gives_its_rights_away_has_to_be_reached_still() {
    for (reachable, restarts) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut world = world(READER);
        world.seconds(60);
        let about = world.about(A, 3308, 0).expect("an instance of object 2");
        let give = write_value(&format!("{about}/3"), Value::Integer(ssid(B).0.into()));
        // What the box sends, its Update first of all, is lost.
        world.cut(!reachable);
        world.begin(A, &give);
        if restarts {
            world.restart(&[OWNER, READER]);
        }
        world.seconds(650);
        world.cut(false);
        world.seconds(7200);
        let is_back = world.told.contains(&Event::TakenBack(path("/3308/0")));
        assert_eq!(is_back, !reachable);
        let owner = world.read(B, &format!("{about}/3")).value().cloned();
        let expected = if reachable { 102 } else { 101 };
        assert_eq!(owner, Some(Value::Integer(expected)));
        assert!(!world.has_trials());
    }
}

#[test]
fn an_account_that_nobody_could_manage_comes_back() {
    let mut world = world(READER);
    let about = world.about(A, 1, 1).expect("an instance of object 2");
    world.observe(B, &format!("{about}/2/102"));
    world.cut(true);
    world.begin(A, &list(&about, WriteMode::Replace, &[(101, 1), (102, 1)]));
    world.seconds(650);
    world.cut(false);
    world.seconds(7200);
    assert!(world.told.contains(&Event::TakenBack(path("/1/1"))));
    assert_eq!(acl(&mut world, A, &about), [(101, 15), (102, 7)]);
}

#[test]
fn what_takes_nothing_from_the_writer_is_not_on_trial() {
    let mut world = world(READER);
    let about = world.about(A, 3308, 0).expect("an instance of object 2");
    world.cut(true);
    world.begin(A, &list(&about, WriteMode::Partial, &[(102, 7)]));
    assert!(!world.has_trials());
    world.seconds(10_000);
    world.cut(false);
    world.seconds(7200);
    assert_eq!(acl(&mut world, A, &about), [(101, 15), (102, 7)]);
    assert!(
        !world
            .told
            .iter()
            .any(|event| matches!(event, Event::TakenBack(_)))
    );
}

#[test]
fn two_thousand_lamps_are_announced_with_their_rights() {
    let lamp = |instance| lamplighter_model::ResourceAddress::gateway(3416, instance, 2);
    let lamps: Vec<_> = (0..2000).map(lamp).collect();
    let mut alone = World::new(&[OWNER], &[]);
    alone.declare(&lamps);
    let mut world = world(READER);
    world.declare(&lamps);
    world.seconds(120);
    let about = world
        .listed(B)
        .into_iter()
        .filter(|path| path.starts_with("/2/"))
        .count();
    // The lamps, the two points, two accounts, the box and its statistics, and two objects to create
    // in.
    assert_eq!(about, 2000 + 2 + 2 + 2 + 2);
    // One link more for each: numbers are short, so it is less than as much again.
    let (one, two) = (alone.register_size(), world.register_size());
    assert!(two < 2 * one, "{one} {two}");
    assert_eq!(world.read(B, "/2").nodes.len(), 4 * about);
    assert_eq!(world.code(B, &write(5.0)), Code::UNAUTHORIZED);
}

/// Design, 6 "Engine or machine shut-down".
#[test]
fn what_protects_a_device_is_overridden_by_its_owner_only() {
    let execute = |args: &str| Operation::Execute(path("/3303/0/5605"), args.to_owned());
    let mut world = world((false, &[("*", "RWE")]));
    world.declare(&[RESET]);
    for server in [A, B] {
        assert_eq!(world.code(server, &execute("")), Code::CHANGED);
    }
    assert_eq!(world.code(A, &execute("1='force'")), Code::CHANGED);
    for args in ["1='force'", "0,1='force'"] {
        assert_eq!(world.code(B, &execute(args)), Code::UNAUTHORIZED, "{args}");
    }
    let mut world = World::new(&[(false, &[("*", "RWE")])], &[]);
    world.declare(&[RESET]);
    assert_eq!(world.code(A, &execute("1='force'")), Code::CHANGED, "alone");
}
