//! SML, by hand: what reads it must not have made it.

use super::Registers;

const ESCAPE: [u8; 4] = [0x1b; 4];

/// Three messages in the transport's frame.
pub(super) fn telegram(registers: &Registers, number: u64) -> Vec<u8> {
    let seconds = u32::try_from(number).unwrap_or(u32::MAX);
    let time = [&[0x72, 0x62, 0x01, 0x65][..], &seconds.to_be_bytes()].concat();
    let server = octets(&registers.serial);
    let file = octets(&seconds.to_be_bytes());
    let open = [&[0x76, 0x01, 0x01][..], &file, &server, &time, &[0x01]].concat();
    let entries = [
        entry([1, 0, 96, 50, 1, 1], None, &octets(b"LMP")),
        entry([1, 0, 96, 1, 0, 255], None, &server),
        entry([1, 0, 1, 8, 0, 255], Some((30, -1)), &energy(registers)),
        entry([1, 0, 16, 7, 0, 255], Some((27, 0)), &power(registers)),
        entry([1, 0, 32, 7, 0, 255], Some((35, -1)), &voltage(registers)),
    ];
    let count = 0x70 | u8::try_from(entries.len()).unwrap_or(0x0f);
    let name = octets(&[1, 0, 98, 10, 255, 255]);
    let list = [
        &[0x77, 0x01][..],
        &server,
        &name,
        &time,
        &[count],
        &entries.concat(),
        &[0x01, 0x01],
    ]
    .concat();
    let messages = [
        message(number, 0, 0x0101, &open),
        message(number, 1, 0x0701, &list),
        message(number, 2, 0x0201, &[0x71, 0x01]),
    ];
    frame(&messages.concat())
}

/// `1b1b1b1b 01010101`, padded to four bytes, `1b1b1b1b 1a`, the padding and the check.
fn frame(messages: &[u8]) -> Vec<u8> {
    let padding = messages.len().wrapping_neg() % 4;
    let mut bytes = [&ESCAPE[..], &[1; 4]].concat();
    let mut body = messages.to_vec();
    body.resize(messages.len() + padding, 0);
    for word in body.chunks(4) {
        bytes.extend(word);
        if word == ESCAPE {
            bytes.extend(word);
        }
    }
    bytes.extend(ESCAPE);
    bytes.extend([0x1a, u8::try_from(padding).unwrap_or(0)]);
    let check = crc16(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

fn message(number: u64, part: u8, tag: u16, body: &[u8]) -> Vec<u8> {
    let id = [&number.to_be_bytes()[5..], &[part]].concat();
    let mut bytes = vec![0x76];
    bytes.extend(octets(&id));
    bytes.extend([0x62, part, 0x62, 0x00, 0x72, 0x63]);
    bytes.extend(tag.to_be_bytes());
    bytes.extend(body);
    let check = crc16(&bytes);
    bytes.push(0x63);
    bytes.extend(check.to_le_bytes());
    bytes.push(0x00);
    bytes
}

/// With a unit and a power of ten where it is a number.
fn entry(obis: [u8; 6], scale: Option<(u8, i8)>, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x77];
    bytes.extend(octets(&obis));
    // No status, no time of its own.
    bytes.extend([0x01, 0x01]);
    match scale {
        Some((unit, power)) => bytes.extend([0x62, unit, 0x52, power.cast_unsigned()]),
        None => bytes.extend([0x01, 0x01]),
    }
    bytes.extend(value);
    bytes.push(0x01);
    bytes
}

/// In tenths of a watt-hour, 64 bits without sign.
fn energy(registers: &Registers) -> Vec<u8> {
    let tenths = u64::try_from(registers.energy_wh * 10).unwrap_or(0);
    [&[0x69][..], &tenths.to_be_bytes()].concat()
}

fn power(registers: &Registers) -> Vec<u8> {
    let watts = i32::try_from(registers.power_w).unwrap_or(0);
    [&[0x55][..], &watts.to_be_bytes()].concat()
}

fn voltage(registers: &Registers) -> Vec<u8> {
    let tenths = u16::try_from(registers.voltage_dv).unwrap_or(0);
    [&[0x63][..], &tenths.to_be_bytes()].concat()
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len() + 1).unwrap_or(0x0f);
    [&[length][..], bytes].concat()
}

/// CRC-16/X-25.
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = u16::MAX;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0x8408;
            }
        }
    }
    !crc
}
