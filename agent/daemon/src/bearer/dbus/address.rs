//! Gives a modem's interface the address that ModemManager was told by the network. Where
//! NetworkManager does it, nothing is to be done; else it takes CAP_NET_ADMIN.
//!
//! Layouts: Linux, include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h; all in the byte order of
//! the machine.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    ifaddrs::getifaddrs,
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
        sockopt::ReceiveTimeout,
    },
    sys::time::TimeVal,
};

use super::modem::{Connection, IpConfig};

/// What interfaces were given for a connection: it goes with it, or packets of the next one would
/// leave with its address.
#[derive(Debug, Default)]
pub(super) struct Given(BTreeMap<(String, IpAddr), u8>);

/// Behind the default routes of wires, as NetworkManager does it.
const METRIC: u32 = 700;
/// Seconds until the kernel has answered; it does so at once.
const PATIENCE: i64 = 2;

/// MMBearerIpMethod
const STATIC: u32 = 2;
const DHCP: u32 = 3;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const REPLACE_CREATE: u16 = 0x100 | 0x400;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

impl Given {
    /// Sets up what a connection wants, and takes back what it does not want any more. Says what is
    /// amiss.
    pub(super) fn follow(&mut self, connection: Option<&Connection>) -> Option<String> {
        let wanted = connection.and_then(Wanted::of);
        self.take_back(wanted.as_ref());
        let Wanted { interface, fixed } = wanted?;
        let there = addresses(interface);
        let connection = connection?;
        let by_dhcp = [&connection.v4, &connection.v6]
            .iter()
            .any(|config| config.method == DHCP);
        if by_dhcp && fixed.is_empty() && there.is_empty() {
            return Some(format!(
                "{interface} wants its address by DHCP: NetworkManager or another client"
            ));
        }
        for (address, config) in fixed {
            if !there.contains(&address)
                && let Err(error) = apply(interface, address, config)
            {
                return Some(format!(
                    "nobody gives {interface} its address: NetworkManager could, or the capability \
                     CAP_NET_ADMIN ({error})"
                ));
            }
            let key = (interface.to_owned(), address);
            self.0.insert(key, prefix(address, config.prefix));
        }
        None
    }

    /// What is not wanted, with what a run of us before this one has left.
    fn take_back(&mut self, wanted: Option<&Wanted<'_>>) {
        for left in wanted.iter().flat_map(|wanted| wanted.others()) {
            self.0.entry(left).or_default();
        }
        self.0.retain(|(interface, address), prefix| {
            let is_wanted =
                wanted.is_some_and(|wanted| wanted.interface == interface && wanted.has(*address));
            if !is_wanted && let Err(error) = remove(interface, *address, *prefix) {
                // With its interface it is gone already.
                tracing::debug!(%error, interface, %address, "A former address is not taken back");
            }
            is_wanted
        });
    }
}

/// What a connection wants of its interface.
struct Wanted<'a> {
    interface: &'a str,
    /// Addresses that the network has told.
    fixed: Vec<(IpAddr, &'a IpConfig)>,
}

impl<'a> Wanted<'a> {
    fn of(connection: &'a Connection) -> Option<Self> {
        let fixed = |config: &'a IpConfig| {
            let address = config.address.filter(|_| config.method == STATIC)?;
            Some((address, config))
        };
        Some(Self {
            interface: connection.interface.as_deref()?,
            fixed: [&connection.v4, &connection.v6]
                .into_iter()
                .filter_map(fixed)
                .collect(),
        })
    }

    fn has(&self, address: IpAddr) -> bool {
        self.fixed.iter().any(|(wanted, _)| *wanted == address)
    }

    /// Addresses of IPv4 in the place of the one that is wanted. IPv6 has several at a time.
    fn others(&self) -> impl Iterator<Item = (String, IpAddr)> {
        let has_v4 = self.fixed.iter().any(|(address, _)| address.is_ipv4());
        let there = addresses(self.interface).into_iter();
        let others = there.filter(move |there| has_v4 && there.is_ipv4() && !self.has(*there));
        others.map(|there| (self.interface.to_owned(), there))
    }
}

fn addresses(interface: &str) -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten();
    let of = all.filter(|found| found.interface_name == interface);
    let ip = of.filter_map(|found| {
        let address = found.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    ip.filter(|ip| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    })
    .collect()
}

fn apply(interface: &str, address: IpAddr, config: &IpConfig) -> io::Result<()> {
    let index = if_nametoindex(interface)?;
    let kernel = Kernel::open()?;
    kernel.ask(&link(index, config.mtu))?;
    let prefix = prefix(address, config.prefix);
    kernel.ask(&new_address(index, address, prefix))?;
    let gateway = config
        .gateway
        .filter(|gateway| gateway.is_ipv4() == address.is_ipv4());
    kernel.ask(&route(index, address, gateway))
}

fn remove(interface: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let index = if_nametoindex(interface)?;
    Kernel::open()?.ask(&former_address(index, address, prefix))
}

