//! What the API prints, as values of their own: fields are added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value as Json};

use lamplighter_lwm2m::boundary::ClockTrust;
use lamplighter_model::{Now, Quality, Value, device::LinkState};

/// `GET /status`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StatusView {
    pub servers: Vec<ServerView>,
    /// The ways to the servers.
    #[serde(default)]
    pub bearers: Vec<BearerView>,
    /// Who decides which of them is used.
    #[serde(default)]
    pub bearer_choice: ChoiceView,
    pub devices: Vec<DeviceView>,
    pub groups: Vec<GroupView>,
    /// What the box does by itself.
    #[serde(default)]
    pub rules: Vec<RuleView>,
    pub problems: Vec<ProblemView>,
    pub endpoint: String,
    pub version: String,
    /// The box's date; null while it is unknown.
    pub time: Option<String>,
    #[serde(default)]
    pub clock: ClockView,
    pub uptime_s: u64,
    #[serde(default)]
    pub uptime_ms: u64,
    /// The bootstrap server; null where there is no account.
    #[serde(default)]
    pub bootstrap: Option<BootstrapView>,
    /// Whether this is `lamplighter demo` with its own server.
    #[serde(default)]
    pub demo: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BootstrapView {
    pub uri: String,
    /// `idle`, `waiting` for the hold-off time or the next attempt, `running`, or `confirming`:
    /// accounts were given, and no server has taken the box yet.
    pub state: String,
    pub since: Option<String>,
    pub since_s: f64,
    pub last_error: Option<String>,
    /// What can be done about it.
    #[serde(default)]
    pub hint: Option<String>,
}

/// One of `GET /bearers`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BearerView {
    pub name: String,
    /// `cellular`, `ethernet`, `tether-bluetooth`, `tether-usb`, `tether-wifi` or `wifi`
    pub kind: String,
    /// null where there is none now.
    pub interface: Option<String>,
    /// `connected` or `disconnected`: whether messages can be exchanged with a server through it.
    pub status: String,
    /// Why it is disconnected, in a word; null where it is connected.
    pub reason: Option<String>,
    pub since: Option<String>,
    pub since_s: f64,
    /// Sessions with servers go over it.
    pub current: bool,
    /// When a server last answered over it.
    pub last_exchange: Option<String>,
    pub last_exchange_s: Option<f64>,
    pub round_trip_ms: Option<f64>,
    /// Of this box, as servers are spoken to.
    pub address: Option<String>,
    pub metered: bool,
    /// Its cap is reached: only the registration, answers, states and alarms go over it.
    #[serde(default)]
    pub urgent_only: bool,
    /// Both ways.
    pub bytes_today: u64,
    pub bytes_month: u64,
    /// How often it went from connected to disconnected.
    pub flaps: u32,
    /// Of the radio: signal in dBm, quality in dB (of a wireless LAN in %).
    pub signal_dbm: Option<i32>,
    pub quality: Option<i32>,
    pub snr_db: Option<i32>,
    /// Name or number of the network.
    pub operator: Option<String>,
    pub roaming: Option<bool>,
    pub apn: Option<String>,
    /// What its manager complains about.
    pub trouble: Option<String>,
}

/// Who decides which bearer is used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ChoiceView {
    /// Whether there is a choice: without `[bearer.NAME]` the routes of the system decide.
    #[serde(default)]
    pub configured: bool,
    /// `auto`: the agent; `use`: a person; `prefer`: a server (object 13); `offline`: none is used.
    pub mode: String,
    /// Of `use`.
    pub bearer: Option<String>,
    /// Of `offline`: seconds to its end, null until `online`.
    pub ends_in_s: Option<f64>,
    /// Seconds after which it is taken back unless a server is reached.
    pub trial_left_s: Option<f64>,
}

impl Default for ChoiceView {
    fn default() -> Self {
        Self {
            configured: false,
            mode: "auto".to_owned(),
            bearer: None,
            ends_in_s: None,
            trial_left_s: None,
        }
    }
}

/// Whether the date can be believed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockView {
    /// A date for which nobody vouches.
    Estimated,
    /// By NTP or a real-time clock.
    Trusted,
    #[default]
    Unknown,
}

impl ClockView {
    pub fn of(now: Now, trust: ClockTrust) -> Self {
        match (now.unix, trust) {
            (None, _) => Self::Unknown,
            (Some(_), ClockTrust::Estimated) => Self::Estimated,
            (Some(_), ClockTrust::Trusted) => Self::Trusted,
        }
    }
}

