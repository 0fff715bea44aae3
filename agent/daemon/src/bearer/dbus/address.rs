//! Gives a modem's interface the address that ModemManager was told by the network. Where
//! NetworkManager does it, nothing is to be done; else it takes CAP_NET_ADMIN.
//!
//! Layouts: Linux, include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h; all in the byte order of
//! the machine.

use std::{
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

/// Sets addresses and default routes of a connection up. Says what is amiss.
pub(super) fn set_up(connection: &Connection) -> Option<String> {
    let interface = connection.interface.as_ref()?;
    let configs = [&connection.v4, &connection.v6];
    let there = addresses(interface);
    let wants = |method| configs.iter().any(|config| config.method == method);
    if wants(DHCP) && !wants(STATIC) {
        let text =
            format!("{interface} wants its address by DHCP: NetworkManager or another client");
        return there.is_empty().then_some(text);
    }
    for config in configs.into_iter().filter(|config| config.method == STATIC) {
        let Some(address) = config.address.filter(|address| !there.contains(address)) else {
            continue;
        };
        if let Err(error) = apply(interface, address, config) {
            return Some(format!(
                "nobody gives {interface} its address: NetworkManager could, or the capability \
                 CAP_NET_ADMIN ({error})"
            ));
        }
    }
    None
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
    kernel.ask(&new_address(index, address, config.prefix))?;
    let gateway = config
        .gateway
        .filter(|gateway| gateway.is_ipv4() == address.is_ipv4());
    kernel.ask(&route(index, address, gateway))
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

fn new_address(index: u32, address: IpAddr, prefix: Option<u8>) -> Vec<u8> {
    let (family, bytes) = parts(address);
    let whole = 8 * bytes.len() as u8;
    let prefix = prefix.filter(|prefix| *prefix <= whole).unwrap_or(whole);
    let mut body = vec![family, prefix, 0, RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &bytes);
    attribute(&mut body, IFA_ADDRESS, &bytes);
    message(RTM_NEWADDR, REPLACE_CREATE, &body)
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
            new_address(1, v4, Some(30)),
            new_address(1, v6, Some(200)),
            route(1, v4, Some(v4)),
            route(1, v6, None),
        ] {
            let length = u32::from_ne_bytes(request[..4].try_into().unwrap());
            assert_eq!(length as usize, request.len());
            assert_eq!(request.len() % 4, 0);
        }
        assert_eq!(new_address(1, v6, Some(200))[17], 128);
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
        let trouble = set_up(&nowhere).unwrap();
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
        assert!(set_up(&by_dhcp).unwrap().contains("DHCP"));
        assert_eq!(set_up(&Connection::default()), None);
    }
}
