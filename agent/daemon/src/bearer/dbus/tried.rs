//! What the tasks of the managers know of their bearers beside what the managers say: what was tried,
//! what they wait for. It goes on over a reload, which ends the tasks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{line::Line, memory::Memory, networks::Wire};
use crate::{bearer::BearerId, config::Bearer};

/// A handle; the tasks leave theirs here when they end, and take up what is left of those before.
#[derive(Clone, Debug, Default)]
pub struct Tried(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    memory: Option<Memory>,
    /// The times of all lines count from here.
    start: Option<Instant>,
    lines: Vec<Line>,
    wires: Vec<Wire>,
}

impl Tried {
    pub(super) fn memory(&self, open: impl FnOnce() -> Memory) -> Memory {
        self.left().memory.get_or_insert_with(open).clone()
    }

    pub(super) fn start(&self) -> Instant {
        *self.left().start.get_or_insert_with(Instant::now)
    }

    /// That of the same bearer, where nothing of its configuration has changed.
    pub(super) fn take_line(&self, id: BearerId, bearer: &Bearer) -> Option<Line> {
        let mut left = self.left();
        let at = left.lines.iter().position(|line| line.bearer == *bearer)?;
        Some(left.lines.swap_remove(at).renumbered(id))
    }

    pub(super) fn leave_lines(&self, lines: Vec<Line>) {
        self.left().lines = lines;
    }

    pub(super) fn take_wire(&self, id: BearerId, bearer: &Bearer) -> Option<Wire> {
        let mut left = self.left();
        let is_same = |wire: &Wire| wire.bearer == *bearer;
        let at = left.wires.iter().position(is_same)?;
        Some(left.wires.swap_remove(at).renumbered(id))
    }

    pub(super) fn leave_wires(&self, wires: Vec<Wire>) {
        self.left().wires = wires;
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
