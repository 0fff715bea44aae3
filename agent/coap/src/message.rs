//! Messages as values, and their bytes. Parsing and encoding go through coap-lite; which options
//! exist, how long they may be and what an unknown one means is decided here.

use std::fmt;

use coap_lite::{CoapOption, MessageClass, MessageType, Packet};

use crate::block::Block;

/// Request methods. RFC 7252, 5.8 and RFC 8132.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
    Fetch,
    Patch,
    IPatch,
}

impl Method {
    /// The method of a request code, if it is known.
    pub fn from_code(code: Code) -> Option<Self> {
        match code.0 {
            1 => Some(Self::Get),
            2 => Some(Self::Post),
            3 => Some(Self::Put),
            4 => Some(Self::Delete),
            5 => Some(Self::Fetch),
            6 => Some(Self::Patch),
            7 => Some(Self::IPatch),
            _ => None,
        }
    }

    /// The code that stands for this method on the wire.
    pub fn code(self) -> Code {
        Code(match self {
            Self::Get => 1,
            Self::Post => 2,
            Self::Put => 3,
            Self::Delete => 4,
            Self::Fetch => 5,
            Self::Patch => 6,
            Self::IPatch => 7,
        })
    }

    /// Whether a request may be carried out again without anyone noticing.
    pub fn is_safe(self) -> bool {
        match self {
            Self::Fetch | Self::Get => true,
            Self::Delete | Self::IPatch | Self::Patch | Self::Post | Self::Put => false,
        }
    }
}

/// A message code, `class.detail`. RFC 7252, 12.1.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(u8);

impl Code {
    pub(crate) const EMPTY: Self = Self(0);

    pub const CREATED: Self = Self::new(2, 1);
    pub const DELETED: Self = Self::new(2, 2);
    pub const VALID: Self = Self::new(2, 3);
    pub const CHANGED: Self = Self::new(2, 4);
    pub const CONTENT: Self = Self::new(2, 5);
    pub const CONTINUE: Self = Self::new(2, 31);
    pub const BAD_REQUEST: Self = Self::new(4, 0);
    pub const UNAUTHORIZED: Self = Self::new(4, 1);
    pub const BAD_OPTION: Self = Self::new(4, 2);
    pub const FORBIDDEN: Self = Self::new(4, 3);
    pub const NOT_FOUND: Self = Self::new(4, 4);
    pub const METHOD_NOT_ALLOWED: Self = Self::new(4, 5);
    pub const NOT_ACCEPTABLE: Self = Self::new(4, 6);
    pub const REQUEST_ENTITY_INCOMPLETE: Self = Self::new(4, 8);
    pub const CONFLICT: Self = Self::new(4, 9);
    pub const PRECONDITION_FAILED: Self = Self::new(4, 12);
    pub const REQUEST_ENTITY_TOO_LARGE: Self = Self::new(4, 13);
    pub const UNSUPPORTED_CONTENT_FORMAT: Self = Self::new(4, 15);
    pub const UNPROCESSABLE_ENTITY: Self = Self::new(4, 22);
    pub const TOO_MANY_REQUESTS: Self = Self::new(4, 29);
    pub const INTERNAL_SERVER_ERROR: Self = Self::new(5, 0);
    pub const NOT_IMPLEMENTED: Self = Self::new(5, 1);
    pub const BAD_GATEWAY: Self = Self::new(5, 2);
    pub const SERVICE_UNAVAILABLE: Self = Self::new(5, 3);
    pub const GATEWAY_TIMEOUT: Self = Self::new(5, 4);
    pub const PROXYING_NOT_SUPPORTED: Self = Self::new(5, 5);

