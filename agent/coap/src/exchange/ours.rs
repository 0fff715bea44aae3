//! Requests that we make.
//!
//! 1. Sent, perhaps block by block.
//! 2. Answered, perhaps block by block → told.
//! 3. If it observes: more answers with its token, each perhaps block by block → told.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    block::{self, Block, Download, DownloadStep, Upload, UploadStep, size_of_block},
    context::Context,
    endpoint::{Event, Failure},
    exchange::ExchangeId,
    message::{Code, Message, Method, Options, Part, Reliability, Request, Token},
    observe::Freshness,
    params::Params,
    random::Random,
    timer::{Timer, Timers},
    udp::SendId,
};

/// How often one request may begin again (other block size, lost blocks, changed body).
const MAX_RESTARTS: u8 = 4;

#[derive(Debug, Default)]
pub(crate) struct Ours {
    exchanges: BTreeMap<ExchangeId, Exchange>,
    tokens: BTreeMap<Token, ExchangeId>,
    sends: BTreeMap<SendId, ExchangeId>,
    next_id: u64,
}

#[derive(Debug)]
struct Exchange {
    request: Request,
    /// Of the message that waits for an answer.
    awaited: Option<Token>,
    send: Option<SendId>,
    deadline: Option<Duration>,
    upload: Option<Upload>,
    download: Option<Download>,
    observation: Option<Observation>,
    /// The first answer has been told.
    is_answered: bool,
    restarts: u8,
}

#[derive(Clone, Copy, Debug)]
struct Observation {
    token: Token,
    freshness: Freshness,
}

/// What the endpoint has to do for one of our exchanges.
#[derive(Debug)]
pub(crate) enum Todo {
    Nothing,
    /// Send this, then tell [`Ours::sent`].
    Send(ExchangeId, Reliability, Message),
    Tell(Event),
}

/// Whether a response was for somebody.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) is_accepted: bool,
    /// A message that need not be repeated any more.
    pub(crate) settled: Option<SendId>,
    pub(crate) todo: Todo,
}

impl Ours {
    pub(crate) fn start(&mut self, request: Request, cx: &mut Context) -> (ExchangeId, Todo) {
        let id = self.new_id();
        let szx = cx.params.block_szx();
        if !block::is_numberable(request.payload.len(), szx) {
            return (id, Todo::Tell(Event::Failed(id, Failure::TooLarge)));
        }
        let is_large = request.payload.len() > size_of_block(szx);
        self.exchanges.insert(
            id,
            Exchange::new(request, is_large.then(|| Upload::new(szx))),
        );
        (id, self.send_part(id, cx))
    }

    /// Ends an observation at the peer: its request again, with Observe 1 and the same token.
    pub(crate) fn stop_observing(
        &mut self,
        id: ExchangeId,
        cx: &mut Context,
    ) -> Option<(ExchangeId, Option<SendId>, Todo)> {
        let Observation { token, .. } = self.exchanges.get(&id)?.observation?;
        let (mut request, settled) = self.remove(id, &mut cx.timers)?;
        let new = self.new_id();
        request.observe = Some(1);
        let message = whole_message(&request, token, &cx.params);
        let reliability = request.reliability;
        self.exchanges.insert(
            new,
            Exchange {
                awaited: Some(token),
                ..Exchange::new(request, None)
            },
        );
        self.tokens.insert(token, new);
        Some((new, settled, Todo::Send(new, reliability, message)))
    }

    /// Forgets an exchange; the message that need not be repeated any more.
    pub(crate) fn cancel(&mut self, id: ExchangeId, timers: &mut Timers) -> Option<SendId> {
        self.remove(id, timers)?.1
    }

    pub(crate) fn sent(&mut self, id: ExchangeId, send: SendId, cx: &mut Context) {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        match exchange.request.reliability {
            Reliability::Confirmable => {
                exchange.send = Some(send);
                self.sends.insert(send, id);
            }
            Reliability::NonConfirmable => exchange.await_answer(id, cx),
        }
    }

    /// Requests that are on their way in larger pieces.
    pub(crate) fn larger_than(&self, szx: u8) -> Vec<ExchangeId> {
        let exchanges = self.exchanges.iter();
        exchanges
            .filter(|(_, exchange)| exchange.is_larger(szx))
            .map(|(id, _)| *id)
            .collect()
    }

