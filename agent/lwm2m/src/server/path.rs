//! The way to the server: links come up, are replaced, break, and carry more or less.
//!
//! 1. A replacement stands ready: the session goes on over it, an Update leaves first, and what is
//!    stored waits for its answer. The former link stays open until then.
//! 2. Where the new one breaks before that, the former one is used again.
//! 3. What is known of the sizes that pass belongs to one link; the next begins without.

use std::time::Duration;

use lamplighter_dtls::Session;
use lamplighter_model::Now;

use super::{Cause, Server};
use crate::{
    boundary::{LinkEvent, LinkId, Output},
    object::Direction,
    perform::{Shared, Turn},
    registration::Phase,
};

/// The path that carries the session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Link {
    /// What came last came over the former link.
    by_former: bool,
    /// The session is that of the former link: what comes over that one is the server's as well.
    continues: bool,
    /// Still open until the server has answered over the new one.
    pub(super) former: Option<LinkId>,
    /// When the server was last heard over this one.
    heard: Option<Duration>,
    pub(super) id: Option<LinkId>,
    /// Was wanted, and there is no session that it could carry.
    pub(super) in_vain: bool,
    is_up: bool,
    /// The host answered that nobody listens there.
    pub(super) refused: bool,
    /// Since when nothing has come of a handshake.
    shaking: Option<Duration>,
    /// What people were told of the silence of the server.
    pub(super) silence: Option<&'static str>,
}

/// Headers of IPv6 and UDP: nobody knows which family a name has led to.
const HEADERS: u16 = 48;
/// What stands around a block: CoAP with long options, and a record of DTLS with a Connection ID.
const AROUND_BLOCK: u16 = 192;
/// Blocks of 64 bytes: what swallows these is no matter of size.
const SMALLEST_SZX: u8 = 2;

impl Link {
    pub(super) fn new(id: LinkId) -> Self {
        Self {
            id: Some(id),
            ..Self::default()
        }
    }
}

