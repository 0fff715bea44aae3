//! What is configured for a device, and what can be wrong with it.

use std::{fmt, str::FromStr, time::Duration};

use lamplighter_model::{Decimal, ResourceAddress, object::Operations};

use super::{
    bus::{BusSettings, Framing},
    codec::{Byte, PointCodec, RegisterType},
    frame::{Request, Table},
    layout::DateLayout,
    plan::{CostModel, PollPlan, RegisterRange, plan},
};

/// One device on a line.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Stands in the log.
    pub name: String,
    /// 1–247; on TCP also 0 and 255. On a serial line 0 is all devices: written to, never read.
    pub unit: u8,
    /// From the end of a request to the beginning of its answer.
    pub timeout: Duration,
    /// Attempts after the first.
    pub retries: u8,
    /// Most registers and bits that the device gives at once.
    pub max_registers: u16,
    pub max_bits: u16,
    /// Never read across.
    pub holes: Vec<RegisterRange>,
    /// Each point by itself, for devices that refuse any longer read.
    pub one_request_per_point: bool,
    /// How addresses of points are counted.
    pub addressing: Addressing,
    /// Failed cycles in a row after which it leaves the polls and is probed.
    pub offline_after: u32,
    pub probe: Probe,
    pub points: Vec<PointConfig>,
}

/// How an offline device is asked whether it is back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    /// The first pause; each is twice as long as the one before, spread by ± 25 %.
    pub first: Duration,
    pub max: Duration,
    /// Shorter than the device's own, but never shorter than its usual answer takes.
    pub timeout: Duration,
}

/// One resource of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct PointConfig {
    pub name: String,
    pub address: ResourceAddress,
    pub operations: Operations,
    pub read: Option<ReadConfig>,
    pub write: Option<WriteConfig>,
    pub codec: PointCodec,
    pub poll: Duration,
}

/// Where a point is read, its address as it is written in the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadConfig {
    pub table: Table,
    pub at: u32,
}

/// Where and how a point is written, its address as it is written in the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteConfig {
    pub table: Table,
    pub at: u32,
    pub function: WriteFunction,
    pub verify: Option<Verify>,
}

/// Which functions the device understands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WriteFunction {
    /// Single where one register or coil is enough. For part of a register function 22, and where
    /// the device has no such function, the register is read, changed and written.
    #[default]
    Auto,
    /// Function 22, for part of a register.
    Mask,
    /// Functions 15 and 16.
    Multiple,
    /// Function 23: written and read back in one request.
    ReadWrite,
    /// Functions 5 and 6.
    Single,
}

/// Reading back what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verify {
    /// Largest difference; without it the registers must be the same.
    pub tolerance: Option<Decimal>,
    /// Pause before, for devices that take their time.
    pub settle: Duration,
}

/// How addresses are counted in the device's manual.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Addressing {
    /// 40001 is holding register 0, 30001 input register 0, 10001 discrete input 0, 1 coil 0; six
    /// digits likewise.
    Modicon,
    OneBased,
    /// As on the wire.
    #[default]
    ZeroBased,
}

/// Something that cannot work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The name of the point, where it is one point's.
    pub point: Option<String>,
    pub text: String,
}

/// Bytes are cheap on a network, but devices take their time to put them together.
const NETWORK_CHAR_TIME: Duration = Duration::from_micros(10);
/// A slave on a serial line turns a request around in about this time, until it is measured.
const USUAL_TURNAROUND: Duration = Duration::from_millis(2);

impl Default for Probe {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            max: Duration::from_secs(300),
            timeout: Duration::from_millis(100),
        }
    }
}

impl DeviceConfig {
    /// A device with the defaults of every key and no points.
    pub fn new(name: impl Into<String>, unit: u8) -> Self {
        Self {
            name: name.into(),
            unit,
            timeout: Duration::from_millis(400),
            retries: 1,
            max_registers: 125,
            max_bits: 2000,
            holes: Vec::new(),
            one_request_per_point: false,
            addressing: Addressing::default(),
            offline_after: 3,
            probe: Probe::default(),
            points: Vec::new(),
        }
    }

