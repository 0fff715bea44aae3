//! Bodies in blocks, RFC 7959: ours going out (`Upload`, `Snapshots`), theirs coming in
//! (`Assemblies`, `Download`). Offsets in bytes everywhere, so that the size may change on the way.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    context::Context,
    message::{Code, ETag, Message, Method, Options, Part, Token},
    params::Params,
    random::Fingerprint,
    timer::{Timer, Timers},
};

/// The value of a Block1 or Block2 option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Block {
    pub(crate) num: u32,
    pub(crate) more: bool,
    pub(crate) szx: u8,
}

impl Block {
    /// The block of `body` that starts at `offset`, a multiple of the size.
    pub(crate) fn at(offset: usize, szx: u8, length: usize) -> Self {
        let size = size_of_block(szx);
        Self {
            num: (offset / size) as u32,
            more: offset + size < length,
            szx,
        }
    }

    /// `None` for the reserved size. RFC 7959, 2.2.
    pub(crate) fn from_u32(value: u32) -> Option<Self> {
        let szx = (value & 7) as u8;
        (szx < 7).then_some(Self {
            num: value >> 4,
            more: value & 8 != 0,
            szx,
        })
    }

    pub(crate) fn to_u32(self) -> u32 {
        self.num << 4 | u32::from(self.more) << 3 | u32::from(self.szx)
    }

    pub(crate) fn size(self) -> usize {
        size_of_block(self.szx)
    }

    pub(crate) fn offset(self) -> usize {
        self.num as usize * self.size()
    }

    /// A block that others follow must be full. RFC 7959, 2.2.
    fn fits(self, payload: &[u8]) -> bool {
        if self.more {
            payload.len() == self.size()
        } else {
            payload.len() <= self.size()
        }
    }
}

pub(crate) fn size_of_block(szx: u8) -> usize {
    16 << szx
}

/// The largest number a block can have: 20 bits.
const MAX_NUM: usize = (1 << 20) - 1;

/// Whether a body can be sent at all in blocks of this size.
pub(crate) fn is_numberable(length: usize, szx: u8) -> bool {
    length <= MAX_NUM * size_of_block(szx)
}

/// The body of our request on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload {
    offset: usize,
    szx: u8,
}

/// What to do after an answer to one block of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UploadStep {
    /// The answer is that of the whole request.
    Final,
    Next,
    /// The answer does not fit to what was sent.
    Unfit,
}

impl Upload {
    pub(crate) fn new(szx: u8) -> Self {
        Self { offset: 0, szx }
    }

    pub(crate) fn szx(&self) -> u8 {
        self.szx
    }

    /// RFC 7959, 2.5: what follows may be cut into smaller blocks; offsets stay.
    pub(crate) fn narrow(&mut self, szx: u8) {
        self.szx = self.szx.min(szx);
    }

    /// Options and payload of the block to send now.
    pub(crate) fn fill(&self, body: &[u8], message: &mut Message) {
        let end = body.len().min(self.offset + size_of_block(self.szx));
        message.payload = body[self.offset..end].to_vec();
        message.options.block1 = Some(Block::at(self.offset, self.szx, body.len()));
        // RFC 7959, 4: how large it will become, once.
        message.options.size1 =
            (self.offset == 0).then(|| u32::try_from(body.len()).unwrap_or(u32::MAX));
    }

    pub(crate) fn is_last(&self, length: usize) -> bool {
        self.offset + size_of_block(self.szx) >= length
    }

    /// `szx`: of blocks that may be sent now.
    pub(crate) fn on_answer(&mut self, answer: &Message, length: usize, szx: u8) -> UploadStep {
        let Some(block) = answer.options.block1 else {
            return UploadStep::Final;
        };
        if !answer.code.is_success() || self.is_last(length) && answer.code != Code::CONTINUE {
            return UploadStep::Final;
        }
        let sent = Block::at(self.offset, self.szx, length);
        if self.is_last(length) || block.num != sent.num {
            return UploadStep::Unfit;
        }
        self.offset += sent.size();
        // RFC 7959, 2.5: smaller blocks from here on if the peer wishes.
        self.szx = self.szx.min(block.szx).min(szx);
        UploadStep::Next
    }
}

