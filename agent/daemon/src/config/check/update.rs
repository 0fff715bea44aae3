//! `[update]`.

use lamplighter_updater::settings::{self, Installer};

use super::{Checker, below, key};
use crate::config::{Update, schema};

const CA: &str = "/etc/ssl/certs/ca-certificates.crt";
const LONGEST: u32 = 24 * 3600;

impl Checker<'_> {
    pub(super) fn update(&mut self, update: &schema::Update) -> Option<Update> {
        let at = key(&["update"]);
        if let Some(seconds) = update.prove_s {
            self.within(&below(&at, "prove_s"), seconds, 0, LONGEST);
        }
        let max_size = match &update.max_size {
            None => Some(settings::MAX_SIZE),
            Some(text) => self.size(&below(&at, "max_size"), text),
        };
        let ca = self.absolute(&below(&at, "ca"), update.ca.as_deref().unwrap_or(CA));
        let name = update.installer.as_deref().unwrap_or("deb");
        let command = update.command.as_deref().unwrap_or_default();
        let installer = Installer::new(name, command);
        let installer = installer.map_err(|why| {
            let hint = "deb, rauc, swupdate, or script with a command";
            self.error(&below(&at, "installer"), why, hint);
        });
        let Some(path) = &update.key else {
            self.missing(
                &at,
                "key",
                "the file of minisign with the public key: update.pub",
            );
            return None;
        };
        let at = below(&at, "key");
        let path = self.absolute(&at, path)?;
        let key = settings::key(&path).map_err(|why| {
            let what = format!("{}: {why}", path.display());
            self.error(
                &at,
                what,
                "minisign -G makes a pair of keys; the public one belongs here",
            );
        });
        Some(Update {
            key: key.ok()?,
            installer: installer.ok()?,
            max_size: max_size?,
            metered: update.metered.unwrap_or(false),
            ca: ca?,
        })
    }
}
