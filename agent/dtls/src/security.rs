//! Who we are to a server and how it proves who it is: an account's security as values.
//!
//! The names in brackets are resources of object 0 (LwM2M Security), whose content is taken as it
//! stands there.

use std::{fmt, net::IpAddr, time::Duration};

use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::{
    client,
    suite::{self, Kind, Suite},
};

/// Bytes that must never be shown. Wiped when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Everything that a session must know of its server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Whether a Connection ID is offered, so that a new address needs no handshake. // RFC 9146
    pub connection_id: bool,
    /// Of the URI: a name, or an address without brackets.
    pub host: String,
    pub security: Security,
    /// The name to ask for instead of the host's (0/x/14).
    pub sni: Option<String>,
    /// Numbers of the suites to offer, in order (0/x/16); empty: our own choice. Unknown ones are
    /// passed over.
    pub suites: Vec<u16>,
    pub timers: Timers,
}

/// When an unanswered flight of the handshake is repeated. // RFC 6347, 4.2.4.1; RFC 7925, 11
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timers {
    pub first: Duration,
    /// The time doubles up to this; when it has passed the handshake has failed.
    pub last: Duration,
}

/// The modes of 0/x/2 that mean DTLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Security {
    /// Mode 2.
    Certificate(Box<Certificate>),
    /// Mode 0.
    Psk(Psk),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Psk {
    /// 0/x/3.
    pub identity: Vec<u8>,
    /// 0/x/5.
    pub key: Secret,
}

/// All certificates are DER; [`crate::certificates`] and [`crate::private_key`] read files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// Ours, then its issuers as far as the server needs them (0/x/3).
    pub chain: Vec<Vec<u8>>,
    /// Ours: PKCS#8 or SEC 1 (0/x/5).
    pub key: Secret,
    /// What 0/x/4 is compared with (0/x/13).
    pub matching: Matching,
    /// A certificate, or its hash (0/x/4). Empty: only the trust store decides.
    pub server: Vec<u8>,
    /// Refuse certificates while the date is not known, and judge by an estimated date.
    pub strict_time: bool,
    /// Certification authorities that are trusted.
    pub trust_store: Vec<Vec<u8>>,
    pub usage: Usage,
}

/// 0/x/13.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Matching {
    #[default]
    Exact,
    Sha256,
    Sha384,
    Sha512,
}

/// 0/x/15: what the certificate of 0/x/4 is to the server. // Transport 1.2, 5.2.8.7; RFC 6698, 2.1.1
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Usage {
    /// 0: an authority that must stand in a chain which the trust store accepts.
    CaConstraint,
    /// 1: the server's own, and the trust store must accept it.
    ServiceCertificateConstraint,
    /// 2: the authority to trust.
    TrustAnchorAssertion,
    /// 3: the server's own; nobody else is asked.
    #[default]
    DomainIssued,
}

/// Why no session can be made of an account: for `check`, and for the event of a bootstrap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unusable {
    CertificateMissing,
    CertificateUnreadable,
    /// The engine has no memory or no random numbers.
    Engine(i32),
    /// Neither a name nor an address.
    Host,
    IdentityLength,
    KeyEncrypted,
    KeyLength,
    /// The key does not belong to our certificate.
    KeyMismatch,
    KeyUnreadable,
    /// Nothing that the server's certificate could be judged by.
    NothingTrusted,
    /// None of the listed suites is known and fits.
    NoSuite,
    ServerHashLength,
    ServerUnreadable,
    TrustStoreUnreadable,
}

/// What the server's certificate is compared with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Name {
    Address(IpAddr),
    Dns(String),
}

/// An identity must be allowed 128 bytes, and no server takes more than this.
/// // Transport 1.2, 5.2.8.1
const MAX_IDENTITY: usize = 1024;

/// As the engine is built (`.cargo/config.toml`); LwM2M asks for 64.
const MAX_KEY: usize = 128;

/// A name of the DNS.
const MAX_NAME: usize = 253;

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// To use at once and never to keep or print.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            last: Duration::from_secs(60),
        }
    }
}

impl Peer {
    /// With our defaults.
    pub fn new(host: impl Into<String>, security: Security) -> Self {
        Self {
            connection_id: true,
            host: host.into(),
            security,
            sni: None,
            suites: Vec::new(),
            timers: Timers::default(),
        }
    }

    /// Says what is wrong with it, as far as that can be known without the server. Costs a few
    /// operations with the key.
    pub fn check(&self) -> Result<(), Unusable> {
        self.check_lengths()?;
        client::check(self)
    }

