//! One gateway with three uplinks, each through a router of its own that hides it behind one public
//! address.

use std::sync::atomic::{AtomicU8, Ordering};

use lamplighter_interop::lines::Lines;
use serde_json::Value;

use crate::{cloud::Cloud, namespace::Namespace, peer::Peer};

/// Sites of one process; their networks have to fit in 198.18.0.0/15.
const MAX_SITES: u8 = 120;

/// What each router does when nothing is wrong. Handshakes are counted by their records
/// (RFC 6347, 4.1 and 4.2.2): a hello that is not gone on with is no handshake.
const ROUTER: &str = r#"
table inet rig {
  counter hello { }
  counter agreed { }
  counter up { }
  counter down { }
  chain post { type nat hook postrouting priority srcnat; oifname "wan" meta nfproto ipv4 masquerade; }
  chain pre { type nat hook prerouting priority dstnat; }
  chain count {
    type filter hook forward priority -10;
    iifname "lan" counter name up
    iifname "wan" counter name down
    meta l4proto udp @th,64,8 22 @th,168,8 { 1, 3 } counter name hello
    meta l4proto udp @th,64,8 22 @th,168,8 != { 1, 3 } counter name agreed
    meta l4proto udp @th,64,8 20 counter name agreed
  }
  chain fault { type filter hook forward priority filter; }
}
"#;

/// One of the three ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Uplink {
    Eth,
    Usb,
    Wwan,
}

/// What `counted` tells of one router: packets since it was there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counted {
    /// First messages of handshakes, and the server's answers to them.
    pub hellos: u64,
    /// All further messages of handshakes.
    pub agreed: u64,
    /// Bytes of packets from the gateway, headers included.
    pub up_bytes: u64,
    pub down_bytes: u64,
}

impl Uplink {
    pub const ALL: [Self; 3] = [Self::Eth, Self::Usb, Self::Wwan];

    /// Of the gateway.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Eth => "eth0",
            Self::Usb => "usb0",
            Self::Wwan => "wwan0",
        }
    }

    /// Of its `[bearer.NAME]`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eth => "eth",
            Self::Usb => "usb",
            Self::Wwan => "wwan",
        }
    }

    /// First three numbers of its private network.
    pub(crate) const fn private(self) -> &'static str {
        match self {
            Self::Eth => "192.168.10",
            Self::Usb => "192.168.42",
            Self::Wwan => "10.64.64",
        }
    }

    /// Last number of the gateway's address.
    pub const fn host(self) -> u8 {
        match self {
            Self::Eth => 50,
            Self::Usb => 77,
            Self::Wwan => 2,
        }
    }

    /// Last number of the router's address.
    pub(crate) const fn router(self) -> u8 {
        match self {
            Self::Eth | Self::Wwan => 1,
            Self::Usb => 129,
        }
    }

    /// Of the default routes that the gateway has when it starts.
    pub(crate) const fn metric(self) -> u16 {
        match self {
            Self::Eth => 100,
            Self::Usb => 200,
            Self::Wwan => 700,
        }
    }
}

/// What the gateway is told by DHCP of one uplink.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// First three numbers of the network.
    pub(crate) network: String,
    pub(crate) host: u8,
    pub(crate) router: u8,
    pub(crate) metric: u16,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

/// Of one uplink.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) router: Namespace,
    pub(crate) lease: Lease,
    /// Programs in the router that a fault needs.
    pub(crate) peers: Vec<Peer>,
    /// Those of a network that is as it should be.
    pub(crate) services: Vec<Lines>,
}

/// A gateway and its routers; all of it goes when dropped.
#[derive(Debug)]
pub struct Site {
    pub gateway: Namespace,
    pub(crate) ways: [Way; 3],
    number: u8,
}

