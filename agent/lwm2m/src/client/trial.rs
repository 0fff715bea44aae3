//! Takes back changes that nobody confirmed.

use std::time::Duration;

use lamplighter_model::{Now, Path, ResourceAddress, Scope, Ssid};

use super::Client;
use crate::{
    boundary::{Event, Output},
    object::Effect,
    perform::News,
    saved::Record,
};

impl Client {
    pub(super) fn end_trials(&mut self, now: Now) {
        while let Some((before, ended)) = self.shared.trials.expired(now) {
            self.shared.out.commit_all(vec![before.clone(), ended]);
            self.take_back(before);
        }
    }

    /// A server has answered what was sent to it then.
    pub(super) fn reached(&mut self, sent: Duration) {
        let ended = self.shared.trials.reached(sent);
        self.shared.out.commit_all(ended);
    }

    /// Sees at once whether a change can stay: every server is asked.
    pub(super) fn try_servers(&mut self) {
        let all: Vec<Ssid> = self.servers.keys().copied().collect();
        let updates = all.into_iter().map(Effect::Update).map(News::Effect);
        self.shared.news.extend(updates);
    }

    fn take_back(&mut self, before: Record) {
        let Record::Access(path, saved) = before else {
            return;
        };
        let Ok(Path::Instance(instance)) = path.parse() else {
            return;
        };
        for path in self.shared.core.access.take_back(instance, saved) {
            let scope = Scope::Gateway;
            let resource = ResourceAddress { scope, path };
            self.shared.news.push(News::Sampled(resource, None));
        }
        // Accounts may have gone since.
        self.disinherit();
        let what = Event::TakenBack(instance.into());
        self.shared.out.push(Output::Event(what));
    }
}
