//! The monitor at a real kernel, in a network of its own.

use std::{
    future::poll_fn,
    io::Write as _,
    net::{IpAddr, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use lamplighter_model::BootId;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::Uid,
};

use super::*;
use crate::{
    bearer::netlink::address::{self, Wanted},
    config::BearerKind,
};

/// Everything here takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on a thread whose network is empty but for the loop. Only root may make one; where
/// root cannot, the test fails.
fn in_a_network(test: impl AsyncFnOnce() + Send + 'static) {
    if !Uid::effective().is_root() {
        let _ = writeln!(io::stderr(), "skipped: only root can make a network");
        return;
    }
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// `ip` in this network.
fn ip(line: &str) {
    let said = Command::new("ip")
        .args(line.split_whitespace())
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "ip {line}: {why}");
}

/// Many of them, before anybody here reads what the kernel says of it.
fn ip_batch(lines: &str) {
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    ip.stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    assert!(ip.wait().unwrap().success());
}

fn config(name: &str, kind: BearerKind, interface: Option<&str>) -> Bearer {
    Bearer {
        interface: interface.map(str::to_owned),
        ..Bearer::new(name, kind)
    }
}

/// A monitor, and what it has told.
struct Seen {
    monitor: Monitor,
    links: Vec<Option<LinkFacts>>,
    usage: u64,
}

impl Seen {
    fn start(bearers: &[Bearer], sysfs: &Path) -> Self {
        let clock = Clock::of(BootId(1));
        Self {
            monitor: Monitor::start(bearers, sysfs.to_owned(), Saved::default(), clock).unwrap(),
            links: bearers.iter().map(|_| None).collect(),
            usage: 0,
        }
    }

    async fn event(&mut self) -> BearerEvent {
        let event = poll_fn(|context| self.monitor.poll_event(context)).await;
        if let BearerEvent::Link(bearer, facts) = &event {
            self.links[usize::from(bearer.0)].clone_from(facts);
        } else if let BearerEvent::Usage(_, today, _) = &event {
            self.usage = *today;
        } else {
            panic!("{event:?}");
        }
        event
    }

    /// Until the first bearer's interface is so.
    async fn until(&mut self, is_so: impl Fn(&LinkFacts) -> bool) -> LinkFacts {
        let seen = tokio::time::timeout(PATIENCE, async {
            loop {
                self.event().await;
                if let Some(facts) = self.links[0].clone().filter(|facts| is_so(facts)) {
                    return facts;
                }
            }
        });
        let seen = seen.await.ok();
        seen.unwrap_or_else(|| panic!("still {:?}", self.links))
    }
}

#[test]
fn cables_addresses_and_routes_come_and_go() {
    in_a_network(async || {
        let mut seen = Seen::start(
            &[config("phone", BearerKind::TetherUsb, Some("usb0"))],
            Path::new("/nowhere"),
        );
        assert_eq!(seen.event().await, BearerEvent::Link(BearerId(0), None));
        ip("link add usb0 type veth peer name lan");
        ip("link set usb0 up");
        let facts = seen.until(|facts| !facts.is_up).await;
        assert_eq!((facts.interface.as_str(), facts.mtu), ("usb0", 1500));
        ip("link set lan up");
        seen.until(|facts| facts.is_up).await;

        ip("addr add 192.168.42.77/24 dev usb0");
        ip("addr add 2001:db8:42::77/64 dev usb0 nodad");
        ip("addr add 169.254.9.9/16 dev usb0");
        let facts = seen.until(|facts| facts.v6.len() == 1).await;
        assert_eq!(facts.v4, [Ipv4Addr::new(192, 168, 42, 77)]);
        ip("route add default via 192.168.42.129 dev usb0 table 77");
        ip("route add default via 2001:db8:42::1 dev usb0");
        let facts = seen.until(|facts| facts.routes == [V4, V6]).await;
        assert_eq!(facts.gateways.len(), 2);

        // The cable is pulled: all but the carrier stays.
        ip("link set lan down");
        let facts = seen.until(|facts| !facts.is_up).await;
        assert_eq!(
            (facts.v4.len(), facts.routes.as_slice()),
            (1, &[V4, V6][..])
        );
        ip("link set lan up");
        seen.until(|facts| facts.is_up).await;

        ip("route replace default via 192.168.42.1 dev usb0 table 77");
        let new: IpAddr = [192, 168, 42, 1].into();
        let facts = seen.until(|facts| facts.gateways.contains(&new)).await;
        assert_eq!(facts.gateways.len(), 2);
        ip("addr del 192.168.42.77/24 dev usb0");
        seen.until(|facts| facts.v4.is_empty()).await;
    });
}

#[test]
fn a_single_look_needs_no_runtime() {
    in_a_network(async || {
        ip("link add usb0 type veth peer name lan");
        ip("link set lan up");
        ip("link set usb0 up");
        ip("addr add 192.168.42.77/24 dev usb0");
        ip("route add default via 192.168.42.129 dev usb0 metric 700");
        let seen = see().unwrap();
        let usb = seen.iter().find(|one| one.facts.interface == "usb0");
        let usb = usb.unwrap();
        assert_eq!(usb.metric, Some(700));
        assert_eq!(usb.networks, [([192, 168, 42, 77].into(), 24)]);
        assert_eq!(seen.len(), 2, "not the loop: {seen:#?}");
        assert!(!usb.takes_servers_for_neighbours);
        // Another table is found by sockets of the interface only where a rule says so.
        ip("route del default");
        ip("route add default via 192.168.42.129 dev usb0 table 77");
        let is_lost = || {
            let seen = see().unwrap();
            let usb = seen
                .iter()
                .find(|one| one.facts.interface == "usb0")
                .unwrap();
            assert_eq!((usb.facts.routes.as_slice(), usb.metric), (&[V4][..], None));
            usb.takes_servers_for_neighbours
        };
        assert!(is_lost());
        ip("rule add oif usb0 lookup 77");
        assert!(!is_lost());
    });
}

/// Rules of this network that name this table.
fn rules_to(table: &str, family: &str) -> usize {
    let said = Command::new("ip")
        .args([family, "rule", "show", "table", table])
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains("oif usb0"))
        .count()
}