    /// What is not acknowledged is sent anew, in smaller pieces.
    pub(crate) fn narrow(
        &mut self,
        id: ExchangeId,
        szx: u8,
        cx: &mut Context,
    ) -> (Option<SendId>, Todo) {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return (None, Todo::Nothing);
        };
        match &mut exchange.upload {
            Some(upload) => upload.narrow(szx),
            None => exchange.upload = Some(Upload::new(szx)),
        }
        let settled = self.settle(id, &mut cx.timers);
        (settled, self.send_part(id, cx))
    }

    /// The message that waits for its acknowledgement.
    pub(crate) fn send_of(&self, id: ExchangeId) -> Option<SendId> {
        self.exchanges.get(&id)?.send
    }

    pub(crate) fn on_acknowledged(&mut self, send: SendId, cx: &mut Context) {
        let Some(id) = self.sends.remove(&send) else {
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        exchange.send = None;
        exchange.await_answer(id, cx);
    }

    pub(crate) fn on_lost(&mut self, send: SendId, failure: Failure, timers: &mut Timers) -> Todo {
        let Some(id) = self.sends.remove(&send) else {
            return Todo::Nothing;
        };
        self.fail(id, failure, timers)
    }

    pub(crate) fn on_timeout(&mut self, id: ExchangeId, timers: &mut Timers) -> Todo {
        self.fail(id, Failure::TimedOut, timers)
    }

    pub(crate) fn on_response(
        &mut self,
        message: Message,
        is_piggybacked: bool,
        cx: &mut Context,
    ) -> Taken {
        let found = self.tokens.get(&message.token).copied();
        let Some((id, exchange)) = found.and_then(|id| Some((id, self.exchanges.get_mut(&id)?)))
        else {
            return Taken {
                is_accepted: false,
                settled: None,
                todo: Todo::Nothing,
            };
        };
        let is_awaited = exchange.awaited == Some(message.token);
        // RFC 7641, 3.6: a late notification is not yet the answer to the cancellation.
        if exchange.request.observe == Some(1)
            && message.options.observe.is_some()
            && !is_piggybacked
        {
            return Taken {
                is_accepted: true,
                settled: None,
                todo: Todo::Nothing,
            };
        }
        if !is_awaited && !exchange.is_newer(&message, cx.now) {
            return Taken {
                is_accepted: true,
                settled: None,
                todo: Todo::Nothing,
            };
        }
        // An answer acknowledges its request (RFC 7252, 5.2.2); news replace the news being fetched.
        let settled = self.settle(id, &mut cx.timers);
        let is_accepted = message.options.problem.is_none();
        let todo = match (is_accepted, is_awaited) {
            (false, _) => self.end(id, Failure::BadResponse, &mut cx.timers),
            (true, true) => self.on_answer(id, message, cx),
            (true, false) => self.on_notification(id, message, cx),
        };
        Taken {
            is_accepted,
            settled,
            todo,
        }
    }

    fn on_answer(&mut self, id: ExchangeId, answer: Message, cx: &mut Context) -> Todo {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        if let Some(szx) = exchange.begin_again(&answer) {
            exchange.upload = Some(Upload::new(szx));
            return self.send_part(id, cx);
        }
        let length = exchange.request.payload.len();
        match exchange
            .upload
            .as_mut()
            .map(|upload| upload.on_answer(&answer, length, cx.params.block_szx()))
        {
            Some(UploadStep::Next) => return self.send_part(id, cx),
            Some(UploadStep::Unfit) => return self.fail(id, Failure::BadResponse, &mut cx.timers),
            Some(UploadStep::Final) | None => exchange.upload = None,
        }
        if let Some(download) = exchange.download.take() {
            return self.on_download(id, download.on_block(answer, &cx.params), cx);
        }
        if exchange.request.part.is_some() {
            return self.tell_part(id, answer, &mut cx.timers);
        }
        exchange.observation = exchange.observation.or_else(|| {
            let is_wanted = exchange.request.observe == Some(0) && answer.code.is_success();
            let sequence = answer.options.observe.filter(|_| is_wanted)?;
            Some(Observation {
                token: answer.token,
                freshness: Freshness::new(sequence, cx.now),
            })
        });
        if let Some(Observation { token, .. }) = exchange.observation {
            self.tokens.insert(token, id);
        }
        self.on_download(id, Download::begin(answer, &cx.params), cx)
    }

    /// The part that was asked for, and nothing is fetched besides.
    fn tell_part(&mut self, id: ExchangeId, answer: Message, timers: &mut Timers) -> Todo {
        self.remove(id, timers);
        let whole = Part {
            offset: 0,
            has_more: false,
            total: None,
        };
        let part = answer.options.block2.map_or(whole, |block| Part {
            offset: block.offset(),
            has_more: block.more,
            ..whole
        });
        let mut response = answer.into_response();
        response.part = Some(part);
        Todo::Tell(Event::Response(id, response))
    }

    fn on_notification(&mut self, id: ExchangeId, message: Message, cx: &mut Context) -> Todo {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        exchange.download = None;
        // RFC 7641, 3.2: an error, or an answer without the option, ends the observation.
        if message.options.observe.is_none() || !message.code.is_success() {
            exchange.observation = None;
            self.tokens.remove(&message.token);
        }
        self.on_download(id, Download::begin(message, &cx.params), cx)
    }

    fn on_download(&mut self, id: ExchangeId, step: DownloadStep, cx: &mut Context) -> Todo {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        match step {
            DownloadStep::Complete(message) => self.tell(id, message, &mut cx.timers),
            DownloadStep::Next(download) => {
                let wanted = download.wanted();
                exchange.download = Some(download);
                self.send_follow_up(id, wanted, cx)
            }
            DownloadStep::Restart if exchange.may_fetch_again() => {
                exchange.restarts += 1;
                self.send_follow_up(
                    id,
                    Block {
                        num: 0,
                        more: false,
                        szx: cx.params.block_szx(),
                    },
                    cx,
                )
            }
            DownloadStep::Restart | DownloadStep::Unfit => {
                self.fail(id, Failure::BadResponse, &mut cx.timers)
            }
            DownloadStep::TooLarge => self.fail(id, Failure::TooLarge, &mut cx.timers),
        }
    }

    fn tell(&mut self, id: ExchangeId, message: Message, timers: &mut Timers) -> Todo {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        let mut response = message.into_response();
        response.observe = exchange
            .observation
            .map(|observation| observation.freshness.sequence());
        exchange.restarts = 0;
        let is_first = !std::mem::replace(&mut exchange.is_answered, true);
        if exchange.observation.is_none() {
            self.remove(id, timers);
        }
        Todo::Tell(if is_first {
            Event::Response(id, response)
        } else {
            Event::Notification(id, response)
        })
    }

    /// One lost notification does not end an observation; everything else ends the exchange.
    fn fail(&mut self, id: ExchangeId, failure: Failure, timers: &mut Timers) -> Todo {
        self.settle(id, timers);
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        if exchange.observation.is_some() && exchange.is_answered {
            exchange.download = None;
            exchange.restarts = 0;
            return Todo::Nothing;
        }
        self.end(id, failure, timers)
    }

    fn end(&mut self, id: ExchangeId, failure: Failure, timers: &mut Timers) -> Todo {
        self.remove(id, timers);
        Todo::Tell(Event::Failed(id, failure))
    }

    /// The request, or the block of it that is due.
    fn send_part(&mut self, id: ExchangeId, cx: &mut Context) -> Todo {
        let token = self.new_token(cx);
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        let message = match &exchange.upload {
            Some(upload) => {
                let mut message = headless_message(&exchange.request, token);
                upload.fill(&exchange.request.payload, &mut message);
                message
            }
            None => whole_message(&exchange.request, token, &cx.params),
        };
        self.send(id, message)
    }

    /// RFC 7959, 3.4 and RFC 7641: neither body nor Observe in requests for further blocks.
    fn send_follow_up(&mut self, id: ExchangeId, wanted: Block, cx: &mut Context) -> Todo {
        let token = self.new_token(cx);
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        let mut message = headless_message(&exchange.request, token);
        message.options.observe = None;
        message.options.block2 = Some(wanted);
        // RFC 8132, 2.1: the body of a FETCH says what is fetched. What went in blocks does not go
        // again.
        let payload = &exchange.request.payload;
        let repeats = exchange.request.method == Method::Fetch
            && payload.len() <= size_of_block(cx.params.block_szx());
        if repeats {
            message.payload.clone_from(payload);
        } else {
            message.options.content_format = None;
        }
        self.send(id, message)
    }

    fn send(&mut self, id: ExchangeId, message: Message) -> Todo {
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return Todo::Nothing;
        };
        exchange.awaited = Some(message.token);
        self.tokens.insert(message.token, id);
        Todo::Send(id, exchange.request.reliability, message)
    }

    /// Nothing is awaited any more; the message that need not be repeated.
    fn settle(&mut self, id: ExchangeId, timers: &mut Timers) -> Option<SendId> {
        let exchange = self.exchanges.get_mut(&id)?;
        if let Some(token) = exchange.awaited.take()
            && exchange
                .observation
                .is_none_or(|observation| observation.token != token)
        {
            self.tokens.remove(&token);
        }
        if let Some(at) = exchange.deadline.take() {
            timers.disarm(at, Timer::Exchange(id));
        }
        let send = exchange.send.take()?;
        self.sends.remove(&send);
        Some(send)
    }

    fn remove(&mut self, id: ExchangeId, timers: &mut Timers) -> Option<(Request, Option<SendId>)> {
        let settled = self.settle(id, timers);
        let exchange = self.exchanges.remove(&id)?;
        if let Some(observation) = exchange.observation {
            self.tokens.remove(&observation.token);
        }
        Some((exchange.request, settled))
    }

    fn new_id(&mut self) -> ExchangeId {
        self.next_id += 1;
        ExchangeId(self.next_id)
    }

    fn new_token(&self, cx: &mut Context) -> Token {
        loop {
            let token = random_token(&mut cx.random, &cx.params);
            if !self.tokens.contains_key(&token) {
                return token;
            }
        }
    }
}

