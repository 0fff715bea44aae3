//! `[device.NAME]` and its points: physical facts, and limit and guard of each point.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    DlmsDevice, Feedback, GpsdDevice, Iec62056Device, MbusDevice, MqttDevice, NmeaDevice, P1Device,
    RemoteDevice, S0Device, Scalar, SmlDevice, SystemDevice, W1Device,
};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    Dlms(DlmsDevice),
    Gpio(GpioDevice),
    Gpsd(GpsdDevice),
    Iec62056(Iec62056Device),
    Mbus(MbusDevice),
    Modbus(ModbusDevice),
    Mqtt(MqttDevice),
    Nmea(NmeaDevice),
    P1(P1Device),
    Remote(RemoteDevice),
    S0(S0Device),
    Sim(SimDevice),
    Sml(SmlDevice),
    System(SystemDevice),
    W1(W1Device),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModbusDevice {
    /// Name of a `[bus.NAME]`, required.
    pub bus: Option<String>,
    /// Unit (slave) address, 1–247, on TCP also 0 and 255. On a serial line 0 is all devices: its
    /// points can only be written. Required. Example: `17`.
    pub unit: Option<u8>,
    /// How long an answer may take in milliseconds, 10–60000. Default: 400.
    pub timeout_ms: Option<u64>,
    /// Further attempts before a request has failed, 0–5. Default: 1.
    pub retries: Option<u8>,
    /// Failed cycles until the device counts as offline, 1–100. Default: 3.
    pub offline_after: Option<u8>,
    /// Probing while offline. Default: `{ first_s = 5, max_s = 300, timeout_ms = 100 }`.
    pub probe: Probe,
    /// Most registers in one request, 1–125. Default: 125.
    pub max_registers: Option<u16>,
    /// Most coils or discrete inputs in one request, 1–2000. Default: 2000.
    pub max_bits: Option<u16>,
    /// Each point in a request of its own, for devices that take no other. Default: false.
    pub one_request_per_point: Option<bool>,
    /// Registers never to be read across, first and last. Example: `["holding:120..127"]`. Default: none.
    pub holes: Vec<String>,
    /// Byte order of 32- and 64-bit values. Default: `"ABCD"`.
    pub order: Option<Order>,
    /// How `at` counts. Default: `"zero_based"`.
    pub addressing: Option<Addressing>,
    /// Age in seconds from which a value counts as stale. Default: twice its `poll_s`.
    pub stale_after_s: Option<u64>,
    /// `[device.NAME.point.POINT]`.
    pub point: BTreeMap<String, ModbusPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// First pause in seconds, 1–3600. Default: 5.
    pub first_s: Option<u64>,
    /// Longest pause in seconds. Default: 300.
    pub max_s: Option<u64>,
    /// How long a probe waits for the answer in milliseconds. Default: 100.
    pub timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// As data sheets of the kind "40001": the table is part of the number.
    Modicon,
    OneBased,
    /// As on the wire.
    ZeroBased,
}

