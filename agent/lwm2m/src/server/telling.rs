//! Send on request: a person wants a server to be told values now. It does not wait for what is
//! stored; its values carry their times.

use lamplighter_coap::{Code, ExchangeId, Method, Request};
use lamplighter_model::{Address, Path, Sample, Scope, device::Origin};

use super::{Server, keeping::Mark, sending};
use crate::{
    boundary::{RequestId, SendRequest},
    format::ContentFormat,
    operation,
    perform::{Shared, Turn},
    registration::{Enabler, Phase, Reply},
    reject::Reject,
};

/// A Send that somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    exchange: ExchangeId,
    /// None where nobody waits for its end.
    id: Option<RequestId>,
    mark: Mark,
}

/// Requests of people that may be under way to one server at once.
const MAX_TELLINGS: usize = 16;

impl Telling {
    fn ended(self, result: Result<(), Reject>, shared: &mut Shared) {
        if let Some(id) = self.id {
            shared.tellings.ended(id, result, &mut shared.out);
        }
    }
}

impl Server {
    /// Sends the latest values below the paths, and the values that come along.
    ///
    /// # Errors
    /// Where the server takes no Send now, may not read a path, or there is no value.
    pub(crate) fn tell(
        &mut self,
        id: RequestId,
        request: &SendRequest,
        turn: &Turn<'_>,
    ) -> Result<(), Reject> {
        self.check_send(turn)?;
        let mut samples = Vec::new();
        for path in &request.paths {
            samples.extend(self.current_samples(*path, turn)?);
        }
        for sample in &request.samples {
            samples.push(self.checked(sample, turn)?);
        }
        self.send_now(Some(id), &samples, turn)
    }

    /// Past all that is stored.
    ///
    /// # Errors
    /// Where the samples cannot be written.
    pub(super) fn send_now(
        &mut self,
        id: Option<RequestId>,
        samples: &[Sample],
        turn: &Turn<'_>,
    ) -> Result<(), Reject> {
        let format = ContentFormat::SenmlCbor;
        let nodes: Vec<_> = samples
            .iter()
            .map(|sample| sending::node(sample, format, turn))
            .collect();
        let root = Address {
            scope: Scope::Gateway,
            path: Path::Root,
        };
        let payload = self.encode(format, root, &nodes, turn)?;
        let mark = self.mark(turn.now.mono);
        let request = Request {
            content_format: Some(format.number()),
            payload,
            ..Request::new(Method::Post, vec!["dp".to_owned()])
        };
        let exchange = self.endpoint.request(request, turn.now.mono);
        self.tellings.push(Telling { exchange, id, mark });
        Ok(())
    }

    /// Whether the server takes a Send now, in words (lwm2m/30, 7).
    pub(super) fn check_send(&self, turn: &Turn<'_>) -> Result<(), Reject> {
        if self.registration.phase() != Phase::Registered {
            return Err(Reject::temporary("not registered with this server", None));
        }
        if self.registration.version() < Enabler::V1_1 {
            return Err(Reject::method_not_allowed("LwM2M 1.0 has no Send"));
        }
        if !self.may_send(turn) {
            return Err(Reject::method_not_allowed(
                "this server takes no Send (1/x/23)",
            ));
        }
        if self.tellings.len() >= MAX_TELLINGS {
            return Err(Reject::temporary("too many requests are under way", None));
        }
        Ok(())
    }

    fn current_samples(&self, path: Path, turn: &Turn<'_>) -> Result<Vec<Sample>, Reject> {
        let address = Address {
            scope: Scope::Gateway,
            path,
        };
        let reader = Origin::Server(self.config.ssid);
        if path == Path::Root {
            return Err(Reject::bad_request(
                "a path of an object or below is wanted",
            ));
        }
        operation::content(address, &reader, turn.catalogue())?;
        let samples = self.below(address, turn);
        if samples.is_empty() {
            return Err(Reject::not_found("there is nothing to send"));
        }
        Ok(samples)
    }

    /// A value that comes along: its resource exists, and the server may read what it belongs to
    /// (lwm2m/30, 7), though not always by a Read.
    fn checked(&self, sample: &Sample, turn: &Turn<'_>) -> Result<Sample, Reject> {
        if turn.catalogue().resource(sample.address).is_none() {
            return Err(Reject::not_found("the resource does not exist"));
        }
        if !self.may_read(sample.address.path, turn) {
            return Err(Reject::unauthorized("there is no right to read here"));
        }
        Ok(sample.clone())
    }

    /// Whether the answer is one to a Send on request; then it is dealt with.
    pub(super) fn telling_answered(
        &mut self,
        exchange: ExchangeId,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(telling) = self.take_telling(exchange) else {
            return false;
        };
        let result = if reply.code == Code::CHANGED {
            self.arrived(telling.mark, turn);
            Ok(())
        } else {
            let may_be_unknown = matches!(reply.code, Code::BAD_REQUEST | Code::NOT_FOUND);
            let asks_once = telling.id.is_none();
            if may_be_unknown && !(asks_once && std::mem::replace(&mut self.uplink.has_asked, true))
            {
                // It may not know us: see `refused` of what is stored.
                self.registration.suspect(turn.now);
            }
            let detail = format!("the server refuses the Send: {}", reply.detail);
            Err(Reject {
                max_age: reply.max_age,
                ..Reject::new(reply.code, detail)
            })
        };
        telling.ended(result, turn.shared);
        true
    }

    pub(super) fn telling_unanswered(&mut self, exchange: ExchangeId, turn: &mut Turn<'_>) -> bool {
        let Some(telling) = self.take_telling(exchange) else {
            return false;
        };
        let reject = Reject::new(Code::GATEWAY_TIMEOUT, "no answer from the server");
        telling.ended(Err(reject), turn.shared);
        true
    }

    /// The path is gone: whoever waits is told so.
    pub(super) fn abandon_tellings(&mut self, turn: &mut Turn<'_>) {
        for telling in std::mem::take(&mut self.tellings) {
            self.endpoint.cancel(telling.exchange);
            let reject = Reject::temporary("the way to the server is gone", None);
            telling.ended(Err(reject), turn.shared);
        }
    }

    fn take_telling(&mut self, exchange: ExchangeId) -> Option<Telling> {
        let mut all = self.tellings.iter();
        let at = all.position(|telling| telling.exchange == exchange)?;
        Some(self.tellings.swap_remove(at))
    }
}
