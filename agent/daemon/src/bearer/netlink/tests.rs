mod kernel;

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::{
    follower::{Follower, Next},
    wire::{self, IFF_DORMANT, IFF_LOOPBACK, IFF_LOWER_UP, IFF_NOARP, IFF_UP},
    *,
};
use crate::bearer::AddressFamily::{V4, V6};

const UP: u32 = IFF_UP | IFF_LOWER_UP;
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
const DONE: u16 = 3;
const ERROR: u16 = 2;

/// Attributes, one after the other.
#[derive(Clone, Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0
            .extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn ip(self, kind: u16, ip: &str) -> Self {
        match ip.parse().unwrap() {
            IpAddr::V4(v4) => self.with(kind, &v4.octets()),
            IpAddr::V6(v6) => self.with(kind, &v6.octets()),
        }
    }

    fn number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_ne_bytes())
    }
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

fn link(kind: u16, index: u32, name: &str, flags: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend([0; 4]);
    let mut counted = [0; 192];
    counted[16..24].copy_from_slice(&1000u64.to_ne_bytes());
    counted[24..32].copy_from_slice(&u64::from(index).to_ne_bytes());
    let attributes = Attributes::default()
        .with(3, format!("{name}\0").as_bytes())
        .with(99, b"what nobody knows yet")
        .number(4, 1400)
        .with(23, &counted);
    body.extend(attributes.0);
    message(kind, 0, 0, &body)
}

fn address(kind: u16, index: u32, ip: &str, flags: u32) -> Vec<u8> {
    let family = family_of(ip);
    let mut body = vec![family, 24, flags as u8, 0];
    body.extend(index.to_ne_bytes());
    body.extend(Attributes::default().ip(1, ip).number(8, flags).0);
    message(kind, 0, 0, &body)
}

fn family_of(ip: &str) -> u8 {
    if ip.contains(':') { 10 } else { 2 }
}

fn route_body(family: u8, prefix: u8, attributes: Attributes) -> Vec<u8> {
    let mut body = vec![family, prefix, 0, 0, 254, 3, 0, 1];
    body.extend([0; 4]);
    body.extend(attributes.0);
    body
}

/// A default route by a gateway.
fn route(kind: u16, flags: u16, index: u32, gateway: &str, metric: u32) -> Vec<u8> {
    let attributes = Attributes::default()
        .number(15, 254)
        .ip(5, gateway)
        .number(4, index)
        .number(6, metric);
    message(
        kind,
        flags,
        0,
        &route_body(family_of(gateway), 0, attributes),
    )
}

/// A picture after these messages, each on its own.
fn picture(messages: &[Vec<u8>]) -> Picture {
    let mut picture = Picture::default();
    feed(&mut picture, messages);
    picture
}

