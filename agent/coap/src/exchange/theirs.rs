//! Requests of the peer.
//!
//! 1. Taken, perhaps block by block → told once with the whole body.
//! 2. Answered; what is larger than a block is kept and fetched block by block.

use crate::{
    block::{self, Assemblies, AssemblyStep, Block, Snapshots, StreamStep, Streams, Target},
    context::Context,
    message::{Code, Message, Method, Options, Part, Reliability, Request, Response, Token},
    observe::{Observed, Observers},
    open::Open,
    params::Params,
    random::{Fingerprint, Random},
    timer::Timers,
    udp::RequestKey,
};

/// Requests of the peer that wait for their answer, and the bodies that belong to them.
#[derive(Debug)]
pub(crate) struct Theirs {
    asked: Open<Asked>,
    assemblies: Assemblies,
    snapshots: Snapshots,
    streams: Streams,
    hash_seed: u64,
}

#[derive(Debug)]
struct Asked {
    token: Token,
    target: Target,
    /// To be repeated in the answer to the last block.
    block1: Option<Block>,
    block2: Option<Block>,
    is_observing: bool,
    /// The body that this is a part of, and whether others follow.
    stream: Option<(u64, bool)>,
}

/// What to do with a request of the peer.
#[derive(Debug)]
pub(crate) enum Verdict {
    Answer(Message),
    Deliver(Request),
    Ignore,
}

/// What a request brought of its body.
#[derive(Debug)]
enum Body {
    /// To be answered with this, as it is not the end.
    Part(Message),
    /// To be told as it is: a part of the body with this number.
    Streamed(u64, Part, Block),
    /// The answer carries this Block1 option.
    Whole(Option<Block>),
}

