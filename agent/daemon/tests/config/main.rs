//! The configuration as a whole: files in, checked configuration or problems with their lines out.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accepted;
mod creation;
mod last_good;
mod layers;
mod problems;
mod shipped;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use lamplighter::config::{Checked, Hardware, Source};
use lamplighter_model::tables;

/// A server that everything else can stand beside.
const SERVER: &str = r#"
[server.main]
uri = "coap://192.0.2.5"
short_id = 101
security = { mode = "none" }
allow_unsecured = true
"#;

/// A directory of the test's own, empty.
fn directory(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("config-{name}-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("conf.d")).unwrap();
    path
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
