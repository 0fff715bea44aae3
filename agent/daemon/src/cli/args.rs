//! The command line of the contract. Help, completions and manual pages come from here.

pub(super) mod gpio;
pub(super) mod meter;
pub(super) mod modbus;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{ask::LONGEST_OFFLINE, start::Places};

pub(super) use modbus::{
    Port as ModbusPort, Read as ModbusRead, Scan as ModbusScan, Write as ModbusWrite,
};

/// LwM2M gateway for street cabinets, plant rooms and vehicles.
#[derive(Debug, Parser)]
#[command(name = "lamplighter", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
PATH is an LwM2M path (/3308/0/5900) or a name of the configuration (ahu1.setpoint, main_street).

Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration invalid, 4 agent not running, 5 refused, 6 no permission.

Examples:
  lamplighter demo                                a simulated site to look at, needs no root
  lamplighter setup --server coap://192.0.2.5     connect this box to a server
  lamplighter check                               every problem of the configuration, with its line
  lamplighter read ahu1.supply_air
  lamplighter on main_street --for 2h";

#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Configuration file; drop-ins are conf.d/*.toml beside it [default: /etc/lamplighter/lamplighter.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where the agent keeps its state [default: /var/lib/lamplighter]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// Where the agent's sockets are [default: /run/lamplighter]
    #[arg(long, value_name = "DIR", global = true)]
    run_dir: Option<PathBuf>,
    /// Print JSON, as the local API gives it
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask for server, name and credentials, write conf.d/10-server.toml, wait for the registration
    #[command(after_help = SETUP_HELP)]
    Setup(Setup),
    /// Run the agent in the foreground
    Run(Run),
    /// Run a whole simulated site with a server and a page, for evaluation
    Demo(Demo),
    /// Print every problem of the configuration with its line, then what it makes
    Check(Check),
    /// Say what is wrong, one sentence each, and what to do about it; also while the agent does not
    /// run
    #[command(after_help = DOCTOR_HELP)]
    Doctor,
    /// Show servers, devices and problems
    Status,
    /// Show the devices and their state
    Devices,
    /// Show all configured points with their values
    Points,
    /// Read a resource, an instance or an object
    #[command(
        after_help = "Examples:\n  lamplighter read ahu1.setpoint\n  lamplighter read /3/0 --json"
    )]
    Read { path: String },
    /// Write a resource
    #[command(
        after_help = "Examples:\n  lamplighter write ahu1.setpoint 21.5\n  lamplighter write /3308/0/5900 21.5 --for 2h"
    )]
    Write {
        path: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        hold: Hold,
    },
    /// Run an executable resource
    #[command(after_help = "Example:\n  lamplighter exec /3416/1/19")]
    Exec {
        path: String,
        #[arg(allow_hyphen_values = true)]
        args: Option<String>,
    },
    /// Show what there is below a path, as a server sees it
    Discover {
        #[arg(default_value = "/")]
        path: String,
    },
    /// Print values as they change
    Watch {
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Show what happened: what was refused and obeyed, servers, devices, outputs, the agent itself
    #[command(
        after_help = "Examples:\n  lamplighter events\n  lamplighter events --since 0 --json\n  lamplighter events --follow"
    )]
    Events(Events),
    /// Tell the servers the current values now, without being asked
    #[command(
        after_help = "Examples:\n  lamplighter send ahu1.supply_air\n  lamplighter send /3303 /3/0/9 --server main"
    )]
    Send {
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
        /// One server only
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
    },
    /// Switch an output or a group on
    On {
        name: String,
        #[command(flatten)]
        hold: Hold,
    },
    /// Switch an output or a group off
    Off {
        name: String,
        #[command(flatten)]
        hold: Hold,
    },
    /// Set an output, a group or a set point to a value
    Set {
        name: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        hold: Hold,
    },
    /// Tell who commands an output, since when, until when, and what was overruled
    Why { name: String },
    /// Lock outputs for maintenance: they are switched off, and only OFF passes
    #[command(after_help = "Examples:\n  lamplighter lock main_street\n  lamplighter lock all")]
    Lock {
        /// A group, an output, or `all`
        #[arg(value_name = "GROUP|all")]
        name: String,
    },
    /// Take a maintenance lock away
    #[command(after_help = "Examples:\n  lamplighter unlock main_street\n  lamplighter unlock")]
    Unlock {
        /// What was locked by this name [default: everything]
        #[arg(value_name = "GROUP|all")]
        name: Option<String>,
    },
    /// The servers that this box is registered with
    #[command(subcommand)]
    Server(Server),
    /// The ways to the servers: which work, and which is used
    #[command(subcommand)]
    Bearer(Bearer),
    /// Speak to no server for a while; what is measured is stored
    #[command(after_help = "Examples:\n  lamplighter offline\n  lamplighter offline --for 2h")]
    Offline(Offline),
    /// Speak to servers again after `offline`
    #[command(after_help = "Example:\n  lamplighter online")]
    Online,
    /// Ask the bootstrap server for accounts, as a server can by executing 1/x/9
    #[command(after_help = "Example:\n  lamplighter bootstrap")]
    Bootstrap,
    /// Look at GPIO lines: which there are, who has them; read or switch one
    #[command(subcommand)]
    Gpio(gpio::Gpio),
    /// Read meters out, in their own words
    #[command(subcommand)]
    Meter(meter::Meter),
    /// Look at Modbus lines: who is there, what stands in registers, what becomes of a point
    #[command(subcommand)]
    Modbus(modbus::Modbus),
    /// Secrets that the configuration refers to
    #[command(subcommand)]
    Secret(Secret),
    /// The page
    #[command(subcommand)]
    Web(Web),
    /// Object definitions
    #[command(subcommand)]
    Objects(Objects),
    /// Install a new version of this program, or the one before
    #[command(after_help = UPDATE_HELP)]
    Update {
        /// A package with its signature (*.lamp), `status`, or `rollback`
        #[arg(value_name = "FILE|status|rollback")]
        what: String,
    },

    // Of the contract, not built in this version: refused by name, not shown in the help.
    #[command(hide = true)]
    Backup(NotBuilt),
    #[command(hide = true)]
    Bundle(NotBuilt),
    #[command(hide = true)]
    Restore(NotBuilt),
    #[command(hide = true)]
    Simulate(NotBuilt),
}

