//! What can go wrong with an uplink. Each fault is there when its function returns, and goes by
//! [`Site::heal`] unless it says otherwise.

use std::time::Duration;

use crate::{
    cloud::SERVER,
    peer::Peer,
    site::{Site, Uplink},
};

/// Where a portal listens in its router.
const PORTAL: u16 = 8080;
/// Where a slow path is taken in in its router.
const SLOW: u16 = 7000;

/// Which way packets go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    Up,
    Down,
    Both,
}

impl Direction {
    const fn matched(self) -> &'static str {
        match self {
            Self::Up => "iifname lan",
            Self::Down => "iifname wan",
            Self::Both => "",
        }
    }
}

impl Site {
    /// Ends what is done to packets. Devices and addresses stay as they are.
    pub fn heal(&mut self, uplink: Uplink) {
        let router = self.router(uplink);
        router.nft("flush chain inet rig fault\nflush chain inet rig pre\n");
        router.attempt("conntrack", &["-F"]);
        self.way_mut(uplink).peers.clear();
    }

    fn fault(&self, uplink: Uplink, rule: &str) {
        self.router(uplink)
            .nft(&format!("add rule inet rig fault {rule}\n"));
    }

    /// The interface is taken down here: its routes go. Until [`Self::link_up`].
    pub fn link_down(&self, uplink: Uplink) {
        self.gateway
            .ip(&format!("link set {} down\n", uplink.interface()));
    }

    pub fn link_up(&self, uplink: Uplink) {
        self.gateway
            .ip(&format!("link set {} up\n", uplink.interface()));
        self.configure(uplink);
    }

    /// The cable is pulled at its other end: addresses and routes stay. Until [`Self::carrier_back`].
    pub fn carrier_lost(&self, uplink: Uplink) {
        self.router(uplink).ip("link set lan down\n");
    }

    /// The router's addresses of IPv6 went with its link.
    pub fn carrier_back(&self, uplink: Uplink) {
        self.router(uplink).ip("link set lan up\n");
        self.restore_router(uplink);
    }

    /// The device is pulled out. Until [`Self::replug`].
    pub fn unplug(&self, uplink: Uplink) {
        self.gateway
            .ip(&format!("link del {}\n", uplink.interface()));
    }

    /// The same device is there again; for the kernel it is another.
    pub fn replug(&self, uplink: Uplink) {
        self.plug(uplink);
    }

    /// The device comes back in another network, with another address.
    pub fn replug_elsewhere(&mut self, uplink: Uplink, network: &str, host: u8) {
        let lease = &mut self.way_mut(uplink).lease;
        network.clone_into(&mut lease.network);
        lease.host = host;
        self.plug(uplink);
    }

    /// Ends [`Self::link_down`], [`Self::carrier_lost`] or [`Self::unplug`].
    pub fn restore(&self, uplink: Uplink) {
        let interface = uplink.interface();
        let found = self.gateway.attempt("ip", &["link", "show", interface]);
        if !found.status.success() {
            return self.replug(uplink);
        }
        self.carrier_back(uplink);
        self.link_up(uplink);
    }

    /// All that is forwarded is lost, without a word; the router itself answers.
    pub fn black_hole(&self, uplink: Uplink, direction: Direction) {
        self.fault(uplink, &format!("{} drop", direction.matched()));
    }

    /// The router says that it is not allowed.
    pub fn reject(&self, uplink: Uplink) {
        self.fault(
            uplink,
            "iifname lan reject with icmpx type admin-prohibited",
        );
    }

    /// Everything passes but UDP, as in many hotels; names are looked up.
    pub fn udp_blocked(&self, uplink: Uplink) {
        self.fault(
            uplink,
            "meta l4proto udp udp dport != 53 udp sport != 53 drop",
        );
    }

    /// A page to log in to answers for every web server; nothing else passes.
    pub fn captive(&mut self, uplink: Uplink) {
        let listen = format!("0.0.0.0:{PORTAL}");
        let portal = Peer::start(self.router(uplink), &["portal", &listen]);
        self.way_mut(uplink).peers.push(portal);
        self.router(uplink).nft(&format!(
            "add rule inet rig fault drop\n\
             add rule inet rig pre iifname lan tcp dport 80 redirect to :{PORTAL}\n"
        ));
    }

    /// Of a hundred packets so many are lost, on either way.
    pub fn loss(&self, uplink: Uplink, percent: u8) {
        self.fault(uplink, &format!("numgen random mod 100 < {percent} drop"));
    }

    /// Larger packets are lost without a word, on either way.
    pub fn mtu_hole(&self, uplink: Uplink, bytes: u16) {
        self.fault(uplink, &format!("meta length > {bytes} drop"));
    }

    /// After so many bytes nothing passes any more.
    pub fn quota(&self, uplink: Uplink, bytes: u32) {
        self.fault(uplink, &format!("quota over {bytes} bytes drop"));
    }

