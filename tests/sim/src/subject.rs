//! The client core under test, or one that a mutant has broken.

use std::time::Duration;

use lamplighter_lwm2m::{
    boundary::{Input, Output},
    client::{Client, ClientConfig},
    saved::Record,
    server::ServerState,
    tree::Tree,
};
use lamplighter_model::{Now, Ssid};

use crate::mutant::{Mutant, Sabotage};

/// One run of a client core.
#[derive(Debug)]
pub(crate) struct Subject {
    client: Client,
    sabotage: Option<Sabotage>,
}

impl Subject {
    pub(crate) fn new(
        config: ClientConfig,
        saved: Vec<Record>,
        mutant: Option<Mutant>,
        now: Now,
    ) -> Self {
        let saved = match mutant {
            Some(mutant) => mutant.restored(saved),
            None => saved,
        };
        Self {
            client: Client::new(config, saved, now),
            sabotage: mutant.map(Sabotage::new),
        }
    }

    pub(crate) fn handle(&mut self, input: Input, tree: &mut Tree, now: Now) {
        let Some(sabotage) = &mut self.sabotage else {
            return self.client.handle(input, tree, now);
        };
        for input in sabotage.inputs(input) {
            self.client.handle(input, tree, now);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        let Some(sabotage) = &mut self.sabotage else {
            return self.client.poll();
        };
        loop {
            if let Some(output) = sabotage.extra() {
                return Some(output);
            }
            let output = self.client.poll()?;
            if let Some(output) = sabotage.output(output) {
                return Some(output);
            }
        }
    }

    pub(crate) fn timeout(&self, now: Duration) -> Option<(Duration, &'static str)> {
        let timeout = self.client.poll_timeout();
        match &self.sabotage {
            Some(sabotage) => sabotage.timeout(timeout, now),
            None => timeout,
        }
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = (Ssid, ServerState)> {
        self.client.states()
    }
}
