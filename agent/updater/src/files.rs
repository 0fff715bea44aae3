//! Files that others may have put there, and files that a power cut must not leave by half.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// Opens an ordinary file of at most `max` bytes; never a link, a pipe or a device.
///
/// # Errors
/// Of the file system; `InvalidInput` where it is something else, `FileTooLarge` where it is larger.
pub fn open(path: &Path, max: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is no file", path.display()),
        ));
    }
    if metadata.len() > max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(file)
}

/// The content of such a file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // It may grow while it is read.
    open(path, max)?.take(max).read_to_end(&mut content)?;
    Ok(content)
}

/// Puts `content` in the place of what is there: a power cut leaves the one or the other.
///
/// # Errors
/// Of the file system.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let written = create(&temporary, mode).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if written.is_err() {
        // Half of it only takes room.
        let _ = remove(&temporary);
    }
    written?;
    put_in_place(&temporary, path)
}

/// A new file; what was left there by somebody who was interrupted goes.
///
/// # Errors
/// Of the file system.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    remove(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let file = options.open(path)?;
    // The mode at creation is cut by the umask.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

/// Renames what is on the disk already.
///
/// # Errors
/// Of the file system.
pub fn put_in_place(temporary: &Path, path: &Path) -> io::Result<()> {
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Copies what a reader gives, up to `max` bytes, and puts it on the disk.
///
/// # Errors
/// Of either side; `FileTooLarge` where there is more.
pub fn copy(from: &mut impl io::Read, to: &Path, max: u64, mode: u32) -> io::Result<u64> {
    let mut file = create(to, mode)?;
    let length = io::copy(&mut from.take(max.saturating_add(1)), &mut file)?;
    if length > max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    file.sync_all()?;
    Ok(length)
}

/// Removes a file that may not be there.
///
/// # Errors
/// Of the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_ordinary_files_is_read() {
        let directory = std::env::temp_dir().join(format!("updater-files-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (file, link) = (directory.join("file"), directory.join("link"));
        replace(&file, b"content", 0o600).unwrap();
        let _ = remove(&link);
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&file, 7).unwrap(), b"content");
        let too_large = read(&file, 6).unwrap_err();
        assert_eq!(too_large.kind(), io::ErrorKind::FileTooLarge);
        assert!(read(&link, 7).is_err(), "a link may lead anywhere");
        assert!(read(&directory, 1 << 20).is_err());
        let pipe = directory.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&pipe, 7).is_err(), "and nobody waits for a pipe");
        fs::remove_dir_all(&directory).unwrap();
    }
}
