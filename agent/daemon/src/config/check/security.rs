//! `security = { … }` of an account, and the files that it names.
//!
//! What is wrong in the table itself is an error like any other. Credentials that cannot be used cost
//! their account only: the box goes on with the others, and people are told.

use lamplighter_dtls::{self as dtls, SUITES, Unusable};
use lamplighter_lwm2m::{
    security::{Secret, SecurityAccount, SecurityMode},
    server::{Scheme, ServerUri},
};

use super::{Checker, below, suggestion};
use crate::config::{
    layer::Key,
    problem::Severity,
    schema::{self, CertificateUsage, Security},
    secret::{self, Reference, SecretError},
};

/// What is said of every account without security.
pub const UNSECURED: &str =
    "neither encrypted nor authenticated: anybody on the network can read and switch";

/// LwM2M asks for 128 bytes. // Transport 1.2, 5.2.8.1
const MAX_IDENTITY: usize = 128;
const MAX_KEY: usize = 128;
/// Seconds before its end in which a certificate is to be replaced.
const SOON: i64 = 30 * 86_400;
/// Bytes of SHA-256, SHA-384 and SHA-512, and their numbers in 0/x/13.
const HASHES: [(usize, u8); 3] = [(32, 1), (48, 2), (64, 3)];

impl Checker<'_> {
    /// The account as object 0 would say it.
    pub(super) fn account(
        &mut self,
        at: &Key,
        uri: Option<&ServerUri>,
        (security, allow_unsecured): (Option<&Security>, Option<bool>),
    ) -> SecurityAccount {
        let mut account = SecurityAccount {
            uri: uri.map(ToString::to_string).unwrap_or_default(),
            ..SecurityAccount::default()
        };
        let Some(security) = self.required(at, "security", security) else {
            return account;
        };
        let table = below(at, "security");
        let Some(mode) = self.required(&table, "mode", security.mode) else {
            return account;
        };
        self.fits(at, uri, mode);
        self.only(&table, mode, security);
        account.connection_id = security.connection_id;
        account.sni.clone_from(&security.sni);
        account.cipher_suites = self.suites(&below(&table, "suites"), &security.suites);
        let before = self.problems.len();
        match mode {
            schema::SecurityMode::None => self.unsecured(at, &table, allow_unsecured),
            schema::SecurityMode::Psk => self.psk(&table, security, &mut account),
            schema::SecurityMode::X509 => self.x509(&table, security, &mut account),
        }
        let reported = self.problems.get(before..).unwrap_or_default();
        let is_fatal = |severity| severity == Severity::Error || severity == Severity::Account;
        let mut fatal = reported.iter().filter(|one| is_fatal(one.severity));
        account.unreadable = fatal.next().map(|problem| problem.what.clone());
        if account.unreadable.is_none()
            && uri.is_some()
            && let Err(why) = account.session()
        {
            self.unusable(&table, security, why.to_string(), why.unusable());
            account.unreadable = Some(why.to_string());
        }
        account
    }

    /// Scheme and mode say the same.
    fn fits(&mut self, at: &Key, uri: Option<&ServerUri>, mode: schema::SecurityMode) {
        let is_secured = mode != schema::SecurityMode::None;
        let at = below(at, "uri");
        match uri.map(|uri| uri.scheme) {
            Some(Scheme::Coap) if is_secured => self.error(
                &at,
                "coap:// has no security, but `security` names some",
                "write coaps://",
            ),
            Some(Scheme::Coaps) if !is_secured => self.error(
                &at,
                "coaps:// needs security, but `security` is \"none\"",
                "mode \"psk\" or \"x509\"",
            ),
            Some(Scheme::Coap | Scheme::Coaps) | None => {}
        }
    }

    /// A key of another mode would be without effect.
    fn only(&mut self, table: &Key, mode: schema::SecurityMode, security: &Security) {
        use schema::SecurityMode::{Psk, X509};
        let both: &[schema::SecurityMode] = &[Psk, X509];
        let keys = [
            ("identity", security.identity.is_some(), &[Psk][..]),
            ("key", security.key.is_some(), both),
            ("cert", security.cert.is_some(), &[X509]),
            ("ca", security.ca.is_some(), &[X509]),
            ("server_cert", security.server_cert.is_some(), &[X509]),
            ("server_hash", security.server_hash.is_some(), &[X509]),
            ("usage", security.usage.is_some(), &[X509]),
            ("strict_time", security.strict_time.is_some(), &[X509]),
            ("sni", security.sni.is_some(), both),
            ("suites", !security.suites.is_empty(), both),
            ("connection_id", security.connection_id.is_some(), both),
        ];
        for (name, is_there, modes) in keys {
            if is_there && !modes.contains(&mode) {
                let what = format!("`{name}` means nothing in mode \"{}\"", word(mode));
                self.error(&below(table, name), what, "");
            }
        }
    }

    fn unsecured(&mut self, at: &Key, table: &Key, is_allowed: Option<bool>) {
        if is_allowed == Some(true) {
            return self.warning(table, UNSECURED, "a closed network only");
        }
        let hint = format!(
            "if that is meant, write `allow_unsecured = true` into [{}]",
            at.join(".")
        );
        self.error(table, "nothing protects this connection", hint);
    }

    fn psk(&mut self, table: &Key, security: &Security, account: &mut SecurityAccount) {
        account.mode = SecurityMode::Psk;
        if let Some(identity) = self.required(table, "identity", security.identity.as_ref()) {
            if !(1..=MAX_IDENTITY).contains(&identity.len()) {
                let what = format!("an identity has 1 to {MAX_IDENTITY} bytes");
                self.error(&below(table, "identity"), what, "");
            }
            account.identity = identity.clone().into_bytes();
        }
        if let Some(key) = self.secret(table, "key", security.key.as_ref()) {
            let length = key.bytes().len();
            if length > MAX_KEY {
                let what = format!("the key has {length} bytes, and 1 to {MAX_KEY} are possible");
                self.credential(&below(table, "key"), what, "16 bytes are usual");
            }
            account.secret_key = Secret::new(key.bytes().to_vec());
        }
    }

    fn x509(&mut self, table: &Key, security: &Security, account: &mut SecurityAccount) {
        account.mode = SecurityMode::X509;
        account.strict_time = security.strict_time.unwrap_or(false);
        account.certificate_usage = security.usage.map(number);
        let own = self.required(table, "cert", security.cert.as_ref());
        account.identity = self.certificates(table, "cert", own).concat();
        if let Some(key) = self.secret(table, "key", security.key.as_ref()) {
            match dtls::private_key(key.bytes()) {
                Ok(key) => account.secret_key = Secret::new(key.to_vec()),
                Err(why) => self.credential(&below(table, "key"), why.to_string(), ""),
            }
        }
        account.trust_store = self.certificates(table, "ca", security.ca.as_ref());
        self.server_key(table, security, account);
    }

    /// 0/x/4.
    fn server_key(&mut self, table: &Key, security: &Security, account: &mut SecurityAccount) {
        if let Some(hash) = &security.server_hash {
            let at = below(table, "server_hash");
            if security.server_cert.is_some() {
                self.error(&at, "`server_cert` says the same", "write one of them");
            }
            let bytes = secret::decode_hex(hash).unwrap_or_default();
            let known = HASHES.iter().find(|(length, _)| *length == bytes.len());
            match known {
                Some((_, number)) => account.matching_type = Some(*number),
                None => self.error(
                    &at,
                    "that is not a hash in hex",
                    "64 digits of SHA-256, 96 of SHA-384 or 128 of SHA-512",
                ),
            }
            account.server_key = bytes;
            return;
        }
        let found = self.certificates(table, "server_cert", security.server_cert.as_ref());
        if found.len() > 1 {
            let what = format!("the file has {} certificates", found.len());
            self.credential(&below(table, "server_cert"), what, "one is meant");
        }
        account.server_key = found.into_iter().next().unwrap_or_default();
    }

    pub(super) fn secret(
        &mut self,
        table: &Key,
        name: &str,
        reference: Option<&String>,
    ) -> Option<secret::Secret> {
        let reference = self.required(table, name, reference)?;
        let at = below(table, name);
        let reference = self.reference(&at, reference)?;
        let read = secret::read(&reference, &self.surroundings.shelf);
        read.map_err(|why| self.unread(&at, &reference, &why)).ok()
    }

    /// Those of a file, DER. One that is over is told, and used: it is the server that decides.
    fn certificates(
        &mut self,
        table: &Key,
        name: &str,
        reference: Option<&String>,
    ) -> Vec<Vec<u8>> {
        let at = below(table, name);
        let Some(reference) = reference.and_then(|text| self.reference(&at, text)) else {
            return Vec::new();
        };
        let content = match secret::read_public(&reference, &self.surroundings.shelf) {
            Ok(content) => content,
            Err(why) => {
                self.unread(&at, &reference, &why);
                return Vec::new();
            }
        };
        let found = dtls::certificates(&content).unwrap_or_default();
        let validity: Vec<_> = found.iter().map(|der| dtls::validity(der)).collect();
        let path = reference.path(&self.surroundings.shelf);
        let path = path.display();
        if found.is_empty() || validity.contains(&None) {
            let what = format!("{path} holds no certificate that can be read");
            self.credential(&at, what, "X.509 with an EC key, PEM or DER");
            return Vec::new();
        }
        for (from, to) in validity.into_iter().flatten() {
            self.date(&at, &path.to_string(), from, to);
        }
        found
    }

    fn date(&mut self, at: &Key, path: &str, from: i64, to: i64) {
        const MS: i64 = 1000;
        let Some(now) = self.surroundings.now.map(|now| now.0.div_euclid(MS)) else {
            return;
        };
        if to < now {
            let days = (now - to) / 86_400;
            let what = format!("{path}: a certificate has expired {days} days ago");
            self.warning(at, what, "ask who signed it for another");
        } else if to - now < SOON {
            let days = (to - now) / 86_400;
            let what = format!("{path}: a certificate expires in {days} days");
            self.warning(at, what, "ask who signed it for another");
        } else if now < from {
            let what = format!("{path}: a certificate is not valid yet");
            self.warning(at, what, "is the date of this machine right?");
        }
    }

    /// The text is never repeated: somebody may have written the secret itself.
    fn reference(&mut self, at: &Key, text: &str) -> Option<Reference> {
        match Reference::parse(text) {
            Ok(reference) => Some(reference),
            Err(why) => {
                let hint = "\"credential:NAME\", or an absolute path";
                self.error(at, why.to_string(), hint);
                None
            }
        }
    }

    fn unread(&mut self, at: &Key, reference: &Reference, why: &SecretError) {
        let path = reference.path(&self.surroundings.shelf);
        let what = format!("{} {why}", path.display());
        self.credential(at, what, why.hint());
    }

    /// What only costs this account.
    fn credential(&mut self, at: &Key, what: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Account, at, what.into(), hint.into());
    }

    /// Says it at the key that is to blame.
    fn unusable(&mut self, table: &Key, security: &Security, what: String, why: Option<Unusable>) {
        let (key, hint) = match why {
            None | Some(Unusable::Engine(_)) => ("mode", ""),
            Some(Unusable::CertificateMissing | Unusable::CertificateUnreadable) => ("cert", ""),
            Some(Unusable::Host) if security.sni.is_some() => ("sni", ""),
            Some(Unusable::Host) => ("mode", "look at the host in `uri`"),
            Some(Unusable::IdentityLength) => ("identity", ""),
            Some(Unusable::KeyMismatch) => ("key", "is it the key that `cert` was made with?"),
            Some(Unusable::KeyEncrypted | Unusable::KeyLength | Unusable::KeyUnreadable) => {
                ("key", "")
            }
            Some(Unusable::NothingTrusted) => ("mode", nothing_trusted(security.usage)),
            Some(Unusable::NoSuite) => ("suites", ""),
            Some(Unusable::ServerHashLength) => ("server_hash", ""),
            Some(Unusable::ServerUnreadable) => ("server_cert", ""),
            Some(Unusable::TrustStoreUnreadable) => ("ca", ""),
        };
        self.credential(&below(table, key), what, hint);
    }

    fn suites(&mut self, at: &Key, names: &[String]) -> Vec<u16> {
        let mut numbers = Vec::new();
        for name in names {
            if let Some(suite) = SUITES.iter().find(|suite| suite.name == name) {
                numbers.push(suite.number);
                continue;
            }
            let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            let hint = suggestion(name, &known);
            self.error(at, format!("no cipher suite `{name}` is known"), hint);
        }
        numbers
    }
}

/// As the configuration says it.
const fn word(mode: schema::SecurityMode) -> &'static str {
    match mode {
        schema::SecurityMode::None => "none",
        schema::SecurityMode::Psk => "psk",
        schema::SecurityMode::X509 => "x509",
    }
}

/// In 0/x/15.
const fn number(usage: CertificateUsage) -> u8 {
    match usage {
        CertificateUsage::CaConstraint => 0,
        CertificateUsage::ServiceCertificateConstraint => 1,
        CertificateUsage::TrustAnchor => 2,
        CertificateUsage::DomainIssued => 3,
    }
}

const fn nothing_trusted(usage: Option<CertificateUsage>) -> &'static str {
    match usage {
        Some(CertificateUsage::CaConstraint | CertificateUsage::ServiceCertificateConstraint) => {
            "write `ca`, and `server_cert` or `server_hash`"
        }
        Some(CertificateUsage::DomainIssued | CertificateUsage::TrustAnchor) | None => {
            "write `ca`, or `server_cert`"
        }
    }
}