    fn check_lengths(&self) -> Result<(), Unusable> {
        self.name()?;
        if self.offer().is_empty() {
            return Err(Unusable::NoSuite);
        }
        match &self.security {
            Security::Psk(psk) if !(1..=MAX_IDENTITY).contains(&psk.identity.len()) => {
                Err(Unusable::IdentityLength)
            }
            Security::Psk(psk) if !(1..=MAX_KEY).contains(&psk.key.expose().len()) => {
                Err(Unusable::KeyLength)
            }
            Security::Psk(_) => Ok(()),
            Security::Certificate(certificate) => certificate.check(),
        }
    }

    pub(crate) fn offer(&self) -> Vec<Suite> {
        let kind = match self.security {
            Security::Certificate(_) => Kind::Certificate,
            Security::Psk(_) => Kind::Psk,
        };
        suite::offer(kind, &self.suites)
    }

    /// The identity that the server must prove: that of 0/x/14 before the host's. // Transport
    /// 1.2, 5.2.8.7
    pub(crate) fn name(&self) -> Result<Name, Unusable> {
        let name = match &self.sni {
            Some(name) if !name.is_empty() => name,
            Some(_) | None => &self.host,
        };
        if let Ok(address) = name.parse() {
            return Ok(Name::Address(address));
        }
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            (1..=MAX_NAME).contains(&name.len()) && bytes.all(|byte| byte.is_ascii_graphic())
        };
        if is_name(name) {
            Ok(Name::Dns(name.clone()))
        } else {
            Err(Unusable::Host)
        }
    }

    /// Tells one account from another without telling what is in it.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(self.host.as_bytes());
        add(self.sni.as_deref().unwrap_or_default().as_bytes());
        add(&[u8::from(self.connection_id)]);
        let suites: Vec<u8> = self
            .suites
            .iter()
            .flat_map(|suite| suite.to_be_bytes())
            .collect();
        add(&suites);
        match &self.security {
            Security::Certificate(certificate) => {
                let strict = u8::from(certificate.strict_time);
                let (usage, matching) = (certificate.usage as u8, certificate.matching as u8);
                add(&[2, usage, matching, strict]);
                add(&certificate.server);
                add(certificate.key.expose());
                for list in [&certificate.chain, &certificate.trust_store] {
                    add(&(list.len() as u64).to_be_bytes());
                    list.iter().for_each(|certificate| add(certificate));
                }
            }
            Security::Psk(psk) => {
                add(&[0]);
                add(&psk.identity);
                add(psk.key.expose());
            }
        }
        hash.finalize().into()
    }
}

impl Certificate {
    fn check(&self) -> Result<(), Unusable> {
        if self.chain.is_empty() {
            return Err(Unusable::CertificateMissing);
        }
        let digest = match self.matching {
            Matching::Exact => None,
            Matching::Sha256 => Some(32),
            Matching::Sha384 => Some(48),
            Matching::Sha512 => Some(64),
        };
        if !self.server.is_empty() && digest.is_some_and(|length| length != self.server.len()) {
            return Err(Unusable::ServerHashLength);
        }
        let has_store = !self.trust_store.is_empty();
        let has_server = !self.server.is_empty();
        let decidable = match self.usage {
            Usage::CaConstraint | Usage::ServiceCertificateConstraint => has_store && has_server,
            Usage::TrustAnchorAssertion | Usage::DomainIssued => has_store || has_server,
        };
        if decidable {
            Ok(())
        } else {
            Err(Unusable::NothingTrusted)
        }
    }

    /// Whether the trust anchor is known by a hash only.
    pub(crate) fn names_anchor_by_hash(&self) -> bool {
        self.usage == Usage::TrustAnchorAssertion
            && self.matching != Matching::Exact
            && !self.server.is_empty()
    }

    /// Whether 0/x/4 means this certificate.
    pub(crate) fn matches(&self, der: &[u8]) -> bool {
        if self.server.is_empty() {
            return false;
        }
        match self.matching {
            Matching::Exact => self.server == der,
            Matching::Sha256 => self.server == Sha256::digest(der).as_slice(),
            Matching::Sha384 => self.server == Sha384::digest(der).as_slice(),
            Matching::Sha512 => self.server == Sha512::digest(der).as_slice(),
        }
    }
}

impl Usage {
    /// By the value of 0/x/15.
    pub const fn by_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::CaConstraint,
            1 => Self::ServiceCertificateConstraint,
            2 => Self::TrustAnchorAssertion,
            3 => Self::DomainIssued,
            _ => return None,
        })
    }
}

