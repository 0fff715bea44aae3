//! What ModemManager and NetworkManager tell, and servers through objects 10, 11 and 13, in the loop.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{ClientId, Command, Input},
    client::Client,
    server::ServerState,
};
use lamplighter_model::Now;

use super::{Agent, bearers::TRIAL};
use crate::{
    bearer::{
        BearerEvent, BearerFacts, Choice,
        dbus::{ManagerEvent, Managers, Tried},
    },
    events,
};

/// The managers, and a server's choice that is on trial.
#[derive(Debug)]
pub(super) struct Managed {
    managers: Managers,
    /// Since when, and until when a server must have been heard.
    trial: Option<(Duration, Duration)>,
}

impl Managed {
    pub(super) const fn new(managers: Managers) -> Self {
        Self {
            managers,
            trial: None,
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<ManagerEvent> {
        self.managers.poll_event(context)
    }

    pub(super) fn show(&mut self, facts: &BearerFacts) {
        self.managers.serves(facts.id, facts.status, facts.reason);
    }

    pub(super) fn link(&self, event: &BearerEvent) {
        if let BearerEvent::Link(id, link) = event {
            let interface = link.as_ref().map(|link| link.interface.as_str());
            self.managers.found(*id, interface);
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.trial.map_or(Duration::MAX, |(_, until)| until)
    }

    /// A server's choice that has led nowhere is taken back. `heard`: when a server last was.
    pub(super) fn timeout(&mut self, heard: Option<Duration>, now: Now) -> Option<Choice> {
        let (since, _) = self.trial.take_if(|(_, until)| *until <= now.mono)?;
        let is_kept = heard.is_some_and(|at| at > since);
        self.managers.end_choice(is_kept)
    }

    /// The choice of a server that holds at the start. One that was on trial before a restart is so
    /// again: for its whole time, or for what `trial` leaves of it.
    pub(super) fn begin(
        &mut self,
        trial: Option<(Duration, Duration)>,
        now: Now,
    ) -> Option<Choice> {
        let (preferred, is_on_trial) = self.managers.preference();
        let anew = (now.mono, now.mono + TRIAL);
        self.trial = is_on_trial.then(|| trial.unwrap_or(anew));
        (!preferred.is_empty()).then_some(Choice::Prefer(preferred))
    }

    pub(super) const fn trial(&self) -> Option<(Duration, Duration)> {
        self.trial
    }

    pub(super) fn tried(&self) -> Tried {
        self.managers.tried()
    }
}

impl Agent {
    pub(super) fn on_manager(&mut self, event: ManagerEvent) {
        let now = self.clock.now().mono;
        match event {
            ManagerEvent::Meta(id, meta) => self.on_bearer(BearerEvent::Meta(id, meta)),
            ManagerEvent::Wake(id) => {
                let name = self.bearer_name(id);
                self.events.tell(events::of_wake(&name));
                self.every_client(&Input::PathUp);
                self.update_servers();
            }
            ManagerEvent::Choose(choice) => {
                if let Some(managed) = self.managed() {
                    managed.trial = Some((now, now + TRIAL));
                }
                self.on_bearer(BearerEvent::Choose(choice));
                // So that somebody is heard where the bearer stays the same.
                self.every_client(&Input::Command(Command::Ping));
            }
            ManagerEvent::Told(id, told) => {
                let name = self.bearer_name(id);
                self.events.tell(events::of_managed(&name, told));
            }
        }
    }

    /// What managers have told and nobody has heard yet, before the loop ends.
    pub(super) fn hear_managers(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(bearers) = &mut self.bearers
            && let Poll::Ready(event) = bearers.poll_managers(&mut context)
        {
            self.on_manager(event);
        }
        self.drain();
    }

    fn update_servers(&mut self) {
        let registered = |(id, client): (&ClientId, &Client)| {
            let servers = client.states().collect::<Vec<_>>().into_iter();
            let id = *id;
            let registered = servers.filter(|(_, state)| *state == ServerState::Registered);
            registered.map(move |(ssid, _)| (id, ssid))
        };
        let registered: Vec<_> = self.clients.iter().flat_map(registered).collect();
        for (client, ssid) in registered {
            self.core(client, Input::Command(Command::Update(ssid)));
        }
    }
}
