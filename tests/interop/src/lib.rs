//! Starts real peers for the tests beside it: a Leshan server, the agent as a user starts it.
//!
//! `make peers` brings what they need under `target/peers`; a missing peer is a failure, never a
//! skipped test.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod agent;
pub mod coap;
pub mod leshan;
pub mod lines;
pub mod manager;
pub mod modem;
pub mod openssl;
pub mod relay;
pub mod secured;
pub mod station;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// The directory that cargo builds into, whatever it is set to.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps");
    profile.parent().unwrap().to_owned()
}

/// Where `make peers` puts foreign software.
pub fn peers() -> PathBuf {
    std::env::var_os("PEERS_DIR").map_or_else(|| root().join("target/peers"), PathBuf::from)
}

/// Writes a file of a test.
#[expect(
    clippy::disallowed_methods,
    reason = "no power cut to fear: nobody reads it before it is whole"
)]
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A fresh directory of one test below the target directory.
pub fn scratch(name: &str) -> PathBuf {
    let path = target().join("scratch").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
