//! The date before which no certificate may have ended is that of this version.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::Path, process::Command};

/// A version that is older than this counts as forgotten.
const OLD: i64 = 180 * 86_400;

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap()
}

/// `WRITTEN` of `agent/lwm2m/src/date.rs`, in seconds since 1970.
fn written() -> i64 {
    let text = fs::read_to_string(root().join("agent/lwm2m/src/date.rs")).unwrap();
    let line = text.lines().find(|line| line.starts_with("const WRITTEN"));
    let number = line.unwrap().split('=').nth(1).unwrap();
    number
        .trim_matches([' ', ';'])
        .replace('_', "")
        .parse()
        .unwrap()
}

/// Of `2026-11-22`, by git, which knows the calendar.
fn git(arguments: &[&str]) -> Option<i64> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().trim_start_matches("--max-age=").parse().ok()
}

/// The headings of CHANGELOG.md that have one: `## 0.2.0 (2027-01-15)`.
fn released() -> Vec<String> {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let headings = text.lines().filter(|line| line.starts_with("## "));
    let date = |line: &str| Some(line.split_once('(')?.1.split(')').next()?.to_owned());
    headings.filter_map(date).collect()
}

#[test]
fn no_release_is_later_than_what_the_program_says_of_itself() {
    for date in released() {
        let begin = format!("--since={date}T00:00:00Z");
        let Some(seconds) = git(&["rev-parse", &begin]) else {
            continue;
        };
        assert!(
            written() >= seconds,
            "raise WRITTEN in agent/lwm2m/src/date.rs to {date}"
        );
    }
}

// Without git, as in a source package, there is nothing to compare with.
#[test]
fn the_date_of_the_program_is_raised_now_and_then() {
    if let Some(commit) = git(&["log", "-1", "--format=%ct"]) {
        let behind = commit - written();
        assert!(behind < OLD, "raise WRITTEN in agent/lwm2m/src/date.rs");
    }
}
