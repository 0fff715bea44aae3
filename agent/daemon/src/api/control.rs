//! The control socket: the API for people and programs on this box.
//!
//! Who may enter is decided twice: by the file's permissions (0660, group `lamplighter`), and by
//! the credentials that the kernel gives of the peer, which also say who it was.

use std::{io, path::Path, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, connect_info::Connected},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::get,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tracing::{debug, warn};

use super::{Api, Patient, Person, Refusal};
use crate::socket::{self, Entry, GROUP, Peer, SocketError, SocketFile};

/// Name of the socket in the run directory.
pub const SOCKET: &str = "control.sock";
const MAX_CONNECTIONS: usize = 64;

/// The bound socket. Its file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

impl ControlSocket {
    /// Binds `control.sock` in the run directory. A file that nobody listens on is replaced.
    pub fn bind(run_dir: &Path) -> Result<Self, SocketError> {
        let (listener, file) = socket::bind(&run_dir.join(SOCKET), Entry::Group)?;
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
