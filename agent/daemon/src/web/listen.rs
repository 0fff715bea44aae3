//! The page's port: a bounded number of connections, together and from one address.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::api::Patient;

const MAX_CONNECTIONS: usize = 64;
const MAX_FROM_ONE: u32 = 24;

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote(pub(super) SocketAddr);

pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    by_address: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            by_address: Arc::default(),
        }
    }

    fn admit(&self, ip: IpAddr) -> Option<Admitted> {
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(ip).or_default();
        if *count >= MAX_FROM_ONE {
            return None;
        }
        *count += 1;
        Some(Admitted {
            ip,
            by_address: Arc::clone(&self.by_address),
        })
    }
}

impl Listener for Door {
    type Io = Patient<TcpStream, (Admitted, Option<OwnedSemaphorePermit>)>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            // Never closed, so there is always a place sooner or later.
            let place = Arc::clone(&self.places).acquire_owned().await.ok();
            let (stream, remote) = Listener::accept(&mut self.listener).await;
            let Some(admitted) = self.admit(remote.ip()) else {
                continue;
            };
            // Events are small and wanted at once; without it they only come later.
            let _ = stream.set_nodelay(true);
            return (Patient::new(stream, (admitted, place)), remote);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// One of the connections of its address.
pub(super) struct Admitted {
    ip: IpAddr,
    by_address: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(count) = by_address.get_mut(&self.ip) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            by_address.remove(&self.ip);
        }
    }
}
