//! Whether the agent works: what it says of itself on the command line, compared with what it said
//! before. A server that does not register it is no fault of the agent where nobody answers there.

use std::{
    fs,
    net::{ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    commands::{self, Ran},
    knock,
};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(4);

/// What the agent says of itself. Fields are added there, never renamed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Health {
    #[serde(default)]
    servers: Vec<Server>,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    problems: Vec<Problem>,
    /// Of the agent.
    #[serde(default)]
    uptime_ms: Option<f64>,
}

/// A point of time of this machine.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// Of its start.
    boot: String,
    /// Since then.
    seconds: f64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let uptime = text("/proc/uptime");
        let seconds = uptime.split(' ').next().unwrap_or_default();
        Self {
            boot: text("/proc/sys/kernel/random/boot_id"),
            seconds: seconds.parse().unwrap_or_default(),
        }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Server {
    name: String,
    state: String,
    #[serde(default)]
    uri: String,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Device {
    name: String,
    state: String,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Problem {
    about: String,
}

impl Health {
    /// Asks the installed program; `None` where it does not run.
    pub(crate) fn ask() -> Option<Self> {
        let ran = commands::run("lamplighter", |command| command.args(["--json", "status"]));
        serde_json::from_str(&ran.and_then(Ran::succeeded).ok()?.output).ok()
    }

    /// Whether it has been running since before that moment: it is not the program that was installed
    /// then.
    pub(crate) fn is_older_than(&self, moment: &Moment, now: &Moment) -> bool {
        let started = self.uptime_ms.map(|uptime| now.seconds - uptime / 1000.0);
        // Rather later than it was: the answer took its time.
        now.boot == moment.boot && started.is_some_and(|started| started < moment.seconds)
    }

    /// What is wrong with `now`, if this was `self` before.
    pub(crate) fn lacks(&self, now: &Self) -> Option<String> {
        self.lacks_but(now, answers)
    }

    fn lacks_but(&self, now: &Self, answers: impl Fn(&str) -> bool) -> Option<String> {
        let configuration = |health: &Self| {
            let mut problems = health.problems.iter();
            problems.any(|problem| problem.about == "configuration")
        };
        if configuration(now) && !configuration(self) {
            return Some("it does not understand the configuration".to_owned());
        }
        for device in self.devices.iter().filter(|device| device.is_online()) {
            let mut others = now.devices.iter();
            if !others.any(|other| other.name == device.name && other.is_online()) {
                return Some(format!("the device {} does not answer", device.name));
            }
        }
        let registered = |server: &&Server| server.state == "registered";
        for server in self.servers.iter().filter(registered) {
            let mut others = now.servers.iter().filter(registered);
            if !others.any(|other| other.name == server.name) && answers(&server.uri) {
                let words = "is not registered with, and can be reached";
                return Some(format!("the server {} {words}", server.name));
            }
        }
        None
    }
}

impl Device {
    /// One that missed a single answer counts as there.
    fn is_online(&self) -> bool {
        matches!(self.state.as_str(), "online" | "suspect")
    }
}

/// Whether somebody speaks the protocol there.
fn answers(uri: &str) -> bool {
    let Some((scheme, authority)) = uri.split_once("://") else {
        return false;
    };
    let (question, port) = match scheme {
        "coap" => (knock::coap(), 5683),
        "coaps" => (knock::dtls(), 5684),
        _ => return false,
    };
    let authority = authority.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let authority = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    };
    let Ok(addresses) = authority.to_socket_addrs() else {
        return false;
    };
    let is_answer = |answer: &[u8]| match scheme {
        "coap" => knock::is_coap(answer, &question),
        _ => knock::is_dtls(answer),
    };
    addresses.into_iter().any(|address| {
        let from = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let asked = || {
            let socket = UdpSocket::bind(from)?;
            socket.set_read_timeout(Some(ANSWER))?;
            socket.connect(address)?;
            socket.send(&question)?;
            let mut answer = [0; 2048];
            let length = socket.recv(&mut answer)?;
            Ok::<bool, std::io::Error>(is_answer(&answer[..length]))
        };
        asked().unwrap_or(false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(text: &str) -> Health {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_worked_before_must_work_still() {
        let before = health(
            r#"{"servers": [{"name": "main", "state": "registered", "uri": "coap://a"},
                            {"name": "other", "state": "offline", "uri": "coap://b"}],
                "devices": [{"name": "lamps", "state": "online"}, {"name": "ahu", "state": "offline"}],
                "problems": [{"about": "device ahu", "text": "mute"}], "version": "1"}"#,
        );
        let there = |text: &str, answers: bool| before.lacks_but(&health(text), |_| answers);
        assert_eq!(before.lacks_but(&before, |_| true), None);
        let registered = r#"{"servers": [{"name": "main", "state": "registered"}], "devices": []}"#;
        let lacks = there(registered, true).unwrap();
        assert!(lacks.contains("lamps"), "{lacks}");
        let offline = r#"{"servers": [{"name": "main", "state": "offline"}],
                          "devices": [{"name": "lamps", "state": "suspect"}]}"#;
        let lacks = there(offline, true).unwrap();
        assert!(lacks.contains("main"), "{lacks}");
        assert_eq!(there(offline, false), None, "nobody answers there at all");
        let broken = r#"{"problems": [{"about": "configuration"}],
                         "devices": [{"name": "lamps", "state": "online"}]}"#;
        let lacks = there(broken, false).unwrap();
        assert!(lacks.contains("configuration"), "{lacks}");
    }

    #[test]
    fn what_was_not_started_anew_is_the_one_before() {
        let health = health(r#"{"uptime_ms": 100000}"#);
        let at = |boot: &str, seconds| Moment {
            boot: boot.to_owned(),
            seconds,
        };
        assert!(health.is_older_than(&at("a", 950.0), &at("a", 1000.0)));
        assert!(!health.is_older_than(&at("a", 899.9), &at("a", 1000.0)));
        assert!(!health.is_older_than(&at("a", 950.0), &at("b", 105.0)));
    }

    #[test]
    fn a_server_that_is_there_is_told_from_one_that_is_not() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut question = [0; 64];
            let (_, from) = server.recv_from(&mut question).unwrap();
            let reset = [0x70, 0, question[2], question[3]];
            server.send_to(&reset, from).unwrap();
        });
        assert!(answers(&format!("coap://{address}/")));
        answering.join().unwrap();
        // The socket is closed now: its host refuses.
        assert!(!answers(&format!("coap://{address}")));
        assert!(!answers("coaps://[::1"));
    }
}
