//! Messages as bytes. Parsing, where peers are met, goes through coap-lite; which options exist, how
//! long they may be and what an unknown one means is decided here.

use coap_lite::Packet;

use crate::{
    block::Block,
    message::{Code, ETag, Message, Options, Problem, Short, Token},
};

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
        let (kind, code) = (kind_of(*first), Code::from_byte(*code));
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

    /// The only message bytes that do not come from coap-lite: its map of lists of options costs a
    /// tenth of a whole Read. A test has coap-lite read them back.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { kind, mid, message } = self;
        let (token, payload) = (message.token.as_bytes(), &message.payload);
        // Enough for the short options of an answer.
        const OPTIONS: usize = 32;
        let mut bytes = Vec::with_capacity(4 + token.len() + OPTIONS + payload.len());
        let [high, low] = mid.to_be_bytes();
        // A token has at most 8 bytes.
        let first = first_byte(*kind) | token.len() as u8;
        bytes.extend([first, message.code.to_byte(), high, low]);
        bytes.extend_from_slice(token);
        message.options.write(&mut Writer {
            bytes: &mut bytes,
            last: 0,
        });
        if !payload.is_empty() {
            bytes.push(0xff);
            bytes.extend_from_slice(payload);
        }
        bytes
    }
}

/// Appends options, which come in the order of their numbers (RFC 7252, 3.1).
struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    last: u16,
}

impl Writer<'_> {
    fn add(&mut self, number: u16, value: &[u8]) {
        let delta = usize::from(number - self.last);
        self.last = number;
        let (delta_nibble, delta_rest) = extended(delta);
        let (length_nibble, length_rest) = extended(value.len());
        self.bytes.push(delta_nibble << 4 | length_nibble);
        for (rest, nibble) in [(delta_rest, delta_nibble), (length_rest, length_nibble)] {
            match nibble {
                13 => self.bytes.push(rest as u8),
                14 => self.bytes.extend(rest.to_be_bytes()),
                _ => {}
            }
        }
        self.bytes.extend_from_slice(value);
    }

    /// RFC 7252, 3.2: as short as possible, nothing for 0.
    fn add_number(&mut self, number: u16, value: Option<u32>) {
        if let Some(value) = value {
            let bytes = value.to_be_bytes();
            self.add(number, &bytes[value.leading_zeros() as usize / 8..]);
        }
    }

    fn add_texts(&mut self, number: u16, texts: &[String]) {
        texts
            .iter()
            .for_each(|text| self.add(number, text.as_bytes()));
    }
}

/// Nibble and what follows it for a delta or a length. RFC 7252, 3.1.
fn extended(n: usize) -> (u8, u16) {
    match n {
        0..13 => (n as u8, 0),
        13..269 => (13, (n - 13) as u16),
        _ => (14, (n - 269) as u16),
    }
}

/// An empty message: acknowledgement or reset.
pub(crate) fn empty(kind: Kind, mid: u16) -> Vec<u8> {
    let [high, low] = mid.to_be_bytes();
    vec![first_byte(kind), 0, high, low]
}

/// Version 1, the type, and room for the length of the token.
fn first_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Confirmable => 0x40,
        Kind::NonConfirmable => 0x50,
        Kind::Acknowledgement => 0x60,
        Kind::Reset => 0x70,
    }
}

