//! What ModemManager says of one modem, as we use it. Pure: objects of D-Bus go in.

use std::net::IpAddr;

use super::{
    bag::{Bag, Field},
    bus::Object,
};
use crate::bearer::Meta;

pub(super) const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
pub(super) const MODEM_3GPP: &str = "org.freedesktop.ModemManager1.Modem.Modem3gpp";
pub(super) const SIGNAL: &str = "org.freedesktop.ModemManager1.Modem.Signal";
pub(super) const LOCATION: &str = "org.freedesktop.ModemManager1.Modem.Location";
pub(super) const MESSAGING: &str = "org.freedesktop.ModemManager1.Modem.Messaging";

/// Of one modem.
const BEARERS_MAX: usize = 8;
/// MMModemLock of the PIN.
const PIN_LOCK: u32 = 2;
/// A port of a modem that is a network interface. // MMModemPortType
const PORT_NET: i64 = 2;
/// Cells by their area and number. // MMModemLocationSource
pub(super) const LAC_AND_CELL: u32 = 1;

/// One modem.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Modem {
    pub(super) path: String,
    pub(super) state: State,
    pub(super) lock: Lock,
    /// Names of its network interfaces; none where packets go by PPP.
    pub(super) interfaces: Vec<String>,
    /// Bits of MMModemAccessTechnology.
    technologies: u32,
    /// In %.
    quality: Option<u32>,
    registration: Option<u32>,
    operator: Option<String>,
    operator_name: Option<String>,
    radio: Radio,
    /// As it is told now; on its way between two cells it may be a mixture.
    pub(super) place: Option<Place>,
    pub(super) has_place: Feature,
    /// Bits of MMModemLocationSource that are on.
    pub(super) sources: u32,
    pub(super) has_signal: Feature,
    pub(super) sim_path: Option<String>,
    pub(super) sim: Option<Sim>,
    /// Its serial number.
    equipment: Option<String>,
    /// Tries that are left for the PIN.
    pub(super) pin_tries: Option<i64>,
    pub(super) bearer_paths: Vec<String>,
    pub(super) bearers: Vec<Connection>,
    pub(super) messages: Vec<String>,
    /// Bits of MMModemMode: all that some combination allows.
    pub(super) modes: u32,
}

/// Something that a modem may be able to do, and that has to be switched on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Feature {
    #[default]
    Absent,
    Off,
    On,
}

/// Where a modem is on its way to a network. // MMModemState
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum State {
    /// With MMModemStateFailedReason.
    Failed(u32),
    #[default]
    Unknown,
    Locked,
    /// Disabled, or about to be.
    Disabled,
    Enabling,
    /// Enabled, or looking for a network.
    Enabled,
    Registered,
    Connecting,
    Connected,
}

/// What a modem wants before it does anything. // MMModemLock
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Lock {
    #[default]
    None,
    Pin,
    Puk,
    /// Another one, which nobody can open here.
    Other,
}

/// What the receiver measures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Radio {
    /// dBm
    strength: Option<i32>,
    /// dB
    quality: Option<i32>,
    /// dB
    snr: Option<i32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) cell: Option<u64>,
    pub(super) area: Option<u32>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Sim {
    pub(super) iccid: Option<String>,
}

/// A bearer of ModemManager's: a connection to an access point.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Connection {
    pub(super) path: String,
    pub(super) is_connected: bool,
    pub(super) interface: Option<String>,
    pub(super) apn: Option<String>,
    pub(super) user: Option<String>,
    /// MMBearerIpFamily
    pub(super) ip_type: Option<u32>,
    /// MMBearerAllowedAuth
    pub(super) auth: Option<u32>,
    pub(super) v4: IpConfig,
    pub(super) v6: IpConfig,
    /// Received and sent, in all.
    pub(super) bytes: Option<(u64, u64)>,
    /// Name and text.
    pub(super) error: Option<(String, String)>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct IpConfig {
    /// MMBearerIpMethod: 1 PPP, 2 as given here, 3 DHCP.
    pub(super) method: u32,
    pub(super) address: Option<IpAddr>,
    pub(super) prefix: Option<u8>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) name_servers: Vec<IpAddr>,
    pub(super) mtu: Option<u32>,
}

