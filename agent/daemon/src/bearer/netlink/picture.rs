//! What the kernel has: interfaces, their addresses, and default routes of all tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::wire::{
    Address, Content, IFF_DORMANT, IFF_LOOPBACK, IFF_LOWER_UP, IFF_NOARP, IFF_POINTOPOINT, IFF_UP,
    Link, Route, Rule,
};
use crate::bearer::{AddressFamily, LinkFacts};

/// More are not looked at; a host of containers has some hundreds.
const MAX_LINKS: usize = 4096;
const MAX_ADDRESSES: usize = 16_384;
const MAX_ROUTES: usize = 4096;

/// The table of most routes.
const MAIN: u32 = 254;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Picture {
    links: BTreeMap<u32, Link>,
    /// The usable ones.
    addresses: BTreeMap<(u32, IpAddr), Kept>,
    routes: BTreeSet<Route>,
}

/// What is kept of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Kept {
    /// Behind others of the same network.
    is_secondary: bool,
    prefix: u8,
}

/// An interface, and what people want to know of it beside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) facts: LinkFacts,
    /// Addresses with the bits of their networks.
    pub(crate) networks: Vec<(IpAddr, u8)>,
    /// Of the best IPv4 default route by it that all programs use.
    pub(crate) metric: Option<u32>,
    /// Whether a socket on it would look for an IPv4 server on the cable itself, where somebody has to
    /// answer to that.
    pub(crate) takes_servers_for_neighbours: bool,
}

/// What a message does to a picture.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Effect {
    None,
    Changed,
    /// At such moments the kernel drops routes without a word: look again.
    Doubtful,
}

impl Picture {
    pub(super) fn apply(&mut self, content: &Content) -> Effect {
        match content {
            Content::Address(address) => self.on_address(address),
            Content::AddressGone(address) => self.on_address_gone(address),
            Content::Link(link) => self.on_link(link),
            Content::LinkGone(index) => self.on_link_gone(*index),
            Content::Routes { replaces, routes } => self.on_routes(*replaces, routes),
            Content::RoutesGone(routes) => {
                let gone = routes.iter().filter(|route| self.routes.remove(route));
                changed(gone.count() > 0)
            }
            Content::Done | Content::Failed(_) | Content::Other | Content::Overrun => Effect::None,
        }
    }

    fn on_link(&mut self, link: &Link) -> Effect {
        let is_full = self.links.len() >= MAX_LINKS;
        if is_full && !self.links.contains_key(&link.index) {
            return Effect::None;
        }
        let former = self.links.insert(link.index, link.clone());
        let key = |link: &Link| (link.name.clone(), link.flags, link.mtu);
        if former.as_ref().map(key) == Some(key(link)) {
            return Effect::None;
        }
        let was_up = former.map(|former| former.flags & IFF_UP != 0);
        let is_up = link.flags & IFF_UP != 0;
        if !is_up {
            // The IPv4 ones go without RTM_DELROUTE, and do not come back by themselves.
            self.routes.retain(|route| route.index != link.index);
        }
        match was_up {
            Some(was_up) if was_up != is_up => Effect::Doubtful,
            Some(_) | None => Effect::Changed,
        }
    }

    fn on_link_gone(&mut self, index: u32) -> Effect {
        self.addresses.retain(|(of, _), _| *of != index);
        self.routes.retain(|route| route.index != index);
        changed(self.links.remove(&index).is_some())
    }

    fn on_address(&mut self, address: &Address) -> Effect {
        let key = (address.index, address.ip);
        if !address.is_usable {
            return changed(self.addresses.remove(&key).is_some());
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            return Effect::None;
        }
        let kept = Kept {
            is_secondary: address.is_secondary,
            prefix: address.prefix,
        };
        changed(self.addresses.insert(key, kept) != Some(kept))
    }

    fn on_address_gone(&mut self, address: &Address) -> Effect {
        match self.addresses.remove(&(address.index, address.ip)) {
            // With the last address of IPv4 go its routes.
            Some(_) => Effect::Doubtful,
            None => Effect::None,
        }
    }

    fn on_routes(&mut self, replaces: bool, routes: &[Route]) -> Effect {
        let mut effect = Effect::None;
        if let Some(first) = routes.first().filter(|_| replaces) {
            let key = |route: &Route| (route.family, route.table, route.metric, route.source);
            self.routes
                .retain(|route| key(route) != key(first) || routes.contains(route));
            effect = Effect::Changed;
        }
        for route in routes {
            if self.routes.len() < MAX_ROUTES && self.routes.insert(route.clone()) {
                effect = Effect::Changed;
            }
        }
        effect
    }

