//! The inputs that corpora begin with: our golden vectors, and a few made by hand.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_lwm2m::saved::Record;
use lamplighter_sim::pushing::{PushMeter, Telegram};
use serde_json::Value;

use crate::corpus;

/// A target, and an input for it.
type Seed = (&'static str, Vec<u8>);

/// Writes all of them, as `seed-NNN`; what else lies in a corpus stays.
///
/// # Errors
/// A vector cannot be read, or a file not be written.
pub fn write() -> io::Result<usize> {
    let mut seeds = Vec::new();
    for file in [
        "cbor",
        "etch",
        "lwm2m_cbor",
        "lwm2m_json",
        "senml",
        "text",
        "tlv",
    ] {
        seeds.extend(payloads(file)?);
    }
    seeds.extend(composite_paths()?);
    seeds.extend(links()?);
    seeds.extend(coap()?);
    seeds.extend(saved()?);
    seeds.extend(by_hand()?);
    seeds.extend(dtls()?);
    seeds.extend(mbus()?);
    seeds.extend(pushing());
    seeds.extend(places());
    seeds.extend(dlms());
    let mut numbers = BTreeMap::new();
    for (target, input) in &seeds {
        let number = numbers.entry(target).or_insert(0);
        corpus::write(target, &format!("seed-{number:03}"), input)?;
        *number += 1;
    }
    Ok(seeds.len())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(root().join(path))
}

fn vectors(file: &str) -> io::Result<Vec<Value>> {
    Ok(serde_json::from_str(&read(&format!(
        "tests/vectors/{file}/vectors.json"
    ))?)?)
}

fn word<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Target of this crate, and whether payloads are hexadecimal.
fn format_of(file: &str, vector: &Value) -> (&'static str, bool) {
    match (file, word(vector, "format")) {
        ("cbor", _) => ("cbor", true),
        ("lwm2m_cbor", _) => ("lwm2m_cbor", true),
        ("lwm2m_json", _) => ("lwm2m_json", false),
        ("text", _) => ("text", false),
        ("tlv", _) => ("tlv", true),
        (_, "cbor") => ("senml_cbor", true),
        (_, "etch_cbor") => ("senml_etch_cbor", true),
        (_, "etch_json") => ("senml_etch_json", false),
        _ => ("senml_json", false),
    }
}

fn bytes(text: &str, is_hex: bool) -> Vec<u8> {
    if !is_hex {
        return text.as_bytes().to_vec();
    }
    let mut bytes = Vec::new();
    for part in text.split_whitespace() {
        let (digits, times) = part.split_once('*').unwrap_or((part, "1"));
        bytes.extend(hex(digits).repeat(times.parse().unwrap_or(1)));
    }
    bytes
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).filter_map(byte).collect()
}

fn payloads(file: &str) -> io::Result<Vec<Seed>> {
    let seed = |vector: &Value| {
        let (target, is_hex) = format_of(file, vector);
        let prefix = if word(vector, "prefix").is_empty() {
            ""
        } else {
            "/d01 "
        };
        let mut input = format!("{prefix}{}\n", word(vector, "target")).into_bytes();
        input.extend(bytes(word(vector, "payload"), is_hex));
        (target, input)
    };
    Ok(vectors(file)?.iter().map(seed).collect())
}

fn composite_paths() -> io::Result<Vec<Seed>> {
    let seed = |vector: &Value| {
        let (format, is_hex) = match word(vector, "format") {
            "cbor" => (1, true),
            "etch_cbor" => (3, true),
            "etch_json" => (2, false),
            _ => (0, false),
        };
        let prefixed = u8::from(!word(vector, "prefix").is_empty()) << 7;
        let mut input = vec![format | prefixed];
        input.extend(bytes(word(vector, "payload"), is_hex));
        ("composite_paths", input)
    };
    Ok(vectors("paths")?.iter().map(seed).collect())
}

fn links() -> io::Result<Vec<Seed>> {
    let seed = |vector: &Value| ("link", bytes(word(vector, "payload"), false));
    Ok(vectors("link")?.iter().map(seed).collect())
}

