//! The lines of the protocol as values, both ways. Who may say what is judged elsewhere.

use lamplighter_model::{
    DataType, Decimal, Path, ResourceAddress, ResourceInstanceId, Scope, Value,
    device::{Assignment, Fault},
    object::Operations,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the protocol that is spoken here.
pub const VERSION: u32 = 1;

/// What a program says, one line each.
#[derive(Debug)]
pub enum Said {
    Alive,
    Declare(Declare),
    /// The answer to the request of this number.
    Done(u64, Vec<RawSample>),
    Failed(u64, Fault),
    /// Whether the device behind the program answers, and why not.
    Link(bool, String),
    Samples(Vec<RawSample>),
}

/// The first line of a program.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Hello {
    pub version: u32,
    /// The configured name of the device that it serves.
    pub device: String,
    /// What the program is called, for people.
    #[serde(default)]
    pub program: String,
}

/// A change of what exists. With `all`, what is not added does not exist any more.
#[derive(Debug, Default, Deserialize)]
pub struct Declare {
    #[serde(default)]
    pub added: Vec<DeclaredResource>,
    #[serde(default)]
    pub removed: Vec<String>,
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Deserialize)]
pub struct DeclaredResource {
    pub path: String,
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub write: bool,
    #[serde(default)]
    pub execute: bool,
    /// The program answers reads of it; else the last sample does.
    #[serde(default)]
    pub ask: bool,
}

/// A value as it stands in the line; of which type it must be says the definition.
#[derive(Debug, Deserialize)]
pub struct RawSample {
    pub path: String,
    pub value: Box<RawValue>,
    pub unit: Option<String>,
    /// Seconds since 1970-01-01 UTC, by the clock of the device.
    pub time: Option<Box<RawValue>>,
    #[serde(default)]
    pub quality: RawQuality,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum RawQuality {
    Bad,
    #[default]
    Good,
    Stale,
    Unchecked,
}

/// What is said to a program.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told<'a> {
    Alive,
    Closing {
        reason: &'a str,
    },
    Error {
        /// Of this connection, from 1.
        line: u64,
        reason: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        refused: &'a [Refusal],
    },
    Execute {
        id: u64,
        path: String,
        args: String,
        #[serde(flatten)]
        until: Deadline,
    },
    /// Nobody waits for the answer any more.
    Expired {
        id: u64,
    },
    Read {
        id: u64,
        paths: Vec<String>,
        #[serde(flatten)]
        until: Deadline,
    },
    Welcome(Welcome<'a>),
    Write {
        id: u64,
        values: Vec<ToldValue>,
        #[serde(flatten)]
        until: Deadline,
    },
}

/// When nobody waits for an answer any more.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Deadline {
    /// From when the line was written.
    pub deadline_ms: u64,
    /// The same by `CLOCK_BOOTTIME`, which all programs of the box share and nobody sets: for one
    /// that reads the line late.
    pub deadline_uptime_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct Welcome<'a> {
    pub version: u32,
    pub device: &'a str,
    /// What the configuration names, and what the program has to tell.
    pub points: Vec<ToldPoint<'a>>,
    /// Below these paths it may declare more.
    pub grants: Vec<String>,
    /// What it has declared before and still exists.
    pub kept: Vec<String>,
    pub limits: ToldLimits,
}

#[derive(Debug, Serialize)]
pub struct ToldPoint<'a> {
    pub name: &'a str,
    pub path: String,
    #[serde(rename = "type")]
    pub data_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub unit: &'a str,
    pub write: bool,
    pub ask: bool,
}

#[derive(Debug, Serialize)]
pub struct ToldLimits {
    pub line_bytes: usize,
    pub samples_per_s: u32,
    pub resources: usize,
    pub silence_s: u64,
    pub errors_per_min: u32,
}

/// Why one path of a line was refused.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Refusal {
    pub path: String,
    pub reason: String,
}

#[derive(Debug, Serialize)]
pub struct ToldValue {
    pub path: String,
    pub value: Box<RawValue>,
}

/// Why a line is not understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Garbled(pub String);

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Done {
    id: u64,
    #[serde(default)]
    samples: Vec<RawSample>,
}

#[derive(Deserialize)]
struct Failed {
    id: u64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    cause: Cause,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    BadValue,
    Busy,
    #[default]
    Device,
    NoValue,
    Timeout,
    Unreachable,
    Unsupported,
}