impl Matching {
    /// By the value of 0/x/13.
    pub const fn by_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Exact,
            1 => Self::Sha256,
            2 => Self::Sha384,
            3 => Self::Sha512,
            _ => return None,
        })
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateMissing => "there is no certificate of our own",
            Self::CertificateUnreadable => {
                "our certificate cannot be read; it must be X.509 with an EC key, DER or PEM"
            }
            Self::Engine(code) => return write!(f, "the DTLS engine does not start ({code})"),
            Self::Host => "the server's name is neither a host name nor an address",
            Self::IdentityLength => "the identity must have 1 to 1024 bytes",
            Self::KeyEncrypted => "the private key is encrypted; it must be readable as it is",
            Self::KeyLength => "the key must have 1 to 128 bytes",
            Self::KeyMismatch => "the private key does not belong to our certificate",
            Self::KeyUnreadable => {
                "the private key cannot be read; it must be an EC key, PKCS#8 or SEC 1"
            }
            Self::NothingTrusted => {
                "there is neither a server certificate nor an authority to trust"
            }
            Self::NoSuite => "none of the cipher suites is known and fits the kind of credentials",
            Self::ServerHashLength => "the server's hash has another length than its kind asks for",
            Self::ServerUnreadable => "the server's certificate of the account cannot be read",
            Self::TrustStoreUnreadable => "an authority's certificate cannot be read",
        })
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
mod tests {
    use super::*;

    fn psk(identity: usize, key: usize) -> Peer {
        let security = Security::Psk(Psk {
            identity: vec![b'i'; identity],
            key: Secret::new(vec![b'K'; key]),
        });
        Peer::new("server", security)
    }

    #[test]
    fn keys_of_wrong_length_are_told_by_name() {
        assert_eq!(psk(1, 0).check(), Err(Unusable::KeyLength));
        assert_eq!(psk(1, 129).check(), Err(Unusable::KeyLength));
        assert_eq!(psk(0, 16).check(), Err(Unusable::IdentityLength));
        // LwM2M asks for identities of 128 and keys of 64 bytes.
        assert_eq!(psk(128, 64).check(), Ok(()));
        assert_eq!(psk(1024, 128).check(), Ok(()));
    }

    #[test]
    fn no_key_is_ever_printed() {
        let printed = format!("{:?}", psk(3, 16));
        assert!(printed.contains("Secret") && !printed.contains("75, 75"));
    }

    // What is kept of a session is good for its account only.
    #[test]
    fn accounts_that_differ_in_anything_differ_in_their_fingerprint() {
        let certificate = Certificate {
            chain: vec![b"ab".to_vec(), b"c".to_vec()],
            key: Secret::new(b"key".to_vec()),
            matching: Matching::Exact,
            server: b"server".to_vec(),
            strict_time: false,
            trust_store: vec![b"d".to_vec()],
            usage: Usage::DomainIssued,
        };
        let peer = |change: fn(&mut Certificate)| {
            let mut certificate = certificate.clone();
            change(&mut certificate);
            Peer::new("server", Security::Certificate(Box::new(certificate)))
        };
        let with = |change: fn(&mut Peer)| {
            let mut peer = peer(|_| {});
            change(&mut peer);
            peer
        };
        let accounts = [
            psk(1, 16),
            psk(2, 15),
            with(|_| {}),
            with(|peer| peer.connection_id = false),
            with(|peer| peer.host = "other".to_owned()),
            with(|peer| peer.sni = Some("other".to_owned())),
            with(|peer| peer.suites = vec![0xC0AC]),
            peer(|account| account.strict_time = true),
            peer(|account| account.usage = Usage::CaConstraint),
            peer(|account| account.matching = Matching::Sha256),
            peer(|account| account.server = b"another".to_vec()),
            peer(|account| account.key = Secret::new(b"another".to_vec())),
            // The same bytes with other borders between certificates, and between the lists.
            peer(|account| account.chain = vec![b"a".to_vec(), b"bc".to_vec()]),
            peer(|account| {
                account.chain = vec![b"ab".to_vec()];
                account.trust_store = vec![b"c".to_vec(), b"d".to_vec()];
            }),
        ];
        let prints: std::collections::BTreeSet<_> =
            accounts.iter().map(Peer::fingerprint).collect();
        assert_eq!(prints.len(), accounts.len());
        assert_eq!(with(|_| {}).fingerprint(), accounts[2].fingerprint());
    }

    #[test]
    fn the_name_of_the_account_goes_before_the_host() {
        let mut peer = psk(1, 16);
        peer.host = "192.0.2.1".to_owned();
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(peer.name(), Ok(Name::Address(address)));
        peer.sni = Some("tenant.example".to_owned());
        assert_eq!(peer.name(), Ok(Name::Dns("tenant.example".to_owned())));
        peer.sni = Some("two words".to_owned());
        assert_eq!(peer.check(), Err(Unusable::Host));
    }
}
