//! `lamplighter doctor`: what is wrong, one sentence each, and what to do about it.
//!
//! It judges by what the running agent says of itself, and by what can be seen without it: the
//! configuration, the files of the secrets, the clock. Each source is one function that gives
//! findings; a new cause is a line in one of them.

mod bearers;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde::Serialize;

use crate::{
    advice,
    config::{Config, Problem, Severity, UNSECURED},
    status::{ClockView, StatusView},
};

pub(crate) use bearers::of_network;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) weight: Weight,
    /// `server main`, a file with its line …
    pub(crate) about: String,
    pub(crate) what: String,
    pub(crate) advice: String,
}

/// The gravest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// Something does not do its duty.
    Fault,
    /// It does, but somebody should look.
    Warning,
}

impl Finding {
    pub(crate) fn fault(
        about: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            weight: Weight::Fault,
            about: about.into(),
            what: what.into(),
            advice: advice.into(),
        }
    }

    fn warning(
        about: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            weight: Weight::Warning,
            ..Self::fault(about, what, advice)
        }
    }
}

/// As the operating system says it.
const FORBIDDEN: &str = "Permission denied";

/// What the running agent says of itself.
pub(crate) fn of_status(status: &StatusView) -> Vec<Finding> {
    let mut findings = Vec::new();
    for problem in &status.problems {
        let advice = problem.hint.clone().unwrap_or_default();
        let finding = if problem.text == UNSECURED {
            Finding::warning(&problem.about, &problem.text, advice)
        } else {
            Finding::fault(&problem.about, &problem.text, advice)
        };
        findings.push(finding);
    }
    if let Some(bootstrap) = &status.bootstrap
        && let Some(why) = &bootstrap.last_error
    {
        let about = format!("bootstrap server {}", bootstrap.uri);
        let advice = bootstrap.hint.clone().unwrap_or_default();
        findings.push(Finding::fault(about, why, advice));
    }
    for server in &status.servers {
        let about = format!("server {}", server.name);
        if server.intrusions > 0 {
            let what = format!(
                "{} datagrams to its session were not its own; all were refused",
                server.intrusions
            );
            let advice = "somebody on the way forges or repeats them: `lamplighter events`";
            findings.push(Finding::warning(&about, what, advice));
        }
        if server.dropped > 0 {
            let what = format!("{} stored samples will never be told", server.dropped);
            let advice = "`lamplighter events` says why; [store] `queue_max` says how many fit";
            findings.push(Finding::warning(&about, what, advice));
        }
    }
    findings
}

/// Whether the date can be believed, and who depends on it. `config`: where it is valid.
pub(crate) fn of_clock(clock: ClockView, config: Option<&Config>) -> Vec<Finding> {
    let what = match clock {
        ClockView::Trusted => return Vec::new(),
        ClockView::Estimated => {
            "nobody vouches for the date: servers' certificates that are not valid yet are accepted"
        }
        ClockView::Unknown => {
            "the date is not known: certificates are judged by the date of the program, and values have no times"
        }
    };
    let mut findings = vec![Finding::warning("clock", what, advice::CLOCK)];
    let strict = config.into_iter().flat_map(|config| {
        let bootstrap = config.bootstrap.iter();
        let bootstrap = bootstrap.map(|account| ("[bootstrap]".to_owned(), &account.security));
        let servers = config.servers.iter();
        let servers = servers.map(|server| (format!("[server.{}]", server.name), &server.security));
        bootstrap.chain(servers)
    });
    for (about, _) in strict.filter(|(_, account)| account.strict_time) {
        findings.push(match clock {
            ClockView::Unknown => {
                let what = "`strict_time` accepts no certificate while the date is not known";
                Finding::fault(about, what, advice::CLOCK)
            }
            ClockView::Estimated | ClockView::Trusted => {
                let what = "`strict_time` judges certificates by a date for which nobody vouches";
                Finding::warning(about, what, advice::CLOCK)
            }
        });
    }
    findings
}

