//! What the board says of itself. The endpoint name comes from here by default, and never from a
//! file that a cloned memory card carries along, such as the machine id.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Facts that stay when the memory card is exchanged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hardware {
    /// The serial and where it was found.
    pub serial: Option<(String, String)>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
}

impl Hardware {
    /// Looks below `root`, which is `/` but in tests.
    pub fn read(root: &Path) -> Self {
        let at = |path: &str| root.join(path);
        let device_tree = text(&at("proc/device-tree/serial-number"))
            .map(|serial| (serial, "the board's serial number"));
        let serial = device_tree
            .or_else(|| {
                Some((
                    text(&at("sys/class/dmi/id/product_uuid"))?,
                    "the machine's UUID (DMI)",
                ))
            })
            .filter(|(serial, _)| is_serial(serial))
            .map(|(serial, source)| (serial, source.to_owned()))
            .or_else(|| permanent_mac(&at("sys/class/net")));
        Self {
            serial,
            manufacturer: text(&at("sys/class/dmi/id/sys_vendor")),
            model: text(&at("proc/device-tree/model"))
                .or_else(|| text(&at("sys/class/dmi/id/product_name"))),
        }
    }

    /// The endpoint name made from the serial, and why it is this one.
    pub fn endpoint(&self) -> Option<(String, String)> {
        let (serial, source) = self.serial.as_ref()?;
        let letters = serial
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase();
        Some((format!("lamplighter-{letters}"), source.clone()))
    }
}

/// Makers leave zeros, ones or a text behind when they do not fill it in.
fn is_serial(serial: &str) -> bool {
    let digits: Vec<char> = serial.chars().filter(char::is_ascii_alphanumeric).collect();
    let has_hex_only = digits.iter().all(char::is_ascii_hexdigit);
    has_hex_only && digits.len() >= 6 && digits.iter().any(|digit| *digit != digits[0])
}

/// The address burnt into the first network card, in the order of the names.
fn permanent_mac(directory: &Path) -> Option<(String, String)> {
    let mut cards: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    cards.sort();
    cards.into_iter().find_map(|card| {
        // Documentation/ABI/testing/sysfs-class-net: 0 is permanent, 1 random, 2 stolen, 3 set.
        let is_permanent =
            text(&card.join("addr_assign_type"))? == "0" && card.join("device").exists();
        let mac = text(&card.join("address")).filter(|mac| is_permanent && is_serial(mac))?;
        let name = card.file_name()?.to_string_lossy().into_owned();
        Some((mac, format!("the permanent MAC address of {name}")))
    })
}

/// A line of a kernel file; device-tree texts end with NUL.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
    (!text.is_empty() && text.len() <= 128).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::symlink};

    use super::*;

    fn board(name: &str, files: &[(&str, &str)]) -> Hardware {
        let root = std::env::temp_dir().join(format!("lamplighter-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        let hardware = Hardware::read(&root);
        fs::remove_dir_all(root).unwrap();
        hardware
    }

    #[test]
    fn a_board_is_named_after_its_serial_number() {
        let files = [
            ("proc/device-tree/serial-number", "10000000ABCD1234\0"),
            ("proc/device-tree/model", "Some Board 5\0"),
        ];
        let board = board("device-tree", &files);
        assert_eq!(board.endpoint().unwrap().0, "lamplighter-10000000abcd1234");
        assert_eq!(board.model.as_deref(), Some("Some Board 5"));
    }

    #[test]
    fn a_machine_is_named_after_its_uuid_unless_nobody_filled_it_in() {
        let uuid = board(
            "dmi",
            &[(
                "sys/class/dmi/id/product_uuid",
                "4c4c4544-0042-3510-8053-b4c04f4d3732\n",
            )],
        );
        assert_eq!(
            uuid.endpoint().unwrap().0,
            "lamplighter-4c4c4544004235108053b4c04f4d3732"
        );
        for wrong in [
            "00000000-0000-0000-0000-000000000000",
            "To be filled by O.E.M.",
            "123",
        ] {
            assert_eq!(
                board("dmi-empty", &[("sys/class/dmi/id/product_uuid", wrong)]).serial,
                None,
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_first_permanent_mac_is_the_last_resort() {
        let root = std::env::temp_dir().join(format!("lamplighter-mac-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (card, kind, mac) in [
            ("docker0", "3", "02:42:00:00:00:01"),
            ("eth1", "0", "b8:27:eb:01:02:03"),
            ("lo", "0", "00:00:00:00:00:00"),
        ] {
            let card = root.join("sys/class/net").join(card);
            fs::create_dir_all(&card).unwrap();
            for (name, text) in [("addr_assign_type", kind), ("address", mac)] {
                fs::File::create(card.join(name))
                    .unwrap()
                    .write_all(text.as_bytes())
                    .unwrap();
            }
            symlink("/", card.join("device")).unwrap();
        }
        let hardware = Hardware::read(&root);
        fs::remove_dir_all(root).unwrap();
        let (name, source) = hardware.endpoint().unwrap();
        assert_eq!(
            (name.as_str(), source.as_str()),
            (
                "lamplighter-b827eb010203",
                "the permanent MAC address of eth1"
            )
        );
    }
}
