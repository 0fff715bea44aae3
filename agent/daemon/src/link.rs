//! Datagram paths to servers: one fresh socket per link. The loop drains them itself; only name
//! look-up happens elsewhere, so that no server's DNS holds up another.
//!
//! Where bearers are configured, each link leaves by one of them ([`Way`]): that in use for those
//! that are asked for, and any other to replace one ([`Links::open_over`]). Addresses that have
//! worked are used at once, whatever the name servers do.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::Arc,
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

use crate::bearer::{Reason, Way, way};

mod addresses;
#[cfg(test)]
mod bound;
mod opening;

use addresses::Addresses;
use opening::{Failure, News, Origin};

pub(crate) use crate::bearer::resolve::Resolver;

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
    /// Where those lead that were opened by the name of a server over a bearer.
    origins: BTreeMap<LinkKey, Origin>,
    opened: mpsc::UnboundedReceiver<News>,
    opening: mpsc::UnboundedSender<News>,
    /// Links that were asked for and not closed before they came up, and what works at it.
    awaited: BTreeMap<LinkKey, Option<AbortHandle>>,
    /// Why links did not come up, until they are closed.
    failed: BTreeMap<LinkKey, Reason>,
    addresses: Addresses,
    resolver: Arc<Resolver>,
    /// The bearer in use.
    way: Option<Way>,
    /// There are bearers: nothing leaves without one.
    needs_way: bool,
    /// Nobody has looked yet which there are.
    is_early: bool,
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
            origins: BTreeMap::new(),
            awaited: BTreeMap::new(),
            failed: BTreeMap::new(),
            addresses: Addresses::default(),
            resolver: Arc::default(),
            way: None,
            needs_way: false,
            is_early: false,
            first: 0,
            buffer: Box::new([0; DATAGRAM_MAX]),
        }
    }
}

impl Links {
    /// Bearers are configured: without one in use no link comes up.
    pub const fn require_way(&mut self) {
        self.needs_way = true;
        self.is_early = true;
    }

    /// The bearer that links leave by which are asked for from now on; those that are open stay.
    pub fn set_way(&mut self, way: Option<Way>) {
        self.is_early = false;
        self.way = way;
    }

    /// By which links leave that are asked for now.
    pub const fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    /// Looks the name up and opens a socket; [`Links::poll_opened`] tells how it went.
    pub fn open(&mut self, id: LinkKey, uri: ServerUri) {
        match (self.way.clone(), self.needs_way) {
            (Some(way), _) => self.open_over(id, uri, way),
            // Nobody has looked for bearers yet: the core asks again when one is there.
            (None, true) if self.is_early => drop(self.awaited.insert(id, None)),
            (None, true) => self.fail(id, Failure::no_bearer()),
            (None, false) => self.open_as_routed(id, uri),
        }
    }

    /// The same over a bearer that need not be the one in use. An address that is known is taken at
    /// once; the name is looked up behind.
    pub fn open_over(&mut self, id: LinkKey, uri: ServerUri, way: Way) {
        let known = self.addresses.find(&uri.host, &way);
        let known = opening::connect(&uri, &known, &way).ok();
        let is_open = known.is_some();
        if let Some(opened) = known {
            self.awaited.insert(id, None);
            // The receiver is ours.
            let _ = self.opening.send(News::Opened(id, Ok(opened)));
            if uri.host.parse::<IpAddr>().is_ok() {
                return;
            }
        }
        let resolver = Arc::clone(&self.resolver);
        let opening = self.opening.clone();
        let task = tokio::spawn(opening::look_up(id, uri, way, resolver, opening, is_open));
        if !is_open {
            self.awaited.insert(id, Some(task.abort_handle()));
        }
    }

    /// As the kernel routes.
    fn open_as_routed(&mut self, id: LinkKey, uri: ServerUri) {
        let opening = self.opening.clone();
        let task = tokio::spawn(async move {
            let socket = connect(&uri).await;
            let opened = socket.map(|socket| (socket, None)).map_err(Failure::from);
            // The receiver is gone only when the agent ends.
            let _ = opening.send(News::Opened(id, opened));
        });
        self.awaited.insert(id, Some(task.abort_handle()));
    }

    fn fail(&mut self, id: LinkKey, why: Failure) {
        self.awaited.insert(id, None);
        let _ = self.opening.send(News::Opened(id, Err(why)));
    }