/// The block size to begin again with after 4.13, if the peer names a smaller one, or none was in
/// use. RFC 7959, 2.9.3.
pub(crate) fn smaller(upload: Option<&Upload>, answer: &Message, length: usize) -> Option<u8> {
    let wish = answer.options.block1?.szx;
    let in_use = upload.map(|upload| upload.szx);
    let is_smaller = in_use.map_or_else(|| length > size_of_block(wish), |szx| wish < szx);
    is_smaller.then_some(wish)
}

/// The body of an answer to us on its way.
#[derive(Debug)]
pub(crate) struct Download {
    first: Message,
    body: Vec<u8>,
    szx: u8,
}

/// What to do after one block of an answer.
#[derive(Debug)]
pub(crate) enum DownloadStep {
    /// The whole answer.
    Complete(Message),
    Next(Download),
    /// It has changed on the way: from the start.
    Restart,
    TooLarge,
    Unfit,
}

impl Download {
    /// The first block of an answer, or a whole one.
    pub(crate) fn begin(mut first: Message, params: &Params) -> DownloadStep {
        let body = std::mem::take(&mut first.payload);
        if body.len() > params.max_body {
            return DownloadStep::TooLarge;
        }
        let Some(block) = first
            .options
            .block2
            .filter(|block| block.more || block.num > 0)
        else {
            first.payload = body;
            return DownloadStep::Complete(first);
        };
        if block.num != 0 || !block.fits(&body) {
            return DownloadStep::Unfit;
        }
        DownloadStep::Next(Self {
            first,
            body,
            szx: block.szx.min(params.block_szx()),
        })
    }

    /// The Block2 option that asks for what is missing.
    pub(crate) fn wanted(&self) -> Block {
        Block {
            num: (self.body.len() / size_of_block(self.szx)) as u32,
            more: false,
            szx: self.szx,
        }
    }

    pub(crate) fn on_block(mut self, answer: Message, params: &Params) -> DownloadStep {
        if !answer.code.is_success() {
            return DownloadStep::Complete(answer);
        }
        let Some(block) = answer.options.block2 else {
            return DownloadStep::Unfit;
        };
        if is_other_version(&self.first, &answer) {
            return DownloadStep::Restart;
        }
        if block.offset() != self.body.len() || !block.fits(&answer.payload) {
            return DownloadStep::Unfit;
        }
        if self.body.len() + answer.payload.len() > params.max_body {
            return DownloadStep::TooLarge;
        }
        self.body.extend_from_slice(&answer.payload);
        self.szx = self.szx.min(block.szx).min(params.block_szx());
        if block.more {
            return DownloadStep::Next(self);
        }
        self.first.payload = self.body;
        DownloadStep::Complete(self.first)
    }
}

// RFC 7959, 2.4: blocks of different ETags do not belong together. Peers that name none are trusted.
fn is_other_version(first: &Message, next: &Message) -> bool {
    let etags = first.options.etag.zip(next.options.etag);
    first.code != next.code || etags.is_some_and(|(first, next)| first != next)
}

/// Unfinished bodies of the peer's requests, by what they are addressed to.
#[derive(Debug, Default)]
pub(crate) struct Assemblies {
    parts: BTreeMap<u64, Unfinished>,
    bytes: usize,
}

#[derive(Debug)]
struct Unfinished {
    body: Vec<u8>,
    deadline: Duration,
}

/// What to do after one block of the peer.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum AssemblyStep {
    /// Answer this code, with this Block1 option.
    Answer(Code, Option<Block>),
    /// The whole body; the answer carries this Block1 option.
    Complete(Vec<u8>, Block),
}