impl Exchange {
    fn new(request: Request, upload: Option<Upload>) -> Self {
        Self {
            request,
            awaited: None,
            send: None,
            deadline: None,
            upload,
            download: None,
            observation: None,
            is_answered: false,
            restarts: 0,
        }
    }

    /// Whether what is being sent is longer than such a block.
    fn is_larger(&self, szx: u8) -> bool {
        let is_larger = match &self.upload {
            Some(upload) => upload.szx() > szx,
            None => self.download.is_none() && self.request.payload.len() > size_of_block(szx),
        };
        // What is acknowledged is not sent any more.
        self.send.is_some() && is_larger
    }

    fn await_answer(&mut self, id: ExchangeId, cx: &mut Context) {
        let at = cx.arm_in(cx.params.response_timeout, Timer::Exchange(id));
        if let Some(old) = self.deadline.replace(at) {
            cx.timers.disarm(old, Timer::Exchange(id));
        }
    }

    /// What ends an observation is always news.
    fn is_newer(&mut self, message: &Message, now: Duration) -> bool {
        let Some(observation) = &mut self.observation else {
            return false;
        };
        match message.options.observe {
            Some(sequence) if message.code.is_success() => {
                observation.freshness.advance(sequence, now)
            }
            Some(_) | None => true,
        }
    }