fn feed(picture: &mut Picture, messages: &[Vec<u8>]) -> Vec<picture::Effect> {
    let contents = messages.iter().flat_map(|bytes| wire::messages(bytes));
    contents
        .map(|message| picture.apply(&message.content))
        .collect()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn an_interface_is_seen_with_what_a_socket_on_it_needs() {
    let picture = picture(&[
        link(NEWLINK, 1, "lo", UP | IFF_LOOPBACK),
        link(NEWLINK, 3, "usb0", UP),
        address(NEWADDR, 3, "192.168.42.77", 0),
        address(NEWADDR, 3, "2001:db8::7", 0),
        route(NEWROUTE, 0, 3, "192.168.42.129", 100),
        route(NEWROUTE, 0, 3, "fe80::1", 1024),
    ]);
    let expected = LinkFacts {
        index: 3,
        interface: "usb0".to_owned(),
        is_up: true,
        v4: vec![Ipv4Addr::new(192, 168, 42, 77)],
        v6: vec!["2001:db8::7".parse().unwrap()],
        routes: vec![V4, V6],
        gateways: ips(&["192.168.42.129", "fe80::1"]),
        mtu: 1400,
    };
    assert_eq!(picture.facts(3), Some(expected));
    assert_eq!(picture.bytes(3), Some(1003));
    assert_eq!(
        picture.interfaces().collect::<Vec<_>>(),
        [(3, "usb0")],
        "the loop is no way out"
    );
}

#[test]
fn addresses_that_cannot_be_used_are_left_out() {
    const SECONDARY: u32 = 0x01;
    let mut picture = picture(&[
        link(NEWLINK, 3, "usb0", UP),
        address(NEWADDR, 3, "10.0.0.9", 0),
        address(NEWADDR, 3, "10.0.0.1", SECONDARY),
        address(NEWADDR, 3, "169.254.3.4", 0),
        address(NEWADDR, 3, "fe80::3", 0),
        address(NEWADDR, 3, "2001:db8::1", 0x40),
        address(NEWADDR, 3, "2001:db8::2", 0x20),
        address(NEWADDR, 3, "2001:db8::3", 0x08),
        address(NEWADDR, 3, "2001:db8::4", 0x100),
    ]);
    let facts = picture.facts(3).unwrap();
    assert_eq!(facts.v4, [[10, 0, 0, 9].into(), Ipv4Addr::new(10, 0, 0, 1)]);
    assert_eq!(
        facts.v6,
        ["2001:db8::4".parse::<std::net::Ipv6Addr>().unwrap()]
    );
    // Found to be unique, and another one about to go.
    feed(
        &mut picture,
        &[
            address(NEWADDR, 3, "2001:db8::1", 0),
            address(NEWADDR, 3, "2001:db8::4", 0x20),
        ],
    );
    let facts = picture.facts(3).unwrap();
    assert_eq!(
        facts.v6,
        ["2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap()]
    );
}

#[test]
fn the_own_end_of_a_point_to_point_link_is_its_address() {
    let mut body = vec![2, 32, 0, 0];
    body.extend(5u32.to_ne_bytes());
    body.extend(
        Attributes::default()
            .ip(1, "10.64.64.64")
            .ip(2, "10.9.8.7")
            .0,
    );
    let picture = picture(&[
        link(NEWLINK, 5, "ppp0", UP | IFF_NOARP),
        message(NEWADDR, 0, 0, &body),
    ]);
    let facts = picture.facts(5).unwrap();
    assert_eq!(facts.v4, [Ipv4Addr::new(10, 9, 8, 7)]);
    assert_eq!(facts.routes, [V4], "nobody is asked for a neighbour");
}

#[test]
fn an_interface_is_up_with_carrier_and_when_it_has_joined_its_network() {
    for (flags, expected) in [
        (UP, true),
        (IFF_UP, false),
        (IFF_LOWER_UP, false),
        (UP | IFF_DORMANT, false),
        (0, false),
    ] {
        let picture = picture(&[link(NEWLINK, 4, "wlan0", flags)]);
        assert_eq!(picture.facts(4).unwrap().is_up, expected, "{flags:x}");
    }
}

#[test]
fn routes_that_vanish_without_a_word_are_looked_for() {
    use picture::Effect::{Changed, Doubtful, None as Nothing};
    let mut picture = picture(&[
        link(NEWLINK, 3, "usb0", UP),
        address(NEWADDR, 3, "192.168.42.77", 0),
        route(NEWROUTE, 0, 3, "192.168.42.129", 100),
    ]);
    let effects = feed(
        &mut picture,
        &[
            link(NEWLINK, 3, "usb0", UP),
            // The cable.
            link(NEWLINK, 3, "usb0", IFF_UP),
            // Admin-down, and up again.
            link(NEWLINK, 3, "usb0", 0),
            link(NEWLINK, 3, "usb0", UP),
            address(DELADDR, 3, "192.168.42.77", 0),
            address(DELADDR, 3, "192.168.42.77", 0),
        ],
    );
    assert_eq!(
        effects,
        [Nothing, Changed, Doubtful, Doubtful, Doubtful, Nothing]
    );
    assert_eq!(picture.facts(3).unwrap().routes, []);
}

#[test]
fn a_route_that_replaces_takes_the_place_of_the_former() {
    const REPLACE: u16 = 0x100;
    let mut picture = picture(&[
        link(NEWLINK, 3, "usb0", UP),
        route(NEWROUTE, 0, 3, "192.168.42.129", 100),
        route(NEWROUTE, 0, 3, "192.168.42.1", 200),
    ]);
    let gateways = |picture: &Picture| picture.facts(3).unwrap().gateways;
    assert_eq!(gateways(&picture), ips(&["192.168.42.129", "192.168.42.1"]));
    feed(
        &mut picture,
        &[route(NEWROUTE, REPLACE, 3, "192.168.42.9", 100)],
    );
    assert_eq!(gateways(&picture), ips(&["192.168.42.9", "192.168.42.1"]));
    feed(
        &mut picture,
        &[
            route(DELROUTE, 0, 3, "192.168.42.1", 200),
            route(DELROUTE, 0, 3, "192.168.42.9", 100),
        ],
    );
    assert_eq!(picture.facts(3).unwrap().routes, []);
}

#[test]
fn default_routes_count_in_any_table_and_by_several_ways() {
    let hop = |index: u32, gateway: &str| {
        let attributes = Attributes::default().ip(5, gateway).0;
        let mut bytes = u16::try_from(8 + attributes.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend([0, 0]);
        bytes.extend(index.to_ne_bytes());
        bytes.extend(attributes);
        bytes
    };
    let hops = [hop(3, "10.0.0.1"), hop(4, "10.1.0.1")].concat();
    let several = route_body(2, 0, Attributes::default().number(15, 1003).with(9, &hops));
    // IPv4 over IPv6 neighbours (RFC 5549).
    let via = [
        &10u16.to_ne_bytes()[..],
        &"fe80::9".parse::<std::net::Ipv6Addr>().unwrap().octets(),
    ]
    .concat();
    let by_v6 = route_body(2, 0, Attributes::default().number(4, 5).with(18, &via));
    let part = route_body(2, 8, Attributes::default().number(4, 6).ip(1, "10.0.0.0"));
    let mut unreachable = route_body(10, 0, Attributes::default().number(4, 6));
    unreachable[7] = 7;
    let picture = picture(&[
        link(NEWLINK, 3, "eth0", UP),
        link(NEWLINK, 4, "eth1", UP),
        link(NEWLINK, 5, "eth2", UP),
        link(NEWLINK, 6, "eth3", UP),
        message(NEWROUTE, 0, 0, &several),
        message(NEWROUTE, 0, 0, &by_v6),
        message(NEWROUTE, 0, 0, &part),
        message(NEWROUTE, 0, 0, &unreachable),
    ]);
    for (index, gateway) in [(3, "10.0.0.1"), (4, "10.1.0.1"), (5, "fe80::9")] {
        let facts = picture.facts(index).unwrap();
        assert_eq!(
            (facts.routes, facts.gateways),
            (vec![V4], ips(&[gateway])),
            "{index}"
        );
    }
    assert_eq!(picture.facts(6).unwrap().routes, []);
}

#[test]
fn what_is_plugged_in_again_has_another_number_and_nothing_of_the_former() {
    let mut picture = picture(&[
        link(NEWLINK, 3, "usb0", UP),
        address(NEWADDR, 3, "192.168.42.77", 0),
        route(NEWROUTE, 0, 3, "192.168.42.129", 100),
        link(DELLINK, 3, "usb0", 0),
    ]);
    assert_eq!(picture.facts(3), None);
    feed(&mut picture, &[link(NEWLINK, 9, "usb0", IFF_UP)]);
    let facts = picture.facts(9).unwrap();
    assert_eq!((facts.v4.len(), facts.routes.len()), (0, 0));
    // A port that leaves its bridge stays an interface.
    let mut left = link(DELLINK, 9, "usb0", UP);
    left[16] = 7;
    feed(&mut picture, &[left]);
    assert!(picture.facts(9).is_some());
}

fn bearer(id: u16, kind: BearerKind, interface: Option<&str>) -> Wanted {
    Wanted {
        bearer: BearerId(id),
        kind,
        interface: interface.map(str::to_owned),
    }
}

#[test]
fn each_interface_goes_to_one_bearer_by_name_first_then_by_kind() {
    let picture = picture(&[
        link(NEWLINK, 2, "eth0", UP),
        link(NEWLINK, 3, "eth1", UP),
        link(NEWLINK, 4, "wlan0", UP),
        link(NEWLINK, 5, "br0", UP),
    ]);
    let kind_of = |name: &str| match name {
        "eth0" | "eth1" => Some(BearerKind::Ethernet),
        "wlan0" => Some(BearerKind::Wifi),
        _ => None,
    };
    let wanted = [
        bearer(0, BearerKind::Ethernet, None),
        bearer(1, BearerKind::Cellular, Some("eth0")),
        bearer(2, BearerKind::TetherWifi, None),
        bearer(3, BearerKind::Wifi, None),
        bearer(4, BearerKind::Ethernet, Some("br0")),
        bearer(5, BearerKind::Cellular, None),
        bearer(6, BearerKind::Cellular, Some("wwan0")),
    ];
    let names: Vec<_> = assign(&picture, &wanted, kind_of)
        .into_iter()
        .map(|(_, facts)| facts.map(|facts| facts.interface))
        .collect();
    let expected = [
        Some("eth1"),
        Some("eth0"),
        Some("wlan0"),
        None,
        Some("br0"),
        None,
        None,
    ];
    assert_eq!(names, expected.map(|name| name.map(str::to_owned)));
}

/// Answers all three requests with these.
fn answer(follower: &mut Follower, request: Vec<u8>, tables: [&[Vec<u8>]; 3]) -> Next {
    let mut next = Next::Ask(request);
    for table in tables {
        let Next::Ask(request) = &next else {
            return next;
        };
        let sequence: [u8; 4] = request[8..12].try_into().unwrap();
        let mut datagram = Vec::new();
        for bytes in table {
            let mut bytes = bytes.clone();
            bytes[8..12].copy_from_slice(&sequence);
            datagram.extend(bytes);
        }
        datagram.extend(message(DONE, 2, u32::from_ne_bytes(sequence), &[0; 4]));
        next = follower.handle(&datagram);
    }
    next
}

#[test]
fn a_new_look_takes_the_place_of_the_old_one_only_when_it_is_whole() {
    let mut follower = Follower::default();
    let request = follower.look();
    assert!(follower.picture().is_none());
    let usb = link(NEWLINK, 3, "usb0", UP);
    let address_of = address(NEWADDR, 3, "192.168.42.77", 0);
    let route_of = route(NEWROUTE, 0, 3, "192.168.42.129", 100);
    let next = answer(
        &mut follower,
        request,
        [
            std::slice::from_ref(&usb),
            std::slice::from_ref(&address_of),
            std::slice::from_ref(&route_of),
        ],
    );
    assert_eq!(next, Next::Go);
    let whole = follower.picture().unwrap().clone();
    assert_eq!(whole.facts(3).unwrap().routes, [V4]);
    assert!(follower.news().is_some());
    follower.handle(&address_of);
    assert!(follower.news().is_none(), "that is known");

    let request = follower.look();
    let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
    // What comes in between is in both.
    follower.handle(&address(NEWADDR, 3, "192.168.42.78", 0));
    assert!(follower.news().is_some());
    assert!(follower.news().is_none());
    assert_eq!(follower.picture().unwrap().facts(3).unwrap().v4.len(), 2);
    assert_ne!(follower.picture(), Some(&whole));
    let done = message(DONE, 2, sequence.wrapping_add(7), &[0; 4]);
    assert_eq!(follower.handle(&done), Next::Go, "an answer to nobody");
    let next = answer(&mut follower, request, [&[usb], &[], &[]]);
    assert_eq!(next, Next::Go);
    let facts = follower.news().unwrap().facts(3).unwrap();
    assert_eq!(facts.v4, [Ipv4Addr::new(192, 168, 42, 78)]);
    assert_eq!(facts.routes, []);
    assert!(!follower.wants_look());
    assert_eq!(follower.handle(&link(NEWLINK, 3, "usb0", 0)), Next::Go);
    assert!(follower.wants_look());
}

#[test]
fn what_was_lost_refused_or_torn_is_looked_at_anew() {
    let mut follower = Follower::default();
    let request = follower.look();
    let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
    let refused = message(ERROR, 0, sequence, &(-16i32).to_ne_bytes());
    assert!(matches!(follower.handle(&refused), Next::Anew(why) if why.contains("16")));
    let overrun = message(4, 0, 0, &[]);
    assert!(matches!(follower.handle(&overrun), Next::Anew(_)));
    let request = follower.look();
    let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
    // NLM_F_DUMP_INTR
    let torn = message(DONE, 2 | 0x10, sequence, &[0; 4]);
    let Next::Ask(request) = follower.handle(&torn) else {
        panic!("the other tables are read all the same");
    };
    let mut tables = vec![request];
    for _ in 0..2 {
        let request = tables.pop().unwrap();
        let sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
        if let Next::Ask(request) = follower.handle(&message(DONE, 2, sequence, &[0; 4])) {
            tables.push(request);
        }
    }
    assert!(follower.picture().is_some() && follower.wants_look());
}

proptest! {
    /// Whatever a kernel says, or somebody who pretends to be one.
    #[test]
    fn nonsense_is_survived(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut follower = Follower::default();
        follower.look();
        for datagram in datagrams {
            let _ = follower.handle(&datagram);
        }
    }

    /// True messages with some bytes changed, and cut anywhere.
    #[test]
    fn messages_that_were_damaged_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        done in 1u32..4,
    ) {
        let mut follower = Follower::default();
        follower.look();
        let mut datagram = [
            link(NEWLINK, 3, "usb0", UP),
            address(NEWADDR, 3, "192.168.42.77", 0),
            route(NEWROUTE, 0, 3, "192.168.42.129", 100),
            route(DELROUTE, 0, 3, "fe80::1", 100),
            link(DELLINK, 4, "usb1", UP),
            message(DONE, 2, done, &[0; 4]),
        ]
        .concat();
        for (at, byte) in changes {
            let at = at.index(datagram.len());
            datagram[at] = byte;
        }
        for _ in 0..3 {
            let _ = follower.handle(&datagram[..cut.index(datagram.len() + 1)]);
        }
        if let Some(picture) = follower.picture() {
            let _ = assign(picture, &[bearer(0, BearerKind::Ethernet, None)], |_| Some(BearerKind::Ethernet));
        }
    }

    /// Messages of the kernel in any order: what is shown of an interface is never of another one.
    #[test]
    fn facts_belong_to_interfaces_that_exist(steps in prop::collection::vec((0u8..6, 1u32..5), 0..60)) {
        let mut picture = Picture::default();
        for (what, index) in steps {
            let name = format!("if{index}");
            let ip = format!("10.0.{index}.1");
            feed(&mut picture, &[match what {
                0 => link(NEWLINK, index, &name, UP),
                1 => link(DELLINK, index, &name, 0),
                2 => address(NEWADDR, index, &ip, 0),
                3 => address(DELADDR, index, &ip, 0),
                4 => route(NEWROUTE, 0, index, &ip, 1),
                _ => route(DELROUTE, 0, index, &ip, 1),
            }]);
        }
        for index in 1..5u32 {
            let Some(facts) = picture.facts(index) else {
                continue;
            };
            let own: IpAddr = format!("10.0.{index}.1").parse().unwrap();
            prop_assert_eq!(facts.interface, format!("if{}", index));
            prop_assert!(facts.v4.iter().all(|ip| IpAddr::from(*ip) == own));
            prop_assert!(facts.gateways.iter().all(|ip| *ip == own));
        }
    }
}
