//! `GET /why?name=`: who commands an output.

use lamplighter_model::{Now, Stamp, device::Origin};
use lamplighter_site::boundary::{Slot, Why, WhyRule, WhySlot};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Refusal;
use crate::status::{GroupState, Named, ServerView, Status, json_of, time::text_of};

/// Members of a group that are named before "…".
const MOST_NAMES: usize = 8;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WhyView {
    pub name: String,
    /// What the winner wants, what was last written, what the device was last seen to do.
    pub commanded: Option<Json>,
    pub in_effect: Option<Json>,
    pub measured: Option<Json>,
    /// Who commands, the winner first; then what was overruled.
    pub slots: Vec<WhySlotView>,
    pub guard_left_s: Option<f64>,
    /// Which interlock, lock or hand switch keeps it from what is wanted, in words.
    pub held_by: Option<String>,
    /// What on means where the limit of the output permits less than everything, in words.
    #[serde(default)]
    pub limited: Option<String>,
    /// The last command that was answered with an error.
    pub refused: Option<WhyRefusedView>,
    /// The rules that switch it, and what they do next.
    #[serde(default)]
    pub rules: Vec<WhyRuleView>,
    pub result: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WhyRefusedView {
    pub value: Json,
    pub by: String,
    pub reason: String,
    pub since_s: f64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WhyRuleView {
    pub name: String,
    /// `schedule`, `photocell` or `thermostat`
    pub kind: String,
    pub enabled: bool,
    /// What it does and waits for, in words.
    pub says: String,
    /// When it switches next by the clock, and to what.
    pub next_in_s: Option<f64>,
    pub next: Option<bool>,
    /// To which level then, 0–100.
    #[serde(default)]
    pub next_level: Option<u8>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WhySlotView {
    pub slot: Slot,
    pub value: Json,
    pub by: String,
    pub since: Option<String>,
    pub since_s: f64,
    pub ends_in_s: Option<f64>,
}

impl WhyView {
    pub fn of(why: &Why, servers: &[ServerView], now: Now) -> Self {
        Self {
            name: why.name.clone(),
            commanded: why.commanded.as_ref().map(json_of),
            in_effect: why.in_effect.as_ref().map(json_of),
            measured: why.measured.as_ref().map(json_of),
            slots: why
                .slots
                .iter()
                .map(|slot| slot_view(slot, servers, now))
                .collect(),
            guard_left_s: why.guard_left.map(|left| left.as_secs_f64()),
            held_by: why.held_by.clone(),
            limited: why.limited.clone(),
            refused: why.refused.as_ref().map(|refused| WhyRefusedView {
                value: json_of(&refused.value),
                by: name_of(&refused.by, servers),
                reason: refused.reason.clone(),
                since_s: refused.since.as_secs_f64(),
            }),
            rules: why.rules.iter().map(rule_view).collect(),
            result: why.result.clone(),
        }
    }
}

/// Why nobody can say who commands `name`.
pub(super) fn no_output(status: &Status, name: &str, now: Now) -> Refusal {
    match status.named(name) {
        None => Refusal::not_found(format!("no output {}", super::shortened(name))),
        Some(Named::Point(_)) => Refusal::not_allowed(format!(
            "{name} is a value, not an output: nobody holds it, the last write counts"
        )),
        Some(Named::Group(_)) => Refusal::not_allowed(group_text(status, name, now)),
    }
}

fn group_text(status: &Status, name: &str, now: Now) -> String {
    let groups = status.view(now).groups;
    let Some(group) = groups.iter().find(|group| group.name == name) else {
        return format!("{name} is a group: ask for a member");
    };
    let state = match group.state {
        GroupState::Mixed => "some on, some off",
        GroupState::Off => "off",
        GroupState::On => "on",
        GroupState::Unknown => "state unknown",
    };
    let failed = match group.failed {
        0 => String::new(),
        failed => format!(", {failed} did not follow the last command"),
    };
    let more = if group.members.len() > MOST_NAMES {
        ", …"
    } else {
        ""
    };
    let names: Vec<&str> = group
        .members
        .iter()
        .take(MOST_NAMES)
        .map(String::as_str)
        .collect();
    format!(
        "{name} is a group ({state}{failed}); ask for a member: {}{more}",
        names.join(", ")
    )
}

fn rule_view(rule: &WhyRule) -> WhyRuleView {
    WhyRuleView {
        name: rule.name.clone(),
        kind: rule.kind.to_owned(),
        enabled: rule.enabled,
        says: rule.says.clone(),
        next_in_s: rule.next.map(|(left, _)| left.as_secs_f64()),
        next: rule.next.map(|(_, level)| level > 0),
        next_level: rule.next.map(|(_, level)| level),
    }
}

fn slot_view(slot: &WhySlot, servers: &[ServerView], now: Now) -> WhySlotView {
    let since = Stamp {
        boot: now.boot,
        mono: now.mono.saturating_sub(slot.since),
    };
    WhySlotView {
        slot: slot.slot,
        value: json_of(&slot.value),
        by: name_of(&slot.by, servers),
        since: text_of(since, now),
        since_s: slot.since.as_secs_f64(),
        ends_in_s: slot.ends_in.map(|left| left.as_secs_f64()),
    }
}

fn name_of(origin: &Origin, servers: &[ServerView]) -> String {
    match origin {
        Origin::Local(user) => user.clone(),
        Origin::Mqtt => "MQTT".to_owned(),
        Origin::Rule(rule) => format!("rule {rule}"),
        Origin::Server(ssid) => match servers.iter().find(|server| server.short_id == ssid.0) {
            Some(server) => format!("server {}", server.name),
            None => format!("server {ssid}"),
        },
    }
}
