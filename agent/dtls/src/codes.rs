//! Numbers of Mbed TLS as our words, and back.

use mbedtls_rs_sys as sys;

use crate::{
    closed::Closed,
    verify::{Flaws, Untrusted, Validity},
};

/// Why a datagram is worth nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    Forged,
    Malformed,
    Replayed,
}

/// A verification result that means nothing but "no".
pub(crate) const REFUSED: u32 = sys::MBEDTLS_X509_BADCERT_OTHER;

/// No record can hold this message.
pub(crate) const TOO_LONG: i32 = sys::MBEDTLS_ERR_SSL_BAD_INPUT_DATA;

/// What is wrong with a certificate by the engine's findings.
pub(crate) fn flaws(flags: u32) -> Flaws {
    const PURPOSE: u32 = sys::MBEDTLS_X509_BADCERT_KEY_USAGE
        | sys::MBEDTLS_X509_BADCERT_EXT_KEY_USAGE
        | sys::MBEDTLS_X509_BADCERT_NS_CERT_TYPE;
    const WEAK: u32 = sys::MBEDTLS_X509_BADCERT_BAD_MD
        | sys::MBEDTLS_X509_BADCERT_BAD_PK
        | sys::MBEDTLS_X509_BADCERT_BAD_KEY;
    const NAME: u32 = sys::MBEDTLS_X509_BADCERT_CN_MISMATCH;
    const UNTRUSTED: u32 = sys::MBEDTLS_X509_BADCERT_NOT_TRUSTED;
    Flaws {
        name: flags & NAME != 0,
        other: flags & !(PURPOSE | WEAK | NAME | UNTRUSTED) != 0,
        purpose: flags & PURPOSE != 0,
        untrusted: flags & UNTRUSTED != 0,
        weak: flags & WEAK != 0,
    }
}

/// The finding that makes the engine send the fitting alert.
pub(crate) const fn flag(why: Untrusted) -> u32 {
    match why {
        Untrusted::Chain => sys::MBEDTLS_X509_BADCERT_NOT_TRUSTED,
        Untrusted::Expired => sys::MBEDTLS_X509_BADCERT_EXPIRED,
        Untrusted::Name => sys::MBEDTLS_X509_BADCERT_CN_MISMATCH,
        Untrusted::NotYetValid | Untrusted::ClockUnknown => sys::MBEDTLS_X509_BADCERT_FUTURE,
        Untrusted::Other | Untrusted::Unreadable => REFUSED,
        Untrusted::Purpose => sys::MBEDTLS_X509_BADCERT_KEY_USAGE,
        Untrusted::Weak => sys::MBEDTLS_X509_BADCERT_BAD_KEY,
    }
}

/// Whether the engine only waits for more, or has passed over something.
pub(crate) const fn is_waiting(code: i32) -> bool {
    matches!(
        code,
        sys::MBEDTLS_ERR_SSL_WANT_READ
            | sys::MBEDTLS_ERR_SSL_WANT_WRITE
            | sys::MBEDTLS_ERR_SSL_UNEXPECTED_RECORD
            | sys::MBEDTLS_ERR_SSL_NON_FATAL
    )
}

/// What a check of a single record means.
pub(crate) const fn flaw(code: i32) -> Option<Flaw> {
    match code {
        0 => None,
        sys::MBEDTLS_ERR_SSL_UNEXPECTED_RECORD => Some(Flaw::Replayed),
        sys::MBEDTLS_ERR_SSL_INVALID_MAC => Some(Flaw::Forged),
        _ => Some(Flaw::Malformed),
    }
}

/// What is known when an association ends.
pub(crate) struct End {
    /// Number of the alert, when one was received.
    pub(crate) alert: u8,
    pub(crate) code: i32,
    /// What the engine found wrong with the peer's certificate beyond the verdict.
    pub(crate) flags: u32,
    /// Where in the handshake it was.
    pub(crate) state: u32,
    pub(crate) verdict: Option<Result<Validity, Untrusted>>,
}

