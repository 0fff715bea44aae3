//! Object 0: where a server is and what proves who it is and who we are. Data only; sessions are
//! made from it by [`SecurityAccount::session`].
//!
//! Nothing here is ever shown to an LwM2M server, and keys are in no text that can be printed.

use std::{collections::BTreeSet, fmt};

use lamplighter_coap::Params;
use lamplighter_dtls::{
    Certificate, Matching, Peer, Psk, Security, Session, Timers, Unusable, Usage, certificates,
    private_key,
};
use lamplighter_model::{ObjectLink, ResourceId, Ssid, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    format::Content,
    reject::Reject,
    server::{ServerUri, UriError},
};

/// One instance of object 0.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SecurityAccount {
    /// 0/x/12: seconds that the account of the bootstrap server lives after it has done its work;
    /// 0 for ever.
    pub account_timeout_s: u32,
    /// 0/x/15.
    pub certificate_usage: Option<u8>,
    /// 0/x/16: numbers of IANA, the first preferred; empty: ours.
    pub cipher_suites: Vec<u16>,
    /// Offer a Connection ID; on where nothing is said. Of this box, no resource.
    #[serde(default)]
    pub connection_id: Option<bool>,
    /// 0/x/11: seconds of silence before the bootstrap server is asked.
    pub hold_off_s: u32,
    /// 0/x/3: name of the key, own public key, or own certificate.
    pub identity: Vec<u8>,
    /// 0/x/1.
    pub is_bootstrap: bool,
    /// 0/x/13.
    pub matching_type: Option<u8>,
    /// 0/x/2.
    pub mode: SecurityMode,
    /// 0/x/17.
    pub oscore: Option<ObjectLink>,
    /// 0/x/5.
    pub secret_key: Secret,
    /// 0/x/4: what the server shows, or who vouches for it.
    pub server_key: Vec<u8>,
    /// 0/x/14.
    pub sni: Option<String>,
    /// 0/x/10; of a bootstrap server it means nothing.
    pub ssid: Option<Ssid>,
    /// Refuse certificates while the date is not known. Of this box, no resource.
    #[serde(default)]
    pub strict_time: bool,
    /// Certification authorities (DER) that this box trusts, no resource.
    #[serde(default)]
    pub trust_store: Vec<Vec<u8>>,
    /// Why the credentials that the configuration names cannot be used; there is no session then.
    #[serde(skip)]
    pub unreadable: Option<String>,
    /// 0/x/0, as it was written.
    pub uri: String,
}

/// 0/x/2.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum SecurityMode {
    Psk,
    RawPublicKey,
    X509,
    #[default]
    NoSec,
    /// X.509 with enrolment.
    Est,
}

/// Bytes that are wiped from memory and never printed.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The resources that mean something here. Others are optional and passed over.
pub(crate) mod id {
    pub(crate) const URI: u16 = 0;
    pub(crate) const BOOTSTRAP: u16 = 1;
    pub(crate) const MODE: u16 = 2;
    pub(crate) const IDENTITY: u16 = 3;
    pub(crate) const SERVER_KEY: u16 = 4;
    pub(crate) const SECRET_KEY: u16 = 5;
    pub(crate) const SSID: u16 = 10;
    pub(crate) const HOLD_OFF: u16 = 11;
    pub(crate) const ACCOUNT_TIMEOUT: u16 = 12;
    pub(crate) const MATCHING_TYPE: u16 = 13;
    pub(crate) const SNI: u16 = 14;
    pub(crate) const CERTIFICATE_USAGE: u16 = 15;
    pub(crate) const CIPHER_SUITES: u16 = 16;
    pub(crate) const OSCORE: u16 = 17;
    pub(crate) const MQTT: u16 = 26;
    pub(crate) const COSE: u16 = 27;
}

/// Longest key, certificate chain or name that an account holds.
const MAX_BYTES: usize = 16 << 10;
const MAX_CIPHER_SUITES: usize = 64;
/// Schemes that stand for a security of their own.
const SECURE_SCHEMES: [&str; 5] = ["coaps", "coaps+tcp", "coaps+ws", "https", "mqtts"];
/// Core 1.2, annex E.1: a text of 0 to 255 bytes.
const MAX_URI: usize = 255;

impl SecurityAccount {
    /// An account without security.
    pub fn unsecured(uri: &ServerUri, ssid: Option<Ssid>) -> Self {
        Self {
            ssid,
            uri: uri.to_string(),
            ..Self::default()
        }
    }