#[derive(Deserialize)]
struct Link {
    state: LinkWord,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LinkWord {
    Offline,
    Online,
}

#[derive(Deserialize)]
struct Samples {
    samples: Vec<RawSample>,
}

/// Reads the first line.
///
/// # Errors
/// It is no `hello`.
pub fn hello(line: &[u8]) -> Result<Hello, Garbled> {
    let head: Head = part(line)?;
    if head.kind != "hello" {
        return Err(Garbled("the first line is a hello".to_owned()));
    }
    part(line)
}

/// Reads any later line. Fields that nobody knows here are passed over.
///
/// # Errors
/// It is no JSON, of no known type, or lacks what its type needs.
pub fn said(line: &[u8]) -> Result<Said, Garbled> {
    let head: Head = part(line)?;
    Ok(match head.kind.as_str() {
        "alive" => Said::Alive,
        "declare" => Said::Declare(part(line)?),
        "done" => {
            let Done { id, samples } = part(line)?;
            Said::Done(id, samples)
        }
        "failed" => {
            let failed: Failed = part(line)?;
            Said::Failed(failed.id, failed.fault())
        }
        "link" => {
            let Link { state, reason } = part(line)?;
            Said::Link(matches!(state, LinkWord::Online), reason)
        }
        "samples" => {
            let Samples { samples } = part(line)?;
            Said::Samples(samples)
        }
        "hello" => return Err(Garbled("hello is said once".to_owned())),
        _ => return Err(Garbled("no such type of line".to_owned())),
    })
}

fn part<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Garbled> {
    serde_json::from_slice(line).map_err(|error| Garbled(error.to_string()))
}

impl Failed {
    fn fault(self) -> Fault {
        let reason = if self.reason.is_empty() {
            "its program says that it failed".to_owned()
        } else {
            self.reason
        };
        match self.cause {
            Cause::BadValue => Fault::BadValue(reason),
            Cause::Busy => Fault::Busy,
            Cause::Device => Fault::Device(reason),
            Cause::NoValue => Fault::NoValue,
            Cause::Timeout => Fault::Timeout,
            Cause::Unreachable => Fault::Unreachable,
            Cause::Unsupported => Fault::Unsupported,
        }
    }
}

impl Told<'_> {
    /// The line with its end.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl RawSample {
    /// The resource, and its instance where the path has four ids.
    pub fn place(&self) -> Option<(ResourceAddress, Option<ResourceInstanceId>)> {
        place(&self.path)
    }

    /// The source time in milliseconds.
    ///
    /// # Errors
    /// It is no number of seconds.
    pub fn milliseconds(&self) -> Result<Option<i64>, Garbled> {
        let Some(time) = &self.time else {
            return Ok(None);
        };
        let no_time = || Garbled(format!("{} is no time", time.get()));
        let seconds: Decimal = time.get().parse().map_err(|_| no_time())?;
        let milliseconds = seconds.scaled(3).ok_or_else(no_time)?;
        if let Some(whole) = milliseconds.to_integer() {
            return Ok(Some(whole));
        }
        // What is finer than a millisecond is cut.
        let float = milliseconds.to_f64();
        let is_date = float.abs() < 1e15;
        is_date.then_some(Some(float as i64)).ok_or_else(no_time)
    }

    pub fn is_null(&self) -> bool {
        self.value.get() == "null"
    }
}

/// What a path of the protocol names.
pub fn place(path: &str) -> Option<(ResourceAddress, Option<ResourceInstanceId>)> {
    let (path, index) = match path.parse() {
        Ok(Path::Resource(path)) => (path, None),
        Ok(Path::ResourceInstance(path, index)) => (path, Some(index)),
        Ok(Path::Root | Path::Object(_) | Path::Instance(_)) | Err(_) => return None,
    };
    let scope = Scope::Gateway;
    Some((ResourceAddress { scope, path }, index))
}