impl End {
    pub(crate) fn reason(&self) -> Closed {
        match self.code {
            sys::MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY => Closed::Peer(0),
            sys::MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE => Closed::Peer(self.alert),
            // Also when what should show the peer's key shows another.
            sys::MBEDTLS_ERR_SSL_TIMEOUT | sys::MBEDTLS_ERR_SSL_INVALID_MAC
                if self.awaits_finished() =>
            {
                Closed::Unconfirmed
            }
            sys::MBEDTLS_ERR_SSL_TIMEOUT => Closed::TimedOut,
            code => match self.verdict {
                Some(Err(why)) => Closed::Untrusted(why),
                Some(Ok(_)) if code == sys::MBEDTLS_ERR_SSL_BAD_CERTIFICATE => {
                    let why = flaws(self.flags).check().err();
                    Closed::Untrusted(why.unwrap_or(Untrusted::Purpose))
                }
                Some(Ok(_)) | None if is_x509(code) => Closed::Untrusted(Untrusted::Unreadable),
                Some(Ok(_)) | None => Closed::Protocol(code),
            },
        }
    }

    /// Whether both sides have computed their keys, and the peer should have shown it.
    const fn awaits_finished(&self) -> bool {
        self.state == sys::mbedtls_ssl_states_MBEDTLS_SSL_SERVER_CHANGE_CIPHER_SPEC
            || self.state == sys::mbedtls_ssl_states_MBEDTLS_SSL_SERVER_FINISHED
    }
}

/// Errors of the modules for certificates and public keys; their numbers come as a sum with those
/// of lower modules. // mbedtls/error.h
const fn is_x509(code: i32) -> bool {
    const LOWER: i32 = 0x80;
    let module = -code / LOWER * LOWER;
    matches!(module, 0x2080..=0x2A00 | 0x3000 | 0x3880..=0x3F80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32, state: u32, verdict: Option<Result<Validity, Untrusted>>) -> Closed {
        End {
            alert: 51,
            code,
            flags: sys::MBEDTLS_X509_BADCERT_BAD_KEY,
            state,
            verdict,
        }
        .reason()
    }

    #[test]
    fn ends_have_their_reasons() {
        let timeout = sys::MBEDTLS_ERR_SSL_TIMEOUT;
        let finished = sys::mbedtls_ssl_states_MBEDTLS_SSL_SERVER_FINISHED;
        assert_eq!(end(timeout, 2, None), Closed::TimedOut);
        assert_eq!(end(timeout, finished, None), Closed::Unconfirmed);
        let forged = sys::MBEDTLS_ERR_SSL_INVALID_MAC;
        assert_eq!(end(forged, finished, None), Closed::Unconfirmed);
        // A curve that is not on our list.
        let bad = sys::MBEDTLS_ERR_SSL_BAD_CERTIFICATE;
        let valid = Validity { begins: 0, ends: 1 };
        let weak = Closed::Untrusted(Untrusted::Weak);
        assert_eq!(end(bad, 2, Some(Ok(valid))), weak);
        let alert = sys::MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
        assert_eq!(end(alert, 2, None), Closed::Peer(51));
        let refused = sys::MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
        let why = Untrusted::Expired;
        assert_eq!(end(refused, 2, Some(Err(why))), Closed::Untrusted(why));
        // A certificate with an RSA key: unknown kind of key, found by the public key module.
        let unreadable = sys::MBEDTLS_ERR_PK_UNKNOWN_PK_ALG;
        let why = Untrusted::Unreadable;
        assert_eq!(end(unreadable, 2, None), Closed::Untrusted(why));
    }

    /// Another version has other flaws: decision 0010 says what concerns us, and what to do.
    #[test]
    fn the_library_is_the_one_that_was_looked_at() {
        assert_eq!(sys::MBEDTLS_VERSION_STRING, b"3.6.5\0");
    }

    #[test]
    fn every_refusal_leaves_a_finding() {
        for why in Untrusted::ALL {
            assert_ne!(flag(why), 0);
        }
    }
}