    /// The block size to send the body again with, if the answer asks for that.
    fn begin_again(&mut self, answer: &Message) -> Option<u8> {
        if self.restarts >= MAX_RESTARTS || self.download.is_some() {
            return None;
        }
        let szx = match answer.code {
            Code::REQUEST_ENTITY_TOO_LARGE => {
                block::smaller(self.upload.as_ref(), answer, self.request.payload.len())?
            }
            Code::REQUEST_ENTITY_INCOMPLETE => self.upload.as_ref()?.szx(),
            _ => return None,
        };
        self.restarts += 1;
        Some(szx)
    }

    /// Only what is safe may be asked again from the start.
    fn may_fetch_again(&self) -> bool {
        self.restarts < MAX_RESTARTS && self.request.method.is_safe()
    }
}

fn headless_message(request: &Request, token: Token) -> Message {
    let mut message = Message::new(request.method.code(), token);
    message.options = Options {
        path: request.path.clone(),
        queries: request.queries.clone(),
        content_format: request.content_format,
        accept: request.accept,
        observe: request.observe,
        ..Options::default()
    };
    message
}

fn whole_message(request: &Request, token: Token, params: &Params) -> Message {
    let mut message = headless_message(request, token);
    message.payload.clone_from(&request.payload);
    if let Some(part) = request.part {
        message.options.block2 = Some(Block::at(part.offset, params.block_szx(), 0));
        return message;
    }
    // RFC 7959, 2.4: the size we wish, known to the peer before it answers.
    let szx = params.block_szx();
    let is_wish = szx < 6 && request.method.is_safe();
    message.options.block2 = is_wish.then_some(Block {
        num: 0,
        more: false,
        szx,
    });
    message
}

fn random_token(random: &mut Random, params: &Params) -> Token {
    let bytes = random.next().to_be_bytes();
    Token::new(&bytes[..params.token_length.clamp(4, 8)]).expect("at most 8 bytes")
}
