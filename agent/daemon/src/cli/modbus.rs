//! `lamplighter modbus`: who is on a line, what stands in a register, what becomes of a point.

pub(super) mod port;
mod scan;
mod show;
mod way;

use std::io::Write;

use serde_json::json;

use super::{
    args::{self, Global},
    exit::Failure,
    screen,
};
use crate::commission::{LineView, RawRead, RawWrite};
use way::{Purpose, Way};

pub(super) fn modbus(
    global: &Global,
    command: &args::modbus::Modbus,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        args::modbus::Modbus::Read(options) => read(global, options, out),
        args::modbus::Modbus::Scan(options) => scan::scan(global, options, out),
        args::modbus::Modbus::Write(options) => write(global, options, out),
    }
}

/// A range of one table as it is typed.
struct Registers {
    table: String,
    at: u16,
    count: u16,
}

/// Who is asked.
enum Target {
    Point(String),
    Unit { bus: String, unit: u8 },
}

fn read(global: &Global, options: &args::ModbusRead, out: &mut impl Write) -> Result<(), Failure> {
    let bus = bus_in(&options.target);
    let way = Way::open(global, &options.port, bus, Purpose::Look)?;
    let target = Target::of(&options.target, &way.lines()?, options.registers.is_some())?;
    match (target, &options.registers) {
        (Target::Point(name), _) => {
            let point = way.point(&name)?;
            if global.json {
                return screen::print_json(out, &json!(point));
            }
            Ok(show::point(&point, out)?)
        }
        (Target::Unit { .. }, None) => {
            Err(Failure::usage("which registers? for example holding:0..9"))
        }
        (Target::Unit { bus, unit }, Some(registers)) => {
            let registers = Registers::of(registers)?;
            let raw = way.read(&RawRead {
                bus,
                unit,
                table: registers.table,
                at: registers.at,
                count: registers.count,
                timeout_ms: options.port.timeout_ms,
            })?;
            if global.json {
                return screen::print_json(out, &json!(raw));
            }
            Ok(show::raw(&raw, out)?)
        }
    }
}

fn write(
    global: &Global,
    options: &args::ModbusWrite,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let bus = bus_in(&options.target);
    let way = Way::open(global, &options.port, bus, Purpose::Write)?;
    let has_registers = options.rest.len() > 1;
    match Target::of(&options.target, &way.lines()?, has_registers)? {
        Target::Point(name) => {
            let [value] = options.rest.as_slice() else {
                return Err(Failure::usage("a point takes one value"));
            };
            let before = way.point(&name)?;
            way.write_point(&name, value)?;
            let after = way.point(&name)?;
            if global.json {
                return screen::print_json(out, &json!({ "before": before, "after": after }));
            }
            writeln!(out, "before")?;
            show::point(&before, out)?;
            writeln!(out, "after")?;
            Ok(show::point(&after, out)?)
        }
        Target::Unit { bus, unit } => {
            let Some((registers, values)) = options.rest.split_first().filter(|_| has_registers)
            else {
                return Err(Failure::usage(
                    "which register, and which value? for example holding:100 215",
                ));
            };
            let registers = Registers::of(registers)?;
            let written = way.write(&RawWrite {
                bus,
                unit,
                table: registers.table,
                at: registers.at,
                values: values
                    .iter()
                    .map(|value| word(value))
                    .collect::<Result<_, _>>()?,
                timeout_ms: options.port.timeout_ms,
            })?;
            if global.json {
                screen::print_json(out, &json!(written))?;
            } else {
                show::written(&written, out)?;
            }
            match written.doubt() {
                Some(doubt) => Err(Failure::failed(doubt)),
                None => Ok(()),
            }
        }
    }
}

impl Target {
    fn of(text: &str, lines: &[LineView], has_registers: bool) -> Result<Self, Failure> {
        if let Some((bus, unit)) = text.rsplit_once(':') {
            return Ok(Self::Unit {
                bus: bus.to_owned(),
                unit: unit_of(unit)?,
            });
        }
        if let ([line], true) = (lines, text.bytes().all(|byte| byte.is_ascii_digit())) {
            return Ok(Self::Unit {
                bus: line.bus.clone(),
                unit: unit_of(text)?,
            });
        }
        if text.contains('.') && !has_registers {
            return Ok(Self::Point(text.to_owned()));
        }
        for line in lines {
            if let Some(unit) = line.units.iter().find(|unit| unit.device == text) {
                return Ok(Self::Unit {
                    bus: line.bus.clone(),
                    unit: unit.unit,
                });
            }
        }
        Err(Failure::usage(format!(
            "{text} is no Modbus device; name a point, a device, or BUS:UNIT"
        )))
    }
}

