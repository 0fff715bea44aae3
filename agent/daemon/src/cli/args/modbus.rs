//! `lamplighter modbus …`

use std::{ops::RangeInclusive, path::PathBuf};

use clap::{Args, Subcommand};
use lamplighter_adapters::bus::{LineParity, LineSettings};

#[derive(Clone, Debug, Subcommand)]
#[command(after_help = HELP)]
pub enum Modbus {
    /// Look for devices on a line: units, and with --speeds and --parity how they speak
    #[command(after_help = SCAN_HELP)]
    Scan(Scan),
    /// Read a point with its raw registers, or registers of any device
    #[command(after_help = READ_HELP)]
    Read(Read),
    /// Write a point and show its registers before and after, or registers that no point commands
    #[command(after_help = WRITE_HELP)]
    Write(Write),
}

const HELP: &str = "\
While the agent runs it is asked, and asks the line behind its own polls and commands; otherwise the port of the bus is
opened as the configuration says. Only that, or --port and --tcp, needs the right to open it.

Examples:
  lamplighter modbus scan rs485_1
  lamplighter modbus read ahu1.setpoint
  lamplighter modbus read rs485_1:17 holding:0..9";

const SCAN_HELP: &str = "\
Examples:
  lamplighter modbus scan                                       the only line there is
  lamplighter modbus scan rs485_1 --units 1-32 --json
  lamplighter modbus scan rs485_1 --speeds 9600,19200 --parity N,E
  lamplighter modbus scan --port /dev/ttyUSB0 --line 9600-8N1   without agent and configuration";

const READ_HELP: &str = "\
TARGET is a point, a device, or BUS:UNIT (with --port and --tcp the unit alone). REGISTERS are TABLE:FIRST or
TABLE:FIRST..LAST, counted from 0; tables are coil, discrete, holding and input.

Examples:
  lamplighter modbus read ahu1.setpoint
  lamplighter modbus read ahu1 input:0..7
  lamplighter modbus read rs485_1:17 holding:5 --json
  lamplighter modbus read 17 coil:0..15 --port /dev/ttyUSB0 --line 19200-8E1";

const WRITE_HELP: &str = "\
A point is written as by `lamplighter write`: limits, guards and locks hold. Registers that a point commands are refused.
Values of registers are 0 to 65535, -32768 to -1, or 0x…; of coils on and off. Several go into the registers behind FIRST.

Examples:
  lamplighter modbus write ahu1.setpoint 21.5
  lamplighter modbus write rs485_1:17 holding:100 215
  lamplighter modbus write rs485_1:17 coil:3 on";

#[derive(Args, Clone, Debug)]
pub struct Port {
    /// A serial port, without agent and configuration
    #[arg(long, value_name = "PATH", conflicts_with = "tcp")]
    pub port: Option<PathBuf>,
    /// Speed, data bits, parity and stop bits of --port [default: 9600-8E1]
    #[arg(long, value_name = "LINE", requires = "port")]
    pub line: Option<LineSettings>,
    /// A device or gateway that speaks Modbus TCP, without agent and configuration
    #[arg(long, value_name = "HOST:PORT")]
    pub tcp: Option<String>,
    /// How long a device may take to answer [default: 100 for scan, else as configured, or 400]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub timeout_ms: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub struct Scan {
    /// Name of a [bus.NAME]
    pub bus: Option<String>,
    /// Units to ask, 1 to 247
    #[arg(long, value_name = "FIRST-LAST", default_value = "1-247", value_parser = parse_units)]
    pub units: RangeInclusive<u8>,
    /// Speeds to try on a serial line [default: that of the line]
    #[arg(long, value_name = "BAUD", value_delimiter = ',')]
    pub speeds: Vec<u32>,
    /// Parities to try on a serial line: N, E, O [default: that of the line]
    #[arg(long, value_name = "LETTER", value_delimiter = ',', value_parser = parse_parity)]
    pub parity: Vec<LineParity>,
    #[command(flatten)]
    pub port: Port,
}

#[derive(Args, Clone, Debug)]
pub struct Read {
    pub target: String,
    pub registers: Option<String>,
    #[command(flatten)]
    pub port: Port,
}

#[derive(Args, Clone, Debug)]
pub struct Write {
    pub target: String,
    /// The value of a point, or REGISTERS and their values
    #[arg(required = true, allow_negative_numbers = true, value_name = "VALUE")]
    pub rest: Vec<String>,
    #[command(flatten)]
    pub port: Port,
}

fn parse_units(text: &str) -> Result<RangeInclusive<u8>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let unit = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|unit| (1..=247).contains(unit))
    };
    match (unit(first), unit(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("units are 1 to 247, for example 1-32".to_owned()),
    }
}

fn parse_parity(text: &str) -> Result<LineParity, String> {
    match text {
        "E" | "e" => Ok(LineParity::Even),
        "N" | "n" => Ok(LineParity::None),
        "O" | "o" => Ok(LineParity::Odd),
        _ => Err("a parity is N, E or O".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_that_a_device_can_have() {
        assert_eq!(parse_units("1-247"), Ok(1..=247));
        assert_eq!(parse_units("17"), Ok(17..=17));
        for wrong in ["", "0-5", "5-1", "1-248", "a", "1-"] {
            assert!(parse_units(wrong).is_err(), "{wrong}");
        }
    }
}