impl Assemblies {
    pub(crate) fn on_block(
        &mut self,
        target: u64,
        message: &mut Message,
        block: Block,
        cx: &mut Context,
    ) -> AssemblyStep {
        let max_body = cx.params.max_body;
        let payload = std::mem::take(&mut message.payload);
        if !block.fits(&payload) {
            return AssemblyStep::Answer(Code::BAD_REQUEST, None);
        }
        let echo = Block {
            szx: block.szx.min(cx.params.block_szx()),
            ..block
        };
        let mut part = match self.take(target, &mut cx.timers) {
            _ if block.num == 0 => Unfinished {
                body: Vec::new(),
                deadline: cx.now,
            },
            Some(part) => part,
            // RFC 7959, 2.9.2: we have not got the blocks before.
            None => return AssemblyStep::Answer(Code::REQUEST_ENTITY_INCOMPLETE, None),
        };
        let announced = message
            .options
            .size1
            .filter(|_| block.num == 0)
            .unwrap_or(0) as usize;
        let end = (block.offset() + payload.len()).max(announced);
        if end > max_body || self.bytes + end > max_body {
            return AssemblyStep::Answer(Code::REQUEST_ENTITY_TOO_LARGE, None);
        }
        if part
            .body
            .get(block.offset()..block.offset() + payload.len())
            != Some(&payload)
        {
            if block.offset() != part.body.len() {
                return AssemblyStep::Answer(Code::REQUEST_ENTITY_INCOMPLETE, None);
            }
            part.body.extend_from_slice(&payload);
        }
        if !block.more {
            return AssemblyStep::Complete(part.body, echo);
        }
        self.put(target, part, cx);
        AssemblyStep::Answer(Code::CONTINUE, Some(echo))
    }

    #[cfg(test)]
    pub(crate) fn check_bounds(&self, params: &Params) {
        assert!(self.parts.len() <= params.max_bodies && self.bytes <= params.max_body);
        assert_eq!(
            self.bytes,
            self.parts.values().map(|parts| parts.body.len()).sum()
        );
    }

    pub(crate) fn drop_one(&mut self, target: u64, timers: &mut Timers) {
        self.take(target, timers);
    }

    fn take(&mut self, target: u64, timers: &mut Timers) -> Option<Unfinished> {
        let part = self.parts.remove(&target)?;
        self.bytes -= part.body.len();
        timers.disarm(part.deadline, Timer::Assembly(target));
        Some(part)
    }

    fn put(&mut self, target: u64, mut part: Unfinished, cx: &mut Context) {
        while self.parts.len() >= cx.params.max_bodies.max(1) {
            let oldest = self
                .parts
                .iter()
                .min_by_key(|(_, part)| part.deadline)
                .map(|(target, _)| *target);
            oldest
                .into_iter()
                .for_each(|target| self.drop_one(target, &mut cx.timers));
        }
        part.deadline = cx.arm_in(cx.params.exchange_lifetime(), Timer::Assembly(target));
        self.bytes += part.body.len();
        self.parts.insert(target, part);
    }
}

/// Bodies of the peer's requests that are passed on block by block: how far they are.
#[derive(Debug, Default)]
pub(crate) struct Streams(BTreeMap<u64, Stream>);

#[derive(Debug)]
struct Stream {
    next: usize,
    deadline: Duration,
}

/// What to do after one block of such a body.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum StreamStep {
    /// Answer this code, with this Block1 option.
    Answer(Code, Option<Block>),
    /// This part is next; the answer carries this Block1 option.
    Next(Part, Block),
}

