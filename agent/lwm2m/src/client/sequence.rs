//! Whose turn it is to be registered with, and who has failed.

use lamplighter_model::{Now, Ssid};

use super::{
    Client,
    order::{self, Order, Rules, Stand},
};
use crate::{registration::Phase, server::Server};

impl Client {
    /// All servers without a priority, and the first of the others.
    pub(super) fn start(&mut self, now: Now) {
        let rules: Vec<_> = self
            .servers
            .keys()
            .map(|ssid| (*ssid, self.priority(*ssid)))
            .collect();
        let ordered = rules.iter().filter_map(|(ssid, at)| Some(((*at)?, *ssid)));
        self.order = Order::new(ordered);
        for (ssid, _) in rules.iter().filter(|(_, priority)| priority.is_none()) {
            self.begin(*ssid, now);
        }
        self.start_next(now);
    }

    pub(super) fn begin(&mut self, ssid: Ssid, now: Now) {
        if let Some(server) = self.servers.get_mut(&ssid) {
            server.start(&mut self.shared, now);
        }
    }

    /// Whether anybody's turn has come.
    pub(super) fn start_next(&mut self, now: Now) -> bool {
        let mut has_begun = false;
        while !self.stopping
            && let Some(next) = self.next()
        {
            self.begin(next, now);
            has_begun = true;
        }
        has_begun
    }

    fn next(&mut self) -> Option<Ssid> {
        let mut order = std::mem::take(&mut self.order);
        let next = order.next(|ssid| {
            let server = self.servers.get(&ssid)?;
            Some((stand(server), self.rules(ssid)?.blocks))
        });
        self.order = order;
        next
    }

    /// The attempts go on, whether a bootstrap server is asked or not.
    pub(super) fn on_give_up(&mut self, ssid: Ssid, now: Now) {
        let Some(rules) = self.rules(ssid) else {
            return;
        };
        let others = self.servers.iter().filter(|(of, _)| **of != ssid);
        if order::is_bootstrap_due(rules, others.map(|(_, server)| stand(server))) {
            self.bootstrap_after(ssid, now);
        }
    }

    fn priority(&self, ssid: Ssid) -> Option<u32> {
        let (_, account) = self.shared.core.account_of(ssid)?;
        account.registration.priority
    }

    fn rules(&self, ssid: Ssid) -> Option<Rules> {
        let (_, account) = self.shared.core.account_of(ssid)?;
        let own = account.registration;
        Some(Rules {
            bootstrap: own.bootstrap_on_failure.unwrap_or(true),
            enabler: account.spoken.enabler,
            blocks: own.failure_block.unwrap_or(false),
            is_ordered: own.priority.is_some(),
        })
    }
}

fn stand(server: &Server) -> Stand {
    if server.registration.has_given_up() {
        return Stand::Failed;
    }
    match server.registration.phase() {
        Phase::Disabled | Phase::Left | Phase::Registered => Stand::Done,
        Phase::Offline | Phase::Registering => Stand::Trying,
    }
}
