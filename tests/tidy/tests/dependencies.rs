//! Licences and sources of everything that is linked, by the rules of deny.toml; `cargo deny check`
//! says the same and more where it is installed.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;
use toml_edit::DocumentMut;

fn rules() -> DocumentMut {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    fs::read_to_string(root.join("deny.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--all-features",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Whether a licence expression can be met with the allowed ones: any side of OR, all of AND.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" OR ").any(|side| {
        side.split(" AND ").all(|licence| {
            let licence = licence.trim().split(" WITH ").next().unwrap_or_default();
            allowed.contains(licence)
        })
    })
}

#[test]
fn every_licence_is_permissive() {
    let rules = rules();
    let allowed: BTreeSet<String> = rules["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    assert!(!permitted("GPL-3.0-only", &allowed) && permitted("MIT OR GPL-3.0-only", &allowed));
    let exceptions: BTreeMap<String, BTreeSet<String>> = rules["licenses"]["exceptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let entry = entry.as_inline_table().unwrap();
            let licences = entry["allow"].as_array().unwrap().iter();
            let licences = licences.map(|licence| licence.as_str().unwrap().to_owned());
            (
                entry["crate"].as_str().unwrap().to_owned(),
                licences.collect(),
            )
        })
        .collect();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} states no licence"));
        let excepted = exceptions
            .get(name)
            .is_some_and(|also| permitted(licence, also));
        assert!(
            excepted || permitted(licence, &allowed),
            "{name} is under {licence}"
        );
    }
}

#[test]
fn everything_comes_from_the_registry() {
    for package in packages() {
        let source = package["source"].as_str();
        let name = package["name"].as_str().unwrap();
        let registry = source.is_some_and(|source| source.starts_with("registry+"));
        let ours = source.is_none() && name.starts_with("lamplighter");
        assert!(registry || ours, "{name} comes from {source:?}");
    }
}

/// Two versions of one library are allowed where deny.toml says why, and nowhere else.
#[test]
fn every_second_version_has_a_reason() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--all-features"])
        .args(["-e", "normal,build", "--prefix", "none", "--format", "{p}"])
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let version = version.trim_start_matches('v');
            versions.entry(name).or_default().insert(version);
        }
    }
    assert!(versions.contains_key("tokio"), "the tree was not read");
    let rules = rules();
    let skipped: BTreeSet<String> = rules["bans"]["skip"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let entry = entry.as_inline_table().unwrap();
            assert!(
                entry["reason"]
                    .as_str()
                    .is_some_and(|reason| !reason.is_empty())
            );
            entry["crate"].as_str().unwrap().to_owned()
        })
        .collect();
    for (name, versions) in &versions {
        let unexplained = versions
            .iter()
            .filter(|version| !skipped.contains(&format!("{name}@{version}")));
        assert!(unexplained.count() <= 1, "{name} in {versions:?}");
    }
    for skip in &skipped {
        let (name, version) = skip.split_once('@').unwrap();
        let needed = versions
            .get(name)
            .is_some_and(|found| found.len() > 1 && found.contains(version));
        assert!(
            needed,
            "deny.toml skips {skip}, which is not needed any more"
        );
    }
}
