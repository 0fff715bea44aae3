//! Every file that we ship is a configuration without problems.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lamplighter::config::Severity;

use crate::source;

fn config_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

#[test]
fn every_shipped_file_loads_without_errors() {
    let mut files = vec![config_dir().join("lamplighter.toml")];
    for entry in fs::read_dir(config_dir().join("sites")).unwrap() {
        files.push(entry.unwrap().path());
    }
    assert!(files.len() >= 2);
    for file in files {
        let mut source = source(Path::new("/nowhere"));
        source.main.clone_from(&file);
        let checked = source.check();
        let errors: Vec<String> = checked
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(checked.config.is_some() && errors.is_empty(), "{errors:#?}");
    }
}

/// What the README tells people to write is a configuration without problems.
#[test]
fn the_configuration_of_the_readme_loads() {
    let readme = fs::read_to_string(config_dir().join("../README.md")).unwrap();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let directory = crate::directory("readme");
    crate::put(&directory, "lamplighter.toml", text);
    let checked = source(&directory).check();
    assert!(checked.config.is_some());
    assert_eq!(checked.problems, []);
}

/// Without its comment marks the main file uses every key of the schema, and no other.
#[test]
fn the_main_file_shows_every_key() {
    let text = fs::read_to_string(config_dir().join("lamplighter.toml")).unwrap();
    let all: String = text
        .lines()
        .map(|line| {
            line.strip_prefix("#")
                .filter(|rest| !rest.starts_with([' ', '#']))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let directory = crate::directory("every-key");
    let public = "untrusted comment: minisign public key\nRWQBAgMEBQYHCFhmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm\n";
    crate::put(&directory, "update.pub", public);
    let here = directory.join("update.pub");
    let all = all.replace("/etc/lamplighter/update.pub", here.to_str().unwrap());
    crate::put(&directory, "lamplighter.toml", &all);
    crate::put_secret(&directory, "credentials/mqtt", b"text:swordfish\n");
    crate::put_secret(&directory, "credentials/bs-psk", b"text:swordfish\n");
    crate::put_secret(&directory, "credentials/apn", b"text:swordfish\n");
    crate::put_secret(&directory, "credentials/sim-pin", b"text:1234\n");
    for key in ["feeder-guek", "feeder-gak"] {
        let secret = b"hex:000102030405060708090a0b0c0d0e0f\n";
        crate::put_secret(&directory, &format!("credentials/{key}"), secret);
    }
    let password = b"text:12345678\n";
    crate::put_secret(&directory, "credentials/transformer-meter", password);
    let checked = source(&directory).check();
    assert_eq!(checked.problems, []);
    for key in schema_keys() {
        let forms = [
            format!("{key} ="),
            format!("[{key}]"),
            format!("[{key}."),
            format!(".{key}."),
            format!(".{key}]"),
        ];
        let is_there = forms.iter().any(|form| all.contains(form));
        assert!(is_there, "config/lamplighter.toml does not show `{key}`");
    }
}

/// The fields of the schema as they stand in its source.
fn schema_keys() -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut keys = Vec::new();
    for file in [
        "schema.rs",
        "schema/bearer.rs",
        "schema/bus.rs",
        "schema/device.rs",
        "schema/files.rs",
        "schema/mqtt.rs",
        "schema/line_meter.rs",
        "schema/meter.rs",
        "schema/remote.rs",
        "schema/rule.rs",
        "schema/safety.rs",
        "schema/security.rs",
    ] {
        for line in fs::read_to_string(source.join(file)).unwrap().lines() {
            let Some(field) = line
                .trim()
                .strip_prefix("pub ")
                .and_then(|rest| rest.split_once(": "))
            else {
                continue;
            };
            let key = if field.0 == "kind" { "type" } else { field.0 };
            if !key.contains(' ') {
                keys.push(key.to_owned());
            }
        }
    }
    keys
}