impl Theirs {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            asked: Open::default(),
            assemblies: Assemblies::default(),
            snapshots: Snapshots::default(),
            streams: Streams::default(),
            hash_seed: random.next(),
        }
    }

    pub(crate) fn on_request(
        &mut self,
        key: RequestKey,
        reliability: Reliability,
        mut message: Message,
        cx: &mut Context,
    ) -> Verdict {
        let token = message.token;
        if let Some(problem) = message.options.problem {
            // RFC 7252, 5.4.1: a non-confirmable request is rejected, that is ignored.
            return match reliability {
                Reliability::Confirmable => Verdict::Answer(Message::new(problem.code(), token)),
                Reliability::NonConfirmable => Verdict::Ignore,
            };
        }
        // RFC 7252, 5.8.
        let Some(method) = Method::from_code(message.code) else {
            return Verdict::Answer(Message::new(Code::METHOD_NOT_ALLOWED, token));
        };
        let bare = self.target(method, &message.options);
        if let Some(answer) = self.on_block2(method, bare, &mut message, cx) {
            return Verdict::Answer(Message { token, ..answer });
        }
        let (block1, part) = match self.on_block1(bare, &mut message, cx) {
            Body::Streamed(body, part, block1) => (Some(block1), Some((body, part))),
            Body::Whole(block1) => (block1, None),
            Body::Part(answer) => return Verdict::Answer(Message { token, ..answer }),
        };
        let target = Target::new(bare, method, &message.payload);
        let is_observing = message.options.observe == Some(0);
        self.asked.push(
            key,
            Asked {
                token,
                target,
                block1,
                block2: message.options.block2,
                is_observing,
                stream: part.map(|(body, part)| (body, part.has_more)),
            },
        );
        let mut request = message.into_request(method, reliability);
        request.part = part.map(|(_, part)| part);
        Verdict::Deliver(request)
    }

    /// The message that carries a response; `None` if nobody asked.
    pub(crate) fn respond(
        &mut self,
        key: RequestKey,
        mut response: Response,
        observers: &mut Observers,
        cx: &mut Context,
    ) -> Option<Message> {
        let Asked {
            token,
            target,
            block1,
            block2,
            is_observing,
            stream,
        } = self.asked.remove(key)?;
        match stream {
            // RFC 7959, 2.9.1.
            Some((_, true)) if response.code.is_success() => {
                response = Response::new(Code::CONTINUE);
            }
            Some((body, true)) => self.streams.drop_one(body, &mut cx.timers),
            Some((_, false)) | None => {}
        }
        let observes = response.observe.is_some() && is_observing && response.code.is_success();
        response.observe = observes.then(|| observers.next_sequence(cx.now));
        if observes {
            let szx = block2.map_or(6, |block| block.szx);
            observers.add(token, Observed { target, szx }, cx.params.max_observers);
        }
        let message = Message::from_response(response, token);
        let mut message = self.snapshots.cut(target, message, block2, cx);
        message.options.block1 = block1;
        Some(message)
    }

    pub(crate) fn forget(&mut self, key: RequestKey) {
        self.asked.remove(key);
    }

    /// The message that carries a notification.
    pub(crate) fn notification(
        &mut self,
        token: Token,
        mut response: Response,
        observers: &mut Observers,
        cx: &mut Context,
    ) -> Message {
        // RFC 7641, 3.2: what ends the observation has no such option.
        response.observe = response
            .code
            .is_success()
            .then(|| observers.next_sequence(cx.now));
        let message = Message::from_response(response, token);
        match observers.observed(&token) {
            Some(Observed { target, szx }) => {
                self.snapshots.cut(target, message, szx_wish(szx), cx)
            }
            None => block::first_block(message, &cx.params),
        }
    }

    pub(crate) fn forget_bodies(&mut self, timers: &mut Timers) {
        self.snapshots.clear(timers);
    }

    pub(crate) fn on_assembly_due(&mut self, target: u64, timers: &mut Timers) {
        self.assemblies.drop_one(target, timers);
        self.streams.drop_one(target, timers);
    }

    pub(crate) fn on_snapshot_due(&mut self, target: u64, timers: &mut Timers) {
        self.snapshots.drop_one(target, timers);
    }

    #[cfg(test)]
    pub(crate) fn check_bounds(&self, params: &Params) {
        assert!(self.asked.len() <= params.max_incoming);
        self.assemblies.check_bounds(params);
        self.snapshots.check_bounds(params);
        self.streams.check_bounds(params);
    }

    /// An answer from a kept body, or `None` if the request has to be carried out.
    fn on_block2(
        &mut self,
        method: Method,
        target: u64,
        message: &mut Message,
        cx: &mut Context,
    ) -> Option<Message> {
        let asked = message.options.block2.filter(|block| block.num > 0)?;
        message.options.observe = None;
        // A body that is not here, or not as a whole, was sent with the request for the first block.
        let is_complete = !message.payload.is_empty() && message.options.block1.is_none();
        let kept = match (method, is_complete) {
            (Method::Fetch, false) => self.snapshots.newest(target),
            _ => Some(Target::new(target, method, &message.payload).whole),
        };
        if let Some(answer) = kept.and_then(|kept| self.snapshots.block(kept, asked, cx)) {
            return Some(answer);
        }
        // What has effects must not run again only to have its answer read on, and what to fetch
        // must be known.
        let may_repeat = method.is_safe() && (method != Method::Fetch || is_complete);
        (!may_repeat).then(|| Message::new(Code::REQUEST_ENTITY_INCOMPLETE, message.token))
    }

    /// The Block1 option for the answer if the body is whole, or else the answer.
    fn on_block1(&mut self, target: u64, message: &mut Message, cx: &mut Context) -> Body {
        let Some(block) = message.options.block1 else {
            if message.payload.len() <= cx.params.max_body {
                return Body::Whole(None);
            }
            return Body::Part(too_large(&cx.params));
        };
        let body = Fingerprint::new(target)
            .number(message.options.content_format.map_or(u64::MAX, u64::from))
            .bytes(
                message
                    .options
                    .request_tag
                    .as_ref()
                    .map_or(&[], |tag| tag.as_bytes()),
            )
            .finish();
        if cx.params.streamed.contains(&message.options.path) {
            return match self.streams.on_block(body, message, block, cx) {
                StreamStep::Answer(code, block1) => {
                    let mut answer = Message::new(code, message.token);
                    answer.options.block1 = block1;
                    Body::Part(answer)
                }
                StreamStep::Next(part, block1) => Body::Streamed(body, part, block1),
            };
        }
        match self.assemblies.on_block(body, message, block, cx) {
            AssemblyStep::Answer(Code::REQUEST_ENTITY_TOO_LARGE, _) => {
                Body::Part(too_large(&cx.params))
            }
            AssemblyStep::Answer(code, block1) => {
                let mut answer = Message::new(code, message.token);
                answer.options.block1 = block1;
                Body::Part(answer)
            }
            AssemblyStep::Complete(body, block1) => {
                message.payload = body;
                Body::Whole(Some(block1))
            }
        }
    }

    /// What a request is addressed to: RFC 7959, 2.2, the same for all blocks of one body.
    fn target(&self, method: Method, options: &Options) -> u64 {
        let start = Fingerprint::new(self.hash_seed)
            .number(u64::from(method.code().to_byte()))
            .number(options.accept.map_or(u64::MAX, u64::from))
            .number(options.path.len() as u64);
        options
            .path
            .iter()
            .chain(&options.queries)
            .fold(start, |hash, text| hash.bytes(text.as_bytes()))
            .finish()
    }
}

fn szx_wish(szx: u8) -> Option<Block> {
    (szx < 6).then_some(Block {
        num: 0,
        more: false,
        szx,
    })
}

fn too_large(params: &Params) -> Message {
    let mut answer = Message::new(Code::REQUEST_ENTITY_TOO_LARGE, Token::default());
    // RFC 7959, 4: how much would be possible.
    answer.options.size1 = u32::try_from(params.max_body).ok();
    answer
}