/// The bus that a target names, without which all that are configured would be opened.
fn bus_in(target: &str) -> way::Wanted<'_> {
    match target.rsplit_once(':') {
        Some((bus, _)) => way::Wanted::Bus(bus),
        None => match target.split_once('.') {
            Some((device, _)) => way::Wanted::Device(device),
            None => way::Wanted::Device(target),
        },
    }
}

impl Registers {
    fn of(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "`{text}` is not TABLE:FIRST..LAST, for example holding:0..9"
            ))
        };
        let (table, range) = text.split_once(':').ok_or_else(wrong)?;
        let (first, last) = range.split_once("..").unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            return Err(wrong());
        };
        let count = last.checked_sub(first).and_then(|more| more.checked_add(1));
        Ok(Self {
            table: table.to_owned(),
            at: first,
            count: count.ok_or_else(wrong)?,
        })
    }
}

fn unit_of(text: &str) -> Result<u8, Failure> {
    text.parse()
        .map_err(|_| Failure::usage(format!("unit {text} is not within 1 to 247")))
}

/// What stands in one register, or in a coil.
fn word(text: &str) -> Result<u16, Failure> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let word = match (text, hex) {
        ("on" | "true", _) => Some(1),
        ("off" | "false", _) => Some(0),
        (_, Some(hex)) => u16::from_str_radix(hex, 16).ok(),
        (_, None) => text.parse().ok().or_else(|| {
            let signed: i16 = text.parse().ok()?;
            Some(signed.cast_unsigned())
        }),
    };
    word.ok_or_else(|| {
        Failure::usage(format!(
            "`{text}` is not what a register holds: 0 to 65535, -32768 to -1, 0x…, on, off"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commission::UnitView;

    #[test]
    fn registers_and_words_are_read_as_people_write_them() {
        let registers = Registers::of("holding:5..8").unwrap();
        assert_eq!(
            (registers.table.as_str(), registers.at, registers.count),
            ("holding", 5, 4)
        );
        assert_eq!(Registers::of("coil:65535").unwrap().count, 1);
        for wrong in [
            "holding",
            "holding:",
            "holding:8..5",
            "holding:0..70000",
            "5",
        ] {
            assert!(Registers::of(wrong).is_err(), "{wrong}");
        }
        for (text, expected) in [
            ("215", 215),
            ("-1", 0xFFFF),
            ("0x0F", 15),
            ("on", 1),
            ("off", 0),
        ] {
            assert_eq!(word(text), Ok(expected), "{text}");
        }
        assert!(word("70000").is_err() && word("-40000").is_err() && word("0xZ").is_err());
    }

    #[test]
    fn a_target_is_a_point_a_device_or_a_unit_of_a_bus() {
        let line = LineView {
            bus: "rs485_1".to_owned(),
            kind: "serial".to_owned(),
            at: "/dev/a".to_owned(),
            line: None,
            open: true,
            reason: String::new(),
            units: vec![UnitView {
                unit: 17,
                device: "ahu1".to_owned(),
            }],
        };
        let lines = [line];
        let unit_of = |text: &str| match Target::of(text, &lines, true).unwrap() {
            Target::Unit { bus, unit } => (bus, unit),
            Target::Point(name) => panic!("{name}"),
        };
        assert_eq!(unit_of("ahu1"), ("rs485_1".to_owned(), 17));
        assert_eq!(unit_of("other:3"), ("other".to_owned(), 3));
        assert_eq!(unit_of("9"), ("rs485_1".to_owned(), 9));
        assert!(matches!(
            Target::of("ahu1.setpoint", &lines, false),
            Ok(Target::Point(_))
        ));
        for wrong in ["chiller", "rs485_1:256", "rs485_1:x"] {
            assert!(Target::of(wrong, &lines, true).is_err(), "{wrong}");
        }
    }
}