impl Server {
    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.link.id == Some(link) || self.link.former == Some(link)
    }

    pub(crate) fn receive(
        &mut self,
        link: LinkId,
        datagram: Vec<u8>,
        shared: &mut Shared,
        now: Now,
    ) {
        self.stir(now.mono);
        let (length, headers) = (datagram.len(), self.headers);
        shared.core.count(Direction::Received, length, headers, now);
        self.link.by_former = self.link.former == Some(link);
        // What belongs to former keys would only disturb a handshake.
        if self.link.by_former && !self.link.continues {
            return;
        }
        if self.link.shaking.is_some() {
            self.link.shaking = Some(now.mono);
        }
        self.session.receive(datagram, now.mono);
    }

    /// The server has said something.
    pub(super) const fn hear(&mut self, now: Duration) {
        self.security.heard = now;
        if !self.link.by_former {
            self.link.heard = Some(now);
        }
    }

    pub(crate) const fn heard(&self) -> Option<Duration> {
        self.link.heard
    }

    /// Since when an answer is awaited over this link.
    pub(crate) fn awaited(&self) -> Option<Duration> {
        if !self.link.is_up {
            return None;
        }
        if self.session.is_open() {
            return self.endpoint.awaited();
        }
        self.link.shaking
    }

    /// A handshake begins, or the session goes on.
    pub(super) fn session_started(&mut self, now: Duration) {
        self.link.continues = false;
        self.link.shaking = (!self.session.is_open()).then_some(now);
    }

    /// `continues`: without a handshake.
    pub(super) fn session_stands(&mut self, continues: bool, now: Duration) {
        self.link.continues = continues;
        if !continues {
            // Nobody else could have agreed upon keys.
            self.link.heard = Some(now);
        }
        self.link.shaking = None;
    }

    pub(crate) fn on_link(&mut self, link: LinkId, event: LinkEvent, turn: &mut Turn<'_>) {
        let now = turn.now;
        match event {
            LinkEvent::Up if self.link.id == Some(link) => self.start_over_link(turn),
            LinkEvent::Down(_) if self.link.former == Some(link) => {
                self.link.former = None;
                turn.shared.out.push(Output::Close(link));
            }
            LinkEvent::Down(reason) if self.link.id == Some(link) => {
                self.last_error = Some(reason.clone());
                if let Some(former) = self.link.former.take() {
                    turn.shared.out.push(Output::Close(link));
                    return self.move_to(former, None, turn);
                }
                self.abandon_exchanges();
                self.distrust(turn);
                let trouble = Cause::Link.told(reason);
                self.registration.disconnected(trouble, now);
            }
            LinkEvent::Replacement(new) => self.replace_link(new, turn),
            LinkEvent::Refused if self.link.id == Some(link) => {
                self.link.refused = true;
                self.lose_trust(turn);
            }
            LinkEvent::MtuShrunk(mtu) if self.link.id == Some(link) => self.fit(mtu, turn),
            LinkEvent::Down(_) | LinkEvent::MtuShrunk(_) | LinkEvent::Refused | LinkEvent::Up => {}
        }
    }

    fn replace_link(&mut self, new: LinkId, turn: &mut Turn<'_>) {
        let Some(present) = self.link.id.filter(|_| !self.owns(new)) else {
            return;
        };
        match self.registration.phase() {
            // A word of farewell is under way: nobody waits for more.
            Phase::Disabled | Phase::Left => {
                return turn.shared.out.push(Output::Close(new));
            }
            Phase::Offline | Phase::Registered | Phase::Registering => {}
        }
        let former = match self.link.former {
            // The server has not answered over the present one: that before is known to work.
            Some(former) => {
                turn.shared.out.push(Output::Close(present));
                Some(former)
            }
            None if self.link.is_up => Some(present),
            None => {
                turn.shared.out.push(Output::Close(present));
                None
            }
        };
        self.move_to(new, former, turn);
    }

    /// The session goes on over another link that is up, or begins there.
    fn move_to(&mut self, link: LinkId, former: Option<LinkId>, turn: &mut Turn<'_>) {
        self.link = Link {
            former,
            silence: self.link.silence,
            ..Link::new(link)
        };
        self.abandon_exchanges();
        self.distrust(turn);
        self.start_over_link(turn);
    }

    fn start_over_link(&mut self, turn: &mut Turn<'_>) {
        self.link.is_up = true;
        self.observations.path_changed();
        self.endpoint.path_changed(turn.now.mono);
        self.session.set_mtu(None);
        self.registration.link_up(turn.now);
        self.start_session(turn);
    }

    /// There is a way to the server again, or another.
    pub(crate) fn path_up(&mut self, now: Now) {
        self.registration.path_up(self.link.is_up, now);
    }

    pub(crate) fn ping(&mut self, now: Duration) {
        let is_idle = self.exchanges.is_empty() && self.session.is_open();
        if self.is_registered() && self.link.is_up && is_idle {
            self.endpoint.ping(now);
        }
    }

    /// The path carries packets of so many bytes.
    fn fit(&mut self, mtu: u16, turn: &Turn<'_>) {
        let room = mtu.saturating_sub(HEADERS);
        self.session.set_mtu(Some(room));
        self.narrow(szx_within(room.saturating_sub(AROUND_BLOCK)), turn);
    }

    /// Where large datagrams are swallowed without a word, smaller ones may pass.
    pub(super) fn go_round_hole(&mut self, turn: &Turn<'_>) {
        let szx = self.endpoint.params().block_szx();
        if szx > SMALLEST_SZX && self.session.is_open() && self.endpoint.has_lost_large() {
            self.narrow(szx - 1, turn);
        }
    }

    fn narrow(&mut self, szx: u8, turn: &Turn<'_>) {
        if szx >= self.endpoint.params().block_szx() {
            return;
        }
        let block = 16 << szx;
        tracing::info!(ssid = %self.config.ssid, block, "The path wants smaller blocks");
        self.endpoint.limit_blocks(szx, turn.now.mono);
        self.tell_again(turn);
    }
}

/// The largest blocks that have room, as `log2(size) - 4`.
fn szx_within(room: u16) -> u8 {
    let fits = |szx: &u8| 16u16 << *szx <= room;
    (0..=6).rev().find(fits).unwrap_or(0)
}

/// Whether a session goes on over another link without a handshake, seen by a server that knows
/// peers by more than their address.
pub(crate) fn survives_move(session: &Session) -> bool {
    match session {
        Session::Dtls(dtls) => dtls.has_connection_id(),
        Session::Plain(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fit_into_what_a_path_carries() {
        let szx = |mtu: u16| szx_within(mtu - HEADERS - AROUND_BLOCK);
        assert_eq!(szx(1500), 6);
        assert_eq!(szx(1280), 6, "every path of IPv6");
        assert_eq!(szx(1000), 5);
        assert_eq!(szx(576), 4, "every path of IPv4");
        assert_eq!(szx_within(0), 0);
    }
}
