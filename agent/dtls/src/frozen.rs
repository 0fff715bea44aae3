//! Sessions on their way over a restart.
//!
//! A whole association can be used once only: two uses would send different messages under one
//! nonce, which breaks the cipher. Three things keep it so:
//! 1. [`Frozen`] cannot be cloned, and [`crate::Session::thaw`] takes it by value.
//! 2. Whoever keeps the bytes removes them from the disk, and syncs, before the use.
//! 3. Each carries a [`Mark`] that is kept at another place (with the registration) and is removed
//!    there in the same way: a copy that somebody has put back finds no mark, or another.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    security::{Peer, Unusable},
    verify::Validity,
};

/// A session as bytes. They hold keys: files 0600, wiped when dropped.
pub struct Frozen {
    bytes: Zeroizing<Vec<u8>>,
}

/// Names one frozen association.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark(pub [u8; 16]);

/// Why a frozen session is not taken up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stale {
    /// It was used before, or it is not the one that was put away last.
    AlreadyUsed,
    Damaged,
    /// The account has changed since.
    OtherAccount,
    /// The card or disk is in another machine.
    OtherHardware,
    /// No session can be made of the account at all.
    Unusable(Unusable),
}

/// What is in it.
pub(crate) struct Content {
    /// When the certificates that it stands on are valid.
    pub(crate) validity: Option<Validity>,
    pub(crate) kind: Kind,
    pub(crate) session: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The association itself: no handshake. Single use.
    Association,
    /// What a resumption needs. May be used again.
    Memory,
}

const MAGIC: &[u8; 4] = b"LLD1";
const CHECKSUM: usize = 32;
const HEADER: usize = 4 + 1 + 16 + 32 + 32 + 17;

/// An association has 217 bytes with PSK, and with certificates those of the server more.
const MAX_FROZEN: usize = 64 * 1024;

impl Frozen {
    /// As they were written. Nothing is looked at yet.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Zeroizing::new(bytes),
        }
    }

    /// To write into a file that only the daemon can read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What to keep at another place; `None` for what may be used again.
    pub fn mark(&self) -> Option<Mark> {
        let kind = self.bytes.get(4)?;
        let mark = self.bytes.get(5..21)?.try_into().ok()?;
        (*kind == Kind::Association.number()).then_some(Mark(mark))
    }

    pub(crate) fn new(content: &Content, peer: &Peer, hardware: &[u8]) -> Option<Self> {
        let mut mark = [0; 16];
        if content.kind == Kind::Association {
            getrandom::fill(&mut mark).ok()?;
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            HEADER + content.session.len() + CHECKSUM,
        ));
        bytes.extend(MAGIC);
        bytes.push(content.kind.number());
        bytes.extend(mark);
        bytes.extend(Sha256::digest(hardware));
        bytes.extend(peer.fingerprint());
        bytes.push(content.validity.is_some().into());
        let (begins, ends) = content
            .validity
            .map_or((0, 0), |validity| (validity.begins, validity.ends));
        bytes.extend(i64::to_be_bytes(begins));
        bytes.extend(i64::to_be_bytes(ends));
        bytes.extend(content.session.iter());
        let checksum = Sha256::digest(bytes.as_slice());
        bytes.extend(checksum);
        Some(Self { bytes })
    }

    /// Consumes it: there is no second time.
    pub(crate) fn open(
        self,
        peer: &Peer,
        mark: Option<Mark>,
        hardware: &[u8],
    ) -> Result<Content, Stale> {
        let bytes = self.bytes.as_slice();
        if bytes.len() > MAX_FROZEN {
            return Err(Stale::Damaged);
        }
        let own = self.mark();
        let split = |bytes: &[u8]| {
            let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
            let (header, session) = body.split_first_chunk::<HEADER>()?;
            let whole =
                header.starts_with(MAGIC) && Sha256::digest(body).as_slice() == checksum.as_slice();
            whole.then(|| (*header, Zeroizing::new(session.to_vec())))
        };
        let (header, session) = split(bytes).ok_or(Stale::Damaged)?;
        let kind = Kind::by_number(header[4]).ok_or(Stale::Damaged)?;
        if header[21..53] != *Sha256::digest(hardware) {
            return Err(Stale::OtherHardware);
        }
        if header[53..85] != peer.fingerprint() {
            return Err(Stale::OtherAccount);
        }
        if kind == Kind::Association && (mark.is_none() || mark != own) {
            return Err(Stale::AlreadyUsed);
        }
        let number = |at: usize| {
            let bytes = header.get(at..)?.first_chunk()?;
            Some(i64::from_be_bytes(*bytes))
        };
        let validity = number(86).zip(number(94)).filter(|_| header[85] == 1);
        Ok(Content {
            validity: validity.map(|(begins, ends)| Validity { begins, ends }),
            kind,
            session,
        })
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frozen({} bytes)", self.bytes.len())
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyUsed => "it was used before",
            Self::Damaged => "it is damaged",
            Self::OtherAccount => "the account has changed",
            Self::OtherHardware => "it belongs to another machine",
            Self::Unusable(why) => return why.fmt(f),
        })
    }
}

impl std::error::Error for Stale {}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Association => 1,
            Self::Memory => 2,
        }
    }

    const fn by_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Association,
            2 => Self::Memory,
            _ => return None,
        })
    }
}
