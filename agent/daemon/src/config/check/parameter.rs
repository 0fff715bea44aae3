//! `register_parameters` of `[server.NAME]`.

use std::collections::BTreeMap;

use super::{Checker, below};
use crate::config::layer::Key;

/// Those of the standard (lwm2m/10, 2), which the agent says by itself.
const STANDARD: [&str; 7] = ["Q", "b", "ep", "lt", "lwm2m", "pid", "sms"];
/// A Register has to fit into a datagram with its first block.
const MOST: usize = 8;
/// RFC 7252, 5.10: a Uri-Query has at most 255 bytes.
const LONGEST: usize = 255;

impl Checker<'_> {
    /// Each as `NAME=VALUE`.
    pub(super) fn parameters(
        &mut self,
        server: &Key,
        parameters: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let table = below(server, "register_parameters");
        if parameters.len() > MOST {
            let what = format!("{} parameters", parameters.len());
            self.error(&table, what, format!("at most {MOST}"));
        }
        for (name, value) in parameters {
            let at = below(&table, name);
            if STANDARD.contains(&name.as_str()) {
                let what = format!("`{name}` is a parameter of the standard");
                self.error(&at, what, "the agent says it by itself");
            }
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if name.is_empty() || !name.chars().all(is_plain) {
                let what = format!("`{name}` is no name of a parameter");
                self.error(&at, what, "letters, digits, `-`, `.` and `_`");
            }
            if value.chars().any(char::is_control) || value.contains('&') {
                self.error(&at, "the value has a control character or `&`", "");
            }
            let length = name.len() + 1 + value.len();
            if length > LONGEST {
                let what = format!("{length} bytes with its name");
                self.error(&at, what, format!("at most {LONGEST}"));
            }
        }
        let pairs = parameters.iter();
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}
