//! Certificates and keys as files and objects hold them: DER, one behind the other, or PEM.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{engine, security::Unusable};

/// More is not a chain.
const MAX_CERTIFICATES: usize = 64;

/// The certificates of one text or one run of DER values, in their order.
pub fn certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Unusable> {
    let list = if is_pem(bytes) {
        let blocks = blocks(bytes, "CERTIFICATE").ok_or(Unusable::CertificateUnreadable)?;
        blocks.into_iter().map(|block| block.to_vec()).collect()
    } else {
        sequence(bytes).ok_or(Unusable::CertificateUnreadable)?
    };
    if list.len() > MAX_CERTIFICATES {
        return Err(Unusable::CertificateUnreadable);
    }
    Ok(list)
}

/// The private key of one text or DER value: PKCS#8 or SEC 1, not encrypted.
pub fn private_key(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    if !is_pem(bytes) {
        return Ok(Zeroizing::new(bytes.to_vec()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Unusable::KeyUnreadable)?;
    if text.contains("ENCRYPTED") {
        return Err(Unusable::KeyEncrypted);
    }
    ["PRIVATE KEY", "EC PRIVATE KEY"]
        .iter()
        .find_map(|label| blocks(bytes, label)?.into_iter().next())
        .ok_or(Unusable::KeyUnreadable)
}

/// From when until when a certificate (DER) is valid, seconds since 1970; `None`: it cannot be read.
pub fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let mut list = engine::Certificates::new();
    list.add(certificate)?;
    Some(list.validity())
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes
        .windows(b"-----BEGIN ".len())
        .any(|window| window == b"-----BEGIN ")
}

/// The contents of all blocks with this label; other text and other blocks are passed over.
fn blocks(bytes: &[u8], label: &str) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(&begin) {
        let (content, behind) = behind.split_once(&end)?;
        rest = behind;
        // In one piece: what grows leaves copies behind.
        let mut digits = Zeroizing::new(String::with_capacity(content.len()));
        digits.extend(content.split_ascii_whitespace());
        found.push(Zeroizing::new(STANDARD.decode(digits.as_bytes()).ok()?));
    }
    Some(found)
}

/// Splits DER values that stand one behind the other; each must be a SEQUENCE.
fn sequence(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = der_length(bytes)?;
        let (one, rest) = bytes.split_at_checked(length)?;
        found.push(one.to_vec());
        bytes = rest;
    }
    Some(found)
}

/// Of the whole value, its header included.
fn der_length(bytes: &[u8]) -> Option<usize> {
    const SEQUENCE: u8 = 0x30;
    let [SEQUENCE, first, rest @ ..] = bytes else {
        return None;
    };
    if *first < 0x80 {
        return Some(2 + usize::from(*first));
    }
    let count = usize::from(*first & 0x7f);
    if !(1..=3).contains(&count) {
        return None;
    }
    let length = rest
        .get(..count)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    Some(2 + count + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_may_be_pem_or_der_values_in_a_row() {
        let two = [0x30, 1, 7, 0x30, 0x81, 2, 8, 9];
        let expected = vec![vec![0x30, 1, 7], vec![0x30, 0x81, 2, 8, 9]];
        assert_eq!(certificates(&two).unwrap(), expected);
        let pem = "text\n-----BEGIN CERTIFICATE-----\nMAEH\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\nMIEC\nCAk=\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates(pem.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_or_something_else_is_refused() {
        for bad in [&[0x30, 2, 7][..], &[0x04, 1, 7], &[0x30, 0x84, 0, 0, 0, 1]] {
            assert_eq!(certificates(bad), Err(Unusable::CertificateUnreadable));
        }
        let cut = b"-----BEGIN CERTIFICATE-----\nMAEH\n";
        assert_eq!(certificates(cut), Err(Unusable::CertificateUnreadable));
    }

    #[test]
    fn an_encrypted_key_is_named_as_such() {
        let key =
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAEH\n-----END ENCRYPTED PRIVATE KEY-----";
        assert_eq!(private_key(key).err(), Some(Unusable::KeyEncrypted));
        let key = b"-----BEGIN EC PRIVATE KEY-----\nMAEH\n-----END EC PRIVATE KEY-----";
        assert_eq!(private_key(key).unwrap().as_slice(), [0x30, 1, 7]);
    }
}