    /// Everything that cannot work on a line of this kind.
    pub fn problems(&self, settings: &BusSettings) -> Vec<Problem> {
        let mut problems = Vec::new();
        let serial = matches!(settings.framing, Framing::Rtu(_) | Framing::RtuOverTcp);
        if serial && self.unit > 247 {
            problems.push(Problem::device("unit is 0 to 247 on a serial line"));
        }
        if settings.is_broadcast(self.unit) {
            let asks = |point: &&PointConfig| {
                point.read.is_some() || point.write.is_none_or(|write| write.needs_an_answer())
            };
            problems.extend(self.points.iter().filter(asks).map(|point| Problem {
                point: Some(point.name.clone()),
                text: "unit 0 is all devices: they can be written to, but none answers".to_owned(),
            }));
        }
        if !(1..=125).contains(&self.max_registers) {
            problems.push(Problem::device("max_registers is 1 to 125"));
        }
        if !(1..=2000).contains(&self.max_bits) {
            problems.push(Problem::device("max_bits is 1 to 2000"));
        }
        if self.timeout.is_zero() || self.probe.timeout.is_zero() {
            problems.push(Problem::device("a timeout is longer than nothing"));
        }
        let cost = self.cost(settings);
        for point in &self.points {
            let texts = point.problems(self.addressing, &cost);
            problems.extend(texts.map(|text| Problem {
                point: Some(point.name.clone()),
                text,
            }));
        }
        problems
    }

    /// How the device is read on this line. Points with problems are left out.
    pub fn plan(&self, settings: &BusSettings) -> PollPlan {
        plan(&self.ranges(), &self.cost(settings))
    }

    /// Where each point is read, and how often.
    pub(crate) fn ranges(&self) -> Vec<(RegisterRange, Duration)> {
        self.points
            .iter()
            .map(|point| (self.range_of(point), point.poll))
            .collect()
    }

    /// Where a point is read; nothing of a point that is not.
    pub(crate) fn range_of(&self, point: &PointConfig) -> RegisterRange {
        point.read_range(self.addressing).unwrap_or(RegisterRange {
            table: Table::Holding,
            at: 0,
            count: 0,
        })
    }

    /// What the line and the device are taken to cost until that is measured.
    pub(crate) fn cost(&self, settings: &BusSettings) -> CostModel {
        CostModel {
            char_time: settings.char_time().max(NETWORK_CHAR_TIME),
            silence: settings.silence(),
            turnaround: USUAL_TURNAROUND,
            max_registers: self.max_registers,
            max_bits: self.max_bits,
            holes: self.holes.clone(),
            refused: Vec::new(),
            one_per_point: self.one_request_per_point,
        }
    }
}

impl PointConfig {
    /// The registers it is read from; `None` where it is not read or its address is none.
    pub(crate) fn read_range(&self, addressing: Addressing) -> Option<RegisterRange> {
        let read = self.read?;
        self.range(read.table, read.at, addressing)
    }

    /// The registers it is written to.
    pub(crate) fn write_range(&self, addressing: Addressing) -> Option<RegisterRange> {
        let write = self.write?;
        self.range(write.table, write.at, addressing)
    }

    fn range(&self, table: Table, at: u32, addressing: Addressing) -> Option<RegisterRange> {
        let (at, count) = (addressing.resolve(table, at)?, self.codec.kind.width());
        Request::Read { table, at, count }.check().ok()?;
        Some(RegisterRange { table, at, count })
    }

    fn problems(&self, addressing: Addressing, cost: &CostModel) -> impl Iterator<Item = String> {
        [
            self.layout_problem(),
            self.read_problem(addressing, cost),
            self.write_problem(addressing),
            (self.codec.scaling.scale.mantissa == 0).then(|| "scale is not 0".to_owned()),
            (self.poll.is_zero() && self.read.is_some())
                .then(|| "poll_s is longer than nothing".to_owned()),
        ]
        .into_iter()
        .flatten()
    }

