//! Broken configurations, missing directories, power cuts: what an operator meets.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use lamplighter_interop::{
    agent::{Agent, program},
    coap::Server,
    lines::Lines,
    scratch,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

const GOOD: &str = r#"
[client]
endpoint = "tested"
[device.lamps]
adapter = "gpio"
backend = "sim"
point.l1 = { line = "GPIO5", instance = "/3416/1" }
point.l2 = { line = "GPIO6", instance = "/3416/2" }
point.l3 = { line = "GPIO7", instance = "/3416/3" }
[site.group.street]
members = ["lamps.l1", "lamps.l2", "lamps.l3"]
stagger_ms = 50
"#;

/// Five lines with six mistakes behind the good configuration.
const MISTAKES: &str = r#"
[server.main]
uri = "coap+tcp://lwm2m.example"
short_id = 0
lifetme_s = 5
security = { mode = "oscore", ca = 5 }
[bearer.cell]
"#;

fn lamplighter(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .arg("--config")
        .arg(directory.join("lamplighter.toml"))
        .arg("--state-dir")
        .arg(directory.join("state"))
        .arg("--run-dir")
        .arg(directory.join("run"))
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn write(directory: &Path, file: &str, text: &str) {
    lamplighter_interop::write(&directory.join(file), text);
}

/// What stands in the file, by its line.
fn line_of(text: &str, wanted: &str) -> usize {
    let at = text.lines().position(|line| line.contains(wanted));
    at.unwrap_or_else(|| panic!("{wanted} stands in the text")) + 1
}

/// The lines that `check` and a refused start name, each with a word of the complaint.
fn complaints(text: &str) -> Vec<(usize, &'static str)> {
    vec![
        (line_of(text, "uri ="), "coap+tcp"),
        (line_of(text, "short_id ="), "short_id"),
        (line_of(text, "lifetme_s"), "did you mean `lifetime_s`?"),
        (line_of(text, "security ="), "not available in this version"),
        (
            line_of(text, "[bearer.cell]"),
            "the key `kind` is missing in [bearer.cell]",
        ),
    ]
}

fn tells(words: &str, complaints: &[(usize, &str)]) {
    for (line, word) in complaints {
        let place = format!("lamplighter.toml:{line}: error: ");
        assert!(
            words
                .lines()
                .any(|text| text.contains(&place) && text.contains(word)),
            "{place}{word}\n{words}"
        );
    }
}

#[test]
fn without_a_configuration_that_was_ever_accepted_every_problem_is_told_and_3_is_returned() {
    let directory = scratch("config-none");
    let text = format!("{GOOD}{MISTAKES}");
    write(&directory, "lamplighter.toml", &text);
    let refused = lamplighter(&directory, &["run"]);
    assert_eq!(code(&refused), 3);
    tells(
        &String::from_utf8(refused.stderr).unwrap(),
        &complaints(&text),
    );
    let checked = lamplighter(&directory, &["check"]);
    assert_eq!(code(&checked), 3);
    tells(
        &String::from_utf8(checked.stdout).unwrap(),
        &complaints(&text),
    );
    std::fs::remove_file(directory.join("lamplighter.toml")).unwrap();
    assert_eq!(code(&lamplighter(&directory, &["run"])), 3);
}

#[test]
fn broken_files_run_the_last_good_configuration_and_status_lists_every_problem() {
    let directory = scratch("config-last-good");
    let mut agent = Agent::run(&directory, GOOD, &[]);
    agent.until(&["status"], SOON, |status| {
        status["problems"][0]["text"] == "not configured: lamplighter setup"
    });
    assert_eq!(agent.lines.signal("TERM"), Some(0));

    let text = format!("{GOOD}{MISTAKES}");
    let mut agent = Agent::run(&directory, &text, &[]);
    let status = agent.until(&["status"], SOON, |status| status.is_object());
    let problems: Vec<&str> = status["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|problem| problem["text"].as_str())
        .collect();
    let words = problems.join("\n");
    tells(&words, &complaints(&text));
    // Two of them stand in one line.
    for word in [
        "expected a text in quotes, found the number 5",
        "`mode = \"oscore\"`",
        "the last good configuration runs",
    ] {
        assert!(words.contains(word), "{word}\n{words}");
    }
    assert_eq!(agent.json(&["read", "/3/0/11/0"])["value"], 16);
    assert!(agent.cli(&["on", "lamps.l1"]).status.success());
    assert_eq!(agent.lines.signal("TERM"), Some(0));

    assert_eq!(code(&lamplighter(&directory, &["run", "--strict"])), 3);

    let agent = Agent::run(&directory, GOOD, &[]);
    let status = agent.until(&["status"], SOON, |status| status.is_object());
    assert_eq!(status["problems"].as_array().unwrap().len(), 1, "{status}");
    assert_ne!(agent.json(&["read", "/3/0/11"])[0]["value"], 16);
}

/// The first error of a report, behind the warnings.
fn error(report: &Value) -> &Value {
    let problems = report["problems"].as_array().unwrap();
    let mut errors = problems.iter().filter(|one| one["severity"] == "error");
    errors.next().unwrap()
}

#[test]
fn drop_ins_and_variables_lie_over_the_file_and_are_named_where_they_are_wrong() {
    let directory = scratch("config-layers");
    write(&directory, "lamplighter.toml", GOOD);
    write(
        &directory,
        "conf.d/10-a.toml",
        "[client]\nendpoint = \"from-10\"\n",
    );
    write(
        &directory,
        "conf.d/20-b.toml",
        "[client]\nendpoint = \"from-20\"\n",
    );
    let endpoint = |variables: &[(&str, &str)]| {
        let output = Command::new(program())
            .args(["check", "--json", "--config"])
            .arg(directory.join("lamplighter.toml"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report
    };
    assert!(
        endpoint(&[])["endpoint"]
            .as_str()
            .unwrap()
            .starts_with("from-20")
    );
    let overridden = endpoint(&[
        ("LAMPLIGHTER_CLIENT__ENDPOINT", "from-env"),
        ("LAMPLIGHTER_LOG", "debug"),
    ]);
    assert!(
        overridden["endpoint"]
            .as_str()
            .unwrap()
            .starts_with("from-env")
    );
    let wrong = endpoint(&[("LAMPLIGHTER_CLIENT__ENDPONT", "x")]);
    assert_eq!(wrong["valid"], false);
    let place = &error(&wrong)["place"]["file"];
    assert!(
        place
            .as_str()
            .unwrap()
            .contains("LAMPLIGHTER_CLIENT__ENDPONT"),
        "{wrong}"
    );
    write(
        &directory,
        "conf.d/30-c.toml",
        "\n\n[device.lamps]\nbakend = \"sim\"\n",
    );
    let wrong = endpoint(&[]);
    let place = &error(&wrong)["place"];
    assert!(
        place["file"]
            .as_str()
            .unwrap()
            .ends_with("conf.d/30-c.toml"),
        "{wrong}"
    );
    assert_eq!(place["line"], 4, "{wrong}");
}

/// How a program ends that is expected to end at once; none where it does not.
fn ended(command: &mut Command) -> Option<i32> {
    let lines = Lines::start(command);
    // Its standard output ends with it.
    let quiet = lines.hear(SOON).is_none();
    lines.ended().filter(|_| quiet)
}

#[test]
fn one_agent_per_directory() {
    let directory = scratch("config-twice");
    let agent = Agent::run(&directory, GOOD, &[]);
    agent.until(&["status"], SOON, |status| status.is_object());
    let second = lamplighter(&directory, &["run"]);
    assert_eq!(code(&second), 1, "{second:?}");
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another agent"),
        "{second:?}"
    );
    // The sockets of the second are elsewhere, but the state is the same.
    let elsewhere = scratch("config-twice-elsewhere");
    let mut command = Command::new(program());
    command
        .args(["run", "--config"])
        .arg(directory.join("lamplighter.toml"))
        .arg("--state-dir")
        .arg(directory.join("state"))
        .arg("--run-dir")
        .arg(&elsewhere);
    assert_eq!(ended(&mut command), Some(1));
    assert!(agent.cli(&["status"]).status.success());
}

#[test]
fn a_power_cut_in_the_middle_of_switching_loses_no_command() {
    let directory = scratch("config-power-cut");
    let mut agent = Agent::run(&directory, GOOD, &[]);
    agent.until(&["points"], SOON, |points| points[0]["quality"] == "good");
    let mut wanted = [false; 3];
    for round in 0..6_usize {
        let lamp = round % 3;
        wanted[lamp] = round % 2 == 0;
        let word = if wanted[lamp] { "on" } else { "off" };
        let done = agent.cli(&[word, &format!("lamps.l{}", lamp + 1)]);
        assert!(done.status.success(), "{done:?}");
        // What was answered is on the disk; nothing else may be relied upon.
        agent.lines.signal("KILL");
        agent = Agent::rerun(&directory, &[]);
        for (number, wanted) in (1..).zip(wanted) {
            agent.until(&["read", &format!("lamps.l{number}")], SOON, |point| {
                point["value"].as_f64() == Some(if wanted { 100.0 } else { 0.0 })
            });
        }
    }
    // A group that is cut off in its stagger is finished after the restart.
    assert!(agent.cli(&["on", "street"]).status.success());
    agent.lines.signal("KILL");
    let agent = Agent::rerun(&directory, &[]);
    for lamp in ["lamps.l1", "lamps.l2", "lamps.l3"] {
        agent.until(&["read", lamp], SOON, |point| {
            point["value"].as_f64() == Some(100.0)
        });
    }
}

#[test]
fn damaged_state_is_no_reason_to_stay_dark() {
    let directory = scratch("config-damaged");
    let mut agent = Agent::run(&directory, GOOD, &[]);
    agent.until(&["points"], SOON, |points| points[0]["quality"] == "good");
    assert!(agent.cli(&["on", "lamps.l1"]).status.success());
    assert_eq!(agent.lines.signal("TERM"), Some(0));
    for entry in std::fs::read_dir(directory.join("state")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        lamplighter_interop::write(&path, bytes);
    }
    let agent = Agent::rerun(&directory, &[]);
    agent.until(&["points"], SOON, |points| points[0]["quality"] == "good");
    assert!(agent.cli(&["on", "lamps.l2"]).status.success());
}

#[test]
fn setup_is_not_content_with_the_registration_at_the_server_before() {
    let directory = scratch("config-setup");
    let (mut before, after) = (Server::start(), Server::start());
    let account = format!(
        "{GOOD}[server.main]\nuri = \"coap://127.0.0.1:{}\"\nshort_id = 1\n\
         security = {{ mode = \"none\" }}\nallow_unsecured = true\n",
        before.port()
    );
    let agent = Agent::run(&directory, &account, &[]);
    before.accept();
    agent.until(&["status"], SOON, |status| {
        status["servers"][0]["state"] == "registered"
    });
    let setup = |port: u16| {
        let uri = format!("coap://127.0.0.1:{port}");
        let arguments = ["setup", "--allow-unsecured", "--wait", "1s", "--server"];
        lamplighter(&directory, &[&arguments[..], &[&uri]].concat())
    };
    let same = setup(before.port());
    assert_eq!(code(&same), 0, "{same:?}");
    let other = setup(after.port());
    assert_eq!(code(&other), 1, "{other:?}");
    let text = std::fs::read_to_string(directory.join("conf.d/10-server.toml")).unwrap();
    assert!(text.contains(&after.port().to_string()), "{text}");
}

#[test]
fn output_that_nobody_reads_any_more_is_no_error() {
    let directory = scratch("config-closed-pipe");
    write(&directory, "lamplighter.toml", GOOD);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(program());
    command
        .args(["check", "--config"])
        .arg(directory.join("lamplighter.toml"))
        .stdout(writer);
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
}

#[test]
fn a_secret_that_is_too_long_is_not_cut() {
    let directory = scratch("config-secret");
    write(&directory, "lamplighter.toml", GOOD);
    let long = format!("text:{}", "x".repeat(70_000));
    write(&directory, "long", &long);
    let set = |file: &str| {
        Command::new(program())
            .args(["secret", "set", "key", "--config"])
            .arg(directory.join("lamplighter.toml"))
            .stdin(std::fs::File::open(directory.join(file)).unwrap())
            .output()
            .unwrap()
    };
    assert_eq!(code(&set("long")), 1);
    assert!(!directory.join("credentials/key").exists());
    write(&directory, "short", "hex:00ff\n");
    let done = set("short");
    assert_eq!(code(&done), 0, "{done:?}");
    let words = String::from_utf8(done.stdout).unwrap();
    assert!(
        words.contains("2 bytes") && !words.contains("00ff"),
        "{words}"
    );
}

#[test]
fn the_page_can_be_enabled_before_the_agent_ever_ran() {
    let directory = scratch("config-web");
    write(&directory, "lamplighter.toml", GOOD);
    write(&directory, "password", "correct horse\n");
    let output = Command::new(program())
        .args(["web", "enable", "--listen", "127.0.0.1:8080", "--config"])
        .arg(directory.join("lamplighter.toml"))
        .arg("--state-dir")
        .arg(directory.join("state"))
        .stdin(std::fs::File::open(directory.join("password")).unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
}
