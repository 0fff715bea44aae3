//! `lamplighter meter …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lamplighter_adapters::bus::LineSettings;

#[derive(Clone, Debug, Subcommand)]
pub enum Meter {
    /// Read a meter out: every register with its value, its unit and the resource that it is
    #[command(after_help = READ_HELP)]
    Read(Read),
    /// Look who is on a wired M-Bus
    #[command(after_help = SCAN_HELP)]
    Scan(Scan),
}

const SCAN_HELP: &str = "\
The port is opened by this command: the agent must not use it. By primary addresses 251 questions are asked, which takes two
minutes. By secondary addresses one more digit is tried wherever several meters answer at once.

Examples:
  lamplighter meter scan --port /dev/ttyUSB0
  lamplighter meter scan --port /dev/ttyUSB0 --secondary
  lamplighter meter scan --port /dev/ttyUSB0 --secondary --fitting 26FFFFFF";

#[derive(Args, Clone, Debug)]
pub struct Scan {
    /// The serial port of the level converter
    #[arg(long, value_name = "PATH")]
    pub port: PathBuf,
    /// Speed, data bits, parity and stop bits [default: 2400-8E1]
    #[arg(long, value_name = "LINE")]
    pub line: Option<LineSettings>,
    /// By secondary addresses
    #[arg(long)]
    pub secondary: bool,
    /// Only those that fit: eight digits, F is any [default: all]
    #[arg(long, value_name = "DIGITS", requires = "secondary")]
    pub fitting: Option<String>,
    /// How many times the standard's time an answer may take
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub timeout_factor: u32,
    /// The level converter returns what is sent
    #[arg(long)]
    pub echo: bool,
}

const READ_HELP: &str = "\
While the agent runs it reads its meter for us; otherwise the port of the meter is opened as the configuration says. A
path in brackets is what the register usually is; no point has it yet.

Examples:
  lamplighter meter read                                       the only meter there is
  lamplighter meter read meter_main --json
  lamplighter meter read --port /dev/ttyUSB0                   IEC 62056-21, without agent and configuration
  lamplighter meter read --port /dev/ttyUSB0 --kind sml
  lamplighter meter read --port /dev/ttyUSB0 --kind p1 --line 9600-7E1
  lamplighter meter read --port /dev/ttyUSB0 --kind mbus --address 5
  lamplighter meter read --port /dev/ttyUSB0 --kind mbus --address 26718590";

#[derive(Args, Clone, Debug)]
pub struct Read {
    /// Name of a [device.NAME] that is a meter
    pub name: Option<String>,
    /// A serial port, without agent and configuration
    #[arg(long, value_name = "PATH", conflicts_with = "name")]
    pub port: Option<PathBuf>,
    /// How the meter speaks
    #[arg(long, requires = "port", default_value = "iec62056")]
    pub kind: Kind,
    /// Speed, data bits, parity and stop bits [default: those that are usual for the kind]
    #[arg(long, value_name = "LINE", requires = "port")]
    pub line: Option<LineSettings>,
    /// Mode of IEC 62056-21: auto, A, B, C or D [default: auto]
    #[arg(long, value_name = "MODE", requires = "port")]
    pub mode: Option<String>,
    /// Device address for the sign-on of IEC 62056-21, primary or secondary address on an M-Bus [default:
    /// any meter]
    #[arg(long, value_name = "ADDRESS", requires = "port")]
    pub address: Option<String>,
    /// Highest speed to agree on by IEC 62056-21 [default: 9600]
    #[arg(long, value_name = "BAUD", requires = "port")]
    pub max_baud: Option<u32>,
    /// Pause around the change of speed [default: 250]
    #[arg(long, value_name = "MS", requires = "port")]
    pub baud_change_delay_ms: Option<u64>,
    /// Zeros before the sign-on, for meters with a battery
    #[arg(long, requires = "port")]
    pub wake_up: bool,
    /// The optical head returns what is sent
    #[arg(long, requires = "port")]
    pub echo: bool,
    /// 8N1 on the line, parity in software
    #[arg(long, requires = "port")]
    pub software_parity: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Kind {
    /// Through an optical head, IEC 62056-21
    Iec62056,
    /// On a wired M-Bus
    Mbus,
    /// Customer port, DSMR P1
    P1,
    /// German meters that send SML
    Sml,
}