    /// UDP to this port of the server takes so long each way. What is open now comes from another port
    /// of the public address from now on.
    pub fn delay(&mut self, uplink: Uplink, port: u16, delay: Duration) {
        let (listen, server) = (format!("0.0.0.0:{SLOW}"), format!("{SERVER}:{port}"));
        let milliseconds = delay.as_millis().to_string();
        let arguments = ["slow", &listen, &server, &milliseconds];
        let slow = Peer::start(self.router(uplink), &arguments);
        self.way_mut(uplink).peers.push(slow);
        let router = self.router(uplink);
        router.nft(&format!(
            "add rule inet rig pre iifname lan udp dport {port} redirect to :{SLOW}\n"
        ));
        router.attempt("conntrack", &["-F"]);
    }

    /// The router forgets a mapping that was not used for so long. For ever.
    pub fn nat_timeout(&self, uplink: Uplink, seconds: u16) {
        let seconds = seconds.to_string();
        self.router(uplink).sysctl(&[
            ("net.netfilter.nf_conntrack_udp_timeout", &seconds),
            ("net.netfilter.nf_conntrack_udp_timeout_stream", &seconds),
        ]);
    }

    /// The router forgets its mappings: what comes from the server has nowhere to go, what the gateway
    /// sends comes from another port. Nobody is told. For ever.
    pub fn rebind_port(&self, uplink: Uplink) {
        // One transaction: between two, packets would leave with their private address.
        self.masquerade(
            uplink,
            "add rule inet rig post oifname wan meta nfproto ipv4 meta l4proto udp \
             masquerade to :20000-60000 random\n\
             add rule inet rig post oifname wan meta nfproto ipv4 masquerade\n",
        );
    }

    /// The router has another public address from now on.
    pub fn rebind_address(&self, uplink: Uplink, host: u8) {
        let address = format!("{}.{host}", self.public_network(uplink));
        self.router(uplink)
            .ip(&format!("addr replace {address}/24 dev wan\n"));
        self.masquerade(
            uplink,
            &format!("add rule inet rig post oifname wan meta nfproto ipv4 snat ip to {address}\n"),
        );
    }

    fn masquerade(&self, uplink: Uplink, rules: &str) {
        let router = self.router(uplink);
        router.nft(&format!("flush chain inet rig post\n{rules}"));
        router.attempt("conntrack", &["-F"]);
    }

    /// DHCP gives another private address. For ever.
    pub fn renumber(&mut self, uplink: Uplink, host: u8) {
        let (interface, lease) = (uplink.interface(), &mut self.way_mut(uplink).lease);
        let former = format!("{}.{}", lease.network, lease.host);
        lease.host = host;
        self.gateway
            .ip(&format!("addr del {former}/24 dev {interface}\n"));
        self.configure(uplink);
    }

    /// The network has no IPv4 any more. For ever.
    pub fn v6_only(&mut self, uplink: Uplink) {
        self.way_mut(uplink).lease.v4 = false;
        let arguments = ["-4", "addr", "flush", "dev", uplink.interface()];
        self.gateway.run("ip", &arguments);
    }

    /// The network has no IPv6 any more. For ever.
    pub fn v4_only(&mut self, uplink: Uplink) {
        self.way_mut(uplink).lease.v6 = false;
        let arguments = ["-6", "addr", "flush", "dev", uplink.interface()];
        let global = ["scope", "global"];
        self.gateway.run("ip", &[&arguments[..], &global].concat());
    }

    /// The default route of this uplink goes before all others, as where a phone that only charges
    /// thinks that it was asked for the Internet. For ever.
    pub fn steal_route(&mut self, uplink: Uplink) {
        let former = self.way(uplink).lease.metric;
        self.way_mut(uplink).lease.metric = 1;
        self.configure(uplink);
        let interface = uplink.interface();
        for family in ["-4", "-6"] {
            let metric = former.to_string();
            let route = [
                "route", "del", "default", "dev", interface, "metric", &metric,
            ];
            self.gateway.run("ip", &[&[family], &route[..]].concat());
        }
    }

    /// Both uplinks have private addresses of one network, each with a router of its own. For ever.
    pub fn same_network(&mut self, uplink: Uplink, as_of: Uplink, host: u8) {
        let (network, router) = (as_of.private().to_owned(), as_of.router());
        let lease = &mut self.way_mut(uplink).lease;
        lease.network = network;
        (lease.host, lease.router) = (host, router);
        self.unplug(uplink);
        self.plug(uplink);
    }

    /// What the router had on its link.
    fn restore_router(&self, uplink: Uplink) {
        let v6 = self.private_v6(uplink);
        self.router(uplink)
            .ip(&format!("addr replace {v6}::1/64 dev lan nodad\n"));
    }
}
