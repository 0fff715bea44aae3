//! Whether a serial port can be opened, and if not, what to do about it.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    unistd::{Gid, Group},
};

use crate::cli::exit::{Exit, Failure};

/// # Errors
/// It is not there, may not be opened, or somebody else has it.
pub(in crate::cli) fn is_free(path: &Path) -> Result<(), Failure> {
    let at = path.display();
    let opened = fs::File::options()
        .read(true)
        .write(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => return Err(unopened(path, &error)),
    };
    // Whoever has opened a port keeps a lock on it.
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => Err(in_use(path)),
        Err((_, error)) => Err(Failure::failed(format!("{at}: {error}"))),
        Ok(_lock) => Ok(()),
    }
}

fn unopened(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::failed(format!("there is no {at}; see ls -l /dev/serial/by-id/"));
    }
    if error.kind() == io::ErrorKind::ResourceBusy {
        return in_use(path);
    }
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Failure::failed(format!("{at}: {error}"));
    }
    let owner = fs::metadata(path).map(|file| Gid::from_raw(file.gid()));
    let group = owner
        .ok()
        .and_then(|owner| Group::from_gid(owner).ok().flatten());
    let group = group.map_or_else(|| "dialout".to_owned(), |group| group.name);
    let text =
        format!("{at}: no permission; join the group `{group}`: sudo usermod -aG {group} $USER");
    Failure::new(Exit::NoPermission, text)
}

fn in_use(path: &Path) -> Failure {
    let users = users_of(path);
    let users = if users.is_empty() {
        "another program".to_owned()
    } else {
        users.join(", ")
    };
    Failure::failed(format!(
        "{} is in use by {users}; stop it, or ask through it by the name of the bus",
        path.display()
    ))
}

/// Other programs that have the file open, as far as this user may see that.
fn users_of(path: &Path) -> Vec<String> {
    let Ok(path) = path.canonicalize() else {
        return Vec::new();
    };
    let own = std::process::id();
    let mut users = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id: Option<u32> = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(id) = id.filter(|id| *id != own) else {
            continue;
        };
        let files = fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let has_it = files
            .into_iter()
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == path));
        if has_it {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            users.push(format!("{} (process {id})", name.trim()));
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_may_not_be_opened_names_the_group_of_its_file() {
        let path = Path::new("/dev/null");
        let failure = unopened(path, &io::ErrorKind::PermissionDenied.into());
        assert_eq!(failure.exit, Exit::NoPermission);
        assert!(failure.text.contains("join the group `"), "{failure}");
        assert_eq!(
            unopened(path, &io::ErrorKind::NotFound.into()).exit,
            Exit::Failed
        );
        let busy = unopened(path, &io::ErrorKind::ResourceBusy.into());
        assert!(busy.text.contains("is in use by"), "{busy}");
    }

    #[test]
    fn a_port_that_somebody_has_opened_is_not_free() {
        let path = std::env::temp_dir().join(format!("lamplighter-port-{}", std::process::id()));
        let file = fs::File::create(&path).unwrap();
        assert_eq!(is_free(&path), Ok(()));
        let _lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(is_free(&path).unwrap_err().text.contains("is in use"));
        fs::remove_file(&path).unwrap();
    }
}