impl Modem {
    /// `None`: that is no modem.
    pub(super) fn read(path: &str, object: &Object) -> Option<Self> {
        let modem = object.get(MODEM)?;
        let none = Bag::default();
        let of = |interface| object.get(interface).unwrap_or(&none);
        let gpp = of(MODEM_3GPP);
        let location = of(LOCATION);
        let mut bearer_paths = modem.paths("Bearers");
        bearer_paths.truncate(BEARERS_MAX);
        let technologies = modem.unsigned("AccessTechnologies").unwrap_or_default();
        Some(Self {
            path: path.to_owned(),
            state: State::read(modem),
            lock: Lock::read(modem),
            interfaces: net_ports(modem),
            technologies,
            quality: quality(modem),
            registration: gpp.unsigned("RegistrationState"),
            operator: gpp.text("OperatorCode").filter(|code| is_operator(code)),
            operator_name: gpp.text("OperatorName"),
            radio: Radio::read(of(SIGNAL)),
            place: Place::read(location, technologies),
            has_place: place_feature(object.contains_key(LOCATION), location),
            sources: location.unsigned("Enabled").unwrap_or_default(),
            has_signal: signal_feature(object.contains_key(SIGNAL), of(SIGNAL)),
            sim_path: modem.path("Sim"),
            sim: None,
            equipment: modem.text("EquipmentIdentifier"),
            pin_tries: modem.number_under("UnlockRetries", PIN_LOCK),
            bearer_paths,
            bearers: Vec::new(),
            messages: of(MESSAGING).paths("Messages"),
            modes: modes(modem),
        })
    }

    pub(super) fn registered(&self) -> Option<bool> {
        match self.state {
            State::Failed(_) | State::Locked | State::Disabled => return Some(false),
            // The network would not carry packets otherwise.
            State::Connected => return Some(true),
            State::Unknown
            | State::Enabling
            | State::Enabled
            | State::Registered
            | State::Connecting => {}
        }
        // MMModem3gppRegistrationState: 1 home, 5 roaming, 9 and 10 the same without preference of
        // circuits; 6 and 7 are for SMS only, 8 for emergencies only, 11 for paying.
        match self.registration? {
            1 | 5 | 9 | 10 => Some(true),
            0 | 2 | 3 | 6 | 7 | 8 | 11 => Some(false),
            _ => None,
        }
    }

    fn roaming(&self) -> Option<bool> {
        match self.registration? {
            1 | 6 | 9 => Some(false),
            5 | 7 | 10 => Some(true),
            _ => None,
        }
    }

    /// What the network of this modem is like; `place` is that which is sure.
    pub(super) fn meta(&self, place: Option<Place>) -> Meta {
        let registered = self.registered();
        let connection = self.connection();
        let mut meta = Meta {
            registered,
            apn: connection.and_then(|connection| connection.apn.clone()),
            name_servers: connection.map(Connection::name_servers).unwrap_or_default(),
            trouble: self.trouble(),
            ..Meta::default()
        };
        // Nothing of a cell that was left.
        if registered == Some(false) {
            return meta;
        }
        meta.roaming = self.roaming();
        meta.signal = self.radio.strength.or_else(|| self.rough_strength());
        meta.quality = self.radio.quality;
        meta.snr = self.radio.snr;
        meta.operator.clone_from(&self.operator);
        meta.operator_name.clone_from(&self.operator_name);
        meta.cell = place.and_then(|place| place.cell);
        meta.area = place.and_then(|place| place.area);
        meta.technology = technology(self.technologies);
        meta
    }

    /// What tells the card in it from others; cards that are locked do not all say it, so that the
    /// modem itself has to do.
    pub(super) fn card(&self) -> String {
        let iccid = self.sim.as_ref().and_then(|sim| sim.iccid.clone());
        iccid.or_else(|| self.equipment.clone()).unwrap_or_default()
    }

    /// The last try is left to people.
    pub(super) fn has_pin_tries(&self) -> bool {
        self.pin_tries.is_none_or(|tries| tries >= 2)
    }

    /// The connection in use, else the last one there is.
    pub(super) fn connection(&self) -> Option<&Connection> {
        let connected = self.bearers.iter().find(|bearer| bearer.is_connected);
        connected.or_else(|| self.bearers.last())
    }

    /// The inverse of what ModemManager makes of +CSQ. // 3GPP TS 27.007, 8.5
    fn rough_strength(&self) -> Option<i32> {
        let percent = self.quality?;
        let steps = (f64::from(percent.min(100)) * 31.0 / 100.0).round();
        rounded(2.0f64.mul_add(steps, -113.0))
    }

    fn trouble(&self) -> Option<String> {
        let text = match (self.state, self.lock) {
            // MMModemStateFailedReason
            (State::Failed(2), _) => "there is no SIM",
            (State::Failed(3), _) => "the SIM does not work",
            (State::Failed(_), _) => "the modem does not work",
            (State::Locked, Lock::Pin) => "the SIM wants its PIN",
            (State::Locked, Lock::Puk) => "the SIM wants its PUK",
            (State::Locked, Lock::None | Lock::Other) => "the modem is locked",
            (State::Disabled, _) => "the modem is not enabled",
            (State::Unknown, _) => "the modem is not ready",
            (
                State::Enabling
                | State::Enabled
                | State::Registered
                | State::Connecting
                | State::Connected,
                _,
            ) => return self.trouble_of_network(),
        };
        Some(text.to_owned())
    }

