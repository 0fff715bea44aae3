//! Messages as values; their bytes are made and read in `wire`.

use std::fmt;

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

    pub(crate) fn from_byte(byte: u8) -> Self {
        Self(byte)
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

/// Where a piece of a body stands in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    pub offset: usize,
    /// Others follow.
    pub has_more: bool,
    /// Bytes of the whole body, where the peer has said so.
    pub total: Option<u32>,
}

/// A request with its whole body, or a part of it.
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
    /// Of a received request: what is told of its body, which is too large to be told as a whole
    /// ([`crate::Params::streamed`]). Of our own: only this part of the answer is wanted.
    pub part: Option<Part>,
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
            part: None,
            token: Token::default(),
            reliability: Reliability::Confirmable,
        }
    }
}

/// A response, or a notification, with its whole body, or the part that was asked for.
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
    /// Of an answer to a request for a part.
    pub part: Option<Part>,
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
            part: None,
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
            part: None,
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
            part: None,
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
