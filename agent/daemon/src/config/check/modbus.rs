//! `adapter = "modbus"`.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{Decimal, device::AdapterId};
use lamplighter_site::boundary::PointConfig;

use super::{
    Checker, below, key,
    point::{Carries, Common, Writable},
};
use crate::config::{
    checked::{BusId, Hole, Modbus, ModbusPoint, ModbusWrite, Probe, Raw},
    layer::Key,
    not_built::NOT_AVAILABLE,
    schema::{self, Addressing, RegisterType, Table, WriteFunction},
};

/// How a device's points are read, as far as every point must know.
#[derive(Clone, Copy)]
struct Habits {
    adapter: AdapterId,
    addressing: Addressing,
    order: schema::Order,
    max_registers: u16,
}

impl Checker<'_> {
    pub(super) fn modbus(
        &mut self,
        at: &Key,
        adapter: AdapterId,
        device: &schema::ModbusDevice,
    ) -> (Option<Modbus>, Vec<PointConfig>) {
        let bus = self.bus_of(at, device.bus.as_ref());
        let unit = self.required(at, "unit", device.unit);
        let unit = unit.map(|unit| self.modbus_unit(at, unit, bus));
        let max_registers = self.within(
            &below(at, "max_registers"),
            device.max_registers.unwrap_or(125),
            1,
            125,
        );
        let habits = Habits {
            adapter,
            addressing: device.addressing.unwrap_or(Addressing::ZeroBased),
            order: device.order.unwrap_or(schema::Order::Abcd),
            max_registers,
        };
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let Some((point, config)) =
                self.modbus_point(&below(&below(at, "point"), name), habits, point)
            else {
                continue;
            };
            points.push(point);
            configs.push(config);
        }
        let milliseconds = self.within(
            &below(at, "timeout_ms"),
            device.timeout_ms.unwrap_or(400),
            10,
            60_000,
        );
        let checked = Modbus {
            bus: bus.unwrap_or(BusId(0)),
            unit: unit.unwrap_or(1),
            timeout: Duration::from_millis(milliseconds),
            retries: self.within(&below(at, "retries"), device.retries.unwrap_or(1), 0, 5),
            offline_after: self.within(
                &below(at, "offline_after"),
                device.offline_after.unwrap_or(3),
                1,
                100,
            ),
            probe: self.probe(&below(at, "probe"), &device.probe),
            max_registers,
            holes: self.holes(&below(at, "holes"), &device.holes, habits.addressing),
            stale_after: self.stale_after(at, device.stale_after_s),
            points,
        };
        (bus.and(unit).map(|_| checked), configs)
    }

    fn modbus_unit(&mut self, at: &Key, unit: u8, bus: Option<BusId>) -> u8 {
        // Modbus over serial line 1.02, 2.2: 0 is broadcast, 248–255 are reserved. On TCP 0 and 255
        // mean the device itself.
        let is_serial = bus.is_none_or(|bus| self.is_serial(bus));
        let permitted = (1..=247).contains(&unit) || (!is_serial && matches!(unit, 0 | 255));
        if !permitted {
            self.error(
                &below(at, "unit"),
                format!("`unit = {unit}` is not within 1 to 247"),
                "",
            );
        }
        unit
    }

    fn probe(&mut self, at: &Key, probe: &schema::Probe) -> Probe {
        let first = self.within(&below(at, "first_s"), probe.first_s.unwrap_or(5), 1, 3600);
        let longest = probe.max_s.unwrap_or_else(|| first.max(300));
        let longest = self.within(&below(at, "max_s"), longest, first, 86_400);
        let timeout = self.within(
            &below(at, "timeout_ms"),
            probe.timeout_ms.unwrap_or(100),
            10,
            10_000,
        );
        Probe {
            first: Duration::from_secs(first),
            max: Duration::from_secs(longest),
            timeout: Duration::from_millis(timeout),
        }
    }

    fn holes(&mut self, at: &Key, holes: &[String], addressing: Addressing) -> Vec<Hole> {
        let mut checked = Vec::new();
        for (index, text) in holes.iter().enumerate() {
            match parse_hole(text, addressing) {
                Some(hole) => checked.push(hole),
                None => self.error(
                    &below(at, &index.to_string()),
                    format!("`{text}` is not a range of registers"),
                    "TABLE:FIRST..LAST, for example holding:120..127",
                ),
            }
        }
        checked
    }

    fn modbus_point(
        &mut self,
        at: &Key,
        habits: Habits,
        point: &schema::ModbusPoint,
    ) -> Option<(ModbusPoint, PointConfig)> {
        let read = self.required(at, "read", point.read.as_ref());
        let place = read.and_then(|read| self.register(&below(at, "read"), habits, read));
        let Some((table, register, raw)) = place else {
            // The rest of the point is still worth checking.
            self.point(
                at,
                habits.adapter,
                common(point),
                Carries::Anything,
                writable(point),
            );
            return None;
        };
        let scale = self.factor(&below(at, "scale"), point.scale.unwrap_or(1.0));
        if scale == Decimal::new(0, 0) {
            self.error(
                &below(at, "scale"),
                "a scale of 0 leaves nothing of the value",
                "",
            );
        }
        let offset = self.factor(&below(at, "offset"), point.offset.unwrap_or(0.0));
        let map = self.map(&below(at, "map"), &point.map);
        let carries = self.carries(at, point, raw, [scale, offset]);
        let write = point
            .write
            .as_ref()
            .map(|write| self.modbus_write(&below(at, "write"), table, raw, write));
        let (checked, config) =
            self.point(at, habits.adapter, common(point), carries, writable(point))?;
        let poll = self.within(
            &below(at, "poll_s"),
            point.poll_s.unwrap_or(60.0),
            0.1,
            86_400.0,
        );
        let modbus = ModbusPoint {
            point: checked,
            table,
            at: register,
            raw,
            order: read.and_then(|read| read.order).unwrap_or(habits.order),
            write: write.flatten(),
            scale,
            offset,
            poll: Duration::from_secs_f64(poll),
            invalid: point.invalid.clone(),
            valid: point
                .valid
                .as_ref()
                .and_then(|valid| self.valid(&below(at, "valid"), valid)),
            map,
        };
        Some((modbus, config))
    }

    fn register(
        &mut self,
        at: &Key,
        habits: Habits,
        read: &schema::Read,
    ) -> Option<(Table, u16, Raw)> {
        let table = self.required(at, "table", read.table);
        let number = self.required(at, "at", read.at);
        let (table, number) = (table?, number?);
        let Some(register) = zero_based(table, number, habits.addressing) else {
            let what = format!("`at = {number}` is not a number in this table");
            self.error(
                &below(at, "at"),
                what,
                addressing_hint(habits.addressing, table),
            );
            return None;
        };
        let is_bits = matches!(table, Table::Coil | Table::Discrete);
        if is_bits
            && (read.kind.is_some()
                || read.bit.is_some()
                || read.registers.is_some()
                || read.order.is_some())
        {
            self.error(
                at,
                "coils and discrete inputs are single bits",
                "leave out `type`, `bit`, `registers` and `order`",
            );
        }
        let raw = if is_bits {
            Raw::Bit
        } else {
            self.raw(at, read)?
        };
        if u32::from(register) + u32::from(raw.registers()) > 65_536 {
            self.error(
                &below(at, "at"),
                "the value does not fit before the end of the table",
                "",
            );
        }
        if raw.registers() > habits.max_registers {
            let what = format!("{} registers are more than max_registers", raw.registers());
            self.error(at, what, "a value is read in one request");
        }
        Some((table, register, raw))
    }

    fn raw(&mut self, at: &Key, read: &schema::Read) -> Option<Raw> {
        let kind = read.kind.unwrap_or(RegisterType::U16);
        if let Some(bit) = read.bit {
            if !matches!(kind, RegisterType::U16 | RegisterType::I16) {
                self.error(
                    &below(at, "bit"),
                    "a bit is taken from a single register",
                    "leave out `type`",
                );
            }
            return Some(Raw::BitOf(self.within(&below(at, "bit"), bit, 0, 15)));
        }
        if kind != RegisterType::String {
            if read.registers.is_some() {
                self.error(&below(at, "registers"), "only a string has a length", "");
            }
            return Some(Raw::Number(kind));
        }
        let registers = self.required(at, "registers", read.registers)?;
        Some(Raw::Text(self.within(
            &below(at, "registers"),
            registers,
            1,
            125,
        )))
    }

    /// What comes out of the registers, and that the keys of the point make sense for it.
    fn carries(
        &mut self,
        at: &Key,
        point: &schema::ModbusPoint,
        raw: Raw,
        [scale, offset]: [Decimal; 2],
    ) -> Carries {
        let is_number = matches!(raw, Raw::Number(_));
        for (name, is_set) in [
            ("scale", point.scale.is_some()),
            ("offset", point.offset.is_some()),
            ("valid", point.valid.is_some()),
            ("invalid", !point.invalid.is_empty()),
            ("map", !point.map.is_empty()),
        ] {
            if is_set && !is_number {
                self.error(
                    &below(at, name),
                    format!("`{name}` is for numbers in registers"),
                    "",
                );
            }
        }
        match raw {
            Raw::Bit | Raw::BitOf(_) => Carries::Boolean,
            Raw::Text(_) => Carries::Text,
            Raw::Number(_) if !point.map.is_empty() => Carries::Text,
            Raw::Number(RegisterType::F32 | RegisterType::F64) => Carries::Fraction,
            Raw::Number(_)
                if [scale, offset]
                    .iter()
                    .any(|factor| factor.to_integer().is_none()) =>
            {
                Carries::Fraction
            }
            Raw::Number(_) => Carries::Whole,
        }
    }

    fn modbus_write(
        &mut self,
        at: &Key,
        table: Table,
        raw: Raw,
        write: &schema::Write,
    ) -> Option<ModbusWrite> {
        if matches!(table, Table::Discrete | Table::Input) {
            self.error(
                at,
                "inputs cannot be written",
                "the tables that can are coil and holding",
            );
            return None;
        }
        if matches!(raw, Raw::BitOf(_) | Raw::Text(_)) {
            self.error(
                at,
                format!("writing a bit of a register or a string: {NOT_AVAILABLE}"),
                "",
            );
            return None;
        }
        let usual = match (table, raw.registers()) {
            (Table::Coil, _) => WriteFunction::WriteCoil,
            (_, 1) => WriteFunction::WriteSingle,
            _ => WriteFunction::WriteMultiple,
        };
        let function = write.function.unwrap_or(usual);
        let fits = match function {
            WriteFunction::WriteCoil => table == Table::Coil,
            WriteFunction::WriteMultiple => true,
            WriteFunction::WriteSingle => table == Table::Holding && raw.registers() == 1,
        };
        if !fits {
            self.error(
                &below(at, "function"),
                "this function cannot write this value",
                "leave `function` out",
            );
        }
        let tolerance = write
            .tolerance
            .map(|most| self.within(&below(at, "tolerance"), most, 0.0, f64::MAX));
        let settle = self.within(
            &below(at, "settle_ms"),
            write.settle_ms.unwrap_or(0),
            0,
            3000,
        );
        Some(ModbusWrite {
            function,
            verify: write.verify.unwrap_or(schema::Verify::ReadBack),
            tolerance,
            settle: Duration::from_millis(settle),
        })
    }

    fn valid(&mut self, at: &Key, valid: &[f64]) -> Option<(f64, f64)> {
        if let [lowest, highest] = *valid
            && lowest < highest
        {
            return Some((lowest, highest));
        }
        self.error(
            at,
            "`valid` is the lowest and the highest credible value",
            "for example valid = [-40.0, 90.0]",
        );
        None
    }

    fn map(&mut self, at: &Key, map: &BTreeMap<String, String>) -> BTreeMap<i64, String> {
        let mut checked: BTreeMap<i64, String> = BTreeMap::new();
        for (number, text) in map {
            let Ok(raw) = number.parse() else {
                self.error(
                    &below(at, number),
                    format!("`{number}` is not a whole number"),
                    "",
                );
                continue;
            };
            if checked.values().any(|other| other == text) {
                self.error(
                    &below(at, number),
                    format!("two numbers mean \"{text}\""),
                    "",
                );
            }
            checked.insert(raw, text.clone());
        }
        checked
    }

    /// A decimal number exactly as it was written.
    fn factor(&mut self, at: &Key, number: f64) -> Decimal {
        number.to_string().parse().unwrap_or_else(|_| {
            self.error(at, format!("{number} has too many digits"), "");
            Decimal::new(1, 0)
        })
    }

    pub(super) fn stale_after(&mut self, at: &Key, seconds: Option<u64>) -> Option<Duration> {
        let seconds = self.within(&below(at, "stale_after_s"), seconds?, 1, 604_800);
        Some(Duration::from_secs(seconds))
    }

    /// Two devices that answer to one address would talk at once.
    pub(super) fn same_unit_twice<'m>(
        &mut self,
        devices: impl Iterator<Item = (&'m str, &'m Modbus)>,
    ) {
        let mut seen = BTreeMap::new();
        for (name, modbus) in devices {
            if let Some(other) = seen.insert((modbus.bus, modbus.unit), name) {
                let what = format!(
                    "unit {} is also that of [device.{other}] on the same bus",
                    modbus.unit
                );
                self.warning(
                    &key(&["device", name, "unit"]),
                    what,
                    "one device can have all the points",
                );
            }
        }
    }
}