const DOCTOR_HELP: &str = "\
Exits with 0 where nothing is wrong, 1 where something is, 3 where the configuration is invalid, 4 where the agent does not run.

Example:
  lamplighter doctor";

const UPDATE_HELP: &str = "\
A package is installed by lamplighter-updater, if it is signed by the key of [update]. The new version has to be as well as the one before, else that is installed again. Without systemd: start lamplighter-updater by hand.

Examples:
  lamplighter update lamplighter_0.2.0_arm64.lamp
  lamplighter update status
  lamplighter update rollback";

const SETUP_HELP: &str = "\
Without a terminal everything that is not given must have a default.

Examples:
  lamplighter setup
  lamplighter setup --server coap://192.0.2.5 --short-id 101 --allow-unsecured";

#[derive(Args, Clone, Debug)]
pub struct Setup {
    /// Address of the server, `coaps://HOST[:PORT]`
    #[arg(long, value_name = "URI")]
    pub server: Option<String>,
    /// Name of the [server.NAME] table
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub name: String,
    /// Short Server ID [default: 1]
    #[arg(long, value_name = "N")]
    pub short_id: Option<u16>,
    /// Registration lifetime in seconds [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    pub lifetime_s: Option<u32>,
    /// Endpoint client name [default: from the hardware serial]
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Name of our key at the server (PSK) [default: the endpoint client name]
    #[arg(long, value_name = "NAME", conflicts_with = "cert")]
    pub identity: Option<String>,
    /// Where the key is: credential:NAME or an absolute path. Without it the key itself is asked
    /// for, or read from standard input, and kept as credential:SERVER-psk
    #[arg(long, value_name = "REFERENCE")]
    pub key: Option<String>,
    /// File with our certificate and its issuers; the connection is by X.509 then
    #[arg(long, value_name = "REFERENCE", requires_all = ["key", "ca"])]
    pub cert: Option<String>,
    /// File with the authorities that the server's certificate must come from
    #[arg(long, value_name = "REFERENCE", requires = "cert")]
    pub ca: Option<String>,
    /// Nothing protects the connection, and that is meant
    #[arg(long)]
    pub allow_unsecured: bool,
    /// How long to wait for the registration
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub wait: Duration,
}

