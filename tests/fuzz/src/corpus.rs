//! The inputs that are kept, one file each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the inputs of a target lie.
pub fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// All inputs of a target with their file names, in the order of these.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn read(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(directory(target))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        inputs.push((name, fs::read(entry.path())?));
    }
    inputs.sort();
    Ok(inputs)
}

/// Keeps an input under this name.
///
/// # Errors
/// The file cannot be written.
#[expect(
    clippy::disallowed_methods,
    reason = "half a file after a power cut is an input as good as another"
)]
pub fn write(target: &str, name: &str, input: &[u8]) -> io::Result<PathBuf> {
    let directory = directory(target);
    fs::create_dir_all(&directory)?;
    let path = directory.join(name);
    fs::write(&path, input)?;
    Ok(path)
}
