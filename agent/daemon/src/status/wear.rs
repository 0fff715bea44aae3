//! What a device and its line have been through since the start: errors by kind, and what they do
//! not do as they should. Adapters count; who looks asks them.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// As an adapter has it now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wear {
    /// By kind: `timeout`, `garbled`, `line_down`, `exception_6` …
    pub errors: BTreeMap<String, u64>,
    /// What it was found not to do, in words.
    pub notes: Vec<String>,
    /// Of the last answer.
    pub round_trip_ms: Option<f64>,
}

/// Asks an adapter, without disturbing it.
#[derive(Clone)]
pub struct WearSource(Arc<dyn Fn() -> Wear + Send + Sync>);

impl WearSource {
    pub fn new(ask: impl Fn() -> Wear + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub fn now(&self) -> Wear {
        (self.0)()
    }
}

impl fmt::Debug for WearSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WearSource")
    }
}