    /// Why a link did not come up, until it is closed.
    pub fn why(&self, id: LinkKey) -> Option<Reason> {
        self.failed.get(&id).copied()
    }

    pub fn close(&mut self, id: LinkKey) {
        if let Some(Some(task)) = self.awaited.remove(&id) {
            task.abort();
        }
        self.failed.remove(&id);
        if let Some(origin) = self.origins.remove(&id) {
            self.addresses.judge(&origin);
        }
        self.sockets.retain(|(key, _)| *key != id);
    }

    /// Sends now or not at all: CoAP repeats what gets lost. Says what the socket reports.
    pub fn transmit(&self, id: LinkKey, datagram: &[u8]) -> Option<LinkEvent> {
        let socket = find(&self.sockets, id)?;
        match socket.get_ref().send(datagram) {
            Ok(_) => None,
            Err(error) => trouble(&error, socket.get_ref()),
        }
    }

    /// The next datagram that waits on a link, without waiting for one; `Err` says what the socket
    /// reports instead.
    pub fn receive(&mut self, id: LinkKey) -> Option<Result<Vec<u8>, LinkEvent>> {
        let socket = find(&self.sockets, id)?;
        let buffer = &mut self.buffer[..];
        match socket.try_io(Interest::READABLE, |socket| socket.recv(buffer)) {
            Ok(length) => {
                if let Some(origin) = self.origins.get_mut(&id) {
                    origin.is_heard = true;
                }
                Some(Ok(self.buffer[..length].to_vec()))
            }
            Err(error) => trouble(&error, socket.get_ref()).map(Err),
        }
    }

    /// How many datagrams to take from one link before waiting again.
    pub const fn burst() -> usize {
        BURST
    }

