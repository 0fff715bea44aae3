//! Changes inputs. Nothing here knows what a change has reached in the code.

use lamplighter_sim_tests::chance::Chance;

/// What formats stumble over: ends of ranges, lengths, structure of CBOR, JSON, TLV, XML, TOML.
const INTERESTING: &[&[u8]] = &[
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff; 8],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x9f],
    &[0xbf],
    &[0x5f],
    &[0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xf9, 0x7e, 0],
    &[0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
    &[0xc4, 0x82],
    &[0xc2],
    b"-1",
    b"0",
    b"65535",
    b"65536",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1e308",
    b"1e-400",
    b"1e99999",
    b"NaN",
    b"null",
    b"true",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"/",
    b"/65535/0",
    b"[",
    b"]",
    b"{",
    b"}",
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b"&amp;",
    "\u{fffd}".as_bytes(),
    "\u{1f600}".as_bytes(),
];

/// One to a few changes of `input`; `other` lends pieces.
pub fn changed(chance: &mut Chance, input: &[u8], other: &[u8], longest: usize) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.below(4) {
        change(chance, &mut bytes, other);
    }
    bytes.truncate(longest);
    bytes
}

fn change(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = chance.index(bytes.len() + 1);
    let end = (at + 1 + chance.index(16)).min(bytes.len());
    match chance.below(11) {
        0 => edit(bytes, at, |byte| byte ^ (1 << chance.below(8))),
        1 => edit(bytes, at, |_| chance.next().to_le_bytes()[0]),
        2 => edit(bytes, at, |byte| byte.wrapping_add(1)),
        3 => edit(bytes, at, |byte| byte.wrapping_sub(1)),
        4 => drop(bytes.drain(at..end)),
        5 => bytes.truncate(at),
        6 => {
            let piece = bytes[at..end].to_vec();
            let most = if chance.permille(20) { 200 } else { 3 };
            let count = 1 + chance.index(most);
            insert(bytes, at, &piece.repeat(count));
        }
        7 | 8 => {
            let piece = INTERESTING[chance.index(INTERESTING.len())];
            if chance.permille(500) {
                bytes.drain(at..(at + piece.len()).min(bytes.len()));
            }
            insert(bytes, at, piece);
        }
        9 => {
            let from = chance.index(other.len() + 1);
            let to = from + chance.index(other.len() - from + 1);
            insert(bytes, at, &other[from..to]);
        }
        _ => {
            let from = chance.index(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn edit(bytes: &mut [u8], at: usize, how: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = how(*byte);
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}
