//! Programs that serve devices over `adapters.sock`: the example that we ship, against the agent as
//! it runs, and one that misbehaves.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lamplighter_interop::{agent::Agent, lines::Lines, root, scratch};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

const CONFIGURATION: &str = r#"
[client]
endpoint = "cab-17"
[device.heating]
adapter = "remote"
objects = ["/3303"]
silence_s = 5
[device.heating.point.flow]
resource = "/3303/0/5700"
unit = "Cel"
[device.heating.point.setpoint]
resource = "/3308/0/5900"
writable = true
ask = true
limit = { min = 5.0, max = 35.0 }
[device.attic]
adapter = "sim"
[device.attic.point.temperature]
resource = "/3303/9/5700"
value = 20.0
"#;

fn start_example(agent: &Agent) -> Lines {
    let mut command = Command::new("python3");
    command
        .arg(root().join("config/examples/heating.py"))
        .arg("--socket")
        .arg(agent.run_dir.join("adapters.sock"));
    Lines::start(&mut command)
}

fn device(status: &Value) -> &Value {
    let devices = status.as_array().map(Vec::as_slice).unwrap_or_default();
    let heating = devices.iter().find(|device| device["name"] == "heating");
    heating.unwrap_or(&Value::Null)
}

fn is_online(status: &Value) -> bool {
    device(status)["state"] == "online"
}

#[test]
fn the_example_serves_a_device_and_either_side_may_restart() {
    let directory = scratch("remote-example");
    let agent = Agent::run(&directory, CONFIGURATION, &[]);
    agent.until(&["devices"], SOON, |devices| !device(devices).is_null());
    let mut example = start_example(&agent);
    let devices = agent.until(&["devices"], SOON, is_online);
    let notes = device(&devices)["notes"].to_string();
    assert!(notes.contains("served by heating.py of"), "{notes}");

    let is_good = |value: &Value| value["quality"] == "good";
    let flow = agent.until(&["read", "heating.flow"], SOON, is_good);
    assert!(flow["value"].as_f64().unwrap() >= 35.0, "{flow}");
    agent.until(&["read", "/3303/10/5700"], SOON, is_good);

    assert!(
        agent
            .cli(&["write", "heating.setpoint", "25"])
            .status
            .success()
    );
    let setpoint = agent.json(&["read", "heating.setpoint"]);
    assert_eq!(setpoint["value"].as_f64(), Some(25.0), "{setpoint}");
    // Within our limit, not within that of the device.
    let refused = agent.cli(&["write", "heating.setpoint", "34"]);
    assert_eq!(refused.status.code(), Some(5));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("between 5 and 30 degrees"), "{words}");
    assert!(agent.cli(&["exec", "/3303/10/5605"]).status.success());

    // The program goes: what it has declared stays, and is stale.
    example.signal("KILL");
    let is_stale = |value: &Value| value["quality"] == "stale";
    agent.until(&["read", "/3303/10/5700"], SOON, is_stale);
    let devices = agent.json(&["devices"]);
    assert_eq!(device(&devices)["detail"], "its program has gone");
    let mut example = start_example(&agent);
    agent.until(&["read", "/3303/10/5700"], SOON, is_good);

    // The agent goes, and is there again without the program.
    let mut agent = agent;
    assert_eq!(agent.lines.signal("TERM"), Some(0));
    example.signal("KILL");
    let agent = Agent::rerun(&directory, &[]);
    agent.until(&["read", "/3303/10/5700"], SOON, is_stale);
    let example = start_example(&agent);
    agent.until(&["read", "/3303/10/5700"], SOON, is_good);

    // The agent goes while the program stays: that finds it again.
    drop(agent);
    let agent = Agent::rerun(&directory, &[]);
    agent.until(&["read", "/3303/10/5700"], SOON, is_good);
    drop(example);
}

/// A program of a test.
struct Program {
    lines: BufReader<UnixStream>,
}