    fn trouble_of_network(&self) -> Option<String> {
        match self.registration {
            Some(3) => return Some("the network refuses this SIM".into()),
            Some(6 | 7) => return Some("the network carries SMS only".into()),
            Some(8) => return Some("the network carries emergency calls only".into()),
            _ => {}
        }
        let connection = self.connection()?;
        let (name, text) = connection.error.as_ref()?;
        let says = if text.is_empty() { name } else { text };
        (!connection.is_connected).then(|| format!("the network says: {says}"))
    }
}

impl State {
    fn read(modem: &Bag) -> Self {
        match modem.number("State") {
            Some(-1) => Self::Failed(modem.unsigned("StateFailedReason").unwrap_or_default()),
            Some(2) => Self::Locked,
            Some(3 | 4) => Self::Disabled,
            Some(5) => Self::Enabling,
            Some(6 | 7) => Self::Enabled,
            // One that disconnects is registered still.
            Some(8 | 9) => Self::Registered,
            Some(10) => Self::Connecting,
            Some(11) => Self::Connected,
            _ => Self::Unknown,
        }
    }
}

impl Lock {
    fn read(modem: &Bag) -> Self {
        match modem.number("UnlockRequired") {
            // PIN2 and PUK2 guard what is not needed here.
            None | Some(0 | 1 | 3 | 5) => Self::None,
            Some(2) => Self::Pin,
            Some(4) => Self::Puk,
            Some(_) => Self::Other,
        }
    }
}

impl Radio {
    /// The newest of the technologies that are measured.
    fn read(signal: &Bag) -> Self {
        let new = signal.bag("Nr5g");
        let lte = signal.bag("Lte");
        let umts = signal.bag("Umts");
        let gsm = signal.bag("Gsm");
        // Cells are those of LTE where both are there: so is what is measured.
        let of = |name| {
            let values = [lte.real(name), new.real(name)];
            values.into_iter().flatten().next()
        };
        let within = |value: Option<f64>, least: f64, most: f64| {
            let value = value.filter(|value| (least..=most).contains(value))?;
            rounded(value)
        };
        let strength = of("rsrp").or_else(|| umts.real("rscp"));
        let strength = strength.or_else(|| umts.real("rssi"));
        let strength = strength.or_else(|| gsm.real("rssi"));
        Self {
            strength: within(strength, -200.0, -1.0),
            quality: within(of("rsrq"), -60.0, 40.0),
            snr: within(of("snr"), -60.0, 100.0),
        }
    }
}

impl Place {
    /// Country, network, area, cell, and area of LTE and later, in hexadecimal digits. Cells and
    /// areas of nothing but zeros or ones are unknown. // MMLocation3gpp
    fn read(location: &Bag, technologies: u32) -> Option<Self> {
        let text = location.text_under("Location", LAC_AND_CELL)?;
        let mut fields = text.split(',').skip(2);
        let mut hex = || u64::from_str_radix(fields.next()?.trim(), 16).ok();
        let (area, cell, tracking) = (hex(), hex(), hex());
        let is_known = |area: &u32| !matches!(area, 0 | 0xfffe | 0xffff | 0xff_ffff);
        let known = |area: Option<u64>| {
            let area = u32::try_from(area?).ok()?;
            Some(area).filter(is_known)
        };
        let (first, second) = if has_tracking_areas(technologies) {
            (tracking, area)
        } else {
            (area, tracking)
        };
        let place = Self {
            // 36 bit in NR, 28 in LTE. // 3GPP TS 38.413, 9.3.1.7
            cell: cell.filter(|cell| (1..1 << 36).contains(cell)),
            area: known(first).or_else(|| known(second)),
        };
        (place.cell.is_some() || place.area.is_some()).then_some(place)
    }
}

impl Sim {
    pub(super) fn read(sim: &Bag) -> Self {
        Self {
            iccid: sim.text("SimIdentifier"),
        }
    }
}