impl Streams {
    pub(crate) fn on_block(
        &mut self,
        target: u64,
        message: &Message,
        block: Block,
        cx: &mut Context,
    ) -> StreamStep {
        if !block.fits(&message.payload) {
            return StreamStep::Answer(Code::BAD_REQUEST, None);
        }
        let echo = Block {
            szx: block.szx.min(cx.params.block_szx()),
            ..block
        };
        let end = block.offset() + message.payload.len();
        let known = self.take(target, &mut cx.timers).map(|stream| stream.next);
        match known {
            _ if block.num == 0 => {}
            Some(next) if block.offset() == next => {}
            // Our answer was lost, and the peer has begun a new exchange for the same block.
            Some(next) if end == next && block.more => {
                self.put(target, next, cx);
                return StreamStep::Answer(Code::CONTINUE, Some(echo));
            }
            // RFC 7959, 2.9.2: we have not got the blocks before.
            Some(_) | None => return StreamStep::Answer(Code::REQUEST_ENTITY_INCOMPLETE, None),
        }
        if block.more {
            self.put(target, end, cx);
        }
        let part = Part {
            offset: block.offset(),
            has_more: block.more,
            total: message.options.size1,
        };
        StreamStep::Next(part, echo)
    }

    pub(crate) fn drop_one(&mut self, target: u64, timers: &mut Timers) {
        self.take(target, timers);
    }

    #[cfg(test)]
    pub(crate) fn check_bounds(&self, params: &Params) {
        assert!(self.0.len() <= params.max_bodies);
    }

    fn take(&mut self, target: u64, timers: &mut Timers) -> Option<Stream> {
        let stream = self.0.remove(&target)?;
        timers.disarm(stream.deadline, Timer::Assembly(target));
        Some(stream)
    }

    fn put(&mut self, target: u64, next: usize, cx: &mut Context) {
        while self.0.len() >= cx.params.max_bodies.max(1) {
            let oldest = self.0.iter().min_by_key(|(_, stream)| stream.deadline);
            let oldest = oldest.map(|(target, _)| *target);
            oldest
                .into_iter()
                .for_each(|target| self.drop_one(target, &mut cx.timers));
        }
        let deadline = cx.arm_in(cx.params.exchange_lifetime(), Timer::Assembly(target));
        self.0.insert(target, Stream { next, deadline });
    }
}

/// Large answers of ours, kept so that all their blocks are of one version.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    kept: BTreeMap<u64, Snapshot>,
    bytes: usize,
}

#[derive(Debug)]
struct Snapshot {
    bare: u64,
    code: Code,
    options: Options,
    body: Vec<u8>,
    deadline: Duration,
}

/// Which request an answer belongs to, as fingerprints: a FETCH by its body too (RFC 8132, 2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// Without the body.
    pub(crate) bare: u64,
    pub(crate) whole: u64,
}

impl Target {
    pub(crate) fn new(bare: u64, method: Method, body: &[u8]) -> Self {
        let whole = match method {
            Method::Fetch => Fingerprint::new(bare).bytes(body).finish(),
            Method::Delete
            | Method::Get
            | Method::IPatch
            | Method::Patch
            | Method::Post
            | Method::Put => bare,
        };
        Self { bare, whole }
    }
}

impl Snapshots {
    /// Cuts an answer to what the peer asked for and keeps the whole if there is more.
    pub(crate) fn cut(
        &mut self,
        target: Target,
        mut message: Message,
        asked: Option<Block>,
        cx: &mut Context,
    ) -> Message {
        let szx = asked
            .map_or(6, |block| block.szx)
            .min(cx.params.block_szx());
        let offset = asked.map_or(0, Block::offset);
        if asked.is_none_or(|block| block.num == 0) && message.payload.len() <= size_of_block(szx) {
            message.options.block2 = asked.map(|_| Block {
                num: 0,
                more: false,
                szx,
            });
            return message;
        }
        if !message.code.is_success() && offset > 0 {
            return message;
        }
        let etag = message
            .options
            .etag
            .unwrap_or_else(|| etag_of(&message.payload));
        message.options.etag = Some(etag);
        let answer = block_of(
            message.code,
            &message.options,
            &message.payload,
            offset,
            szx,
        );
        let answer = Message {
            token: message.token,
            ..answer
        };
        self.keep(target, message, cx);
        answer
    }