#[test]
fn sockets_are_led_to_the_table_of_their_route_as_long_as_the_monitor_is_there() {
    in_a_network(async || {
        ip("link add usb0 type veth peer name lan");
        ip("link set lan up");
        ip("link set usb0 up");
        ip("addr add 192.168.42.77/24 dev usb0");
        ip("addr add 2001:db8:42::77/64 dev usb0 nodad");
        ip("route add default via 192.168.42.129 dev usb0 table 1077");
        ip("route add default via 2001:db8:42::1 dev usb0 table 1077");
        let mut kernel = Kernel::open().unwrap();
        let bearers = [config("phone", BearerKind::TetherUsb, Some("usb0"))];
        let mut seen = Seen::start(&bearers, Path::new("/nowhere"));
        let index = seen.until(|facts| facts.routes == [V4, V6]).await.index;
        for (family, flag) in [(V4, "-4"), (V6, "-6")] {
            assert!(!kernel.is_lost(family, index), "{family:?}");
            assert_eq!(rules_to("1077", flag), 1);
        }
        // In a table that all look into there is no need for it.
        ip("route add default via 192.168.42.129 dev usb0 metric 5");
        ip("link set usb0 mtu 1400");
        seen.until(|facts| facts.mtu == 1400).await;
        assert_eq!((rules_to("1077", "-4"), rules_to("1077", "-6")), (0, 1));
        // It ends with whoever wanted it.
        drop(seen);
        let end = async {
            while rules_to("1077", "-6") > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, end).await.unwrap();
        assert!(kernel.is_lost(V6, index));
    });
}

#[test]
fn routes_that_the_kernel_drops_without_a_word_are_not_believed_in() {
    in_a_network(async || {
        ip("link add usb0 type veth peer name lan");
        ip("link set lan up");
        ip("link set usb0 up");
        ip("addr add 192.168.42.77/24 dev usb0");
        ip("route add default via 192.168.42.129 dev usb0");
        let mut seen = Seen::start(
            &[config("phone", BearerKind::TetherUsb, Some("usb0"))],
            Path::new("/nowhere"),
        );
        seen.until(|facts| facts.is_up && facts.routes == [V4])
            .await;
        // The address survives this, its default route does not.
        ip("link set usb0 down");
        ip("link set usb0 up");
        let facts = seen
            .until(|facts| facts.is_up && facts.routes.is_empty())
            .await;
        assert_eq!(facts.v4.len(), 1);
        ip("route add default via 192.168.42.129 dev usb0");
        seen.until(|facts| facts.routes == [V4]).await;
        // With its last address go the routes.
        ip("addr del 192.168.42.77/24 dev usb0");
        ip("addr add 192.168.42.78/24 dev usb0");
        let renumbered = [Ipv4Addr::new(192, 168, 42, 78)];
        seen.until(|facts| facts.v4 == renumbered && facts.routes.is_empty())
            .await;
    });
}

#[test]
fn what_is_plugged_in_again_has_a_new_number_and_its_bytes_are_counted_on() {
    in_a_network(async || {
        let plug = || {
            ip("link add usb0 type veth peer name lan");
            ip("link set lan up");
            ip("link set usb0 up");
            ip("addr add 192.168.42.77/24 dev usb0");
            ip("neigh add 192.168.42.1 lladdr 02:00:00:00:00:01 dev usb0");
        };
        let send = |bytes: usize| {
            let socket = UdpSocket::bind("192.168.42.77:0").unwrap();
            for _ in 0..10 {
                socket.send_to(&vec![7; bytes], "192.168.42.1:9").unwrap();
            }
        };
        plug();
        let mut seen = Seen::start(
            &[config("phone", BearerKind::TetherUsb, Some("usb0"))],
            Path::new("/nowhere"),
        );
        let first = seen.until(|facts| facts.v4.len() == 1).await.index;
        send(1000);
        // So that the kernel tells what it has counted.
        ip("link set usb0 mtu 1400");
        while seen.usage < 10_000 {
            seen.event().await;
        }
        ip("link del usb0");
        while seen.links[0].is_some() {
            seen.event().await;
        }
        plug();
        let facts = seen.until(|facts| facts.v4.len() == 1).await;
        assert_ne!(facts.index, first);
        send(1000);
        ip("link set usb0 mtu 1400");
        while seen.usage < 20_000 {
            seen.event().await;
        }
        assert_ne!(seen.monitor.saved_usage(), Saved::default());
    });
}

