//! What NetworkManager says of one device, as we use it. Pure: objects of D-Bus go in.

use std::net::{IpAddr, Ipv6Addr};

use super::{bag::Bag, bus::Objects};
use crate::bearer::Meta;

const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const WIRELESS: &str = "org.freedesktop.NetworkManager.Device.Wireless";
const ACCESS_POINT: &str = "org.freedesktop.NetworkManager.AccessPoint";
const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
const V4: &str = "org.freedesktop.NetworkManager.IP4Config";
const V6: &str = "org.freedesktop.NetworkManager.IP6Config";
const SERVERS_MAX: usize = 4;

/// One device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Device {
    pub(super) path: String,
    /// That of packets where it has one, else that of the device itself (the port of a modem).
    pub(super) interface: String,
    pub(super) is_modem: bool,
    state: State,
    /// NMDeviceStateReason
    reason: u32,
    metered: Option<bool>,
    name_servers: Vec<IpAddr>,
    /// Of a wireless LAN, in %.
    strength: Option<i32>,
    /// The active connection, and its profile.
    pub(super) active: Option<String>,
    pub(super) profile: Option<String>,
    /// Profiles that could be used, the best first.
    pub(super) available: Vec<String>,
    /// From the profile.
    pub(super) apn: Option<String>,
}

/// NMDeviceState
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    /// NetworkManager leaves it alone.
    #[default]
    Unmanaged,
    Unavailable,
    Disconnected,
    /// On the device itself.
    Preparing,
    /// For a password.
    Asking,
    Addressing,
    Activated,
    Failed,
}

/// All devices that carry packets.
pub(super) fn devices(objects: &Objects) -> Vec<Device> {
    let paths = objects.keys();
    paths
        .filter_map(|path| Device::read(path, objects))
        .collect()
}

impl Device {
    fn read(path: &str, objects: &Objects) -> Option<Self> {
        let device = objects.get(path)?.get(DEVICE)?;
        let find = |path: Option<String>, interface| objects.get(&path?)?.get(interface);
        let own = device.text("Interface");
        let interface = device.text("IpInterface").or(own)?;
        let v4 = find(device.path("Ip4Config"), V4);
        let v6 = find(device.path("Ip6Config"), V6);
        let active = device.path("ActiveConnection");
        let profile = find(active.clone(), ACTIVE).and_then(|active| active.path("Connection"));
        let wireless = objects.get(path)?.get(WIRELESS);
        let point = wireless.and_then(|wireless| wireless.path("ActiveAccessPoint"));
        let strength = find(point, ACCESS_POINT).and_then(|point| point.number("Strength"));
        let reason = device.structures("StateReason");
        let reason = reason.first().and_then(|fields| fields.get(1)?.number());
        Some(Self {
            path: path.to_owned(),
            interface,
            // NM_DEVICE_TYPE_MODEM
            is_modem: device.number("DeviceType") == Some(8),
            state: State::read(device),
            reason: reason
                .and_then(|reason| u32::try_from(reason).ok())
                .unwrap_or_default(),
            metered: metered(device),
            name_servers: name_servers(v4, v6),
            strength: strength
                .and_then(|percent| i32::try_from(percent).ok())
                .filter(|percent| (0..=100).contains(percent)),
            active,
            profile,
            available: device.paths("AvailableConnections"),
            apn: None,
        })
    }

    /// What this manager knows of a bearer.
    pub(super) fn meta(&self) -> Meta {
        Meta {
            metered: self.metered,
            quality: self.strength,
            name_servers: self.name_servers.clone(),
            apn: self.apn.clone(),
            trouble: self.trouble(),
            ..Meta::default()
        }
    }

    /// Nothing is connected, and NetworkManager does nothing about it.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Disconnected | State::Failed)
    }

    pub(super) fn is_activated(&self) -> bool {
        self.state == State::Activated
    }

    /// Nothing is to be done with it now.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(
            self.state,
            State::Unmanaged | State::Unavailable | State::Activated
        )
    }

    /// Where it is on its way. NetworkManager begins anew at once where it does not get further: the
    /// reason of the failure is seen for a moment only.
    pub(super) const fn on_its_way(&self) -> Option<&'static str> {
        match self.state {
            State::Preparing => Some("NetworkManager does not get it connected"),
            State::Asking => Some("NetworkManager has no password for it"),
            State::Addressing => Some("NetworkManager gets no address for it"),
            State::Unmanaged
            | State::Unavailable
            | State::Disconnected
            | State::Activated
            | State::Failed => None,
        }
    }

    /// The profile that is used, or could be.
    pub(super) fn usable(&self) -> Option<&String> {
        self.profile.as_ref().or_else(|| self.available.first())
    }

    fn trouble(&self) -> Option<String> {
        match self.state {
            State::Unmanaged
            | State::Preparing
            | State::Asking
            | State::Addressing
            | State::Activated => return None,
            State::Unavailable | State::Disconnected | State::Failed => {}
        }
        // NMDeviceStateReason
        let text = match self.reason {
            5 | 6 | 15..=17 => "NetworkManager gets no address by DHCP",
            7 => "NetworkManager has no password for it",
            8..=11 => "NetworkManager cannot join the wireless network",
            12..=14 => "NetworkManager cannot connect by PPP",
            24..=29 => "NetworkManager cannot dial",
            30 => "NetworkManager cannot use the access point name",
            31..=34 => "NetworkManager finds no network for the modem",
            35 | 47 => "NetworkManager lacks the PIN of the SIM",
            46 => "NetworkManager finds no SIM",
            48 => "NetworkManager finds the SIM blocked: it wants its PUK",
            49 => "NetworkManager cannot use the SIM",
            54 => "NetworkManager does not see the wireless network",
            _ if self.state == State::Failed => "NetworkManager could not connect it",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl State {
    fn read(device: &Bag) -> Self {
        match device.number("State") {
            Some(20) => Self::Unavailable,
            // One that is about to go is not used any more.
            Some(30 | 110) => Self::Disconnected,
            Some(40 | 50) => Self::Preparing,
            Some(60) => Self::Asking,
            Some(70..=90) => Self::Addressing,
            Some(100) => Self::Activated,
            Some(120) => Self::Failed,
            _ => Self::Unmanaged,
        }
    }
}

/// NMMetered; a guess is better than none.
fn metered(device: &Bag) -> Option<bool> {
    match device.number("Metered")? {
        1 | 3 => Some(true),
        2 | 4 => Some(false),
        _ => None,
    }
}

fn name_servers(v4: Option<&Bag>, v6: Option<&Bag>) -> Vec<IpAddr> {
    let v4 = v4.map(|config| config.bags("NameserverData"));
    let v4 = v4.unwrap_or_default().into_iter();
    let v4 = v4.filter_map(|server| server.address("address"));
    let v6 = v6.map(|config| config.byte_lists("Nameservers", 16));
    let v6 = v6.unwrap_or_default().into_iter().filter_map(|bytes| {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bytes)))
    });
    let both = v4.chain(v6).filter(|server| !server.is_unspecified());
    both.take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests;
