//! Secrets by reference. The configuration names them; their content stands in files of mode 0600.

use std::{
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const MAX_BYTES: u64 = 64 << 10;
/// The file of Debian has 0.2 MB.
const AUTHORITIES_MAX: u64 = 1 << 20;
const MAX_NAME: usize = 64;
const PREFIXES: &str = "hex:, base64: or text:";
/// How a key in PEM begins, which says itself what it is.
const PEM: &[u8] = b"-----BEGIN ";

use crate::atomic;

/// Where a secret is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reference {
    /// `credential:NAME`: from systemd, or `credentials/NAME` beside the configuration.
    Credential(String),
    /// An absolute path.
    File(PathBuf),
}

/// Where credentials lie.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Shelf {
    /// What systemd passes in `CREDENTIALS_DIRECTORY`.
    pub from_systemd: Option<PathBuf>,
    /// `credentials/` beside the configuration.
    pub beside: PathBuf,
}

/// The content of a secret. Never printed, and wiped from memory when it is dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a text is not a reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    #[error("a secret does not stand in the configuration itself")]
    Inline,
    #[error("a credential's name has 1 to 64 letters, digits, dots, - and _")]
    Name,
}

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("is empty")]
    Empty,
    #[error("has mode {0:04o}: others can read it")]
    Mode(u32),
    #[error("does not begin with {PREFIXES}")]
    Prefix,
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("is not what its prefix says")]
    Syntax,
    #[error("has more than {MAX_BYTES} bytes")]
    TooLong,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if let Some(name) = text.strip_prefix("credential:") {
            return Ok(Self::Credential(credential_name(name)?.to_owned()));
        }
        if text.starts_with('/') {
            Ok(Self::File(PathBuf::from(text)))
        } else {
            Err(ReferenceError::Inline)
        }
    }

    /// The file of the secret; systemd's comes first.
    pub(super) fn path(&self, shelf: &Shelf) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => shelf
                .from_systemd
                .as_ref()
                .map(|directory| directory.join(name))
                .filter(|path| path.exists())
                .unwrap_or_else(|| shelf.beside.join(name)),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Shelf {
    /// The places that belong to a main configuration file.
    pub fn beside(main: &Path, from_systemd: Option<PathBuf>) -> Self {
        Self {
            from_systemd,
            beside: main.with_file_name("credentials"),
        }
    }
}

impl SecretError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Prefix | Self::Syntax => {
                "`lamplighter secret set NAME` writes it as it must be"
            }
            Self::Mode(_) => "chmod 600",
            Self::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                "write it with `lamplighter secret set NAME`"
            }
            Self::Read(_) => "it must belong to the user of the service",
            Self::TooLong => "",
        }
    }
}

