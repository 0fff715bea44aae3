//! A key is nowhere but in its file: after a run with known keys everything that the agent has written,
//! logged, printed or answered is searched for them, in every form in which they could stand there.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::{fs::OpenOptionsExt as _, net::UnixStream},
    path::Path,
};

use lamplighter_interop::{
    agent::Agent,
    leshan::{Leshan, Version},
    root, scratch,
    station::SOON,
};
use serde_json::json;

const KEY: &[u8] = b"\x10\x21swordfish\xfe\xdc\xba\x98\x76";
const WRONG: &[u8] = b"\x11\x22open-sesame\x9a\x8b\x7c";
const ENDPOINT: &str = "secrets";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of bytes whose number is a multiple of three, or with the padding cut: as it stands in a text.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let whole = bits.as_bytes().chunks_exact(6);
    let digit = |six: &[u8]| {
        let number = six
            .iter()
            .fold(0, |number, bit| number * 2 + usize::from(*bit == b'1'));
        char::from(DIGITS[number])
    };
    whole.map(digit).collect()
}

/// The forms in which a key may show: as it is, hex in both cases, base64, a list of numbers.
fn forms(key: &[u8]) -> Vec<Vec<u8>> {
    let numbers: Vec<String> = key.iter().map(u8::to_string).collect();
    vec![
        key.to_vec(),
        hex(key).into_bytes(),
        hex(key).to_uppercase().into_bytes(),
        base64(key).into_bytes(),
        numbers.join(", ").into_bytes(),
        numbers.join(",").into_bytes(),
    ]
}

fn holds(text: &[u8], key: &[u8]) -> bool {
    forms(key)
        .iter()
        .any(|form| text.windows(form.len()).any(|part| part == form))
}

fn credential(directory: &Path, name: &str, key: &[u8]) {
    let folder = directory.join("credentials");
    fs::create_dir_all(&folder).unwrap();
    let mut options = fs::File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(folder.join(name)).unwrap();
    writeln!(file, "hex:{}", hex(key)).unwrap();
}

/// Every file below, with its name.
fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

/// What a call of the local API answers.
fn called(agent: &Agent, call: &str) -> Vec<u8> {
    let mut socket = UnixStream::connect(agent.run_dir.join("control.sock")).unwrap();
    write!(
        socket,
        "GET {call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    answer
}

/// What the kernel lets us see of the process's memory is not searched: the session needs the key.
fn everything(agent: &Agent, directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for call in [
        "/api/v1/status",
        "/api/v1/servers",
        "/api/v1/events",
        "/api/v1/points",
        "/api/v1/objects/",
        "/api/v1/objects/0",
        "/api/v1/objects/1",
        "/api/v1/objects/2",
        "/api/v1/objects/3",
        "/metrics",
        "/",
    ] {
        found.push((call.to_owned(), called(agent, call)));
    }
    for arguments in [
        &["status"][..],
        &["server", "list"],
        &["events"],
        &["read", "/1"],
    ] {
        let output = agent.cli(arguments);
        found.push((arguments.join(" "), [output.stdout, output.stderr].concat()));
    }
    let config = directory.join("lamplighter.toml");
    let check = agent.cli(&["check", "--config", &config.to_string_lossy()]);
    found.push(("check".to_owned(), [check.stdout, check.stderr].concat()));
    for name in ["state", "run", "log"] {
        let path = directory.join(name);
        if path.is_dir() {
            files(&path, &mut found);
        } else {
            found.push((name.to_owned(), fs::read(path).unwrap()));
        }
    }
    found
}

#[test]
fn keys_are_in_nothing_that_the_agent_writes_logs_or_answers() {
    let directory = scratch("secrets");
    let mut leshan = Leshan::start_with(Version::M18, json!({"endpoints": ["coaps"]}));
    let known = json!({"do": "credential", "psk": {"identity": "right", "key": hex(KEY)}});
    assert!(leshan.ask(ENDPOINT, known)["error"].is_null());
    credential(&directory, "right", KEY);
    credential(&directory, "wrong", WRONG);
    let private = fs::read(root().join("tests/vectors/dtls/client.key.der")).unwrap();
    credential(&directory, "private", &private);
    let vectors = root().join("tests/vectors/dtls");
    let web = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let text = format!(
        r#"
[client]
endpoint = "{ENDPOINT}"
[web]
listen = "{web}"
[server.right]
uri = "{uri}"
short_id = 101
owner = true
security = {{ mode = "psk", identity = "right", key = "credential:right" }}
[server.wrong]
uri = "{uri}"
short_id = 102
rights = {{ "*" = "R" }}
security = {{ mode = "psk", identity = "right", key = "credential:wrong" }}
[server.wrong.coap]
ack_timeout_s = 0.15
[server.certified]
uri = "{uri}"
short_id = 103
rights = {{ "*" = "R" }}
security = {{ mode = "x509", ca = "{vectors}/authority.der", cert = "{vectors}/client.der", key = "credential:private" }}
[server.certified.coap]
ack_timeout_s = 0.15
"#,
        uri = leshan.uri,
        vectors = vectors.display(),
    );
    let mut agent = trace(&directory, &text);
    leshan.event(SOON, |event| event["event"] == "registered");
    // The server asks for the keys, too.
    for path in ["/0", "/0/0/5", "/1"] {
        let answer = leshan.read(ENDPOINT, path, None).to_string();
        assert!(!holds(answer.as_bytes(), KEY), "{path}: {answer}");
    }
    agent.logged(&["Registration failed", "ssid=102"], SOON);
    agent.logged(&["Registration failed", "ssid=103"], SOON);
    let mut found = everything(&agent, &directory);
    assert_eq!(agent.lines.signal("TERM"), Some(0));
    // What is left on the disk after a stop, frozen sessions among it.
    files(&directory.join("state"), &mut found);
    assert!(found.len() > 20, "{}", found.len());
    for (place, text) in &found {
        for key in [KEY, WRONG, &private[private.len() / 3..private.len() / 2]] {
            assert!(!holds(text, key), "a key stands in {place}");
        }
    }
}

/// The agent with all that it can log.
fn trace(directory: &Path, text: &str) -> Agent {
    Agent::run_with(directory, text, &[], &[("LAMPLIGHTER_LOG", "trace")])
}

/// The control: the search finds a key in each form, in the middle of other bytes.
#[test]
fn a_leak_would_be_found_in_every_form() {
    for form in forms(KEY) {
        let text = [&b"{\"key\":\""[..], &form, b"\"}"].concat();
        assert!(holds(&text, KEY));
    }
    assert_eq!(base64(b"swordfish"), "c3dvcmRmaXNo");
    assert!(!holds(b"swordfis", KEY));
}
