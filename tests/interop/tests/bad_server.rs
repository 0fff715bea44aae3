//! Servers that misbehave, played by the test datagram by datagram: the agent says what is wrong,
//! goes on, and registers as soon as the server behaves.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{path::Path, time::Duration};

use lamplighter_interop::{
    agent::Agent,
    coap::{ACK, CON, Message, NON, RST, Server},
    scratch,
};

/// Longer than a retransmission on a busy machine.
const SOON: Duration = Duration::from_secs(15);

fn start(directory: &Path, port: u16) -> Agent {
    let configuration = format!(
        r#"
[client]
endpoint = "tested"
[server.main]
uri = "coap://127.0.0.1:{port}"
short_id = 101
security = {{ mode = "none" }}
allow_unsecured = true
[device.lamps]
adapter = "gpio"
backend = "sim"
point.l1 = {{ line = "GPIO5", instance = "/3416/1" }}
"#
    );
    Agent::run(directory, &configuration, &[])
}

fn registered(agent: &Agent) {
    agent.until(&["status"], SOON, |status| {
        status["servers"][0]["state"] == "registered"
    });
}

/// A server that has taken the registration, with everything answered that came before.
fn started(name: &str) -> (Server, Agent) {
    let mut server = Server::start();
    let agent = start(&scratch(name), server.port());
    server.accept();
    registered(&agent);
    (server, agent)
}

/// The agent answers as if nothing had happened.
fn answers(server: &mut Server, id: u16) {
    let answer = server.ask(&Message::get(id, "/3/0/17"));
    assert_eq!(
        (answer.code, answer.payload.as_slice()),
        (0x45, &b"gateway"[..]),
        "{answer:?}"
    );
}

#[test]
fn check_says_the_size_of_the_register_that_comes() {
    let mut server = Server::start();
    let directory = scratch("server-size");
    let agent = start(&directory, server.port());
    let register = server.until(Message::is_register);
    let file = directory.join("lamplighter.toml");
    let checked = agent.json(&["check", "--config", &file.to_string_lossy()]);
    assert_eq!(
        checked["register_bytes"].as_u64(),
        Some(register.payload.len() as u64),
        "{}",
        String::from_utf8_lossy(&register.payload)
    );
}

#[test]
fn a_server_that_was_deaf_gets_the_same_register_again() {
    let mut server = Server::start();
    let agent = start(&scratch("server-deaf"), server.port());
    let first = server.until(Message::is_register);
    let status = agent.json(&["status"]);
    assert_eq!(status["servers"][0]["state"], "registering", "{status}");
    let second = server.hear();
    assert_eq!(first, second, "a repetition is the same message");
    server.say(&second.created());
    // Twice, and once more in another message: all the same to the agent.
    server.say(&second.created());
    server.say(&Message {
        kind: NON,
        id: 1,
        ..second.created()
    });
    registered(&agent);
    answers(&mut server, 2);
}

#[test]
fn a_refused_registration_is_explained_and_tried_again_when_told() {
    let mut server = Server::start();
    let agent = start(&scratch("server-refuses"), server.port());
    let refusal = |code: u8, payload: &[u8]| Message {
        kind: ACK,
        code,
        payload: payload.to_vec(),
        ..Message::default()
    };
    let reset = Message {
        kind: RST,
        ..Message::default()
    };
    let cases = [
        (refusal(0x83, b"who are you?"), "4.03"),
        (refusal(0x80, b""), "4.00"),
        (refusal(0xA0, b""), "5.00"),
        // A code that nobody has defined, and one that is no refusal.
        (refusal(0x9F, &[0xFF; 900]), "4.31"),
        (refusal(0x45, b"\x1b[31m\0"), "2.05"),
        (refusal(0x41, b""), "location"),
        (reset, "rejected"),
    ];
    for (reply, reason) in cases {
        let register = server.until(Message::is_register);
        let is_answer = reply.kind == ACK;
        server.say(&Message {
            id: register.id,
            token: register.token.into_iter().filter(|_| is_answer).collect(),
            ..reply
        });
        let status = agent.until(&["status"], SOON, |status| {
            let server = &status["servers"][0];
            server["state"] == "offline"
                && server["last_error"]
                    .as_str()
                    .is_some_and(|error| error.contains(reason))
        });
        let error = status["servers"][0]["last_error"].as_str().unwrap();
        assert!(
            error.chars().count() < 300 && !error.contains('\x1b'),
            "{error:?}"
        );
        assert_eq!(agent.post("servers/main/register", ""), 200);
    }
    server.accept();
    registered(&agent);
    assert!(agent.json(&["status"])["servers"][0]["last_error"].is_null());
}

