//! One connection to the bootstrap server: link, session, messages.

use std::time::Duration;

use lamplighter_coap::{
    Endpoint, Event as Coap, ExchangeId, Failure, Method, Params, Request, Response,
};
use lamplighter_dtls::{Clock, Session};
use lamplighter_model::{ObjectInstanceId, Path};
use zeroize::Zeroize as _;

use super::{Accounts, Bootstrap, State};
use crate::{
    boundary::LinkId,
    format::{self, ContentFormat, link::Link},
    object::SECURITY,
    perform::Turn,
    registration::{Enabler, Reply},
    reject::Reject,
    server,
};

#[derive(Debug)]
pub(super) struct Visit {
    /// What the server is taken to speak.
    pub(super) enabler: Enabler,
    pub(super) endpoint: Endpoint,
    exchange: Option<(ExchangeId, Asked)>,
    /// When the server was last heard over the link.
    pub(super) heard: Option<Duration>,
    /// Its host says that nobody listens.
    pub(super) is_refused: bool,
    pub(super) is_up: bool,
    pub(super) link: LinkId,
    pub(super) session: Session,
    /// When the session was begun.
    started: Duration,
}

/// What the server was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// Bootstrap-Pack-Request.
    Pack,
    /// Bootstrap-Request with our preferred format.
    Request,
    /// Without it: a server of 1.0, or one that does not take it.
    RequestOf1_0,
}

/// Bytes of IP and UDP in front of a datagram.
pub(super) const HEADERS: u64 = 28;
/// The smallest on the wire, and known to all servers since 1.1.
const PREFERRED: ContentFormat = ContentFormat::SenmlCbor;

impl Visit {
    pub(super) fn new(link: LinkId, session: Session, coap: Params, seed: u64) -> Self {
        Self {
            enabler: Enabler::V1_2,
            endpoint: Endpoint::new(coap, seed),
            exchange: None,
            heard: None,
            is_refused: false,
            is_up: false,
            link,
            session,
            started: Duration::ZERO,
        }
    }

    /// The link is there.
    pub(super) fn start(&mut self, clock: Clock, now: Duration) {
        self.heard = None;
        self.is_up = true;
        self.started = now;
        self.endpoint.path_changed(now);
        self.session.start(clock, now);
    }

    /// Since when an answer is awaited over the link.
    pub(super) fn awaited(&self) -> Option<Duration> {
        if self.is_up && !self.session.is_open() {
            return Some(self.started);
        }
        self.endpoint.awaited()
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let endpoint = self.endpoint.poll_timeout();
        endpoint
            .into_iter()
            .chain(self.session.poll_timeout())
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        self.session.handle_timeout(now);
        self.endpoint.handle_timeout(now);
    }

    /// How long the server may be silent while it writes (lwm2m/40, 6: EXCHANGE_LIFETIME).
    pub(super) fn patience(&self) -> Duration {
        self.endpoint.params().exchange_lifetime()
    }

    /// How long it may repeat its last request.
    pub(super) fn echo(&self) -> Duration {
        self.endpoint.params().max_transmit_wait()
    }

    /// Whatever was asked is of no interest any more.
    pub(super) fn forget(&mut self) {
        if let Some((id, _)) = self.exchange.take() {
            self.endpoint.cancel(id);
        }
    }

    pub(super) fn ask(
        &mut self,
        asked: Asked,
        name: &str,
        own: Option<ObjectInstanceId>,
        now: Duration,
    ) {
        let request = match asked {
            Asked::Pack => pack_request(name, own),
            Asked::Request => {
                let mut request = bootstrap_request(name);
                let preferred = format!("pct={}", PREFERRED.number());
                request.queries.push(preferred);
                request
            }
            Asked::RequestOf1_0 => {
                self.enabler = Enabler::V1_0;
                bootstrap_request(name)
            }
        };
        let id = self.endpoint.request(request, now);
        self.exchange = Some((id, asked));
    }

    fn failure_text(&self, failure: Failure) -> &'static str {
        match failure {
            Failure::BadResponse => "the bootstrap server's answer cannot be understood",
            Failure::Reset => "the bootstrap server rejected the message",
            Failure::TimedOut if self.is_refused => {
                "no answer; the host says that no bootstrap server listens there"
            }
            Failure::TimedOut => "no answer from the bootstrap server",
            Failure::TooLarge => "the bootstrap server's answer is larger than allowed",
        }
    }
}

