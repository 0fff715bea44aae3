//! SenML in CBOR (112): RFC 8428, 6.

use lamplighter_model::{Decimal, Value};
use minicbor::data::Type;

use super::{
    DecodeError, DecodeErrorKind, EncodeError, MAX_VALUES,
    cbor::{self, Reader, Writer, Written},
    senml::{self, Notation, Record},
};

/// Labels of RFC 8428, table 4.
mod label {
    pub(super) const VERSION: i64 = -1;
    pub(super) const BASE_NAME: i64 = -2;
    pub(super) const BASE_TIME: i64 = -3;
    pub(super) const BASE_VALUE: i64 = -5;
    pub(super) const NAME: i64 = 0;
    pub(super) const VALUE: i64 = 2;
    pub(super) const STRING: i64 = 3;
    pub(super) const BOOLEAN: i64 = 4;
    pub(super) const TIME: i64 = 6;
    pub(super) const DATA: i64 = 8;
    /// OMA's own.
    pub(super) const OBJECT_LINK: &str = "vlo";
}

pub(super) fn encode(records: &[Record<'_>]) -> Result<Vec<u8>, EncodeError> {
    records
        .iter()
        .filter_map(|record| record.value.as_deref())
        .try_for_each(cbor::check)?;
    Ok(cbor::written(|writer| {
        writer.array(records.len() as u64)?;
        records
            .iter()
            .try_for_each(|record| write_record(writer, record))
    }))
}

fn write_record(writer: &mut Writer, record: &Record<'_>) -> Written {
    let fields = [
        record.base_name.is_some(),
        record.base_time.is_some(),
        record.name.is_some(),
        record.time.is_some(),
        record.value.is_some(),
    ];
    writer.map(fields.iter().filter(|present| **present).count() as u64)?;
    if let Some(name) = &record.base_name {
        writer.i64(label::BASE_NAME)?.str(name)?;
    }
    if let Some(time) = record.base_time {
        writer.i64(label::BASE_TIME)?;
        write_seconds(writer, time)?;
    }
    if let Some(name) = &record.name {
        writer.i64(label::NAME)?.str(name)?;
    }
    if let Some(time) = record.time {
        writer.i64(label::TIME)?;
        write_seconds(writer, time)?;
    }
    let Some(value) = &record.value else {
        return Ok(());
    };
    match value.as_ref() {
        Value::Boolean(_) => writer.i64(label::BOOLEAN)?,
        Value::Corelnk(_) | Value::String(_) => writer.i64(label::STRING)?,
        Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_) => writer.i64(label::VALUE)?,
        Value::Objlnk(_) => writer.str(label::OBJECT_LINK)?,
        Value::Opaque(_) => writer.i64(label::DATA)?,
    };
    cbor::write_value(writer, value)
}

fn write_seconds(writer: &mut Writer, milliseconds: i64) -> Written {
    let seconds = Decimal::new(milliseconds, -3);
    let whole = seconds.to_integer().map(Value::Integer);
    cbor::write_value(writer, &whole.unwrap_or(Value::Decimal(seconds)))
}

/// SenML in CBOR, to be read.
pub(super) struct Cbor;

impl Notation for Cbor {
    fn read_records(
        payload: &[u8],
        mut take: impl FnMut(Record<'_>) -> Result<(), DecodeErrorKind>,
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(payload);
        let count = reader
            .array()
            .map_err(|error| cbor::error_kind(&error).at(0))?;
        let mut records = 0;
        loop {
            let offset = reader.position();
            if cbor::at_end(&mut reader, count, records).map_err(|kind| kind.at(offset))? {
                break;
            }
            if records == MAX_VALUES as u64 {
                return Err(DecodeErrorKind::TooLarge.at(offset));
            }
            read_record(&mut reader)
                .and_then(&mut take)
                .map_err(|kind| kind.at(offset))?;
            records += 1;
        }
        if reader.position() != payload.len() {
            return Err(DecodeErrorKind::TrailingBytes.at(reader.position()));
        }
        Ok(())
    }
}

fn read_record(reader: &mut Reader<'_>) -> Result<Record<'static>, DecodeErrorKind> {
    let count = reader.map().map_err(|error| cbor::error_kind(&error))?;
    let mut record = Record::default();
    let mut fields = 0;
    while !cbor::at_end(reader, count, fields)? {
        read_field(reader, &mut record)?;
        fields += 1;
    }
    Ok(record)
}

fn read_field(reader: &mut Reader<'_>, record: &mut Record<'_>) -> Result<(), DecodeErrorKind> {
    let kind = reader
        .datatype()
        .map_err(|error| cbor::error_kind(&error))?;
    if matches!(kind, Type::String | Type::StringIndef) {
        return read_named_field(reader, record);
    }
    match reader.i64().map_err(|error| cbor::error_kind(&error))? {
        label::VERSION if number(reader)?.as_f64() > Some(senml::VERSION as f64) => {
            Err(DecodeErrorKind::Unsupported)
        }
        label::VERSION => Ok(()),
        label::BASE_NAME => once(&mut record.base_name, cbor::read_text(reader)?.into()),
        label::BASE_TIME => once(
            &mut record.base_time,
            senml::milliseconds(&number(reader)?)?,
        ),
        label::BASE_VALUE => Err(DecodeErrorKind::Unsupported),
        label::NAME => once(&mut record.name, cbor::read_text(reader)?.into()),
        label::TIME => once(&mut record.time, senml::milliseconds(&number(reader)?)?),
        label::VALUE if is_null(reader)? => record.set_null(),
        label::VALUE => record.set_value(number(reader)?),
        label::STRING => record.set_value(Value::String(cbor::read_text(reader)?)),
        label::BOOLEAN => match cbor::read_value(reader)? {
            value if matches!(value, Value::Boolean(_)) => record.set_value(value),
            _ => Err(DecodeErrorKind::WrongType),
        },
        label::DATA => match cbor::read_value(reader)? {
            value if matches!(value, Value::Opaque(_)) => record.set_value(value),
            _ => Err(DecodeErrorKind::WrongType),
        },
        // RFC 8428, 4.2: sums, units and what later versions add do not change the value.
        _ => reader.skip().map_err(|error| cbor::error_kind(&error)),
    }
}

fn read_named_field(
    reader: &mut Reader<'_>,
    record: &mut Record<'_>,
) -> Result<(), DecodeErrorKind> {
    let name = cbor::read_text(reader)?;
    if name == label::OBJECT_LINK {
        // Zephyr sends the terminator of its strings along.
        let link = cbor::read_text(reader)?.trim_end_matches('\0').parse()?;
        return record.set_value(Value::Objlnk(link));
    }
    // RFC 8428, 4.4: such a field must be understood.
    if name.ends_with('_') {
        return Err(DecodeErrorKind::Unsupported);
    }
    reader.skip().map_err(|error| cbor::error_kind(&error))
}

/// Takes a null, where one stands next.
fn is_null(reader: &mut Reader<'_>) -> Result<bool, DecodeErrorKind> {
    let kind = reader
        .datatype()
        .map_err(|error| cbor::error_kind(&error))?;
    if kind == Type::Null {
        reader.set_position(reader.position() + 1);
    }
    Ok(kind == Type::Null)
}

fn number(reader: &mut Reader<'_>) -> Result<Value, DecodeErrorKind> {
    match cbor::read_value(reader)? {
        value @ (Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_)) => Ok(value),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_) => Err(DecodeErrorKind::WrongType),
    }
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<(), DecodeErrorKind> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeErrorKind::Duplicate),
    }
}
