//! One thing that happened, as the log keeps it and as people and servers see it.

use std::time::Duration;

use lamplighter_model::{BootId, Now, Stamp, UnixTime};
use serde::{Deserialize, Serialize};

use crate::status::time::rfc3339;

/// Longest text of each field, in characters; peers say part of it.
const MAX_TEXT: usize = 200;

/// What kind of thing happened (object 20, LogClass).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Devices, outputs, and what was obeyed.
    Event,
    /// What was refused, and changes of accounts and rights.
    Security,
    /// The agent itself and its servers.
    System,
}

/// Something to be logged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    pub class: Class,
    /// A fixed word: `refused`.
    pub what: &'static str,
    /// A path, or the name of a server, a device or an output.
    pub about: String,
    /// Who did it; empty where nobody did.
    pub by: String,
    /// Without values: whoever may read the log may not read everything.
    pub text: String,
    /// For people at the box only.
    pub detail: String,
}

/// A line of the log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// Start of the machine, and milliseconds since.
    boot: u32,
    ms: u64,
    /// Milliseconds since 1970, where the date was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unix: Option<i64>,
    pub(crate) class: Class,
    what: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    about: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// A line as `GET /events` gives it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct EventView {
    /// Rises by one.
    pub id: u64,
    /// Null where the date was not known.
    pub time: Option<String>,
    pub class: Class,
    pub what: String,
    pub about: String,
    pub by: String,
    pub text: String,
}

impl News {
    pub(crate) fn new(class: Class, what: &'static str) -> Self {
        Self {
            class,
            what,
            about: String::new(),
            by: String::new(),
            text: String::new(),
            detail: String::new(),
        }
    }

    pub(crate) fn about(self, about: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            ..self
        }
    }

    pub(crate) fn by(self, by: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            ..self
        }
    }

    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..self
        }
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }
}

impl Entry {
    pub(crate) fn new(id: u64, news: News, now: Now) -> Self {
        Self {
            id,
            boot: now.boot.0,
            ms: u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX),
            unix: now.unix.map(|unix| unix.0),
            class: news.class,
            what: news.what.to_owned(),
            about: bounded(&news.about),
            by: bounded(&news.by),
            text: bounded(&news.text),
            detail: bounded(&news.detail),
        }
    }

    /// When it happened, as far as that can be said now.
    pub(crate) fn time(&self, now: Now) -> Option<UnixTime> {
        let at = Stamp {
            boot: BootId(self.boot),
            mono: Duration::from_millis(self.ms),
        };
        self.unix.map(UnixTime).or_else(|| now.unix_of(at))
    }

    pub(crate) fn view(&self, now: Now) -> EventView {
        let text = [self.text.as_str(), self.detail.as_str()];
        let text: Vec<&str> = text.into_iter().filter(|text| !text.is_empty()).collect();
        EventView {
            id: self.id,
            time: self.time(now).map(rfc3339),
            class: self.class,
            what: self.what.clone(),
            about: self.about.clone(),
            by: self.by.clone(),
            text: text.join(" "),
        }
    }

    /// As it stands in object 20: `2026-08-01T12:00:00.000Z security refused /3/0/4 by server b:
    /// execute: 4.01`.
    pub(crate) fn line(&self, now: Now) -> String {
        let time = self.time(now).map_or_else(|| "-".to_owned(), rfc3339);
        let mut line = format!("{time} {} {}", self.class.name(), self.what);
        for (before, word) in [(" ", &self.about), (" by ", &self.by), (": ", &self.text)] {
            if !word.is_empty() {
                line.push_str(before);
                line.push_str(word);
            }
        }
        line
    }
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Event, Self::Security, Self::System];

    /// LogClass of object 20 (lwm2m/70).
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::System => 1,
            Self::Security => 2,
            Self::Event => 3,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Security => "security",
            Self::System => "system",
        }
    }
}

/// Words from outside on one line, cut to what a log can hold.
fn bounded(text: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(MAX_TEXT).map(printable).collect()
}
