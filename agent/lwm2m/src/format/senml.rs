//! SenML (RFC 8428) without its two syntaxes: how names, times and values of records become nodes
//! and back. `senml_json.rs` and `senml_cbor.rs` read and write single records.

use std::{borrow::Cow, collections::BTreeSet};

use lamplighter_model::{
    DataType, Path, ResourceInstanceId, ResourcePath, UnixTime, Value, object::Multiplicity,
};

use super::{
    Collector, Content, DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, Node,
    RecordTime, json, typed, unassigned,
};

/// Times below it are relative to now (RFC 8428, 4.5.3), in milliseconds.
const ABSOLUTE_FROM: i64 = (1 << 28) * 1000;

/// Longest full name; our own names stay below 40 bytes.
const MAX_NAME: usize = 256;

/// The version of SenML that we read (RFC 8428, 4.4).
pub(super) const VERSION: i64 = 10;

/// One record as it stands in a payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) base_name: Option<Cow<'a, str>>,
    /// Milliseconds, as `time`.
    pub(super) base_time: Option<i64>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) time: Option<i64>,
    pub(super) value: Option<Cow<'a, Value>>,
    /// The value is null (RFC 8790, 3.2).
    pub(super) is_null: bool,
}

/// Whose records they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    /// RFC 8790: null deletes.
    Etch,
    /// Records of LwM2M 1.0: opaque values are texts in base64.
    Lwm2mJson,
    Senml,
}

/// How records stand in a payload.
pub(super) trait Notation {
    /// Passes all records on, one after another.
    fn read_records(
        payload: &[u8],
        take: impl FnMut(Record<'_>) -> Result<(), DecodeErrorKind>,
    ) -> Result<(), DecodeError>;
}

pub(super) fn decode<N: Notation>(
    frame: Frame<'_>,
    dialect: Dialect,
    payload: &[u8],
) -> Result<Decoded, DecodeError> {
    let mut placer = Placer::new(frame, dialect);
    N::read_records(payload, |record| placer.place(record))?;
    placer.finish()
}

pub(super) fn decode_paths<N: Notation>(
    prefix: &str,
    payload: &[u8],
) -> Result<Vec<Path>, DecodeError> {
    let mut paths = PathCollector::new(prefix);
    N::read_records(payload, |record| paths.take(record))?;
    Ok(paths.finish())
}

impl Record<'_> {
    /// Sets the value; a record has only one.
    pub(super) fn set_value(&mut self, value: Value) -> Result<(), DecodeErrorKind> {
        match self.value.replace(Cow::Owned(value)) {
            None if !self.is_null => Ok(()),
            None | Some(_) => Err(DecodeErrorKind::Duplicate),
        }
    }

    /// Sets null for the value.
    pub(super) fn set_null(&mut self) -> Result<(), DecodeErrorKind> {
        if self.is_null || self.value.is_some() {
            return Err(DecodeErrorKind::Duplicate);
        }
        self.is_null = true;
        Ok(())
    }
}

/// A time in seconds as milliseconds.
pub(super) fn milliseconds(seconds: &Value) -> Result<i64, DecodeErrorKind> {
    match seconds {
        Value::Integer(seconds) => seconds.checked_mul(1000).ok_or(DecodeErrorKind::OutOfRange),
        Value::Float(seconds) if seconds.abs() < 1e12 => Ok((seconds * 1000.0).round() as i64),
        Value::Decimal(seconds) if seconds.to_f64().abs() < 1e12 => {
            Ok((seconds.to_f64() * 1000.0).round() as i64)
        }
        Value::Float(_) | Value::Decimal(_) | Value::Unsigned(_) => {
            Err(DecodeErrorKind::OutOfRange)
        }
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_)
        | Value::Time(_) => Err(DecodeErrorKind::WrongType),
    }
}

/// The name that a record has from itself and from the records before it.
#[derive(Debug, Default)]
struct FullName {
    base: String,
}

impl FullName {
    fn take(&mut self, record: &mut Record<'_>) -> Result<String, DecodeErrorKind> {
        if let Some(base) = record.base_name.take() {
            self.base = base.into_owned();
        }
        let name = record.name.take().unwrap_or_default();
        if self.base.len() + name.len() > MAX_NAME {
            return Err(DecodeErrorKind::NotAPath);
        }
        Ok(format!("{}{name}", self.base))
    }
}

/// Turns records, one after another, into nodes.
pub(super) struct Placer<'a> {
    frame: Frame<'a>,
    dialect: Dialect,
    name: FullName,
    base_time: i64,
    collector: Collector,
}

