//! Datagram paths to servers: one fresh socket per link. The loop drains them itself; only name
//! look-up happens elsewhere, so that no server's DNS holds up another.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll},
};

use lamplighter_lwm2m::{
    boundary::{ClientId, LinkEvent, LinkId},
    server::ServerUri,
};
use tokio::{
    net::{UdpSocket, lookup_host},
    sync::mpsc,
};

/// Larger than any CoAP datagram that fits a network: longer ones are cut and then refused.
const DATAGRAM_MAX: usize = 2048;

/// How many datagrams of one link are handled before the others have their turn.
const BURST: usize = 64;

/// Each client numbers its own links.
pub(crate) type LinkKey = (ClientId, LinkId);

/// All open links.
#[derive(Debug)]
pub struct Links {
    sockets: BTreeMap<LinkKey, UdpSocket>,
    opened: mpsc::UnboundedReceiver<(LinkKey, io::Result<UdpSocket>)>,
    opening: mpsc::UnboundedSender<(LinkKey, io::Result<UdpSocket>)>,
    buffer: Box<[u8; DATAGRAM_MAX]>,
}

/// What happened on the links.
#[derive(Debug)]
pub enum Heard {
    Event(LinkKey, LinkEvent),
    Readable(LinkKey),
}

impl Default for Links {
    fn default() -> Self {
        let (opening, opened) = mpsc::unbounded_channel();
        Self {
            sockets: BTreeMap::new(),
            opened,
            opening,
            buffer: Box::new([0; DATAGRAM_MAX]),
        }
    }
}

impl Links {
    /// Looks the name up and opens a socket; [`Links::heard`] tells how it went.
    pub fn open(&self, id: LinkKey, uri: ServerUri) {
        let opening = self.opening.clone();
        tokio::spawn(async move {
            let socket = connect(&uri).await;
            // The receiver is gone only when the agent ends.
            let _ = opening.send((id, socket));
        });
    }

    pub fn close(&mut self, id: LinkKey) {
        self.sockets.remove(&id);
    }

    /// Sends now or not at all: CoAP repeats what gets lost. Says what the socket reports.
    pub fn transmit(&self, id: LinkKey, datagram: &[u8]) -> Option<LinkEvent> {
        let socket = self.sockets.get(&id)?;
        match socket.try_send(datagram) {
            Ok(_) => None,
            Err(error) => trouble(&error),
        }
    }

    /// Waits for the next thing that happens on any link.
    pub async fn heard(&mut self) -> Heard {
        std::future::poll_fn(|context| self.poll_heard(context)).await
    }

    /// The next datagram that waits on a link, without waiting for one; `Err` says what the socket
    /// reports instead.
    pub fn receive(&mut self, id: LinkKey) -> Option<Result<Vec<u8>, LinkEvent>> {
        let socket = self.sockets.get(&id)?;
        match socket.try_recv(&mut self.buffer[..]) {
            Ok(length) => Some(Ok(self.buffer[..length].to_vec())),
            Err(error) => trouble(&error).map(Err),
        }
    }

    /// How many datagrams to take from one link before waiting again.
    pub const fn burst() -> usize {
        BURST
    }

    fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if let Poll::Ready(Some((id, opened))) = self.opened.poll_recv(context) {
            let event = match opened {
                Ok(socket) => {
                    self.sockets.insert(id, socket);
                    LinkEvent::Up
                }
                Err(error) => LinkEvent::Down(error.to_string()),
            };
            return Poll::Ready(Heard::Event(id, event));
        }
        for (id, socket) in &self.sockets {
            if let Poll::Ready(ready) = socket.poll_recv_ready(context) {
                return Poll::Ready(match ready {
                    Ok(()) => Heard::Readable(*id),
                    Err(error) => Heard::Event(*id, LinkEvent::Down(error.to_string())),
                });
            }
        }
        Poll::Pending
    }
}

/// What an error of the socket means for the link; `None` where it means nothing.
fn trouble(error: &io::Error) -> Option<LinkEvent> {
    let kind = error.kind();
    if kind == io::ErrorKind::WouldBlock || kind == io::ErrorKind::Interrupted {
        return None;
    }
    if kind == io::ErrorKind::ConnectionRefused {
        return Some(LinkEvent::Refused);
    }
    Some(LinkEvent::Down(error.to_string()))
}

/// A fresh socket to the first address of the name that a socket can be connected to.
async fn connect(uri: &ServerUri) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((uri.host.as_str(), uri.port)).await? {
        match connect_to(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}