#[test]
fn an_overloaded_server_is_left_alone_as_long_as_it_said() {
    let mut server = Server::start();
    let agent = start(&scratch("server-overloaded"), server.port());
    let register = server.until(Message::is_register);
    server.say(&register.answer(0xA3).option(14, &[0x0E, 0x10]));
    agent.until(&["status"], SOON, |status| {
        let server = &status["servers"][0];
        server["state"] == "offline" && server["retry_in_s"].as_f64() > Some(3500.0)
    });
    assert_eq!(agent.post("servers/main/register", ""), 200);
    server.accept();
    registered(&agent);
}

#[test]
fn answers_to_questions_that_nobody_asked_change_nothing() {
    let mut server = Server::start();
    let agent = start(&scratch("server-strange-answers"), server.port());
    let register = server.until(Message::is_register);
    let created = register.created();
    let mut other_token = created.clone();
    other_token.token[0] ^= 0xFF;
    server.say(&other_token);
    server.say(&Message {
        id: created.id.wrapping_add(1),
        ..created.clone()
    });
    server.say(&Message {
        kind: CON,
        token: vec![1, 2, 3],
        id: 77,
        ..created
    });
    assert_eq!(server.until(|message| message.kind == RST).id, 77);
    assert_eq!(
        agent.json(&["status"])["servers"][0]["state"],
        "registering"
    );
    // An empty acknowledgement, then the answer on its own.
    let register = server.until(Message::is_register);
    server.say(&Message {
        kind: ACK,
        id: register.id,
        ..Message::default()
    });
    server.say(&Message {
        kind: CON,
        id: 78,
        ..register.created()
    });
    assert_eq!(server.until(|message| message.kind == ACK).id, 78);
    registered(&agent);
}

#[test]
fn garbage_is_ignored_and_the_agent_goes_on() {
    let (mut server, agent) = started("server-garbage");
    let mut random = Random(0x5EED);
    for round in 0..40_u16 {
        for _ in 0..50 {
            let length = random.below(1200);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
            if random.below(3) > 0 && length > 4 {
                // A plausible header carries the rest further in.
                bytes[0] = 0x40 | (bytes[0] & 0x3F);
                bytes[1] = [1, 2, 3, 4, 5, 6, 7, 0x45, 0, 0x84][random.below(10)];
            }
            server.say_bytes(&bytes);
        }
        answers(&mut server, 0x4000 + round);
    }
    registered(&agent);
}

#[test]
fn mutated_requests_are_answered_or_ignored() {
    let (mut server, agent) = started("server-mutated");
    let samples = [
        Message::get(1, "/3416/1")
            .option(6, &[])
            .option(17, &[0x2D, 0x16]),
        Message {
            code: 3,
            payload: b"100".to_vec(),
            ..Message::get(2, "/3416/1/1").option(12, &[])
        },
        Message {
            code: 2,
            payload: br#"[{"n":"/3416/1/1","v":100}]"#.to_vec(),
            ..Message::get(3, "/3416/1").option(12, &[110])
        },
        Message {
            code: 3,
            payload: vec![0xE1, 1, 100],
            ..Message::get(4, "/3416/1").option(12, &[0x2D, 0x16])
        },
        Message {
            code: 3,
            payload: vec![b'x'; 64],
            ..Message::get(5, "/3416/1").option(27, &[0x0A])
        },
        Message {
            code: 2,
            payload: b"0='5'".to_vec(),
            ..Message::get(6, "/3/0/12")
        },
        Message {
            code: 3,
            ..Message::get(7, "/3416/1")
                .option(15, b"pmin=1")
                .option(15, b"pmax=5")
        },
        Message::get(8, "/3416/1/1")
            .option(12, &[112])
            .option(23, &[0x16]),
    ];
    let mut random = Random(0xBAD);
    for round in 0..60_u16 {
        for sample in &samples {
            let mut message = sample.clone();
            message.id = 0x1000 + round * 16 + sample.id;
            message.kind = if random.below(2) == 0 { CON } else { NON };
            let mut bytes = message.encode();
            for _ in 0..=random.below(4) {
                let at = 4 + random.below(bytes.len() - 4);
                match random.below(3) {
                    0 => bytes[at] = random.byte(),
                    1 => bytes.truncate(at.max(5)),
                    _ => bytes.insert(at, random.byte()),
                }
            }
            server.say_bytes(&bytes);
        }
        answers(&mut server, 0x4000 + round);
    }
    registered(&agent);
}