/// One of `GET /servers`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServerView {
    pub name: String,
    pub state: ServerState,
    /// RFC 3339, or null while the date is unknown.
    pub since: Option<String>,
    pub since_s: f64,
    pub uri: String,
    pub short_id: u16,
    /// LwM2M version agreed with the server.
    pub version: Option<String>,
    pub last_error: Option<String>,
    /// Seconds to the next attempt, where one is due.
    pub retry_in_s: Option<f64>,
    /// Queue mode: the server does not expect the box to hear it now.
    #[serde(default)]
    pub asleep: bool,
    /// Whether the instances that the box makes are its own.
    #[serde(default)]
    pub owner: bool,
    /// What it may do (R read, W write, E execute, D delete, C create) to which objects or instances,
    /// as the configuration says; the only server may do everything. What servers and a bootstrap
    /// server have said besides stands in object 2.
    #[serde(default)]
    pub rights: BTreeMap<String, String>,
    /// Samples that are stored for it.
    pub queued: u64,
    /// Samples that it will not be told.
    pub dropped: u64,
    /// Datagrams for its session that were not its own: forged, repeated or senseless; all refused.
    #[serde(default)]
    pub intrusions: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// No answer, or refused; tried again by itself.
    Offline,
    /// De-registered on request.
    Disabled,
    Registered,
    /// First attempt under way.
    Registering,
}

/// One of `GET /devices`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DeviceView {
    pub name: String,
    pub adapter: String,
    pub state: LinkState,
    pub since: Option<String>,
    pub since_s: f64,
    /// Why, in words.
    pub detail: String,
    /// Number of its configured points, and of those with a good value.
    pub points: usize,
    pub points_good: usize,
    /// Samples received, and changes of state, since the start.
    pub samples: u64,
    pub link_changes: u64,
    /// Errors since the start, by kind: `timeout`, `garbled`, `line_down`, `exception_6` …; none of
    /// adapters that do not count.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// What it was found not to do, in words.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How long its last answer took.
    #[serde(default)]
    pub round_trip_ms: Option<f64>,
}

/// A schedule, photocell or thermostat.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RuleView {
    pub name: String,
    /// `schedule`, `photocell` or `thermostat`
    pub kind: String,
    pub enabled: bool,
    /// Instance of our object Site rule, where its parameters are written.
    pub path: String,
    /// What it does and waits for, in words.
    pub state: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct GroupView {
    pub name: String,
    /// Where a command is written.
    pub path: String,
    pub state: GroupState,
    /// Names of the points in it.
    pub members: Vec<String>,
    /// Members that did not follow the last command.
    pub failed: u16,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupState {
    Mixed,
    Off,
    On,
    /// A member has no value yet.
    Unknown,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ProblemView {
    /// What it is about: `device ahu1`, `server main` …
    pub about: String,
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub since: Option<String>,
    pub since_s: f64,
}

/// One of `GET /points`, and what `GET /objects/…` gives for one value.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ReadView {
    pub path: String,
    /// Name in the configuration; null for what has none.
    pub name: Option<String>,
    pub value: Json,
    pub unit: Option<String>,
    /// When it was measured; null where the date was unknown, or nothing was read yet.
    pub time: Option<String>,
    /// null where nothing was read yet.
    pub quality: Option<Quality>,
    pub device: Option<String>,
    pub age_s: Option<f64>,
    /// Names of object and resource in their definition.
    pub object: Option<String>,
    pub resource: Option<String>,
    /// What the page needs to show a configured point; absent for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointView>,
    /// Why the device could not be asked now; the value is the last known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PointView {
    pub kind: KindView,
    /// `boolean`, `integer`, `float`, `text` …
    #[serde(rename = "type")]
    pub data_type: String,
    pub writable: bool,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// On or off as measured, of what can be switched.
    pub on: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KindView {
    Lamp,
    Output,
    Value,
}

/// `GET /trend?path=`: the last minutes of a number, from memory.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TrendView {
    pub path: String,
    /// Age in seconds and value, oldest first.
    pub values: Vec<(f64, f64)>,
}

/// A value as JSON: opaque as hexadecimal, times as seconds since 1970, links as `66:7`.
pub fn json_of(value: &Value) -> Json {
    match value {
        Value::Boolean(on) => Json::Bool(*on),
        Value::Corelnk(text) | Value::String(text) => Json::String(text.clone()),
        Value::Decimal(decimal) => match decimal.to_integer() {
            Some(integer) => Json::from(integer),
            None => float(decimal.to_f64()),
        },
        Value::Float(number) => float(*number),
        Value::Integer(integer) | Value::Time(integer) => Json::from(*integer),
        Value::Objlnk(_) | Value::Opaque(_) => Json::String(value.to_string()),
        Value::Unsigned(unsigned) => Json::from(*unsigned),
    }
}

/// JSON has no NaN and no infinity; they print as null.
fn float(number: f64) -> Json {
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::Decimal;

    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(
            json_of(&Value::Decimal(Decimal::new(12_345_678, -3))).to_string(),
            "12345.678"
        );
        assert_eq!(
            json_of(&Value::Decimal(Decimal::new(5, 3))).to_string(),
            "5000"
        );
        assert_eq!(json_of(&Value::Float(f64::NAN)), Json::Null);
        assert_eq!(
            json_of(&Value::Opaque(vec![0, 255])),
            Json::String("00ff".to_owned())
        );
    }
}
