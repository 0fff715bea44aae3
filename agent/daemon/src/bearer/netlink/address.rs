//! Gives an interface what its network has told somebody else: an address, and the default route that
//! goes with it. It needs the capability `CAP_NET_ADMIN`.

use std::{io, net::IpAddr};

use super::{
    look,
    picture::Picture,
    rules::Kernel,
    wire::{
        self, ACK, CREATE, IFF_UP, NEWADDR, NEWLINK, NEWROUTE, REPLACE, REQUEST, RT_SCOPE_LINK,
        RTN_UNICAST, attribute, framed,
    },
};
use crate::bearer::AddressFamily;

/// Behind the default routes of wires, as NetworkManager does it; each interface has its own, so that
/// none takes the place of another's.
const METRIC: u32 = 700;

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

impl Wanted {
    /// What is to be asked of the kernel, in this order.
    fn missing(&self, picture: &Picture) -> io::Result<Vec<Vec<u8>>> {
        let mut interfaces = picture.interfaces();
        let found = interfaces.find(|(_, name)| *name == self.interface);
        let (index, _) = found.ok_or_else(|| {
            let what = format!("there is no interface {}", self.interface);
            io::Error::new(io::ErrorKind::NotFound, what)
        })?;
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
        const IFA_LOCAL: u16 = 2;
        /// Nobody else is in the network of a connection. // 3GPP TS 23.060, 9.2.1.1
        const IFA_F_NODAD: u8 = 2;
        const RT_SCOPE_UNIVERSE: u8 = 0;
        let flags = if self.address.is_ipv6() {
            IFA_F_NODAD
        } else {
            0
        };
        let (family, octets) = wire::octets(self.address);
        let whole = 8 * octets.len() as u8;
        let prefix = self.prefix.filter(|prefix| *prefix <= whole);
        let mut body = vec![family, prefix.unwrap_or(whole), flags, RT_SCOPE_UNIVERSE];
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
        const RT_SCOPE_UNIVERSE: u8 = 0;
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