/// What `check` says, but for what the agent has said in the same words.
pub(crate) fn of_configuration(problems: &[Problem], said: &[Finding]) -> Vec<Finding> {
    let is_said = |problem: &&Problem| !said.iter().any(|said| said.what.contains(&problem.what));
    let finding = |problem: &Problem| {
        let hint = problem.hint.clone().unwrap_or_default();
        let about = problem.place.to_string();
        // Who asks is not who runs the agent.
        if problem.what.contains(FORBIDDEN) {
            let advice = "only the agent's user may: `sudo lamplighter doctor` looks at it";
            return Finding::warning(about, &problem.what, advice);
        }
        match problem.severity {
            Severity::Account | Severity::Error => Finding::fault(about, &problem.what, hint),
            Severity::Warning => Finding::warning(about, &problem.what, hint),
        }
    };
    problems.iter().filter(is_said).map(finding).collect()
}

/// Files of a directory that hold keys, and that others can read or change. What nobody may look
/// into is passed over: it is closed.
pub(crate) fn of_secrets(directory: &Path, holds_keys: fn(&str) -> bool) -> Vec<Finding> {
    const OTHERS: u32 = 0o077;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<Finding> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(holds_keys))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let mode = metadata.permissions().mode() & 0o7777;
            let path = entry.path().display().to_string();
            let what = format!("others can read or change it (mode {mode:04o})");
            let advice = format!("chmod 600 {path}; whoever has read it has the key: take another");
            (mode & OTHERS != 0).then(|| Finding::fault(path, what, advice))
        })
        .collect();
    found.sort_by(|one, other| one.about.cmp(&other.about));
    found
}

#[cfg(test)]
mod tests {
    use lamplighter_lwm2m::{
        bootstrap::{BootstrapState, BootstrapStatus},
        boundary::{ClockTrust, Event},
        server::{Cause, Intrusions},
    };
    use lamplighter_model::{
        Ssid,
        device::{AdapterId, LinkState},
    };

    use super::*;
    use crate::{
        config::Place,
        fake::{self, now_at},
        status::Status,
    };

    fn whats(findings: &[Finding]) -> Vec<(Weight, &str, &str)> {
        for finding in findings {
            assert!(!finding.advice.is_empty(), "{finding:?}");
        }
        findings
            .iter()
            .map(|finding| {
                (
                    finding.weight,
                    finding.about.as_str(),
                    finding.what.as_str(),
                )
            })
            .collect()
    }

    #[test]
    fn what_the_agent_knows_becomes_sentences_with_advice() {
        let status = Status::new(fake::catalogue(), now_at(0));
        let why = lamplighter_dtls::Closed::Unconfirmed;
        let events = [
            Event::RegistrationFailed {
                cause: Cause::Handshake(why),
                ssid: Ssid(101),
                reason: why.to_string(),
                retry_in: std::time::Duration::from_secs(60),
            },
            Event::Intruded {
                ssid: Ssid(101),
                intrusions: Intrusions {
                    forged: 2,
                    ..Intrusions::default()
                },
                is_news: true,
            },
        ];
        for event in events {
            status.on_event(&event, now_at(1));
        }
        status.on_queue(Ssid(101), 0, 5, now_at(1));
        status.on_link(AdapterId(0), LinkState::Offline, "port gone", now_at(1));
        status.problem("[server.main]", UNSECURED, now_at(1));
        status.on_bootstrap(BootstrapStatus {
            cause: Some(Cause::Handshake(why)),
            last_error: Some(why.to_string()),
            since: now_at(1).stamp(),
            state: BootstrapState::Waiting,
            uri: Some("coaps://bs.example".to_owned()),
        });
        let findings = of_status(&status.view(now_at(1)));
        let whats = whats(&findings);
        let is_there = |weight, about: &str, what: &str| {
            whats
                .iter()
                .any(|one| one.0 == weight && one.1.starts_with(about) && one.2.contains(what))
        };
        assert!(
            is_there(Weight::Fault, "server", "another key"),
            "{whats:?}"
        );
        assert!(
            is_there(Weight::Fault, "bootstrap server", "another key"),
            "{whats:?}"
        );
        assert!(is_there(Weight::Fault, "device", "port gone"), "{whats:?}");
        assert!(
            is_there(Weight::Warning, "[server.main]", "anybody"),
            "{whats:?}"
        );
        assert!(
            is_there(Weight::Warning, "server", "2 datagrams"),
            "{whats:?}"
        );
        assert!(is_there(Weight::Warning, "server", "5 stored"), "{whats:?}");
    }

