//! Object 7: what goes over the link is counted while a server wants it.

use std::sync::Arc;

use lamplighter_coap::{Code, Request, Response};
use lamplighter_lwm2m::client::ClientConfig;
use lamplighter_model::{ObjectId, tables};

use crate::common::{World, accept_all, accepting, config, definitions, get, text};

/// CON or ACK with a token of at most eight bytes, and no more than a few options.
const SMALL: u64 = 60;

fn counting_config() -> ClientConfig {
    let (mut definitions, standard) = (definitions(), tables::standard());
    for object in [3, 7].map(ObjectId) {
        definitions.insert((**standard.object(object).expect("a standard object")).clone());
    }
    ClientConfig {
        definitions: Arc::new(definitions),
        ..config()
    }
}

fn world() -> World {
    let mut world = World::without_devices(counting_config(), accept_all);
    world.run();
    world
}

impl World {
    fn number(&mut self, resource: u16) -> u64 {
        let answer = self.get(&format!("/7/0/{resource}"));
        assert_eq!(answer.code, Code::CONTENT, "/7/0/{resource}");
        text(&answer).parse().expect("a number")
    }

    fn run_command(&mut self, resource: u16) {
        let answer = self.execute(&format!("/7/0/{resource}"), "");
        assert_eq!(answer.code, Code::CHANGED);
    }

    /// So many Reads of the whole of object 3, each of more than a hundred bytes.
    fn traffic(&mut self, reads: u32) {
        for _ in 0..reads {
            assert_eq!(self.ask(accepting("/3/0", 110)).code, Code::CONTENT);
        }
    }
}

#[test]
fn it_is_registered_and_has_what_can_be_counted() {
    let mut world = world();
    let (_, register) = &world.requests[0];
    let list = String::from_utf8(register.payload.clone()).unwrap();
    assert!(list.contains("</7/0>"), "{list}");
    let links = world.ask(accepting("/7", 40));
    let all = "</7>,</7/0>,</7/0/2>,</7/0/3>,</7/0/4>,</7/0/5>,</7/0/6>,</7/0/7>,</7/0/8>";
    assert_eq!(text(&links), all);
    // There are no short messages here.
    assert_eq!(world.get("/7/0/0").code, Code::NOT_FOUND);
    assert_eq!(world.put("/7/0/2", "1").code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.execute("/7/0/8", "").code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn nothing_is_counted_before_the_start_and_after_the_stop() {
    let mut world = world();
    world.traffic(20);
    assert_eq!([2, 3, 4, 5].map(|id| world.number(id)), [0; 4]);
    world.run_command(6);
    world.traffic(40);
    world.run_command(7);
    let counted = [2, 3, 4, 5].map(|id| world.number(id));
    let [sent, received, largest, average] = counted;
    // 40 answers with the values of object 3 against 40 short questions.
    assert!(sent > received && received >= 1, "{counted:?}");
    assert!(largest > average && average > 0, "{counted:?}");
    world.traffic(40);
    assert_eq!([2, 3, 4, 5].map(|id| world.number(id)), counted);
}

/// lwm2m/70: in units of 1000 bytes, with the headers of the network.
#[test]
fn bytes_are_counted_with_the_headers_in_front_of_them() {
    let mut world = world();
    world.run_command(6);
    for _ in 0..100 {
        assert_eq!(world.get("/3/0/16").code, Code::CONTENT);
    }
    world.run_command(7);
    let [sent, received, largest, average] = [2, 3, 4, 5].map(|id| world.number(id));
    // 28 bytes of headers alone are 2.8 kB of a hundred datagrams.
    assert!((3..9).contains(&sent), "{sent}");
    assert!((3..9).contains(&received), "{received}");
    assert!(largest < SMALL && average <= largest, "{largest} {average}");
    assert!(average >= 8, "{average}");
}

#[test]
fn a_start_begins_from_nothing() {
    let mut world = world();
    world.run_command(6);
    world.traffic(40);
    let largest = world.number(4);
    assert!(largest > SMALL && world.number(2) > 0, "{largest}");
    world.run_command(6);
    assert_eq!(world.number(2), 0);
    assert!(world.number(4) < largest);
}

#[test]
fn a_collection_ends_with_its_period() {
    let mut world = world();
    assert_eq!(world.number(8), 0);
    assert_eq!(world.put("/7/0/8", "60").code, Code::CHANGED);
    world.run_command(6);
    world.seconds(59);
    world.traffic(40);
    let counted = world.number(2);
    assert!(counted > 0);
    world.seconds(1);
    let frozen = [2, 3, 4, 5].map(|id| world.number(id));
    world.traffic(40);
    assert_eq!([2, 3, 4, 5].map(|id| world.number(id)), frozen);
    // A longer period does not take up what is over.
    assert_eq!(world.put("/7/0/8", "3600").code, Code::CHANGED);
    world.traffic(40);
    assert_eq!([2, 3, 4, 5].map(|id| world.number(id)), frozen);
    for bad in ["-1", "4294967296", "soon"] {
        assert_eq!(world.put("/7/0/8", bad).code, Code::BAD_REQUEST, "{bad}");
    }
    assert_eq!(world.number(8), 3600);
}

/// To tell a counter is a message, which would change it, and so on.
#[test]
fn counters_are_told_at_their_start_and_end_and_by_the_maximum_period() {
    let mut world = world();
    let observe = Request {
        observe: Some(0),
        ..get("/7/0/5")
    };
    assert_eq!(world.ask(observe).code, Code::CONTENT);
    assert_eq!(
        world.attributes("/7/0/5", &["pmax=100"]).code,
        Code::CHANGED
    );
    world.run_command(6);
    world.traffic(20);
    let before = world.notifications.len();
    world.seconds(1);
    assert!(world.notifications.len() - before <= 1);
    let before = world.notifications.len();
    world.seconds(300);
    assert!((2..=4).contains(&(world.notifications.len() - before)));
    let before = world.notifications.len();
    world.run_command(7);
    world.seconds(1);
    assert_eq!(world.notifications.len(), before + 1);
    let told = world.notifications.last().map(|(_, _, told)| text(told));
    let told = told.map(str::to_owned);
    assert_eq!(told, Some(world.number(5).to_string()));
}

#[test]
fn the_period_is_kept_over_a_restart() {
    let mut world = world();
    assert_eq!(world.put("/7/0/8", "900").code, Code::CHANGED);
    let records = world.records();
    let mut again = World::new(counting_config(), records, accept_all);
    again.run();
    again.seconds(1);
    assert_eq!(again.number(8), 900);
}

#[test]
fn nobody_makes_another_instance_or_deletes_the_one_there_is() {
    let mut world = world();
    let create: Response = world.post("/7", 110, br#"[{"bn":"/7/1/","n":"8","v":1}]"#);
    assert_eq!(create.code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.delete("/7/0").code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.get("/7/1").code, Code::NOT_FOUND);
}
