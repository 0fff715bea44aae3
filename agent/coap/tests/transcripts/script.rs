//! The notation of the transcripts: one line of text per message.
//!
//! `CON 0.01 7d34 t:53 11:temperature 23:0x06 | payload` is kind, code, message id, token, options
//! (text, or hex bytes behind `0x`), payload. Message ids and tokens that the endpoint chose are
//! `m0`, `m1`, … and `t0`, `t1`, … in the order of their appearance. A payload may be written
//! `32*a`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use lamplighter_coap::{
    Code, Delivery, Endpoint, Event, Failure, Method, Params, Part, Reliability, Request,
    RequestKey, Response, Token,
};

pub(crate) struct Script {
    pub(crate) endpoint: Endpoint,
    /// Requests of the peer in the order of their appearance.
    pub(crate) keys: Vec<RequestKey>,
    mids: Vec<u16>,
    tokens: Vec<Vec<u8>>,
    now: Duration,
    log: Vec<String>,
}

/// Waits without chance: 2, 4, 8, 16, 32 s.
pub(crate) fn params() -> Params {
    Params {
        ack_random_factor: 1.0,
        ..Params::default()
    }
}

impl Script {
    pub(crate) fn new(params: Params) -> Self {
        Self {
            endpoint: Endpoint::new(params, 7),
            keys: Vec::new(),
            mids: Vec::new(),
            tokens: Vec::new(),
            now: Duration::ZERO,
            log: Vec::new(),
        }
    }

    /// Lets time pass to `ms`; what happens on the way gets its time in front.
    pub(crate) fn at(&mut self, ms: u64) -> &mut Self {
        let end = Duration::from_millis(ms);
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.endpoint.handle_timeout(self.now);
            self.drain(&format!("@{} ", self.now.as_millis()));
        }
        self.now = end;
        self.endpoint.handle_timeout(end);
        self.drain("late timeout ");
        self
    }

    /// The peer sends this line.
    pub(crate) fn receive(&mut self, line: &str) -> &mut Self {
        let bytes = self.bytes(line);
        self.receive_bytes(&bytes)
    }

    pub(crate) fn receive_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.endpoint.receive(bytes, self.now);
        self.drain("");
        self
    }

    pub(crate) fn act(&mut self, act: impl FnOnce(&mut Endpoint, Duration)) -> &mut Self {
        act(&mut self.endpoint, self.now);
        self.drain("");
        self
    }

    pub(crate) fn ask(&mut self, request: Request) -> &mut Self {
        self.act(|endpoint, now| _ = endpoint.request(request, now))
    }

    pub(crate) fn respond(&mut self, index: usize, response: Response) -> &mut Self {
        let key = self.keys[index];
        self.act(|endpoint, now| endpoint.respond(key, response, now))
    }

    pub(crate) fn notify(
        &mut self,
        token: &[u8],
        response: Response,
        reliability: Reliability,
    ) -> &mut Self {
        let token = Token::new(token).unwrap();
        self.act(|endpoint, now| _ = endpoint.notify(&token, response, reliability, now))
    }

    /// Everything that came out since the last call.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) -> &mut Self {
        let log = std::mem::take(&mut self.log);
        assert_eq!(log, lines, "\nleft: what happened, right: what should have");
        self
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.endpoint.poll_timeout().is_none()
    }

    fn drain(&mut self, prefix: &str) {
        while let Some(datagram) = self.endpoint.poll_transmit() {
            let line = self.line(&datagram);
            self.log.push(format!("{prefix}{line}"));
        }
        while let Some(event) = self.endpoint.poll_event() {
            let line = self.event(event);
            self.log.push(format!("{prefix}{line}"));
        }
    }

    fn event(&mut self, event: Event) -> String {
        match event {
            Event::Delivered(_, Delivery::Acknowledged) => "delivered".into(),
            Event::Delivered(_, Delivery::Reset) => "delivery reset".into(),
            Event::Delivered(_, Delivery::TimedOut) => "delivery timed out".into(),
            Event::Failed(_, Failure::BadResponse) => "failed: bad response".into(),
            Event::Failed(_, Failure::Reset) => "failed: reset".into(),
            Event::Failed(_, Failure::TimedOut) => "failed: timed out".into(),
            Event::Failed(_, Failure::TooLarge) => "failed: too large".into(),
            Event::Notification(_, response) => format!("notified {}", response_line(&response)),
            Event::Request(key, request) => {
                self.keys.push(key);
                let observe = request
                    .observe
                    .map_or(String::new(), |n| format!(" observe={n}"));
                let part = part_text(request.part);
                let payload = payload_text(&request.payload);
                format!(
                    "asked {} /{}{observe}{part}{payload}",
                    request.method.code(),
                    request.path.join("/")
                )
            }
            Event::Response(_, response) => format!("answered {}", response_line(&response)),
        }
    }

    fn line(&mut self, datagram: &[u8]) -> String {
        let kind = ["CON", "NON", "ACK", "RST"][usize::from(datagram[0] >> 4 & 3)];
        let (class, detail) = (datagram[1] >> 5, datagram[1] & 31);
        let mid = u16::from_be_bytes([datagram[2], datagram[3]]);
        let is_ours = kind == "CON" || kind == "NON";
        let mid = if is_ours {
            format!("m{}", index_of(&mut self.mids, mid))
        } else {
            format!("{mid:04x}")
        };
        let mut line = format!("{kind} {class}.{detail:02} {mid}");
        let token_end = 4 + usize::from(datagram[0] & 15);
        let token = datagram[4..token_end].to_vec();
        if class == 0 && detail > 0 {
            line += &format!(" t{}", index_of(&mut self.tokens, token));
        } else if !token.is_empty() {
            line += &format!(" t:{}", hex(&token));
        }
        let mut rest = &datagram[token_end..];
        let mut number = 0;
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first == 0xff {
                line += &payload_text(rest);
                break;
            }
            number += take_number(usize::from(first >> 4), &mut rest);
            let length = take_number(usize::from(first & 15), &mut rest);
            line += &format!(" {number}:{}", value_text(number, &rest[..length]));
            rest = &rest[length..];
        }
        line
    }

    fn bytes(&self, line: &str) -> Vec<u8> {
        let (head, payload) = line.split_once(" | ").unwrap_or((line, ""));
        let mut words = head.split(' ');
        let kind = match words.next().unwrap() {
            "CON" => 0x40,
            "NON" => 0x50,
            "ACK" => 0x60,
            "RST" => 0x70,
            other => panic!("{other}"),
        };
        let (class, detail) = words.next().unwrap().split_once('.').unwrap();
        let code = class.parse::<u8>().unwrap() << 5 | detail.parse::<u8>().unwrap();
        let mid = words.next().unwrap();
        let mid = match mid.strip_prefix('m') {
            Some(index) => self.mids[index.parse::<usize>().unwrap()],
            None => u16::from_str_radix(mid, 16).unwrap(),
        };
        let mut bytes = vec![kind, code, (mid >> 8) as u8, mid as u8];
        let mut last = 0;
        for word in words {
            match word.split_once(':') {
                Some(("t", token)) => push_token(&mut bytes, &unhex(token)),
                None => push_token(
                    &mut bytes,
                    &self.tokens[word[1..].parse::<usize>().unwrap()],
                ),
                Some((number, value)) => {
                    let number = number.parse::<usize>().unwrap();
                    let value = value
                        .strip_prefix("0x")
                        .map_or_else(|| value.as_bytes().to_vec(), unhex);
                    push_option(&mut bytes, number - last, &value);
                    last = number;
                }
            }
        }
        let payload = payload_bytes(payload);
        if !payload.is_empty() {
            bytes.push(0xff);
            bytes.extend(payload);
        }
        bytes
    }
}

