//! What a change costs does not depend on how many outputs there are beside it.

use lamplighter_model::{
    Value,
    device::{AdapterEvent, Answer},
};
use lamplighter_site::{
    boundary::{Guard, PointConfig, SiteInput, SiteOutput},
    saved::SavedChange,
};

use crate::rig::{GROUP_COMMAND, LAMPS, Rig, group, lamp, lamp_point, millis, secs};

/// A street of lamps that were off for long, all with a guard.
fn street(lamps: u16) -> Rig {
    let guard = Guard {
        min_on: secs(10),
        min_off: secs(10),
        ..Guard::default()
    };
    let point = |number| PointConfig {
        guard: Some(guard),
        ..lamp_point(number)
    };
    let points: Vec<_> = (1..=lamps).map(point).collect();
    let mut rig = Rig::ready(points, vec![group(1..=lamps, millis(100))]);
    (1..=lamps).for_each(|number| rig.sample(LAMPS, lamp(number), Value::Boolean(false)));
    rig.pass(secs(600));
    rig.forget();
    rig
}

/// One turn, and the bytes that were to be kept of it.
fn turn(rig: &mut Rig, input: SiteInput) -> usize {
    rig.site.handle(input, rig.now);
    let mut bytes = 0;
    while let Some(output) = rig.site.poll() {
        match output {
            SiteOutput::Save(SavedChange::Part(part)) => bytes += size(&part),
            SiteOutput::Save(SavedChange::Whole(site)) => bytes += size(&site),
            SiteOutput::Adapter(adapter, request) => rig.asked.push((adapter, request)),
            SiteOutput::Core(_) | SiteOutput::Event(_) => {}
        }
    }
    bytes
}

fn size(kept: &impl serde::Serialize) -> usize {
    serde_json::to_vec(kept).expect("a form").len()
}

/// Bytes that are to be kept of the switching of one lamp of a street.
fn kept_of_a_switching(lamps: u16) -> usize {
    let mut rig = street(lamps);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    let mut bytes = 0;
    let switched = 20;
    for _ in 0..switched {
        let (adapter, request) = rig.asked.remove(0);
        rig.advance(millis(20));
        let done = AdapterEvent::Done(request.op, Ok(Answer::default()));
        bytes += turn(&mut rig, SiteInput::Adapter(adapter, done));
        let (due, _) = rig.site.poll_timeout().expect("the next one");
        rig.advance(due.saturating_sub(rig.now.mono));
        bytes += turn(&mut rig, SiteInput::Timeout);
    }
    bytes / switched
}

#[test]
fn what_is_kept_of_a_switching_is_the_same_in_a_street_of_twenty_one_and_of_two_thousand_lamps() {
    let (few, many) = (kept_of_a_switching(21), kept_of_a_switching(2000));
    assert!(few > 0);
    assert!(many <= few + few / 4, "{many} bytes, and {few} among few");
}
