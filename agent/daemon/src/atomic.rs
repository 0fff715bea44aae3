//! Writes small files so that a power cut leaves the old content or the new, never half of one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::Path,
};

/// Writes `content` to `path` with `mode`. Written as root, the file belongs to the owner of its
/// directory, so that the service can read what an administrator sets.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other(format!(
            "{} names no file",
            path.display()
        )));
    };
    let temporary = directory.join(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    let written =
        write_new(&temporary, directory, content, mode).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // What matters is why it failed, not whether the left-over could be removed.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

/// Makes a directory for files that only the service reads; one that exists is left as it is.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    directory_with(path, 0o700)
}

/// Makes a directory that everybody may read; one that exists is left as it is.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    directory_with(path, 0o755)
}

fn directory_with(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    match path.parent() {
        Some(parent) => own_like(path, parent),
        None => Ok(()),
    }
}

fn write_new(path: &Path, directory: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The mode at creation is cut by the umask.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    own_like(path, directory)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Written as root, a file belongs to the owner of what stands beside it.
pub(crate) fn own_like(path: &Path, model: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let model = fs::metadata(model)?;
    std::os::unix::fs::chown(path, Some(model.uid()), Some(model.gid()))
}