impl Bootstrap {
    pub(super) fn on_event(&mut self, event: Coap, accounts: &Accounts, turn: &mut Turn<'_>) {
        let Some(visit) = &mut self.visit else {
            return;
        };
        match event {
            Coap::Request(key, request) => {
                let response = self.on_request(request, accounts, turn);
                if let Some(visit) = &mut self.visit {
                    visit.endpoint.respond(key, response, turn.now.mono);
                }
            }
            Coap::Response(id, response) => {
                if let Some((_, asked)) = visit.exchange.take_if(|(of, _)| *of == id) {
                    self.on_response(asked, response, accounts, turn);
                }
            }
            Coap::Failed(id, failure) => {
                let ours = visit.exchange.take_if(|(of, _)| *of == id);
                match ours {
                    Some((_, asked)) if matches!(self.state, State::Asking) => {
                        let reason = visit.failure_text(failure);
                        self.on_unanswered(asked, reason, accounts, turn);
                    }
                    Some(_) | None => {}
                }
            }
            Coap::Notification(id, _) => visit.endpoint.cancel(id),
            Coap::Delivered(..) => {}
        }
    }

    /// A server that has never heard of packs may be silent.
    fn on_unanswered(
        &mut self,
        asked: Asked,
        reason: &str,
        accounts: &Accounts,
        turn: &mut Turn<'_>,
    ) {
        match asked {
            Asked::Pack => self.ask_for(Asked::Request, accounts, turn.shared, turn.now),
            Asked::Request | Asked::RequestOf1_0 => {
                let trouble = server::Cause::Silence.told(reason);
                self.fail(trouble, turn.shared, turn.now);
            }
        }
    }

    fn on_response(
        &mut self,
        asked: Asked,
        mut response: Response,
        accounts: &Accounts,
        turn: &mut Turn<'_>,
    ) {
        let code = response.code;
        match asked {
            Asked::Pack if code.is_success() => {
                self.on_pack(&response, accounts, turn);
                // It holds keys.
                response.payload.zeroize();
            }
            // lwm2m/40, 8: whatever the refusal, the ordinary way follows.
            Asked::Pack => self.ask_for(Asked::Request, accounts, turn.shared, turn.now),
            Asked::Request | Asked::RequestOf1_0 if code.is_success() => {
                self.begin_draft(accounts, turn);
            }
            // 4.15 says so; servers of 1.0 say other things of a query that they do not know.
            Asked::Request if code.class() == 4 && !self.is_writing() => {
                self.ask_for(Asked::RequestOf1_0, accounts, turn.shared, turn.now);
            }
            Asked::Request | Asked::RequestOf1_0 => {
                let reply: Reply = response.into();
                let mut reason = format!("{} the bootstrap server refuses this box", reply.code);
                if !reply.detail.is_empty() {
                    reason.push_str(&format!(" ({})", reply.detail));
                }
                let trouble = server::Cause::Refused(reply.code).told(reason);
                self.fail(trouble, turn.shared, turn.now);
            }
        }
    }

    /// What the pack names takes the place of what there is; nothing is left to be finished.
    fn on_pack(&mut self, response: &Response, accounts: &Accounts, turn: &mut Turn<'_>) {
        self.begin_draft(accounts, turn);
        let result = self
            .take_pack(response, turn)
            .and_then(|()| self.conclude(accounts, turn));
        if let Err(reject) = result {
            tracing::warn!(%reject, "The bootstrap pack cannot be used");
            self.enter(State::Asking, turn.now);
            self.ask_for(Asked::Request, accounts, turn.shared, turn.now);
        }
    }

    fn take_pack(&mut self, response: &Response, turn: &Turn<'_>) -> Result<(), Reject> {
        let State::Writing { draft, .. } = &mut self.state else {
            return Err(Reject::bad_request("nobody waits for a pack"));
        };
        let format = response.content_format.and_then(ContentFormat::from_number);
        let format = format.ok_or_else(|| Reject::bad_request("the pack is in no known format"))?;
        let catalogue = turn.catalogue();
        let definitions = catalogue.tree.definitions();
        let decoded = format::decode(format, Path::Root, "", &response.payload, definitions)?;
        let mut named: Vec<_> = decoded
            .nodes
            .iter()
            .map(|node| node.path.object())
            .collect();
        named.dedup();
        for object in named {
            draft.delete(Path::Object(object), catalogue)?;
        }
        draft.write(Path::Root, decoded, catalogue)
    }
}

fn bootstrap_request(name: &str) -> Request {
    Request {
        queries: vec![format!("ep={name}")],
        ..Request::new(Method::Post, vec!["bs".to_owned()])
    }
}

/// `acc` (1.2.1): the instances that hold the account of the bootstrap server.
fn pack_request(name: &str, own: Option<ObjectInstanceId>) -> Request {
    let mut queries = vec![format!("ep={name}")];
    queries.extend(own.map(|own| format!("acc={}", Link::new(format_args!("/{SECURITY}/{own}")))));
    Request {
        accept: Some(PREFERRED.number()),
        queries,
        ..Request::new(Method::Get, vec!["bspack".to_owned()])
    }
}
