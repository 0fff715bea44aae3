//! What is wrong with the interfaces of the bearers, by what kernel and sysfs say of them.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use super::Finding;
use crate::{
    bearer::{
        LinkFacts,
        classify::{self, Signs},
        netlink::{self, Seen},
    },
    config::{Bearer, BearerKind},
};

/// What a bearer is found at.
struct Place<'a> {
    bearer: &'a Bearer,
    seen: &'a Seen,
}

/// What there is at this box, now.
pub(crate) fn of_network(bearers: &[Bearer]) -> Vec<Finding> {
    if bearers.is_empty() {
        return Vec::new();
    }
    match netlink::see() {
        Ok(seen) => of_bearers(bearers, &seen, Path::new("/")),
        Err(error) => {
            let what = format!("the kernel does not say which interfaces there are: {error}");
            let advice = "a sandbox without AF_NETLINK? `ip link` shows what it lets through";
            vec![Finding::warning("bearers", what, advice)]
        }
    }
}

/// `root`: where `sys` and `proc` are.
fn of_bearers(bearers: &[Bearer], seen: &[Seen], root: &Path) -> Vec<Finding> {
    let sysfs = root.join("sys");
    let signs: BTreeMap<u32, Signs> = seen
        .iter()
        .map(|one| (one.facts.index, Signs::of(&sysfs, &one.facts.interface)))
        .collect();
    let mut findings = Vec::new();
    let mut places = Vec::new();
    for bearer in bearers {
        match place_of(bearer, bearers, seen, &signs) {
            Some(seen) => places.push(Place { bearer, seen }),
            None => findings.push(missing(bearer, seen, &signs)),
        }
    }
    for place in &places {
        findings.extend(of_place(place));
        findings.extend(reverse_path(place, places.len(), root));
    }
    findings.extend(overlaps(&places));
    findings.extend(stolen(&places, seen, &signs));
    findings
}

fn place_of<'a>(
    bearer: &Bearer,
    all: &[Bearer],
    seen: &'a [Seen],
    signs: &BTreeMap<u32, Signs>,
) -> Option<&'a Seen> {
    let Some(name) = &bearer.interface else {
        let is_named = |interface: &str| {
            all.iter()
                .any(|one| one.interface.as_deref() == Some(interface))
        };
        return seen.iter().find(|one| {
            let kind = signs.get(&one.facts.index).and_then(Signs::kind);
            kind.is_some_and(|kind| classify::fits(kind, bearer.kind))
                && !is_named(&one.facts.interface)
        });
    };
    seen.iter().rfind(|one| one.facts.interface == *name)
}

fn missing(bearer: &Bearer, seen: &[Seen], signs: &BTreeMap<u32, Signs>) -> Finding {
    let what = match &bearer.interface {
        Some(name) => format!("there is no interface {name}"),
        None => format!("no interface looks like {}", bearer.kind.as_str()),
    };
    let others: Vec<String> = seen
        .iter()
        .filter_map(|one| {
            let signs = signs.get(&one.facts.index)?;
            Some(format!("{} ({})", one.facts.interface, signs.describe()))
        })
        .collect();
    let others = if others.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there are {}", others.join(", "))
    };
    let advice = format!("plug it in, or say `interface`: {others}");
    Finding::warning(about(bearer), what, advice)
}

/// What hinders one by itself.
fn of_place(place: &Place<'_>) -> Option<Finding> {
    let Place { bearer, seen } = place;
    let facts = &seen.facts;
    let name = &facts.interface;
    if !facts.is_up {
        return None;
    }
    if facts.v4.is_empty() && facts.v6.is_empty() {
        let what = format!("{name} is up but has no address");
        let advice = format!(
            "no DHCP client serves it, or none answers: let NetworkManager, systemd-networkd or dhcpcd \
             have {name}"
        );
        return Some(Finding::fault(about(bearer), what, advice));
    }
    if !facts.routes.is_empty() && seen.takes_servers_for_neighbours {
        let what = format!(
            "the default route over {name} stands in a table that nothing leads to: the kernel takes \
             every server for a neighbour there, and nobody answers"
        );
        let advice = format!(
            "ip rule add oif {name} lookup TABLE, with the one of `ip route show table all default`"
        );
        return Some(Finding::fault(about(bearer), what, advice));
    }
    if facts.routes.is_empty() {
        let what = format!(
            "no default route leads over {name}: the kernel takes every server for a neighbour there, \
             and nobody answers"
        );
        let advice = format!(
            "its DHCP client has to keep one, with a metric of its own: ip route add default via \
             GATEWAY dev {name} metric 500"
        );
        return Some(Finding::fault(about(bearer), what, advice));
    }
    None
}