    /// Bits beyond the 3 of a class and the 5 of a detail are cut.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self((class & 7) << 5 | detail & 31)
    }

    /// `404` for 4.04; `None` if class or detail do not fit.
    pub fn from_u16(number: u16) -> Option<Self> {
        let class = u8::try_from(number / 100)
            .ok()
            .filter(|class| *class <= 7)?;
        let detail = u8::try_from(number % 100)
            .ok()
            .filter(|detail| *detail <= 31)?;
        Some(Self::new(class, detail))
    }

    /// 4.04 as `404`.
    pub fn to_u16(self) -> u16 {
        u16::from(self.class()) * 100 + u16::from(self.detail())
    }

    /// As on the wire.
    pub fn to_byte(self) -> u8 {
        self.0
    }

    pub fn class(self) -> u8 {
        self.0 >> 5
    }

    pub fn detail(self) -> u8 {
        self.0 & 31
    }

    /// Class 2.
    pub fn is_success(self) -> bool {
        self.class() == 2
    }

    pub(crate) fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    // RFC 7252, 12.1: classes 2 to 5 are responses.
    pub(crate) fn is_response(self) -> bool {
        (2..=5).contains(&self.class())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What connects a response to its request: 0 to 8 bytes.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(Short);

impl Token {
    /// `None` if there are more than 8 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Short::new(bytes).map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0)
    }
}

/// Names one version of a representation: 1 to 8 bytes.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ETag(Short);

impl ETag {
    /// `None` if there are no bytes or more than 8.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        Short::new(bytes).map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ETag({})", self.0)
    }
}

/// Whether a message is repeated until acknowledged.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reliability {
    #[default]
    Confirmable,
    NonConfirmable,
}

/// A request with its whole body.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: Method,
    /// One entry per Uri-Path option, never joined.
    pub path: Vec<String>,
    /// One entry per Uri-Query option.
    pub queries: Vec<String>,
    pub content_format: Option<u16>,
    pub accept: Option<u16>,
    /// 0 observes, 1 cancels.
    pub observe: Option<u32>,
    pub payload: Vec<u8>,
    /// Of a received request: the peer's. Of our own: chosen by the endpoint.
    pub token: Token,
    pub reliability: Reliability,
}

impl Request {
    /// A confirmable request without options but its path.
    pub fn new(method: Method, path: Vec<String>) -> Self {
        Self {
            method,
            path,
            queries: Vec::new(),
            content_format: None,
            accept: None,
            observe: None,
            payload: Vec::new(),
            token: Token::default(),
            reliability: Reliability::Confirmable,
        }
    }
}

/// A response, or a notification, with its whole body.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub code: Code,
    pub content_format: Option<u16>,
    /// One entry per Location-Path option, never joined.
    pub location_path: Vec<String>,
    /// Seconds.
    pub max_age: Option<u32>,
    /// Received: the sequence number. Sent: any `Some` is replaced by the next sequence number.
    pub observe: Option<u32>,
    pub etag: Option<ETag>,
    pub payload: Vec<u8>,
}

impl Response {
    /// A response with nothing but its code.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            content_format: None,
            location_path: Vec::new(),
            max_age: None,
            observe: None,
            etag: None,
            payload: Vec::new(),
        }
    }

    /// A response with a body.
    pub fn content(code: Code, content_format: u16, payload: Vec<u8>) -> Self {
        Self {
            content_format: Some(content_format),
            payload,
            ..Self::new(code)
        }
    }
}

/// RFC 7252, 3: the type of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

/// A message as the message layer sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) kind: Kind,
    pub(crate) mid: u16,
    pub(crate) message: Message,
}

