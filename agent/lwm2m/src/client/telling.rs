//! Sends that are asked for, by people or by the box itself: to one server or to all, answered once.

use std::collections::BTreeMap;

use lamplighter_model::{Now, device::Origin};

use super::Client;
use crate::{
    boundary::{Event, LocalAnswer, Output, RequestId, SendRequest},
    perform::{Outputs, Turn},
    reject::Reject,
    tree::Tree,
};

/// Requests that wait for the servers' answers.
#[derive(Debug, Default)]
pub(crate) struct Tellings {
    /// How many servers have not answered, and what the first that refused said.
    waiting: BTreeMap<RequestId, (usize, Option<Reject>)>,
}

impl Tellings {
    /// One server has answered; the last one ends the request.
    pub(crate) fn ended(&mut self, id: RequestId, result: Result<(), Reject>, out: &mut Outputs) {
        let Some((servers, refused)) = self.waiting.get_mut(&id) else {
            return;
        };
        *servers = servers.saturating_sub(1);
        if let (Err(reject), None) = (result, refused.as_ref()) {
            *refused = Some(reject);
        }
        if *servers == 0 {
            let refused = self.waiting.remove(&id).and_then(|(_, refused)| refused);
            let answer = refused.map_or(Ok(LocalAnswer::Done), Err);
            out.push(Output::Answer(id, answer));
        }
    }
}

impl Client {
    /// Where no server is named those that take a Send are told; refused where none does.
    pub(super) fn on_send(
        &mut self,
        id: RequestId,
        request: SendRequest,
        tree: &mut Tree,
        now: Now,
    ) {
        let turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        let mut told = 0;
        let mut refused = Reject::not_found("there is no such server");
        for (ssid, server) in &mut self.servers {
            if request.ssid.is_some_and(|wanted| wanted != *ssid) {
                continue;
            }
            match server.tell(id, &request, &turn) {
                Ok(()) => told += 1,
                Err(reject) => refused = reject,
            }
        }
        if told == 0 {
            return self.shared.out.push(Output::Answer(id, Err(refused)));
        }
        self.shared.tellings.waiting.insert(id, (told, None));
        let Some(user) = request.user else {
            return;
        };
        let path = request.paths.first().copied();
        self.shared.out.push(Output::Event(Event::Obeyed {
            by: Origin::Local(user),
            operation: "send",
            path: path.unwrap_or(lamplighter_model::Path::Root),
            detail: format!("{} paths, {told} servers", request.paths.len()),
        }));
    }
}
