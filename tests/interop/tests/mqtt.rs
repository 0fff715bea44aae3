//! A device behind a real broker: state and command, last will, a broker that restarts, is killed,
//! refuses us or is not who it should be.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs::Permissions,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use lamplighter_interop::{agent::Agent, lines::Lines, openssl::Authority, root, scratch, write};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

const PLUG: &str = r#"
[client]
endpoint = "cab-17"
[device.plug]
template = "tasmota-plug"
parameters = { topic = "plug" }
"#;

/// A mosquitto of a test.
struct Broker {
    config: PathBuf,
    port: u16,
    /// Ends with it.
    process: Option<Lines>,
}

impl Broker {
    fn new(directory: &Path, settings: &str) -> Self {
        // Nobody else gets the port so soon.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let config = directory.join("mosquitto.conf");
        // Started as root it would become another user, who cannot read our files.
        write(
            &config,
            format!("user root\nlistener {port} 127.0.0.1\n{settings}\n"),
        );
        let mut broker = Self {
            config,
            port,
            process: None,
        };
        broker.start();
        broker
    }

    fn start(&mut self) {
        let mut command = Command::new("/usr/sbin/mosquitto");
        let command = command.arg("-c").arg(&self.config);
        self.process = Some(Lines::start(command));
    }

    fn signal(&mut self, name: &str) {
        self.process.as_mut().unwrap().signal(name);
        self.process = None;
    }

    fn publish(&self, topic: &str, message: &str, retain: bool) {
        publish(self.port, topic, message, retain);
    }
}

