use std::{os::unix::fs::symlink, path::PathBuf};

use super::*;
use crate::{bearer::AddressFamily, config::Tier, doctor::Weight};

fn bearer(name: &str, kind: BearerKind, interface: Option<&str>) -> Bearer {
    Bearer {
        interface: interface.map(str::to_owned),
        ..Bearer::new(name, kind)
    }
}

/// Up, with an address and a default route.
fn seen(index: u32, interface: &str, ip: &str) -> Seen {
    let (ip, prefix) = ip.split_once('/').unwrap();
    let ip: IpAddr = ip.parse().unwrap();
    let (v4, v6) = match ip {
        IpAddr::V4(v4) => (vec![v4], Vec::new()),
        IpAddr::V6(v6) => (Vec::new(), vec![v6]),
    };
    Seen {
        facts: LinkFacts {
            index,
            interface: interface.to_owned(),
            is_up: true,
            v4,
            v6,
            routes: vec![AddressFamily::V4],
            gateways: Vec::new(),
            mtu: 1500,
        },
        networks: vec![(ip, prefix.parse().unwrap())],
        metric: Some(100 * index),
        takes_servers_for_neighbours: false,
    }
}

/// `/sys` and `/proc` of a box whose interfaces have these drivers.
fn root(name: &str, drivers: &[(&str, &str)]) -> PathBuf {
    let root = crate::fake::directory(&format!("doctor-{name}"));
    for (interface, driver) in drivers {
        let class = root.join("sys/class/net").join(interface);
        fs::create_dir_all(class.join("device")).unwrap();
        symlink(format!("../drivers/{driver}"), class.join("device/driver")).unwrap();
        crate::atomic::write(&class.join("type"), b"1\n", 0o644).unwrap();
    }
    root
}

fn filter(root: &Path, interface: &str, mode: u8) {
    let directory = root.join("proc/sys/net/ipv4/conf").join(interface);
    fs::create_dir_all(&directory).unwrap();
    let text = format!("{mode}\n");
    crate::atomic::write(&directory.join("rp_filter"), text.as_bytes(), 0o644).unwrap();
}

const DRIVERS: [(&str, &str); 2] = [("eth0", "bcmgenet"), ("usb0", "rndis_host")];

fn cable() -> Bearer {
    bearer("cable", BearerKind::Ethernet, Some("eth0"))
}

fn phone() -> Bearer {
    bearer("phone", BearerKind::TetherUsb, Some("usb0"))
}

fn both() -> [Seen; 2] {
    [
        seen(2, "eth0", "192.168.10.50/24"),
        seen(3, "usb0", "192.168.42.77/24"),
    ]
}

/// The only finding.
fn one(bearers: &[Bearer], seen: &[Seen], root: &Path) -> Finding {
    let mut findings = of_bearers(bearers, seen, root);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = findings.remove(0);
    assert!(!finding.advice.is_empty());
    finding
}

#[test]
fn bearers_that_are_well_have_no_findings() {
    let root = root("well", &DRIVERS);
    for mode in [0, 2] {
        filter(&root, "all", 0);
        filter(&root, "usb0", mode);
        assert_eq!(of_bearers(&[cable(), phone()], &both(), &root), []);
    }
    assert_eq!(of_bearers(&[], &both(), &root), []);
}

#[test]
fn an_interface_that_is_missing_is_told_with_those_that_exist() {
    let root = root("missing", &DRIVERS);
    let named = bearer("lte", BearerKind::Cellular, Some("wwan0"));
    let found = one(&[named], &both(), &root);
    assert_eq!(found.about, "[bearer.lte]");
    assert_eq!(found.what, "there is no interface wwan0");
    assert!(
        found
            .advice
            .contains("eth0 (looks like ethernet, driver bcmgenet)")
            && found
                .advice
                .contains("usb0 (looks like tether-usb, driver rndis_host)"),
        "{}",
        found.advice
    );
    let first = bearer("lte", BearerKind::Cellular, None);
    let found = one(std::slice::from_ref(&first), &both(), &root);
    assert_eq!(found.what, "no interface looks like cellular");
    let found = one(&[first], &[], &root);
    assert!(found.advice.contains("none at all"), "{}", found.advice);
    // Without a name it is found by what it looks like.
    let any = bearer("phone", BearerKind::TetherUsb, None);
    assert_eq!(of_bearers(&[cable(), any], &both(), &root), []);
}

