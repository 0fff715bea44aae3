//! SML, the Smart Message Language of German meters (BSI TR-03109-1, annex IV): telegrams that come by
//! themselves every few seconds. The transport and the parser are those of `sml-rs`.

mod quirks;
#[cfg(test)]
mod tests;

use lamplighter_model::Decimal;
use sml_rs::{
    parser::{
        common::{ListEntry, ListType, Value},
        streaming::{MessageBody, ParseEvent, Parser},
    },
    transport::{DecodeErr, Decoder},
    util::ArrayBuf,
};

use crate::meter::{
    Content, MeterUnit, Obis, READINGS_MAX, Reading, Readout, Register, Spoilt, Telegrams,
};

/// Longest telegram; real ones have less than 1 kB.
pub const TELEGRAM_MAX: usize = 8 * 1024;
/// Bytes without a telegram after which the decoder begins anew: it counts what it drops in 16 bits.
const DROPPED_MAX: usize = 32 * 1024;

/// Takes the line of an SML meter apart.
#[derive(Default)]
pub struct SmlTelegrams {
    decoder: Box<Decoder<ArrayBuf<TELEGRAM_MAX>>>,
    /// Bytes since the decoder has said something.
    pending: usize,
}

impl Telegrams for SmlTelegrams {
    fn push(&mut self, byte: u8) -> Option<Result<Readout, Spoilt>> {
        self.pending += 1;
        let told = match self.decoder.push_byte(byte) {
            Ok(None) => None,
            Ok(Some(telegram)) => Some(read(telegram)),
            // What stands before a start: the end of a telegram that we came in the middle of.
            Err(DecodeErr::DiscardedBytes(_)) => {
                self.pending = 0;
                None
            }
            Err(DecodeErr::OutOfMemory) => Some(Err(Spoilt::TooLong)),
            Err(DecodeErr::InvalidEsc(_) | DecodeErr::InvalidMessage { .. }) => {
                Some(Err(Spoilt::Checksum))
            }
        };
        if told.is_some() {
            self.pending = 0;
        } else if self.pending > DROPPED_MAX {
            self.reset();
        }
        told
    }

    fn reset(&mut self) {
        self.decoder.reset();
        self.pending = 0;
    }
}

/// Reads one telegram without its transport.
///
/// # Errors
/// Something in it is no SML.
pub fn read(telegram: &[u8]) -> Result<Readout, Spoilt> {
    if has_absurd_length(telegram) {
        return Err(Spoilt::Malformed("a list without end".to_owned()));
    }
    let mut readout = Readout::default();
    let mut server = &[][..];
    for event in Parser::new(telegram) {
        let event = event.map_err(|error| Spoilt::Malformed(format!("{error:?}")))?;
        match event {
            ParseEvent::MessageStart(start) => match start.message_body {
                MessageBody::GetListResponse(list) => {
                    server = list.server_id;
                    readout.serial = Some(hex(server));
                }
                MessageBody::OpenResponse(_) | MessageBody::CloseResponse(_) => {}
            },
            ParseEvent::ListEntry(entry) if readout.readings.len() < READINGS_MAX => {
                readout.readings.extend(reading(&entry, server));
            }
            ParseEvent::ListEntry(_) | ParseEvent::GetListResponseEnd(_) => {}
        }
    }
    readout.meter = maker(&readout);
    Ok(readout)
}

/// The parser adds to the length of a list, in 32 bits: seven bytes of length could overflow them. No
/// meter writes such a thing; the same bytes within a text cost one telegram.
fn has_absurd_length(telegram: &[u8]) -> bool {
    telegram
        .windows(7)
        .any(|bytes| bytes[0] & 0xF0 == 0xF0 && bytes[1..].iter().all(|byte| byte & 0xF0 == 0x80))
}

/// `None` for what has no OBIS number, or a number that nobody can hold.
fn reading(entry: &ListEntry<'_>, server: &[u8]) -> Option<Reading> {
    let name: [u8; 6] = entry.obj_name.try_into().ok()?;
    let number = |number: i64| Decimal::from(number).scaled(entry.scaler.unwrap_or(0));
    let content = match entry.value {
        Value::Bool(is_set) => Content::Number(Decimal::from(i64::from(is_set))),
        Value::Bytes(bytes) => Content::Text(text(bytes)),
        Value::I8(value) => Content::Number(number(value.into())?),
        Value::I16(value) => Content::Number(number(quirks::number(server, name, value))?),
        Value::I32(value) => Content::Number(number(value.into())?),
        Value::I64(value) => Content::Number(number(value)?),
        Value::U8(value) => Content::Number(number(value.into())?),
        Value::U16(value) => Content::Number(number(value.into())?),
        Value::U32(value) => Content::Number(number(value.into())?),
        Value::U64(value) => Content::Number(number(i64::try_from(value).ok()?)?),
        Value::List(ListType::Time(_)) => return None,
    };
    let unit = entry.unit.map_or(MeterUnit::Missing, MeterUnit::from_dlms);
    Some(Reading::good(
        Register::Obis(Obis::from_bytes(name)),
        content,
        unit,
    ))
}

/// The maker that the meter names, in one of two registers.
fn maker(readout: &Readout) -> String {
    let registers = [[129, 129, 199, 130, 3, 255], [1, 0, 96, 50, 1, 1]];
    let names = registers.into_iter().map(Obis::from_bytes);
    readout.text_of(names).unwrap_or_else(|| "SML".to_owned())
}

/// Printable bytes as they stand, others in hexadecimal.
fn text(bytes: &[u8]) -> String {
    let is_text = !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if is_text {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        hex(bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

impl std::fmt::Debug for SmlTelegrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmlTelegrams")
    }
}
