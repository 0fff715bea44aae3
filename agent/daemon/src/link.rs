//! Datagram paths to servers: one fresh socket per link. The loop drains them itself; only name
//! look-up happens elsewhere, so that no server's DNS holds up another.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    task::{Context, Poll},
};

use lamplighter_lwm2m::{
    boundary::{ClientId, LinkEvent, LinkId},
    server::ServerUri,
};
use nix::errno::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::lookup_host,
    sync::mpsc,
    task::AbortHandle,
};

/// Larger than any CoAP datagram that fits a network: longer ones are cut and then refused.
const DATAGRAM_MAX: usize = 2048;

/// How many datagrams of one link are handled before the others have their turn.
const BURST: usize = 64;

/// Each client numbers its own links.
pub(crate) type LinkKey = (ClientId, LinkId);

/// A socket that wakes the loop where there is something to receive. The runtime's own would do so
/// after everything that is sent, too, as there is room for more then.
type Socket = AsyncFd<UdpSocket>;

/// All open links.
#[derive(Debug)]
pub struct Links {
    /// So few that to look at each costs less than a tree.
    sockets: Vec<(LinkKey, Socket)>,
    opened: mpsc::UnboundedReceiver<(LinkKey, io::Result<Socket>)>,
    opening: mpsc::UnboundedSender<(LinkKey, io::Result<Socket>)>,
    /// Links that were asked for and not closed before they came up.
    awaited: BTreeMap<LinkKey, AbortHandle>,
    /// Where the next look begins: behind the socket that was heard last, so that no link drowns
    /// the others.
    first: usize,
    buffer: Box<[u8; DATAGRAM_MAX]>,
}

impl Default for Links {
    fn default() -> Self {
        let (opening, opened) = mpsc::unbounded_channel();
        Self {
            sockets: Vec::new(),
            opened,
            opening,
            awaited: BTreeMap::new(),
            first: 0,
            buffer: Box::new([0; DATAGRAM_MAX]),
        }
    }
}

impl Links {
    /// Looks the name up and opens a socket; [`Links::poll_opened`] tells how it went.
    pub fn open(&mut self, id: LinkKey, uri: ServerUri) {
        let opening = self.opening.clone();
        let task = tokio::spawn(async move {
            let socket = connect(&uri).await;
            // The receiver is gone only when the agent ends.
            let _ = opening.send((id, socket));
        });
        self.awaited.insert(id, task.abort_handle());
    }

    pub fn close(&mut self, id: LinkKey) {
        if let Some(task) = self.awaited.remove(&id) {
            task.abort();
        }
        self.sockets.retain(|(key, _)| *key != id);
    }

    /// Sends now or not at all: CoAP repeats what gets lost. Says what the socket reports.
    pub fn transmit(&self, id: LinkKey, datagram: &[u8]) -> Option<LinkEvent> {
        let socket = find(&self.sockets, id)?;
        match socket.get_ref().send(datagram) {
            Ok(_) => None,
            Err(error) => trouble(&error),
        }
    }

    /// The next datagram that waits on a link, without waiting for one; `Err` says what the socket
    /// reports instead.
    pub fn receive(&mut self, id: LinkKey) -> Option<Result<Vec<u8>, LinkEvent>> {
        let socket = find(&self.sockets, id)?;
        let buffer = &mut self.buffer[..];
        match socket.try_io(Interest::READABLE, |socket| socket.recv(buffer)) {
            Ok(length) => Some(Ok(self.buffer[..length].to_vec())),
            Err(error) => trouble(&error).map(Err),
        }
    }

    /// How many datagrams to take from one link before waiting again.
    pub const fn burst() -> usize {
        BURST
    }

    /// Which link is open now, or why it is not.
    pub fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<(LinkKey, LinkEvent)> {
        while let Poll::Ready(Some((id, opened))) = self.opened.poll_recv(context) {
            // One that was closed while its name was looked up belongs to nobody.
            if self.awaited.remove(&id).is_none() {
                continue;
            }
            let event = match opened {
                Ok(socket) => {
                    self.sockets.push((id, socket));
                    LinkEvent::Up
                }
                Err(error) => LinkEvent::Down(error.to_string()),
            };
            return Poll::Ready((id, event));
        }
        Poll::Pending
    }

