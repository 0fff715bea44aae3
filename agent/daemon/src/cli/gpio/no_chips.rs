//! A build without the character device knows simulated lines only.

use super::Row;
use crate::{cli::exit::Failure, commission::GpioLine};

/// Nothing can be held.
pub(super) struct Held;

pub(super) fn rows(_: &[GpioLine]) -> Result<Vec<Row>, Failure> {
    Err(none())
}

pub(super) fn level(_: Option<&str>, _: &str) -> Result<bool, Failure> {
    Err(none())
}

pub(super) fn hold(_: Option<&str>, _: &str, _: bool) -> Result<Held, Failure> {
    Err(none())
}

pub(super) const fn owner<'a>(_: &'a [GpioLine], _: Option<&str>, _: &str) -> Option<&'a GpioLine> {
    None
}

fn none() -> Failure {
    Failure::failed("this build has no backend for the GPIO character device")
}
