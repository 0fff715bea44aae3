//! Answers and notifications, decoded.

use std::time::Duration;

use lamplighter_coap::{Code, Response};
use lamplighter_lwm2m::format::{
    self, Content, ContentFormat, DecodeError, Node,
    link::{self, Link},
};
use lamplighter_model::{Path, Value, object::Definitions};

/// Characters that the log keeps of values and texts of peers.
const MAX_DETAIL: usize = 160;

/// What a client answered, or told an observer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub code: Code,
    /// Number of the Content-Format, if it names one.
    pub content_format: Option<u16>,
    /// The values of a Read or notification.
    pub nodes: Vec<Node>,
    /// The links of a Discover.
    pub links: Vec<Link>,
    pub payload: Vec<u8>,
    /// Why a payload of success could not be decoded.
    pub problem: Option<DecodeError>,
    /// Sequence number; in the answer to Observe a sign that it was accepted.
    pub observe: Option<u32>,
    /// From the request; zero for notifications.
    pub took: Duration,
    /// Number of its line in the log.
    pub number: u64,
}

impl Answer {
    /// Of an answer to Observe: whether notifications follow.
    pub fn is_observed(&self) -> bool {
        self.code.is_success() && self.observe.is_some()
    }

    /// The value where there is exactly one.
    pub fn value(&self) -> Option<&Value> {
        let [node] = self.nodes.as_slice() else {
            return None;
        };
        match &node.content {
            Content::Single(value) => Some(value),
            Content::Multiple(values) => match values.as_slice() {
                [(_, value)] => Some(value),
                _ => None,
            },
        }
    }

    /// The text that explains an error, if there is one.
    pub fn diagnostic(&self) -> Option<&str> {
        let is_text = !self.code.is_success() && !self.payload.is_empty();
        is_text
            .then(|| std::str::from_utf8(&self.payload).ok())
            .flatten()
    }

    /// Decodes a response about `path`; `prefix` stands in front of names in the payload.
    pub(super) fn new(
        response: Response,
        path: Path,
        prefix: &str,
        definitions: &Definitions,
    ) -> Self {
        let mut answer = Self {
            code: response.code,
            content_format: response.content_format,
            nodes: Vec::new(),
            links: Vec::new(),
            payload: response.payload,
            problem: None,
            observe: response.observe,
            took: Duration::ZERO,
            number: 0,
        };
        if let Err(problem) = answer.decode(path, prefix, definitions) {
            answer.problem = Some(problem);
        }
        answer
    }

    fn decode(
        &mut self,
        path: Path,
        prefix: &str,
        definitions: &Definitions,
    ) -> Result<(), DecodeError> {
        let format = self.content_format.and_then(ContentFormat::from_number);
        match format {
            Some(_) if self.code != Code::CONTENT => {}
            Some(ContentFormat::Link) => self.links = link::parse(&self.payload)?,
            Some(
                format @ (ContentFormat::Cbor
                | ContentFormat::Lwm2mCbor
                | ContentFormat::Lwm2mJson
                | ContentFormat::Opaque
                | ContentFormat::SenmlCbor
                | ContentFormat::SenmlEtchCbor
                | ContentFormat::SenmlEtchJson
                | ContentFormat::SenmlJson
                | ContentFormat::Text
                | ContentFormat::Tlv),
            ) => {
                let decoded = format::decode(format, path, prefix, &self.payload, definitions)?;
                self.nodes = decoded.nodes;
            }
            None => {}
        }
        Ok(())
    }

    /// For people, in one line of bounded length.
    pub(super) fn detail(&self) -> String {
        if let Some(problem) = self.problem {
            return problem.to_string();
        }
        if let Some(text) = self.diagnostic() {
            return shortened(text);
        }
        if !self.links.is_empty() {
            return format!("{} links", self.links.len());
        }
        summary(&self.nodes)
    }
}

/// One value as it is, several with their paths.
pub(super) fn summary(nodes: &[Node]) -> String {
    if let [
        Node {
            content: Content::Single(value),
            ..
        },
    ] = nodes
    {
        return shortened(&value.to_string());
    }
    let mut text = String::new();
    for node in nodes {
        if text.len() > MAX_DETAIL {
            break;
        }
        let separator = if text.is_empty() { "" } else { ", " };
        text.push_str(separator);
        match &node.content {
            Content::Single(value) => text.push_str(&format!("{} = {value}", node.path)),
            Content::Multiple(values) => {
                text.push_str(&format!("{} × {}", node.path, values.len()));
            }
        }
    }
    shortened(&text)
}

pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