/// A message without what belongs to the kind of link.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) code: Code,
    pub(crate) token: Token,
    pub(crate) options: Options,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    pub(crate) fn new(code: Code, token: Token) -> Self {
        Self {
            code,
            token,
            options: Options::default(),
            payload: Vec::new(),
        }
    }

    pub(crate) fn from_response(response: Response, token: Token) -> Self {
        let options = Options {
            content_format: response.content_format,
            location_path: response.location_path,
            max_age: response.max_age,
            observe: response.observe,
            etag: response.etag,
            ..Options::default()
        };
        Self {
            code: response.code,
            token,
            options,
            payload: response.payload,
        }
    }

    pub(crate) fn into_response(self) -> Response {
        Response {
            code: self.code,
            content_format: self.options.content_format,
            location_path: self.options.location_path,
            max_age: self.options.max_age,
            observe: self.options.observe,
            etag: self.options.etag,
            payload: self.payload,
        }
    }

    pub(crate) fn into_request(self, method: Method, reliability: Reliability) -> Request {
        Request {
            method,
            path: self.options.path,
            queries: self.options.queries,
            content_format: self.options.content_format,
            accept: self.options.accept,
            observe: self.options.observe,
            payload: self.payload,
            token: self.token,
            reliability,
        }
    }
}

/// The options we know, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) path: Vec<String>,
    pub(crate) queries: Vec<String>,
    pub(crate) location_path: Vec<String>,
    pub(crate) content_format: Option<u16>,
    pub(crate) accept: Option<u16>,
    pub(crate) observe: Option<u32>,
    pub(crate) max_age: Option<u32>,
    pub(crate) etag: Option<ETag>,
    pub(crate) block1: Option<Block>,
    pub(crate) block2: Option<Block>,
    pub(crate) size1: Option<u32>,
    pub(crate) request_tag: Option<Short>,
    /// Why the message must be refused although its format is right.
    pub(crate) problem: Option<Problem>,
}

/// An option that forbids to act on the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    /// RFC 7959, 2.2: the reserved block size.
    BlockSize,
    /// A critical option that we do not know, once too often, or with a value it cannot have.
    Critical,
    /// RFC 7252, 5.10.2: we are no proxy.
    Proxy,
}

impl Problem {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::BlockSize => Code::BAD_REQUEST,
            Self::Critical => Code::BAD_OPTION,
            Self::Proxy => Code::PROXYING_NOT_SUPPORTED,
        }
    }
}

/// Why a datagram is no message. RFC 7252, 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DecodeError {
    /// An empty code with more than a header, or a payload marker without payload.
    Content,
    /// A code of a reserved class.
    Code,
    /// Less than a header.
    Short,
    /// Token length or option encoding.
    Structure,
    /// Another version of the protocol, which is to be ignored silently.
    Version,
}

impl Envelope {
    pub(crate) fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let [first, code, high, low, rest @ ..] = datagram else {
            return Err(DecodeError::Short);
        };
        if first >> 6 != 1 {
            return Err(DecodeError::Version);
        }
        let (kind, code) = (kind_of(*first), Code(*code));
        let mid = u16::from_be_bytes([*high, *low]);
        if code == Code::EMPTY {
            // RFC 7252, 4.1: nothing may follow the header of an empty message.
            let empty = rest.is_empty() && first & 0x0f == 0;
            let message = Message::new(code, Token::default());
            return if empty {
                Ok(Self { kind, mid, message })
            } else {
                Err(DecodeError::Content)
            };
        }
        if !code.is_request() && !code.is_response() {
            return Err(DecodeError::Code);
        }
        let packet = Packet::from_bytes(datagram).map_err(|_| DecodeError::Structure)?;
        if has_bare_marker(&packet, datagram) {
            return Err(DecodeError::Content);
        }
        let token = Token::new(packet.get_token()).ok_or(DecodeError::Structure)?;
        let options = Options::from_packet(&packet);
        Ok(Self {
            kind,
            mid,
            message: Message {
                code,
                token,
                options,
                payload: packet.payload,
            },
        })
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut packet = Packet::new();
        packet.header.set_version(1);
        packet.header.set_type(match self.kind {
            Kind::Confirmable => MessageType::Confirmable,
            Kind::NonConfirmable => MessageType::NonConfirmable,
            Kind::Acknowledgement => MessageType::Acknowledgement,
            Kind::Reset => MessageType::Reset,
        });
        packet.header.code = MessageClass::from(self.message.code.0);
        packet.header.message_id = self.mid;
        packet.set_token(self.message.token.as_bytes().to_vec());
        self.message.options.into_packet(&mut packet);
        packet.payload = self.message.payload;
        packet
            .to_bytes_unlimited()
            .expect("a length limit is the only thing that fails here")
    }
}

