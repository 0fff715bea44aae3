//! What survives a restart, as versioned values. The store writes them; there is no file here.

use serde::{Deserialize, Serialize};

/// A value for the store. A later record of the same [`Record::key`] replaces the earlier.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Record {}