pub(crate) fn get(path: &str) -> Request {
    Request::new(Method::Get, path.split('/').map(str::to_owned).collect())
}

pub(crate) fn post(path: &str, payload: &str) -> Request {
    Request {
        payload: payload_bytes(payload),
        ..Request::new(Method::Post, vec![path.to_owned()])
    }
}

pub(crate) fn content(payload: &str) -> Response {
    Response {
        payload: payload_bytes(payload),
        ..Response::new(Code::CONTENT)
    }
}

/// ` part START..TOTAL` where others follow, ` part START` of the last.
fn part_text(part: Option<Part>) -> String {
    let Some(part) = part else {
        return String::new();
    };
    let total = part.total.map_or(String::new(), |total| total.to_string());
    let more = if part.has_more { ".." } else { "" };
    format!(" part {}{more}{total}", part.offset)
}

fn response_line(response: &Response) -> String {
    let observe = response
        .observe
        .map_or(String::new(), |n| format!(" observe={n}"));
    format!(
        "{}{observe}{}{}",
        response.code,
        part_text(response.part),
        payload_text(&response.payload)
    )
}

/// `32*a` stands for 32 letters; longer payloads may be written `16*a+16*b`.
fn payload_bytes(text: &str) -> Vec<u8> {
    let piece = |piece: &str| match piece.split_once('*') {
        Some((count, letter)) => letter.repeat(count.parse().unwrap()).into_bytes(),
        None => piece.as_bytes().to_vec(),
    };
    text.split('+').flat_map(piece).collect()
}

fn payload_text(payload: &[u8]) -> String {
    if payload.is_empty() {
        return String::new();
    }
    let runs = payload.chunk_by(|a, b| a == b);
    let runs: Vec<_> = runs.map(|run| (run.len(), run[0] as char)).collect();
    if runs.iter().any(|(count, _)| *count > 4) {
        let pieces: Vec<_> = runs
            .iter()
            .map(|(count, letter)| format!("{count}*{letter}"))
            .collect();
        return format!(" | {}", pieces.join("+"));
    }
    format!(" | {}", String::from_utf8_lossy(payload))
}

fn value_text(number: usize, value: &[u8]) -> String {
    match number {
        3 | 8 | 11 | 15 => String::from_utf8_lossy(value).into_owned(),
        _ => format!("0x{}", hex(value)),
    }
}

fn index_of<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            list.push(item);
            list.len() - 1
        })
}

fn take_number(nibble: usize, rest: &mut &[u8]) -> usize {
    let extra = match nibble {
        13 => 1,
        14 => 2,
        _ => return nibble,
    };
    let (bytes, tail) = rest.split_at(extra);
    *rest = tail;
    bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)) + if extra == 1 { 13 } else { 269 }
}

fn push_token(bytes: &mut Vec<u8>, token: &[u8]) {
    bytes[0] |= token.len() as u8;
    bytes.extend(token);
}

fn push_option(bytes: &mut Vec<u8>, delta: usize, value: &[u8]) {
    let split = |n: usize| match n {
        0..13 => (n, vec![]),
        13..269 => (13, vec![(n - 13) as u8]),
        _ => (14, ((n - 269) as u16).to_be_bytes().to_vec()),
    };
    let ((delta, more_delta), (length, more_length)) = (split(delta), split(value.len()));
    bytes.push((delta << 4 | length) as u8);
    bytes.extend(more_delta);
    bytes.extend(more_length);
    bytes.extend(value);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