impl Raw {
    /// Registers (or coils) that the value takes.
    pub fn registers(self) -> u16 {
        match self {
            Self::Bit | Self::BitOf(_) => 1,
            Self::Number(kind) => match kind {
                RegisterType::I16 | RegisterType::U16 | RegisterType::String => 1,
                RegisterType::F32 | RegisterType::I32 | RegisterType::U32 => 2,
                RegisterType::F64 | RegisterType::I64 | RegisterType::U64 => 4,
            },
            Self::Text(registers) => registers,
        }
    }
}

fn common(point: &schema::ModbusPoint) -> Common<'_> {
    Common {
        resource: point.resource.as_ref(),
        instance: point.instance.as_ref(),
        unit: point.unit.as_ref(),
        limit: point.limit.as_ref(),
        guard: point.guard.as_ref(),
    }
}

fn writable(point: &schema::ModbusPoint) -> Writable {
    if point.write.is_some() {
        Writable::Yes
    } else {
        Writable::No
    }
}

/// The number on the wire of a register as data sheets count it.
fn zero_based(table: Table, number: u32, addressing: Addressing) -> Option<u16> {
    let number = match addressing {
        Addressing::ZeroBased => number,
        Addressing::OneBased => number.checked_sub(1)?,
        Addressing::Modicon => {
            let digit = modicon_digit(table);
            // Five digits where that is enough, else six: 40001 and 400001 are the same register.
            let base = if number < digit * 10_000 + 10_000 {
                digit * 10_000
            } else {
                digit * 100_000
            };
            number.checked_sub(base + 1)?
        }
    };
    u16::try_from(number).ok()
}