    /// Gives a resource a value of the right type, and notes that it is there. One that means
    /// nothing to us is noted only.
    ///
    /// # Errors
    /// 4.00 for what the resource cannot hold.
    pub(crate) fn set(
        &mut self,
        resource: ResourceId,
        content: &Content,
        named: &mut BTreeSet<u16>,
    ) -> Result<(), Reject> {
        match resource.0 {
            id::URI => self.uri = text(content, MAX_URI)?,
            id::BOOTSTRAP => self.is_bootstrap = boolean(content)?,
            id::MODE => self.mode = mode(number(content, 4)?),
            id::IDENTITY => self.identity = bytes(content)?.to_vec(),
            id::SERVER_KEY => self.server_key = bytes(content)?.to_vec(),
            id::SECRET_KEY => self.secret_key = Secret::new(bytes(content)?.to_vec()),
            // Of a bootstrap server any value passes, whatever order the resources come in.
            id::SSID => {
                let ssid = number(content, u16::MAX.into())?;
                self.ssid = u16::try_from(ssid).ok().map(Ssid);
            }
            id::HOLD_OFF => self.hold_off_s = number(content, u32::MAX)?,
            id::ACCOUNT_TIMEOUT => self.account_timeout_s = number(content, u32::MAX)?,
            id::MATCHING_TYPE => self.matching_type = Some(number(content, 3)? as u8),
            id::SNI => self.sni = Some(text(content, MAX_URI)?).filter(|name| !name.is_empty()),
            id::CERTIFICATE_USAGE => self.certificate_usage = Some(number(content, 3)? as u8),
            id::CIPHER_SUITES => self.cipher_suites = suites(content)?,
            id::OSCORE => self.oscore = link(content)?,
            id::MQTT | id::COSE if is_null(content) => return Ok(()),
            _ => {}
        }
        named.insert(resource.0);
        Ok(())
    }

    /// All that makes the account unusable, in words.
    ///
    /// # Errors
    /// One text for each reason.
    pub fn check(&self) -> Result<ServerUri, Vec<String>> {
        let mut wrong = Vec::new();
        let scheme = self.uri.split(':').next().unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        let is_plain = !SECURE_SCHEMES.contains(&scheme.as_str());
        match self.mode {
            SecurityMode::NoSec if !is_plain => {
                wrong.push(format!("{scheme}:// needs security, and the mode is NoSec"));
            }
            SecurityMode::NoSec => {}
            mode if is_plain => wrong.push(format!(
                "{scheme}:// has no security, and the mode is {mode}"
            )),
            SecurityMode::Est
            | SecurityMode::Psk
            | SecurityMode::RawPublicKey
            | SecurityMode::X509 => {}
        }
        if let Err(why) = self.session() {
            wrong.push(why.to_string());
        }
        if self.oscore.is_some() {
            wrong.push("OSCORE (0/x/17) is not available in this version".to_owned());
        }
        match self.uri.parse() {
            Ok(uri) if wrong.is_empty() => Ok(uri),
            Ok(_) => Err(wrong),
            Err(why) => {
                wrong.push(format!("the address (0/x/0): {why}"));
                Err(wrong)
            }
        }
    }

    /// The session that such an account asks for.
    ///
    /// # Errors
    /// Where it lacks something, or this version has none.
    pub fn session(&self) -> Result<Session, Unavailable> {
        self.session_over(&Params::default())
    }

