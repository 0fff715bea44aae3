//! What the parts of the agent report, as lines of the log.

use std::collections::BTreeMap;

use lamplighter_lwm2m::{
    boundary::{BootstrapEvent, Event},
    server::Cause,
};
use lamplighter_model::{
    Path, Ssid,
    device::{LinkState, Note, Origin},
};
use lamplighter_site::boundary::SiteEvent;

use super::entry::{Class, News};

/// How servers are called in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<Ssid, String>);

impl Names {
    pub(crate) fn new(names: impl Iterator<Item = (Ssid, String)>) -> Self {
        Self(names.collect())
    }

    fn server(&self, ssid: Ssid) -> String {
        let name = self.0.get(&ssid).cloned();
        name.unwrap_or_else(|| format!("server {ssid}"))
    }

    fn origin(&self, origin: &Origin) -> String {
        match origin {
            Origin::Local(user) => user.clone(),
            Origin::Mqtt => "MQTT".to_owned(),
            Origin::Rule(rule) => format!("rule {rule}"),
            Origin::Server(ssid) => format!("server {}", self.server(*ssid)),
        }
    }

    /// `None` for what nobody wants to read again.
    pub(crate) fn of_core(&self, event: &Event) -> Option<News> {
        let of_server =
            |what, ssid: &Ssid| News::new(Class::System, what).about(self.server(*ssid));
        Some(match event {
            Event::Answered(ssid) => of_server("answered", ssid),
            Event::Bootstrap(event) => return self.of_bootstrap(event),
            Event::BootstrapWanted(ssid) => of_server("bootstrap_wanted", ssid),
            Event::Deregistered(ssid) => of_server("deregistered", ssid),
            Event::Discarded {
                ssid,
                samples,
                reason,
            } => of_server("discarded", ssid).text(format!("{samples} samples: {reason}")),
            Event::Intruded { is_news: false, .. } => return None,
            Event::Intruded {
                ssid, intrusions, ..
            } => News::new(Class::Security, "intruded")
                .about(self.server(*ssid))
                .text(format!(
                    "{} datagrams were not the server's: {} forged, {} repeated, {} senseless",
                    intrusions.total(),
                    intrusions.forged,
                    intrusions.replayed,
                    intrusions.malformed
                )),
            Event::ListShortened(ssid) => of_server("list_shortened", ssid),
            Event::Obeyed {
                by,
                operation,
                path,
                detail,
            } => News::new(class_of(*path), "obeyed")
                .about(path.to_string())
                .by(self.origin(by))
                .text(*operation)
                .detail(detail),
            Event::Refused {
                by,
                operation,
                path,
                code,
            } => News::new(Class::Security, "refused")
                .about(path.to_string())
                .by(self.origin(by))
                .text(format!("{operation}: {code}")),
            Event::Registered { ssid, version } => {
                of_server("registered", ssid).text(format!("LwM2M {version}"))
            }
            Event::RegistrationFailed {
                cause,
                ssid,
                reason,
                retry_in,
            } => {
                let (class, what) = failed(*cause);
                let text = format!("{reason}; again in {} s", retry_in.as_secs());
                News::new(class, what).about(self.server(*ssid)).text(text)
            }
            Event::TakenBack(path) => News::new(Class::Security, "taken_back")
                .about(path.to_string())
                .text("no server was reached since"),
            Event::Unanswered { ssid, reason } => of_server("unanswered", ssid).text(*reason),
            Event::Stopped | Event::Updated(_) => return None,
        })
    }

    fn of_bootstrap(&self, event: &BootstrapEvent) -> Option<News> {
        let news = |what| News::new(Class::Security, what);
        Some(match event {
            BootstrapEvent::AccountEnded => news("bootstrap_account_ended"),
            BootstrapEvent::Begun(why) => news("bootstrap_begun").text(*why),
            BootstrapEvent::Confirmed(ssid) => {
                news("bootstrap_confirmed").about(self.server(*ssid))
            }
            BootstrapEvent::Failed {
                reason, retry_in, ..
            } => {
                let again = retry_in.map(|pause| format!("; again in {} s", pause.as_secs()));
                let text = format!("{reason}{}", again.unwrap_or_default());
                news("bootstrap_failed").text(text)
            }
            BootstrapEvent::Finished(servers) => {
                let servers: Vec<String> = servers.iter().map(|ssid| self.server(*ssid)).collect();
                news("bootstrap_finished").text(servers.join(", "))
            }
            BootstrapEvent::Inconsistent(reason) => news("bootstrap_inconsistent").text(reason),
            // One of many in a session; what comes of them is told by the last.
            BootstrapEvent::Obeyed { .. } => return None,
            BootstrapEvent::Refused {
                operation,
                path,
                code,
            } => news("bootstrap_refused")
                .about(path.to_string())
                .text(format!("{operation}: {code}")),
            BootstrapEvent::RolledBack => {
                news("bootstrap_rolled_back").text("no new server has taken this box")
            }
        })
    }