fn publish(port: u16, topic: &str, message: &str, retain: bool) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-p", &port.to_string(), "-t", topic, "-m", message]);
    if retain {
        command.arg("-r");
    }
    // A broker that is just beginning refuses.
    for _ in 0..100 {
        if command.output().unwrap().status.success() {
            return;
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    panic!("the broker takes nothing");
}

/// A plug: does what it is told, says so, and leaves a last will.
struct Plug {
    pid: u32,
}

impl Plug {
    fn start(port: u16) -> Self {
        let mut command = Command::new("mosquitto_sub");
        command.args([
            "-p",
            &port.to_string(),
            "-t",
            "cmnd/plug/POWER",
            "-F",
            "[%p]",
        ]);
        command.args(["--will-topic", "tele/plug/LWT", "--will-payload", "Offline"]);
        command.args(["--will-retain", "-k", "5"]);
        let commands = Lines::start(&mut command);
        let pid = commands.pid();
        publish(port, "tele/plug/LWT", "Online", true);
        thread::spawn(move || {
            let mut state = "OFF".to_owned();
            while let Some(command) = commands.hear(Duration::from_secs(120)) {
                let word = command.trim_matches(['[', ']']);
                if !word.is_empty() {
                    word.clone_into(&mut state);
                }
                publish(port, "stat/plug/POWER", &state, false);
            }
        });
        Self { pid }
    }

    fn dies(self) {
        let pid = self.pid.to_string();
        let killed = Command::new("kill").args(["-9", &pid]).output().unwrap();
        assert!(killed.status.success());
    }
}

fn start(directory: &Path, broker: &str) -> Agent {
    let template = root().join("config/templates/tasmota-plug.toml");
    let template = std::fs::read(template).unwrap();
    write(&directory.join("templates/tasmota-plug.toml"), template);
    Agent::run(directory, &format!("{PLUG}[mqtt]\n{broker}\n"), &[])
}

fn plug(devices: &Value) -> &Value {
    let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
    let plug = devices.iter().find(|device| device["name"] == "plug");
    plug.unwrap_or(&Value::Null)
}

fn becomes(agent: &Agent, state: &str) -> Value {
    let devices = agent.until(&["devices"], SOON, |devices| {
        plug(devices)["state"] == state
    });
    plug(&devices)["detail"].clone()
}

fn relay_is(agent: &Agent, on: bool) {
    agent.until(&["read", "plug.relay"], SOON, |relay| {
        relay["value"] == json!(on) && relay["quality"] == "good"
    });
}

#[test]
fn a_plug_behind_a_broker_is_switched_and_lost_and_found_again() {
    let directory = scratch("mqtt-plug");
    let mut broker = Broker::new(&directory, "allow_anonymous true");
    // Kept by the broker since nobody knows when.
    broker.publish("tele/plug/SENSOR", r#"{"ENERGY":{"Power":84}}"#, true);
    let agent = start(
        &directory,
        &format!("url = \"mqtt://127.0.0.1:{}\"", broker.port),
    );
    agent.until(&["read", "plug.power"], SOON, |power| {
        power["quality"] == "stale"
    });
    let device = Plug::start(broker.port);
    becomes(&agent, "online");
    assert!(agent.cli(&["on", "plug.relay"]).status.success());
    relay_is(&agent, true);
    let sensor = r#"{"ENERGY":{"Total":3.185,"Power":60}}"#;
    broker.publish("tele/plug/SENSOR", sensor, false);
    agent.until(&["read", "plug.energy"], SOON, |energy| {
        energy["value"].as_f64() == Some(3185.0) && energy["quality"] == "good"
    });
    // Nonsense and giants are counted, and nothing else happens.
    broker.publish("tele/plug/SENSOR", "{\"ENERGY\":", false);
    broker.publish("stat/plug/POWER", &"x".repeat(100_000), false);
    agent.until(&["devices"], SOON, |devices| {
        plug(devices)["errors"]["garbled"].as_u64() >= Some(3)
    });
    relay_is(&agent, true);

    device.dies();
    let words = becomes(&agent, "offline");
    assert_eq!(words, "it is gone, says its last will");
    let refused = agent.cli(&["off", "plug.relay"]);
    assert_eq!(refused.status.code(), Some(5));
    let device = Plug::start(broker.port);
    becomes(&agent, "online");

    for signal in ["TERM", "KILL"] {
        broker.signal(signal);
        becomes(&agent, "offline");
        assert_eq!(agent.cli(&["off", "plug.relay"]).status.code(), Some(5));
        broker.start();
        // mosquitto_sub connects again by itself; the broker has forgotten what it kept.
        publish(broker.port, "tele/plug/LWT", "Online", true);
        becomes(&agent, "online");
    }
    agent.until(&["devices"], SOON, |devices| {
        plug(devices)["state"] == "online"
    });
    device.dies();
}

#[test]
fn a_broker_that_refuses_us_or_is_another_is_told_to_people() {
    let directory = scratch("mqtt-refused");
    let passwords = directory.join("passwords");
    write(&passwords, "");
    std::fs::set_permissions(&passwords, Permissions::from_mode(0o600)).unwrap();
    let made = Command::new("mosquitto_passwd")
        .args([
            "-b",
            &passwords.display().to_string(),
            "lamplighter",
            "right",
        ])
        .output()
        .unwrap();
    assert!(made.status.success());
    let authority = Authority::new(&directory);
    let identity = authority.issue_for_host("localhost");
    let settings = format!(
        "allow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\nkeyfile {}",
        passwords.display(),
        authority.certificate().display(),
        identity.certificate.display(),
        identity.key.display(),
    );
    let broker = Broker::new(&directory, &settings);
    let other = directory.join("other");
    std::fs::create_dir_all(&other).unwrap();
    let other = Authority::new(&other);
    let password = directory.join("credentials/mqtt");
    let configure = |ca: &Path, word: &str| {
        write(&password, format!("text:{word}\n"));
        std::fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        format!(
            "url = \"mqtts://localhost:{}\"\nca = \"{}\"\nuser = \"lamplighter\"\npassword = \"credential:mqtt\"",
            broker.port,
            ca.display()
        )
    };
    let agent = start(&directory, &configure(&authority.certificate(), "wrong"));
    agent_says(&agent, "the broker refuses user and password");
    drop(agent);
    let agent = start(&directory, &configure(&other.certificate(), "right"));
    agent_says(&agent, "no TLS with the broker");
    drop(agent);
    let agent = start(&directory, &configure(&authority.certificate(), "right"));
    agent.logged(&["Broker connected"], SOON);
}

fn agent_says(agent: &Agent, words: &str) {
    agent.until(&["devices"], SOON, |devices| {
        let detail = plug(devices)["detail"].as_str();
        detail.is_some_and(|detail| detail.contains(words))
    });
}
