//! Why an operation is refused, as a response code.

use std::time::Duration;

/// A refusal: code, words for people (the diagnostic payload), and how long to wait.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reject {
    /// Class × 100 + detail: 404 for 4.04.
    pub code: u16,
    pub detail: String,
    pub max_age: Option<Duration>,
}
