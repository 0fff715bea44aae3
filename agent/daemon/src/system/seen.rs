//! The bearers of a box that has none configured: what can be seen of its interfaces. The routes of
//! the system choose among them.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
};

use lamplighter_model::Stamp;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

use crate::{
    bearer::{AddressFamily, BearerFacts, BearerId, LinkFacts, Meta, Reason, Status, classify},
    config::BearerKind,
};

/// Of a container host; nobody reads more.
const MAX_INTERFACES: usize = 16;
/// Of an IPv6 route that leads nowhere (include/uapi/linux/ipv6_route.h, RTF_REJECT).
const REJECT: u32 = 0x200;

/// Whether servers answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answers {
    /// None of them.
    No,
    NotAskedYet,
    Yes,
}

#[derive(Debug)]
pub(super) struct Seen {
    /// `/` but in tests.
    root: PathBuf,
}

/// A default route.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Route {
    metric: u32,
    interface: String,
    gateway: Option<IpAddr>,
}

impl Seen {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Interfaces with an address that lead out of the box; what is as `before` keeps its history.
    pub(super) fn look(
        &self,
        before: &[BearerFacts],
        answers: Answers,
        now: Stamp,
    ) -> Vec<BearerFacts> {
        let v4 = routes(&self.text("proc/net/route"), parse_v4);
        let v6 = routes(&self.text("proc/net/ipv6_route"), parse_v6);
        let current = v4.first().or_else(|| v6.first());
        let current = current.map(|route| route.interface.clone());
        let mut links = links();
        for (family, routes) in [(AddressFamily::V4, v4), (AddressFamily::V6, v6)] {
            for route in routes {
                let Some(link) = links.get_mut(&route.interface) else {
                    continue;
                };
                if !link.routes.contains(&family) {
                    link.routes.push(family);
                }
                link.gateways.extend(route.gateway);
            }
        }
        links.retain(|name, link| !link.routes.is_empty() || self.class(name, "device").exists());
        let facts = links.into_iter().take(MAX_INTERFACES).zip(0..);
        let facts = facts.map(|((name, link), id)| {
            let is_current = current.as_ref() == Some(&name);
            let was = before.iter().find(|facts| facts.name == name);
            self.facts(BearerId(id), link, is_current.then_some(answers), was, now)
        });
        facts.collect()
    }

    /// `answers` over the interface, if it is the one in use.
    fn facts(
        &self,
        id: BearerId,
        mut link: LinkFacts,
        answers: Option<Answers>,
        was: Option<&BearerFacts>,
        now: Stamp,
    ) -> BearerFacts {
        let interface = link.interface.clone();
        let number = |file| self.class_text(&interface, file).trim().parse().ok();
        link.index = number("ifindex").unwrap_or_default();
        link.mtu = number("mtu").unwrap_or_default();
        let (status, reason) = match answers {
            Some(Answers::Yes) => (Status::Connected, None),
            Some(Answers::No) => (Status::Disconnected, Some(Reason::Timeout)),
            Some(Answers::NotAskedYet) | None => (Status::Disconnected, Some(Reason::Untried)),
        };
        let is_as_before = |was: &&BearerFacts| (was.status, was.reason) == (status, reason);
        let is_lost = was.is_some_and(|was| was.status == Status::Connected)
            && status == Status::Disconnected;
        let kind = classify::kind(&self.root.join("sys"), &interface);
        let kind = kind.unwrap_or(BearerKind::Ethernet);
        let v4 = link.v4.first().map(|v4| IpAddr::V4(*v4));
        BearerFacts {
            id,
            name: interface.clone(),
            kind,
            interface: Some(interface),
            status,
            reason,
            since: was.filter(is_as_before).map_or(now, |was| was.since),
            is_current: answers.is_some(),
            is_urgent_only: false,
            last_exchange: None,
            round_trip: None,
            address: v4.or_else(|| link.v6.first().map(|v6| IpAddr::V6(*v6))),
            is_metered: kind.is_metered(),
            bytes_today: 0,
            bytes_month: 0,
            flaps: was
                .map_or(0, |was| was.flaps)
                .saturating_add(is_lost.into()),
            meta: Meta::default(),
            link: Some(link),
        }
    }

    fn class(&self, interface: &str, file: &str) -> PathBuf {
        self.root.join("sys/class/net").join(interface).join(file)
    }

    fn class_text(&self, interface: &str, file: &str) -> String {
        fs::read_to_string(self.class(interface, file)).unwrap_or_default()
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }
}