    /// A further block, if the whole is still here; then it stays for longer.
    pub(crate) fn block(&mut self, target: u64, asked: Block, cx: &mut Context) -> Option<Message> {
        let kept = self.kept.get_mut(&target)?;
        cx.timers.disarm(kept.deadline, Timer::Snapshot(target));
        kept.deadline = cx.arm_in(cx.params.exchange_lifetime(), Timer::Snapshot(target));
        let szx = asked.szx.min(cx.params.block_szx());
        let options = Options {
            observe: None,
            ..kept.options.clone()
        };
        Some(block_of(
            kept.code,
            &options,
            &kept.body,
            asked.offset(),
            szx,
        ))
    }

    /// No further block of anything is given away.
    pub(crate) fn clear(&mut self, timers: &mut Timers) {
        for target in self.kept.keys().copied().collect::<Vec<u64>>() {
            self.drop_one(target, timers);
        }
    }

    /// What was kept last of the answers to requests that differ in their body only.
    pub(crate) fn newest(&self, bare: u64) -> Option<u64> {
        let alike = self.kept.iter().filter(|(_, kept)| kept.bare == bare);
        alike
            .max_by_key(|(_, kept)| kept.deadline)
            .map(|(target, _)| *target)
    }

    #[cfg(test)]
    pub(crate) fn check_bounds(&self, params: &Params) {
        assert!(self.kept.len() <= params.max_bodies && self.bytes <= params.max_body);
        assert_eq!(
            self.bytes,
            self.kept.values().map(|kept| kept.body.len()).sum()
        );
    }

    pub(crate) fn drop_one(&mut self, target: u64, timers: &mut Timers) {
        let Some(old) = self.kept.remove(&target) else {
            return;
        };
        self.bytes -= old.body.len();
        timers.disarm(old.deadline, Timer::Snapshot(target));
    }

    fn keep(&mut self, Target { bare, whole }: Target, message: Message, cx: &mut Context) {
        self.drop_one(whole, &mut cx.timers);
        while self.kept.len() >= cx.params.max_bodies.max(1)
            || !self.kept.is_empty() && self.bytes + message.payload.len() > cx.params.max_body
        {
            let oldest = self
                .kept
                .iter()
                .min_by_key(|(_, kept)| kept.deadline)
                .map(|(target, _)| *target);
            oldest
                .into_iter()
                .for_each(|target| self.drop_one(target, &mut cx.timers));
        }
        let deadline = cx.arm_in(cx.params.exchange_lifetime(), Timer::Snapshot(whole));
        self.bytes += message.payload.len();
        let kept = Snapshot {
            bare,
            code: message.code,
            options: message.options,
            body: message.payload,
            deadline,
        };
        self.kept.insert(whole, kept);
    }
}

/// The first block of a body that is not kept.
pub(crate) fn first_block(message: Message, params: &Params) -> Message {
    let szx = params.block_szx();
    if message.payload.len() <= size_of_block(szx) {
        return message;
    }
    let etag = message
        .options
        .etag
        .unwrap_or_else(|| etag_of(&message.payload));
    let options = Options {
        etag: Some(etag),
        ..message.options
    };
    Message {
        token: message.token,
        ..block_of(message.code, &options, &message.payload, 0, szx)
    }
}

/// One block of a body as a message without token.
fn block_of(code: Code, options: &Options, body: &[u8], offset: usize, szx: u8) -> Message {
    let mut message = Message::new(code, Token::default());
    // RFC 7959, 2.2: the first block may be of an empty body, others must exist.
    if offset >= body.len() && offset > 0 || !is_numberable(body.len(), szx) {
        message.code = Code::BAD_REQUEST;
        return message;
    }
    message.options = options.clone();
    message.options.block2 = Some(Block::at(offset, szx, body.len()));
    message.payload = body[offset..body.len().min(offset + size_of_block(szx))].to_vec();
    message
}

fn etag_of(body: &[u8]) -> ETag {
    let hash = Fingerprint::new(0).bytes(body).finish();
    ETag::new(&hash.to_be_bytes()).expect("8 bytes fit")
}
