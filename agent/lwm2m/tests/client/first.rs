//! The shortest way through the whole core.

use lamplighter_coap::Code;
use lamplighter_model::{Sample, Value, device::Answer};

use crate::common::{self, World, text};

#[test]
fn registers_and_answers_reads() {
    let mut world = World::registered();
    let (_, register) = &world.requests[0];
    assert_eq!(
        register.queries,
        ["ep=cab-17", "lt=3600", "lwm2m=1.1", "b=U"]
    );
    assert_eq!(
        String::from_utf8_lossy(&register.payload),
        "</>;rt=\"oma.lwm2m\";ct=\"110 112 11542\",</1/0>,</3/0>,\
         </3303>;ver=1.1,</3303/0>,</3303/1>,</3308/0>"
    );
    assert_eq!(text(&world.get("/3/0/0")), "Lamplighter");
    assert_eq!(text(&world.get("/1/0/1")), "3600");
    world.request(common::get("/3303/0/5700"));
    let sample = Sample::good(common::TEMPERATURE, Value::Float(21.5), world.now().stamp());
    world.done(Ok(Answer {
        samples: vec![sample],
        failed: Vec::new(),
    }));
    assert_eq!(world.responses.last().unwrap().1.code, Code::CONTENT);
    assert_eq!(text(&world.responses.last().unwrap().1), "21.5");
}
