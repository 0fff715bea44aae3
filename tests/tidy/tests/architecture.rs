//! The map in ARCHITECTURE.md and the crate edges are what the tree says, both ways.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What each of our crates may depend on of ours, tests aside (ARCHITECTURE.md, "Crates").
const EDGES: &[(&str, &[&str])] = &[
    (
        "lamplighter",
        &[
            "adapters", "coap", "dtls", "lwm2m", "model", "sim", "site", "updater",
        ],
    ),
    ("lamplighter-adapters", &["model"]),
    ("lamplighter-bench", &["adapters", "sim"]),
    ("lamplighter-coap", &[]),
    ("lamplighter-dtls", &[]),
    (
        "lamplighter-fuzz",
        &[
            "adapters",
            "coap",
            "dtls",
            "lwm2m",
            "model",
            "sim",
            "sim-tests",
            "site",
        ],
    ),
    ("lamplighter-interop", &["adapters", "dtls", "sim"]),
    ("lamplighter-lwm2m", &["coap", "dtls", "model"]),
    ("lamplighter-model", &[]),
    ("lamplighter-netns", &["interop"]),
    (
        "lamplighter-sim",
        &["adapters", "coap", "dtls", "lwm2m", "model"],
    ),
    ("lamplighter-sim-tests", &["coap", "lwm2m", "model", "sim"]),
    ("lamplighter-site", &["model"]),
    ("lamplighter-tidy", &[]),
    ("lamplighter-updater", &[]),
    ("lamplighter-web", &[]),
];

/// Crates that must stay free of any runtime.
const PURE: &[&str] = &["model", "coap", "dtls", "lwm2m", "site"];

/// What makes a crate impure.
const RUNTIME: &[&str] = &["tokio", "mio", "socket2"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn metadata(arguments: &[&str]) -> Value {
    let mut all = vec!["metadata", "--format-version", "1", "--locked"];
    all.extend(arguments);
    serde_json::from_str(&cargo(&all)).unwrap()
}

/// Paths that the map's code block names, relative to the root; directories end with a slash.
fn map() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let block = text
        .split("<!-- map -->")
        .nth(1)
        .expect("ARCHITECTURE.md has a map between two markers");
    let paths = block
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    paths
        .filter(|path| path.contains('/'))
        .map(str::to_owned)
        .collect()
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_the_map_exists() {
    let map = map();
    assert!(map.len() > 30, "the map was not read");
    for path in map {
        assert!(
            root().join(&path).exists(),
            "ARCHITECTURE.md names {path}, which does not exist"
        );
    }
}

#[test]
fn every_source_file_is_on_the_map() {
    let map = map();
    let mut files = Vec::new();
    for source in [
        "adapters/src",
        "agent/coap/src",
        "agent/daemon/src",
        "agent/dtls/src",
        "agent/lwm2m/src",
    ]
    .into_iter()
    .chain([
        "agent/model/src",
        "agent/sim/src",
        "agent/site/src",
        "agent/updater/src",
    ]) {
        rust_files(&root().join(source), &mut files);
    }
    for file in files {
        let relative = file
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let listed = map.iter().any(|path| {
            *path == relative
                || (path.ends_with('/') && !path.ends_with("src/") && relative.starts_with(path))
        });
        assert!(
            listed || relative.ends_with("/lib.rs"),
            "ARCHITECTURE.md does not name {relative}"
        );
    }
}

#[test]
fn crates_depend_only_on_what_they_may() {
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    for package in metadata(&["--no-deps"])["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the table of crate edges"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let normal = dependency["kind"].is_null();
            let Some(ours) = dependency["name"]
                .as_str()
                .unwrap()
                .strip_prefix("lamplighter-")
            else {
                continue;
            };
            assert!(
                !normal || may.contains(&ours),
                "{name} may not depend on lamplighter-{ours}"
            );
        }
    }
}

#[test]
fn core_crates_have_no_runtime() {
    for name in PURE {
        let tree = cargo(&[
            "tree",
            "--locked",
            "-p",
            &format!("lamplighter-{name}"),
            "-e",
            "normal",
            "--prefix",
            "none",
        ]);
        let runtime = runtimes(&tree);
        assert!(
            runtime.is_empty(),
            "lamplighter-{name} pulls in {runtime:?}"
        );
    }
    // The check checks itself: it must see the runtime where there is one.
    let daemon = cargo(&[
        "tree",
        "--locked",
        "-p",
        "lamplighter",
        "-e",
        "normal",
        "--prefix",
        "none",
    ]);
    assert!(
        !runtimes(&daemon).is_empty(),
        "the purity check no longer finds tokio in the daemon"
    );
}

fn runtimes(tree: &str) -> Vec<&str> {
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| RUNTIME.contains(name))
        .collect()
}

#[test]
fn the_router_of_the_core_only_routes() {
    let client = fs::read_to_string(root().join("agent/lwm2m/src/client.rs")).unwrap();
    let lines = client
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count();
    assert!(
        lines <= 400,
        "agent/lwm2m/src/client.rs has {lines} lines; it routes and nothing else"
    );
}
