//! `lamplighter gpio …`

use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};

use super::parse_duration;

#[derive(Clone, Debug, Subcommand)]
#[command(after_help = HELP)]
pub enum Gpio {
    /// Show the chips with their lines: who has them, which point they are
    #[command(after_help = "Examples:\n  lamplighter gpio list\n  lamplighter gpio list --json")]
    List,
    /// Show the level of a line, or the state of a point
    #[command(
        after_help = "Examples:\n  lamplighter gpio get lamps.hand\n  lamplighter gpio get GPIO22\n  lamplighter gpio get 22 --chip pinctrl-rp1"
    )]
    Get(Get),
    /// Switch a point, or drive a line that no point is
    #[command(
        after_help = "A point is switched as by `lamplighter set`. A line is driven until --for is over, or Enter is pressed.\n\nExamples:\n  lamplighter gpio set lamps.l1 on --for 10s\n  lamplighter gpio set GPIO5 on --for 2s"
    )]
    Set(Set),
}

const HELP: &str = "\
LINE is a point of the configuration (lamps.l1), or the name of a line (GPIO5), or with --chip its number. A line that is
a point goes through the running agent; what nobody has is opened here and needs the right to do so (group gpio).

Examples:
  lamplighter gpio list
  lamplighter gpio get lamps.hand
  lamplighter gpio set GPIO5 on --for 2s";

#[derive(Args, Clone, Debug)]
pub struct Get {
    pub line: String,
    /// Label of the chip, as `gpio list` shows it
    #[arg(long, value_name = "LABEL")]
    pub chip: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct Set {
    pub line: String,
    /// on or off
    #[arg(action = ArgAction::Set, value_parser = parse_level)]
    pub level: bool,
    /// Label of the chip, as `gpio list` shows it
    #[arg(long, value_name = "LABEL")]
    pub chip: Option<String>,
    /// How long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub hold: Option<Duration>,
}

fn parse_level(text: &str) -> Result<bool, String> {
    match text {
        "1" | "on" | "true" => Ok(true),
        "0" | "off" | "false" => Ok(false),
        _ => Err("a line is on or off".to_owned()),
    }
}
