//! A reload: the files are checked, and taken up anew where they can be. What runs goes on where they
//! cannot.

use std::fmt;

use lamplighter_lwm2m::boundary::{Command, Input};

use super::{Agent, Ended};
use crate::{
    config::Problem,
    events::{Class, News},
    systemd,
};

/// Under which people are told that the files were not taken up.
const ABOUT: &str = "reload";

/// Error code of 3/0/11: the files have errors, and what runs was accepted before.
pub(crate) const LAST_GOOD_RUNS: Command = Command::DeviceError {
    code: 16,
    present: true,
};

/// Finds what is wrong with the files; nothing, where they can be run.
pub struct Check(Box<dyn Fn() -> Vec<Problem> + Send>);

impl Check {
    pub fn new(check: impl Fn() -> Vec<Problem> + Send + 'static) -> Self {
        Self(Box::new(check))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

impl Agent {
    /// `by`: who wants it, where a person does. The error is for people.
    pub(super) fn reload(&mut self, by: Option<&str>) -> Result<(), String> {
        systemd::reloading();
        let problems = (self.check.0)();
        let Some(first) = problems.first() else {
            self.status.solved(ABOUT);
            tracing::info!(by, "Reloading");
            self.end_soon(Ended::Reload, "reload");
            return Ok(());
        };
        for problem in &problems {
            tracing::error!(%problem, "Configuration");
        }
        let count = problems.len();
        let text = format!(
            "the files have {count} problems and are not taken up (lamplighter check), the first: {first}"
        );
        self.status.problem(ABOUT, &text, self.clock.now());
        let news = News::new(Class::System, "reload_refused").text(text.as_str());
        self.events.tell(match by {
            Some(user) => news.by(user),
            None => news,
        });
        self.every_client(&Input::Command(LAST_GOOD_RUNS));
        systemd::ready();
        Err(text)
    }
}
