//! What the site keeps over a restart. The store writes it; there is no file here.

use serde::{Deserialize, Serialize};

/// Slots, guard times and counters of all outputs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedSite {}
