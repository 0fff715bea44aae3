//! Who gives a modem's interface the address that ModemManager was told by the network: where
//! NetworkManager does not, this does.

use std::{collections::BTreeMap, io, net::IpAddr};

use super::modem::{Connection, IpConfig};
use crate::bearer::netlink::address::{self, Wanted};

/// MMBearerIpMethod
const STATIC: u32 = 2;
const DHCP: u32 = 3;

/// What interfaces were given for a connection, with the bits of its network: it goes with it, or
/// packets of the next one would leave with its address.
#[derive(Debug, Default)]
pub(super) struct Given(BTreeMap<(String, IpAddr), u8>);

impl Given {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets up what a connection wants, and takes back what it does not want any more. Says what is
    /// amiss; nothing, once addresses and routes are there. Waits for the kernel.
    pub(super) fn follow(&mut self, connection: Option<&Connection>) -> Option<String> {
        let wanted = connection.map(wanted).unwrap_or_default();
        let interface = connection.and_then(|connection| connection.interface.as_deref());
        let there = interface.map(address::of).unwrap_or_default();
        if let Some(interface) = interface.filter(|_| wanted.iter().any(Wanted::is_v4)) {
            // Of a run of us before this one. IPv6 has several at a time.
            for left in there.iter().filter(|address| address.is_ipv4()) {
                self.0.entry((interface.to_owned(), *left)).or_default();
            }
        }
        self.take_back(&wanted);
        let (connection, interface) = (connection?, interface?);
        let mut configs = [&connection.v4, &connection.v6].into_iter();
        if wanted.is_empty() && there.is_empty() && configs.any(|config| config.method == DHCP) {
            return Some(format!(
                "{interface} wants its address by DHCP: NetworkManager or another client"
            ));
        }
        let failed: Vec<String> = wanted
            .into_iter()
            .filter_map(|wanted| {
                let failed = address::set_up(&wanted).err();
                let prefix = wanted.prefix();
                self.0.insert((wanted.interface, wanted.address), prefix);
                Some(words(interface, &failed?))
            })
            .collect();
        failed.into_iter().next()
    }

    fn take_back(&mut self, wanted: &[Wanted]) {
        self.0.retain(|(interface, address), prefix| {
            let is_it =
                |wanted: &Wanted| (&wanted.interface, &wanted.address) == (&*interface, &*address);
            let is_wanted = wanted.iter().any(is_it);
            if !is_wanted && let Err(error) = address::remove(interface, *address, *prefix) {
                // With its interface it is gone already.
                tracing::debug!(%error, interface, %address, "A former address is not taken back");
            }
            is_wanted
        });
    }
}

/// Addresses that the network has told.
fn wanted(connection: &Connection) -> Vec<Wanted> {
    let Some(interface) = &connection.interface else {
        return Vec::new();
    };
    let fixed = |config: &IpConfig| {
        let address = config.address.filter(|_| config.method == STATIC)?;
        Some(Wanted {
            interface: interface.clone(),
            address,
            prefix: config.prefix,
            gateway: config.gateway,
            mtu: config.mtu,
        })
    };
    let configs = [&connection.v4, &connection.v6];
    configs.into_iter().filter_map(fixed).collect()
}

fn words(interface: &str, failed: &io::Error) -> String {
    if failed.kind() == io::ErrorKind::NotFound {
        failed.to_string()
    } else if failed.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "nobody gives {interface} its address: NetworkManager could, or the capability \
             CAP_NET_ADMIN"
        )
    } else {
        format!("{interface} cannot be given its address and route: {failed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(method: u32) -> Connection {
        Connection {
            interface: Some("no-such-if".into()),
            v4: IpConfig {
                method,
                address: "10.0.0.1".parse().ok(),
                ..IpConfig::default()
            },
            ..Connection::default()
        }
    }

    #[test]
    fn what_is_amiss_is_told_apart() {
        let mut given = Given::default();
        let gone = given.follow(Some(&connection(STATIC))).unwrap();
        assert_eq!(gone, "there is no interface no-such-if");
        let said = |kind: io::ErrorKind| words("wwan0", &kind.into());
        assert!(said(io::ErrorKind::PermissionDenied).contains("CAP_NET_ADMIN"));
        assert!(said(io::ErrorKind::InvalidInput).contains("cannot be given"));
        assert_eq!(given.follow(None), None);
        assert!(given.is_empty());
    }

    #[test]
    fn dhcp_is_left_to_somebody_else() {
        let mut given = Given::default();
        let trouble = given.follow(Some(&connection(DHCP))).unwrap();
        assert!(trouble.contains("DHCP"), "{trouble}");
        assert_eq!(given.follow(Some(&Connection::default())), None);
    }
}
