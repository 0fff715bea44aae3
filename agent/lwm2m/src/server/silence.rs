//! A server that does not answer: people are told long before the request is given up.

use super::Server;
use crate::{
    boundary::{Event, Output},
    perform::Shared,
    registration::Purpose,
};

const REFUSED: &str = "nobody listens at that address";
const SILENT: &str = "no answer yet, asking again";

impl Server {
    /// Once per attempt and reason.
    pub(super) fn tell_silence(&mut self, shared: &mut Shared) {
        let Some(reason) = self.silence() else {
            return;
        };
        if self.link.silence.replace(reason) == Some(reason) {
            return;
        }
        self.last_error = Some(reason.to_owned());
        shared.out.push(Output::Event(Event::Unanswered {
            ssid: self.config.ssid,
            reason,
        }));
    }

    pub(super) fn end_silence(&mut self, shared: &mut Shared) {
        self.link.refused = false;
        if self.link.silence.take().is_some() {
            self.last_error = None;
            shared
                .out
                .push(Output::Event(Event::Answered(self.config.ssid)));
        }
    }

    fn silence(&self) -> Option<&'static str> {
        let mut asked = self.exchanges.iter().filter(|(_, purpose)| match purpose {
            Purpose::Deregister => false,
            Purpose::Register | Purpose::Update => true,
        });
        if self.link.refused {
            return asked.next().map(|_| REFUSED);
        }
        let is_silent = asked.any(|(id, _)| self.endpoint.is_repeated(*id));
        // What the host itself said is known better than that there is silence.
        is_silent.then(|| self.link.silence.unwrap_or(SILENT))
    }
}
