//! The configuration as a whole: files in, checked configuration or problems with their lines out.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accepted;
mod bearer;
mod bus;
mod creation;
mod gpio;
mod handshake;
mod last_good;
mod layers;
mod location;
mod meters;
mod modbus;
mod mqtt;
mod problems;
mod rules;
mod s0;
mod safety;
mod security;
mod shipped;
mod shipped_templates;
mod standstill;
mod templates;

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use lamplighter::config::{Checked, Hardware, Source};
use lamplighter_model::tables;

/// A server that everything else can stand beside.
const SERVER: &str = r#"
[server.main]
uri = "coaps://192.0.2.5"
short_id = 101
security = { mode = "psk", identity = "cab-17", key = "credential:main-psk" }
"#;

/// A directory of the test's own, empty.
fn directory(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("config-{name}-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("conf.d")).unwrap();
    fs::create_dir_all(path.join("credentials")).unwrap();
    put_secret(
        &path,
        "credentials/main-psk",
        b"hex:000102030405060708090a0b0c0d0e0f\n",
    );
    path
}

fn put_secret(directory: &Path, name: &str, content: &[u8]) {
    let mut options = fs::File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join(name))
        .unwrap();
    std::io::Write::write_all(&mut file, content).unwrap();
}

fn put(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    let mut file = fs::File::create(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

/// A configuration in `directory` on a board with a serial number.
fn source(directory: &Path) -> Source {
    Source {
        main: directory.join("lamplighter.toml"),
        environment: Vec::new(),
        definitions: tables::standard(),
        hardware: Hardware {
            serial: Some((
                "10000000DEADBEEF".to_owned(),
                "the board's serial number".to_owned(),
            )),
            ..Hardware::default()
        },
        templates: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/templates"),
    }
}

/// Checks one main file.
fn check(name: &str, text: &str) -> Checked {
    let directory = directory(name);
    put(&directory, "lamplighter.toml", text);
    let checked = source(&directory).check();
    fs::remove_dir_all(directory).unwrap();
    checked
}
