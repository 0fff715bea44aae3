//! Messages of rtnetlink, as far as bearers need them. Only what is used is looked at: a kernel that
//! says more, or something else of a kind we do not know, is understood all the same.
//!
//! Layouts: Linux, include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h; all in the byte order of
//! the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bearer::AddressFamily;

const HEADER: usize = 16;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const OVERRUN: u16 = 4;
pub(super) const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
pub(super) const NEWADDR: u16 = 20;
pub(super) const DELADDR: u16 = 21;
pub(super) const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;

const GETLINK: u16 = 18;
const GETADDR: u16 = 22;
const GETROUTE: u16 = 26;
const NEWRULE: u16 = 32;
const DELRULE: u16 = 33;
pub(super) const REQUEST: u16 = 1;
pub(super) const ACK: u16 = 4;
const EXCLUSIVE: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
const DUMP: u16 = 0x300;
/// What was dumped changed meanwhile.
const INTERRUPTED: u16 = 0x10;
pub(super) const REPLACE: u16 = 0x100;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

pub(super) const IFF_UP: u32 = 1;
pub(super) const IFF_LOOPBACK: u32 = 1 << 3;
pub(super) const IFF_POINTOPOINT: u32 = 1 << 4;
pub(super) const IFF_NOARP: u32 = 1 << 7;
pub(super) const IFF_LOWER_UP: u32 = 1 << 16;
pub(super) const IFF_DORMANT: u32 = 1 << 17;

const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_TENTATIVE: u32 = 0x40;

pub(super) const RT_SCOPE_LINK: u8 = 253;
pub(super) const RTN_UNICAST: u8 = 1;
const RTM_F_CLONED: u32 = 0x200;

/// Before the rule of the main table, which is 32766, and behind what people make.
const RULE_PRIORITY: u32 = 32_700;
/// Shown by `ip rule` as who made it; nobody else has this number. // include/uapi/linux/rtnetlink.h
const RULE_PROTOCOL: u8 = 0x4c;

/// Dumps are asked for in this order, one at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    Links,
    Addresses,
    Routes,
}

/// How the kernel would send to an address far away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Gateway,
    /// As if it were on the cable.
    Neighbour,
}

/// One message of a datagram.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Message {
    /// That of the request which it answers; of no meaning where the kernel speaks by itself.
    pub(super) sequence: u32,
    pub(super) is_interrupted: bool,
    pub(super) content: Content,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Content {
    Address(Address),
    AddressGone(Address),
    /// The end of a dump.
    Done,
    /// A request failed with this `errno`.
    Failed(i32),
    Link(Link),
    LinkGone(u32),
    /// Messages were lost.
    Overrun,
    /// Of no concern here.
    Other,
    /// Default routes; `replaces`: the former ones of their table and metric are gone.
    Routes {
        replaces: bool,
        routes: Vec<Route>,
    },
    RoutesGone(Vec<Route>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `IFF_*`
    pub(super) flags: u32,
    pub(super) mtu: u32,
    /// Received and sent since it was made.
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) ip: IpAddr,
    /// Bits of its network.
    pub(super) prefix: u8,
    pub(super) is_secondary: bool,
    /// Unique, not to be given up soon, and more than of the link.
    pub(super) is_usable: bool,
}

/// One way of a default route.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Route {
    pub(super) metric: u32,
    pub(super) family: AddressFamily,
    pub(super) table: u32,
    /// Only for packets from there. // IPv6 with source-specific routing
    pub(super) source: Option<(IpAddr, u8)>,
    pub(super) index: u32,
    pub(super) gateway: Option<IpAddr>,
}

/// What leaves by this interface goes by that table.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rule {
    pub(super) family: AddressFamily,
    pub(super) interface: String,
    pub(super) table: u32,
}

/// Asks for all of a table.
pub(super) fn request(table: Table, sequence: u32) -> Vec<u8> {
    let (kind, body) = match table {
        Table::Links => (GETLINK, 16),
        Table::Addresses => (GETADDR, 8),
        Table::Routes => (GETROUTE, 12),
    };
    framed(kind, REQUEST | DUMP, sequence, &vec![0; body])
}

/// Asks by which way the kernel would send to this address over this interface.
pub(super) fn way_request(to: IpAddr, index: u32) -> Vec<u8> {
    const RTA_DST: u16 = 1;
    const RTA_OIF: u16 = 4;
    let (family, octets) = octets(to);
    let mut body = vec![family, (octets.len() * 8) as u8];
    body.resize(12, 0);
    attribute(&mut body, RTA_DST, &octets);
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    framed(GETROUTE, REQUEST, 0, &body)
}