impl Secret {
    /// Decodes `hex:…`, `base64:…` or `text:…`; newlines at the end, which editors and
    /// shells leave there, are cut. A key in PEM is taken as it stands.
    pub fn decode(content: &[u8]) -> Result<Self, SecretError> {
        if content.starts_with(PEM) {
            return Ok(Self(Zeroizing::new(content.to_vec())));
        }
        let content = std::str::from_utf8(content).map_err(|_| SecretError::Prefix)?;
        let content = content.trim_end_matches(['\r', '\n']);
        let bytes = if let Some(hex) = content.strip_prefix("hex:") {
            decode_hex(hex).ok_or(SecretError::Syntax)?
        } else if let Some(base64) = content.strip_prefix("base64:") {
            STANDARD.decode(base64).map_err(|_| SecretError::Syntax)?
        } else if let Some(text) = content.strip_prefix("text:") {
            text.as_bytes().to_vec()
        } else {
            return Err(SecretError::Prefix);
        };
        if bytes.is_empty() {
            Err(SecretError::Empty)
        } else {
            Ok(Self(Zeroizing::new(bytes)))
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells two secrets apart without showing either: the first 8 bytes of SHA-256.
    pub fn fingerprint(&self) -> String {
        Sha256::digest(&self.0)
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl From<Vec<u8>> for Secret {
    fn from(content: Vec<u8>) -> Self {
        Self(Zeroizing::new(content))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Reads and decodes a secret.
pub fn read(reference: &Reference, shelf: &Shelf) -> Result<Secret, SecretError> {
    let file = fs::File::open(reference.path(shelf))?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    // 0400 is what systemd gives; anything for group or others is refused.
    if mode & !0o600 != 0 {
        return Err(SecretError::Mode(mode));
    }
    Secret::decode(&limited(file)?)
}

/// Reads what everybody may know, a certificate for instance, as it stands.
pub fn read_public(reference: &Reference, shelf: &Shelf) -> Result<Vec<u8>, SecretError> {
    let content = limited(fs::File::open(reference.path(shelf))?)?;
    if content.is_empty() {
        return Err(SecretError::Empty);
    }
    Ok(content.to_vec())
}

/// As [`read_public`], for all authorities that a system trusts.
pub fn read_authorities(reference: &Reference, shelf: &Shelf) -> Result<Vec<u8>, SecretError> {
    let mut content = Vec::new();
    let file = fs::File::open(reference.path(shelf))?;
    file.take(AUTHORITIES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > AUTHORITIES_MAX {
        return Err(SecretError::TooLong);
    }
    Some(content)
        .filter(|content| !content.is_empty())
        .ok_or(SecretError::Empty)
}

fn limited(file: fs::File) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    // Of its full size at once: a vector that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(SecretError::TooLong);
    }
    Ok(content)
}

/// Checks and writes `credentials/NAME` beside the configuration, mode 0600.
pub fn write(name: &str, content: &[u8], shelf: &Shelf) -> Result<(PathBuf, Secret), SecretError> {
    if content.len() as u64 > MAX_BYTES {
        return Err(SecretError::TooLong);
    }
    let secret = Secret::decode(content)?;
    atomic::private_directory(&shelf.beside)?;
    let path = shelf.beside.join(name);
    let end = content.iter().rposition(|byte| !b"\r\n".contains(byte));
    atomic::write(&path, &content[..end.map_or(0, |end| end + 1)], 0o600)?;
    Ok((path, secret))
}

/// The name of a credential, which becomes the name of a file.
pub fn credential_name(name: &str) -> Result<&str, ReferenceError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('.')
        && name.bytes().all(fits);
    if is_name {
        Ok(name)
    } else {
        Err(ReferenceError::Name)
    }
}

pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_says_how_a_secret_is_written() {
        for (content, bytes) in [
            ("hex:00ff\n", &b"\x00\xff"[..]),
            ("base64:AP8=\r\n", b"\x00\xff"),
            ("base64:AP8=\n\n", b"\x00\xff"),
            ("text: a \n", b" a "),
        ] {
            assert_eq!(Secret::decode(content.as_bytes()).unwrap().bytes(), bytes);
        }
        let pem = b"-----BEGIN PRIVATE KEY-----\n";
        assert_eq!(Secret::decode(pem).unwrap().bytes(), pem);
        assert!(matches!(Secret::decode(b"abc"), Err(SecretError::Prefix)));
        assert!(matches!(Secret::decode(b"hex:0"), Err(SecretError::Syntax)));
        assert!(matches!(
            Secret::decode(b"hex:+1"),
            Err(SecretError::Syntax)
        ));
        assert!(matches!(
            Secret::decode(b"text:\n"),
            Err(SecretError::Empty)
        ));
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory =
            std::env::temp_dir().join(format!("lamplighter-secret-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let shelf = Shelf {
            from_systemd: Some(directory.join("systemd")),
            beside: directory.join("credentials"),
        };
        let reference = Reference::parse("credential:key").unwrap();
        assert!(matches!(
            read(&reference, &shelf),
            Err(SecretError::Read(_))
        ));
        let (path, secret) = write("key", b"text:swordfish\n", &shelf).unwrap();
        assert_eq!(read(&reference, &shelf).unwrap(), secret);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            read(&reference, &shelf),
            Err(SecretError::Mode(0o640))
        ));
        // What systemd passes comes first.
        fs::create_dir(directory.join("systemd")).unwrap();
        fs::rename(path, directory.join("systemd/key")).unwrap();
        fs::set_permissions(
            directory.join("systemd/key"),
            fs::Permissions::from_mode(0o400),
        )
        .unwrap();
        assert_eq!(read(&reference, &shelf).unwrap().bytes(), b"swordfish");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_credential_cannot_leave_its_directory() {
        assert!(Reference::parse("credential:client-key").is_ok());
        for wrong in [
            "credential:",
            "credential:../x",
            "credential:a/b",
            "credential:.x",
        ] {
            assert_eq!(
                Reference::parse(wrong),
                Err(ReferenceError::Name),
                "{wrong}"
            );
        }
        assert_eq!(Reference::parse("swordfish"), Err(ReferenceError::Inline));
    }
}
