//! Whether a server is there: the first words of a conversation that is not continued.

use std::hash::{BuildHasher, Hasher, RandomState};

/// DTLS 1.2, what comes first: the least that servers accept. Suites and groups are those that
/// LwM2M asks for (Transport 1.2, 5.2), so that a server has no reason to refuse before it asks for
/// the cookie; a refusal would be an answer, too.
const SUITES: [u16; 5] = [
    0xc0a8, // TLS_PSK_WITH_AES_128_CCM_8
    0x00ae, // TLS_PSK_WITH_AES_128_CBC_SHA256
    0xc0ae, // TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
    0xc023, // TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256
    0xc02b, // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
];

/// Supported groups: secp256r1. Formats of points: uncompressed. Signatures: ECDSA with SHA-256.
const EXTENSIONS: [u8; 22] = [
    0, 10, 0, 4, 0, 2, 0, 23, // RFC 8422, 5.1.1
    0, 11, 0, 2, 1, 0, // RFC 8422, 5.1.2
    0, 13, 0, 4, 0, 2, 4, 3, // RFC 5246, 7.4.1.4.1
];

const HANDSHAKE: u8 = 22;
/// RFC 6347, 4.2.1: of the first record, whatever is spoken.
const VERSION_1_0: [u8; 2] = [0xfe, 0xff];
const VERSION_1_2: [u8; 2] = [0xfe, 0xfd];
const CLIENT_HELLO: u8 = 1;
/// Bytes in front of the content of a record.
const RECORD_HEADER: usize = 13;
/// Content types: change of cipher, alert, handshake. // RFC 5246, 6.2.1
const ANSWERS: std::ops::RangeInclusive<u8> = 20..=22;

/// A ClientHello without a cookie. // RFC 6347, 4.2.1 and 4.2.2
pub fn dtls() -> Vec<u8> {
    let mut body = VERSION_1_2.to_vec();
    for _ in 0..4 {
        body.extend(unforeseen().to_be_bytes());
    }
    // No session, no cookie.
    body.extend([0, 0]);
    // All lengths here are far below their bounds.
    body.extend((2 * SUITES.len() as u16).to_be_bytes());
    body.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    // One method of compression: none.
    body.extend([1, 0]);
    body.extend((EXTENSIONS.len() as u16).to_be_bytes());
    body.extend(EXTENSIONS);
    let length = (body.len() as u16).to_be_bytes();
    // Type, length, number, and the whole as its only fragment.
    let mut message = vec![CLIENT_HELLO, 0, length[0], length[1], 0, 0, 0, 0, 0, 0];
    message.extend(length);
    message.extend(body);
    let mut record = vec![HANDSHAKE];
    record.extend(VERSION_1_0);
    // Epoch and number.
    record.extend([0; 8]);
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

/// HelloVerifyRequest, ServerHello or an alert: somebody speaks DTLS there.
pub fn is_dtls(answer: &[u8]) -> bool {
    let [kind, major, ..] = answer else {
        return false;
    };
    answer.len() > RECORD_HEADER && ANSWERS.contains(kind) && *major == VERSION_1_2[0]
}

/// An empty confirmable message. // RFC 7252, 4.3
pub fn coap() -> Vec<u8> {
    let [high, low, ..] = unforeseen().to_be_bytes();
    vec![0x40, 0, high, low]
}

/// A reset, or whatever else belongs to it.
pub fn is_coap(answer: &[u8], question: &[u8]) -> bool {
    let [first, _, high, low, ..] = answer else {
        return false;
    };
    // Version 1, acknowledgement or reset.
    first & 0xe0 == 0x60 && question.ends_with(&[*high, *low])
}

/// A number that nobody can guess. // RFC 5452, 9.2
pub fn unforeseen() -> u64 {
    RandomState::new().build_hasher().finish()
}