#[test]
fn what_coap_says_about_malformed_messages_is_done() {
    let (mut server, agent) = started("server-malformed");
    // RFC 7252, 4.3: an empty confirmable message is a ping.
    server.say(&Message {
        kind: CON,
        id: 0x101,
        ..Message::default()
    });
    assert_eq!(
        server.hear(),
        Message {
            kind: RST,
            id: 0x101,
            ..Message::default()
        }
    );
    // 5.4.1: critical options that nobody knows; elective ones are passed over.
    let answer = server.ask(&Message::get(0x102, "/3/0/0").option(9, b"what"));
    assert_eq!(answer.code, 0x82, "{answer:?}");
    let answer = server.ask(&Message::get(0x103, "/3/0/0").option(65000, b"what"));
    assert_eq!(answer.code, 0x45, "{answer:?}");
    // 3: a token longer than 8 bytes, a reserved length, a marker without payload, a version that
    // does not exist.
    for bytes in [
        vec![0x4F, 1, 1, 4, 0, 0, 0, 0],
        vec![0x49, 1, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x40, 1, 1, 6, 0xFD],
        vec![0x40, 1, 1, 7, 0xB1, b'3', 0xFF],
        vec![0xC0, 1, 1, 8],
        vec![0x44, 1, 1, 9, 0],
        vec![0x40, 1, 1],
        vec![],
        vec![0x40, 1, 1, 10, 0xEE, 0xFF, 0xFF, 0xFF, 0xFF],
        // An empty message with something in it, and a reserved class.
        vec![0x40, 0, 1, 11, 0xB1, b'3'],
        vec![0x40, 0x20, 1, 12],
    ] {
        server.say_bytes(&bytes);
        answers(&mut server, 0x200 + u16::try_from(bytes.len()).unwrap());
    }
    // Methods that nobody knows, and a path that is no text.
    assert_eq!(
        server
            .ask(&Message {
                code: 0x1F,
                ..Message::get(0x300, "/3/0/0")
            })
            .code,
        0x85
    );
    let odd = Message::get(0x301, "").option(11, &[0xFF, 0xFE]);
    assert!([0x80, 0x82, 0x84].contains(&server.ask(&odd).code));
    let long = Message::get(0x302, &"/3".repeat(80));
    let answer = server.ask(&long);
    assert!(answer.code >> 5 == 4, "{answer:?}");
    registered(&agent);
}

#[test]
fn blocks_that_make_no_sense_are_refused() {
    let (mut server, agent) = started("server-blocks");
    let write = |id, block: &[u8], payload: &[u8]| Message {
        code: 3,
        payload: payload.to_vec(),
        ..Message::get(id, "/3416/1/1")
            .option(12, &[])
            .option(27, block)
    };
    // A block from the middle of nothing, the reserved size, a block option that is too long, a block
    // that is shorter than it says.
    for (id, request) in [
        (0x101, write(0x101, &[0x58], &[b'1'; 16])),
        (0x102, write(0x102, &[0x07], b"1")),
        (0x103, write(0x103, &[1, 2, 3, 4], b"1")),
        (0x104, write(0x104, &[0x0E], b"short")),
        (
            0x105,
            Message::get(0x105, "/3416").option(23, &[0xFF, 0xFF, 0xF6]),
        ),
        (0x106, Message::get(0x106, "/3416").option(23, &[0x07])),
    ] {
        let answer = server.ask(&request);
        assert!(
            (0x80..0xA0).contains(&answer.code),
            "{request:?}: {answer:?}"
        );
        answers(&mut server, id + 0x1000);
    }
    // Transfers that are begun and never ended do not pile up.
    for number in 0..500_u16 {
        let mut begun = write(0x2000 + number, &[0x0E], &[b'1'; 1024]);
        begun.options.push((15, number.to_string().into_bytes()));
        server.say(&begun);
        server.hear();
    }
    answers(&mut server, 0x6000);
    assert_eq!(agent.json(&["read", "lamps.l1"])["value"], 0);
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }
}