impl<'a> Placer<'a> {
    pub(super) fn new(frame: Frame<'a>, dialect: Dialect) -> Self {
        Self {
            frame,
            dialect,
            name: FullName::default(),
            base_time: 0,
            collector: Collector::default(),
        }
    }

    pub(super) fn place(&mut self, mut record: Record<'_>) -> Result<(), DecodeErrorKind> {
        let name = self.name.take(&mut record)?;
        self.base_time = record.base_time.unwrap_or(self.base_time);
        let path = self.path(&name)?;
        let time = self.time(record.time)?;
        if record.is_null {
            return self.delete(path, time);
        }
        let value = record
            .value
            .ok_or(DecodeErrorKind::MissingValue)?
            .into_owned();
        let typed = match self.dialect {
            Dialect::Etch | Dialect::Senml => typed,
            Dialect::Lwm2mJson => typed_from_text,
        };
        self.collector.value(self.frame, path, time, value, typed)
    }

    fn delete(&mut self, path: Path, time: Option<RecordTime>) -> Result<(), DecodeErrorKind> {
        match (self.dialect, path) {
            (Dialect::Lwm2mJson | Dialect::Senml, _) => Err(DecodeErrorKind::WrongType),
            (Dialect::Etch, _) if time.is_some() => Err(DecodeErrorKind::Unsupported),
            // Core 1.2, 6.3.9: only resource instances go this way.
            (
                Dialect::Etch,
                Path::Root | Path::Object(_) | Path::Instance(_) | Path::Resource(_),
            ) => Err(DecodeErrorKind::Misplaced),
            (Dialect::Etch, Path::ResourceInstance(path, index)) => {
                if self.frame.multiplicity(path) == Some(Multiplicity::Single) {
                    return Err(DecodeErrorKind::Multiplicity);
                }
                self.collector.delete(path, index)
            }
        }
    }

    pub(super) fn finish(self) -> Result<Decoded, DecodeError> {
        self.collector.finish(self.frame)
    }

    fn path(&self, name: &str) -> Result<Path, DecodeErrorKind> {
        let text = name
            .strip_prefix(self.frame.prefix)
            .ok_or(DecodeErrorKind::OutsideTarget)?;
        let path = match self.frame.target {
            Path::Object(_) if text.split('/').nth(2) == Some("65535") => unassigned_path(text)?,
            Path::Root
            | Path::Object(_)
            | Path::Instance(_)
            | Path::Resource(_)
            | Path::ResourceInstance(..) => text.parse().map_err(|_| DecodeErrorKind::NotAPath)?,
        };
        if self.frame.target.contains(path) {
            Ok(path)
        } else {
            Err(DecodeErrorKind::OutsideTarget)
        }
    }

    fn time(&self, offset: Option<i64>) -> Result<Option<RecordTime>, DecodeErrorKind> {
        let sum = self
            .base_time
            .checked_add(offset.unwrap_or(0))
            .ok_or(DecodeErrorKind::OutOfRange)?;
        Ok(match sum {
            0 => None,
            ABSOLUTE_FROM.. => Some(RecordTime::Absolute(UnixTime(sum))),
            relative => Some(RecordTime::Relative(relative)),
        })
    }
}

/// `/O/65535/R`: the id of the new instance is left to the client (Core 1.2.1, Create).
fn unassigned_path(text: &str) -> Result<Path, DecodeErrorKind> {
    let placed = text
        .replacen("/65535", "/0", 1)
        .parse()
        .map_err(|_| DecodeErrorKind::NotAPath)?;
    match placed {
        Path::Resource(_) | Path::ResourceInstance(..) => Ok(unassigned(placed)),
        Path::Root | Path::Object(_) | Path::Instance(_) => Err(DecodeErrorKind::Misplaced),
    }
}

fn typed_from_text(value: Value, data_type: Option<DataType>) -> Result<Value, DecodeErrorKind> {
    match (data_type, value) {
        (Some(DataType::Opaque), Value::String(text)) => json::base64(&text).map(Value::Opaque),
        (data_type, value) => typed(value, data_type),
    }
}

/// Collects the paths of the body of a composite request, each once.
struct PathCollector<'a> {
    prefix: &'a str,
    name: FullName,
    seen: BTreeSet<Path>,
    paths: Vec<Path>,
}

