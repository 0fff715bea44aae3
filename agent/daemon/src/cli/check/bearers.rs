//! What `lamplighter check` says of the bearers: which goes before which, and what watching them costs.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    bearer::{AddressFamily, cost::Cost},
    cli::screen::{self, Table},
    config::{Bearer, Config, Tier},
};

#[derive(Debug, Serialize)]
pub(super) struct BearerLine {
    name: String,
    kind: &'static str,
    /// Null: the first one of the kind.
    interface: Option<String>,
    tier: &'static str,
    priority: u16,
    /// Seconds without a word after which a server is asked, while the bearer is in use.
    active_s: f64,
    /// Bytes in 30 days in which it is in use and nothing else is sent.
    active_month_bytes: u64,
    /// Seconds between two questions while it is not in use; null: it is asked nothing.
    standby_s: Option<f64>,
    standby_month_bytes: u64,
    cap_month_bytes: Option<u64>,
}

/// The preferred one first.
pub(super) fn of(config: &Config) -> Vec<BearerLine> {
    let mut bearers: Vec<&Bearer> = config.bearers.iter().collect();
    bearers.sort_by_key(|bearer| (bearer.usual_tier(), bearer.priority));
    bearers.into_iter().map(line).collect()
}

fn line(bearer: &Bearer) -> BearerLine {
    // To one server, over IPv4: over IPv6 a third more.
    let cost = Cost::of(bearer, AddressFamily::V4);
    let tier = bearer.usual_tier();
    let is_asked = matches!(tier, Tier::Primary | Tier::Secondary);
    BearerLine {
        name: bearer.name.clone(),
        kind: bearer.kind.as_str(),
        interface: bearer.interface.clone(),
        tier: tier.as_str(),
        priority: bearer.priority,
        active_s: bearer.timing.active.as_secs_f64(),
        active_month_bytes: cost.active,
        standby_s: is_asked.then_some(bearer.timing.standby.as_secs_f64()),
        standby_month_bytes: cost.standby,
        cap_month_bytes: bearer.cap.and_then(|cap| cap.month),
    }
}

pub(super) fn print(bearers: &[BearerLine], out: &mut impl Write) -> io::Result<()> {
    if bearers.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::head([
        "BEARER",
        "INTERFACE",
        "TIER",
        "PRIORITY",
        "ASKED IN USE",
        "ASKED AS STAND-BY",
    ]);
    for bearer in bearers {
        let interface = match &bearer.interface {
            Some(interface) => format!("{interface} ({})", bearer.kind),
            None => format!("first {}", bearer.kind),
        };
        let standby = bearer.standby_s.map_or_else(
            || "never".to_owned(),
            |every| asked(every, bearer.standby_month_bytes),
        );
        let active = if bearer.tier == Tier::Never.as_str() {
            "never".to_owned()
        } else {
            asked(bearer.active_s, bearer.active_month_bytes)
        };
        table.row([
            bearer.name.clone(),
            interface,
            bearer.tier.to_owned(),
            bearer.priority.to_string(),
            active,
            standby,
        ]);
    }
    table.print(out, "")
}

fn asked(every_s: f64, month_bytes: u64) -> String {
    let every = screen::duration(every_s);
    format!(
        "every {every}, {:.1} MB a month",
        month_bytes as f64 / 1_000_000.0
    )
}