impl Connection {
    pub(super) fn read(path: &str, bearer: &Bag) -> Self {
        let wanted = bearer.bag("Properties");
        let stats = bearer.bag("Stats");
        let bytes = |total, now| {
            let number = stats.number(total).or_else(|| stats.number(now))?;
            u64::try_from(number).ok()
        };
        let received = bytes("total-rx-bytes", "rx-bytes");
        let error = bearer.structures("ConnectionError");
        let error = error.first().and_then(|fields| {
            let name = fields.first().and_then(Field::text)?;
            let text = fields.get(1).and_then(Field::text).unwrap_or_default();
            Some((name.to_owned(), text.to_owned()))
        });
        Self {
            path: path.to_owned(),
            is_connected: bearer.flag("Connected").unwrap_or_default(),
            interface: bearer.text("Interface"),
            apn: wanted.text("apn"),
            user: wanted.text("user"),
            ip_type: wanted.unsigned("ip-type"),
            auth: wanted.unsigned("allowed-auth"),
            v4: IpConfig::read(&bearer.bag("Ip4Config")),
            v6: IpConfig::read(&bearer.bag("Ip6Config")),
            bytes: received.zip(bytes("total-tx-bytes", "tx-bytes")),
            error,
        }
    }

    fn name_servers(&self) -> Vec<IpAddr> {
        if !self.is_connected {
            return Vec::new();
        }
        let both = self.v4.name_servers.iter().chain(&self.v6.name_servers);
        both.copied().collect()
    }
}

impl IpConfig {
    fn read(config: &Bag) -> Self {
        let servers = ["dns1", "dns2", "dns3"];
        Self {
            method: config.unsigned("method").unwrap_or_default(),
            address: config.address("address"),
            prefix: config
                .number("prefix")
                .and_then(|prefix| u8::try_from(prefix).ok())
                .filter(|prefix| *prefix <= 128),
            gateway: config.address("gateway"),
            name_servers: servers
                .into_iter()
                .filter_map(|name| config.address(name))
                .filter(|address| !address.is_unspecified())
                .collect(),
            mtu: config
                .unsigned("mtu")
                .filter(|mtu| (576..=65_535).contains(mtu)),
        }
    }
}

/// Code of object 4 for the bits of MMModemAccessTechnology. // lwm2m/70, object 4
fn technology(bits: u32) -> Option<u8> {
    let has = |first: u32, last: u32| (first..=last).any(|bit| bits & (1 << bit) != 0);
    // With LTE and NR at once the cell, its area and its signal are those of LTE.
    if has(14, 14) || has(16, 16) {
        Some(6)
    } else if has(15, 15) {
        Some(9)
    } else if has(17, 17) {
        Some(7)
    } else if has(10, 13) {
        Some(3)
    } else if has(5, 9) {
        Some(2)
    } else if has(1, 4) {
        Some(0)
    } else {
        None
    }
}

fn has_tracking_areas(technologies: u32) -> bool {
    matches!(technology(technologies), Some(5..=9))
}

/// Zero is what is not known, or nothing.
fn quality(modem: &Bag) -> Option<u32> {
    let quality = modem.structures("SignalQuality");
    let percent = quality.first()?.first()?.number()?;
    u32::try_from(percent).ok().filter(|percent| *percent > 0)
}

fn net_ports(modem: &Bag) -> Vec<String> {
    let ports = modem.structures("Ports").into_iter();
    let net = ports.filter_map(|port| {
        let kind = port.get(1).and_then(Field::number)?;
        let name = port.first().and_then(Field::text)?;
        (kind == PORT_NET).then(|| name.to_owned())
    });
    net.collect()
}

/// All modes that some pair allows.
fn modes(modem: &Bag) -> u32 {
    let pairs = modem.structures("SupportedModes");
    let allowed = pairs.iter().filter_map(|pair| pair.first()?.number());
    let bits = allowed.filter_map(|bits| u32::try_from(bits).ok());
    bits.fold(0, |all, bits| all | bits)
}

fn place_feature(is_there: bool, location: &Bag) -> Feature {
    let has = |name| location.unsigned(name).unwrap_or_default() & LAC_AND_CELL != 0;
    if !is_there || !has("Capabilities") {
        return Feature::Absent;
    }
    if has("Enabled") && location.flag("SignalsLocation") == Some(true) {
        Feature::On
    } else {
        Feature::Off
    }
}

fn signal_feature(is_there: bool, signal: &Bag) -> Feature {
    match (is_there, signal.unsigned("Rate")) {
        (false, _) => Feature::Absent,
        (true, Some(1..)) => Feature::On,
        (true, Some(0) | None) => Feature::Off,
    }
}

/// Country of three digits, network of two or three.
fn is_operator(code: &str) -> bool {
    matches!(code.len(), 5 | 6) && code.bytes().all(|c| c.is_ascii_digit())
}

fn rounded(value: f64) -> Option<i32> {
    value.is_finite().then(|| value.round() as i32)
}

#[cfg(test)]
mod tests;
