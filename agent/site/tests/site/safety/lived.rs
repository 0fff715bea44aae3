//! Histories that went wrong once.

use super::{
    World,
    plant::{COMPRESSOR_AT, HEATER_AT},
    step::Step,
};
use crate::{outcome::Outcome, rig::AHU};

fn lived(steps: Vec<Step>) {
    let mut world = World::new();
    steps.into_iter().for_each(|step| world.take(step));
    world.calm_down();
    world.check();
}

fn command(output: usize, on: bool) -> Step {
    let hold = None;
    Step::Command { output, on, hold }
}

#[test]
fn what_may_have_gone_off_unheard_is_not_told_to_be_on_beside_another() {
    lived(vec![
        Step::Calm,
        Step::Hot(true),
        Step::Calm,
        command(COMPRESSOR_AT, false),
        Step::Answer(AHU, Outcome::DoneUnheard),
        Step::Meddle {
            output: HEATER_AT,
            on: true,
        },
        Step::Wait(201),
        Step::Calm,
    ]);
}

#[test]
fn what_went_on_unheard_is_not_switched_off_because_another_seems_to_be_on() {
    lived(vec![
        Step::Calm,
        Step::Hot(true),
        Step::Answer(AHU, Outcome::DoneUnheard),
        Step::Lie,
        Step::Calm,
    ]);
}

#[test]
fn a_command_on_its_way_is_not_forgotten_when_a_later_one_is_overruled() {
    lived(vec![
        Step::Calm,
        command(2, true),
        command(2, true),
        Step::Lock(2),
        Step::Unlock(None),
    ]);
}

#[test]
fn servers_that_are_lost_in_a_time_that_nobody_keeps_end_nothing_for_certain() {
    lived(vec![
        Step::Answer(AHU, Outcome::Done),
        Step::ServerContact(false),
        Step::Group {
            group: 1,
            on: true,
            hold: None,
        },
        Step::Kill(0, Box::new(Step::Wait(240))),
    ]);
}

#[test]
fn a_command_that_ends_before_it_was_begun_leaves_the_one_before_in_force() {
    let lamp = 2;
    lived(vec![
        command(lamp, true),
        Step::Wait(2),
        Step::Command {
            output: lamp,
            on: true,
            hold: Some(1),
        },
        Step::Wait(1),
    ]);
}

#[test]
fn what_an_interlock_ends_may_be_ended_although_the_reason_has_gone_within_the_same_time() {
    lived(vec![
        Step::Meddle {
            output: COMPRESSOR_AT,
            on: true,
        },
        Step::Crash,
        Step::Lie,
        Step::Calm,
    ]);
}
