//! The vendor object Output status: one instance for each output, made from its table on demand.

use lamplighter_model::{ResourceId, object::Operations};

/// A resource of an output's status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StatusResource {
    /// Name of the output.
    Target,
    /// What the winner wants.
    Commanded,
    /// What was last written to the device and accepted.
    InEffect,
    /// What the device was last seen to do.
    Measured,
    /// The slot that decides.
    Winner,
    /// Since when it wants that.
    Since,
    /// When its command ends; 0 for "not by itself".
    Until,
    /// Who gave it.
    By,
    /// What became of the last write, in words.
    Result,
    /// Seconds until a guard lets the winner through. Only made when read.
    GuardLeft,
    /// Whether a command waits for standstill.
    Armed,
    /// Commands what waits for standstill, with `1='force'` at once.
    ShutDown,
    /// Calls off what is armed.
    Cancel,
}

const RESOURCES: &[(u16, StatusResource)] = &[
    (0, StatusResource::Target),
    (1, StatusResource::Commanded),
    (2, StatusResource::InEffect),
    (3, StatusResource::Measured),
    (4, StatusResource::Winner),
    (5, StatusResource::Since),
    (6, StatusResource::Until),
    (7, StatusResource::By),
    (8, StatusResource::Result),
    (9, StatusResource::GuardLeft),
    (10, StatusResource::Armed),
    (11, StatusResource::ShutDown),
    (12, StatusResource::Cancel),
];

impl StatusResource {
    pub(crate) const fn operations(self) -> Operations {
        match self {
            Self::Cancel | Self::ShutDown => Operations {
                read: false,
                write: false,
                execute: true,
            },
            Self::Armed
            | Self::By
            | Self::Commanded
            | Self::GuardLeft
            | Self::InEffect
            | Self::Measured
            | Self::Result
            | Self::Since
            | Self::Target
            | Self::Until
            | Self::Winner => Operations::R,
        }
    }

    /// Whether outputs have it that wait for nothing.
    pub(crate) const fn is_for_all(self) -> bool {
        !matches!(self, Self::Armed | Self::Cancel | Self::ShutDown)
    }
}

pub(crate) fn status_resources() -> impl Iterator<Item = (ResourceId, StatusResource)> {
    RESOURCES
        .iter()
        .map(|(id, resource)| (ResourceId(*id), *resource))
}
