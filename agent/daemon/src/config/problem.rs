//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

use serde::Serialize;

/// One finding. Printed as `file:line: error: what (hint)`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    pub severity: Severity,
    pub place: Place,
    /// The key concerned, dotted; empty where a whole file is.
    pub key: String,
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// One account is not used, because its credentials cannot be; everything else is.
    #[serde(rename = "error")]
    Account,
    /// It is used, but somebody should look.
    Warning,
}

/// Where something stands: a line of a file, or a variable of the environment.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Place {
    /// Position of the file among the layers, so that problems are listed in that order.
    #[serde(skip)]
    pub layer: usize,
    pub file: String,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Account | Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: {}", self.place, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// The candidate that `wrong` was probably meant to be.
pub(super) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let permitted = (wrong.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wrong, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= permitted)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Number of characters to insert, remove, replace or swap with a neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_key_that_was_meant() {
        let keys = ["lifetime_s", "short_id", "uri", "version"];
        assert_eq!(nearest("lifetme_s", keys), Some("lifetime_s"));
        assert_eq!(nearest("ur", keys), Some("uri"));
        assert_eq!(nearest("shrot_id", keys), Some("short_id"));
        assert_eq!(nearest("colour", keys), None);
    }
}