#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Exit with 3 on an invalid configuration instead of running the last good one
    #[arg(long)]
    pub strict: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Address of the page [default: a free port on 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Register to this server instead of the built-in one; implies allow_unsecured
    #[arg(long, value_name = "URI")]
    pub server: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct Events {
    /// Go on printing what happens
    #[arg(long)]
    pub follow: bool,
    /// Everything that is kept behind this number [default: the newest 100]
    #[arg(long, value_name = "ID")]
    pub since: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Exit with 3 on warnings too
    #[arg(long)]
    pub strict: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub struct Hold {
    /// How long the command holds against the rules of the site: 90s, 15m, 2h, 1h30m, 1d
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub hold: Option<Duration>,
}

#[derive(Clone, Debug, Subcommand)]
#[command(after_help = SERVER_HELP)]
pub enum Server {
    /// Show the servers, their state and what they may do
    List,
    /// Register at once, also after `deregister`
    #[command(after_help = "Example:\n  lamplighter server register main")]
    Register { name: String },
    /// Send an Update at once
    #[command(after_help = "Example:\n  lamplighter server refresh main")]
    Refresh { name: String },
    /// De-register, and stay away until `register` or a restart
    #[command(after_help = "Example:\n  lamplighter server deregister main")]
    Deregister { name: String },
}

const SERVER_HELP: &str = "\
NAME is that of the [server.NAME] table.

Examples:
  lamplighter server list --json
  lamplighter server register main";

#[derive(Clone, Debug, Subcommand)]
#[command(after_help = BEARER_HELP)]
pub enum Bearer {
    /// Show the bearers, whether messages can be exchanged with a server through each, and why not
    #[command(after_help = "Example:\n  lamplighter bearer list --json")]
    List,
    /// Use one that is connected, or only does not answer; taken back unless a server is reached in time
    #[command(after_help = "Example:\n  lamplighter bearer use cell")]
    Use { name: String },
    /// Let the agent choose again
    #[command(after_help = "Example:\n  lamplighter bearer auto")]
    Auto,
}

const BEARER_HELP: &str = "\
NAME is that of the [bearer.NAME] table.

Examples:
  lamplighter bearer list
  lamplighter bearer use cell
  lamplighter bearer auto";

#[derive(Args, Clone, Copy, Debug)]
pub struct Offline {
    /// For how long, 7d at most: 90s, 15m, 2h, 1h30m, 1d [default: until `lamplighter online`]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_offline)]
    pub time: Option<Duration>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Secret {
    /// Read a secret from the terminal or standard input and keep it beside the configuration
    #[command(
        after_help = "The secret begins with hex:, base64: or text:. Newlines at its end are cut.\n\nExample:\n  echo hex:0123456789abcdef | lamplighter secret set main-psk"
    )]
    Set { name: String },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Web {
    /// Set the password of the page, choose its address, print the URL
    Enable(WebEnable),
}

#[derive(Args, Clone, Debug)]
pub struct WebEnable {
    /// Address and port of the page [default: as configured, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Objects {
    /// Write the OMA XML of every object that we register, for servers that need it
    Export { dir: PathBuf },
}

#[derive(Args, Clone, Debug)]
pub struct NotBuilt {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    _rest: Vec<String>,
}

impl Global {
    pub fn config(&self) -> PathBuf {
        self.config
            .clone()
            .unwrap_or_else(|| PathBuf::from("/etc/lamplighter/lamplighter.toml"))
    }

    pub fn state_dir(&self) -> PathBuf {
        self.state_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("/var/lib/lamplighter"))
    }

    pub fn run_dir(&self) -> PathBuf {
        self.run_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("/run/lamplighter"))
    }

    pub fn places(&self) -> Places {
        Places {
            config: self.config(),
            state_dir: self.state_dir(),
            run_dir: self.run_dir(),
        }
    }

    /// As given, for the demo, which otherwise uses temporary directories.
    pub fn given_dirs(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        (self.state_dir.clone(), self.run_dir.clone())
    }
}

/// Reads `90s`, `15m`, `2h`, `1h30m`, `1d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 90s, 15m, 2h, 1h30m or 1d");
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor = match unit.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some(_) | None => return Err(wrong()),
        };
        seconds = number
            .checked_mul(factor)
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(wrong)?;
        rest = &unit[1..];
    }
    if seconds == 0 || seconds > 10 * 365 * 86_400 {
        Err(wrong())
    } else {
        Ok(Duration::from_secs(seconds))
    }
}

fn parse_offline(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time > LONGEST_OFFLINE {
        return Err("7d at most".to_owned());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1d", 86_400),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for wrong in [
            "",
            "0s",
            "2",
            "h",
            "2x",
            "-1s",
            "99999999999999999999s",
            "5000d",
            "1é",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
