//! What some meters say wrongly, as data.

use std::ops::RangeInclusive;

/// Meters that tell a positive number of 16 bits as if it had a sign.
struct Unsigned {
    /// Bytes of the server id behind its length and medium.
    maker: &'static [u8],
    /// The number on the plate, which stands behind the maker and one byte of its own.
    serials: RangeInclusive<u64>,
    register: [u8; 6],
}

/// DZG DVS74, power between 327.68 and 655.35 W. The maker names these ranges of numbers
/// (volkszaehler/libsml, pull request 136); its other meters have the same form and mean the sign.
const UNSIGNED: [Unsigned; 2] = [
    Unsigned {
        maker: b"DZG",
        serials: 42_000_000..=48_999_999,
        register: [1, 0, 16, 7, 0, 255],
    },
    Unsigned {
        maker: b"DZG",
        serials: 55_000_000..=58_999_999,
        register: [1, 0, 16, 7, 0, 255],
    },
];

/// A number of 16 bits as this meter means it.
pub(super) fn number(server: &[u8], register: [u8; 6], value: i16) -> i64 {
    let is_unsigned = UNSIGNED
        .iter()
        .any(|quirk| quirk.register == register && quirk.is_of(server));
    if is_unsigned {
        i64::from(value.cast_unsigned())
    } else {
        i64::from(value)
    }
}

impl Unsigned {
    /// Server ids are length, medium, maker, a block and four bytes of number (DIN 43863-5).
    fn is_of(&self, server: &[u8]) -> bool {
        let Some((block, number)) = server
            .get(2..)
            .and_then(|rest| rest.strip_prefix(self.maker))
            .and_then(<[u8]>::split_first)
        else {
            return false;
        };
        let number = number
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        *block == 0 && self.serials.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POWER: [u8; 6] = [1, 0, 16, 7, 0, 255];
    const PLATE_42082910: [u8; 10] = [10, 1, b'D', b'Z', b'G', 0, 2, 0x82, 0x22, 0x5e];
    const PLATE_40051478: [u8; 10] = [10, 1, b'D', b'Z', b'G', 0, 2, 0x63, 0x23, 0x16];

    #[test]
    fn only_the_meters_of_the_table_mean_no_sign() {
        assert_eq!(number(&PLATE_42082910, POWER, -29_912), 35_624);
        assert_eq!(number(&PLATE_42082910, POWER, 300), 300);
        assert_eq!(number(&PLATE_42082910, [1, 0, 36, 7, 0, 255], -1), -1);
        assert_eq!(number(&PLATE_40051478, POWER, -31_020), -31_020);
        for server in [
            &[][..],
            &[10, 1],
            b"\x0a\x01DZG",
            b"\x0a\x01EMH\x00\x02\x82\x22\x5e",
        ] {
            assert_eq!(number(server, POWER, -1), -1);
        }
    }
}