fn modicon_digit(table: Table) -> u32 {
    match table {
        Table::Coil => 0,
        Table::Discrete => 1,
        Table::Input => 3,
        Table::Holding => 4,
    }
}

fn addressing_hint(addressing: Addressing, table: Table) -> String {
    match addressing {
        Addressing::Modicon => {
            let digit = modicon_digit(table);
            format!("with modicon addressing this table begins at {digit}0001")
        }
        Addressing::OneBased => {
            "with one_based addressing the first is 1, the last 65536".to_owned()
        }
        Addressing::ZeroBased => {
            "0 to 65535; see `addressing` for other ways of counting".to_owned()
        }
    }
}

/// Reads `holding:120..127`.
fn parse_hole(text: &str, addressing: Addressing) -> Option<Hole> {
    let (table, range) = text.split_once(':')?;
    let table = match table {
        "coil" => Table::Coil,
        "discrete" => Table::Discrete,
        "holding" => Table::Holding,
        "input" => Table::Input,
        _ => return None,
    };
    let (first, last) = range.split_once("..")?;
    let number = |text: &str| zero_based(table, text.trim().parse().ok()?, addressing);
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(Hole { table, first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_counted_as_the_data_sheet_does() {
        assert_eq!(
            zero_based(Table::Holding, 5, Addressing::ZeroBased),
            Some(5)
        );
        assert_eq!(zero_based(Table::Holding, 1, Addressing::OneBased), Some(0));
        assert_eq!(zero_based(Table::Holding, 0, Addressing::OneBased), None);
        assert_eq!(
            zero_based(Table::Holding, 40_001, Addressing::Modicon),
            Some(0)
        );
        assert_eq!(
            zero_based(Table::Holding, 400_001, Addressing::Modicon),
            Some(0)
        );
        assert_eq!(
            zero_based(Table::Input, 30_012, Addressing::Modicon),
            Some(11)
        );
        assert_eq!(zero_based(Table::Coil, 1, Addressing::Modicon), Some(0));
        assert_eq!(
            zero_based(Table::Holding, 30_001, Addressing::Modicon),
            None
        );
        assert_eq!(
            zero_based(Table::Holding, 65_536, Addressing::ZeroBased),
            None
        );
    }

    #[test]
    fn a_hole_is_a_range_of_one_table() {
        let hole = Hole {
            table: Table::Holding,
            first: 120,
            last: 127,
        };
        assert_eq!(
            parse_hole("holding:120..127", Addressing::ZeroBased),
            Some(hole)
        );
        for wrong in ["120..127", "holding:127..120", "holding:1", "register:1..2"] {
            assert_eq!(parse_hole(wrong, Addressing::ZeroBased), None, "{wrong}");
        }
    }
}
