//! Credentials: what is accepted, and which file is blamed for what.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use lamplighter::config::{Checked, Severity};
use lamplighter_lwm2m::security::SecurityMode;

use crate::{directory, put, put_secret, source};

pub(crate) fn vector(name: &str) -> PathBuf {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/dtls");
    vectors.canonicalize().unwrap().join(name)
}

/// One server with these words in `security`, beside a good one, and files in `credentials/`.
pub(crate) fn check(security: &str, credentials: &[(&str, &[u8])]) -> Checked {
    let directory = directory("security");
    let text = format!(
        "[server.good]\nuri = \"coaps://192.0.2.5\"\nshort_id = 101\nowner = true\n\
         security = {{ mode = \"psk\", identity = \"a\", key = \"credential:main-psk\" }}\n\
         [server.it]\nuri = \"coaps://lwm2m.example\"\nshort_id = 102\nrights = {{ \"*\" = \"R\" }}\n\
         [server.it.security]\n{security}\n"
    );
    put(&directory, "lamplighter.toml", &text);
    for (name, content) in credentials {
        put_secret(&directory, &format!("credentials/{name}"), content);
    }
    let checked = source(&directory).check();
    fs::remove_dir_all(directory).unwrap();
    checked
}

pub(crate) fn x509(cert: &str, further: &str) -> String {
    format!(
        "mode = \"x509\"\nca = \"{}\"\ncert = \"{}\"\nkey = \"credential:client\"\n{further}",
        vector("authority.der").display(),
        vector(cert).display(),
    )
}

/// What the vector's private key is as a credential.
pub(crate) fn key(name: &str) -> Vec<u8> {
    let der = fs::read(vector(name)).unwrap();
    let hex: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hex:{hex}").into_bytes()
}

#[test]
fn keys_and_certificates_become_accounts() {
    let checked = check(
        "mode = \"psk\"\nidentity = \"cab-17\"\nkey = \"credential:it\"\nconnection_id = false\n\
         suites = [\"TLS_PSK_WITH_AES_128_CCM_8\"]\nsni = \"tenant.example\"",
        &[("it", b"hex:00010203")],
    );
    assert_eq!(checked.problems, []);
    let account = &checked.config.unwrap().servers[1].security;
    assert_eq!(account.mode, SecurityMode::Psk);
    assert_eq!(account.uri, "coaps://lwm2m.example:5684");
    assert_eq!(account.identity, b"cab-17");
    assert_eq!(account.secret_key.expose(), [0, 1, 2, 3]);
    assert_eq!(account.connection_id, Some(false));
    assert_eq!(account.cipher_suites, [0xC0A8]);
    assert!(account.session().is_ok());

    let client = key("client.key.der");
    let checked = check(
        &x509("client.der", "strict_time = true"),
        &[("client", &client)],
    );
    assert_eq!(checked.problems, []);
    let account = &checked.config.unwrap().servers[1].security;
    assert_eq!(account.mode, SecurityMode::X509);
    assert!(account.strict_time && account.trust_store.len() == 1);
    assert!(account.session().is_ok());
}

