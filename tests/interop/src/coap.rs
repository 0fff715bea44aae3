//! A LwM2M server made by hand, datagram by datagram: what a foreign or broken one may send.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// Longer than anything that the agent is to send takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kinds of message (RFC 7252, 4.2 and 4.3).
pub const CON: u8 = 0;
pub const NON: u8 = 1;
pub const ACK: u8 = 2;
pub const RST: u8 = 3;

/// A message as bytes say it; options as number and value, in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    pub kind: u8,
    /// `0x44` is 2.04.
    pub code: u8,
    pub id: u16,
    pub token: Vec<u8>,
    pub options: Vec<(u16, Vec<u8>)>,
    pub payload: Vec<u8>,
}

impl Message {
    /// A confirmable GET of a path.
    pub fn get(id: u16, path: &str) -> Self {
        Self {
            kind: CON,
            code: 1,
            id,
            token: id.to_be_bytes().to_vec(),
            ..Self::default()
        }
        .path(path)
    }

    /// Adds a path, as Uri-Path.
    pub fn path(mut self, path: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        self.options
            .extend(segments.map(|segment| (11, segment.as_bytes().to_vec())));
        self
    }

    /// Adds an option.
    pub fn option(mut self, number: u16, value: &[u8]) -> Self {
        self.options.push((number, value.to_vec()));
        self
    }

    /// The piggy-backed answer to a request.
    pub fn answer(&self, code: u8) -> Self {
        Self {
            kind: ACK,
            code,
            id: self.id,
            token: self.token.clone(),
            ..Self::default()
        }
    }

    /// The 2.01 of a Register, with a location.
    pub fn created(&self) -> Self {
        self.answer(0x41).option(8, b"rd").option(8, b"x7")
    }

    /// Values of one option.
    pub fn values(&self, number: u16) -> Vec<String> {
        let of_number = self.options.iter().filter(|option| option.0 == number);
        of_number
            .map(|option| String::from_utf8_lossy(&option.1).into_owned())
            .collect()
    }

    /// Whether this is a Register (a POST to /rd).
    pub fn is_register(&self) -> bool {
        (self.kind, self.code) == (CON, 2) && self.values(11) == ["rd"]
    }

    /// RFC 7252, 3.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0x40 | self.kind << 4 | self.token.len() as u8, self.code];
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(&self.token);
        let mut options = self.options.clone();
        options.sort_by_key(|option| option.0);
        let mut before = 0;
        for (number, value) in options {
            let (delta, more_delta) = nibble(number - before);
            let (length, more_length) = nibble(u16::try_from(value.len()).unwrap());
            bytes.push(delta << 4 | length);
            bytes.extend(more_delta);
            bytes.extend(more_length);
            bytes.extend(value);
            before = number;
        }
        if !self.payload.is_empty() {
            bytes.push(0xFF);
            bytes.extend(&self.payload);
        }
        bytes
    }

    /// What the agent sends must be well formed; anything else fails the test.
    pub fn decode(bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 4 && bytes[0] >> 6 == 1, "{bytes:02x?}");
        let token_end = 4 + usize::from(bytes[0] & 15);
        let mut message = Self {
            kind: bytes[0] >> 4 & 3,
            code: bytes[1],
            id: u16::from_be_bytes([bytes[2], bytes[3]]),
            token: bytes[4..token_end].to_vec(),
            ..Self::default()
        };
        let (mut rest, mut number) = (&bytes[token_end..], 0);
        while let Some((first, after)) = rest.split_first() {
            if *first == 0xFF {
                message.payload = after.to_vec();
                break;
            }
            rest = after;
            number += extended(first >> 4, &mut rest);
            let length = usize::from(extended(first & 15, &mut rest));
            message.options.push((number, rest[..length].to_vec()));
            rest = &rest[length..];
        }
        message
    }
}

/// A delta or length as its nibble and what follows it (RFC 7252, 3.1).
fn nibble(value: u16) -> (u8, Vec<u8>) {
    match value {
        0..=12 => (value as u8, Vec::new()),
        13..=268 => (13, vec![(value - 13) as u8]),
        269.. => (14, (value - 269).to_be_bytes().to_vec()),
    }
}

fn extended(nibble: u8, rest: &mut &[u8]) -> u16 {
    let (value, used) = match nibble {
        0..=12 => (u16::from(nibble), 0),
        13 => (u16::from(rest[0]) + 13, 1),
        14 => (u16::from_be_bytes([rest[0], rest[1]]) + 269, 2),
        _ => panic!("a reserved length"),
    };
    *rest = &rest[used..];
    value
}

/// The socket of the server; the test decides what it says.
#[derive(Debug)]
pub struct Server {
    socket: UdpSocket,
    agent: Option<SocketAddr>,
}

impl Server {
    pub fn start() -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            agent: None,
        }
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// The next message of the agent.
    pub fn hear(&mut self) -> Message {
        self.hear_within(PATIENCE)
            .expect("the agent says something")
    }

    /// The next message within this time.
    pub fn hear_within(&mut self, within: Duration) -> Option<Message> {
        // The system takes 0 for "for ever".
        let within = within.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut bytes = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut bytes).ok()?;
        self.agent = Some(from);
        Some(Message::decode(&bytes[..length]))
    }

    /// The first message that fits; others are passed over.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real process waits in real time"
    )]
    pub fn until(&mut self, fits: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self
                .hear_within(left)
                .unwrap_or_else(|| panic!("the agent did not say it within {PATIENCE:?}"));
            if fits(&message) {
                return message;
            }
        }
    }

    pub fn say(&self, message: &Message) {
        self.say_bytes(&message.encode());
    }

    /// Sends anything to where the agent spoke from last.
    pub fn say_bytes(&self, bytes: &[u8]) {
        let agent = self.agent.expect("the agent has spoken");
        // A datagram may be refused while the agent has no socket; it is lost then.
        let _ = self.socket.send_to(bytes, agent);
    }

    /// Says a request, again and again as confirmable ones are, and hears its answer. A separate
    /// answer is acknowledged.
    pub fn ask(&mut self, request: &Message) -> Message {
        self.say(request);
        let token = &request.token;
        let answer = self.until(|message| {
            let is_answer = message.code >= 0x40 && message.token == *token;
            is_answer || (message.kind == RST && message.id == request.id)
        });
        if answer.kind == CON {
            self.say(&Message {
                kind: ACK,
                id: answer.id,
                ..Message::default()
            });
        }
        answer
    }

    /// Lets the agent register.
    pub fn accept(&mut self) -> Message {
        let register = self.until(Message::is_register);
        self.say(&register.created());
        register
    }
}
