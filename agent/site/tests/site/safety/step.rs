//! What can happen.

use lamplighter_model::device::AdapterId;
use proptest::prelude::*;

use super::plant::{LOCKS, NAMES};
use crate::outcome::{Outcome, adapter, outcome};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Answer(AdapterId, Outcome),
    Back(AdapterId),
    Calm,
    Command {
        output: usize,
        on: bool,
        hold: Option<u64>,
    },
    Crash,
    Dark(bool),
    /// The date is known, if it was not.
    Dated,
    Group {
        group: usize,
        on: bool,
        hold: Option<u64>,
    },
    Hand(bool),
    Hot(bool),
    /// The step begins, and the program is killed after it has said so much.
    Kill(usize, Box<Self>),
    /// The heater's contact says what is not so.
    Lie,
    Lock(usize),
    Lost(AdapterId),
    /// Somebody at the device switches it, which is seen at once.
    Meddle {
        output: usize,
        on: bool,
    },
    PowerCut {
        seconds: u64,
        date: Date,
    },
    Seen(usize),
    ServerContact(bool),
    Unlock(Option<usize>),
    Wait(u64),
    WaitMillis(u64),
}

/// What the box knows of the date after a power cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Date {
    /// Believes nobody, and is wrong by so many seconds.
    Estimated(i64),
    Trusted,
    Unknown,
}

fn date() -> impl Strategy<Value = Date> {
    prop_oneof![
        2 => (-900i64..5000).prop_map(Date::Estimated),
        2 => Just(Date::Trusted),
        1 => Just(Date::Unknown),
    ]
}

fn plain_step() -> impl Strategy<Value = Step> {
    let hold = || prop::option::weighted(0.3, 1u64..600);
    prop_oneof![
        10 => (adapter(), outcome()).prop_map(|(adapter, outcome)| Step::Answer(adapter, outcome)),
        1 => adapter().prop_map(Step::Back),
        8 => (0..NAMES.len(), any::<bool>(), hold())
            .prop_map(|(output, on, hold)| Step::Command { output, on, hold }),
        1 => Just(Step::Crash),
        2 => any::<bool>().prop_map(Step::Dark),
        1 => Just(Step::Dated),
        2 => any::<bool>().prop_map(Step::Hot),
        4 => (0..2usize, any::<bool>(), hold())
            .prop_map(|(group, on, hold)| Step::Group { group, on, hold }),
        2 => any::<bool>().prop_map(Step::Hand),
        1 => Just(Step::Lie),
        1 => (0..LOCKS.len()).prop_map(Step::Lock),
        1 => adapter().prop_map(Step::Lost),
        1 => (0..NAMES.len(), any::<bool>())
            .prop_map(|(output, on)| Step::Meddle { output, on }),
        1 => (0u64..900, date())
            .prop_map(|(seconds, date)| Step::PowerCut { seconds, date }),
        4 => (0..NAMES.len()).prop_map(Step::Seen),
        1 => any::<bool>().prop_map(Step::ServerContact),
        1 => prop::option::of(0..LOCKS.len()).prop_map(Step::Unlock),
        6 => prop_oneof![0u64..3, 3u64..400].prop_map(Step::Wait),
        2 => (0u64..2500).prop_map(Step::WaitMillis),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => plain_step(),
        2 => (0..6usize, plain_step())
            .prop_map(|(after, step)| Step::Kill(after, Box::new(step))),
        1 => Just(Step::Calm),
    ]
}