/// An empty message: acknowledgement or reset.
pub(crate) fn empty(kind: Kind, mid: u16) -> Vec<u8> {
    let [high, low] = mid.to_be_bytes();
    let first = match kind {
        Kind::Confirmable => 0x40,
        Kind::NonConfirmable => 0x50,
        Kind::Acknowledgement => 0x60,
        Kind::Reset => 0x70,
    };
    vec![first, 0, high, low]
}

/// The message id of a confirmable message, as far as the header can be trusted.
pub(crate) fn confirmable_mid(datagram: &[u8]) -> Option<u16> {
    let [first, _, high, low, ..] = datagram else {
        return None;
    };
    (first & 0xf0 == 0x40).then(|| u16::from_be_bytes([*high, *low]))
}

fn kind_of(first: u8) -> Kind {
    match first >> 4 & 3 {
        0 => Kind::Confirmable,
        1 => Kind::NonConfirmable,
        2 => Kind::Acknowledgement,
        _ => Kind::Reset,
    }
}

/// RFC 7252, 3: a marker followed by nothing is a format error, which coap-lite lets pass. The
/// length that the options take is unique, so one byte too many is that marker.
fn has_bare_marker(packet: &Packet, datagram: &[u8]) -> bool {
    if !packet.payload.is_empty() || datagram.last() != Some(&0xff) {
        return false;
    }
    let extended = |n: usize| {
        if n < 13 {
            0
        } else if n < 269 {
            1
        } else {
            2
        }
    };
    let mut length = 4 + packet.get_token().len();
    let mut last = 0;
    for (number, values) in packet.options() {
        for value in values {
            length +=
                1 + extended(usize::from(number - last)) + extended(value.len()) + value.len();
            last = *number;
        }
    }
    length < datagram.len()
}

mod number {
    pub(super) const ETAG: u16 = 4;
    pub(super) const URI_HOST: u16 = 3;
    pub(super) const OBSERVE: u16 = 6;
    pub(super) const URI_PORT: u16 = 7;
    pub(super) const LOCATION_PATH: u16 = 8;
    pub(super) const URI_PATH: u16 = 11;
    pub(super) const CONTENT_FORMAT: u16 = 12;
    pub(super) const MAX_AGE: u16 = 14;
    pub(super) const URI_QUERY: u16 = 15;
    pub(super) const ACCEPT: u16 = 17;
    pub(super) const BLOCK2: u16 = 23;
    pub(super) const BLOCK1: u16 = 27;
    pub(super) const PROXY_URI: u16 = 35;
    pub(super) const PROXY_SCHEME: u16 = 39;
    pub(super) const SIZE1: u16 = 60;
    pub(super) const REQUEST_TAG: u16 = 292;
}

impl Options {
    fn from_packet(packet: &Packet) -> Self {
        let mut options = Self::default();
        for (number, values) in packet.options() {
            // RFC 7252, 5.4.5: what comes once too often counts as unknown.
            let limit = if is_repeatable(*number) {
                usize::MAX
            } else {
                1
            };
            if values.len() > limit {
                options.refuse(*number);
            }
            for value in values.iter().take(limit) {
                // RFC 7252, 5.4.3: a value of a length that cannot be counts as unknown, too.
                if options.take(*number, value).is_none() {
                    options.refuse(*number);
                }
            }
        }
        options
    }