impl Site {
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number <= MAX_SITES, "too many sites in one process");
        let cloud = Cloud::shared();
        let gateway = Namespace::new(&format!("{number}-gw"));
        let ways = Uplink::ALL.map(|uplink| {
            let router = Namespace::new(&format!("{number}-{}", uplink.name()));
            let way = Way {
                router,
                lease: Lease::of(uplink),
                peers: Vec::new(),
                services: Vec::new(),
            };
            connect(cloud, &way.router, number, uplink);
            way
        });
        let site = Self {
            gateway,
            ways,
            number,
        };
        for uplink in Uplink::ALL {
            site.plug(uplink);
        }
        site
    }

    pub fn router(&self, uplink: Uplink) -> &Namespace {
        &self.way(uplink).router
    }

    /// The address that servers see first; others of the network are the router's to take.
    pub fn public(&self, uplink: Uplink) -> String {
        format!("{}.10", public_network(self.number, uplink))
    }

    pub fn counted(&self, uplink: Uplink) -> Counted {
        let listed = self
            .router(uplink)
            .run("nft", &["-j", "list", "counters", "table", "inet", "rig"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let of = |name: &str, what: &str| {
            let counters = listed["nftables"].as_array().unwrap().iter();
            let mut counters = counters.map(|entry| &entry["counter"]);
            let counter = counters.find(|counter| counter["name"] == name);
            counter.and_then(|counter| counter[what].as_u64()).unwrap()
        };
        Counted {
            hellos: of("hello", "packets"),
            agreed: of("agreed", "packets"),
            up_bytes: of("up", "bytes"),
            down_bytes: of("down", "bytes"),
        }
    }

    /// Messages of handshakes beyond hellos, over all uplinks.
    pub fn agreed(&self) -> u64 {
        Uplink::ALL
            .map(|uplink| self.counted(uplink).agreed)
            .iter()
            .sum()
    }

    pub(crate) fn way(&self, uplink: Uplink) -> &Way {
        &self.ways[uplink as usize]
    }

    pub(crate) fn way_mut(&mut self, uplink: Uplink) -> &mut Way {
        &mut self.ways[uplink as usize]
    }

    pub(crate) fn private_v6(&self, uplink: Uplink) -> String {
        private_v6(self.number, uplink)
    }

    pub(crate) fn public_network(&self, uplink: Uplink) -> String {
        public_network(self.number, uplink)
    }

    /// Puts the device in, and gives it its addresses and routes.
    pub(crate) fn plug(&self, uplink: Uplink) {
        let Way { router, lease, .. } = self.way(uplink);
        let (interface, gateway) = (uplink.interface(), self.gateway.name());
        router.ip(&format!(
            "link add lan type veth peer name {interface} netns {gateway}\n\
             link set lan up\n\
             addr add {network}.{host}/24 dev lan\n\
             addr add {v6}::1/64 dev lan nodad\n",
            network = lease.network,
            host = lease.router,
            v6 = private_v6(self.number, uplink),
        ));
        self.gateway.ip(&format!("link set {interface} up\n"));
        self.configure(uplink);
    }

    /// What a DHCP client does: addresses and default routes.
    pub(crate) fn configure(&self, uplink: Uplink) {
        let lease = &self.way(uplink).lease;
        let (interface, metric) = (uplink.interface(), lease.metric);
        let mut lines = String::new();
        if lease.v4 {
            lines += &format!(
                "addr replace {network}.{host}/24 dev {interface}\n\
                 route replace default via {network}.{router} dev {interface} metric {metric}\n",
                network = lease.network,
                host = lease.host,
                router = lease.router,
            );
        }
        if lease.v6 {
            let network = private_v6(self.number, uplink);
            lines += &format!(
                "addr replace {network}::2/64 dev {interface} nodad\n\
                 route replace default via {network}::1 dev {interface} metric {metric}\n"
            );
        }
        self.gateway.ip(&lines);
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Lease {
    fn of(uplink: Uplink) -> Self {
        Self {
            network: uplink.private().to_owned(),
            host: uplink.host(),
            router: uplink.router(),
            metric: uplink.metric(),
            v4: true,
            v6: true,
        }
    }
}

/// Each router has a network of its own to the cloud.
fn index(site: u8, uplink: Uplink) -> u16 {
    u16::from(site) * 4 + uplink as u16
}

fn public_network(site: u8, uplink: Uplink) -> String {
    let [high, low] = index(site, uplink).to_be_bytes();
    format!("198.{}.{low}", 18 + high)
}

fn public_v6(site: u8, uplink: Uplink) -> String {
    format!("2001:db8:{:x}:1", index(site, uplink))
}

fn private_v6(site: u8, uplink: Uplink) -> String {
    format!("2001:db8:{:x}:2", index(site, uplink))
}

/// The router and its link to the cloud.
fn connect(cloud: &Cloud, router: &Namespace, site: u8, uplink: Uplink) {
    let (v4, v6) = (public_network(site, uplink), public_v6(site, uplink));
    let there = format!("w{}", index(site, uplink));
    router.sysctl(&[
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
    ]);
    router.ip(&format!(
        "link add wan type veth peer name {there} netns {cloud}\n\
         link set wan up\n\
         addr add {v4}.10/24 dev wan\n\
         addr add {v6}::10/64 dev wan nodad\n",
        cloud = cloud.namespace.name(),
    ));
    cloud.namespace.ip(&format!(
        "addr add {v4}.1/24 dev {there}\n\
         addr add {v6}::1/64 dev {there} nodad\n\
         link set {there} up\n\
         route add {lan}::/64 via {v6}::10\n",
        lan = private_v6(site, uplink),
    ));
    router.ip(&format!(
        "route add default via {v4}.1\nroute add default via {v6}::1\n"
    ));
    router.nft(ROUTER);
}