    fn layout_problem(&self) -> Option<String> {
        let is_bool = self.codec.kind == RegisterType::Bool;
        let tables = self
            .read
            .map(|read| read.table)
            .into_iter()
            .chain(self.write.map(|write| write.table));
        if tables
            .into_iter()
            .any(|table| table.holds_bits() != is_bool)
        {
            return Some(
                "coils and discrete inputs hold bits, registers all other types".to_owned(),
            );
        }
        if self.codec.kind.is_possible() {
            return None;
        }
        let text = match self.codec.kind {
            RegisterType::Bcd(_) => "decimal digits take 1, 2 or 4 registers",
            RegisterType::HalfText(..) | RegisterType::Text(_) => {
                "a text has at least one register"
            }
            RegisterType::Bit(_)
            | RegisterType::Bits(..)
            | RegisterType::Bool
            | RegisterType::Date(_)
            | RegisterType::F16
            | RegisterType::F32
            | RegisterType::F64
            | RegisterType::I8(_)
            | RegisterType::I16
            | RegisterType::I32
            | RegisterType::I64
            | RegisterType::U8(_)
            | RegisterType::U16
            | RegisterType::U32
            | RegisterType::U64 => "a register has bits 0 to 15",
        };
        Some(text.to_owned())
    }

    fn read_problem(&self, addressing: Addressing, cost: &CostModel) -> Option<String> {
        let read = self.read?;
        let Some(range) = self.read_range(addressing) else {
            return Some(format!(
                "{} is no address in table {} here",
                read.at, read.table
            ));
        };
        (!cost.allows(range))
            .then(|| format!("{range} lies in a hole or is longer than the device gives at once"))
    }

    fn write_problem(&self, addressing: Addressing) -> Option<String> {
        let write = self.write?;
        if matches!(write.table, Table::Discrete | Table::Input) {
            return Some(format!("table {} cannot be written", write.table));
        }
        if self.write_range(addressing).is_none() {
            return Some(format!(
                "{} is no address in table {} here",
                write.at, write.table
            ));
        }
        let (kind, is_field) = (self.codec.kind, self.codec.kind.field().is_some());
        let text = match write.function {
            WriteFunction::Single if kind.width() > 1 => {
                "write_single writes one register, this type has more"
            }
            WriteFunction::Mask if !is_field => {
                "mask_write writes part of a register, this type is more"
            }
            WriteFunction::ReadWrite if is_field || kind == RegisterType::Bool => {
                "read_write writes whole registers"
            }
            WriteFunction::Auto
            | WriteFunction::Mask
            | WriteFunction::Multiple
            | WriteFunction::ReadWrite
            | WriteFunction::Single => return None,
        };
        Some(text.to_owned())
    }
}

impl WriteConfig {
    /// Whether a device that never answers cannot be written so.
    fn needs_an_answer(self) -> bool {
        self.verify.is_some() || self.function == WriteFunction::ReadWrite
    }
}

impl Addressing {
    /// The address on the wire.
    pub fn resolve(self, table: Table, at: u32) -> Option<u16> {
        let at = match self {
            Self::ZeroBased => Some(at),
            Self::OneBased => at.checked_sub(1),
            Self::Modicon => {
                let digit = match table {
                    Table::Coil => 0,
                    Table::Discrete => 1,
                    Table::Input => 3,
                    Table::Holding => 4,
                };
                // Five digits reach 9999, six digits all 65536.
                let step = if at < 100_000 && !(table == Table::Coil && at > 9999) {
                    10_000
                } else {
                    100_000
                };
                at.checked_sub(digit * step)
                    .filter(|number| *number < step)?
                    .checked_sub(1)
            }
        };
        u16::try_from(at?).ok()
    }