    /// `None` if the option is unknown or its value impossible.
    fn take(&mut self, number: u16, value: &[u8]) -> Option<()> {
        match number {
            number::URI_HOST => return (1..=255).contains(&value.len()).then_some(()),
            number::URI_PORT => return (value.len() <= 2).then_some(()),
            number::ETAG => self.etag = Some(ETag::new(value)?),
            number::OBSERVE => self.observe = Some(uint(value, 3)?),
            number::LOCATION_PATH => self.location_path.push(text(value)?),
            number::URI_PATH => self.path.push(text(value)?),
            number::CONTENT_FORMAT => self.content_format = Some(uint(value, 2)? as u16),
            number::MAX_AGE => self.max_age = Some(uint(value, 4)?),
            number::URI_QUERY => self.queries.push(text(value)?),
            number::ACCEPT => self.accept = Some(uint(value, 2)? as u16),
            number::BLOCK2 => self.block2 = self.block(value)?,
            number::BLOCK1 => self.block1 = self.block(value)?,
            number::SIZE1 => self.size1 = Some(uint(value, 4)?),
            number::REQUEST_TAG => self.request_tag = Some(Short::new(value)?),
            number::PROXY_URI | number::PROXY_SCHEME => self.problem = Some(Problem::Proxy),
            _ => return None,
        }
        Some(())
    }

    /// The outer `None`: impossible length; the inner: reserved size.
    fn block(&mut self, value: &[u8]) -> Option<Option<Block>> {
        let block = Block::from_u32(uint(value, 3)?);
        if block.is_none() {
            self.problem.get_or_insert(Problem::BlockSize);
        }
        Some(block)
    }

    fn refuse(&mut self, number: u16) {
        // RFC 7252, 5.4.1: odd numbers are critical, the others are ignored.
        if number & 1 == 1 {
            self.problem.get_or_insert(Problem::Critical);
        }
    }

    fn into_packet(self, packet: &mut Packet) {
        let mut add =
            |number: u16, value: Vec<u8>| packet.add_option(CoapOption::from(number), value);
        let texts = [
            (number::LOCATION_PATH, self.location_path),
            (number::URI_PATH, self.path),
            (number::URI_QUERY, self.queries),
        ];
        for (number, list) in texts {
            list.into_iter()
                .for_each(|text| add(number, text.into_bytes()));
        }
        let numbers = [
            (number::OBSERVE, self.observe),
            (number::CONTENT_FORMAT, self.content_format.map(u32::from)),
            (number::MAX_AGE, self.max_age),
            (number::ACCEPT, self.accept.map(u32::from)),
            (number::BLOCK2, self.block2.map(Block::to_u32)),
            (number::BLOCK1, self.block1.map(Block::to_u32)),
            (number::SIZE1, self.size1),
        ];
        for (number, value) in numbers {
            value
                .into_iter()
                .for_each(|value| add(number, shortest(value)));
        }
        if let Some(etag) = self.etag {
            add(number::ETAG, etag.as_bytes().to_vec());
        }
        if let Some(tag) = self.request_tag {
            add(number::REQUEST_TAG, tag.as_bytes().to_vec());
        }
    }
}

fn is_repeatable(number: u16) -> bool {
    matches!(
        number,
        number::ETAG
            | number::LOCATION_PATH
            | number::URI_PATH
            | number::URI_QUERY
            | number::REQUEST_TAG
    )
}

fn text(value: &[u8]) -> Option<String> {
    if value.len() > 255 {
        return None;
    }
    std::str::from_utf8(value).ok().map(str::to_owned)
}

// RFC 7252, 3.2: leading zeros are allowed to be received.
fn uint(value: &[u8], longest: usize) -> Option<u32> {
    if value.len() > longest {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

fn shortest(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    bytes[number.leading_zeros() as usize / 8..].to_vec()
}

/// Up to 8 bytes without an allocation.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Short {
    bytes: [u8; 8],
    length: u8,
}

impl Short {
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut short = Self {
            bytes: [0; 8],
            length: u8::try_from(bytes.len()).ok()?,
        };
        short.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(short)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