    /// Which link is open now, or why it is not.
    pub fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<(LinkKey, LinkEvent)> {
        while let Poll::Ready(Some(news)) = self.opened.poll_recv(context) {
            let event = match news {
                News::Opened(id, opened) => self.on_opened(id, opened),
                News::Found(id, found) => self.on_found(id, found),
            };
            if let Some(event) = event {
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }

    fn on_opened(
        &mut self,
        id: LinkKey,
        opened: Result<(Socket, Option<Origin>), Failure>,
    ) -> Option<(LinkKey, LinkEvent)> {
        // One that was closed while its name was looked up belongs to nobody.
        self.awaited.remove(&id)?;
        let event = match opened {
            Ok((socket, origin)) => {
                self.sockets.push((id, socket));
                if let Some(origin) = origin {
                    self.origins.insert(id, origin);
                }
                LinkEvent::Up
            }
            Err(failure) => {
                self.failed.insert(id, failure.reason);
                LinkEvent::Down(failure.words)
            }
        };
        Some((id, event))
    }

    /// A name was looked up: a link that has led to nobody by another address is given up.
    fn on_found(&mut self, id: LinkKey, found: opening::Found) -> Option<(LinkKey, LinkEvent)> {
        let origin = self.origins.get(&id);
        let is_stale = origin
            .is_some_and(|origin| !origin.is_heard && !found.addresses.contains(&origin.address));
        self.addresses.learn(found);
        is_stale.then(|| {
            let words = "the name of the server has another address now";
            (id, LinkEvent::Down(words.to_owned()))
        })
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
fn trouble(error: &io::Error, socket: &UdpSocket) -> Option<LinkEvent> {
    // The one datagram is lost, the path is not.
    let errno = error.raw_os_error().map(Errno::from_raw);
    if errno == Some(Errno::EMSGSIZE) {
        return Some(LinkEvent::MtuShrunk(way::mtu(socket)));
    }
    if matches!(errno, Some(Errno::ENOBUFS | Errno::ENOMEM)) {
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
        match connect_to(None, address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(way: Option<&Way>, address: SocketAddr) -> io::Result<Socket> {
    watch(way::udp(way, address)?)
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
        let socket = connect(&uri(&peer)).await.unwrap();
        let news = News::Opened(key(1), Ok((socket, None)));
        links.opening.send(news).unwrap();
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
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        let trouble = |errno: Errno| trouble(&errno.into(), &socket);
        for errno in [Errno::ENOBUFS, Errno::EAGAIN] {
            assert_eq!(trouble(errno), None);
        }
        assert_eq!(trouble(Errno::ECONNREFUSED), Some(LinkEvent::Refused));
        for errno in [Errno::ENETUNREACH, Errno::ENODEV, Errno::ENETDOWN] {
            assert!(matches!(trouble(errno), Some(LinkEvent::Down(_))));
        }
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_long_for_the_path_says_what_that_carries() {
        let peer = StdSocket::bind("127.0.0.1:0").unwrap();
        let mut links = Links::default();
        links.open(key(1), uri(&peer));
        poll_fn(|context| links.poll_opened(context)).await;
        assert_eq!(links.transmit(key(1), &[0; 1400]), None);
        // The loopback carries as much as a packet can have; a datagram is no longer.
        let too_long = links.transmit(key(1), &[0; 65_507]);
        assert!(matches!(
            too_long,
            None | Some(LinkEvent::MtuShrunk(65_535..))
        ));
    }

    fn way(v4: bool) -> Way {
        Way {
            interface: "none0".to_owned(),
            index: 7,
            v4,
            v6: false,
            nat64: false,
            name_servers: Vec::new(),
        }
    }

    async fn opened(links: &mut Links) -> LinkEvent {
        poll_fn(|context| links.poll_opened(context)).await.1
    }

    #[tokio::test]
    async fn where_bearers_are_wanted_nothing_leaves_without_one() {
        let peer = StdSocket::bind("127.0.0.1:0").unwrap();
        let mut links = Links::default();
        links.require_way();
        links.open(key(3), uri(&peer));
        let early = poll_fn(|context| Poll::Ready(links.poll_opened(context)));
        assert!(early.await.is_pending(), "nobody has looked yet");
        links.set_way(None);
        links.open(key(1), uri(&peer));
        let down = LinkEvent::Down("no bearer is connected".to_owned());
        assert_eq!(opened(&mut links).await, down);
        assert_eq!(links.why(key(1)), Some(Reason::NoLink));
        links.close(key(1));
        assert_eq!(links.why(key(1)), None);
        links.set_way(Some(way(true)));
        links.open(key(2), uri(&peer));
        assert_eq!(opened(&mut links).await, LinkEvent::Up, "on this box");
    }

    #[tokio::test]
    async fn a_bearer_that_carries_no_family_of_the_server_is_told_so() {
        let mut links = Links::default();
        let uri: ServerUri = "coap://192.0.2.1".parse().unwrap();
        links.open_over(key(1), uri, way(false));
        assert!(matches!(opened(&mut links).await, LinkEvent::Down(_)));
        assert_eq!(links.why(key(1)), Some(Reason::NoAddress));
    }

    #[tokio::test]
    async fn an_address_that_has_worked_is_used_before_the_name_is_looked_up() {
        let peer = StdSocket::bind("127.0.0.1:0").unwrap();
        let port = peer.local_addr().unwrap().port();
        let uri: ServerUri = format!("coap://lw.example:{port}").parse().unwrap();
        let mut links = Links::default();
        // A name server that answers nothing.
        let mute = StdSocket::bind("127.0.0.1:0").unwrap();
        links.resolver = Arc::new(Resolver {
            port: mute.local_addr().unwrap().port(),
            ..Resolver::default()
        });
        let other = Way {
            interface: "other0".to_owned(),
            name_servers: vec![[127, 0, 0, 1].into()],
            ..way(true)
        };
        links.addresses.learn(opening::Found {
            addresses: vec![[127, 0, 0, 1].into()],
            host: "lw.example".to_owned(),
            interface: "none0".to_owned(),
            is_translated: false,
        });
        links.open_over(key(1), uri.clone(), other.clone());
        assert_eq!(opened(&mut links).await, LinkEvent::Up);
        // Which turns out to be another.
        let found = opening::Found {
            addresses: vec![[127, 0, 0, 2].into()],
            host: "lw.example".to_owned(),
            interface: "other0".to_owned(),
            is_translated: false,
        };
        links.opening.send(News::Found(key(1), found)).unwrap();
        assert!(matches!(opened(&mut links).await, LinkEvent::Down(_)));
        links.close(key(1));
        links.open_over(key(2), uri, other);
        assert_eq!(opened(&mut links).await, LinkEvent::Up);
        let (_, socket) = &links.sockets[0];
        let to = socket.get_ref().peer_addr().unwrap();
        assert_eq!(to, ([127, 0, 0, 2], port).into());
    }
}