/// Interfaces that are up and have an address of their own.
fn links() -> BTreeMap<String, LinkFacts> {
    let mut links = BTreeMap::new();
    // A machine that does not list its interfaces has none that could be shown.
    for found in getifaddrs().into_iter().flatten() {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        if !found.flags.contains(up) || found.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let Some(address) = found.address else {
            continue;
        };
        let v4 = address.as_sockaddr_in().map(|v4| v4.ip());
        let v6 = address.as_sockaddr_in6().map(|v6| v6.ip());
        let v6 = v6.filter(|v6| !v6.is_unicast_link_local());
        if v4.is_none() && v6.is_none() {
            continue;
        }
        let name = found.interface_name;
        let link = links.entry(name.clone()).or_insert_with(|| LinkFacts {
            index: 0,
            interface: name,
            is_up: true,
            v4: Vec::new(),
            v6: Vec::new(),
            routes: Vec::new(),
            gateways: Vec::new(),
            mtu: 0,
        });
        link.v4.extend(v4);
        link.v6.extend(v6);
    }
    links
}

/// Default routes, best first.
fn routes(table: &str, parse: fn(&str) -> Option<Route>) -> Vec<Route> {
    let mut routes: Vec<Route> = table.lines().filter_map(parse).collect();
    routes.sort();
    routes
}

/// A line of /proc/net/route that is a default route.
fn parse_v4(line: &str) -> Option<Route> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [interface, destination, gateway, _, _, _, metric, mask, ..] = fields[..] else {
        return None;
    };
    if destination != "00000000" || mask != "00000000" {
        return None;
    }
    // The kernel prints the bytes of an address in the order of the machine.
    let gateway = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
    Some(Route {
        metric: metric.parse().ok()?,
        interface: interface.to_owned(),
        gateway: (gateway != [0; 4]).then(|| IpAddr::from(gateway)),
    })
}

/// A line of /proc/net/ipv6_route that is a default route; everything but the name is hexadecimal.
fn parse_v6(line: &str) -> Option<Route> {
    const ANY: &str = "00000000000000000000000000000000";
    let fields: Vec<_> = line.split_whitespace().collect();
    let [
        destination,
        "00",
        _,
        _,
        gateway,
        metric,
        _,
        _,
        flags,
        interface,
    ] = fields[..]
    else {
        return None;
    };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    if destination != ANY || flags & REJECT != 0 || interface == "lo" {
        return None;
    }
    let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
    Some(Route {
        metric: u32::from_str_radix(metric, 16).ok()?,
        interface: interface.to_owned(),
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::BootId;

    use super::*;

    #[test]
    fn a_default_route_is_told_from_the_others() {
        let table = "Iface Destination\n\
            eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
            usb0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n";
        let expected = u32::from_str_radix("0102A8C0", 16).unwrap().to_ne_bytes();
        let route = |metric, interface: &str, gateway| Route {
            metric,
            interface: interface.to_owned(),
            gateway,
        };
        assert_eq!(
            routes(table, parse_v4),
            [
                route(50, "usb0", None),
                route(100, "eth0", Some(IpAddr::from(expected)))
            ]
        );
        let any = "0".repeat(32);
        let table = format!(
            "{any} 00 {any} 00 fe800000000000000000000000000001 00000400 00000001 0 00450003     eth0\n\
             {any} 00 {any} 00 {any} ffffffff 00000001 00000000 00200200       lo\n\
             20010db8000000000000000000000000 40 {any} 00 {any} 00000100 0 0 00000001 eth0\n"
        );
        assert_eq!(
            routes(&table, parse_v6),
            [route(0x400, "eth0", Some("fe80::1".parse().unwrap()))]
        );
        for nonsense in ["", "eth0", "eth0 00000000 xyz 0 0 0 0 00000000"] {
            assert_eq!(parse_v4(nonsense), None);
            assert_eq!(parse_v6(nonsense), None);
        }
    }

    #[test]
    fn what_servers_answer_decides_of_the_interface_in_use() {
        let seen = Seen::new(crate::fake::directory("seen"));
        let at = |s| Stamp {
            boot: BootId(1),
            mono: Duration::from_secs(s),
        };
        let look = |answers, was: Option<&BearerFacts>, s| {
            let link = LinkFacts {
                index: 0,
                interface: "eth0".to_owned(),
                is_up: true,
                v4: vec![[192, 0, 2, 7].into()],
                v6: Vec::new(),
                routes: vec![AddressFamily::V4],
                gateways: Vec::new(),
                mtu: 0,
            };
            seen.facts(BearerId(0), link, answers, was, at(s))
        };
        let idle = look(None, None, 1);
        assert_eq!(
            (idle.is_current, idle.reason),
            (false, Some(Reason::Untried))
        );
        let used = look(Some(Answers::Yes), Some(&idle), 2);
        assert_eq!((used.status, used.since), (Status::Connected, at(2)));
        let used = look(Some(Answers::Yes), Some(&used), 3);
        assert_eq!((used.since, used.flaps), (at(2), 0), "nothing has changed");
        let lost = look(Some(Answers::No), Some(&used), 4);
        assert_eq!(
            (lost.reason, lost.since, lost.flaps),
            (Some(Reason::Timeout), at(4), 1)
        );
        assert_eq!(lost.address, Some([192, 0, 2, 7].into()));
    }
}
