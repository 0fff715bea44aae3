//! What a change costs does not depend on how many outputs there are beside it.
#![expect(
    clippy::disallowed_methods,
    reason = "what is compared are times of one run"
)]

use std::time::{Duration, Instant};

use lamplighter_model::{
    ResourceAddress, Sample, Value,
    device::{AdapterEvent, AdapterId, Answer},
};
use lamplighter_site::{
    boundary::{
        ClockTrust, GroupConfig, Guard, LampWatchConfig, PhotocellConfig, PointConfig, Policy,
        SiteConfig, SiteInput, SiteOutput,
    },
    saved::SavedChange,
};

use crate::rig::{GROUP_COMMAND, LAMPS, Rig, config, group, lamp, lamp_point, millis, secs, start};

const METER: AdapterId = AdapterId(7);
const POWER: ResourceAddress = ResourceAddress::gateway(3305, 0, 5800);
const TWILIGHT: ResourceAddress = ResourceAddress::gateway(3419, 0, 3);

/// A street of lamps that were off for long, all with a guard, a meter and a twilight switch.
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
    let street = GroupConfig {
        photocell: Some(PhotocellConfig {
            input: TWILIGHT,
            policy: Policy::Or,
            levels: None,
            dwell: secs(0),
            instance: None,
        }),
        ..group(1..=lamps, millis(100))
    };
    let watch = LampWatchConfig {
        name: "main_street".to_owned(),
        target: "main_street".to_owned(),
        input: POWER,
        on_below: Some(10.0),
        off_above: Some(10.0),
        after: secs(10),
    };
    let addresses: Vec<_> = points.iter().map(|point| point.address).collect();
    let config = SiteConfig {
        lamp_watches: vec![watch],
        ..config(points, vec![street])
    };
    let mut rig = Rig::restarted(config, None, start());
    for address in addresses {
        rig.declare(LAMPS, address);
    }
    rig.declare(METER, POWER);
    rig.declare(METER, TWILIGHT);
    rig.sample(METER, TWILIGHT, Value::Boolean(false));
    rig.trust(ClockTrust::Trusted);
    (1..=lamps).for_each(|number| rig.sample(LAMPS, lamp(number), Value::Boolean(false)));
    rig.pass(secs(2000));
    rig.forget();
    rig
}

/// One turn: how long it took, and the bytes that were to be kept of it.
fn turn(rig: &mut Rig, input: SiteInput) -> (Duration, usize) {
    let begun = Instant::now();
    rig.site.handle(input, rig.now);
    let outputs: Vec<_> = std::iter::from_fn(|| rig.site.poll()).collect();
    let took = begun.elapsed();
    let mut bytes = 0;
    for output in outputs {
        match output {
            SiteOutput::Save(SavedChange::Part(part)) => bytes += size(&part),
            SiteOutput::Save(SavedChange::Whole(site)) => bytes += size(&site),
            SiteOutput::Adapter(adapter, request) => rig.asked.push((adapter, request)),
            SiteOutput::Core(_) | SiteOutput::Event(_) => {}
        }
    }
    (took, bytes)
}

fn size(kept: &impl serde::Serialize) -> usize {
    serde_json::to_vec(kept).expect("a form").len()
}

/// What the switching of one lamp of a street costs: the time of the quickest, and the bytes that
/// are to be kept on average.
fn switching(lamps: u16) -> (Duration, usize) {
    let mut rig = street(lamps);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    let (mut best, mut bytes) = (Duration::MAX, 0);
    let switched = 50;
    for _ in 0..switched {
        let (adapter, request) = rig.asked.remove(0);
        rig.advance(millis(20));
        let done = AdapterEvent::Done(request.op, Ok(Answer::default()));
        let answered = turn(&mut rig, SiteInput::Adapter(adapter, done));
        let (due, _) = rig.site.poll_timeout().expect("the next one");
        rig.advance(due.saturating_sub(rig.now.mono));
        let told = turn(&mut rig, SiteInput::Timeout);
        best = best.min(answered.0 + told.0);
        bytes += answered.1 + told.1;
    }
    (best, bytes / switched)
}

/// The quickest time of a measurement that changes nothing.
fn measurement(lamps: u16) -> Duration {
    let mut rig = street(lamps);
    let measured = |rig: &mut Rig| {
        rig.advance(millis(20));
        let samples = [
            (POWER, Value::Float(0.0)),
            (TWILIGHT, Value::Boolean(false)),
        ];
        let samples = samples.map(|(address, value)| Sample::good(address, value, rig.now.stamp()));
        let changed = AdapterEvent::Changed(samples.to_vec());
        turn(rig, SiteInput::Adapter(METER, changed)).0
    };
    (0..50)
        .map(|_| measured(&mut rig))
        .fold(Duration::MAX, Duration::min)
}

#[test]
fn a_switching_costs_the_same_in_a_street_of_a_hundred_and_of_four_thousand_lamps() {
    let (few, few_bytes) = switching(100);
    let (many, many_bytes) = switching(4000);
    assert!(many < few * 3, "{many:?}, and {few:?} among few");
    assert!(few_bytes > 500, "the times of a guard, twice");
    assert!(
        many_bytes <= few_bytes + few_bytes / 4,
        "{many_bytes} bytes, and {few_bytes} among few"
    );
}

#[test]
fn a_measurement_costs_the_same_in_a_street_of_a_hundred_and_of_four_thousand_lamps() {
    let (few, many) = (measurement(100), measurement(4000));
    assert!(many < few * 3, "{many:?}, and {few:?} among few");
}

#[test]
fn a_lamp_that_is_told_what_it_does_already_is_not_kept_anew() {
    let mut rig = street(2);
    rig.write(GROUP_COMMAND, Value::Integer(100));
    rig.pass(secs(60));
    rig.forget();
    rig.remove(LAMPS, lamp(1));
    rig.declare(LAMPS, lamp(1));
    rig.accept(LAMPS, lamp(1), &Value::Boolean(true));
    assert!(!rig.trace.contains(&"save"), "{:?}", rig.trace);
}
