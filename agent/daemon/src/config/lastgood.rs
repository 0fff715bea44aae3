//! The last configuration that was accepted, kept in the state directory: all texts in one file,
//! written at once, the one before it kept as well.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::layer::Texts;
use crate::atomic;

const FORMAT: &str = "lamplighter last good configuration";
const VERSION: u32 = 1;
const CURRENT: &str = "config.last-good.json";
const PREVIOUS: &str = "config.last-good.previous.json";

#[derive(Deserialize, Serialize)]
struct Kept {
    format: String,
    version: u32,
    /// Of the texts as JSON.
    sha256: String,
    texts: Texts,
}

/// Keeps texts that were accepted; what is there already is not written again.
pub(super) fn keep(state_dir: &Path, texts: &Texts) -> io::Result<()> {
    let current = state_dir.join(CURRENT);
    if read_one(&current).as_ref() == Some(texts) {
        return Ok(());
    }
    atomic::private_directory(state_dir)?;
    match fs::rename(&current, state_dir.join(PREVIOUS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    let kept = Kept {
        format: FORMAT.to_owned(),
        version: VERSION,
        sha256: checksum(texts)?,
        texts: texts.clone(),
    };
    atomic::write(&current, &serde_json::to_vec_pretty(&kept)?, 0o600)
}

/// What was kept, newest first. Files that are damaged or of another version are left out.
pub(super) fn kept(state_dir: &Path) -> impl Iterator<Item = (PathBuf, Texts)> {
    [CURRENT, PREVIOUS].into_iter().filter_map(|name| {
        let path = state_dir.join(name);
        let texts = read_one(&path)?;
        Some((path, texts))
    })
}

fn read_one(path: &Path) -> Option<Texts> {
    let kept: Kept = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let is_ours = kept.format == FORMAT && kept.version == VERSION;
    let is_whole = checksum(&kept.texts).is_ok_and(|checksum| checksum == kept.sha256);
    (is_ours && is_whole).then_some(kept.texts)
}

fn checksum(texts: &Texts) -> io::Result<String> {
    let digest = Sha256::digest(serde_json::to_vec(texts)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
