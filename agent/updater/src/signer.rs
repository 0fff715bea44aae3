//! Makes what minisign makes, for tests.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const KEY_ID: [u8; 8] = *b"testtest";

/// A key pair.
#[derive(Debug)]
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// The same pair for the same number.
    ///
    /// # Panics
    /// Never: every 32 bytes are a key.
    pub fn new(number: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]);
        Self(pair.expect("32 bytes are a key"))
    }

    /// The file with the public key.
    pub fn public_key(&self) -> String {
        let key = [b"Ed", &KEY_ID[..], self.0.public_key().as_ref()].concat();
        format!("untrusted comment: test key\n{}\n", STANDARD.encode(key))
    }

    /// The file with the signature.
    pub fn sign(&self, content: &[u8], comment: &str) -> String {
        let signature = self.0.sign(&Blake2b512::digest(content));
        let all = [signature.as_ref(), comment.as_bytes()].concat();
        let line = [b"ED", &KEY_ID[..], signature.as_ref()].concat();
        format!(
            "untrusted comment: test signature\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode(line),
            STANDARD.encode(self.0.sign(&all).as_ref())
        )
    }

    /// Package and signature as one file.
    pub fn pack(&self, name: &str, content: &[u8], comment: &str) -> Vec<u8> {
        let signature = self.sign(content, comment);
        let mut archive = member(name, content);
        archive.extend(member(&format!("{name}.minisig"), signature.as_bytes()));
        archive.resize(archive.len() + 1024, 0);
        archive
    }
}

/// Of a tar archive. // POSIX.1-1988, ustar
fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(124, &format!("{:011o}", content.len()));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u64 = header.iter().copied().map(u64::from).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    header[154] = 0;
    let mut member = header;
    member.extend_from_slice(content);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}
