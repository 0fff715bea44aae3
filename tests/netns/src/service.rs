//! What networks give to those who are in them, by the programs that really do so.

use std::path::Path;

use lamplighter_interop::{lines::Lines, write};

use crate::{
    cloud::SERVER,
    site::{Site, Uplink},
    wait::{SOON, until},
};

/// What a name server knows the server as.
pub const NAME: &str = "lwm2m.example";

/// Of the translator. Not the well-known one, which is for public addresses only. // RFC 6052, 3.1
const PREFIX: &str = "2001:db8:64:";
/// What the translator speaks IPv4 from, before it is hidden behind the public address.
const POOL: &str = "192.168.255";

impl Site {
    /// A name server in the router, which says that [`NAME`] has these addresses; its own address.
    pub fn name_server(&mut self, uplink: Uplink, addresses: &[&str]) -> String {
        let names = addresses.iter();
        let mut arguments: Vec<String> = names
            .map(|address| format!("--address=/{NAME}/{address}"))
            .collect();
        // The translator's, where there is one. // RFC 7050, 2.2
        let translated = ["aa", "ab"];
        arguments.extend(
            translated.map(|last| format!("--address=/ipv4only.arpa/{PREFIX}:c000:{last}")),
        );
        self.dnsmasq(uplink, &arguments);
        format!("{}::1", self.private_v6(uplink))
    }

    /// A server in the router that gives the gateway its address, the route and a name server, which
    /// knows [`NAME`] as the server; a phone says that it costs money.
    pub fn dhcp(&mut self, uplink: Uplink, is_phone: bool) {
        let lease = &self.way(uplink).lease;
        let host = format!("{}.{}", lease.network, lease.host);
        let mut arguments = vec![
            format!("--dhcp-range={host},{host},1h"),
            "--dhcp-authoritative".to_owned(),
            "--leasefile-ro".to_owned(),
            format!("--address=/{NAME}/{SERVER}"),
        ];
        // As Android says it, for NetworkManager and systemd to understand.
        arguments.extend(is_phone.then(|| "--dhcp-option-force=43,ANDROID_METERED".to_owned()));
        self.dnsmasq(uplink, &arguments);
    }

    /// Nobody in the router gives anything any more.
    pub fn end_services(&mut self, uplink: Uplink) {
        self.way_mut(uplink).services.clear();
    }

    fn dnsmasq(&mut self, uplink: Uplink, arguments: &[String]) {
        let router = self.router(uplink);
        let mut command = router.command("dnsmasq");
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--interface=lan",
                "--bind-dynamic",
                "--user=root",
                "--pid-file",
                "--log-facility=/dev/null",
            ])
            .args(arguments);
        let server = Lines::start(&mut command);
        until("name server", SOON, || {
            let open = router.run("ss", &["-lnuH"]);
            open.contains(":53 ").then_some(())
        });
        self.way_mut(uplink).services.push(server);
    }

    /// A translator in the router, for a network without IPv4. `directory` is for its files.
    pub fn nat64(&mut self, uplink: Uplink, directory: &Path) {
        let router = self.router(uplink);
        let own = format!("{}::64", self.private_v6(uplink));
        let file = directory.join("tayga.conf");
        write(
            &file,
            format!(
                "tun-device nat64\nipv4-addr {POOL}.1\nipv6-addr {own}\nprefix {PREFIX}:/96\n\
                 dynamic-pool {POOL}.0/24\ndata-dir {}\n",
                directory.display()
            ),
        );
        let file = file.to_string_lossy().into_owned();
        router.run("tayga", &["--config", &file, "--mktun"]);
        router.ip(&format!(
            "link set nat64 up\n\
             route add {POOL}.0/24 dev nat64\n\
             route add {PREFIX}:/96 dev nat64\n"
        ));
        let mut command = router.command("tayga");
        command.args(["--config", &file, "--nodetach"]);
        let translator = Lines::start(&mut command);
        self.way_mut(uplink).services.push(translator);
    }
}
