//! `security = { … }` of `[server.NAME]` and `[bootstrap]`.

use serde::Deserialize;

/// Files are named by reference: an absolute path, or `credential:NAME`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Required. Example: `"psk"`.
    pub mode: Option<SecurityMode>,
    /// psk: the name of the key at the server, required, 1–128 bytes. Example: `"cab-17"`.
    pub identity: Option<String>,
    /// psk: the key, 1–128 bytes; x509: the private key of `cert`, PEM or DER. Required, and a file
    /// of mode 0600. Example: `"credential:main-psk"`.
    pub key: Option<String>,
    /// x509: our certificate, then its issuers as far as the server needs them; PEM or DER, required.
    /// Example: `"/etc/lamplighter/cab-17.pem"`.
    pub cert: Option<String>,
    /// x509: the authorities that are trusted. Example: `"/etc/lamplighter/ca.pem"`.
    pub ca: Option<String>,
    /// x509: the certificate that `usage` speaks of (0/x/4). Default: only `ca` decides.
    pub server_cert: Option<String>,
    /// x509: instead of `server_cert` its SHA-256, SHA-384 or SHA-512 in hex (0/x/4, 0/x/13).
    pub server_hash: Option<String>,
    /// x509: what `server_cert` or `server_hash` is to the server (0/x/15). Default: `"domain_issued"`.
    pub usage: Option<CertificateUsage>,
    /// The name that the server is asked for and must prove (0/x/14). Default: the host of the URI.
    pub sni: Option<String>,
    /// Cipher suites by their names at IANA, the first preferred (0/x/16). Default: CCM and GCM with
    /// 128 bits. Example: `["TLS_PSK_WITH_AES_128_CCM_8"]`.
    pub suites: Vec<String>,
    /// Offer a Connection ID, so that a new address needs no handshake. Default: true.
    pub connection_id: Option<bool>,
    /// x509: refuse certificates while the date is not known for certain. Default: false.
    pub strict_time: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum SecurityMode {
    /// Neither secrecy nor authentication: for a closed network only.
    None,
    /// A key that both sides have.
    Psk,
    /// Certificates on both sides.
    X509,
}

/// 0/x/15.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum CertificateUsage {
    /// 0: an authority that must stand in a chain which `ca` accepts.
    CaConstraint,
    /// 1: the server's own, and `ca` must accept it.
    ServiceCertificateConstraint,
    /// 2: the authority to trust.
    TrustAnchor,
    /// 3: the server's own; nobody else is asked.
    DomainIssued,
}
