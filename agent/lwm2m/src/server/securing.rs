//! The session under the exchanges: it outlives links, and the server may lose it.
//!
//! 1. A new link goes on with what is there: nothing to agree upon with a Connection ID, else a
//!    resumption, else a handshake.
//! 2. A server that has lost the association drops what it gets without a word. Whatever stays
//!    without answer for longer than a lost datagram explains makes us agree upon keys anew, while
//!    the request goes on: with a resumption, which the server turns into a full handshake where
//!    it has forgotten that as well.
//! 3. New keys mean a new Register, former ones an Update. // Transport 1.1, 6.4; lwm2m/60, 14
//! 4. At a clean stop the association is put away whole, to be used once; after a crash there is
//!    what a resumption needs.

use lamplighter_dtls::{Closed, Established, Frozen, Mark, Session, SessionEvent};

use super::{Cause, Server};
use crate::{
    boundary::Output,
    operation::gateway_resource,
    perform::{News, Shared, Turn},
    registration::Phase,
    saved::{Record, SavedSession},
    security::Secret,
};

/// What is known of the session under the present link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Security {
    /// When the server was heard last.
    pub(super) heard: std::time::Duration,
    /// The agent ends: the session is put away instead of closed.
    pub(super) is_ending: bool,
    /// The store has what a resumption of this session needs.
    is_kept: bool,
    /// Keys were agreed upon anew because of the request that is under way.
    is_renewed: bool,
}

impl Server {
    /// Takes up the session of before a restart. What can be used once is removed first: nothing
    /// that is sent by it leaves before its removal is durable.
    pub(crate) fn take_up_session(&mut self, saved: &SavedSession, shared: &mut Shared) {
        let ssid = self.config.ssid;
        let mark = saved.mark.map(Mark);
        if mark.is_some() {
            shared.out.commit(Record::Session(ssid, None));
        }
        let Ok(Some(peer)) = self.config.security.peer_over(&self.config.coap) else {
            return;
        };
        let frozen = Frozen::from_bytes(saved.bytes.expose().to_vec());
        match Session::thaw(peer, frozen, mark, &shared.hardware) {
            Ok(session) => {
                self.session = session;
                self.security.is_kept = mark.is_none();
            }
            Err(why) => {
                tracing::info!(%ssid, %why, "A saved session is not taken up");
                if mark.is_none() {
                    shared.out.commit(Record::Session(ssid, None));
                }
            }
        }
    }

    /// A link stands ready.
    pub(super) fn start_session(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        self.security.is_renewed = false;
        self.session.start(turn.shared.dates.clock(now), now.mono);
        self.session_started(now.mono);
    }

    pub(super) fn established(&mut self, how: Established, turn: &mut Turn<'_>) {
        let now = turn.now;
        self.session_stands(how == Established::Continued, now.mono);
        match how {
            Established::Continued => {}
            Established::Full | Established::Resumed => {
                self.security.is_kept = false;
                // lwm2m/30, 1: a server may drop its observations with the session.
                self.observations.path_changed();
            }
        }
        self.keep_session(turn.shared);
        let is_new = how == Established::Full;
        self.registration.established(is_new, now);
    }

    /// What a resumption needs, for the case that nobody gets to put the session away.
    fn keep_session(&mut self, shared: &mut Shared) {
        if self.security.is_kept {
            return;
        }
        if let Some(frozen) = self.session.remember(&shared.hardware) {
            self.security.is_kept = true;
            let record = Record::Session(self.config.ssid, Some(saved(&frozen)));
            shared.out.push(Output::Journal(record));
            if let Some(date) = shared.dates.poll_save() {
                shared.out.push(Output::Journal(date));
            }
        }
    }

    /// Something stayed without answer to its end.
    pub(super) fn renew_session(&mut self, turn: &mut Turn<'_>) -> bool {
        let now = turn.now;
        let clock = turn.shared.dates.clock(now);
        let is_renewed = self.link.id.is_some() && self.session.restart(clock, now.mono);
        if is_renewed {
            self.session_started(now.mono);
        }
        is_renewed
    }

    /// The date is another, or was believed too early.
    pub(crate) fn judge_session(&mut self, turn: &mut Turn<'_>) {
        let clock = turn.shared.dates.clock(turn.now);
        if !self.session.is_valid(clock) {
            self.renew_session(turn);
        }
    }

    /// A request that was repeated twice over a session that has been silent since: the server has
    /// most likely lost it.
    pub(super) fn doubt_session(&mut self, turn: &mut Turn<'_>) {
        let patience = self.config.coap.ack_timeout * 3;
        let is_silent = self
            .exchanges
            .keys()
            .any(|id| self.endpoint.is_repeated(*id))
            && self.security.heard <= self.asked
            && turn.now.mono.saturating_sub(self.asked) >= patience;
        if is_silent && !std::mem::replace(&mut self.security.is_renewed, true) {
            self.renew_session(turn);
        }
    }

    /// A request leaves, to which the answer is awaited.
    pub(super) const fn await_answer(&mut self) {
        self.security.is_renewed = false;
    }

    /// The session ended by itself.
    pub(super) fn session_closed(&mut self, why: Closed, turn: &mut Turn<'_>) {
        let alert = why.alert();
        if let Some(alert) = alert
            && let Some((path, record)) = turn.shared.core.set_alert(self.config.ssid, alert)
        {
            // 1/x/11 // lwm2m/60: the last that was received
            turn.shared.out.push(Output::Journal(record));
            let news = News::Sampled(gateway_resource(path), None);
            turn.shared.news.push(news);
        }
        if self.link.id.is_some() {
            self.distrust(turn);
            let trouble = Cause::Handshake(why).told(why.to_string());
            self.registration.disconnected(trouble, turn.now);
        }
    }

    /// What removes what is kept of it.
    pub(super) fn forgotten_session(&self) -> Option<Record> {
        let is_kept = self.security.is_kept;
        is_kept.then_some(Record::Session(self.config.ssid, None))
    }

    /// The link goes. The session stays unless we leave the server, and is put away when the agent
    /// ends.
    pub(super) fn leave_session(&mut self, turn: &mut Turn<'_>) {
        match self.session {
            Session::Plain(_) => return self.session.close(turn.now.mono),
            Session::Dtls(_) => {}
        }
        match self.registration.phase() {
            Phase::Offline | Phase::Registered | Phase::Registering => return,
            Phase::Disabled | Phase::Left => {}
        }
        if self.security.is_ending {
            let frozen = self.session.freeze(&turn.shared.hardware);
            let record = Record::Session(self.config.ssid, frozen.as_ref().map(saved));
            if frozen.is_some() {
                turn.shared.out.commit(record);
            }
            return;
        }
        self.say_goodbye(turn);
    }

    /// Over the link that is still there.
    pub(super) fn say_goodbye(&mut self, turn: &mut Turn<'_>) {
        self.session.close(turn.now.mono);
        while let Some(event) = self.session.poll() {
            match event {
                SessionEvent::Transmit(_) => self.on_session(event, turn),
                SessionEvent::Application(_)
                | SessionEvent::Closed(_)
                | SessionEvent::Established(_) => {}
            }
        }
    }
}

fn saved(frozen: &Frozen) -> Box<SavedSession> {
    Box::new(SavedSession {
        bytes: Secret::new(frozen.bytes().to_vec()),
        mark: frozen.mark().map(|mark| mark.0),
    })
}
