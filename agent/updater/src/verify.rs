//! Whether a package may be installed: signature first, and nothing of it is looked at before.

use std::{fs::File, io, path::Path};

use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::{
    commands::{self, Ran},
    container::{Container, NoContainer},
    files,
    handover::Reason,
    settings::Installer,
};

/// Name of our package.
pub const NAME: &str = "lamplighter";
/// In the trusted comment: the installed version that this package may replace although it is older.
const DOWNGRADE: &str = "downgrade-from:";
/// In the trusted comment of packages that are not Debian's.
const VERSION: &str = "version:";
const COMPATIBLE: &str = "architecture:";

/// A package with the right signature, for this box.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// The version that it may replace although it is older.
    pub downgrade_from: Option<String>,
}

/// Why it is refused, and in words.
pub type Refusal = (Reason, String);

/// Takes the package out of a container, checks its signature, name and architecture. It stands in
/// `to` then, whatever becomes of the container.
///
/// # Errors
/// Why it is refused; `to` may hold anything then.
pub fn extract(
    container: &Path,
    to: &Path,
    key: &PublicKey,
    installer: &Installer,
    max_size: u64,
) -> Result<Package, Refusal> {
    let mut file = files::open(container, max_size).map_err(unreadable)?;
    let parts = Container::open(&mut file).map_err(|error| match error {
        NoContainer::Broken(what) => (Reason::Unsupported, format!("no package: {what}")),
        NoContainer::Io(error) => unreadable(error),
    })?;
    let mut package = parts.package(&mut file).map_err(unreadable)?;
    files::copy(&mut package, to, max_size, 0o600).map_err(unreadable)?;
    let comment = signed(to, &parts.signature, key)?;
    let word = |name: &str| {
        let mut words = comment.split_whitespace();
        words.find_map(|word| word.strip_prefix(name).map(str::to_owned))
    };
    let (name, version, architecture) = match installer {
        Installer::Deb => fields(to)?,
        Installer::Image(_) => (
            NAME.to_owned(),
            word(VERSION).ok_or_else(|| lacks(VERSION))?,
            word(COMPATIBLE).ok_or_else(|| lacks(COMPATIBLE))?,
        ),
    };
    if name != NAME {
        let words = format!("the package is {name}, not {NAME}");
        return Err((Reason::Unsupported, words));
    }
    let here = commands::architecture().map_err(unreadable)?;
    if architecture != here && architecture != "all" {
        let words = format!("the package is for {architecture}, this box is {here}");
        return Err((Reason::Unsupported, words));
    }
    Ok(Package {
        name,
        version,
        downgrade_from: word(DOWNGRADE),
    })
}

/// Whether it may replace the installed version.
///
/// # Errors
/// Why not.
pub fn may_replace(package: &Package, installed: &str) -> Result<(), Refusal> {
    let is_meant = package.downgrade_from.as_deref() == Some(installed);
    if is_meant || !commands::is_older(&package.version, installed).map_err(unreadable)? {
        return Ok(());
    }
    let words = format!(
        "version {} is older than the installed {installed}, and not signed to replace it",
        package.version
    );
    Err((Reason::Downgrade, words))
}

/// The comment that is signed with it.
fn signed(package: &Path, signature: &str, key: &PublicKey) -> Result<String, Refusal> {
    let refused = |words: &str| (Reason::Integrity, words.to_owned());
    let signature =
        Signature::decode(signature).map_err(|_| refused("the signature is none of minisign"))?;
    let mut verifier = key
        .verify_stream(&signature)
        .map_err(|_| refused("it is signed by another key, or in the old form of minisign"))?;
    let mut file = File::open(package).map_err(unreadable)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match io::Read::read(&mut file, &mut buffer).map_err(unreadable)? {
            0 => break,
            length => verifier.update(&buffer[..length]),
        }
    }
    verifier
        .finalize()
        .map_err(|_| refused("the signature does not fit to the package"))?;
    Ok(signature.trusted_comment().to_owned())
}

/// Name, version and architecture of a Debian package.
fn fields(package: &Path) -> Result<(String, String, String), Refusal> {
    let wanted = ["Package", "Version", "Architecture"];
    let ran = commands::run("dpkg-deb", |command| {
        command.arg("-f").arg(package).args(wanted)
    });
    let Ran { output, .. } = ran
        .and_then(Ran::succeeded)
        .map_err(|error| (Reason::Unsupported, format!("no Debian package: {error}")))?;
    let field = |name: &str| {
        let mut lines = output.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned).ok_or_else(|| lacks(name))
    };
    let [name, version, architecture] = wanted.map(field);
    Ok((name?, version?, architecture?))
}

fn lacks(what: &str) -> Refusal {
    (Reason::Unsupported, format!("the package lacks {what}"))
}

fn unreadable(error: io::Error) -> Refusal {
    let no_space = [
        io::ErrorKind::FileTooLarge,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::StorageFull,
    ];
    let reason = if no_space.contains(&error.kind()) {
        Reason::NoSpace
    } else {
        Reason::Integrity
    };
    (reason, error.to_string())
}