/// The one problem of the second server, and that the first is not touched.
fn assert_told(security: &str, credentials: &[(&str, &[u8])], line: usize, words: &str) {
    let checked = check(security, credentials);
    let told: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{security}: {told:#?}");
    assert!(told[0].contains(words), "{words}: {told:#?}");
    // The table begins in line 10.
    assert_eq!(checked.problems[0].place.line, Some(10 + line), "{told:#?}");
    assert_eq!(checked.problems[0].severity, Severity::Account);
    let servers = checked.config.unwrap().servers;
    assert!(servers[0].security.session().is_ok());
    let why = servers[1].security.session().unwrap_err().to_string();
    assert!(told[0].contains(&why), "{why}: {told:#?}");
}

#[test]
fn a_bad_credential_is_named_with_its_reason_and_costs_its_server_only() {
    let psk = "mode = \"psk\"\nidentity = \"cab-17\"\nkey = \"credential:it\"";
    let long = format!("hex:{}", "07".repeat(129)).into_bytes();
    for (content, words) in [
        (None, "credentials/it cannot be read: No such file"),
        (
            Some(&b"swordfish"[..]),
            "credentials/it does not begin with hex:",
        ),
        (Some(b"hex:0"), "credentials/it is not what its prefix says"),
        (Some(b"text:"), "credentials/it is empty"),
        (
            Some(&long),
            "the key has 129 bytes, and 1 to 128 are possible",
        ),
    ] {
        let files: Vec<_> = content.map(|content| ("it", content)).into_iter().collect();
        assert_told(psk, &files, 3, words);
    }

    let client = key("client.key.der");
    let stranger = key("stranger.key.der");
    let cut = &client[..client.len() - 20];
    let good = x509("client.der", "");
    for (file, words) in [
        (
            &stranger[..],
            "the private key does not belong to our certificate",
        ),
        (cut, "the private key cannot be read"),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
            "the private key is encrypted",
        ),
    ] {
        assert_told(&good, &[("client", file)], 4, words);
    }
    let absent = x509("absent.der", "");
    assert_told(
        &absent,
        &[("client", &client)],
        3,
        "absent.der cannot be read",
    );
    let no_certificate = x509("client.key.der", "");
    assert_told(
        &no_certificate,
        &[("client", &client)],
        3,
        "client.key.der holds no certificate that can be read",
    );
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let directory = directory("mode");
    put(&directory, "lamplighter.toml", crate::SERVER);
    let key = directory.join("credentials/main-psk");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let checked = source(&directory).check();
    let problem = &checked.problems[0];
    assert!(problem.what.contains("has mode 0644: others can read it"));
    assert_eq!(problem.hint.as_deref(), Some("chmod 600"));
    assert!(checked.config.is_some());
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_certificate_that_is_over_is_told_and_used() {
    let client = key("server.key.der");
    let checked = check(&x509("expired.der", ""), &[("client", &client)]);
    let told = &checked.problems[0];
    assert_eq!(told.severity, Severity::Warning, "{told}");
    assert!(
        told.what.contains("expired.der: a certificate has expired"),
        "{told}"
    );
}

// What the usage asks for and the account does not name.
#[test]
fn a_usage_without_what_it_speaks_of_is_told() {
    let client = key("client.key.der");
    let files = [("client", &client[..])];
    for usage in ["ca_constraint", "service_certificate_constraint"] {
        let words = x509("client.der", &format!("usage = \"{usage}\""));
        assert_told(
            &words,
            &files,
            1,
            "neither a server certificate nor an authority",
        );
        let checked = check(&words, &files);
        let hint = checked.problems[0].hint.as_deref();
        assert_eq!(hint, Some("write `ca`, and `server_cert` or `server_hash`"));
    }
    let two = "server_cert = \"credential:two\"";
    let both = [read("server.der"), read("issuer.der")]
        .map(|der| pem(&der))
        .concat();
    let files = [("client", &client[..]), ("two", both.as_bytes())];
    assert_told(
        &x509("client.der", two),
        &files,
        5,
        "the file has 2 certificates",
    );
    let none = "server_cert = \"credential:two\"";
    let files = [("client", &client[..]), ("two", &b"?"[..])];
    assert_told(
        &x509("client.der", none),
        &files,
        5,
        "holds no certificate that can be read",
    );
}

fn read(name: &str) -> Vec<u8> {
    fs::read(vector(name)).unwrap()
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    for (security, words) in [
        ("mode = \"psk\"", "the key `identity` is missing"),
        ("mode = \"x509\"", "the key `cert` is missing"),
        ("mode = \"none\"", "coaps:// needs security"),
        (
            "mode = \"psk\"\nidentity = \"a\"\nkey = \"credential:main-psk\"\nca = \"/a\"",
            "`ca` means nothing in mode \"psk\"",
        ),
        (
            "mode = \"psk\"\nidentity = \"a\"\nkey = \"credential:main-psk\"\nsuites = [\"TLS_PSK_WITH_AES_128_CCM8\"]",
            "did you mean `TLS_PSK_WITH_AES_128_CCM`?",
        ),
        (
            "mode = \"x509\"\nserver_hash = \"00\"",
            "that is not a hash in hex",
        ),
        (
            "mode = \"x509\"\nserver_hash = \"no hex\"",
            "64 digits of SHA-256, 96 of SHA-384 or 128 of SHA-512",
        ),
        (
            "mode = \"x509\"\nserver_hash = \"00\"\nserver_cert = \"/a\"",
            "`server_cert` says the same",
        ),
        (
            "mode = \"x509\"\nusage = \"ca-constraint\"",
            "did you mean `ca_constraint`?",
        ),
        (
            "mode = \"psk\"\nidentity = \"a\"\nkey = \"credential:main-psk\"\nusage = \"domain_issued\"",
            "`usage` means nothing in mode \"psk\"",
        ),
        (
            "mode = \"psk\"\nidentity = \"a\"\nkey = \"credential:main-psk\"\nserver_hash = \"00\"",
            "`server_hash` means nothing in mode \"psk\"",
        ),
    ] {
        let checked = check(security, &[]);
        let told: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|told| told.contains(words)),
            "{words}: {told:#?}"
        );
        assert!(checked.config.is_none());
    }
}

#[test]
fn a_secret_in_the_configuration_itself_is_refused_and_not_repeated() {
    let checked = check("mode = \"psk\"\nidentity = \"a\"\nkey = \"swordfish\"", &[]);
    let told: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    assert!(
        told[0].contains("does not stand in the configuration itself"),
        "{told:?}"
    );
    assert!(!told.concat().contains("swordfish"));
}
