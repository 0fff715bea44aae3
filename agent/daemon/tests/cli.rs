//! The real binary: exit codes, what it writes, and how it speaks to an agent.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use lamplighter_model::tables;

/// Where our own objects begin unless `client.vendor_object_base` says otherwise.
const VENDOR_OBJECT_BASE: u16 = 42_800;

const CONFIG: &str = r#"
[client]
endpoint = "cab-17"
[device.t]
adapter = "sim"
[device.t.point.a]
resource = "/3303/0/5700"
"#;

struct Place(PathBuf);

impl Place {
    fn new(config: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "cli-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let place = Self(path);
        place.put("lamplighter.toml", config);
        place
    }

    fn put(&self, name: &str, text: &str) {
        fs::File::create(self.0.join(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lamplighter"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.0.join("lamplighter.toml"));
        command
            .arg("--state-dir")
            .arg(self.0.join("state"))
            .arg("--run-dir")
            .arg(&self.0);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments ends before it reads.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Said::of(child.wait_with_output().unwrap())
    }

    /// An agent that gives these answers, one for each connection, and tells what it was asked.
    fn agent(&self, answers: Vec<String>) -> thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(self.0.join("control.sock")).unwrap();
        thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).unwrap();
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                // Who only looks whether somebody is there has gone.
                let _ = stream.write_all(answer.as_bytes());
            }
            asked
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Said {
    exit: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_command_line_without_sense_ends_with_2() {
    let place = Place::new(CONFIG);
    for arguments in [
        &["frobnicate"][..],
        &["read"],
        &["on", "x", "--for", "2 weeks"],
        &["offline", "--for", "8d"],
        &["bearer", "use"],
        &["check", "extra"],
    ] {
        assert_eq!(place.run(arguments).exit, 2, "{arguments:?}");
    }
    assert_eq!(place.run(&["--help"]).exit, 0);
    assert!(place.run(&["--version"]).out.starts_with("lamplighter "));
}

#[test]
fn commands_that_are_not_built_are_refused_by_name() {
    let place = Place::new(CONFIG);
    for arguments in [
        &["backup", "x.tar"][..],
        &["restore", "x.tar", "--force"],
        &["simulate", "fleet"],
    ] {
        let said = place.run(arguments);
        assert_eq!(said.exit, 1, "{arguments:?}");
        assert!(
            said.err.contains("not available in this version"),
            "{}",
            said.err
        );
    }
}

#[test]
fn check_prints_problems_and_ends_with_3() {
    let broken = Place::new("[client]\nendpiont = \"a\"\n[bus.a]\nkind = \"udp\"\n");
    let said = broken.run(&["check"]);
    assert_eq!(said.exit, 3);
    assert!(
        said.out.contains(
            "lamplighter.toml:2: error: unknown key `endpiont` (did you mean `endpoint`?)"
        ),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("lamplighter.toml:4: error: `kind = \"udp\"`: not available in this version"),
        "{}",
        said.out
    );
    let json: serde_json::Value =
        serde_json::from_str(&broken.run(&["check", "--json"]).out).unwrap();
    assert_eq!(json["valid"], false);
    let problems = json["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|problem| problem["place"]["line"] == 2),
        "{problems:?}"
    );

    let warned = Place::new(CONFIG);
    assert_eq!(warned.run(&["check"]).exit, 0);
    assert_eq!(warned.run(&["check", "--strict"]).exit, 3);
}

#[test]
fn check_shows_what_the_configuration_makes() {
    let place = Place::new(
        r#"
[client]
endpoint = "cab-17"
[bus.a]
kind = "serial"
device = "/dev/a"
[device.d]
adapter = "modbus"
bus = "a"
unit = 1
point.a = { resource = "/3303/0/5700", read = { table = "input", at = 0 }, poll_s = 1 }
point.b = { resource = "/3303/1/5700", read = { table = "input", at = 1 }, poll_s = 1 }
"#,
    );
    let said = place.run(&["check"]);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    for words in [
        "cab-17 (from client.endpoint)",
        "/3303/1",
        "d.a, d.b",
        // 13 characters and two registers of 11 bits at 9600 Bd, twice 3.5 of silence, 2 ms.
        "1 request per cycle, 29.5 ms on the line; polls take 2.9 % of the line's time",
    ] {
        assert!(
            said.out.contains(words),
            "{words} is missing in\n{}",
            said.out
        );
    }
    let json: serde_json::Value =
        serde_json::from_str(&place.run(&["check", "--json"]).out).unwrap();
    assert_eq!(
        json["buses"][0]["requests"].as_array().unwrap().len(),
        1,
        "two neighbours are read at once"
    );
    let load = json["buses"][0]["load"].as_f64().unwrap();
    assert!(load > 0.01 && load < 0.05, "{load}");
    assert!(json["register_bytes"].as_u64().unwrap() > 60);
}

#[test]
fn check_prints_what_watching_the_bearers_costs() {
    let place = Place::new(&format!(
        "{CONFIG}[bearer.lte]\nkind = \"cellular\"\ninterface = \"wwan0\"\n\
         [bearer.cable]\nkind = \"ethernet\"\npriority = 10\n\
         [bearer.spare]\nkind = \"tether-usb\"\ntier = \"backup\"\n"
    ));
    let said = place.run(&["check"]);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    let lines: Vec<Vec<&str>> = said
        .out
        .lines()
        .skip_while(|line| !line.starts_with("BEARER"))
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let cable = ["cable", "first ethernet", "primary", "10"];
    let lte = ["lte", "wwan0 (cellular)", "secondary", "100"];
    let spare = ["spare", "first tether-usb", "backup", "100"];
    for (line, expected) in lines[1..].iter().zip([cable, lte, spare]) {
        assert_eq!(line[..4], expected, "{}", said.out);
        assert!(
            line[4].starts_with("every ") && line[4].ends_with(" MB a month"),
            "{line:?}"
        );
    }
    assert_eq!(lines[3][5], "never", "a reserve is asked nothing");
    let json: serde_json::Value =
        serde_json::from_str(&place.run(&["check", "--json"]).out).unwrap();
    let bearers = json["bearers"].as_array().unwrap();
    assert_eq!(bearers.len(), 3);
    let bytes = |number: usize, name: &str| bearers[number][name].as_u64().unwrap();
    let active = bytes(1, "active_month_bytes");
    // Once a minute.
    assert!((1_000_000..20_000_000).contains(&active), "{active}");
    assert!(bytes(1, "standby_month_bytes") < active);
    assert_eq!(bytes(2, "standby_month_bytes"), 0);
}

#[test]
fn run_without_any_good_configuration_ends_with_3_and_says_every_problem() {
    let place = Place::new("[client]\na = 1\nb = 2\n");
    let said = place.run(&["run"]);
    assert_eq!(said.exit, 3, "{}", said.err);
    assert!(
        said.err.contains("lamplighter.toml:2") && said.err.contains("lamplighter.toml:3"),
        "{}",
        said.err
    );
}

#[test]
fn without_an_agent_commands_end_with_4() {
    let place = Place::new(CONFIG);
    for arguments in [
        &["status"][..],
        &["points"],
        &["read", "/3/0"],
        &["on", "x"],
        &["why", "x"],
        &["watch", "x"],
        &["bearer", "list", "--json"],
        &["bearer", "use", "cell"],
        &["bearer", "auto"],
        &["offline", "--for", "7d"],
        &["online"],
    ] {
        let said = place.run(arguments);
        assert_eq!(said.exit, 4, "{arguments:?}");
        assert!(said.err.contains("not running"), "{}", said.err);
    }
}

#[test]
fn servers_are_listed_and_told_what_to_do() {
    let place = Place::new(CONFIG);
    let list = r#"[{"name":"main","uri":"coap://a:5683","state":"registering","last_error":"no answer yet, asking again",
        "owner":true,"rights":{"*":"RWEDC"}},{"name":"grid","rights":{"*":"R","/3416":"RWE"}},{"name":"other"}]"#;
    let agent = place.agent(vec![
        answer("200 OK", list),
        answer("200 OK", r#"{"server":"main","result":"done"}"#),
        answer("404 Not Found", r#"{"error":"no server x","code":"4.04"}"#),
    ]);
    let said = place.run(&["server", "list"]);
    assert!(
        said.exit == 0 && said.out.contains("coap://a:5683  no answer yet"),
        "{}{}",
        said.out,
        said.err
    );
    let rows: Vec<Vec<&str>> = said
        .out
        .lines()
        .skip_while(|line| !line.starts_with("SERVER  OWNER"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        &["SERVER", "OWNER", "RIGHTS"][..],
        &["main", "yes", "*", "RWEDC"],
        &["grid", "no", "*", "R,", "/3416", "RWE"],
        &["other", "no", "as", "object", "2", "says"],
    ];
    assert_eq!(rows, expected, "{}", said.out);
    let said = place.run(&["server", "refresh", "main", "--json"]);
    assert!(
        said.exit == 0 && said.out.contains("\"done\""),
        "{}",
        said.out
    );
    assert_eq!(place.run(&["server", "register", "x"]).exit, 5);
    let asked = agent.join().unwrap();
    assert!(
        asked[0].starts_with("GET /api/v1/servers HTTP"),
        "{asked:?}"
    );
    assert!(
        asked[1].starts_with("POST /api/v1/servers/main/refresh HTTP"),
        "{asked:?}"
    );
}

#[test]
fn bearers_are_listed_and_chosen() {
    let place = Place::new(CONFIG);
    let list = r#"[{"name":"lan","kind":"ethernet","interface":"eth0","status":"disconnected","reason":"no-link","since_s":7.0},
        {"name":"cell","kind":"cellular","interface":"wwan0","status":"connected","reason":null,"since_s":61.0,
        "current":true,"round_trip_ms":41.5,"address":"192.0.2.7","metered":true,"bytes_today":1200,"signal_dbm":-97}]"#;
    let status = format!(
        r#"{{"bearers":{list},"bearer_choice":{{"mode":"use","bearer":"cell","trial_left_s":600.0}}}}"#
    );
    let done = r#"{"result":"done","note":"on trial: taken back unless a server is reached over it in time"}"#;
    let agent = place.agent(vec![
        answer("200 OK", list),
        answer("200 OK", &status),
        answer("200 OK", done),
        answer(
            "409 Conflict",
            r#"{"error":"bearer lan is disconnected (no-link)","code":"4.09"}"#,
        ),
        answer("200 OK", r#"{"result":"done","note":null}"#),
        answer("200 OK", r#"{"result":"done","note":null}"#),
        answer("200 OK", r#"{"result":"done","note":null}"#),
    ]);
    let said = place.run(&["bearer", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let reasons = (&json[0]["reason"], &json[1]["reason"]);
    assert_eq!(reasons, (&"no-link".into(), &serde_json::Value::Null));
    let said = place.run(&["bearer", "list"]);
    for part in [
        "lan     ethernet  eth0       disconnected (no-link)  7 s ago",
        "connected               1 min ago  42 ms       192.0.2.7  1.2 kB  0 B    in use; -97 dBm; metered",
        "cell is used by hand until `lamplighter bearer auto`, on trial for another 10 min",
    ] {
        assert!(said.out.contains(part), "{part}\n{}", said.out);
    }
    let said = place.run(&["bearer", "use", "cell"]);
    let words = "cell is used, on trial: taken back unless a server is reached over it in time;";
    assert!(
        said.exit == 0 && said.out.starts_with(words),
        "{}",
        said.out
    );
    let said = place.run(&["bearer", "use", "lan"]);
    assert_eq!(said.exit, 5, "{}", said.err);
    assert!(
        said.err
            .contains("4.09: bearer lan is disconnected (no-link)")
    );
    assert_eq!(place.run(&["bearer", "auto"]).exit, 0);
    let said = place.run(&["offline", "--for", "2h"]);
    assert!(said.out.starts_with("offline for 2 h"), "{}", said.out);
    assert_eq!(place.run(&["online"]).exit, 0);
    let asked = agent.join().unwrap();
    let calls = asked.iter().map(|request| request.lines().next().unwrap());
    let expected = [
        "GET /api/v1/bearers HTTP/1.1",
        "GET /api/v1/status HTTP/1.1",
        "POST /api/v1/bearers/cell/use HTTP/1.1",
        "POST /api/v1/bearers/lan/use HTTP/1.1",
        "POST /api/v1/bearers/auto HTTP/1.1",
        "POST /api/v1/offline HTTP/1.1",
        "POST /api/v1/online HTTP/1.1",
    ];
    assert!(calls.eq(expected), "{asked:?}");
    assert!(asked[5].ends_with(r#"{"for_s":7200}"#), "{}", asked[5]);
}

#[test]
fn doctor_says_what_can_be_seen_without_the_agent() {
    let place = Place::new(CONFIG);
    let said = place.run(&["doctor"]);
    assert_eq!(said.exit, 4, "{}", said.err);
    assert!(
        said.out.contains("! agent: the agent is not running"),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("    start it with `systemctl start lamplighter`"),
        "{}",
        said.out
    );
    // Keys that others can read, whoever uses them.
    for (name, mode) in [("credentials/spare", 0o644), ("state/core.cbor", 0o640)] {
        let path = place.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        place.put(name, "text:swordfish");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let said = place.run(&["doctor"]);
    assert!(
        said.out
            .contains("spare: others can read or change it (mode 0644)"),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("core.cbor: others can read or change it (mode 0640)"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("swordfish"));
}

#[test]
fn doctor_names_the_line_of_a_bad_configuration_and_ends_with_3() {
    let place = Place::new(&CONFIG.replace("adapter = \"sim\"", "adapter = \"simm\""));
    let said = place.run(&["doctor", "--json"]);
    assert_eq!(said.exit, 3);
    assert!(
        said.out.contains("\"healthy\": false") && said.out.contains("lamplighter.toml:5"),
        "{}",
        said.out
    );
}

#[test]
fn doctor_passes_on_what_the_agent_knows_with_advice() {
    let place = Place::new(&format!(
        "{CONFIG}[server.main]\nuri = \"coaps://192.0.2.5\"\nshort_id = 101\n\
         security = {{ mode = \"psk\", identity = \"cab-17\", key = \"credential:psk\" }}\n"
    ));
    let key = place.0.join("credentials/psk");
    fs::create_dir_all(key.parent().unwrap()).unwrap();
    place.put("credentials/psk", "text:swordfish");
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    let status = |problems: &str| {
        let body = format!(
            r#"{{"servers":[],"devices":[],"groups":[],"problems":[{problems}],"endpoint":"cab-17",
            "version":"0","time":"2027-01-15T08:00:00Z","clock":"trusted","uptime_s":5}}"#
        );
        answer("200 OK", &body)
    };
    let problem = r#"{"about":"server main","text":"the server's certificate has expired",
        "hint":"ask for a new one","since":null,"since_s":5}"#;
    let agent = place.agent(vec![status(problem), status("")]);
    let said = place.run(&["doctor"]);
    assert_eq!(said.exit, 1);
    let expected = "! server main: the server's certificate has expired\n    ask for a new one\n";
    assert_eq!(said.out, expected);
    let said = place.run(&["doctor"]);
    assert_eq!(said.exit, 0, "{}", said.out);
    assert!(said.out.starts_with("nothing is wrong"), "{}", said.out);
    agent.join().unwrap();
}

#[test]
fn a_missing_command_is_told_without_a_list_of_what_is_not_built() {
    let said = Place::new(CONFIG).run(&[]);
    assert_eq!(said.exit, 2);
    assert!(
        said.err.contains("--help") && !said.err.contains("bearer"),
        "{}",
        said.err
    );
}

#[test]
fn a_refusal_ends_with_5_and_says_code_and_reason() {
    let place = Place::new(CONFIG);
    let agent = place.agent(vec![answer(
        "405 Method Not Allowed",
        r#"{"error":"read only","code":"4.05"}"#,
    )]);
    let said = place.run(&["write", "t.a", "-4.5", "--for", "1h30m"]);
    assert_eq!(
        (said.exit, said.err.as_str()),
        (5, "lamplighter: refused with 4.05: read only\n")
    );
    let asked = agent.join().unwrap().remove(0);
    assert!(
        asked.starts_with("PUT /api/v1/objects/t.a HTTP/1.1\r\n"),
        "{asked}"
    );
    let body: serde_json::Value =
        serde_json::from_str(asked.rsplit("\r\n").next().unwrap()).unwrap();
    assert_eq!(body, serde_json::json!({ "value": "-4.5", "for_s": 5400 }));
}

#[test]
fn values_are_shown_with_unit_age_and_quality_or_as_the_api_gave_them() {
    let place = Place::new(CONFIG);
    let body = r#"{"path":"/3303/0/5700","name":"t.a","value":21.5,"unit":"Cel","time":null,"quality":"stale","device":"t","age_s":125.0,"error":"the device cannot be reached"}"#;
    let agent = place.agent(vec![
        answer("200 OK", body),
        answer("200 OK", body),
        answer("200 OK", &format!("[{body}]")),
    ]);
    let one = place.run(&["read", "/3303/0/5700"]);
    assert_eq!(
        one.out,
        "21.5 Cel  (stale, 2 min old, from t)\nthe last known value: the device cannot be reached\n"
    );
    let json = place.run(&["read", "t.a", "--json"]);
    let printed: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        printed,
        serde_json::from_str::<serde_json::Value>(body).unwrap()
    );
    let list = place.run(&["points"]);
    assert!(
        list.out
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("/3303/0/5700  t.a   21.5 Cel  2 min  stale"),
        "{}",
        list.out
    );
    assert!(agent.join().unwrap()[0].starts_with("GET /api/v1/objects/3303/0/5700 "));
}

#[test]
fn a_secret_is_kept_with_mode_0600_and_only_its_fingerprint_is_shown() {
    let place = Place::new(CONFIG);
    let said = place.run_with(&["secret", "set", "main-psk"], "hex:0001ff\n");
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(
        said.out.contains("3 bytes, fingerprint ") && !said.out.contains("0001ff\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("credential:main-psk"), "{}", said.out);
    let path = place.0.join("credentials/main-psk");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert_eq!(place.text("credentials/main-psk"), "hex:0001ff");

    let said = place.run_with(&["secret", "set", "main-psk"], "0001ff\n");
    assert_eq!(said.exit, 1);
    assert!(said.err.contains("hex:, base64: or text:"), "{}", said.err);
    assert_eq!(place.run_with(&["secret", "set", "../x"], "hex:00").exit, 2);
}

#[test]
fn setup_writes_its_drop_in_after_a_check_and_never_without_consent() {
    let place = Place::new(CONFIG);
    let said = place.run(&["setup", "--server", "coap://192.0.2.5"]);
    assert_eq!(said.exit, 2);
    assert!(said.err.contains("--allow-unsecured"), "{}", said.err);
    assert!(!place.0.join("conf.d").exists());

    let wanted = [
        "setup",
        "--server",
        "coap://192.0.2.5",
        "--short-id",
        "101",
        "--allow-unsecured",
    ];
    let said = place.run(&wanted);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(
        said.out.contains("this box is `cab-17`") && said.out.contains("not running"),
        "{}",
        said.out
    );
    assert!(
        place
            .text("conf.d/10-server.toml")
            .contains("[server.main]\nuri = \"coap://192.0.2.5\"")
    );
    let said = place.run(&["check"]);
    assert_eq!(said.exit, 0);
    assert!(said.out.contains("neither encrypted nor authenticated"));

    // A second server beside the first is refused before anything is written.
    place.put("lamplighter.toml", &format!("{CONFIG}[server.other]\nuri = \"coap://x\"\nshort_id = 7\nsecurity = {{ mode = \"none\" }}\nallow_unsecured = true\n"));
    let before = place.text("conf.d/10-server.toml");
    let said = place.run(&wanted);
    assert!(
        said.exit == 3 && said.err.contains("say who may write"),
        "{}",
        said.err
    );
    assert_eq!(place.text("conf.d/10-server.toml"), before);
}

#[test]
fn setup_begins_on_a_box_without_any_configuration() {
    let place = Place::new(CONFIG);
    fs::remove_file(place.0.join("lamplighter.toml")).unwrap();
    let said = place.run(&["check"]);
    assert!(
        said.exit == 3 && said.out.contains("--config"),
        "{} {}",
        said.out,
        said.err
    );
    let said = place.run(&[
        "setup",
        "--server",
        "coap://192.0.2.5",
        "--endpoint",
        "cab-18",
        "--allow-unsecured",
    ]);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(place.text("lamplighter.toml").starts_with('#'));
    let said = place.run(&["check"]);
    assert_eq!(said.exit, 0, "{} {}", said.out, said.err);
    assert_eq!(place.run_with(&["secret", "set", "key"], "text:a").exit, 0);
}

#[test]
fn setup_keeps_the_key_beside_the_configuration_and_names_it() {
    let place = Place::new(CONFIG);
    let wanted = ["setup", "--server", "coaps://192.0.2.5"];
    let said = place.run_with(&wanted, "swordfish");
    assert_eq!(said.exit, 1, "{}", said.err);
    assert!(said.err.contains("hex:, base64: or text:"), "{}", said.err);
    assert!(!place.0.join("conf.d").exists());

    let said = place.run_with(&wanted, "text:swordfish\n");
    assert_eq!(said.exit, 0, "{}", said.err);
    let written = place.text("conf.d/10-server.toml");
    let security =
        r#"security = { mode = "psk", identity = "cab-17", key = "credential:main-psk" }"#;
    assert!(written.contains(security), "{written}");
    assert_eq!(place.text("credentials/main-psk"), "text:swordfish");
    assert!(!format!("{written}{}{}", said.out, said.err).contains("swordfish"));
    assert_eq!(place.run(&["check", "--strict"]).exit, 0);

    // Certificates are named, not asked for; what cannot be read is told and nothing is written.
    let before = place.text("conf.d/10-server.toml");
    let said = place.run(&[
        "setup",
        "--server",
        "coaps://192.0.2.5",
        "--cert",
        "/absent/cert.pem",
        "--ca",
        "/absent/ca.pem",
        "--key",
        "/absent/key.pem",
    ]);
    assert_eq!(said.exit, 3, "{}", said.err);
    assert!(said.err.contains("/absent/cert.pem"), "{}", said.err);
    assert_eq!(place.text("conf.d/10-server.toml"), before);
}

#[test]
fn setup_waits_for_the_running_agent_and_says_registered_or_why_not() {
    let place = Place::new(CONFIG);
    let unknown = || answer("404 Not Found", r#"{"error":"no such call","code":"4.04"}"#);
    let status = |state: &str, error: &str| {
        let body = format!(
            r#"{{"servers":[{{"name":"main","uri":"coap://a:5683","state":"{state}","last_error":{error}}}]}}"#
        );
        answer("200 OK", &body)
    };
    let wanted = [
        "setup",
        "--server",
        "coap://a",
        "--allow-unsecured",
        "--wait",
        "1s",
    ];
    let offline = || status("offline", "\"no answer\"");
    let agent = place.agent(vec![
        unknown(),
        unknown(),
        offline(),
        status("registered", "null"),
    ]);
    let said = place.run(&wanted);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(said.out.ends_with("registered at `main`\n"), "{}", said.out);
    assert!(agent.join().unwrap()[1].starts_with("POST /api/v1/reload "));

    fs::remove_file(place.0.join("control.sock")).unwrap();
    let _agent = place.agent(vec![unknown(), unknown(), offline(), offline(), offline()]);
    let said = place.run(&wanted);
    assert_eq!(said.exit, 1);
    assert!(
        said.err
            .contains("not registered at `main` after 1 s: no answer"),
        "{}",
        said.err
    );
}

#[test]
fn objects_export_writes_the_definitions_that_are_in_use() {
    let place = Place::new(CONFIG);
    let directory = place.0.join("xml");
    assert_eq!(
        place
            .run(&["objects", "export", directory.to_str().unwrap()])
            .exit,
        0
    );
    let text = fs::read_to_string(directory.join("3303.xml")).unwrap();
    assert_eq!(
        lamplighter_model::xml::read(&text).unwrap()[0].name,
        "Temperature"
    );
    assert!(!directory.join("3416.xml").exists());
}

#[test]
fn all_that_is_registered_is_exported_and_read_again() {
    let place = Place::new(CONFIG);
    let directory = place.0.join("xml");
    let said = place.run(&["objects", "export", directory.to_str().unwrap()]);
    assert_eq!(said.exit, 0, "{}", said.err);
    let mut built_in = tables::standard();
    let vendor = tables::vendor(VENDOR_OBJECT_BASE);
    vendor
        .into_iter()
        .for_each(|object| built_in.insert(object));
    let mut exported = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for object in lamplighter_model::xml::read(&text).unwrap() {
            let known = built_in.object(object.id).unwrap();
            assert_eq!(&object, known.as_ref());
            exported.push(object.id.0);
        }
    }
    exported.sort_unstable();
    // The agent's own, what servers may create, the point's, and the state of outputs.
    let state = VENDOR_OBJECT_BASE + 2;
    assert_eq!(exported, [1, 3, 4, 7, 16, 19, 3303, state]);
}

#[test]
fn a_page_password_is_set_with_its_address() {
    let place = Place::new(CONFIG);
    fs::create_dir(place.0.join("state")).unwrap();
    let said = place.run_with(
        &["web", "enable", "--listen", "127.0.0.1:8081"],
        "correct horse battery\n",
    );
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(said.out.contains("http://127.0.0.1:8081/"), "{}", said.out);
    assert_eq!(place.run(&["check"]).exit, 0);
    assert_eq!(place.run_with(&["web", "enable"], "short\n").exit, 1);
}