/// A value of the line as the type of its resource. Kinds are not converted: a program that says a
/// text where a number is asked for is wrong.
pub fn value(raw: &RawValue, data_type: DataType) -> Option<Value> {
    let text = raw.get();
    let string = || serde_json::from_str::<String>(text).ok();
    match data_type {
        DataType::Boolean => match text {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            _ => None,
        },
        DataType::Float => {
            if !is_number(text) {
                return None;
            }
            let exact = text.parse().map(Value::Decimal).ok();
            let rounded = || text.parse().ok().filter(|float: &f64| float.is_finite());
            exact.or_else(|| rounded().map(Value::Float))
        }
        DataType::Integer | DataType::Time | DataType::Unsigned if is_number(text) => {
            Value::parse(text, data_type).ok()
        }
        DataType::Integer | DataType::Time | DataType::Unsigned | DataType::None => None,
        DataType::String => string().map(Value::String),
        DataType::Corelnk | DataType::Objlnk | DataType::Opaque => {
            Value::parse(&string()?, data_type).ok()
        }
    }
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// A value as the line has it.
pub fn to_value(assignment: &Assignment) -> ToldValue {
    let raw = match &assignment.value {
        Value::Boolean(on) => on.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Float(float) => serde_json::to_string(float).unwrap_or_default(),
        Value::Integer(number) | Value::Time(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        Value::Opaque(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::to_string(&hex).unwrap_or_default()
        }
        Value::Corelnk(text) | Value::String(text) => {
            serde_json::to_string(text).unwrap_or_default()
        }
        Value::Objlnk(link) => serde_json::to_string(&link.to_string()).unwrap_or_default(),
    };
    ToldValue {
        path: path_of(assignment.address, assignment.index),
        value: RawValue::from_string(raw).unwrap_or_default(),
    }
}

pub fn path_of(address: ResourceAddress, index: Option<ResourceInstanceId>) -> String {
    let path = match index {
        Some(index) => Path::ResourceInstance(address.path, index),
        None => Path::Resource(address.path),
    };
    path.to_string()
}

/// The types as the protocol calls them.
pub const fn word_of(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Corelnk => "corelnk",
        DataType::Float => "float",
        DataType::Integer => "integer",
        DataType::None => "none",
        DataType::Objlnk => "objlnk",
        DataType::Opaque => "opaque",
        DataType::String => "string",
        DataType::Time => "time",
        DataType::Unsigned => "unsigned",
    }
}

impl From<&DeclaredResource> for Operations {
    fn from(declared: &DeclaredResource) -> Self {
        Self {
            // What can be neither written nor executed is there to be read.
            read: declared.read || !(declared.write || declared.execute),
            write: declared.write,
            execute: declared.execute,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn values_keep_their_type_and_counters_all_their_digits() {
        for (text, data_type, expected) in [
            ("true", DataType::Boolean, Some(Value::Boolean(true))),
            ("1", DataType::Boolean, None),
            ("\"true\"", DataType::Boolean, None),
            (
                "1234567890.123456789",
                DataType::Float,
                Some(Value::Decimal(Decimal::new(1_234_567_890_123_456_789, -9))),
            ),
            ("\"21.5\"", DataType::Float, None),
            ("true", DataType::Float, None),
            ("1e-200", DataType::Float, Some(Value::Float(1e-200))),
            ("1e999", DataType::Float, None),
            ("20.0", DataType::Integer, Some(Value::Integer(20))),
            ("20.5", DataType::Integer, None),
            ("-1", DataType::Unsigned, None),
            (
                "\"x\"",
                DataType::String,
                Some(Value::String("x".to_owned())),
            ),
            ("7", DataType::String, None),
            (
                "\"0aff\"",
                DataType::Opaque,
                Some(Value::Opaque(vec![10, 255])),
            ),
            ("null", DataType::Float, None),
            ("[1]", DataType::Integer, None),
        ] {
            assert_eq!(
                value(&raw(text), data_type),
                expected,
                "{text} as {data_type:?}"
            );
        }
    }

    #[test]
    fn a_time_is_in_seconds_with_a_fraction() {
        let at = |time: &str| {
            let line = format!(r#"{{"path":"/3303/0/5700","value":1,"time":{time}}}"#);
            serde_json::from_str::<RawSample>(&line)
                .unwrap()
                .milliseconds()
        };
        assert_eq!(at("1700000000.25"), Ok(Some(1_700_000_000_250)));
        assert_eq!(at("1700000000.123456789"), Ok(Some(1_700_000_000_123)));
        assert!(at("\"now\"").is_err());
        assert!(at("1e300").is_err());
    }

    #[test]
    fn unknown_fields_are_passed_over_and_unknown_lines_are_not() {
        let line = br#"{"type":"alive","mood":"good"}"#;
        assert!(matches!(said(line), Ok(Said::Alive)));
        assert!(said(br#"{"type":"dance"}"#).is_err());
        assert!(said(b"alive").is_err());
        assert!(said(br#"{"type":"done"}"#).is_err());
    }

    proptest! {
        #[test]
        fn a_number_reads_back_as_it_was_told(mantissa: i64, exponent in -18i8..=18) {
            let told = Decimal::new(mantissa, exponent);
            let assignment = Assignment {
                address: ResourceAddress::gateway(3303, 0, 5700),
                index: None,
                value: Value::Decimal(told),
            };
            let line = to_value(&assignment);
            prop_assert_eq!(value(&line.value, DataType::Float), Some(Value::Decimal(told)));
        }

        #[test]
        fn no_line_panics(line: Vec<u8>) {
            let _ = (said(&line), hello(&line));
        }
    }
}