    /// Reads `holding:120..127`, both ends included, or `input:7`, counted as this addressing does.
    pub fn range(self, text: &str) -> Option<RegisterRange> {
        let (table, range) = text.split_once(':')?;
        let table = table.parse().ok()?;
        let (first, last) = range.split_once("..").unwrap_or((range, range));
        let first = self.resolve(table, first.parse().ok()?)?;
        let last = self.resolve(table, last.parse().ok()?)?;
        let count = last.checked_sub(first)?.checked_add(1)?;
        Some(RegisterRange {
            table,
            at: first,
            count,
        })
    }
}

impl FromStr for Addressing {
    type Err = ();

    /// Reads `zero_based`, `one_based`, `modicon`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "zero_based" => Ok(Self::ZeroBased),
            "one_based" => Ok(Self::OneBased),
            "modicon" => Ok(Self::Modicon),
            _ => Err(()),
        }
    }
}

impl FromStr for WriteFunction {
    type Err = ();

    /// Reads `auto`, `write_single` and `write_coil`, `write_multiple` and `write_coils`,
    /// `mask_write`, `read_write`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "write_single" | "write_coil" => Ok(Self::Single),
            "write_multiple" | "write_coils" => Ok(Self::Multiple),
            "mask_write" => Ok(Self::Mask),
            "read_write" => Ok(Self::ReadWrite),
            _ => Err(()),
        }
    }
}

impl RegisterType {
    /// The type of the configuration's `type`, `bit` and `registers` keys; without a type a bit, or
    /// what the table holds.
    pub fn named(
        name: Option<&str>,
        table: Table,
        bit: Option<u8>,
        registers: Option<u16>,
    ) -> Option<Self> {
        match (name, bit, registers) {
            (None | Some("bool"), None, None) if table.holds_bits() => Some(Self::Bool),
            (None | Some("u16" | "bool"), Some(bit), None) if !table.holds_bits() => {
                Some(Self::Bit(bit))
            }
            (Some("string"), None, Some(registers)) => Some(Self::Text(registers)),
            (None | Some("u16"), None, None) => Some(Self::U16),
            (Some("i16"), None, None) => Some(Self::I16),
            (Some("i32"), None, None) => Some(Self::I32),
            (Some("u32"), None, None) => Some(Self::U32),
            (Some("i64"), None, None) => Some(Self::I64),
            (Some("u64"), None, None) => Some(Self::U64),
            (Some("i8"), None, None) => Some(Self::I8(Byte::Low)),
            (Some("u8"), None, None) => Some(Self::U8(Byte::Low)),
            (Some("bcd16"), None, None) => Some(Self::Bcd(1)),
            (Some("bcd32"), None, None) => Some(Self::Bcd(2)),
            (Some("bcd64"), None, None) => Some(Self::Bcd(4)),
            (Some("date_bcd"), None, None) => Some(Self::Date(DateLayout::Bcd)),
            (Some("date_bytes"), None, None) => Some(Self::Date(DateLayout::Bytes)),
            (Some("date_iec870"), None, None) => Some(Self::Date(DateLayout::Iec870)),
            (Some("date_words"), None, None) => Some(Self::Date(DateLayout::Words)),
            (Some("f16"), None, None) => Some(Self::F16),
            (Some("f32"), None, None) => Some(Self::F32),
            (Some("f64"), None, None) => Some(Self::F64),
            _ => None,
        }
    }
}