struct Kernel(OwnedFd);

impl Kernel {
    fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        setsockopt(&fd, ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        Ok(Self(fd))
    }

    fn ask(&self, request: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), request, MsgFlags::empty())?;
        let mut answer = [0; 512];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        match error_of(&answer[..length]) {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What the kernel says to a request; 0: done.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = answer.get(4..6)?.try_into().map(u16::from_ne_bytes).ok()?;
    let error = answer
        .get(16..20)?
        .try_into()
        .map(i32::from_ne_bytes)
        .ok()?;
    (kind == NLMSG_ERROR).then(|| error.saturating_neg())
}

fn link(index: u32, mtu: Option<u32>) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    // Flags, and which of them are to change.
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    if let Some(mtu) = mtu {
        attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
    }
    message(RTM_NEWLINK, 0, &body)
}

fn new_address(index: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let (family, bytes) = parts(address);
    let mut body = vec![family, prefix, 0, RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &bytes);
    attribute(&mut body, IFA_ADDRESS, &bytes);
    message(RTM_NEWADDR, REPLACE_CREATE, &body)
}

/// Of IPv4 the prefix does not matter.
fn former_address(index: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let (family, bytes) = parts(address);
    let mut body = vec![family, prefix, 0, RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &bytes);
    message(RTM_DELADDR, 0, &body)
}

fn prefix(address: IpAddr, told: Option<u8>) -> u8 {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    told.filter(|prefix| *prefix <= whole).unwrap_or(whole)
}

/// Without a gateway the network is a line with one end: everything goes down it.
fn route(index: u32, address: IpAddr, gateway: Option<IpAddr>) -> Vec<u8> {
    let (family, _) = parts(address);
    let scope = match gateway {
        Some(_) => RT_SCOPE_UNIVERSE,
        None => RT_SCOPE_LINK,
    };
    let flags = match gateway {
        // It need not be a neighbour by its prefix.
        Some(_) => RTNH_F_ONLINK,
        None => 0,
    };
    let mut body = vec![
        family,
        0,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
    ];
    body.extend(flags.to_ne_bytes());
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    attribute(&mut body, RTA_PRIORITY, &METRIC.to_ne_bytes());
    if let Some(gateway) = gateway {
        attribute(&mut body, RTA_GATEWAY, &parts(gateway).1);
    }
    message(RTM_NEWROUTE, REPLACE_CREATE, &body)
}

fn parts(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (2, v4.octets().to_vec()),
        IpAddr::V6(v6) => (10, v6.octets().to_vec()),
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = 4 + value.len() as u16;
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    // All lengths here are multiples of four: nothing to fill up.
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = 16 + body.len() as u32;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST_ACK | flags).to_ne_bytes());
    // One request at a time: its number, and ours, say nothing.
    message.extend([0; 8]);
    message.extend(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_lengths_that_they_say() {
        let v6 = "2001:db8::1".parse().unwrap();
        let v4 = "10.0.0.1".parse().unwrap();
        for request in [
            link(1, Some(1428)),
            new_address(1, v4, 30),
            former_address(1, v4, 0),
            new_address(1, v6, 64),
            former_address(1, v6, 64),
            route(1, v4, Some(v4)),
            route(1, v6, None),
        ] {
            let length = u32::from_ne_bytes(request[..4].try_into().unwrap());
            assert_eq!(length as usize, request.len());
            assert_eq!(request.len() % 4, 0);
        }
        assert_eq!(prefix(v6, Some(200)), 128);
        assert_eq!(prefix(v4, Some(30)), 30);
    }

    #[test]
    fn the_kernel_understands_an_address_and_refuses_what_is_not_there() {
        let kernel = Kernel::open().unwrap();
        let missing = kernel.ask(&link(u32::MAX / 2, None)).unwrap_err();
        // ENODEV for who may, EPERM for who may not.
        assert!(matches!(missing.raw_os_error(), Some(19 | 1)), "{missing}");
        let nowhere = Connection {
            interface: Some("no-such-if".into()),
            v4: IpConfig {
                method: STATIC,
                address: "10.0.0.1".parse().ok(),
                ..IpConfig::default()
            },
            ..Connection::default()
        };
        let trouble = Given::default().follow(Some(&nowhere)).unwrap();
        assert!(trouble.contains("no-such-if"), "{trouble}");
    }

    #[test]
    fn dhcp_is_left_to_somebody_else() {
        let by_dhcp = Connection {
            interface: Some("no-such-if".into()),
            v4: IpConfig {
                method: DHCP,
                ..IpConfig::default()
            },
            ..Connection::default()
        };
        let mut given = Given::default();
        let trouble = given.follow(Some(&by_dhcp)).unwrap();
        assert!(trouble.contains("DHCP"), "{trouble}");
        assert_eq!(given.follow(Some(&Connection::default())), None);
        assert_eq!(given.follow(None), None);
    }
}