    pub(crate) fn of_dropped(&self, ssid: Ssid, count: u64) -> News {
        News::new(Class::System, "dropped")
            .about(self.server(ssid))
            .text(format!(
                "{count} stored samples, the oldest: there is no room"
            ))
    }

    pub(crate) fn of_site(&self, event: &SiteEvent) -> News {
        match event {
            SiteEvent::Alarm {
                name,
                alarm,
                active,
            } => {
                let what = if *active { "alarm" } else { "alarm_over" };
                News::new(Class::Event, what)
                    .about(name)
                    .text(alarm.to_string())
            }
            SiteEvent::Armed { name, by, again } => {
                let what = if *again { "still_armed" } else { "armed" };
                News::new(Class::Event, what)
                    .about(name)
                    .by(self.origin(by))
                    .text("waits for standstill")
            }
            SiteEvent::Disarmed { name, by } => {
                let news = News::new(Class::Event, "disarmed").about(name);
                match by {
                    Some(by) => news
                        .by(self.origin(by))
                        .text("another command, or called off"),
                    None => news,
                }
            }
            SiteEvent::Failed { name, reason } => {
                News::new(Class::Event, "failed").about(name).text(reason)
            }
            SiteEvent::GroupDone {
                name,
                failed,
                members,
            } => News::new(Class::Event, "group_done")
                .about(name)
                .text(format!("{failed} of {members} failed")),
            SiteEvent::HandSwitch { group, position } => News::new(Class::Event, "hand_switch")
                .about(group)
                .text(position.to_string()),
            SiteEvent::Locked { name, by, again } => {
                let what = if *again { "still_locked" } else { "locked" };
                News::new(Class::Event, what)
                    .about(name)
                    .by(self.origin(by))
            }
            SiteEvent::LocksUnknown { over: true } => News::new(Class::Event, "locks_known"),
            SiteEvent::LocksUnknown { over: false } => News::new(Class::Event, "locks_unknown"),
            SiteEvent::Outdated { name, reason } => {
                News::new(Class::Event, "outdated").about(name).text(reason)
            }
            SiteEvent::PartlyApplied {
                applied,
                failed,
                reason,
            } => News::new(Class::Event, "partly_applied")
                .about(failed)
                .text(format!("{reason}; written before: {}", applied.join(", "))),
            SiteEvent::Rule { name, trouble } => match trouble {
                Some(trouble) => News::new(Class::Event, "rule_fails")
                    .about(name)
                    .text(trouble),
                None => News::new(Class::Event, "rule_works").about(name),
            },
            SiteEvent::Switched {
                name,
                value,
                by,
                slot,
            } => News::new(Class::Event, "switched")
                .about(name)
                .by(self.origin(by))
                .text(slot.to_string())
                .detail(format!("= {value}")),
            SiteEvent::Unlocked { name, by } => News::new(Class::Event, "unlocked")
                .about(name)
                .by(self.origin(by)),
        }
    }
}

/// The way to a device is another.
pub(crate) fn of_link(device: &str, state: LinkState, words: &str) -> News {
    let what = match state {
        LinkState::Offline => "device_offline",
        LinkState::Online => "device_online",
        LinkState::Starting => "device_starting",
        LinkState::Suspect => "device_suspect",
    };
    News::new(Class::Event, what).about(device).text(words)
}

pub(crate) fn of_note(device: &str, note: &Note) -> News {
    News::new(Class::Event, note.what)
        .about(device)
        .text(note.text.clone())
        .detail(note.detail.clone())
}

/// Whoever proves nothing is a matter of security.
const fn failed(cause: Cause) -> (Class, &'static str) {
    match cause {
        Cause::Account => (Class::Security, "account_unusable"),
        Cause::Handshake(_) => (Class::Security, "handshake_failed"),
        Cause::Inconsistent | Cause::Link | Cause::Refused(_) | Cause::Silence => {
            (Class::System, "registration_failed")
        }
    }
}

/// Accounts and rights are matters of security.
const fn class_of(path: Path) -> Class {
    match path.object() {
        Some(object) if matches!(object.0, 1 | 2) => Class::Security,
        Some(_) | None => Class::Event,
    }
}
