//! From the wish of a person at the box to an operation.

use lamplighter_model::Path;

use super::{Body, Mode, Operation, Watch};
use crate::boundary::LocalOperation;

pub(crate) fn from_local(operation: LocalOperation) -> (Operation, Path) {
    match operation {
        LocalOperation::Discover(path) => (Operation::Discover(Vec::new()), path),
        LocalOperation::Execute { path, args } => (Operation::Execute { args }, path),
        LocalOperation::Read(path) => (
            Operation::Read {
                accept: None,
                watch: Watch::No,
            },
            path,
        ),
        LocalOperation::Write { path, value, hold } => (
            Operation::Write {
                body: Body::Value(value),
                mode: Mode::Replace,
                hold,
            },
            path,
        ),
    }
}
