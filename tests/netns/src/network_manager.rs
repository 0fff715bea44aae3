//! The real NetworkManager in the gateway of a site, on a bus of its own.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use lamplighter_interop::{lines::Lines, modem::Bus, write};

use crate::{
    namespace::Namespace,
    site::{Site, Uplink},
    wait::{SOON, until},
};

/// Without udev, which it does not use where /sys cannot be written to, and without the files of the
/// machine.
const START: &str = "mount -o remount,ro /sys && mount -t tmpfs tmpfs /run && \
    mkdir -p /run/NetworkManager /var/lib/NetworkManager && \
    mount -t tmpfs tmpfs /var/lib/NetworkManager && exec NetworkManager --debug \
    --config=$0/NetworkManager.conf --config-dir=$0/conf.d --system-config-dir=$0/conf.d \
    --intern-config=$0/intern.conf --state-file=$0/state --pid-file=$0/pid";

/// A running one.
#[derive(Debug)]
pub struct NetworkManager {
    // It ends before its bus.
    daemon: Option<Lines>,
    bus: Bus,
    gateway: Namespace,
}

impl NetworkManager {
    /// Connects these uplinks by DHCP, over IPv4; nobody else has given them anything.
    pub fn start(site: &Site, uplinks: &[Uplink], directory: &Path) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let bus = runtime.block_on(Bus::start(directory));
        let profiles = directory.join("profiles");
        for uplink in uplinks {
            let interface = uplink.interface();
            site.gateway.ip(&format!("addr flush dev {interface}\n"));
            profile(&profiles, *uplink);
        }
        let managed = uplinks.iter().map(|uplink| uplink.interface());
        let managed: Vec<_> = managed
            .map(|interface| format!("except:interface-name:{interface}"))
            .collect();
        fs::create_dir_all(directory.join("conf.d")).unwrap();
        write(
            &directory.join("NetworkManager.conf"),
            format!(
                "[main]\nplugins=keyfile\ndhcp=internal\ndns=none\nrc-manager=unmanaged\n\
                 no-auto-default=*\nauth-polkit=root-only\n\
                 [keyfile]\npath={}\nunmanaged-devices={}\n",
                profiles.display(),
                managed.join(";")
            ),
        );
        let log = File::create(directory.join("networkmanager.log")).unwrap();
        let mut command = site.gateway.command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", START])
            .arg(directory)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
            .stderr(log);
        let manager = Self {
            daemon: Some(Lines::start(&mut command)),
            bus,
            gateway: site.gateway.clone(),
        };
        until("NetworkManager", SOON, || {
            let running = manager.client(&["general", "status"]).output();
            running.ok()?.status.success().then_some(())
        });
        manager
    }

    /// Of its bus.
    pub fn address(&self) -> &str {
        &self.bus.address
    }

    /// Somebody takes the connection of an uplink down: it stays down.
    pub fn disconnect(&self, uplink: Uplink) {
        let down = self.client(&["connection", "down", uplink.name()]).output();
        let down = down.unwrap();
        assert!(down.status.success(), "{down:?}");
    }

    /// It is gone at once, without a word.
    pub fn kill(&mut self) {
        drop(self.daemon.take());
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = self.gateway.command("nmcli");
        command
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus.address);
        command
    }
}

/// Named as the bearer.
fn profile(directory: &Path, uplink: Uplink) {
    let file = directory.join(format!("{}.nmconnection", uplink.name()));
    write(
        &file,
        format!(
            "[connection]\nid={}\nuuid=11111111-2222-3333-4444-55555555555{}\ntype=ethernet\n\
             interface-name={}\n[ipv4]\nmethod=auto\ndhcp-timeout=5\n[ipv6]\nmethod=disabled\n",
            uplink.name(),
            uplink as u8,
            uplink.interface()
        ),
    );
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}
