//! Who gives a modem's interface the address that ModemManager was told by the network: where
//! NetworkManager does not, this does.

use std::io;

use super::modem::{Connection, IpConfig};
use crate::bearer::netlink::{self, address::Wanted};

/// MMBearerIpMethod
const STATIC: u32 = 2;
const DHCP: u32 = 3;

/// Sets addresses and default routes of a connection up. Says what is amiss; nothing, once both are
/// there. Waits for the kernel.
pub(super) fn set_up(connection: &Connection) -> Option<String> {
    let interface = connection.interface.as_ref()?;
    let configs = [&connection.v4, &connection.v6];
    let wants = |method| configs.iter().any(|config| config.method == method);
    if wants(DHCP) && !wants(STATIC) {
        let text =
            format!("{interface} wants its address by DHCP: NetworkManager or another client");
        return (!has_address(interface)).then_some(text);
    }
    let mut wanted = configs
        .into_iter()
        .filter_map(|config| wanted(interface, config));
    wanted.find_map(|wanted| {
        let failed = netlink::address::set_up(&wanted).err()?;
        Some(words(interface, &failed))
    })
}

fn wanted(interface: &str, config: &IpConfig) -> Option<Wanted> {
    let address = config.address.filter(|_| config.method == STATIC)?;
    Some(Wanted {
        interface: interface.to_owned(),
        address,
        prefix: config.prefix,
        gateway: config.gateway,
        mtu: config.mtu,
    })
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

fn has_address(interface: &str) -> bool {
    let seen = netlink::see().unwrap_or_default();
    let mut own = seen
        .iter()
        .filter(|seen| seen.facts.interface == *interface);
    own.any(|seen| !seen.networks.is_empty())
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
        let gone = set_up(&connection(STATIC)).unwrap();
        assert_eq!(gone, "there is no interface no-such-if");
        let said = |kind: io::ErrorKind| words("wwan0", &kind.into());
        assert!(said(io::ErrorKind::PermissionDenied).contains("CAP_NET_ADMIN"));
        assert!(said(io::ErrorKind::InvalidInput).contains("cannot be given"));
    }

    #[test]
    fn dhcp_is_left_to_somebody_else() {
        assert!(set_up(&connection(DHCP)).unwrap().contains("DHCP"));
        assert_eq!(set_up(&Connection::default()), None);
    }
}