/// Asks for a rule, unless there is the same one.
pub(super) fn make_rule(rule: &Rule) -> Vec<u8> {
    framed(
        NEWRULE,
        REQUEST | ACK | CREATE | EXCLUSIVE,
        0,
        &rule_body(rule),
    )
}

pub(super) fn remove_rule(rule: &Rule) -> Vec<u8> {
    framed(DELRULE, REQUEST | ACK, 0, &rule_body(rule))
}

/// `struct fib_rule_hdr`
fn rule_body(rule: &Rule) -> Vec<u8> {
    const FRA_PRIORITY: u16 = 6;
    const FRA_TABLE: u16 = 15;
    const FRA_OIFNAME: u16 = 17;
    const FRA_PROTOCOL: u16 = 21;
    const FR_ACT_TO_TBL: u8 = 1;
    let family = match rule.family {
        AddressFamily::V4 => AF_INET,
        AddressFamily::V6 => AF_INET6,
    };
    let mut body = vec![family, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0];
    attribute(
        &mut body,
        FRA_OIFNAME,
        format!("{}\0", rule.interface).as_bytes(),
    );
    attribute(&mut body, FRA_TABLE, &rule.table.to_ne_bytes());
    attribute(&mut body, FRA_PRIORITY, &RULE_PRIORITY.to_ne_bytes());
    attribute(&mut body, FRA_PROTOCOL, &[RULE_PROTOCOL]);
    body
}

pub(super) fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(((4 + value.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(align(body.len()), 0);
}

pub(super) fn framed(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(body);
    bytes
}

/// The answer to [`way_request`]: by a gateway, or to a neighbour; `None`: no way at all.
pub(super) fn way(datagram: &[u8]) -> Option<Way> {
    const RTA_GATEWAY: u16 = 5;
    const RTA_VIA: u16 = 18;
    let body = datagram.get(HEADER..)?;
    if u16_at(datagram, 4)? != NEWROUTE || *body.get(7)? != RTN_UNICAST {
        return None;
    }
    let mut kinds = attributes(body.get(12..)?).map(|(kind, _)| kind);
    let has_gateway = kinds.any(|kind| matches!(kind, RTA_GATEWAY | RTA_VIA));
    Some(if has_gateway {
        Way::Gateway
    } else {
        Way::Neighbour
    })
}

/// The messages of a datagram, up to the first that cannot be one.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let bytes = rest.get(..length).filter(|_| length >= HEADER)?;
        rest = rest.get(align(length)..).unwrap_or_default();
        message(bytes)
    })
}

fn message(bytes: &[u8]) -> Option<Message> {
    let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
    let body = bytes.get(HEADER..)?;
    let content = match kind {
        DONE => Some(match u32_at(body, 0) {
            // A dump that failed halfway says so at its end.
            Some(code) if (code as i32) < 0 => Content::Failed((code as i32).wrapping_neg()),
            Some(_) | None => Content::Done,
        }),
        ERROR => u32_at(body, 0).map(|code| Content::Failed((code as i32).wrapping_neg())),
        OVERRUN => Some(Content::Overrun),
        NEWLINK => link(body).map(Content::Link),
        DELLINK => link(body).map(|link| Content::LinkGone(link.index)),
        NEWADDR => address(body).map(Content::Address),
        DELADDR => address(body).map(Content::AddressGone),
        NEWROUTE => routes(body).map(|routes| Content::Routes {
            replaces: flags & REPLACE != 0,
            routes,
        }),
        DELROUTE => routes(body).map(Content::RoutesGone),
        _ => None,
    };
    Some(Message {
        sequence: u32_at(bytes, 8)?,
        is_interrupted: flags & INTERRUPTED != 0,
        content: content.unwrap_or(Content::Other),
    })
}

/// `struct ifinfomsg`
fn link(body: &[u8]) -> Option<Link> {
    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;
    const IFLA_STATS64: u16 = 23;
    // A bridge tells of its ports by messages of the same kind: a port that left it is not gone.
    if *body.first()? != 0 {
        return None;
    }
    let (index, flags) = (u32_at(body, 4)?, u32_at(body, 8)?);
    let (mut name, mut mtu, mut bytes) = (String::new(), 0, 0);
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_IFNAME => {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                name = String::from_utf8_lossy(text).into_owned();
            }
            IFLA_MTU => mtu = u32_at(value, 0).unwrap_or(0),
            // `struct rtnl_link_stats64`: packets received and sent, bytes received and sent.
            IFLA_STATS64 => {
                let counted = |at| u64_at(value, at).unwrap_or(0);
                bytes = counted(16).saturating_add(counted(24));
            }
            _ => (),
        }
    }
    Some(Link {
        index,
        name,
        flags,
        mtu,
        bytes,
    })
}