/// Order of the bytes of a value of several registers; A is the most significant.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    Abcd,
    Badc,
    Cdab,
    Dcba,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModbusPoint {
    /// The resource that this point is. Required, or `instance`. Example: `"/3303/0/5700"`.
    pub resource: Option<String>,
    /// The lamp or relay instance that this point switches. Example: `"/3416/9"`.
    pub instance: Option<String>,
    /// Where it is read, required.
    pub read: Option<Read>,
    /// That it may be written, and how. Default: read only.
    pub write: Option<Write>,
    /// Value = raw × scale + offset. Default: 1.
    pub scale: Option<f64>,
    /// Added after `scale`. Default: 0.
    pub offset: Option<f64>,
    /// SenML unit of the value. Example: `"Cel"`. Default: that of the object definition.
    pub unit: Option<String>,
    /// Poll period in seconds, 0.1–86400. Default: 60.
    pub poll_s: Option<f64>,
    /// Raw values that mean "sensor broken" or "not fitted". Default: none.
    pub invalid: Vec<i64>,
    /// Lowest and highest credible value, in `unit`. Default: no check.
    pub valid: Option<Vec<f64>>,
    /// Text of each raw number, for a text resource. Example: `{ 0 = "cool", 1 = "heat" }`. Default: none.
    pub map: BTreeMap<String, String>,
    /// Shortest time between two switchings of an output in seconds, 0–3600. Default: 0.
    pub min_switch_s: Option<f64>,
    /// Longest random wait in seconds before the output goes on after a return of power, 0–600.
    /// Default: that of its groups.
    pub power_return_spread_s: Option<u64>,
    pub limit: Option<Limit>,
    pub guard: Option<Guard>,
    pub fail_safe: Option<FailSafe>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Read {
    /// Required. Example: `"input"`.
    pub table: Option<Table>,
    /// Number of the first register or bit, counted as `addressing` says. Required.
    pub at: Option<u32>,
    /// Type in the registers. Default: `"u16"`; coils and discrete inputs have none.
    #[serde(rename = "type")]
    pub kind: Option<RegisterType>,
    /// Byte order where it differs from the device's.
    pub order: Option<Order>,
    /// One bit of the register, 0 is the least significant, 0–15. Default: the whole register.
    pub bit: Option<u8>,
    /// A number in some bits of the register: the lowest and the highest. Example: `[4, 7]`.
    pub bits: Option<Vec<u8>>,
    /// Which byte of the register `u8` and `i8` are, default `"low"`, or that a `string` has one
    /// character per register.
    pub byte: Option<Byte>,
    /// Length of a `string` in registers, 1–125.
    pub registers: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    Coil,
    Discrete,
    Holding,
    Input,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum RegisterType {
    /// Four decimal digits, four bits each.
    Bcd16,
    Bcd32,
    Bcd64,
    /// Three registers: year of the century and month, day and hour, minute and second, each a byte
    /// of two decimal digits.
    DateBcd,
    /// As `date_bcd`, but each byte a number, the year counted from 2000.
    DateBytes,
    /// Four registers as in IEC 870-5-4.
    DateIec870,
    /// Six registers: year, month, day, hour, minute, second.
    DateWords,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    String,
    U8,
    U16,
    U32,
    U64,
}

/// Byte of a register.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Byte {
    High,
    Low,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Write {
    /// Modbus function. Default: the one for a single value of that table and type.
    pub function: Option<WriteFunction>,
    /// What makes a write done. Default: `"read_back"`.
    pub verify: Option<Verify>,
    /// Largest difference, in `unit`, that `read_back` takes as equal. Default: the registers must
    /// be the same.
    pub tolerance: Option<f64>,
    /// Pause before reading back in milliseconds, 0–3000. Default: 0.
    pub settle_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum WriteFunction {
    /// Function 22, for part of a register. Where `function` is left out and the device has no such
    /// function, the register is read, changed and written; `write_single` and `write_multiple` do
    /// that at once.
    MaskWrite,
    /// Function 23: written and read back in one request.
    ReadWrite,
    /// Function 5.
    WriteCoil,
    /// Function 16.
    WriteMultiple,
    /// Function 6.
    WriteSingle,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The device's answer to the write.
    Answer,
    /// The value is read again and compared.
    ReadBack,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpioDevice {
    /// Default: `"auto"`, the character device.
    pub backend: Option<Backend>,
    /// Label of the chip, never its number. Example: `"label:pinctrl-rp1"`. Default: the chip that
    /// has lines of these names.
    pub chip: Option<String>,
    /// What holds for every point that does not say otherwise.
    pub defaults: GpioDefaults,
    /// `[device.NAME.point]`.
    pub point: BTreeMap<String, GpioPoint>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    Auto,
    /// The kernel's GPIO character device.
    Cdev,
    /// Registers of a Raspberry Pi.
    Rppal,
    /// Lines in memory, for tests and the demo.
    Sim,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpioDefaults {
    pub active_low: Option<bool>,
    pub bias: Option<Bias>,
    pub boot: Option<Boot>,
    pub debounce_ms: Option<u64>,
    pub exit: Option<Exit>,
    pub min_switch_s: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpioPoint {
    /// Name of the line, required. Example: `"GPIO17"`.
    pub line: Option<String>,
    /// The resource that this point is: an input where the resource can only be read, else an
    /// output. Example: `"/3342/9/5500"`.
    pub resource: Option<String>,
    /// The lamp or relay instance that this output switches. Example: `"/3416/1"`.
    pub instance: Option<String>,
    /// A low level means on. Default: false.
    pub active_low: Option<bool>,
    /// Pull resistor. Default: `"as_is"`.
    pub bias: Option<Bias>,
    /// First value driven at start. Default: `"decide"`, the site does.
    pub boot: Option<Boot>,
    /// How long an input must be steady in milliseconds, 0–60000. Default: 0.
    pub debounce_ms: Option<u64>,
    /// What an output does when the agent ends. Default: `"keep"`.
    pub exit: Option<Exit>,
    /// Dim the output with pulses of this frequency in hertz, 20–2000: an `instance` of 3311, 3312 or
    /// 3416 then takes levels of 0 to 100. With `backend = "rppal"` or `"sim"`. Default: on and off.
    pub pwm_hz: Option<u16>,
    /// A contact that says whether the output did what it was told.
    /// Example: `{ line = "GPIO16", within_ms = 500 }`. Default: none.
    pub feedback: Option<Feedback>,
    /// Shortest time between two switchings of an output in seconds, 0–3600; a command waits for
    /// its end. Default: 0.
    pub min_switch_s: Option<f64>,
    /// Longest random wait in seconds before the output goes on after a return of power, 0–600.
    /// Default: that of its groups.
    pub power_return_spread_s: Option<u64>,
    /// Permitted levels of an output that is dimmed; off is always permitted.
    /// Example: `{ min = 10, max = 80 }`. Default: all.
    pub limit: Option<Limit>,
    pub guard: Option<Guard>,
    pub fail_safe: Option<FailSafe>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    AsIs,
    Disabled,
    PullDown,
    PullUp,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    Decide,
    Off,
    On,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Keep,
    Off,
    On,
}

/// A device in memory, for trying a site out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimDevice {
    /// `[device.NAME.point]`.
    pub point: BTreeMap<String, SimPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimPoint {
    /// The resource that this point is. Required, or `instance`. Example: `"/3303/0/5700"`.
    pub resource: Option<String>,
    /// The lamp or relay instance that this point switches. Example: `"/3416/1"`.
    pub instance: Option<String>,
    /// First value. Default: 0, false or empty. Example: `21.5`.
    pub value: Option<Scalar>,
    /// Whether it may be written. Default: as the object definition says.
    pub writable: Option<bool>,
    /// SenML unit of the value. Default: that of the object definition.
    pub unit: Option<String>,
    /// Shortest time between two switchings of an output in seconds, 0–3600. Default: 0.
    pub min_switch_s: Option<f64>,
    /// Longest random wait in seconds before the output goes on after a return of power, 0–600.
    /// Default: that of its groups.
    pub power_return_spread_s: Option<u64>,
    pub limit: Option<Limit>,
    pub guard: Option<Guard>,
    pub fail_safe: Option<FailSafe>,
}

/// Permitted values of a write, in the point's unit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Default: no lower limit.
    pub min: Option<f64>,
    /// Default: no upper limit.
    pub max: Option<f64>,
    /// Default: `"reject"`.
    pub on_violation: Option<OnViolation>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    /// The nearest permitted value is written.
    Clamp,
    /// Answered with 4.00, nothing is written.
    Reject,
}

/// What an output does when nobody can command it any more.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailSafe {
    /// Required. Example: `"server_lost"`.
    pub on: Option<FailSafeOn>,
    /// How long that must last in seconds, 1–604800. Default: 14400.
    pub after_s: Option<u64>,
    /// What the output is set to, required. Example: `false`.
    pub value: Option<Scalar>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum FailSafeOn {
    /// The output's own device does not answer.
    DeviceLost,
    /// No server can be reached.
    ServerLost,
}

/// Protects what is switched from being switched too often.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Shortest time on in seconds, 0–86400. Default: 0.
    pub min_on_s: Option<u64>,
    /// Shortest time off in seconds, 0–86400. Default: 0.
    pub min_off_s: Option<u64>,
    /// Most starts within an hour, 1–3600. Default: no limit.
    pub max_starts_per_h: Option<u32>,
    /// What a command does while it must wait. Default: `"queue"`.
    pub while_waiting: Option<WhileWaiting>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum WhileWaiting {
    /// Accepted, done when the time has passed.
    Queue,
    /// Refused with the time left.
    Reject,
}