    /// The same over a network for which these parameters are made.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn session_over(&self, params: &Params) -> Result<Session, Unavailable> {
        match self.peer_over(params)? {
            None => Ok(Session::plain()),
            Some(peer) => Ok(Session::dtls(peer)?),
        }
    }

    /// As [`Self::peer`], over such a network.
    pub(crate) fn peer_over(&self, params: &Params) -> Result<Option<Peer>, Unavailable> {
        // 2, 4, 8 and 16 s by default: it ends, with a reason, before the opening of the link is
        // given up. Longer than RFC 6347, 4.2.4.1, asks for, shorter than RFC 7925, 11.
        let timers = Timers {
            first: params.ack_timeout,
            last: params.ack_timeout * 8,
        };
        let peer = self.peer()?;
        Ok(peer.map(|peer| Peer { timers, ..peer }))
    }

    /// What a DTLS session is made with; `None` where there is no security.
    ///
    /// # Errors
    /// As [`Self::session`], as far as it is known without looking at keys.
    pub fn peer(&self) -> Result<Option<Peer>, Unavailable> {
        if let Some(why) = &self.unreadable {
            return Err(Unavailable::Unreadable(why.clone()));
        }
        let security = match self.mode {
            SecurityMode::NoSec => return Ok(None),
            SecurityMode::Psk => Security::Psk(Psk {
                identity: self.identity.clone(),
                key: lamplighter_dtls::Secret::new(self.secret_key.expose().to_vec()),
            }),
            SecurityMode::X509 => Security::Certificate(Box::new(self.certificate()?)),
            mode @ (SecurityMode::Est | SecurityMode::RawPublicKey) => {
                return Err(Unavailable::Mode(mode));
            }
        };
        let uri: ServerUri = self.uri.parse().map_err(Unavailable::Uri)?;
        Ok(Some(Peer {
            connection_id: self.connection_id.unwrap_or(true),
            sni: self.sni.clone(),
            suites: self.cipher_suites.clone(),
            ..Peer::new(uri.host, security)
        }))
    }

    fn certificate(&self) -> Result<Certificate, Unavailable> {
        let matching = self.matching_type.unwrap_or_default();
        let matching = Matching::by_number(matching.into()).unwrap_or_default();
        // Transport 1.2, 5.2.8.7: absent it is the server's own.
        let usage = self.certificate_usage.map(u64::from);
        let usage = usage.and_then(Usage::by_number).unwrap_or_default();
        let unusable = Unavailable::Unusable;
        let chain = certificates(&self.identity).map_err(unusable)?;
        let key = private_key(self.secret_key.expose()).map_err(unusable)?;
        let server = match matching {
            Matching::Exact if !self.server_key.is_empty() => {
                let server = certificates(&self.server_key);
                let server = server.map_err(|_| unusable(Unusable::ServerUnreadable))?;
                server.into_iter().next().unwrap_or_default()
            }
            Matching::Exact | Matching::Sha256 | Matching::Sha384 | Matching::Sha512 => {
                self.server_key.clone()
            }
        };
        Ok(Certificate {
            chain,
            key: key.into(),
            matching,
            server,
            strict_time: self.strict_time,
            trust_store: self.trust_store.clone(),
            usage,
        })
    }

    /// Tells accounts apart, also by their keys, of which it says nothing.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mode = [number_of(self.mode)];
        let parts = [
            self.uri.as_bytes(),
            &self.identity,
            &mode,
            self.secret_key.expose(),
            &self.server_key,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let first = hash.iter().take(8);
        first.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Why an account has no session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unavailable {
    /// This version has no sessions of the mode.
    Mode(SecurityMode),
    /// [`SecurityAccount::unreadable`]
    Unreadable(String),
    Unusable(Unusable),
    Uri(UriError),
}

impl From<Unusable> for Unavailable {
    fn from(why: Unusable) -> Self {
        Self::Unusable(why)
    }
}

impl Unavailable {
    /// What is wrong with the credentials, where it is these.
    pub const fn unusable(&self) -> Option<Unusable> {
        match self {
            Self::Mode(_) | Self::Unreadable(_) | Self::Uri(_) => None,
            Self::Unusable(why) => Some(*why),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(
                f,
                "security mode {mode} (0/x/2) is not available in this version"
            ),
            Self::Unreadable(why) => f.write_str(why),
            Self::Unusable(why) => why.fmt(f),
            Self::Uri(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for Unavailable {}

impl fmt::Display for SecurityMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Est => "EST",
            Self::NoSec => "NoSec",
            Self::Psk => "PSK",
            Self::RawPublicKey => "raw public key",
            Self::X509 => "X.509",
        })
    }
}

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one who makes the session.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::new)
    }
}

const fn mode(number: u32) -> SecurityMode {
    match number {
        0 => SecurityMode::Psk,
        1 => SecurityMode::RawPublicKey,
        2 => SecurityMode::X509,
        4 => SecurityMode::Est,
        _ => SecurityMode::NoSec,
    }
}

const fn number_of(mode: SecurityMode) -> u8 {
    match mode {
        SecurityMode::Psk => 0,
        SecurityMode::RawPublicKey => 1,
        SecurityMode::X509 => 2,
        SecurityMode::NoSec => 3,
        SecurityMode::Est => 4,
    }
}

fn single(content: &Content) -> Result<&Value, Reject> {
    match content {
        Content::Single(value) => Ok(value),
        Content::Multiple(_) => Err(Reject::bad_request("the resource has a single value")),
    }
}

fn boolean(content: &Content) -> Result<bool, Reject> {
    let Value::Boolean(value) = single(content)? else {
        return Err(Reject::bad_request("a boolean is wanted"));
    };
    Ok(*value)
}

fn text(content: &Content, longest: usize) -> Result<String, Reject> {
    if let Value::String(text) = single(content)?
        && text.len() <= longest
    {
        return Ok(text.clone());
    }
    let wanted = format!("a text of at most {longest} bytes is wanted");
    Err(Reject::bad_request(wanted))
}

fn bytes(content: &Content) -> Result<&[u8], Reject> {
    if let Value::Opaque(bytes) = single(content)?
        && bytes.len() <= MAX_BYTES
    {
        return Ok(bytes);
    }
    let wanted = format!("at most {MAX_BYTES} bytes are wanted");
    Err(Reject::bad_request(wanted))
}