#[test]
fn an_interface_is_given_its_address_and_its_route_and_whatever_is_gone_of_them() {
    in_a_network(async || {
        ip("link add wwan0 type veth peer name net0");
        ip("link add wwan1 type veth peer name net1");
        for peer in ["net0", "net1"] {
            ip(&format!("link set {peer} up"));
        }
        let wanted = |interface: &str, address: &str, prefix, gateway: Option<&str>| Wanted {
            interface: interface.to_owned(),
            address: address.parse().unwrap(),
            prefix: Some(prefix),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            mtu: Some(1400),
        };
        let behind = wanted("wwan0", "10.0.0.2", 30, Some("10.9.9.9"));
        let line = wanted("wwan1", "10.1.0.2", 32, None);
        let six = wanted("wwan1", "2001:db8::2", 64, Some("fe80::1"));
        let all = [&behind, &line, &six];
        let picture = || look(&mut Kernel::open().unwrap()).unwrap();
        let is_whole = |wanted: &Wanted| {
            let picture = picture();
            let found = picture
                .interfaces()
                .find(|(_, name)| *name == wanted.interface);
            let (index, _) = found.unwrap();
            let facts = picture.facts(index).unwrap();
            let family = match wanted.address {
                IpAddr::V4(_) => V4,
                IpAddr::V6(_) => V6,
            };
            let gateways = wanted
                .gateway
                .is_none_or(|gateway| facts.gateways.contains(&gateway));
            picture.has_address(index, wanted.address)
                && picture.has_route(index, family)
                && (facts.is_up, facts.mtu, gateways) == (true, 1400, true)
        };
        for wanted in all {
            assert!(!is_whole(wanted));
            address::set_up(wanted).unwrap();
        }
        assert!(all.into_iter().all(is_whole), "{:?}", picture());
        // Only the route is gone; only the address is.
        ip("route del default dev wwan0");
        address::set_up(&behind).unwrap();
        ip("address del 2001:db8::2/64 dev wwan1");
        address::set_up(&six).unwrap();
        assert!(all.into_iter().all(is_whole), "{:?}", picture());
        address::remove("wwan1", six.address, 64).unwrap();
        assert_eq!(address::of("wwan1"), [line.address]);
        ip("link del wwan0");
        let gone = address::set_up(&behind).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn more_news_than_the_kernel_keeps_are_made_up_for() {
    in_a_network(async || {
        ip("link add usb0 type veth peer name lan");
        ip("link set lan up");
        ip("link set usb0 up");
        let mut seen = Seen::start(
            &[config("phone", BearerKind::TetherUsb, Some("usb0"))],
            Path::new("/nowhere"),
        );
        seen.until(|facts| facts.is_up).await;
        // Nobody reads while this thread is here: far more than a socket takes.
        let toggles: String = (0..2000)
            .map(|number| format!("link set usb0 mtu {}\n", 1300 + number % 2))
            .collect();
        ip_batch(&toggles);
        ip("addr add 192.168.42.77/24 dev usb0");
        ip("link set usb0 mtu 1280");
        let facts = seen.until(|facts| facts.mtu == 1280).await;
        assert_eq!(facts.v4, [Ipv4Addr::new(192, 168, 42, 77)]);
    });
}

#[test]
fn without_a_name_the_first_of_its_kind_is_taken_and_the_next_when_it_goes() {
    let sysfs = crate::fake::directory("netlink-sysfs");
    for name in ["usb0", "usb1"] {
        let device = sysfs.join("class/net").join(name).join("device");
        std::fs::create_dir_all(&device).unwrap();
        std::os::unix::fs::symlink("../drivers/rndis_host", device.join("driver")).unwrap();
        let kind = device.with_file_name("type");
        crate::atomic::write(&kind, b"1\n", 0o644).unwrap();
    }
    let place = sysfs.clone();
    in_a_network(async move || {
        ip("link add usb0 type veth peer name lan0");
        ip("link add usb1 type veth peer name lan1");
        let mut seen = Seen::start(&[config("phone", BearerKind::TetherUsb, None)], &place);
        seen.until(|facts| facts.interface == "usb0").await;
        ip("link del usb0");
        seen.until(|facts| facts.interface == "usb1").await;
    });
    std::fs::remove_dir_all(sysfs).unwrap();
}