/// With several ways out the kernel drops what comes by another than it would take itself.
fn reverse_path(place: &Place<'_>, bearers: usize, root: &Path) -> Option<Finding> {
    const STRICT: u8 = 1;
    let name = &place.seen.facts.interface;
    let mode = |interface: &str| -> u8 {
        let path = root.join(format!("proc/sys/net/ipv4/conf/{interface}/rp_filter"));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    };
    // Linux, Documentation/networking/ip-sysctl.rst: the larger of both counts.
    if bearers < 2 || mode("all").max(mode(name)) != STRICT {
        return None;
    }
    let what = format!(
        "{name} is filtered strictly (rp_filter = 1): answers over it are dropped while another default route is better"
    );
    let advice = format!(
        "sysctl net.ipv4.conf.{name}.rp_filter=2, and the same line in a file of /etc/sysctl.d"
    );
    Some(Finding::warning(about(place.bearer), what, advice))
}

/// Addresses and networks that two have in common. Our sockets know their interface, others do not.
fn overlaps(places: &[Place<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, one) in places.iter().enumerate() {
        for other in places.iter().skip(number + 1) {
            findings.extend(overlap(one, other));
        }
    }
    findings
}

fn overlap(one: &Place<'_>, other: &Place<'_>) -> Option<Finding> {
    let names = (&one.seen.facts.interface, &other.seen.facts.interface);
    if names.0 == names.1 {
        return None;
    }
    let about = format!(
        "[bearer.{}] and [bearer.{}]",
        one.bearer.name, other.bearer.name
    );
    let pairs = || {
        let all = one.seen.networks.iter();
        all.flat_map(|a| other.seen.networks.iter().map(move |b| (*a, *b)))
    };
    let (first, second) = names;
    if let Some(((ip, _), _)) = pairs().find(|(a, b)| a.0 == b.0) {
        let what = format!("{first} and {second} have the same address {ip}");
        let advice = "two phones, or two ports of one network: only one of them can work for all programs; \
                      give one another address";
        return Some(Finding::fault(about, what, advice));
    }
    let (a, b) = pairs().find(|(a, b)| is_one_network(*a, *b))?;
    let (a, b) = (format!("{}/{}", a.0, a.1), format!("{}/{}", b.0, b.1));
    let what = format!("{first} ({a}) and {second} ({b}) are in one network");
    let advice = "neighbours are looked for over one of them only: give one another network, where its \
                  other end allows it";
    Some(Finding::warning(about, what, advice))
}

fn is_one_network(one: (IpAddr, u8), other: (IpAddr, u8)) -> bool {
    let bits = u32::from(one.1.min(other.1));
    match (one.0, other.0) {
        (IpAddr::V4(one), IpAddr::V4(other)) if (1..32).contains(&bits) => {
            (one.to_bits() ^ other.to_bits()) >> (32 - bits) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) if (1..128).contains(&bits) => {
            (one.to_bits() ^ other.to_bits()) >> (128 - bits) == 0
        }
        (IpAddr::V4(_), _) | (IpAddr::V6(_), _) => false,
    }
}

/// A phone that was plugged in to be charged takes everybody's default route.
fn stolen(places: &[Place<'_>], seen: &[Seen], signs: &BTreeMap<u32, Signs>) -> Option<Finding> {
    let (metric, taker) = seen
        .iter()
        .filter_map(|one| Some((one.metric?, one)))
        .min_by_key(|(metric, _)| *metric)?;
    let own = places
        .iter()
        .find(|place| place.seen.facts.index == taker.facts.index);
    let looks = signs.get(&taker.facts.index).and_then(Signs::kind);
    let kind = own.map(|place| place.bearer.kind).or(looks)?;
    let is_phone = matches!(
        kind,
        BearerKind::TetherBluetooth | BearerKind::TetherUsb | BearerKind::TetherWifi
    );
    let rank = |place: &Place<'_>| (place.bearer.usual_tier(), place.bearer.priority);
    let better = places
        .iter()
        .filter(|place| place.seen.facts.index != taker.facts.index && is_way(&place.seen.facts))
        .min_by_key(|place| rank(place))
        .filter(|best| own.is_none_or(|own| rank(best) < rank(own)))?;
    if !is_phone {
        return None;
    }
    let (name, better) = (&taker.facts.interface, better.bearer);
    let what = format!(
        "the default route of all other programs is the phone at {name} (metric {metric}), though \
         [bearer.{}] is preferred",
        better.name
    );
    let advice = format!(
        "give {name} a larger metric than the others: nmcli connection modify PROFILE ipv4.route-metric 900"
    );
    Some(Finding::warning(about(better), what, advice))
}

fn is_way(facts: &LinkFacts) -> bool {
    facts.is_up && !facts.routes.is_empty()
}

fn about(bearer: &Bearer) -> String {
    format!("[bearer.{}]", bearer.name)
}

#[cfg(test)]
mod tests;