fn number(content: &Content, highest: u32) -> Result<u32, Reject> {
    crate::object::number(single(content)?, 0..=highest)
}

/// TLS numbers are 16 bits.
fn suites(content: &Content) -> Result<Vec<u16>, Reject> {
    let Content::Multiple(values) = content else {
        return Err(Reject::bad_request("a list of cipher suites is wanted"));
    };
    if values.len() > MAX_CIPHER_SUITES {
        return Err(Reject::bad_request("too many cipher suites"));
    }
    let suite = |value| crate::object::number(value, 0..=u16::MAX.into());
    let suites = values.iter().map(|(_, value)| Ok(suite(value)? as u16));
    suites.collect()
}

fn link(content: &Content) -> Result<Option<ObjectLink>, Reject> {
    let Value::Objlnk(link) = single(content)? else {
        return Err(Reject::bad_request("a link to an instance is wanted"));
    };
    Ok(Some(*link).filter(|link| *link != ObjectLink::NULL))
}

fn is_null(content: &Content) -> bool {
    let null = Value::Objlnk(ObjectLink::NULL);
    match content {
        Content::Single(value) => *value == null,
        Content::Multiple(values) => values.iter().all(|(_, value)| *value == null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psk() -> SecurityAccount {
        SecurityAccount {
            identity: b"cab-17".to_vec(),
            mode: SecurityMode::Psk,
            secret_key: Secret::new(b"swordfish-swordfish".to_vec()),
            ssid: Some(Ssid(101)),
            uri: "coaps://lwm2m.example".to_owned(),
            ..SecurityAccount::default()
        }
    }

    #[test]
    fn a_key_is_in_no_text() {
        let account = psk();
        let printed = format!("{account:?} {:?}", account.secret_key);
        let decimal = format!("{:?}", account.secret_key.expose());
        let decimal = decimal.trim_matches(['[', ']']);
        assert!(!printed.contains("swordfish") && !printed.contains(decimal));
        assert!(printed.contains("Secret(19 bytes)"), "{printed}");
    }

    #[test]
    fn scheme_and_mode_fit_together() {
        let uri = "coap://lwm2m.example".to_owned();
        let plain = SecurityAccount {
            uri: uri.clone(),
            ..SecurityAccount::default()
        };
        assert!(plain.check().is_ok());
        let secured = SecurityAccount { uri, ..psk() };
        let wrong = secured.check().unwrap_err();
        assert!(wrong[0].contains("has no security"), "{wrong:?}");
        let unsecured = SecurityAccount {
            mode: SecurityMode::NoSec,
            ..psk()
        };
        let wrong = unsecured.check().unwrap_err();
        assert!(wrong[0].contains("needs security"), "{wrong:?}");
    }

    #[test]
    fn what_a_mode_needs_is_named() {
        assert!(psk().check().is_ok());
        let wrong = |account: SecurityAccount| account.check().unwrap_err().join("; ");
        let nobody = SecurityAccount {
            identity: Vec::new(),
            ..psk()
        };
        assert!(wrong(nobody).contains("identity"));
        let keyless = SecurityAccount {
            secret_key: Secret::default(),
            ..psk()
        };
        assert!(wrong(keyless).contains("key"));
        let suites = SecurityAccount {
            cipher_suites: vec![0x1301],
            ..psk()
        };
        assert!(wrong(suites).contains("cipher suites"));
        let unknown = SecurityAccount {
            mode: SecurityMode::RawPublicKey,
            ..psk()
        };
        assert!(wrong(unknown).contains("raw public key"));
    }

    #[test]
    fn certificates_make_a_session_and_strangers_do_not() {
        let file = |name: &str| {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/dtls");
            std::fs::read(format!("{root}/{name}")).unwrap()
        };
        let account = |key: &str, usage| SecurityAccount {
            certificate_usage: Some(usage),
            identity: file("client.der"),
            mode: SecurityMode::X509,
            secret_key: Secret::new(file(key)),
            server_key: file("authority.der"),
            ..psk()
        };
        assert!(account("client.key.der", 2).check().is_ok());
        let wrong = |account: SecurityAccount| account.check().unwrap_err().join("; ");
        assert!(wrong(account("stranger.key.der", 2)).contains("does not belong"));
        // Without authorities of its own the box cannot meet the stricter usages.
        assert!(wrong(account("client.key.der", 0)).contains("authority"));
        let trusting = SecurityAccount {
            trust_store: vec![file("authority.der")],
            ..account("client.key.der", 0)
        };
        assert!(trusting.check().is_ok());
    }
}
