//! Hand switches with a limit, and several over one output.

use lamplighter_model::{BootId, Now, ResourceAddress, Value, device::AdapterId};
use lamplighter_site::{
    boundary::{BootState, GroupConfig, ManualConfig, PointConfig, SiteConfig, Slot},
    saved::SavedSite,
};

use crate::rig::{LAMPS, Rig, config, group, lamp, lamp_point, millis, secs, start};

const INPUTS: AdapterId = AdapterId(7);
const HAND: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);
const OTHER_HAND: ResourceAddress = ResourceAddress::gateway(3342, 10, 5500);
const ON: Value = Value::Boolean(true);
const OFF: Value = Value::Boolean(false);

/// A street with a switch for an hour, and a square with one for as long as it stands there; both
/// have lamp 2.
fn street_and_square() -> SiteConfig {
    let hand = |input, limit| ManualConfig {
        on: Some(input),
        off: None,
        limit,
    };
    let street = GroupConfig {
        manual: Some(hand(HAND, Some(secs(3600)))),
        ..group(1..=2, millis(0))
    };
    let square = GroupConfig {
        name: "square".to_owned(),
        standard_instance: None,
        manual: Some(hand(OTHER_HAND, None)),
        ..group(2..=3, millis(0))
    };
    let points = (1..=3).map(lamp_point).collect();
    config(points, vec![street, square])
}

fn begin(config: SiteConfig, saved: Option<SavedSite>, now: Now) -> Rig {
    let mut rig = Rig::restarted(config, saved, now);
    (1..=3).for_each(|number| rig.declare(LAMPS, lamp(number)));
    rig.declare(INPUTS, HAND);
    rig.declare(INPUTS, OTHER_HAND);
    rig.pass(secs(1));
    rig
}

/// The machine starts again and does not know the date.
fn undated() -> Now {
    Now {
        boot: BootId(2),
        mono: secs(20),
        unix: None,
    }
}

fn is_on(rig: &Rig, number: usize) -> bool {
    rig.site.outputs()[number - 1].in_effect == Some(ON)
}

#[test]
fn a_limit_goes_on_over_a_power_cut_of_which_nobody_knows_how_long_it_was() {
    let mut rig = begin(street_and_square(), None, start());
    rig.sample(INPUTS, HAND, ON);
    // What is left is kept every quarter of an hour.
    rig.pass(secs(3500));
    let mut rig = begin(street_and_square(), rig.saved.clone(), undated());
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(800));
    assert!(is_on(&rig, 1));
    rig.pass(secs(200));
    assert!(!is_on(&rig, 1));
    let mut rig = begin(street_and_square(), rig.saved.clone(), undated());
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    assert!(!is_on(&rig, 1), "it is over until the switch is moved");
}

#[test]
fn a_limit_of_a_switch_that_says_off_goes_on_over_a_power_cut_as_well() {
    let dark = || {
        let mut site = street_and_square();
        let (manual, points) = (&mut site.groups[0].manual, &mut site.points);
        *manual = manual.take().map(|manual| ManualConfig {
            on: None,
            off: manual.on,
            ..manual
        });
        let on = |point: &mut PointConfig| point.boot = BootState::On;
        points.iter_mut().for_each(on);
        site
    };
    let mut rig = begin(dark(), None, start());
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(3500));
    assert!(!is_on(&rig, 1));
    let mut rig = begin(dark(), rig.saved.clone(), undated());
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1000));
    assert!(is_on(&rig, 1));
}

#[test]
fn a_limit_ends_at_outputs_that_were_never_kept() {
    let mut rig = begin(street_and_square(), None, start());
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(1));
    let mut saved = rig.saved.clone().expect("a switch that moves is kept");
    // As where they have come into the configuration since.
    saved.outputs.clear();
    let mut rig = begin(street_and_square(), Some(saved), rig.now);
    rig.pass(secs(3500));
    assert!(is_on(&rig, 1));
    rig.pass(secs(200));
    assert!(!is_on(&rig, 1));
}

#[test]
fn when_the_time_of_one_switch_ends_another_over_the_same_output_goes_on() {
    let mut rig = begin(street_and_square(), None, start());
    rig.sample(INPUTS, HAND, ON);
    rig.pass(secs(60));
    rig.sample(INPUTS, OTHER_HAND, ON);
    rig.pass(secs(3600));
    let on = [1, 2, 3].map(|number| is_on(&rig, number));
    assert_eq!(on, [false, true, true]);
    let why = rig.site.why("lamps.l2", rig.now).expect("an output");
    assert_eq!(why.slots[0].slot, Slot::HandSwitch);
    assert_eq!(why.slots[0].ends_in, None);
    rig.sample(INPUTS, OTHER_HAND, OFF);
    rig.pass(secs(1));
    assert!(!is_on(&rig, 2));
}
