//! Addresses of servers as they were found last, for when nobody says where a name is, and so that
//! a switch waits for no name server.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    opening::{Found, Origin},
    way,
};
use crate::bearer::Way;

#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// By name and interface, those that have worked first.
    known: BTreeMap<(String, String), Known>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    is_translated: bool,
}

/// Servers times bearers.
const MAX_KNOWN: usize = 256;

impl Addresses {
    /// What can be tried at once: an address as text, what is known over this bearer, else over
    /// another.
    pub(super) fn find(&self, host: &str, way: &Way) -> Vec<IpAddr> {
        let own = (host.to_owned(), way.interface.clone());
        let mut found = match (host.parse::<IpAddr>(), self.known.get(&own)) {
            (_, Some(known)) => known.addresses.clone(),
            (Ok(address), None) => vec![address],
            (Err(_), None) => self.elsewhere(host),
        };
        found.retain(|address| way.carries(*address) || way::is_here((*address, 0).into()));
        found
    }

    fn elsewhere(&self, host: &str) -> Vec<IpAddr> {
        let others = self.known.iter();
        others
            .filter(|((of, _), known)| of == host && !known.is_translated)
            .flat_map(|(_, known)| known.addresses.iter().copied())
            .collect()
    }

    pub(super) fn learn(&mut self, found: Found) {
        let key = (found.host, found.interface);
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&key) {
            self.known.pop_first();
        }
        let mut addresses = found.addresses;
        // Those that are known already stay in their order, in front.
        if let Some(known) = self.known.get(&key) {
            let place = |address: &IpAddr| known.addresses.iter().position(|one| one == address);
            addresses.sort_by_key(|address| place(address).unwrap_or(usize::MAX));
        }
        self.known.insert(
            key,
            Known {
                addresses,
                is_translated: found.is_translated,
            },
        );
    }

    /// A link has ended: an address over which somebody was heard is the first next time, one that
    /// was mute is the last.
    pub(super) fn judge(&mut self, origin: &Origin) {
        let key = (origin.host.clone(), origin.interface.clone());
        let Some(known) = self.known.get_mut(&key) else {
            return;
        };
        let place = known
            .addresses
            .iter()
            .position(|one| *one == origin.address);
        let Some(place) = place else {
            return;
        };
        let (first, behind) = known.addresses.split_at_mut(place);
        if origin.is_heard {
            known.addresses[..=place].rotate_right(1);
        } else if first.is_empty() {
            behind.rotate_left(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(interface: &str) -> Way {
        Way {
            interface: interface.to_owned(),
            index: 1,
            v4: true,
            v6: false,
            nat64: false,
            name_servers: Vec::new(),
        }
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn found(interface: &str, addresses: &[IpAddr], is_translated: bool) -> Found {
        Found {
            addresses: addresses.to_vec(),
            host: "lw.example".to_owned(),
            interface: interface.to_owned(),
            is_translated,
        }
    }

    fn origin(address: IpAddr, is_heard: bool) -> Origin {
        Origin {
            address,
            host: "lw.example".to_owned(),
            interface: "a".to_owned(),
            is_heard,
        }
    }

    #[test]
    fn another_bearers_addresses_do_where_this_one_has_none() {
        let mut known = Addresses::default();
        assert!(known.find("lw.example", &way("b")).is_empty());
        let six = "2001:db8::1".parse().unwrap();
        known.learn(found("a", &[six, address(1)], false));
        assert_eq!(known.find("lw.example", &way("b")), [address(1)]);
        known.learn(found("b", &[address(2)], false));
        assert_eq!(known.find("lw.example", &way("b")), [address(2)]);
        assert_eq!(known.find("192.0.2.9", &way("b")), [address(9)]);
    }

    #[test]
    fn what_a_translator_has_made_is_of_no_use_elsewhere() {
        let mut known = Addresses::default();
        known.learn(found("a", &[address(1)], true));
        assert!(known.find("lw.example", &way("b")).is_empty());
    }

    #[test]
    fn mute_addresses_take_turns_and_one_that_is_heard_stays() {
        let mut known = Addresses::default();
        let all = [address(1), address(2), address(3)];
        known.learn(found("a", &all, false));
        let first = |known: &Addresses| known.find("lw.example", &way("a"))[0];
        known.judge(&origin(address(1), false));
        assert_eq!(first(&known), address(2));
        known.judge(&origin(address(3), true));
        assert_eq!(first(&known), address(3));
        known.learn(found("a", &all, false));
        assert_eq!(first(&known), address(3));
        known.judge(&origin(address(9), true));
        assert_eq!(first(&known), address(3));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut known = Addresses::default();
        for number in 0..1000 {
            known.learn(found(&number.to_string(), &[address(1)], false));
        }
        assert_eq!(known.known.len(), MAX_KNOWN);
    }
}
