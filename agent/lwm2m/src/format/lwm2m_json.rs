//! LwM2M JSON (11543) of LwM2M 1.0: one object with a base name, a base time and an array of entries
//! that are SenML records under other labels.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lamplighter_model::{Decimal, Path, ResourceInstanceId, ResourcePath, UnixTime, Value};
use serde::Deserialize;
use serde_json::{Number, value::RawValue};

use super::{
    Content, DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, MAX_VALUES, Node,
    RecordTime, json,
    senml::{self, Dialect, Placer, Record},
};

/// The payload. What else stands in it means nothing.
#[derive(Deserialize)]
struct Pack<'a> {
    bn: Option<String>,
    bt: Option<Number>,
    #[serde(borrow)]
    e: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry {
    n: Option<String>,
    t: Option<Number>,
    v: Option<Number>,
    bv: Option<bool>,
    sv: Option<String>,
    ov: Option<String>,
}

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let base_time = nodes.iter().find_map(|node| match node.time {
        Some(RecordTime::Absolute(time)) => Some(time.0),
        Some(RecordTime::Relative(_)) | None => None,
    });
    let mut entries = Vec::new();
    let mut is_alone = false;
    for node in nodes {
        let time = milliseconds(node.time).saturating_sub(base_time.unwrap_or(0));
        let mut entry = |index: Option<ResourceInstanceId>, value: &Value| {
            let value = frame.fitted(node.path, value)?;
            let name = name(frame.target, node.path, index);
            is_alone = name.is_empty();
            entries.push(write_entry(&name, time, &value)?);
            Ok(())
        };
        match &node.content {
            Content::Single(value) => entry(None, value)?,
            Content::Multiple(values) => values
                .iter()
                .try_for_each(|(index, value)| entry(Some(*index), value))?,
        }
    }
    // Names are joined as they are: those of several values need the slash between them.
    let slash = if is_alone || frame.target == Path::Root {
        ""
    } else {
        "/"
    };
    let base_name = format!("{}{}{slash}", frame.prefix, frame.target);
    let base_time = base_time.map_or_else(String::new, |time| {
        format!("\"bt\":{},", Decimal::new(time, -3))
    });
    Ok(format!(
        "{{\"bn\":{},{base_time}\"e\":[{}]}}",
        json::quoted(&base_name),
        entries.join(",")
    )
    .into_bytes())
}

fn milliseconds(time: Option<RecordTime>) -> i64 {
    match time {
        None => 0,
        Some(RecordTime::Absolute(UnixTime(time)) | RecordTime::Relative(time)) => time,
    }
}

/// The path below the target.
fn name(target: Path, path: ResourcePath, index: Option<ResourceInstanceId>) -> String {
    let full = index.map_or(Path::Resource(path), |index| {
        Path::ResourceInstance(path, index)
    });
    let full = full.to_string();
    let below = full.strip_prefix(&target.to_string()).unwrap_or(&full);
    below.trim_start_matches('/').to_owned()
}

fn write_entry(name: &str, time: i64, value: &Value) -> Result<String, EncodeError> {
    let mut fields = Vec::with_capacity(3);
    if !name.is_empty() {
        fields.push(format!("\"n\":{}", json::quoted(name)));
    }
    fields.push(match value {
        Value::Boolean(on) => format!("\"bv\":{on}"),
        Value::Corelnk(text) | Value::String(text) => format!("\"sv\":{}", json::quoted(text)),
        Value::Decimal(decimal) => format!("\"v\":{decimal}"),
        Value::Float(float) => format!("\"v\":{}", json::float(*float)?),
        Value::Integer(integer) | Value::Time(integer) => format!("\"v\":{integer}"),
        Value::Objlnk(link) => format!("\"ov\":\"{link}\""),
        Value::Opaque(bytes) => format!("\"sv\":\"{}\"", STANDARD.encode(bytes)),
        Value::Unsigned(unsigned) => format!("\"v\":{unsigned}"),
    });
    if time != 0 {
        fields.push(format!("\"t\":{}", Decimal::new(time, -3)));
    }
    Ok(format!("{{{}}}", fields.join(",")))
}

pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let text = json::text(payload)?;
    if json::is_array(text) {
        return Err(DecodeErrorKind::Syntax.at(0));
    }
    let pack: Pack<'_> = serde_json::from_str(text).map_err(|error| json::syntax(text, &error))?;
    if pack.e.len() > MAX_VALUES {
        return Err(DecodeErrorKind::TooLarge.at(0));
    }
    let base_time = seconds(pack.bt.as_ref()).map_err(|kind| kind.at(0))?;
    let mut placer = Placer::new(frame, Dialect::Lwm2mJson);
    for entry in pack.e {
        read_entry(entry.get())
            .and_then(|mut record| {
                record.base_time = base_time;
                let name = record.name.take().unwrap_or_default();
                record.name = Some(full_name(frame, pack.bn.as_deref(), &name).into());
                placer.place(record)
            })
            .map_err(|kind| kind.at(json::offset(text, entry)))?;
    }
    placer.finish()
}

fn read_entry(text: &str) -> Result<Record<'static>, DecodeErrorKind> {
    if json::is_array(text) {
        return Err(DecodeErrorKind::Syntax);
    }
    let entry: Entry = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            DecodeErrorKind::WrongType
        } else {
            DecodeErrorKind::Syntax
        }
    })?;
    let mut record = Record {
        name: entry.n.map(Into::into),
        time: seconds(entry.t.as_ref())?,
        ..Record::default()
    };
    let number = entry.v.as_ref().map(json::number).transpose()?;
    let link = entry.ov.map(|link| link.parse()).transpose()?;
    let values = [
        number,
        entry.bv.map(Value::Boolean),
        entry.sv.map(Value::String),
        link.map(Value::Objlnk),
    ];
    values
        .into_iter()
        .flatten()
        .try_for_each(|value| record.set_value(value))?;
    Ok(record)
}

fn seconds(number: Option<&Number>) -> Result<Option<i64>, DecodeErrorKind> {
    let Some(number) = number else {
        return Ok(None);
    };
    senml::milliseconds(&json::number(number)?).map(Some)
}

/// Base name and name joined as they are; without base name the name is one below the target
/// (Core 1.0, 6.4.4). Servers leave the prefix out of them.
fn full_name(frame: Frame<'_>, base: Option<&str>, name: &str) -> String {
    let target = frame.target;
    let full = match base {
        Some(base) => format!("{base}{name}"),
        None if name.starts_with('/') => name.to_owned(),
        None if name.is_empty() => target.to_string(),
        None if target == Path::Root => format!("/{name}"),
        None => format!("{target}/{name}"),
    };
    if full.starts_with(frame.prefix) {
        full
    } else {
        format!("{}{full}", frame.prefix)
    }
}