impl Problem {
    fn device(text: &str) -> Self {
        Self {
            point: None,
            text: text.to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.point {
            Some(point) => write!(f, "point {point}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::DataType;

    use super::*;
    use crate::modbus::Order;

    fn rtu() -> BusSettings {
        BusSettings::new("test", Framing::Rtu("9600-8E1".parse().unwrap()))
    }

    fn point(kind: RegisterType, table: Table, at: u32) -> PointConfig {
        PointConfig {
            name: "p".into(),
            address: ResourceAddress::gateway(3303, 0, 5700),
            operations: Operations::R,
            read: Some(ReadConfig { table, at }),
            write: None,
            codec: PointCodec::plain(kind, Order::Abcd, DataType::Float),
            poll: Duration::from_secs(5),
        }
    }

    fn texts(device: &DeviceConfig) -> Vec<String> {
        device
            .problems(&rtu())
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn addresses_are_counted_as_in_the_manual() {
        for (addressing, table, at, expected) in [
            (Addressing::ZeroBased, Table::Holding, 0, Some(0)),
            (Addressing::ZeroBased, Table::Holding, 65536, None),
            (Addressing::OneBased, Table::Holding, 1, Some(0)),
            (Addressing::OneBased, Table::Holding, 0, None),
            (Addressing::Modicon, Table::Holding, 40001, Some(0)),
            (Addressing::Modicon, Table::Holding, 49999, Some(9998)),
            (Addressing::Modicon, Table::Holding, 465_536, Some(65535)),
            (Addressing::Modicon, Table::Holding, 30001, None),
            (Addressing::Modicon, Table::Input, 30008, Some(7)),
            (Addressing::Modicon, Table::Discrete, 10001, Some(0)),
            (Addressing::Modicon, Table::Coil, 15, Some(14)),
            (Addressing::Modicon, Table::Coil, 0, None),
        ] {
            assert_eq!(
                addressing.resolve(table, at),
                expected,
                "{addressing:?} {table} {at}"
            );
        }
        let hole = RegisterRange {
            table: Table::Holding,
            at: 120,
            count: 8,
        };
        assert_eq!(Addressing::ZeroBased.range("holding:120..127"), Some(hole));
        assert_eq!(
            Addressing::Modicon.range("holding:40121..40128"),
            Some(hole)
        );
        for wrong in ["holding", "holding:9..8", "tank:1", "holding:x"] {
            assert_eq!(Addressing::ZeroBased.range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut device = DeviceConfig::new("ahu", 248);
        device.max_registers = 126;
        device.holes = vec![RegisterRange {
            table: Table::Input,
            at: 3,
            count: 1,
        }];
        device.points = vec![
            point(RegisterType::I16, Table::Input, 3),
            point(RegisterType::I16, Table::Coil, 0),
            point(RegisterType::U32, Table::Holding, 65535),
            PointConfig {
                write: Some(WriteConfig {
                    table: Table::Input,
                    at: 1,
                    function: WriteFunction::Auto,
                    verify: None,
                }),
                ..point(RegisterType::I16, Table::Input, 1)
            },
        ];
        assert_eq!(
            texts(&device),
            [
                "unit is 0 to 247 on a serial line",
                "max_registers is 1 to 125",
                "point p: input 3 lies in a hole or is longer than the device gives at once",
                "point p: coils and discrete inputs hold bits, registers all other types",
                "point p: 65535 is no address in table holding here",
                "point p: table input cannot be written",
            ]
        );
    }

    #[test]
    fn a_device_without_fault_has_a_plan() {
        let mut device = DeviceConfig::new("ahu", 17);
        device.points = vec![
            point(RegisterType::I16, Table::Input, 3),
            point(RegisterType::F32, Table::Input, 5),
        ];
        assert_eq!(device.problems(&rtu()), []);
        let plan = device.plan(&rtu());
        assert_eq!(plan.requests.len(), 1);
        assert_eq!(
            plan.requests[0].range,
            RegisterRange {
                table: Table::Input,
                at: 3,
                count: 4
            }
        );
        assert!(plan.load() > 0.005 && plan.load() < 0.01, "{plan}");
    }

    #[test]
    fn types_are_told_by_their_keys() {
        let named = RegisterType::named;
        assert_eq!(
            named(Some("i16"), Table::Holding, None, None),
            Some(RegisterType::I16)
        );
        assert_eq!(
            named(None, Table::Coil, None, None),
            Some(RegisterType::Bool)
        );
        assert_eq!(
            named(Some("u16"), Table::Holding, Some(10), None),
            Some(RegisterType::Bit(10))
        );
        assert_eq!(
            named(Some("string"), Table::Holding, None, Some(8)),
            Some(RegisterType::Text(8))
        );
        assert_eq!(named(Some("i16"), Table::Holding, Some(1), None), None);
        assert_eq!(named(Some("i24"), Table::Holding, None, None), None);
    }
}
