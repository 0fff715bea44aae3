//! Sockets of this box: their files, and who is at the other end, as the kernel says.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::net::{UnixListener, unix::UCred};
use tracing::debug;

/// Members may control the agent.
pub(crate) const GROUP: &str = "lamplighter";
/// Where the installation makes the group. Asking the name service instead would load its modules
/// for this one question, 0.4 MB that stay.
const GROUPS: &str = "/etc/group";

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another agent answers on {0}")]
    InUse(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

/// Who may open a socket; what it then may do is judged by its credentials.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Entry {
    /// The members of [`GROUP`].
    Group,
    Everybody,
}

/// Binds a socket. A file that nobody listens on is replaced.
pub(crate) fn bind(path: &Path, entry: Entry) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |error| SocketError::Io {
        path: path.to_owned(),
        error,
    };
    // The kernel refuses where nobody listens; everything else is somebody, or not for us.
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let file = SocketFile(path.to_owned());
    let mode = match entry {
        Entry::Everybody => 0o666,
        Entry::Group => 0o660,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    give_to_group(path);
    Ok((listener, file))
}

/// Credentials of the process at the other end, as the kernel took them when it connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    gid: u32,
}

impl Peer {
    /// Nobody is let in whose credentials are unknown: this is no one's id.
    pub(crate) const NOBODY: Self = Self {
        uid: u32::MAX,
        gid: u32::MAX,
    };

    /// The user's name if root, the agent's own user, or a member of the group.
    pub(crate) fn permitted_name(self) -> Option<String> {
        if self.uid == Self::NOBODY.uid {
            return None;
        }
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        let own = self.uid == 0 || self.uid == geteuid().as_raw();
        if !own && !self.is_member(user.as_ref(), GROUP) {
            return None;
        }
        Some(self.name(user))
    }

    /// The user's name if it is this one, or a member of this group.
    pub(crate) fn name_among(self, permitted: Option<&str>, group: Option<&str>) -> Option<String> {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten()?;
        let is_named = permitted.is_some_and(|name| name == user.name);
        let is_member = group.is_some_and(|group| self.is_member(Some(&user), group));
        (is_named || is_member).then_some(user.name)
    }

    fn name(self, user: Option<User>) -> String {
        user.map_or_else(|| format!("uid {}", self.uid), |user| user.name)
    }

    fn is_member(self, user: Option<&User>, group: &str) -> bool {
        let Ok(Some(group)) = Group::from_name(group) else {
            return false;
        };
        if group.gid.as_raw() == self.gid {
            return true;
        }
        let Some(name) = user.and_then(|user| CString::new(user.name.as_str()).ok()) else {
            return false;
        };
        getgrouplist(&name, Gid::from_raw(self.gid)).is_ok_and(|groups| groups.contains(&group.gid))
    }
}

impl From<UCred> for Peer {
    fn from(credentials: UCred) -> Self {
        Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
        }
    }
}

/// Removes the socket's file in the end.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            debug!(%error, "Socket not removed");
        }
    }
}

/// Without the group, or the right to give files away, only root and the agent's user enter.
fn give_to_group(path: &Path) {
    let Some(group) = fs::read_to_string(GROUPS)
        .ok()
        .and_then(|all| id_of(GROUP, &all))
    else {
        return;
    };
    if let Err(error) = std::os::unix::fs::chown(path, None, Some(group)) {
        debug!(%error, "Socket not given to its group");
    }
}

/// The id of a group in the file of all groups.
fn id_of(name: &str, groups: &str) -> Option<u32> {
    let mut named = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())
    });
    named.next()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_the_socket_is_found_by_its_name() {
        let groups = "root:x:0:\nlamplighters:x:7:\nlamplighter:x:995:eva,tom\nx\n";
        assert_eq!(id_of("lamplighter", groups), Some(995));
        assert_eq!(id_of("nobody", groups), None);
        assert_eq!(id_of("x", groups), None);
    }

    #[test]
    fn root_and_the_own_user_are_let_in_and_strangers_are_not() {
        assert!(Peer { uid: 0, gid: 0 }.permitted_name().is_some());
        let own = geteuid().as_raw();
        assert!(
            Peer {
                uid: own,
                gid: u32::MAX
            }
            .permitted_name()
            .is_some()
        );
        let stranger = if own == 4_000_000 {
            4_000_001
        } else {
            4_000_000
        };
        assert_eq!(
            Peer {
                uid: stranger,
                gid: stranger
            }
            .permitted_name(),
            None
        );
        assert_eq!(Peer::NOBODY.permitted_name(), None);
    }
}