    /// Which link has datagrams; `Err` says what its socket reports instead.
    pub fn poll_readable(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(LinkKey, Result<(), LinkEvent>)> {
        let count = self.sockets.len();
        let begin = self.first.min(count);
        for at in (begin..count).chain(0..begin) {
            let (id, socket) = &self.sockets[at];
            if let Poll::Ready(ready) = socket.poll_read_ready(context) {
                self.first = at + 1;
                let trouble = ready.err();
                let trouble = trouble.map(|error| LinkEvent::Down(error.to_string()));
                return Poll::Ready((*id, trouble.map_or(Ok(()), Err)));
            }
        }
        Poll::Pending
    }
}

fn find(sockets: &[(LinkKey, Socket)], id: LinkKey) -> Option<&Socket> {
    let (_, socket) = sockets.iter().find(|(key, _)| *key == id)?;
    Some(socket)
}

/// What an error of the socket means for the link; `None` where it means nothing.
fn trouble(error: &io::Error) -> Option<LinkEvent> {
    // The one datagram is lost, the path is not.
    let errno = error.raw_os_error().map(Errno::from_raw);
    if matches!(
        errno,
        Some(Errno::EMSGSIZE | Errno::ENOBUFS | Errno::ENOMEM)
    ) {
        return None;
    }
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
async fn connect(uri: &ServerUri) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((uri.host.as_str(), uri.port)).await? {
        match connect_to(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(address: SocketAddr) -> io::Result<Socket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    watch(socket)
}

/// Wakes whoever waits when there is something to read.
#[expect(
    deprecated,
    reason = "it is for types that may change their descriptor, which ours never do; what shall be \
              used instead is unsafe"
)]
pub(crate) fn watch<T: AsRawFd>(source: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(source, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::UdpSocket as StdSocket};

    use super::*;

    fn key(link: u64) -> LinkKey {
        (ClientId(0), LinkId(link))
    }

    fn uri(socket: &StdSocket) -> ServerUri {
        let address = socket.local_addr().unwrap();
        format!("coap://{address}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_link_that_was_closed_before_it_came_up_is_not_heard_of() {
        let peer = StdSocket::bind("127.0.0.1:0").unwrap();
        let mut links = Links::default();
        links.open(key(1), uri(&peer));
        // Its socket may stand in the queue already.
        let socket = connect(&uri(&peer)).await;
        links.opening.send((key(1), socket)).unwrap();
        links.close(key(1));
        links.open(key(2), uri(&peer));
        let opened = poll_fn(|context| links.poll_opened(context)).await;
        assert_eq!(opened, (key(2), LinkEvent::Up));
        assert_eq!(links.sockets.len(), 1);
    }

    #[tokio::test]
    async fn no_link_drowns_the_others() {
        let peer = StdSocket::bind("127.0.0.1:0").unwrap();
        let mut links = Links::default();
        for id in [1, 2] {
            links.open(key(id), uri(&peer));
            poll_fn(|context| links.poll_opened(context)).await;
        }
        for (_, socket) in &links.sockets {
            let address = socket.get_ref().local_addr().unwrap();
            peer.send_to(b"x", address).unwrap();
            socket.readable().await.unwrap().retain_ready();
        }
        let mut turns = Vec::new();
        while turns.len() < 4 {
            // What is readable is not read: it stays so.
            let (id, found) = poll_fn(|context| links.poll_readable(context)).await;
            assert_eq!(found, Ok(()));
            turns.push(id.1.0);
        }
        turns.sort_unstable();
        assert_eq!(turns, [1, 1, 2, 2]);
    }

    #[test]
    fn a_datagram_that_is_lost_here_does_not_cost_the_link() {
        for errno in [Errno::EMSGSIZE, Errno::ENOBUFS, Errno::EAGAIN] {
            assert_eq!(trouble(&errno.into()), None);
        }
        assert_eq!(
            trouble(&Errno::ECONNREFUSED.into()),
            Some(LinkEvent::Refused)
        );
        assert!(matches!(
            trouble(&Errno::ENETUNREACH.into()),
            Some(LinkEvent::Down(_))
        ));
    }
}
