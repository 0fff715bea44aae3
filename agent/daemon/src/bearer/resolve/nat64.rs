//! Addresses of IPv4 behind the translator of a network that has IPv6 only (RFC 6052, RFC 7050).

use std::net::{Ipv4Addr, Ipv6Addr};

/// The name whose only addresses are of IPv4: what is said of IPv6 was made by the translator.
pub(crate) const IPV4_ONLY: &str = "ipv4only.arpa";

/// Those addresses. // RFC 7050, 2.2
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// What a translator puts in front of an address of IPv4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Prefix {
    bytes: [u8; 16],
    /// In bytes.
    length: usize,
}

/// RFC 6052, 2.2: 32 to 96 bits, the usual one first.
const LENGTHS: [usize; 6] = [12, 8, 7, 6, 5, 4];
/// Bits 64 to 71 are zero, and no part of an address of IPv4.
const GAP: usize = 8;

impl Prefix {
    /// Out of an address of [`IPV4_ONLY`].
    pub(crate) fn of(address: Ipv6Addr) -> Option<Self> {
        let bytes = address.octets();
        LENGTHS
            .into_iter()
            .map(|length| Self { bytes, length })
            .find(|prefix| {
                WELL_KNOWN
                    .iter()
                    .any(|known| prefix.join(*known) == address)
            })
    }

    pub(crate) fn join(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut bytes = [0; 16];
        bytes[..self.length].copy_from_slice(&self.bytes[..self.length]);
        let places = (self.length..16).filter(|place| *place != GAP);
        for (place, byte) in places.zip(address.octets()) {
            bytes[place] = byte;
        }
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_as_in_the_standard() {
        // RFC 6052, 2.4.
        let address = Ipv4Addr::new(192, 0, 2, 33);
        for (length, prefix, expected) in [
            (4, "2001:db8::", "2001:db8:c000:221::"),
            (5, "2001:db8:100::", "2001:db8:1c0:2:21::"),
            (6, "2001:db8:122::", "2001:db8:122:c000:2:2100::"),
            (7, "2001:db8:122:300::", "2001:db8:122:3c0:0:221::"),
            (8, "2001:db8:122:344::", "2001:db8:122:344:c0:2:2100::"),
            (12, "64:ff9b::", "64:ff9b::c000:221"),
        ] {
            let bytes = prefix.parse::<Ipv6Addr>().unwrap().octets();
            let prefix = Prefix { bytes, length };
            assert_eq!(prefix.join(address), expected.parse::<Ipv6Addr>().unwrap());
            let known = prefix.join(WELL_KNOWN[1]);
            assert_eq!(Prefix::of(known).map(|prefix| prefix.length), Some(length));
        }
    }

    #[test]
    fn an_address_that_was_not_made_so_has_no_prefix() {
        assert_eq!(Prefix::of(Ipv6Addr::LOCALHOST), None);
        assert_eq!(Prefix::of("64:ff9b::c000:ac".parse().unwrap()), None);
    }
}
