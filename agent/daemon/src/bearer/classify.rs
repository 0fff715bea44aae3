//! Of what kind an interface is, by what sysfs says of its driver and device.
//!
//! A stick that is a router of its own looks like a phone, and the cable of a phone like any other:
//! where that matters the configuration names the interface.

use std::{fs, path::Path};

use crate::config::BearerKind;

/// Phones that share their connection by USB.
const TETHER: [&str; 5] = ["cdc_eem", "cdc_ether", "cdc_ncm", "ipheth", "rndis_host"];
const MODEM: [&str; 13] = [
    "GobiNet",
    "bam-dmux",
    "cdc_mbim",
    "hso",
    "huawei_cdc_ncm",
    "iosm",
    "mhi_net",
    "mhi_wwan_mbim",
    "mtk_t7xx",
    "qmi_wwan",
    "qmi_wwan_q",
    "rmnet",
    "sierra_net",
];

// include/uapi/linux/if_arp.h
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_PPP: u16 = 512;
const ARPHRD_RAWIP: u16 = 519;

/// What can be seen of an interface.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Signs {
    /// Of the device; virtual interfaces have none.
    pub(crate) driver: Option<String>,
    /// `DEVTYPE` of the uevent.
    pub(crate) device_type: Option<String>,
    /// `ARPHRD_*`
    pub(crate) hardware: u16,
    pub(crate) has_device: bool,
    pub(crate) is_wireless: bool,
}

/// `None`: no way out of the box by itself (a bridge, a tunnel, one end of a pair), or unknown.
pub(crate) fn kind(sysfs: &Path, interface: &str) -> Option<BearerKind> {
    Signs::of(sysfs, interface).kind()
}

/// Whether an interface of this kind serves a bearer of that kind. A phone's wireless LAN looks like
/// any other.
pub(crate) const fn fits(found: BearerKind, wanted: BearerKind) -> bool {
    use BearerKind::{Cellular, Ethernet, TetherBluetooth, TetherUsb, TetherWifi, Wifi};
    matches!(
        (found, wanted),
        (Cellular, Cellular)
            | (Ethernet, Ethernet)
            | (TetherBluetooth, TetherBluetooth)
            | (TetherUsb, TetherUsb)
            | (TetherWifi | Wifi, TetherWifi | Wifi)
    )
}

impl Signs {
    pub(crate) fn of(sysfs: &Path, interface: &str) -> Self {
        let class = sysfs.join("class/net").join(interface);
        let device = class.join("device");
        let driver = fs::read_link(device.join("driver")).ok();
        let driver = driver.as_deref().and_then(Path::file_name);
        let event = fs::read_to_string(class.join("uevent")).unwrap_or_default();
        let device_type = event.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
        let hardware = fs::read_to_string(class.join("type")).unwrap_or_default();
        Self {
            driver: driver.map(|name| name.to_string_lossy().into_owned()),
            device_type: device_type.map(str::to_owned),
            hardware: hardware.trim().parse().unwrap_or_default(),
            has_device: device.exists(),
            is_wireless: class.join("phy80211").exists() || class.join("wireless").exists(),
        }
    }

    pub(crate) fn kind(&self) -> Option<BearerKind> {
        let driver = self.driver.as_deref().unwrap_or_default();
        match self.device_type.as_deref() {
            Some("wwan") => return Some(BearerKind::Cellular),
            Some("bluetooth") => return Some(BearerKind::TetherBluetooth),
            // The other end of the cable is somebody else's way out.
            Some("gadget") => return None,
            Some(_) | None => (),
        }
        if MODEM.contains(&driver) {
            return Some(BearerKind::Cellular);
        }
        match self.hardware {
            ARPHRD_PPP | ARPHRD_RAWIP => Some(BearerKind::Cellular),
            ARPHRD_ETHER if self.is_wireless => Some(BearerKind::Wifi),
            ARPHRD_ETHER if TETHER.contains(&driver) => Some(BearerKind::TetherUsb),
            ARPHRD_ETHER if driver == "bnep" => Some(BearerKind::TetherBluetooth),
            ARPHRD_ETHER if self.has_device => Some(BearerKind::Ethernet),
            _ => None,
        }
    }