    /// Index and name of those that lead out of the box, in the order in which they came.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (u32, &str)> {
        let outside = self
            .links
            .values()
            .filter(|link| link.flags & IFF_LOOPBACK == 0);
        outside.map(|link| (link.index, link.name.as_str()))
    }

    pub(super) fn has_address(&self, index: u32, ip: IpAddr) -> bool {
        self.addresses.contains_key(&(index, ip))
    }

    /// A default route, in any table.
    pub(super) fn has_route(&self, index: u32, family: AddressFamily) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|route| route.index == index && route.family == family)
    }

    /// Received and sent over it since it was made.
    pub(super) fn bytes(&self, index: u32) -> Option<u64> {
        self.links.get(&index).map(|link| link.bytes)
    }

    pub(super) fn facts(&self, index: u32) -> Option<LinkFacts> {
        let link = self.links.get(&index)?;
        let up = IFF_UP | IFF_LOWER_UP;
        let addresses = self.addresses_of(index);
        let mut addresses: Vec<(bool, IpAddr)> = addresses
            .map(|(ip, kept)| (kept.is_secondary, ip))
            .collect();
        addresses.sort_unstable();
        let v4 = addresses.iter().filter_map(|(_, ip)| match ip {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        let v6 = addresses.iter().filter_map(|(_, ip)| match ip {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        });
        let (v4, v6): (Vec<_>, Vec<_>) = (v4.collect(), v6.collect());
        let (routes, gateways) = self.ways(link, !v4.is_empty());
        Some(LinkFacts {
            index,
            interface: link.name.clone(),
            // Dormant: a radio that has joined no network yet.
            is_up: link.flags & (up | IFF_DORMANT) == up,
            v4,
            v6,
            routes,
            gateways,
            mtu: link.mtu,
        })
    }

    /// All that lead out of the box; `is_lost`: whether IPv4 servers are not found over the interface
    /// of a number.
    pub(super) fn seen(&self, mut is_lost: impl FnMut(u32) -> bool) -> Vec<Seen> {
        let metric = |index| {
            let routes = self.routes.iter().filter(move |route| {
                route.index == index && route.table == MAIN && route.family == AddressFamily::V4
            });
            routes.map(|route| route.metric).min()
        };
        let seen = self.interfaces().filter_map(|(index, _)| {
            let facts = self.facts(index)?;
            let has_cable = !self.links.get(&index)?.needs_no_neighbours();
            let is_asked = has_cable && facts.is_up && !facts.v4.is_empty();
            let addresses = self.addresses_of(index);
            Some(Seen {
                networks: addresses.map(|(ip, kept)| (ip, kept.prefix)).collect(),
                metric: metric(index),
                takes_servers_for_neighbours: is_asked && is_lost(index),
                facts,
            })
        });
        seen.collect()
    }

    /// Which rules these interfaces may need, with their numbers: their default routes stand in no table
    /// that all programs use.
    pub(super) fn private_routes(&self, interfaces: &BTreeSet<u32>) -> BTreeMap<Rule, u32> {
        let links = interfaces.iter().filter_map(|index| self.links.get(index));
        let rules = links.flat_map(|link| {
            let families = [AddressFamily::V4, AddressFamily::V6].into_iter();
            families.filter_map(|family| {
                let rule = Rule {
                    family,
                    interface: link.name.clone(),
                    table: self.private_table(link, family)?,
                };
                Some((rule, link.index))
            })
        });
        rules.collect()
    }

    fn private_table(&self, link: &Link, family: AddressFamily) -> Option<u32> {
        /// Looked into for all that leaves.
        const COMMON: [u32; 2] = [MAIN, 253];
        if family == AddressFamily::V4 && link.needs_no_neighbours() {
            return None;
        }
        let routes = || {
            let all = self.routes.iter();
            all.filter(|route| {
                route.index == link.index && route.family == family && route.source.is_none()
            })
        };
        if routes().any(|route| COMMON.contains(&route.table)) {
            return None;
        }
        routes().next().map(|route| route.table)
    }

    fn addresses_of(&self, index: u32) -> impl Iterator<Item = (IpAddr, Kept)> {
        self.addresses
            .range((index, IpAddr::from([0; 4]))..)
            .take_while(move |((of, _), _)| *of == index)
            .map(|((_, ip), kept)| (*ip, *kept))
    }

    fn ways(&self, link: &Link, has_v4: bool) -> (Vec<AddressFamily>, Vec<IpAddr>) {
        let mut families = BTreeSet::new();
        let mut gateways = Vec::new();
        // The best metric first.
        for route in self.routes.iter().filter(|route| route.index == link.index) {
            families.insert(route.family);
            if let Some(gateway) = route.gateway.filter(|gateway| !gateways.contains(gateway)) {
                gateways.push(gateway);
            }
        }
        // Where nobody is asked for a neighbour's address, everybody is one: a socket that is bound
        // to a modem's interface reaches all of IPv4 without any route.
        // // Linux, net/ipv4/route.c, ip_route_output_key_hash_rcu
        if has_v4 && link.needs_no_neighbours() {
            families.insert(AddressFamily::V4);
        }
        (families.into_iter().collect(), gateways)
    }
}

impl Link {
    fn needs_no_neighbours(&self) -> bool {
        self.flags & (IFF_NOARP | IFF_POINTOPOINT) != 0
    }
}

const fn changed(is_changed: bool) -> Effect {
    if is_changed {
        Effect::Changed
    } else {
        Effect::None
    }
}
