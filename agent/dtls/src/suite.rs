//! The cipher suites that this crate can speak, by their numbers (0/x/16).

/// One suite of TLS 1.2, as the IANA registry numbers and names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Suite {
    pub number: u16,
    pub name: &'static str,
    pub kind: Kind,
}

/// What a suite proves the identities with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Certificate,
    Psk,
}

/// In the order in which they are offered where an account names none. Those with CBC are offered
/// only by name: a client should not use them. // Transport 1.2, 5.2.8
pub const SUITES: &[Suite] = &[
    psk(0xC0A8, "TLS_PSK_WITH_AES_128_CCM_8"),
    psk(0xC0A4, "TLS_PSK_WITH_AES_128_CCM"),
    psk(0x00A8, "TLS_PSK_WITH_AES_128_GCM_SHA256"),
    psk(0xC0A9, "TLS_PSK_WITH_AES_256_CCM_8"),
    psk(0xC0A5, "TLS_PSK_WITH_AES_256_CCM"),
    psk(0x00A9, "TLS_PSK_WITH_AES_256_GCM_SHA384"),
    psk(0xC037, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256"),
    psk(0x00AE, "TLS_PSK_WITH_AES_128_CBC_SHA256"),
    certificate(0xC0AE, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
    certificate(0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    certificate(0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    certificate(0xC0AF, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"),
    certificate(0xC0AD, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    certificate(0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    certificate(0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
];

/// Offered where an account names none.
const DEFAULTS: &[u16] = &[0xC0A8, 0xC0A4, 0x00A8, 0xC0AE, 0xC0AC, 0xC02B];

const fn psk(number: u16, name: &'static str) -> Suite {
    Suite {
        number,
        name,
        kind: Kind::Psk,
    }
}

const fn certificate(number: u16, name: &'static str) -> Suite {
    Suite {
        number,
        name,
        kind: Kind::Certificate,
    }
}

impl Suite {
    pub fn by_number(number: u16) -> Option<Self> {
        SUITES.iter().copied().find(|suite| suite.number == number)
    }
}

/// What to offer: the account's list without what is unknown or of the other kind, or our own.
pub(crate) fn offer(kind: Kind, wanted: &[u16]) -> Vec<Suite> {
    let numbers = if wanted.is_empty() { DEFAULTS } else { wanted };
    let known = numbers
        .iter()
        .filter_map(|number| Suite::by_number(*number));
    known.filter(|suite| suite.kind == kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_the_account_decides_and_its_order_stays() {
        let offered = offer(Kind::Psk, &[0x00AE, 0xC02B, 0x1301, 0xC0A8]);
        let numbers: Vec<u16> = offered.iter().map(|suite| suite.number).collect();
        assert_eq!(numbers, [0x00AE, 0xC0A8]);
    }

    #[test]
    fn without_a_list_no_cbc_is_offered() {
        for kind in [Kind::Psk, Kind::Certificate] {
            let offered = offer(kind, &[]);
            assert!(!offered.is_empty());
            assert!(offered.iter().all(|suite| !suite.name.contains("CBC")));
        }
    }
}
