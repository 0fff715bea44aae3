//! What may become of what an adapter was asked, by chance.

use lamplighter_model::device::AdapterId;
use proptest::prelude::*;

use crate::rig::{AHU, LAMPS};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Done,
    /// Executed, but the answer is lost.
    DoneUnheard,
    Refused,
    /// Neither executed nor answered.
    Silent,
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Done),
        2 => Just(Outcome::DoneUnheard),
        2 => Just(Outcome::Refused),
        1 => Just(Outcome::Silent),
    ]
}

pub(crate) fn adapter() -> impl Strategy<Value = AdapterId> {
    prop_oneof![Just(LAMPS), Just(AHU)]
}
