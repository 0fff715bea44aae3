//! Bytes from device lines.

use lamplighter_adapters::{
    iec62056::{Block, BlockStep, Identification},
    meter::{Obis, Unit, parse_lines},
    modbus::{Byte, DateLayout, Order, PointCodec, RegisterType, Request, Table, find_answer},
};
use lamplighter_model::DataType;

use crate::input::Input;

/// A request and the bytes on the line after it.
pub(crate) fn modbus(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let unit = input.byte();
    let table = input.one_of(&[Table::Coil, Table::Discrete, Table::Holding, Table::Input]);
    let (kind, at) = (input.byte(), input.number());
    let request = match kind % 5 {
        0 => Request::WriteCoil {
            at,
            on: input.is_set(),
        },
        1 => Request::WriteRegister {
            at,
            value: input.number(),
        },
        2 => Request::WriteRegisters {
            at,
            values: vec![input.number(); usize::from(input.byte())],
        },
        _ => Request::Read {
            table,
            at,
            count: input.number(),
        },
    };
    if request.check().is_err() {
        return;
    }
    let line = input.rest();
    if let Some((_, place)) = find_answer(line, unit, &request) {
        assert!(place.end <= line.len(), "an answer beyond the line");
    }
    registers(line);
}

fn registers(bytes: &[u8]) {
    let words: Vec<_> = bytes
        .chunks_exact(2)
        .take(16)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let length = u16::try_from(words.len()).unwrap_or(0);
    let kinds = [
        RegisterType::Bcd(2),
        RegisterType::Bits(3, 7),
        RegisterType::Date(DateLayout::Bcd),
        RegisterType::Date(DateLayout::Iec870),
        RegisterType::Date(DateLayout::Words),
        RegisterType::F16,
        RegisterType::F32,
        RegisterType::F64,
        RegisterType::HalfText(length, Byte::High),
        RegisterType::I8(Byte::Low),
        RegisterType::Text(length),
    ];
    for kind in kinds {
        for order in [Order::Abcd, Order::Badc, Order::Cdab, Order::Dcba] {
            for data_type in [DataType::Float, DataType::Integer, DataType::String] {
                let codec = PointCodec::plain(kind, order, data_type);
                let width = usize::from(kind.width()).min(words.len());
                if let Some((value, _)) = codec.decode(&words[..width]) {
                    // What cannot be written is refused.
                    let _ = codec.encode(&value);
                    let _ = codec.encode_field(&value);
                }
            }
        }
    }
}

/// What a meter says: its identification, a block, the data in it.
pub(crate) fn telegram(bytes: &[u8]) {
    let _ = Identification::parse(bytes);
    let mut block = Block::default();
    for byte in bytes {
        match block.push(byte & 0x7f) {
            BlockStep::More | BlockStep::NoStart => {}
            BlockStep::Damaged | BlockStep::Done { .. } | BlockStep::TooLong => break,
        }
    }
    data(&block.into_text());
    data(bytes);
}

fn data(text: &[u8]) {
    for reading in parse_lines(text) {
        assert!(reading.register.matches(&reading.register), "{reading:?}");
        let content = reading.content.to_string();
        let _ = (content.parse::<Obis>(), content.parse::<Unit>());
    }
}
