//! Which speeds are believed, and for how long.

use lamplighter_model::Stamp;

use super::*;

impl Rig {
    fn drives_since(&mut self, speed: f64, at: Stamp) {
        let sample = Sample::good(SPEED, Value::Float(speed), at);
        let news = AdapterEvent::Changed(vec![sample]);
        self.tell(SiteInput::Adapter(GPS, news));
    }
}

/// A receiver that tells it once a minute has told it at a traffic light.
#[test]
fn one_old_sample_is_no_standstill() {
    let mut rig = running();
    rig.write(ENGINE, OFF);
    rig.drives(0.0);
    rig.wait(secs(3600));
    assert_eq!(rig.asked, []);
    rig.drives(0.0);
    rig.wait(secs(3600));
    assert_eq!(rig.asked, []);
    assert!(rig.is_armed());
}

#[test]
fn between_two_samples_there_is_less_time_than_it_must_have_stood() {
    let mut rig = running();
    rig.write(ENGINE, OFF);
    for _ in 0..20 {
        rig.drives(0.0);
        rig.wait(secs(10));
    }
    assert_eq!(rig.asked, []);
    rig.drives(0.0);
    rig.wait(secs(9));
    rig.drives(0.0);
    assert_eq!(rig.asked, [], "for nine seconds");
    rig.wait(secs(9));
    rig.drives(0.0);
    rig.accept(LAMPS, ENGINE, &OFF);
}

#[test]
fn a_standstill_that_nobody_tells_any_more_is_over() {
    let mut rig = running();
    rig.drives(0.0);
    rig.goes_on(secs(10));
    rig.wait(secs(10));
    let op = rig.write(ENGINE, OFF);
    assert!(rig.is_done(op) && rig.is_armed());
    assert_eq!(rig.asked, []);
    let words = "armed: goes off at standstill; the speed is not known";
    assert_eq!(rig.held_by(), words);
}

/// After a pause of the whole program commands may be heard before timers are.
#[test]
fn the_time_counts_at_which_a_command_comes_whether_the_timer_was_heard_or_not() {
    let mut rig = running();
    rig.drives(0.0);
    rig.goes_on(secs(10));
    rig.advance(secs(10));
    let op = rig.write(ENGINE, OFF);
    assert!(rig.is_done(op) && rig.is_armed());
    assert_eq!(rig.asked, []);
}

#[test]
fn a_speed_that_nobody_has_checked_is_not_known() {
    let mut rig = running();
    rig.write(ENGINE, OFF);
    for _ in 0..60 {
        let sample = Sample {
            quality: Quality::Unchecked,
            ..Sample::good(SPEED, Value::Float(0.0), rig.now.stamp())
        };
        let news = AdapterEvent::Changed(vec![sample]);
        rig.tell(SiteInput::Adapter(GPS, news));
        rig.wait(secs(1));
    }
    assert_eq!(rig.asked, []);
    assert!(rig.is_armed());
}

#[test]
fn what_was_measured_earlier_ends_a_standstill_and_makes_none() {
    let mut rig = running();
    rig.write(ENGINE, OFF);
    let before = rig.now.stamp();
    rig.wait(secs(11));
    rig.drives(0.0);
    rig.drives_since(0.0, before);
    rig.wait(secs(9));
    rig.drives(0.0);
    assert_eq!(rig.asked, [], "for nine seconds");
    rig.drives_since(13.9, before);
    rig.wait(secs(2));
    rig.drives(0.0);
    assert_eq!(rig.asked, [], "it was seen to move");
    assert!(rig.stops_within(secs(10)));
}