/// Each message alone, and all of a file in a row with pauses.
fn coap() -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for file in ["own", "rfc7252", "rfc7641", "rfc7959", "rfc9175"] {
        let text = read(&format!("tests/vectors/coap/{file}.txt"))?;
        let mut row = Vec::new();
        for line in text.lines() {
            let Some(digits) = line.strip_prefix("bytes: ") else {
                continue;
            };
            let message = bytes(digits, true);
            let Ok(length) = u8::try_from(message.len()) else {
                continue;
            };
            let mut step = vec![0, length];
            step.extend(&message);
            row.extend(&step);
            row.extend([5, 0, 9, 1, 4, 2, 3]);
            seeds.push(("coap_endpoint", step));
        }
        seeds.push(("coap_endpoint", row));
    }
    Ok(seeds)
}

fn saved() -> io::Result<Vec<Seed>> {
    let file: Value = serde_json::from_str(&read("tests/vectors/saved/records-1.json")?)?;
    let records: Vec<Record> = serde_json::from_value(file["records"].clone())?;
    let mut seeds = Vec::new();
    let mut all = Vec::new();
    for record in records {
        let input = minicbor_serde::to_vec(&record).map_err(io::Error::other)?;
        all.extend(u8::try_from(input.len()));
        all.extend(&input);
        seeds.push(("saved_records", input));
    }
    seeds.push(("client_restart", all));
    let site = fs::read(root().join("tests/vectors/saved/site-1.cbor"))?;
    seeds.push(("saved_site", body(&site).to_vec()));
    Ok(seeds)
}

/// The byte string `body`, the last field of a snapshot.
fn body(snapshot: &[u8]) -> &[u8] {
    const KEY: &[u8] = b"dbody";
    let at = snapshot.windows(KEY.len()).position(|part| part == KEY);
    let rest = at.map_or(&[][..], |at| &snapshot[at + KEY.len()..]);
    // RFC 8949, 3: the length stands in the head, or in one or two bytes behind it.
    let head = match rest.first() {
        Some(0x58) => 2,
        Some(0x59) => 3,
        Some(_) => 1,
        None => 0,
    };
    &rest[head..]
}

/// A request of `client_messages`.
fn request(method: u8, flags: u8, format: u8, path: &str, payload: &[u8]) -> Vec<u8> {
    let mut input = vec![2, method, flags, format, format];
    for piece in [path.as_bytes(), payload] {
        input.extend(u8::try_from(piece.len()));
        input.extend(piece);
    }
    input
}

/// What our simulated meters send.
fn pushing() -> Vec<Seed> {
    let seed = |target, telegram| {
        let meter = PushMeter::new(telegram, Duration::from_secs(1));
        (target, meter.telegram())
    };
    vec![
        seed("p1_line", Telegram::P1),
        seed("p1_line", Telegram::P1Old),
        seed("p1_line", Telegram::ModeD),
        // An encrypted one begins like this.
        ("p1_line", hex("db0853414767700000018200051030000001")),
        seed("sml_line", Telegram::Sml),
    ]
}

/// Of receivers; sums are made by the target.
fn places() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    for line in [
        r#"{"class":"VERSION","release":"3.25","proto_major":3,"proto_minor":15}"#,
        r#"{"class":"TPV","device":"/dev/ttyACM0","mode":3,"time":"2026-11-23T03:15:01.000Z","lat":52.520006599,"lon":13.404954,"altMSL":34.1,"epx":3.1,"epy":4.2,"track":271.3,"speed":13.9,"climb":-0.1,"eph":5.7}"#,
        r#"{"class":"TPV","device":"/dev/ttyACM0","mode":1,"status":8,"time":"2026--9223372036854775808-01T00:00:00Z"}"#,
        r#"{"class":"ERROR","message":"Unrecognized request"}"#,
    ] {
        seeds.push(("gpsd_line", format!("{line}\n").into_bytes()));
    }
    let second = [
        "$GPRMC,031500.00,A,5231.2004,N,01324.2972,E,27.0,271.3,231126,,,A",
        "$GPGGA,031500.00,5231.2004,N,01324.2972,E,1,08,1.1,34.1,M,44.0,M,,",
        "$GNGST,031500.00,2.1,3.0,2.0,45.0,2.4,2.6,5.0",
        "$GPVTG,271.3,T,,M,27.0,N,50.0,K,A",
        "$GPZDA,031501.00,23,11,2026,00,00",
        "$GPZDA,031501.00,-9223372036854775808,-9223372036854775808,-9223372036854775808,00,00",
        "$GPGLL,5231.2004,N,01324.2972,E,031501.00,A,A",
    ];
    let lines = second.map(|line| format!("{line}\r\n"));
    seeds.extend(
        lines
            .iter()
            .map(|line| ("nmea_line", line.clone().into_bytes())),
    );
    seeds.push(("nmea_line", lines.concat().into_bytes()));
    seeds
}