#[test]
fn an_interface_that_is_up_without_an_address_has_no_dhcp_client() {
    let root = root("address", &DRIVERS);
    let [eth, mut usb] = both();
    usb.facts.v4.clear();
    usb.networks.clear();
    let found = one(&[cable(), phone()], &[eth.clone(), usb.clone()], &root);
    assert_eq!(found.weight, Weight::Fault);
    assert_eq!(found.what, "usb0 is up but has no address");
    assert!(found.advice.contains("DHCP"), "{}", found.advice);
    // Without a cable it has every right to.
    usb.facts.is_up = false;
    assert_eq!(of_bearers(&[cable(), phone()], &[eth, usb], &root), []);
}

#[test]
fn a_missing_default_route_is_told() {
    let root = root("route", &DRIVERS);
    let [eth, mut usb] = both();
    usb.facts.routes.clear();
    usb.metric = None;
    let found = one(&[cable(), phone()], &[eth, usb], &root);
    assert_eq!(
        (found.weight, found.about.as_str()),
        (Weight::Fault, "[bearer.phone]")
    );
    assert!(
        found.what.contains("no default route leads over usb0"),
        "{}",
        found.what
    );
}

#[test]
fn a_default_route_that_sockets_of_the_interface_do_not_find_is_told() {
    let root = root("table", &DRIVERS);
    let [eth, mut usb] = both();
    usb.metric = None;
    usb.takes_servers_for_neighbours = true;
    let found = one(&[cable(), phone()], &[eth, usb], &root);
    assert_eq!(found.weight, Weight::Fault);
    assert!(
        found.advice.contains("ip rule add oif usb0"),
        "{}",
        found.advice
    );
}

#[test]
fn a_strict_reverse_path_filter_is_told_where_there_are_two_ways() {
    for (all, own, is_strict) in [(1, 0, true), (0, 1, true), (2, 1, false), (1, 2, false)] {
        let root = root(&format!("filter-{all}-{own}"), &DRIVERS);
        filter(&root, "all", all);
        filter(&root, "eth0", 2);
        filter(&root, "usb0", own);
        let findings = of_bearers(&[cable(), phone()], &both(), &root);
        assert_eq!(findings.len(), usize::from(is_strict), "{findings:#?}");
        for found in findings {
            assert_eq!(found.about, "[bearer.phone]");
            assert!(found.advice.contains("net.ipv4.conf.usb0.rp_filter=2"));
        }
        assert_eq!(
            of_bearers(&[phone()], &both()[1..], &root),
            [],
            "the only way"
        );
        fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn one_network_and_one_address_twice_are_told() {
    let root = root("overlap", &DRIVERS);
    for (first, second, weight, words) in [
        (
            "192.168.42.5/24",
            "192.168.42.77/24",
            Weight::Warning,
            "eth0 (192.168.42.5/24) and usb0 (192.168.42.77/24) are in one network",
        ),
        (
            "10.0.0.5/8",
            "10.9.0.1/24",
            Weight::Warning,
            "are in one network",
        ),
        (
            "2001:db8::5/64",
            "2001:db8::7/64",
            Weight::Warning,
            "are in one network",
        ),
        (
            "172.20.10.2/28",
            "172.20.10.2/28",
            Weight::Fault,
            "the same address 172.20.10.2",
        ),
    ] {
        let seen = [seen(2, "eth0", first), seen(3, "usb0", second)];
        let found = one(&[cable(), phone()], &seen, &root);
        assert_eq!(
            (found.weight, found.about.as_str()),
            (weight, "[bearer.cable] and [bearer.phone]")
        );
        assert!(found.what.contains(words), "{}", found.what);
    }
    let apart = [
        seen(2, "eth0", "10.0.0.1/32"),
        seen(3, "usb0", "10.0.0.2/32"),
    ];
    assert_eq!(of_bearers(&[cable(), phone()], &apart, &root), []);
}

#[test]
fn a_charging_phone_that_took_the_default_route_is_told() {
    let root = root("stolen", &DRIVERS);
    let [mut eth, usb] = both();
    eth.metric = Some(600);
    let seen = [eth, usb];
    let words = "the phone at usb0 (metric 300), though [bearer.cable] is preferred";
    // As a bearer of its own, and as nobody's.
    for bearers in [vec![cable(), phone()], vec![cable()]] {
        let found = one(&bearers, &seen, &root);
        assert_eq!(
            (found.weight, found.about.as_str()),
            (Weight::Warning, "[bearer.cable]")
        );
        assert!(found.what.contains(words), "{}", found.what);
    }
    let mut wanted = phone();
    wanted.tier = Some(Tier::Primary);
    wanted.priority = 1;
    assert_eq!(of_bearers(&[cable(), wanted], &seen, &root), []);
    // The cable is out.
    let [mut eth, usb] = seen;
    eth.facts.is_up = false;
    assert_eq!(of_bearers(&[cable(), phone()], &[eth, usb], &root), []);
}