impl Program {
    fn start(agent: &Agent) -> Self {
        let socket = UnixStream::connect(agent.run_dir.join("adapters.sock")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self {
            lines: BufReader::new(socket),
        }
    }

    fn say(&mut self, line: &Value) {
        self.lines
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// The next line of this type.
    fn told_of(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            if told["type"] == kind {
                return told;
            }
        }
    }
}

#[test]
fn a_program_that_misbehaves_is_told_so_and_people_see_it() {
    let directory = scratch("remote-bad");
    let agent = Agent::run(&directory, CONFIGURATION, &[]);
    agent.until(&["devices"], SOON, |devices| !device(devices).is_null());
    assert_eq!(mode_of(&agent.run_dir.join("adapters.sock")), 0o660);

    let mut stranger = Program::start(&agent);
    stranger.say(&json!({"type": "hello", "version": 1, "device": "cooling"}));
    let reason = stranger.told_of("closing")["reason"].clone();
    assert_eq!(
        reason,
        "no such device is configured with adapter = \"remote\""
    );
    let mut future = Program::start(&agent);
    future.say(&json!({"type": "hello", "version": 2, "device": "heating"}));
    let reason = future.told_of("closing")["reason"].clone();
    assert_eq!(reason, "version 2 is not spoken here, 1 is");

    let mut program = Program::start(&agent);
    program.say(&json!({"type": "hello", "version": 1, "device": "heating"}));
    program.told_of("welcome");
    let mut second = Program::start(&agent);
    second.say(&json!({"type": "hello", "version": 1, "device": "heating"}));
    let reason = second.told_of("closing")["reason"].clone();
    assert_eq!(reason, "another program serves this device");

    program.say(&json!({"type": "declare", "added": [{"path": "/3300/0/5700"}]}));
    program.told_of("error");
    // Quality and unit of what is measured, by this program or another device.
    for path in ["/3303/0/5701", "/3303/0/6042", "/3303/9/6049"] {
        program.say(&json!({"type": "declare", "added": [{"path": path}]}));
        let error = program.told_of("error");
        let reason = "it belongs to another device, or the agent tells it";
        assert_eq!(error["refused"][0]["reason"], reason, "{path}");
    }
    let lie = json!({"path": "/3303/0/5700", "value": "warm"});
    program.say(&json!({"type": "samples", "samples": [lie]}));
    program.told_of("error");
    let devices = agent.until(&["devices"], SOON, |devices| {
        device(devices)["errors"] == json!({"not_granted": 1, "taken": 3, "wrong_type": 1})
    });
    let notes = device(&devices)["notes"].to_string();
    assert!(notes.contains("its value is of another type"), "{notes}");
    let silence = agent.until(&["devices"], SOON, |devices| {
        device(devices)["state"] == "offline"
    });
    let detail = &device(&silence)["detail"];
    assert_eq!(detail, "its program was silent for 5 s");
    program.told_of("closing");
}

/// A figure: lines that the agent has taken, as its answer to a wrong one behind them says.
#[expect(
    clippy::disallowed_methods,
    reason = "a figure of a real process is taken in real time"
)]
fn samples_in_a_second(program: &mut Program, lines: u32, samples: u32) -> f64 {
    let begin = Instant::now();
    for line in 0..lines {
        let sample = |at: u32| json!({"path": "/3303/0/5700", "value": line * samples + at});
        let samples: Vec<Value> = (0..samples).map(sample).collect();
        program.say(&json!({"type": "samples", "samples": samples}));
    }
    program.say(&json!({"type": "end"}));
    program.told_of("error");
    f64::from(lines * samples) / begin.elapsed().as_secs_f64()
}

#[expect(clippy::print_stdout, reason = "figures for the documentation")]
#[test]
fn a_program_tells_thousands_of_samples_a_second() {
    let directory = scratch("remote-figure");
    let configuration = CONFIGURATION.replace("silence_s", "samples_per_s = 100000\nsilence_s");
    let agent = Agent::run(&directory, &configuration, &[]);
    agent.until(&["devices"], SOON, |devices| !device(devices).is_null());
    let mut program = Program::start(&agent);
    program.say(&json!({"type": "hello", "version": 1, "device": "heating"}));
    program.told_of("welcome");
    let alone = samples_in_a_second(&mut program, 5_000, 1);
    let together = samples_in_a_second(&mut program, 500, 50);
    println!("samples per second: {alone:.0} one to a line, {together:.0} fifty to a line");
    assert!(alone > 1_000.0 && together > 1_000.0);
    agent.until(&["read", "heating.flow"], SOON, |flow| {
        flow["value"].as_f64() == Some(24_999.0)
    });
}

fn mode_of(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