impl<'a> PathCollector<'a> {
    fn new(prefix: &'a str) -> Self {
        Self {
            prefix,
            name: FullName::default(),
            seen: BTreeSet::new(),
            paths: Vec::new(),
        }
    }

    /// Times and units are tolerated (lwm2m/20, 9), values are not.
    fn take(&mut self, mut record: Record<'_>) -> Result<(), DecodeErrorKind> {
        if record.is_null || record.value.is_some() {
            return Err(DecodeErrorKind::Misplaced);
        }
        let name = self.name.take(&mut record)?;
        let text = name
            .strip_prefix(self.prefix)
            .ok_or(DecodeErrorKind::OutsideTarget)?;
        let path = text.parse().map_err(|_| DecodeErrorKind::NotAPath)?;
        if self.seen.insert(path) {
            self.paths.push(path);
        }
        Ok(())
    }

    fn finish(self) -> Vec<Path> {
        self.paths
    }
}

/// One record for each path, without values.
pub(super) fn path_records(prefix: &str, paths: &[Path]) -> Vec<Record<'static>> {
    let record = |path: &Path| Record {
        name: Some(format!("{prefix}{path}").into()),
        ..Record::default()
    };
    paths.iter().map(record).collect()
}

/// The records of `nodes`: one per value, base name and base time where they change.
pub(super) fn records<'n>(
    frame: Frame<'_>,
    nodes: &'n [Node],
) -> Result<Vec<Record<'n>>, EncodeError> {
    let mut writer = Writer {
        frame,
        base_name: String::new(),
        base_time: None,
        records: Vec::new(),
    };
    for node in nodes {
        match &node.content {
            Content::Single(value) => writer.value(node, None, value)?,
            Content::Multiple(values) => {
                for (index, value) in values {
                    writer.value(node, Some(*index), value)?;
                }
            }
        }
    }
    Ok(writer.records)
}

struct Writer<'f, 'n> {
    frame: Frame<'f>,
    base_name: String,
    base_time: Option<i64>,
    records: Vec<Record<'n>>,
}

impl<'n> Writer<'_, 'n> {
    fn value(
        &mut self,
        node: &Node,
        index: Option<ResourceInstanceId>,
        value: &'n Value,
    ) -> Result<(), EncodeError> {
        let value = self.frame.fitted(node.path, value)?;
        let (base, name) = self.name(node.path, index);
        let base_name = (base != self.base_name).then(|| base.clone().into());
        self.base_name = base;
        let (base_time, time) = self.time(node.time);
        self.records.push(Record {
            base_name,
            base_time,
            name,
            time,
            value: Some(value),
            is_null: false,
        });
        Ok(())
    }

    /// Base name and name: a single value stands under its own path, all others below the resource
    /// or instance that they have in common.
    fn name(
        &self,
        path: ResourcePath,
        index: Option<ResourceInstanceId>,
    ) -> (String, Option<Cow<'n, str>>) {
        let prefix = self.frame.prefix;
        let resource = path.resource;
        match (self.frame.target, index) {
            (Path::Resource(_), None) => (format!("{prefix}{path}"), None),
            (Path::Resource(_), Some(index)) => {
                (format!("{prefix}{path}/"), Some(index.to_string().into()))
            }
            (Path::ResourceInstance(..), Some(index)) => (format!("{prefix}{path}/{index}"), None),
            (
                Path::Root | Path::Object(_) | Path::Instance(_) | Path::ResourceInstance(..),
                index,
            ) => {
                let name = index.map_or_else(
                    || resource.to_string(),
                    |index| format!("{resource}/{index}"),
                );
                (format!("{prefix}{}/", path.instance), Some(name.into()))
            }
        }
    }

    /// Base time where it must change, and the distance to it.
    fn time(&mut self, time: Option<RecordTime>) -> (Option<i64>, Option<i64>) {
        let sum = match time {
            None => 0,
            Some(RecordTime::Relative(relative)) => relative,
            Some(RecordTime::Absolute(UnixTime(unix))) => unix,
        };
        // A base that is a date would make a relative time absolute.
        let new_base = match (self.base_time, time) {
            (None, Some(RecordTime::Absolute(_))) => Some(sum),
            (Some(base), None | Some(RecordTime::Relative(_))) if base != 0 => Some(0),
            (None, None | Some(RecordTime::Relative(_))) | (Some(_), _) => None,
        };
        self.base_time = new_base.or(self.base_time);
        let offset = sum.saturating_sub(self.base_time.unwrap_or(0));
        (new_base, (offset != 0).then_some(offset))
    }
}