    /// For people: what it was judged by.
    pub(crate) fn describe(&self) -> String {
        let kind = match self.kind() {
            Some(kind) => format!("looks like {}", kind.as_str()),
            None => "is no way out by itself".to_owned(),
        };
        match (&self.driver, &self.device_type) {
            (Some(driver), _) => format!("{kind}, driver {driver}"),
            (None, Some(device_type)) => format!("{kind}, {device_type}"),
            (None, None) => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use super::*;

    /// An interface as sysfs shows it; an empty driver: no device.
    fn put(sysfs: &Path, name: &str, driver: &str, device_type: &str, hardware: u16) -> PathBuf {
        let class = sysfs.join("class/net").join(name);
        fs::create_dir_all(&class).unwrap();
        let event = if device_type.is_empty() {
            format!("INTERFACE={name}\nIFINDEX=3\n")
        } else {
            format!("DEVTYPE={device_type}\nINTERFACE={name}\nIFINDEX=3\n")
        };
        let put = |file: &str, text: String| {
            crate::atomic::write(&class.join(file), text.as_bytes(), 0o644).unwrap();
        };
        put("uevent", event);
        put("type", format!("{hardware}\n"));
        if !driver.is_empty() {
            fs::create_dir_all(class.join("device")).unwrap();
            let target = format!("../../../bus/x/drivers/{driver}");
            symlink(target, class.join("device/driver")).unwrap();
        }
        class
    }

    #[test]
    fn drivers_and_device_types_tell_the_kind() {
        use BearerKind::{Cellular, Ethernet, TetherBluetooth, TetherUsb, Wifi};
        let sysfs = crate::fake::directory("classify");
        for (name, driver, device_type, hardware, expected) in [
            ("eth0", "bcmgenet", "", 1, Some(Ethernet)),
            ("eth1", "r8152", "", 1, Some(Ethernet)),
            ("usb0", "rndis_host", "", 1, Some(TetherUsb)),
            ("usb1", "cdc_ncm", "", 1, Some(TetherUsb)),
            ("usb2", "cdc_ether", "", 1, Some(TetherUsb)),
            ("enx0", "ipheth", "", 1, Some(TetherUsb)),
            // A modem by the driver of phones says what it is.
            ("wwan1", "cdc_ether", "wwan", 1, Some(Cellular)),
            ("wlan0", "brcmfmac", "wlan", 1, Some(Wifi)),
            ("wlan1", "rtl8xxxu", "", 1, Some(Wifi)),
            ("bnep0", "", "bluetooth", 1, Some(TetherBluetooth)),
            ("wwan0", "qmi_wwan", "wwan", 65_534, Some(Cellular)),
            ("wwan2", "qmi_wwan", "", 1, Some(Cellular)),
            ("wwan3", "cdc_mbim", "wwan", 1, Some(Cellular)),
            ("wwan4", "huawei_cdc_ncm", "wwan", 1, Some(Cellular)),
            ("mhi0", "mhi_net", "", 519, Some(Cellular)),
            ("rmnet0", "", "", 519, Some(Cellular)),
            ("ppp0", "", "ppp", 512, Some(Cellular)),
            ("br0", "", "bridge", 1, None),
            ("veth0", "", "", 1, None),
            ("tun0", "", "", 65_534, None),
            ("wg0", "", "wireguard", 65_534, None),
            ("can0", "mcp251x", "", 280, None),
            // The box is the phone here.
            ("usb9", "configfs-gadget", "gadget", 1, None),
            ("mon0", "ath9k", "wlan", 803, None),
        ] {
            let class = put(&sysfs, name, driver, device_type, hardware);
            if expected == Some(Wifi) {
                fs::create_dir_all(class.join("phy80211")).unwrap();
            }
            assert_eq!(kind(&sysfs, name), expected, "{name}");
        }
        assert_eq!(kind(&sysfs, "gone0"), None);
        fs::remove_dir_all(sysfs).unwrap();
    }

    #[test]
    fn nonsense_in_sysfs_is_no_kind() {
        let sysfs = crate::fake::directory("classify-nonsense");
        let class = put(&sysfs, "odd0", "", "", 1);
        crate::atomic::write(&class.join("type"), b"\xff\xfe what", 0o644).unwrap();
        crate::atomic::write(&class.join("uevent"), b"DEVTYPE\n=\n\xff", 0o644).unwrap();
        assert_eq!(kind(&sysfs, "odd0"), None);
        assert_eq!(kind(&sysfs, "../../etc"), None);
        fs::remove_dir_all(sysfs).unwrap();
    }

    #[test]
    fn a_wireless_lan_may_be_that_of_a_phone_and_nothing_else_is_mixed_up() {
        use BearerKind::{Cellular, Ethernet, TetherBluetooth, TetherUsb, TetherWifi, Wifi};
        let all = [
            Cellular,
            Ethernet,
            TetherBluetooth,
            TetherUsb,
            TetherWifi,
            Wifi,
        ];
        for found in all {
            for wanted in all {
                let is_wireless = |kind| matches!(kind, TetherWifi | Wifi);
                let expected = found == wanted || is_wireless(found) && is_wireless(wanted);
                assert_eq!(fits(found, wanted), expected, "{found:?} {wanted:?}");
            }
        }
    }
}
