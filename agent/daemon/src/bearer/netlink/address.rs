//! Gives an interface what its network has told somebody else: an address, and the default route that
//! goes with it. It needs the capability `CAP_NET_ADMIN`.

use std::{io, net::IpAddr};

use super::{
    look,
    picture::Picture,
    rules::Kernel,
    wire::{
        self, ACK, CREATE, DELADDR, IFF_UP, NEWADDR, NEWLINK, NEWROUTE, REPLACE, REQUEST,
        RT_SCOPE_LINK, RTN_UNICAST, attribute, framed,
    },
};
use crate::bearer::AddressFamily;

/// Behind the default routes of wires, as NetworkManager does it; each interface has its own, so that
/// none takes the place of another's.
const METRIC: u32 = 700;

const IFA_LOCAL: u16 = 2;
const RT_SCOPE_UNIVERSE: u8 = 0;

/// What an interface shall have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) interface: String,
    pub(crate) address: IpAddr,
    /// Bits of its network; `None`: it is alone.
    pub(crate) prefix: Option<u8>,
    /// `None`: the network is a line with one end, everything goes down it.
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) mtu: Option<u32>,
}

/// Sets what is missing; returns when address and default route are there. Waits for the kernel.
///
/// # Errors
/// There is no such interface (`NotFound`), we may not (`PermissionDenied`), or what the kernel says.
pub(crate) fn set_up(wanted: &Wanted) -> io::Result<()> {
    let mut kernel = Kernel::open()?;
    let picture = look(&mut kernel)?;
    for request in wanted.missing(&picture)? {
        if let Some(error) = kernel.perform(&request)? {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Takes an address away; routes that need it go with it. Waits for the kernel.
///
/// # Errors
/// There is no such interface or address, we may not, or what the kernel says.
pub(crate) fn remove(interface: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let mut kernel = Kernel::open()?;
    let index = index_of(&look(&mut kernel)?, interface)?;
    let request = former_address(index, address, prefix);
    let refused = kernel.perform(&request)?;
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Those of an interface that can be used; none where there is none. Waits for the kernel.
pub(crate) fn of(interface: &str) -> Vec<IpAddr> {
    let picture = Kernel::open().and_then(|mut kernel| look(&mut kernel));
    let found = picture.and_then(|picture| {
        let facts = picture.facts(index_of(&picture, interface)?);
        Ok(facts.map(|facts| (facts.v4, facts.v6)).unwrap_or_default())
    });
    let (v4, v6) = found.unwrap_or_default();
    let v4 = v4.into_iter().map(IpAddr::V4);
    v4.chain(v6.into_iter().map(IpAddr::V6)).collect()
}

fn index_of(picture: &Picture, interface: &str) -> io::Result<u32> {
    let found = picture.interfaces().find(|(_, name)| *name == interface);
    found.map(|(index, _)| index).ok_or_else(|| {
        let what = format!("there is no interface {interface}");
        io::Error::new(io::ErrorKind::NotFound, what)
    })
}

/// Of IPv4 the prefix does not matter.
fn former_address(index: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    let (family, octets) = wire::octets(address);
    let mut body = vec![family, prefix, 0, RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets);
    framed(DELADDR, REQUEST | ACK, 0, &body)
}

impl Wanted {
    pub(crate) const fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Bits of its network, or of the whole address.
    pub(crate) fn prefix(&self) -> u8 {
        let whole = if self.is_v4() { 32 } else { 128 };
        self.prefix
            .filter(|prefix| *prefix <= whole)
            .unwrap_or(whole)
    }

    /// What is to be asked of the kernel, in this order.
    fn missing(&self, picture: &Picture) -> io::Result<Vec<Vec<u8>>> {
        let index = index_of(picture, &self.interface)?;
        let family = match self.address {
            IpAddr::V4(_) => AddressFamily::V4,
            IpAddr::V6(_) => AddressFamily::V6,
        };
        let address = (!picture.has_address(index, self.address)).then(|| self.new_address(index));
        let route = (!picture.has_route(index, family)).then(|| self.new_route(index));
        let link = (address.is_some() || route.is_some()).then(|| self.link_up(index));
        Ok([link, address, route].into_iter().flatten().collect())
    }

    fn link_up(&self, index: u32) -> Vec<u8> {
        const IFLA_MTU: u16 = 4;
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        // Flags, and which of them are to change.
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        if let Some(mtu) = self.mtu {
            attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
        }
        framed(NEWLINK, REQUEST | ACK, 0, &body)
    }

    fn new_address(&self, index: u32) -> Vec<u8> {
        const IFA_ADDRESS: u16 = 1;
        /// Nobody else is in the network of a connection. // 3GPP TS 23.060, 9.2.1.1
        const IFA_F_NODAD: u8 = 2;
        let flags = if self.is_v4() { 0 } else { IFA_F_NODAD };
        let (family, octets) = wire::octets(self.address);
        let mut body = vec![family, self.prefix(), flags, RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, &octets);
        attribute(&mut body, IFA_ADDRESS, &octets);
        framed(NEWADDR, REQUEST | ACK | CREATE | REPLACE, 0, &body)
    }

    fn new_route(&self, index: u32) -> Vec<u8> {
        const RTA_OIF: u16 = 4;
        const RTA_GATEWAY: u16 = 5;
        const RTA_PRIORITY: u16 = 6;
        const RT_TABLE_MAIN: u8 = 254;
        const RTPROT_STATIC: u8 = 4;
        /// It need not be a neighbour by its prefix.
        const RTNH_F_ONLINK: u32 = 4;
        let (family, _) = wire::octets(self.address);
        let gateway = self.gateway.map(wire::octets);
        let gateway = gateway.filter(|(of, _)| *of == family);
        let (scope, flags) = match gateway {
            Some(_) => (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
            None => (RT_SCOPE_LINK, 0),
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
        attribute(&mut body, RTA_PRIORITY, &(METRIC + index).to_ne_bytes());
        if let Some((_, octets)) = gateway {
            attribute(&mut body, RTA_GATEWAY, &octets);
        }
        framed(NEWROUTE, REQUEST | ACK | CREATE | REPLACE, 0, &body)
    }
}
