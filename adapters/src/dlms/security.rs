//! How a meter is asked to believe us.

use std::fmt;

use dlms_cosem_rs::{
    acse::AuthMechanism,
    codec::{Error, ErrorKind, Result as CodecResult},
    security::{KeyRing, RandomSource, RustCryptoProvider, SecurityPolicy, SecuritySuite},
};
use zeroize::Zeroizing;

/// Authentication and encryption of an association.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Security {
    None,
    /// Low level: the password goes over the line in clear.
    Password(Secret),
    /// High level with GMAC, everything authenticated and encrypted (suite 0, AES-128).
    Gmac {
        encryption_key: Key,
        authentication_key: Key,
        /// Ours; no other client of this meter may have it.
        system_title: [u8; 8],
    },
}

/// Something that is never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// A key of AES-128, never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Key(Zeroizing<[u8; 16]>);

/// The numbers that make each message under a key unlike any other. One that is used twice gives the
/// key away, so they are kept before they are used.
pub trait Counter: Send + Sync + 'static {
    /// Takes `count` numbers that were never given before and are above what the meter has `seen`: the
    /// first of them, kept for good when this returns. May wait for a disk.
    ///
    /// # Errors
    /// They cannot be kept, or there are none left.
    fn reserve(&self, seen: u32, count: u32) -> Result<u32, CounterError>;

    /// No message had the numbers from `unused` up to `end`, which were the last of a reservation.
    fn give_back(&self, unused: u32, end: u32);
}

/// Why no numbers could be reserved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CounterError(pub String);

impl Secret {
    /// Most bytes of a password.
    pub const MAX: usize = 64;

    /// `None` where it is empty or too long.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = !bytes.is_empty() && bytes.len() <= Self::MAX;
        fits.then(|| Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl Key {
    /// `None` where it does not have 16 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(
            *bytes.first_chunk().filter(|_| bytes.len() == 16)?,
        )))
    }
}

impl Security {
    /// What tells the numbers of messages that must never be the same from others: our title and the
    /// key. `None` where nothing is encrypted.
    pub fn number_space(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::None | Self::Password(_) => None,
            Self::Gmac {
                encryption_key,
                system_title,
                ..
            } => Some(Zeroizing::new(
                [&system_title[..], &encryption_key.0[..]].concat(),
            )),
        }
    }

    pub(super) fn mechanism(&self) -> AuthMechanism {
        match self {
            Self::None => AuthMechanism::None,
            Self::Password(_) => AuthMechanism::Low,
            Self::Gmac { .. } => AuthMechanism::HighGmac,
        }
    }

    pub(super) fn policy(&self) -> SecurityPolicy {
        match self {
            Self::None | Self::Password(_) => SecurityPolicy::NONE,
            Self::Gmac { .. } => SecurityPolicy::authenticated_encrypted(SecuritySuite::Suite0),
        }
    }

    pub(super) fn password(&self) -> CodecResult<Option<dlms_cosem_rs::security::Secret>> {
        match self {
            Self::Password(Secret(bytes)) => dlms_cosem_rs::security::Secret::new(bytes).map(Some),
            Self::None | Self::Gmac { .. } => Ok(None),
        }
    }

    pub(super) fn provider(&self) -> RustCryptoProvider<Entropy> {
        let keys = match self {
            Self::None | Self::Password(_) => KeyRing::default(),
            Self::Gmac {
                encryption_key,
                authentication_key,
                ..
            } => KeyRing::new(*encryption_key.0, *authentication_key.0),
        };
        RustCryptoProvider::with_rng(keys, Entropy)
    }
}

/// Random numbers of the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entropy;

impl RandomSource for Entropy {
    fn fill(&self, out: &mut [u8]) -> CodecResult<()> {
        getrandom::fill(out).map_err(|_| Error::new(ErrorKind::Unsupported, 0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl fmt::Display for CounterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CounterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_length_and_are_not_printed() {
        assert!(Key::new(&[7; 16]).is_some() && Key::new(&[7; 15]).is_none());
        assert!(Key::new(&[7; 17]).is_none());
        assert!(Secret::new(&[]).is_none() && Secret::new(&[7; 65]).is_none());
        let security = Security::Gmac {
            encryption_key: Key::new(&[7; 16]).unwrap(),
            authentication_key: Key::new(&[8; 16]).unwrap(),
            system_title: *b"LMP00001",
        };
        assert!(!format!("{security:?}").contains("7, 7"));
        let password = Security::Password(Secret::new(b"secret").unwrap());
        assert_eq!(format!("{password:?}"), "Password(Secret)");
    }
}