/// `struct ifaddrmsg`
fn address(body: &[u8]) -> Option<Address> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const IFA_FLAGS: u16 = 8;
    let (family, prefix, scope) = (*body.first()?, *body.get(1)?, *body.get(3)?);
    let mut flags = u32::from(*body.get(2)?);
    let index = u32_at(body, 4)?;
    let (mut own, mut other) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            IFA_LOCAL => own = ip(family, value),
            IFA_ADDRESS => other = ip(family, value),
            IFA_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            _ => (),
        }
    }
    // Of a point-to-point link `IFA_ADDRESS` is the other end.
    let ip = own.or(other)?;
    let is_of_link = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let spoiled = IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_DADFAILED;
    let is_nothing = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    Some(Address {
        index,
        ip,
        prefix,
        is_secondary: flags & IFA_F_SECONDARY != 0,
        is_usable: flags & spoiled == 0 && !is_of_link && !is_nothing && scope < RT_SCOPE_LINK,
    })
}

/// `struct rtmsg`: the ways of a default route; `None` for any other.
fn routes(body: &[u8]) -> Option<Vec<Route>> {
    const RTA_SRC: u16 = 2;
    const RTA_OIF: u16 = 4;
    const RTA_GATEWAY: u16 = 5;
    const RTA_PRIORITY: u16 = 6;
    const RTA_MULTIPATH: u16 = 9;
    const RTA_TABLE: u16 = 15;
    const RTA_VIA: u16 = 18;
    let [number, prefix, source_prefix, _, table, _, _, kind, ..] = *body else {
        return None;
    };
    let family = family(number)?;
    let is_copy = u32_at(body, 8)? & RTM_F_CLONED != 0;
    if prefix != 0 || kind != RTN_UNICAST || is_copy {
        return None;
    }
    let mut route = Route {
        metric: 0,
        family,
        table: table.into(),
        source: None,
        index: 0,
        gateway: None,
    };
    let mut ways = Vec::new();
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            RTA_SRC => route.source = ip(number, value).map(|ip| (ip, source_prefix)),
            RTA_OIF => route.index = u32_at(value, 0)?,
            RTA_GATEWAY => route.gateway = ip(number, value),
            RTA_VIA => route.gateway = via(value),
            RTA_PRIORITY => route.metric = u32_at(value, 0)?,
            RTA_TABLE => route.table = u32_at(value, 0)?,
            RTA_MULTIPATH => ways = next_hops(number, value),
            _ => (),
        }
    }
    if ways.is_empty() {
        ways.push((route.index, route.gateway));
    }
    let ways = ways.into_iter().filter(|(index, _)| *index != 0);
    let ways = ways.map(|(index, gateway)| Route {
        index,
        gateway,
        ..route.clone()
    });
    Some(ways.collect())
}

/// `struct rtnexthop`, several.
fn next_hops(family: u8, mut rest: &[u8]) -> Vec<(u32, Option<IpAddr>)> {
    const RTA_GATEWAY: u16 = 5;
    const RTA_VIA: u16 = 18;
    let mut hops = Vec::new();
    while let Some(length) = u16_at(rest, 0) {
        let length = usize::from(length);
        let (Some(hop), Some(index)) = (rest.get(8..length), u32_at(rest, 4)) else {
            break;
        };
        let mut gateway = None;
        for (kind, value) in attributes(hop) {
            match kind {
                RTA_GATEWAY => gateway = ip(family, value),
                RTA_VIA => gateway = via(value),
                _ => (),
            }
        }
        hops.push((index, gateway));
        rest = rest.get(align(length)..).unwrap_or_default();
    }
    hops
}

/// `struct rtvia`: a gateway of another family, as of IPv4 over IPv6.
fn via(value: &[u8]) -> Option<IpAddr> {
    let family = u8::try_from(u16_at(value, 0)?).ok()?;
    ip(family, value.get(2..)?)
}

/// `struct rtattr`, several, up to the first that cannot be one.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Whether the value consists of attributes, or is in network byte order.
    const MARKS: u16 = 0xc000;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length)?;
        let kind = u16_at(rest, 2)? & !MARKS;
        rest = rest.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn family(number: u8) -> Option<AddressFamily> {
    match number {
        AF_INET => Some(AddressFamily::V4),
        AF_INET6 => Some(AddressFamily::V6),
        _ => None,
    }
}

/// With the number of its family.
pub(super) fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
    }
}

fn ip(number: u8, value: &[u8]) -> Option<IpAddr> {
    Some(match family(number)? {
        AddressFamily::V4 => Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
        AddressFamily::V6 => Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}

const fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}
