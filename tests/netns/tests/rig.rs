//! The rig itself: without these, no scenario proves anything.

use std::{
    process::Stdio,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use lamplighter_netns::{
    cloud::{Cloud, SERVER, SERVER_V6},
    fault::Direction,
    peer::Peer,
    site::{Site, Uplink},
    wait::{SOON, now, until},
};

const PORT: u16 = 7;
const SILENCE: &str = "error: silence";

/// Answers for all tests of this process, which share the cloud.
fn echo() -> String {
    static ECHO: OnceLock<Mutex<(Peer, Peer)>> = OnceLock::new();
    ECHO.get_or_init(|| {
        let cloud = &Cloud::shared().namespace;
        let v6 = format!("[{SERVER_V6}]:{PORT}");
        let v4 = Peer::start(cloud, &["echo", &format!("{SERVER}:{PORT}")]);
        Mutex::new((v4, Peer::start(cloud, &["echo", &v6])))
    });
    format!("{SERVER}:{PORT}")
}

/// Asks through one uplink, over one socket.
struct Asker(Peer);

impl Asker {
    fn new(site: &Site, uplink: Uplink) -> Self {
        Self::of(site, uplink, &echo())
    }

    fn of(site: &Site, uplink: Uplink, server: &str) -> Self {
        let arguments = ["ask", uplink.interface(), server];
        Self(Peer::start(&site.gateway, &arguments))
    }

    fn ask(&mut self) -> String {
        self.sends(32)
    }

    fn sends(&mut self, bytes: usize) -> String {
        self.0.ask(&bytes.to_string())
    }

    /// The server's answer names an address that begins so.
    #[track_caller]
    fn seen_as(&mut self, address: &str) -> String {
        let seen = self.ask();
        assert!(seen.starts_with(address), "{seen} is not {address}");
        seen
    }
}

#[test]
fn each_uplink_reaches_the_server_by_an_address_of_its_own() {
    let site = Site::new();
    for uplink in Uplink::ALL {
        let public = format!("{}:", site.public(uplink));
        let before = site.counted(uplink);
        Asker::new(&site, uplink).seen_as(&public);
        let after = site.counted(uplink);
        assert_eq!(after.up_bytes - before.up_bytes, 20 + 8 + 32);
        assert_eq!((after.hellos, after.agreed), (0, 0));
        let v6 = format!("[{SERVER_V6}]:{PORT}");
        echo();
        Asker::of(&site, uplink, &v6).seen_as("[2001:db8:");
    }
}

#[test]
fn an_interface_that_is_down_or_gone_says_so_at_once_and_comes_back() {
    let site = Site::new();
    let (usb, mut asker) = (Uplink::Usb, Asker::new(&site, Uplink::Usb));
    let public = site.public(usb);
    asker.seen_as(&public);
    site.link_down(usb);
    assert_eq!(asker.ask(), "error: network unreachable");
    site.link_up(usb);
    asker.seen_as(&public);
    site.carrier_lost(usb);
    assert_eq!(asker.ask(), SILENCE);
    site.carrier_back(usb);
    asker.seen_as(&public);
    site.unplug(usb);
    let gone = asker.ask();
    assert!(gone.starts_with("error: "), "{gone}");
    site.replug(usb);
    // The old socket is bound to a device that is no more.
    let gone = asker.ask();
    assert!(gone.starts_with("error: "), "{gone}");
    Asker::new(&site, usb).seen_as(&public);
}

#[test]
fn packets_are_lost_either_way_and_heal() {
    let mut site = Site::new();
    let (eth, mut asker) = (Uplink::Eth, Asker::new(&site, Uplink::Eth));
    let public = site.public(eth);
    for direction in [Direction::Both, Direction::Up, Direction::Down] {
        asker.seen_as(&public);
        let before = site.counted(eth);
        site.black_hole(eth, direction);
        assert_eq!(asker.ask(), SILENCE);
        let down = site.counted(eth).down_bytes - before.down_bytes;
        assert_eq!(down > 0, direction == Direction::Down, "{direction:?}");
        site.heal(eth);
    }
    site.mtu_hole(eth, 600);
    asker.seen_as(&public);
    assert_eq!(asker.sends(601 - 28), SILENCE);
    asker.seen_as(&public);
    site.heal(eth);
    site.udp_blocked(eth);
    assert_eq!(asker.ask(), SILENCE);
    site.heal(eth);
    asker.seen_as(&public);
    site.quota(eth, 200);
    asker.seen_as(&public);
    asker.ask();
    asker.ask();
    assert_eq!(asker.ask(), SILENCE);
    site.heal(eth);
    asker.seen_as(&public);
}

#[test]
fn a_router_that_rejects_is_heard() {
    let site = Site::new();
    let mut asker = Asker::new(&site, Uplink::Eth);
    site.reject(Uplink::Eth);
    assert_eq!(asker.ask(), "error: host unreachable");
}

#[test]
fn half_of_the_packets_get_through_a_lossy_path() {
    let site = Site::new();
    let mut asker = Asker::new(&site, Uplink::Eth);
    site.loss(Uplink::Eth, 30);
    let answered = |asker: &mut Asker| (asker.ask() != SILENCE).then_some(());
    until("answer", SOON, || answered(&mut asker));
    let refused = |asker: &mut Asker| (asker.ask() == SILENCE).then_some(());
    until("loss", SOON, || refused(&mut asker));
}

#[test]
fn a_slow_path_takes_its_time_each_way() {
    let mut site = Site::new();
    echo();
    let delay = Duration::from_millis(300);
    site.delay(Uplink::Wwan, PORT, delay);
    let mut asker = Asker::new(&site, Uplink::Wwan);
    let begin = now();
    asker.seen_as(&site.public(Uplink::Wwan));
    let took = begin.elapsed();
    assert!(took >= 2 * delay && took < 3 * delay, "{took:?}");
    site.heal(Uplink::Wwan);
    let begin = now();
    asker.seen_as(&site.public(Uplink::Wwan));
    assert!(begin.elapsed() < delay);
}

#[test]
fn a_nat_takes_another_port_or_address_and_forgets() {
    let site = Site::new();
    let (usb, mut asker) = (Uplink::Usb, Asker::new(&site, Uplink::Usb));
    let public = format!("{}:", site.public(usb));
    let first = asker.seen_as(&public);
    assert_eq!(asker.seen_as(&public), first);
    site.rebind_port(usb);
    let second = asker.seen_as(&public);
    assert_ne!(second, first);
    assert_eq!(asker.seen_as(&public), second);
    let other = public.replace(".10:", ".11:");
    site.rebind_address(usb, 11);
    asker.seen_as(&other);
    site.nat_timeout(usb, 1);
    let mapped = || {
        let list = site.router(usb).run("conntrack", &["-L", "-p", "udp"]);
        (!list.contains(&format!("dst={SERVER}"))).then_some(())
    };
    asker.seen_as(&other);
    until("forgotten mapping", SOON, mapped);
}

#[test]
fn a_device_has_another_address_and_a_network_another_protocol() {
    let mut site = Site::new();
    let usb = Uplink::Usb;
    let public = site.public(usb);
    site.renumber(usb, 99);
    let addresses = site.gateway.run("ip", &["-4", "addr", "show", "usb0"]);
    assert!(addresses.contains("192.168.42.99/24") && !addresses.contains("192.168.42.77"));
    Asker::new(&site, usb).seen_as(&public);
    site.unplug(usb);
    site.replug_elsewhere(usb, "172.20.10", 2);
    Asker::new(&site, usb).seen_as(&public);
    site.v6_only(usb);
    let routes = site.gateway.run("ip", &["-4", "route"]);
    assert!(!routes.contains("usb0"), "{routes}");
    Asker::of(&site, usb, &format!("[{SERVER_V6}]:{PORT}")).seen_as("[2001:db8:");
}

#[test]
fn a_route_is_stolen_and_two_uplinks_share_a_network() {
    let mut site = Site::new();
    let first = |site: &Site| {
        let route = site.gateway.run("ip", &["route", "get", SERVER]);
        Uplink::ALL
            .into_iter()
            .find(|uplink| route.contains(uplink.interface()))
    };
    assert_eq!(first(&site), Some(Uplink::Eth));
    site.steal_route(Uplink::Usb);
    assert_eq!(first(&site), Some(Uplink::Usb));
    site.same_network(Uplink::Eth, Uplink::Usb, 50);
    for uplink in Uplink::ALL {
        Asker::new(&site, uplink).seen_as(&site.public(uplink));
    }
}

#[test]
fn a_portal_answers_for_every_web_server() {
    let mut site = Site::new();
    let mut asker = Asker::new(&site, Uplink::Eth);
    site.captive(Uplink::Eth);
    assert_eq!(asker.ask(), SILENCE);
    let page = site.gateway.run(
        "bash",
        &[
            "-c",
            &format!(
                "exec 3<>/dev/tcp/{SERVER}/80 && printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3 && cat <&3"
            ),
        ],
    );
    assert!(page.contains("login.example"), "{page}");
    site.heal(Uplink::Eth);
    asker.seen_as(&site.public(Uplink::Eth));
}

#[test]
fn nothing_is_left_of_a_site() {
    let site = Site::new();
    let name = site.gateway.name().to_owned();
    let mut inside = site.gateway.command("sleep");
    let mut child = inside.arg("1000").stdout(Stdio::null()).spawn().unwrap();
    let listed = || {
        let list = std::process::Command::new("ip")
            .args(["netns", "list"])
            .output();
        String::from_utf8(list.unwrap().stdout)
            .unwrap()
            .contains(&name)
    };
    assert!(listed());
    drop(site);
    assert!(!listed());
    assert!(!child.wait().unwrap().success(), "what ran inside is ended");
}
