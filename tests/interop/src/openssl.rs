//! Keys and certificates by the `openssl` command, and its client, to see that a server's security
//! is as a test asked for.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// What makes keys on P-256, the curve that LwM2M asks for.
const CURVE: &str = "ec_paramgen_curve:P-256";

/// Bytes as peers take them.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn openssl(arguments: &[&str], directory: &Path) -> Output {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is there");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {words}");
    output
}

/// A certification authority in a directory of a test.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

/// A key with its certificate, as files in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(directory: &Path) -> Self {
        let directory = directory.to_owned();
        let make = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            CURVE,
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=authority",
            "-keyout",
            "authority.key",
            "-out",
            "authority.crt",
        ];
        openssl(&make, &directory);
        Self { directory }
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.join("authority.crt")
    }

    /// What `trust` of a Leshan is.
    pub fn trust(&self) -> Value {
        json!([certificate_hex(&self.certificate())])
    }

    /// A certificate of this common name.
    pub fn issue(&self, name: &str) -> Identity {
        self.sign(name, &[])
    }

    /// A certificate of this host, as clients of TLS ask for it.
    pub fn issue_for_host(&self, host: &str) -> Identity {
        let extensions = format!("{host}.ext");
        crate::write(
            &self.directory.join(&extensions),
            format!("subjectAltName=DNS:{host}\n"),
        );
        self.sign(host, &["-extfile", &extensions])
    }

    fn sign(&self, name: &str, more: &[&str]) -> Identity {
        let (key, request, certificate) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.crt"),
        );
        let subject = format!("/CN={name}");
        let ask = [
            "req", "-newkey", "ec", "-pkeyopt", CURVE, "-nodes", "-subj", &subject, "-keyout",
            &key, "-out", &request,
        ];
        openssl(&ask, &self.directory);
        let sign = [
            "x509",
            "-req",
            "-days",
            "30",
            "-in",
            &request,
            "-CA",
            "authority.crt",
            "-CAkey",
            "authority.key",
            "-CAcreateserial",
            "-out",
            &certificate,
        ];
        openssl(&[&sign, more].concat(), &self.directory);
        Identity {
            certificate: self.directory.join(certificate),
            key: self.directory.join(key),
        }
    }
}

impl Identity {
    /// What `identity` of a Leshan is.
    pub fn of_server(&self) -> Value {
        let key = self.key.to_string_lossy();
        let plain = [
            "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", &key,
        ];
        let key = openssl(&plain, Path::new(".")).stdout;
        json!({"key": hex(key), "certificates": [certificate_hex(&self.certificate)]})
    }
}

fn certificate_hex(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = ["x509", "-outform", "DER", "-in", &path];
    hex(openssl(&plain, Path::new(".")).stdout)
}

/// Shakes hands with a server over DTLS 1.2 and hangs up; the cipher suite, `None` where it failed.
/// Servers pass over in silence what they do not like: then it is given up after so many seconds.
pub fn handshake(uri: &str, arguments: &[&str], seconds: u32) -> Option<String> {
    let output = client(uri, arguments, seconds);
    let words = String::from_utf8_lossy(&output.stdout);
    let cipher = words
        .lines()
        .find_map(|line| line.split("Cipher is ").nth(1));
    // The suite is told even where the server refuses the client in the end.
    cipher
        .filter(|_| output.status.success())
        .map(ToOwned::to_owned)
}

fn client(uri: &str, arguments: &[&str], seconds: u32) -> Output {
    let address = uri.trim_start_matches("coaps://");
    Command::new("timeout")
        .args([&seconds.to_string(), "openssl", "s_client"])
        .args(["-dtls1_2", "-connect", address])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is there")
}