    #[test]
    fn a_box_that_is_well_has_no_findings() {
        let status = Status::new(fake::catalogue(), now_at(0));
        let registered = Event::Registered {
            ssid: Ssid(101),
            version: "1.1",
        };
        status.on_event(&registered, now_at(1));
        status.on_clock(ClockTrust::Trusted);
        let status = status.view(now_at(1));
        assert_eq!(of_status(&status), []);
        assert_eq!(of_clock(ClockView::Trusted, None), []);
    }

    fn strict() -> Config {
        let directory = fake::directory("doctor");
        let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/dtls");
        let key = fs::read(format!("{vectors}/client.key.der")).unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        crate::atomic::write(
            &directory.join("key"),
            format!("hex:{hex}").as_bytes(),
            0o600,
        )
        .unwrap();
        let text = format!(
            "[client]\nendpoint = \"cab-17\"\n[server.main]\nuri = \"coaps://server.example\"\nshort_id = 1\nsecurity = {{ mode = \"x509\", \
             cert = \"{vectors}/client.der\", key = \"{}/key\", ca = \"{vectors}/authority.der\", strict_time = true }}\n",
            directory.display()
        );
        fake::configured(&text)
    }

    #[test]
    fn who_needs_the_date_is_named() {
        let config = strict();
        let unknown = of_clock(ClockView::Unknown, Some(&config));
        let kinds: Vec<_> = whats(&unknown)
            .iter()
            .map(|one| (one.0, one.1.to_owned()))
            .collect();
        let expected = [(Weight::Warning, "clock"), (Weight::Fault, "[server.main]")];
        assert_eq!(
            kinds,
            expected.map(|(weight, about)| (weight, about.to_owned()))
        );
        let estimated = of_clock(ClockView::Estimated, Some(&config));
        assert!(whats(&estimated).iter().all(|one| one.0 == Weight::Warning));
        assert_eq!(of_clock(ClockView::Trusted, Some(&config)), []);
    }

    #[test]
    fn what_was_said_already_is_not_said_again() {
        let problem = |severity, what: &str| Problem {
            severity,
            place: Place {
                file: "lamplighter.toml".to_owned(),
                line: Some(7),
                ..Place::default()
            },
            key: "server.main.security.key".to_owned(),
            what: what.to_owned(),
            hint: Some("chmod 600".to_owned()),
        };
        let problems = [
            problem(Severity::Account, "/k has mode 0644: others can read it"),
            problem(Severity::Warning, "ca.pem: a certificate expires in 3 days"),
        ];
        let said = "this account cannot be used: /k has mode 0644: others can read it";
        let said = [Finding::fault("[server.main]", said, "")];
        let findings = of_configuration(&problems, &said);
        assert_eq!(
            whats(&findings),
            [(
                Weight::Warning,
                "lamplighter.toml:7",
                "ca.pem: a certificate expires in 3 days"
            )]
        );
        assert_eq!(of_configuration(&problems, &[]).len(), 2);
        let closed = "/k cannot be read: Permission denied (os error 13)";
        let findings = of_configuration(&[problem(Severity::Account, closed)], &[]);
        assert_eq!(findings[0].weight, Weight::Warning);
        assert!(findings[0].advice.contains("sudo"));
    }

    #[test]
    fn a_key_that_others_can_read_is_found_whether_it_is_used_or_not() {
        let directory = fake::directory("doctor-secrets");
        for (name, mode) in [("good", 0o600), ("open", 0o640), ("passed-over", 0o644)] {
            crate::atomic::write(&directory.join(name), b"text:x", mode).unwrap();
        }
        let findings = of_secrets(&directory, |name| name != "passed-over");
        assert_eq!(findings.len(), 1);
        assert!(findings[0].about.ends_with("/open"), "{findings:?}");
        assert_eq!(of_secrets(&directory.join("nothing"), |_| true), []);
    }
}
