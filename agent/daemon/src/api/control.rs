//! The control socket: the API for people and programs on this box.
//!
//! Who may enter is decided twice: by the file's permissions (0660, group `lamplighter`), and by
//! the credentials that the kernel gives of the peer, which also say who it was.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, connect_info::Connected},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::get,
    serve::{IncomingStream, Listener},
};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::{
    net::{UnixListener, UnixStream, unix::UCred},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tracing::{debug, warn};

use super::{Api, Patient, Person, Refusal};

/// Name of the socket in the run directory.
pub const SOCKET: &str = "control.sock";
/// Members may control the agent.
pub const GROUP: &str = "lamplighter";
/// Where the installation makes the group. Asking the name service instead would load its modules
/// for this one question, 0.4 MB that stay.
const GROUPS: &str = "/etc/group";
const MAX_CONNECTIONS: usize = 64;

/// The bound socket. Its file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("another agent answers on {0}")]
    InUse(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

impl ControlSocket {
    /// Binds `control.sock` in the run directory. A file that nobody listens on is replaced.
    pub fn bind(run_dir: &Path) -> Result<Self, ControlError> {
        let path = run_dir.join(SOCKET);
        let failed = |error| ControlError::Io {
            path: path.clone(),
            error,
        };
        // The kernel refuses where nobody listens; everything else is somebody, or not for us.
        match std::os::unix::net::UnixStream::connect(&path) {
            Ok(_) => return Err(ControlError::InUse(path)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(&path).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let file = SocketFile(path.clone());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        give_to_group(&path);
        Ok(Self { listener, file })
    }

    /// Answers until the future is dropped.
    pub async fn serve(self, api: Api) {
        let Self { listener, file } = self;
        let peers = Peers {
            listener,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        };
        let service = router(api).into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(peers, service).await {
            warn!(%error, "Control socket failed");
        }
        drop(file);
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .nest("/api/v1", super::routes())
        .route("/metrics", get(super::metrics))
        .fallback(super::unknown)
        .layer(middleware::from_fn(let_in))
        .with_state(api)
}

async fn let_in(
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    // Users and groups may come from the network: not on a thread that others need.
    let name = spawn_blocking(move || peer.permitted_name())
        .await
        .ok()
        .flatten();
    let Some(name) = name else {
        debug!(uid = peer.uid, "Control socket refused");
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("no permission: join the group {GROUP}"),
        ));
    };
    request.extensions_mut().insert(Person {
        name: format!("{name} (local)"),
        still_allowed: None,
    });
    Ok(next.run(request).await)
}

/// Credentials of the process at the other end, as the kernel took them when it connected.
#[derive(Clone, Copy, Debug)]
struct Peer {
    uid: u32,
    gid: u32,
}

impl Peer {
    /// Nobody is let in whose credentials are unknown: this is no one's id.
    const NOBODY: Self = Self {
        uid: u32::MAX,
        gid: u32::MAX,
    };

    /// The user's name if root, the agent's own user, or a member of the group.
    fn permitted_name(self) -> Option<String> {
        if self.uid == Self::NOBODY.uid {
            return None;
        }
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        let own = self.uid == 0 || self.uid == geteuid().as_raw();
        if !own && !self.is_member(user.as_ref()) {
            return None;
        }
        Some(user.map_or_else(|| format!("uid {}", self.uid), |user| user.name))
    }

    fn is_member(self, user: Option<&User>) -> bool {
        let Ok(Some(group)) = Group::from_name(GROUP) else {
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

impl Connected<IncomingStream<'_, Peers>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Peers>) -> Self {
        *stream.remote_addr()
    }
}

struct Peers {
    listener: UnixListener,
    places: Arc<Semaphore>,
}

impl Listener for Peers {
    type Io = Patient<UnixStream, Option<OwnedSemaphorePermit>>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Peer) {
        // Never closed, so there is always a place sooner or later.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, _) = Listener::accept(&mut self.listener).await;
        let peer = stream.peer_cred().map_or(Peer::NOBODY, Peer::from);
        (Patient::new(stream, place), peer)
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::NOBODY)
    }
}

/// Removes the socket's file in the end.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            debug!(%error, "Control socket not removed");
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
        debug!(%error, "Control socket not given to its group");
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
