//! The fixed structure of old meters: two counters (EN 13757-3, annex G).

use super::{
    address::Secondary,
    meaning::{Meaning, UNKNOWN},
    record::{Function, Record, RecordValue, bcd, integer},
    telegram::{Header, Status, Telegram, TelegramError},
};

/// Status: the counters are binary, not decimal digits.
const BINARY: u8 = 0x01;
/// Status: the counters were kept at a fixed date.
const KEPT: u8 = 0x02;
/// In place of a unit: that of the first counter, kept at a fixed date.
const SAME_KEPT: u8 = 0x3E;
const WITHOUT: u8 = 0x3F;

pub(super) fn parse(data: &[u8], is_big_endian: bool) -> Result<Telegram, TelegramError> {
    let Some(&[a, b, c, d, access, status, first, second]) = data.first_chunk::<8>() else {
        return Err(TelegramError::Cut);
    };
    let counters = data.get(8..16).ok_or(TelegramError::Cut)?;
    let identification = if is_big_endian {
        [d, c, b, a]
    } else {
        [a, b, c, d]
    };
    let mut header = [0xFF; 8];
    header[..4].copy_from_slice(&identification);
    let (first, second) = (first & 0x3F, second & 0x3F);
    let storage = u64::from(status & KEPT != 0);
    let units = match second {
        SAME_KEPT => [(first, storage), (first, 1)],
        _ => [(first, storage), (second, storage)],
    };
    let records = units
        .into_iter()
        .zip(counters.chunks(4))
        .map(|((code, storage), bytes)| {
            let mut bytes = bytes.to_vec();
            if is_big_endian {
                bytes.reverse();
            }
            counter(code, storage, &bytes, status & BINARY != 0)
        });
    Ok(Telegram {
        records: records.collect(),
        header: Some(Header {
            secondary: Some(Secondary::from_header(&header)),
            access,
            status: Status(status & !(BINARY | KEPT)),
        }),
        ..Telegram::default()
    })
}

fn counter(code: u8, storage: u64, bytes: &[u8], is_binary: bool) -> Record {
    let meaning = meaning(code);
    let mantissa = if is_binary {
        integer(bytes)
    } else {
        bcd(bytes)
    };
    let value = mantissa.map_or(RecordValue::Missing("it is no number"), |mantissa| {
        meaning.number(mantissa)
    });
    Record {
        header: vec![code],
        function: Function::Instantaneous,
        storage,
        tariff: 0,
        subunit: 0,
        meaning,
        value,
    }
}

/// EN 13757-3, table G.2: each quantity has nine powers of ten.
fn meaning(code: u8) -> Meaning {
    const LADDERS: [(u8, &str, &str, i8); 6] = [
        (0x02, "energy", "Wh", 0),
        (0x0B, "energy", "J", 3),
        (0x14, "power", "W", 0),
        (0x1D, "power", "J/h", 3),
        (0x26, "volume", "m3", -6),
        (0x2F, "volume_flow", "m3/h", -6),
    ];
    let ladder = LADDERS
        .iter()
        .rfind(|(first, ..)| *first <= code && code < first + 9);
    if let Some((first, quantity, unit, power)) = ladder {
        return Meaning::fixed(
            quantity,
            unit,
            power + i8::try_from(code - first).unwrap_or(0),
        );
    }
    match code {
        0x38 => Meaning::fixed("temperature", "Cel", -3),
        0x39 => Meaning::fixed("heat_cost", "", 0),
        WITHOUT => Meaning::fixed("dimensionless", "", 0),
        _ => Meaning::fixed("other", UNKNOWN, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_counters_are_read() {
        // EN 13757-3, annex G: litres, decimal digits; the second one kept at a fixed date.
        let data = [
            0x78, 0x56, 0x34, 0x12, 0x0A, 0x00, 0xE9, 0x7E, 0x01, 0x00, 0x00, 0x00, 0x35, 0x01,
            0x00, 0x00,
        ];
        let telegram = parse(&data, false).unwrap();
        let shown: Vec<_> = telegram.records.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["volume 0.001 m3", "volume 0.135 m3, storage 1"]);
        let secondary = telegram.header.unwrap().secondary.unwrap();
        assert_eq!(secondary.identification(), "12345678");
        let mut binary = data;
        binary[5] = 0x01;
        let telegram = parse(&binary, false).unwrap();
        assert_eq!(telegram.records[1].value.to_string(), "0.309");
        assert_eq!(parse(&data[..15], false), Err(TelegramError::Cut));
    }
}
