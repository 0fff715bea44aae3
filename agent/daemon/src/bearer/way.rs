//! Sockets that leave by one bearer.
//!
//! One fresh socket per link and per switch: one that is moved to another device keeps its source
//! address, and one whose device was plugged in again is dead for ever. A device without address or
//! default route of a family must not be used for it: the kernel takes an address of another device,
//! or every server for a neighbour.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::{AddressFamily, LinkFacts};

/// What a bearer offers to a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Way {
    pub interface: String,
    /// Another one after the device was plugged in again.
    pub index: u32,
    /// Address and default route of IPv4.
    pub v4: bool,
    /// The same of IPv6.
    pub v6: bool,
    /// Servers of IPv4 may be reached through a translator of the network (NAT64).
    pub nat64: bool,
    /// Empty: those of the system.
    pub name_servers: Vec<IpAddr>,
}

impl Way {
    pub fn new(link: &LinkFacts, name_servers: Vec<IpAddr>) -> Self {
        let has_route = |family| link.routes.contains(&family);
        let v4 = !link.v4.is_empty() && has_route(AddressFamily::V4);
        let v6 = !link.v6.is_empty() && has_route(AddressFamily::V6);
        Self {
            interface: link.interface.clone(),
            index: link.index,
            v4,
            v6,
            nat64: v6 && !v4,
            name_servers,
        }
    }

    pub(crate) const fn carries(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

sockopt_impl!(
    /// Whether datagrams may be cut on their way.
    MtuDiscover, SetOnly, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::c_int
);
sockopt_impl!(
    /// The same of IPv6.
    MtuDiscover6, SetOnly, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::c_int
);
sockopt_impl!(
    /// Bytes of a packet that the path to the peer is known to carry.
    Mtu, GetOnly, libc::IPPROTO_IP, libc::IP_MTU, libc::c_int
);
sockopt_impl!(
    /// The same of IPv6.
    Mtu6, GetOnly, libc::IPPROTO_IPV6, libc::IPV6_MTU, libc::c_int
);

/// Every path of IPv6 carries so much, and nearly every path of IPv4.
const USUAL_MTU: u16 = 1280;

/// A socket for datagrams to one address, by a bearer where one is named. What is longer than the
/// path carries is refused instead of being cut: routers tell, and then so does the socket.
pub(crate) fn udp(way: Option<&Way>, to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, way, to)?;
    match to {
        SocketAddr::V4(_) => setsockopt(&socket, MtuDiscover, &libc::IP_PMTUDISC_DO)?,
        SocketAddr::V6(_) => setsockopt(&socket, MtuDiscover6, &libc::IPV6_PMTUDISC_DO)?,
    }
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// A socket for a connection to one address, not connected yet.
pub(crate) fn tcp(way: Option<&Way>, to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&socket, way, to)?;
    Ok(socket)
}

fn prepare(socket: &Socket, way: Option<&Way>, to: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if let Some(way) = way
        && !is_here(to)
    {
        if !way.carries(to.ip()) {
            let why = format!("{} carries no {}", way.interface, family(to.ip()));
            return Err(io::Error::new(io::ErrorKind::NetworkUnreachable, why));
        }
        socket.bind_device(Some(way.interface.as_bytes()))?;
    }
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    socket.bind(&any.into())
}

/// Whether an address is one of this box: the kernel speaks to those from the same address.
pub(crate) fn is_here(to: SocketAddr) -> bool {
    if to.ip().is_loopback() {
        return true;
    }
    let from = source(to);
    from.is_ok_and(|from| from == to.ip())
}

fn source(to: SocketAddr) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    // Nothing is sent.
    socket.connect(&to.into())?;
    let from = socket.local_addr()?.as_socket();
    from.map(|from| from.ip())
        .ok_or_else(|| io::Error::other("an address of no family"))
}

/// What the path of a connected socket is known to carry, in bytes with the headers of IP and UDP.
pub(crate) fn mtu(socket: &UdpSocket) -> u16 {
    use nix::sys::socket::getsockopt;
    let known = match socket.peer_addr() {
        Ok(SocketAddr::V4(_)) => getsockopt(socket, Mtu).ok(),
        Ok(SocketAddr::V6(_)) => getsockopt(socket, Mtu6).ok(),
        Err(_) => None,
    };
    let known = known.map(|mtu| u16::try_from(mtu.max(0)).unwrap_or(u16::MAX));
    known.unwrap_or(USUAL_MTU)
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}
