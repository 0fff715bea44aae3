//! `[update]` of the agent's configuration, as the updater reads it: from the files only, which belong
//! to root. The agent checks them; here what cannot be understood is refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use minisign_verify::PublicKey;
use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item};

use crate::files;

/// Largest configuration file that is read.
const MAX_FILE: u64 = 4 << 20;
const MAX_KEY: u64 = 4 << 10;
/// How long a new version has to prove itself, where nothing is configured.
pub const PROVE: Duration = Duration::from_secs(300);
/// Largest package, where nothing is configured.
pub const MAX_SIZE: u64 = 64 << 20;

/// What the updater needs of `[update]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub key: PublicKey,
    pub installer: Installer,
    /// How long a new version has to prove itself.
    pub prove: Duration,
    /// Largest package.
    pub max_size: u64,
}

/// Who installs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Installer {
    /// dpkg, here.
    Deb,
    /// A system that installs images and starts them by a reboot.
    Image(Image),
}

/// The commands of such a system; the file is added to the first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Image {
    pub install: Vec<String>,
    /// What runs is to stay.
    pub good: Vec<String>,
    /// What was before is to come back.
    pub bad: Vec<String>,
    /// After `install` and after `bad`. Empty: the commands see to it themselves.
    pub restart: Vec<String>,
}

impl Installer {
    /// By the words of the configuration. `command`: of `script`.
    ///
    /// # Errors
    /// For people.
    pub fn new(name: &str, command: &[String]) -> Result<Self, String> {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let script = |verb: &str| [command, &[verb.to_owned()]].concat();
        let restart = || words("systemctl reboot");
        match (name, command) {
            ("deb" | "rauc" | "swupdate", [_, ..]) => {
                Err("a command belongs to installer = \"script\"".to_owned())
            }
            ("deb", []) => Ok(Self::Deb),
            ("rauc", []) => Ok(Self::Image(Image {
                install: words("rauc install"),
                good: words("rauc status mark-good"),
                bad: words("rauc status mark-bad"),
                restart: restart(),
            })),
            ("swupdate", []) => Ok(Self::Image(Image {
                install: words("swupdate -i"),
                good: words("swupdate-sysrestart --good"),
                bad: words("swupdate-sysrestart --bad"),
                restart: restart(),
            })),
            ("script", []) => Err("installer = \"script\" needs a command".to_owned()),
            ("script", [program, ..]) if !program.starts_with('/') => {
                Err("a command begins with an absolute path".to_owned())
            }
            ("script", _) => Ok(Self::Image(Image {
                install: script("install"),
                good: script("good"),
                bad: script("rollback"),
                restart: Vec::new(),
            })),
            (other, _) => Err(format!(
                "`{other}` is none of deb, rauc, swupdate and script"
            )),
        }
    }
}

/// The key in a file that minisign wrote, or that holds nothing but the key.
///
/// # Errors
/// For people.
pub fn key(path: &Path) -> Result<PublicKey, String> {
    let content = files::read(path, MAX_KEY).map_err(|error| format!("cannot read it: {error}"))?;
    let text = String::from_utf8(content).map_err(|_| "it holds no text".to_owned())?;
    let key = PublicKey::decode(&text).or_else(|_| PublicKey::from_base64(text.trim()));
    key.map_err(|_| "it holds no public key of minisign".to_owned())
}

impl Settings {
    /// Reads the main file and the drop-ins beside it, which win in the order of their names.
    ///
    /// # Errors
    /// For people.
    pub fn read(main: &Path) -> Result<Self, String> {
        let mut table = Table::default();
        for path in files_of(main).map_err(|error| format!("{}: {error}", main.display()))? {
            let content = files::read(&path, MAX_FILE)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let text = String::from_utf8_lossy(&content);
            let document: DocumentMut = text
                .parse()
                .map_err(|_| format!("{} is not TOML", path.display()))?;
            if let Some(update) = document.get("update") {
                table.take(update)?;
            }
        }
        table.into_settings()
    }
}

/// `update.…` as written.
#[derive(Default)]
struct Table {
    key: Option<String>,
    installer: Option<String>,
    command: Vec<String>,
    prove_s: Option<i64>,
    max_size: Option<String>,
}

impl Table {
    fn take(&mut self, update: &Item) -> Result<(), String> {
        let wrong = |key: &str| format!("update.{key} has the wrong type");
        let text = |item: &Item, key: &str| {
            let text = item.as_str().map(str::to_owned);
            text.ok_or_else(|| wrong(key)).map(Some)
        };
        if let Some(item) = update.get("key") {
            self.key = text(item, "key")?;
        }
        if let Some(item) = update.get("installer") {
            self.installer = text(item, "installer")?;
        }
        if let Some(item) = update.get("max_size") {
            self.max_size = text(item, "max_size")?;
        }
        if let Some(item) = update.get("prove_s") {
            let seconds = item.as_integer();
            self.prove_s = Some(seconds.ok_or_else(|| wrong("prove_s"))?);
        }
        if let Some(item) = update.get("command") {
            let words = item.as_array().ok_or_else(|| wrong("command"))?.iter();
            let words = words.map(|word| word.as_str().map(str::to_owned));
            let words: Option<Vec<String>> = words.collect();
            self.command = words.ok_or_else(|| wrong("command"))?;
        }
        Ok(())
    }

    fn into_settings(self) -> Result<Settings, String> {
        let path = self.key.ok_or("no update.key is configured")?;
        let path = PathBuf::from(path);
        let key = key(&path).map_err(|why| format!("update.key, {}: {why}", path.display()))?;
        let installer = self.installer.as_deref().unwrap_or("deb");
        let prove = match self.prove_s {
            None => PROVE,
            Some(seconds) => u64::try_from(seconds)
                .map(Duration::from_secs)
                .map_err(|_| "update.prove_s is below 0")?,
        };
        let max_size = match self.max_size {
            None => MAX_SIZE,
            Some(text) => size(&text).ok_or_else(|| format!("update.max_size: `{text}`"))?,
        };
        Ok(Settings {
            key,
            installer: Installer::new(installer, &self.command)
                .map_err(|why| format!("update.installer: {why}"))?,
            prove,
            max_size,
        })
    }
}

/// `64MiB`
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let factor: u64 = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn files_of(main: &Path) -> io::Result<Vec<PathBuf>> {
    let mut drop_ins = Vec::new();
    let directory = main
        .parent()
        .unwrap_or_else(|| Path::new("."))
        .join("conf.d");
    match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "toml")
                {
                    drop_ins.push(path);
                }
            }
        }
    }
    drop_ins.sort();
    let mut files = vec![main.to_owned()];
    files.append(&mut drop_ins);
    Ok(files)
}