/// Of programs on `adapters.sock`, and of brokers.
fn messages() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for line in [
        r#"{"type":"hello","version":1,"device":"heating","program":"heating.py"}"#,
        r#"{"type":"declare","all":true,"added":[{"path":"/3303/10/5700","read":true},{"path":"/3303/10/5605","execute":true}],"removed":["/3303/9/5700"]}"#,
        r#"{"type":"samples","samples":[{"path":"/3303/0/5700","value":21.50,"unit":"Cel","time":1700000000.5,"quality":"good"},{"path":"/3/0/7/1","value":5000}]}"#,
        r#"{"type":"samples","samples":[{"path":"/3342/0/5500","value":true},{"path":"/3441/0/110","value":"text"},{"path":"/3303/0/5700","value":null,"quality":"bad"}]}"#,
        r#"{"type":"done","id":7,"samples":[{"path":"/3308/0/5900","value":1.5e-3}]}"#,
        r#"{"type":"failed","id":7,"cause":"bad_value","reason":"too hot"}"#,
        r#"{"type":"link","state":"offline","reason":"no answer"}"#,
    ] {
        seeds.push(("program_line", line.as_bytes().to_vec()));
    }
    for (field, message) in [
        ("", "ON"),
        (
            "/ENERGY/Total",
            r#"{"Time":"2026-01-01T00:00:00","ENERGY":{"Total":3.185,"Power":[84,0]}}"#,
        ),
        ("/a~1b/0", r#"{"a/b":["x"]}"#),
        ("/state", r#"{"state":"ON","brightness":215}"#),
    ] {
        seeds.push(("mqtt_message", format!("{field}\0{message}").into_bytes()));
    }
    seeds
}

fn by_hand() -> io::Result<Vec<Seed>> {
    let telegram = b"\x021-0:1.8.0(001234.5*kWh)(20240101)\r\n0-0:96.1.0(12345678)\r\nF.F(00)\r\n!\r\n\x03\x5a";
    let mut seeds: Vec<Seed> = vec![
        ("iec62056_telegram", b"/ABC5METER1".to_vec()),
        ("iec62056_telegram", telegram.to_vec()),
        // Unit 17 is asked for 3 holding registers from 107 on (Modbus over serial line 1.02).
        (
            "modbus_answer",
            hex("1102030000006b00031103 06ae41 5652 4340 49ad"
                .replace(' ', "")
                .as_str()),
        ),
        ("modbus_answer", hex("1102030000006b00031183024134")),
        ("modbus_answer", hex("11000000ac01110500acff004e8b")),
        ("saved_samples", hex("0e00e7190000000164060100003f")),
        ("opaque", b"/9/0/2\nany bytes".to_vec()),
        ("opaque", b"/3/0/9\n".to_vec()),
        (
            "senml_etch_cbor",
            hex("2f0a82a321682f31362f302f302f0061300361 61a2006131 02f6"
                .replace(' ', "")
                .as_str()),
        ),
    ];
    seeds.extend(messages());
    for text in [
        "/",
        "/3",
        "/3/0/9",
        "/3303/65534/5700/65535",
        "RWX",
        "/33*/0",
        "1.1",
    ] {
        seeds.push(("path_text", text.as_bytes().to_vec()));
    }
    for text in [
        "coap://192.0.2.5:5683",
        "coap://[2001:db8::1]:5684/",
        "coap://server.example",
        "coaps://server.example",
    ] {
        seeds.push(("server_uri", text.as_bytes().to_vec()));
    }
    let values = [
        "1",
        "</3>;ver=1.1",
        "-2.50",
        "-128",
        "3:65535",
        "AQID",
        "text",
        "1790000000",
        "18446744073709551615",
    ];
    for (first, text) in (0..).zip(values) {
        let mut input = vec![first];
        input.extend(text.as_bytes());
        seeds.push(("value_text", input));
    }
    seeds.push((
        "config_text",
        read("config/sites/street-cabinet.toml")?.into_bytes(),
    ));
    seeds.push(("config_text", SMALL_CONFIG.to_vec()));
    let definition = lamplighter_model::tables::standard();
    for id in [3303, 16] {
        if let Some(object) = definition.object(lamplighter_model::ObjectId(id)) {
            seeds.push((
                "object_xml",
                lamplighter_model::xml::write(object).into_bytes(),
            ));
        }
    }
    seeds.extend(requests());
    seeds.extend(bootstraps());
    seeds.extend(histories());
    Ok(seeds)
}

const SMALL_CONFIG: &[u8] = b"[server.main]
uri = \"coap://192.0.2.5:5683\"
short_id = 101
security = { mode = \"none\" }
allow_unsecured = true
lifetime = \"5min\"

[store]
flush_s = 5
";

/// Methods are numbered as in `client.rs`, formats too.
fn requests() -> Vec<Seed> {
    let all = [
        request(0, 0, 0, "3303/0", b""),
        request(0, 4, 4, "3303", b""),
        request(0, 8, 0, "3303/0/5700", b""),
        request(1, 2, 0, "3311/0/5850", b"1"),
        request(1, 2, 9, "1/0", b"[{}]"),
        request(
            2,
            2,
            4,
            "16",
            b"[{\"bn\":\"/16/7/0/\",\"n\":\"0\",\"vs\":\"a\"}]",
        ),
        request(3, 0, 0, "16/7", b""),
        request(4, 6, 6, "", b"[{\"n\":\"/3303/0/5700\"},{\"n\":\"/3/0\"}]"),
        request(4, 14, 6, "", b"[{\"n\":\"/3303/0/5700\"}]"),
        request(6, 2, 6, "", b"[{\"n\":\"/3311/0/5850\",\"vb\":true}]"),
        request(2, 0, 0, "1/0/8", b""),
        request(0, 4, 1, "3", b""),
    ];
    let mut row = Vec::new();
    for request in &all {
        row.extend(request);
        // The device answers, time passes, a value changes.
        row.extend([7, 2, 0, 20, 6, 2, 3, 8, 0, 42]);
    }
    let mut seeds: Vec<Seed> = all.map(|input| ("client_messages", input)).into();
    seeds.push(("client_messages", row));
    let attributes = [
        &[2, 1, 1, 0, 0, 11][..],
        b"3303/0/5700",
        &[14],
        b"pmin=5&pmax=60",
        &[0],
    ];
    seeds.push(("client_messages", attributes.concat()));
    seeds
}

/// Steps are numbered as in `dtls.rs`: handshakes that go well, with a change on the way, with
/// pauses, moves and restarts; and every credential of the tests in each of its places.
fn dtls() -> io::Result<Vec<Seed>> {
    const START: &[u8] = &[11, 0];
    const ON: &[u8] = &[0; 16];
    const TALK: &[u8] = &[10, 0, 20, 1, 10, 0, 30, 0];
    let histories: [&[&[u8]]; 8] = [
        &[START, ON, TALK, ON],
        &[START, &[0, 0, 3, 0, 20, 1], ON, &[9, 2, 2], ON, TALK, ON],
        &[START, &[0, 0, 5, 5], &[9, 2, 3], ON, ON, TALK, ON],
        &[
            START,
            ON,
            TALK,
            ON,
            START,
            TALK,
            ON,
            &[6, 0, 6, 1],
            TALK,
            ON,
        ],
        &[START, ON, &[11, 7], START, TALK, ON, &[11, 3], ON, TALK, ON],
        &[START, ON, &[11, 6, 1], TALK, ON, &[11, 3], ON, TALK, ON],
        &[START, &[0, 0, 4, 0, 30, 4, 1, 2, 3, 4], ON, &[9, 3, 2]],
        &[START, ON, &[11, 4], ON, START, ON, TALK, ON],
    ];
    let mut seeds = Vec::new();
    for history in histories {
        for target in ["dtls_certificates", "dtls_handshake", "dtls_records"] {
            seeds.push((target, history.concat()));
        }
    }
    let alert = [7, 15, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    seeds.push(("dtls_records", [&alert[..], TALK, ON].concat()));
    let places = [
        ("client", 0),
        ("authority", 1),
        ("server", 2),
        ("client.key", 3),
    ];
    for (name, place) in places {
        let mut input = vec![2, 0, place];
        input.extend(fs::read(
            root().join(format!("tests/vectors/dtls/{name}.der")),
        )?);
        seeds.push(("dtls_credentials", input));
    }
    Ok(seeds)
}

/// An association, the name of the device, a register with its scaler, a refusal, a value in two parts
/// and a text; what is refused at once.
fn dlms() -> Vec<Seed> {
    let accepted =
        "6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f0400001e1d04c80007";
    let refused = "611fa109060760857405080101a203020101a305a10302010dbe0604040e010600";
    let answers = [
        accepted,
        "c401c10009084c4d503030303031",
        "c401c2000600bc614e",
        "c401c30002020fff161e",
        "c401c40104",
        "c402c500000000010002 0506",
        "c402c50100000002000300000a",
        "c401c6000903414243",
        "6303800100",
    ];
    let row = |answers: &[&str]| {
        let mut input = vec![0];
        for answer in answers {
            let answer = hex(&answer.replace(' ', ""));
            input.extend(u8::try_from(answer.len()));
            input.extend(answer);
        }
        ("dlms_dialogue", input)
    };
    let mut ciphered = row(&[accepted]);
    ciphered.1[0] = 1;
    vec![row(&answers), row(&[refused]), row(&["d80206"]), ciphered]
}

/// Frames of some real meters, damaged ones too; a readout with two telegrams.
fn mbus() -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for (file, every) in [("frames", 8), ("refused", 5)] {
        let text = read(&format!("tests/vectors/mbus/{file}.txt"))?;
        let frames = text.lines().filter_map(|line| {
            let frame = line.split(' ').next_back()?;
            frame.starts_with("68").then(|| hex(frame))
        });
        seeds.extend(frames.step_by(every).map(|frame| ("mbus_line", frame)));
    }
    let told = |records: &[u8]| {
        let length = u8::try_from(records.len()).unwrap_or(u8::MAX);
        [&[4, 1, length][..], records].concat()
    };
    let mut readout = vec![1, 2, 0, 3];
    readout.extend(told(&[0x01, 0x13, 0x05, 0x1F]));
    readout.push(1);
    readout.extend(told(&[0x0C, 0x06, 1, 2, 3, 4]));
    seeds.push(("mbus_readout", readout));
    Ok(seeds)
}

fn bootstraps() -> Vec<Seed> {
    // Accounts of server 101 at the first address and of 102 at the second, rights, the whole end.
    let (one, other) = ([0, 1, 0, 1, 0, 1, 0, 0], [0, 2, 1, 1, 0, 2, 0, 1]);
    let (own, its) = ([3, 0, 1, 2, 0, 1, 0, 5, 0], [3, 1, 2, 0, 60, 0, 1, 4, 1]);
    let rights = [5, 0, 1, 0, 1, 2];
    let (delete, finish, wait) = ([6, 0], [7], [9, 2, 60]);
    let rows: [&[&[u8]]; 5] = [
        &[&[1], &delete, &one, &own, &finish, &wait],
        &[&[0], &delete, &other, &its, &finish, &wait, &[9, 3, 40]],
        &[&[2], &other, &its, &rights, &finish, &wait, &[9, 2, 200]],
        &[
            &[0],
            &own,
            &[3, 0, 1, 2, 0, 1, 0, 5, 192],
            &finish,
            &own,
            &finish,
        ],
        &[
            &[5],
            &delete,
            &one,
            &own,
            &finish,
            &[10, 0],
            &delete,
            &other,
            &its,
            &finish,
        ],
    ];
    rows.map(|row| ("client_bootstrap", row.concat())).into()
}

fn histories() -> Vec<Seed> {
    let steps: [&[u8]; 4] = [
        &[
            0, 1, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 5, 0, 0, 2, 50, 0, 0, 0,
        ],
        &[
            0, 2, 1, 1, 0, 0, 0, 1, 0, 1, 10, 0, 1, 14, 0, 0, 0, 0, 0, 1, 5, 0, 0, 4, 80, 15, 0, 0,
            5, 0, 0, 4, 90,
        ],
        &[
            0, 3, 0, 1, 0, 0, 0, 2, 2, 9, 0, 0, 1, 0, 19, 0, 0, 3, 1, 5, 0, 0, 3, 70, 21, 0, 0, 1,
            20, 0, 0, 5, 0, 0, 5, 9,
        ],
        &[
            0, 4, 1, 0, 1, 1, 3, 1, 1, 0, 16, 0, 0, 1, 9, 7, 60, 5, 2, 30, 0, 2, 10, 1, 0, 13, 1,
            0, 2, 0, 0, 0, 5, 0, 0, 4, 33, 17, 1, 0, 24, 0, 0, 1,
        ],
    ];
    steps.map(|bytes| ("client_steps", bytes.to_vec())).into()
}