/// Whether an encoded message is an answer that carries what was read.
pub(crate) fn holds_content(datagram: &[u8]) -> bool {
    datagram.get(1) == Some(&Code::CONTENT.to_byte())
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
    let extended = |n: usize| match extended(n) {
        (13, _) => 1,
        (14, _) => 2,
        _ => 0,
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

    /// In the order of the numbers.
    fn write(&self, out: &mut Writer<'_>) {
        if let Some(etag) = &self.etag {
            out.add(number::ETAG, etag.as_bytes());
        }
        out.add_number(number::OBSERVE, self.observe);
        out.add_texts(number::LOCATION_PATH, &self.location_path);
        out.add_texts(number::URI_PATH, &self.path);
        out.add_number(number::CONTENT_FORMAT, self.content_format.map(u32::from));
        out.add_number(number::MAX_AGE, self.max_age);
        out.add_texts(number::URI_QUERY, &self.queries);
        out.add_number(number::ACCEPT, self.accept.map(u32::from));
        out.add_number(number::BLOCK2, self.block2.map(Block::to_u32));
        out.add_number(number::BLOCK1, self.block1.map(Block::to_u32));
        out.add_number(number::SIZE1, self.size1);
        if let Some(tag) = &self.request_tag {
            out.add(number::REQUEST_TAG, tag.as_bytes());
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

#[cfg(test)]
mod tests {
    use std::{fmt::Write, fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_messages_are_read_and_written() {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/coap");
        let mut count = 0;
        for file in fs::read_dir(vectors).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            text.split("\n\n")
                .filter(|block| !block.starts_with('#'))
                .for_each(|block| {
                    check(block);
                    count += 1;
                });
        }
        assert!(count > 30, "only {count} vectors");
    }

    fn check(block: &str) {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let (source, meaning) = (field("source:").unwrap(), field("meaning:").unwrap());
        let bytes = unhex(field("bytes:").unwrap());
        let envelope = match Envelope::decode(&bytes) {
            Ok(envelope) => envelope,
            Err(error) => return assert_eq!(format!("error {error:?}"), meaning, "{source}"),
        };
        assert_eq!(describe(&envelope), meaning, "{source}");
        if field("note:") != Some("one way") {
            assert_eq!(envelope.encode(), bytes, "{source}");
        }
    }

    fn describe(envelope: &Envelope) -> String {
        let Message {
            code,
            token,
            options,
            payload,
        } = &envelope.message;
        let kind = match envelope.kind {
            Kind::Confirmable => "CON",
            Kind::NonConfirmable => "NON",
            Kind::Acknowledgement => "ACK",
            Kind::Reset => "RST",
        };
        let mut text = format!("{kind} {code} {:04x}", envelope.mid);
        let mut add = |name: &str, value: String| write!(text, " {name}={value}").unwrap();
        if !token.as_bytes().is_empty() {
            add("token", token.to_string());
        }
        for (name, list) in [
            ("path", &options.path),
            ("query", &options.queries),
            ("location", &options.location_path),
        ] {
            list.iter().for_each(|item| add(name, item.clone()));
        }
        let block =
            |block: Block| format!("{}/{}/{}", block.num, u8::from(block.more), block.size());
        let hex = |bytes: &[u8]| Short::new(bytes).unwrap().to_string();
        let fields = [
            (
                "content-format",
                options.content_format.map(|n| n.to_string()),
            ),
            ("accept", options.accept.map(|n| n.to_string())),
            ("observe", options.observe.map(|n| n.to_string())),
            ("max-age", options.max_age.map(|n| n.to_string())),
            ("etag", options.etag.map(|etag| hex(etag.as_bytes()))),
            ("block1", options.block1.map(block)),
            ("block2", options.block2.map(block)),
            ("size1", options.size1.map(|n| n.to_string())),
            (
                "request-tag",
                options.request_tag.map(|tag| hex(tag.as_bytes())),
            ),
            (
                "refused",
                options.problem.map(|problem| format!("{problem:?}")),
            ),
        ];
        for (name, value) in fields {
            value.into_iter().for_each(|value| add(name, value));
        }
        if !payload.is_empty() {
            write!(text, " | {}", String::from_utf8_lossy(payload)).unwrap();
        }
        text
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_written_stably(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let Ok(first) = Envelope::decode(&bytes) else { return Ok(()) };
            let again = Envelope::decode(&first.encode()).unwrap();
            let mut expected = first;
            expected.message.options.problem = None;
            prop_assert_eq!(again, expected);
        }

        #[test]
        fn what_is_written_is_read_back(
            path in prop::collection::vec("[a-zA-Z0-9/ä]{0,20}", 0..5),
            queries in prop::collection::vec(".{0,60}", 0..5),
            token in prop::collection::vec(any::<u8>(), 0..=8),
            numbers in any::<(Option<u16>, Option<u16>, Option<u32>)>(),
            block in (0u32..1 << 20, any::<bool>(), 0u8..7),
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut message = Message::new(Code::new(0, 3), Token::new(&token).unwrap());
            message.options = Options {
                path,
                queries,
                content_format: numbers.0,
                accept: numbers.1,
                max_age: numbers.2,
                block1: Some(Block { num: block.0, more: block.1, szx: block.2 }),
                ..Options::default()
            };
            message.payload = payload;
            let envelope = Envelope { kind: Kind::Confirmable, mid: 7, message };
            prop_assert_eq!(Envelope::decode(&envelope.encode()).unwrap(), envelope);
        }
    }
}
