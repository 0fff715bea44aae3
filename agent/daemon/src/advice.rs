//! What people can do about what is wrong: one sentence for each cause.

use lamplighter_dtls::{Closed, Untrusted, Unusable};
use lamplighter_lwm2m::server::Cause;

/// A device does not answer.
pub(crate) const DEVICE: &str =
    "look at its power, its wiring and its address; `lamplighter devices` shows when it was heard";

const CHECK: &str = "`lamplighter check` says where, and what is expected there";
const PATH: &str =
    "is the address right, is the server up, and do firewalls let UDP through to its port?";
const KEY: &str = "identity and key must be those that the server has for this box; `lamplighter secret set NAME` writes the key and shows its fingerprint";
const OWN: &str = "ask whoever runs the server which certificate it wants from this box (`cert`, `key`), and whose signature it trusts";
const ANCHOR: &str = "the file of `ca` (or `server_cert`) must hold the authority that signed the server's certificate";
const SERVERS: &str = "ask whoever runs the server for another certificate";
const SUITES: &str =
    "the server must support one of the `suites`; without that key all are offered";
const LOG: &str = "the log of the server says more, at the time of the attempt";
/// Nobody vouches for the date.
pub(crate) const CLOCK: &str =
    "let NTP set the clock (`timedatectl`), or fit a real-time clock with a battery";

/// What to do about a server that cannot be registered with.
pub(crate) fn on(cause: Cause) -> &'static str {
    match cause {
        Cause::Account => CHECK,
        Cause::Handshake(why) => on_handshake(why),
        Cause::Inconsistent => {
            "whoever runs the bootstrap server must give accounts that hold together; the reason says what does not"
        }
        Cause::Link => "is there a network, and does its name server know the host?",
        Cause::Refused(code) => on_refusal(code.class(), code.detail()),
        Cause::Silence => PATH,
    }
}

/// What the answer to Register means. // lwm2m/10, 5
fn on_refusal(class: u8, detail: u8) -> &'static str {
    match (class, detail) {
        (4, 0) => {
            "the server must know this endpoint name; `register_parameters` can add what it wants to be told"
        }
        (4, 1) => "the server must permit this endpoint with these credentials",
        (4, 3) => {
            "the server refuses this endpoint name, or wants it to come with other credentials: compare both with what it has"
        }
        (4, 4) => "is the path of the address right?",
        (4, 12) => "the server does not speak this version of LwM2M: set `version`",
        (4, 13) => "let the server take larger messages, or give this box fewer instances",
        (5, _) => "the server has trouble of its own; this box goes on trying",
        (_, _) => LOG,
    }
}

const fn on_handshake(why: Closed) -> &'static str {
    match why {
        Closed::Locally => "the agent has ended it itself and goes on trying",
        Closed::Peer(alert) => on_alert(alert),
        Closed::Protocol(_) => LOG,
        Closed::TimedOut => PATH,
        Closed::Unconfirmed => KEY,
        Closed::Untrusted(why) => on_certificate(why),
        Closed::Unusable(why) => on_credentials(why),
    }
}

/// What the server has said. // RFC 5246, 7.2
const fn on_alert(alert: u8) -> &'static str {
    match alert {
        0 => "the server has ended it; this box goes on trying",
        20 | 51 | 115 => KEY,
        40 | 70 | 71 | 86 | 110 | 120 => SUITES,
        42..=46 | 48 | 49 => OWN,
        112 => "the server must know the name that it is asked for: the host of `uri`, or `sni`",
        _ => LOG,
    }
}

const fn on_certificate(why: Untrusted) -> &'static str {
    match why {
        Untrusted::Chain => ANCHOR,
        Untrusted::ClockUnknown => CLOCK,
        Untrusted::Expired => {
            "ask whoever runs the server for a new certificate; if that is not it, the date of this box is wrong"
        }
        Untrusted::Name => {
            "`uri` must name the server as its certificate does; `sni` can say another name"
        }
        Untrusted::NotYetValid => {
            "is the date of this box right? if so, the server's certificate begins later"
        }
        Untrusted::Other => {
            "`server_cert` or `server_hash` must be that of the server, or of its authority, as `usage` says"
        }
        Untrusted::Purpose | Untrusted::Unreadable | Untrusted::Weak => SERVERS,
    }
}

const fn on_credentials(why: Unusable) -> &'static str {
    match why {
        Unusable::CertificateMissing | Unusable::CertificateUnreadable => {
            "`cert` must name our certificate, X.509 with an EC key"
        }
        Unusable::Engine(_) => "restart the agent; if that does not help, this is an error of it",
        Unusable::Host => "look at the host in `uri`, or at `sni`",
        Unusable::IdentityLength => "look at `identity`",
        Unusable::KeyEncrypted => "store the key without a password, in a file of mode 0600",
        Unusable::KeyLength => "write the key again: `lamplighter secret set NAME`",
        Unusable::KeyMismatch => "`key` must be the one that `cert` was made with",
        Unusable::KeyUnreadable => "`key` must be an EC key, PKCS#8 or SEC 1",
        Unusable::NothingTrusted => "write `ca`, or `server_cert`",
        Unusable::NoSuite => "look at `suites`",
        Unusable::ServerHashLength => "look at `server_hash`",
        Unusable::ServerUnreadable => "look at `server_cert`",
        Unusable::TrustStoreUnreadable => "look at `ca`",
    }
}

/// What to do about a problem that a part of the agent has stated.
pub(crate) fn about(about: &str, text: &str) -> Option<&'static str> {
    if about.starts_with('[') {
        return Some(if text == crate::config::UNSECURED {
            "give the account `security`, for example with `lamplighter setup`"
        } else {
            CHECK
        });
    }
    match about.split_once(' ').map_or(about, |(kind, _)| kind) {
        "alarm" => Some(
            "look at the lamp, its relay and the fuse; the alarm ends when the contrary is seen",
        ),
        "configuration" => Some(CHECK),
        "hand" => Some("somebody at the box wants it so; set the switch back to automatic"),
        "lock" => Some("`lamplighter unlock NAME`, when nobody works on the line any more"),
        "output" => Some("`lamplighter why NAME` shows who commands it"),
        "page" => Some("free the port, or set another in [web] `listen`"),
        "rights" => Some("the server can write them again while it can be reached"),
        "store" => Some("is the disk full or broken? nothing new is kept until it is mended"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use lamplighter_coap::Code;
    use lamplighter_lwm2m::boundary::Event;
    use lamplighter_model::Ssid;

    use super::*;
    use crate::{
        events::Names,
        fake::{self, now_at},
        status::Status,
    };

    const UNUSABLE: [Unusable; 14] = [
        Unusable::CertificateMissing,
        Unusable::CertificateUnreadable,
        Unusable::Engine(-1),
        Unusable::Host,
        Unusable::IdentityLength,
        Unusable::KeyEncrypted,
        Unusable::KeyLength,
        Unusable::KeyMismatch,
        Unusable::KeyUnreadable,
        Unusable::NothingTrusted,
        Unusable::NoSuite,
        Unusable::ServerHashLength,
        Unusable::ServerUnreadable,
        Unusable::TrustStoreUnreadable,
    ];

    fn handshakes() -> Vec<Closed> {
        let others = [
            Closed::Locally,
            Closed::Protocol(-1),
            Closed::TimedOut,
            Closed::Unconfirmed,
        ];
        let alerts = (0..=u8::MAX).map(Closed::Peer);
        let untrusted = Untrusted::ALL.into_iter().map(Closed::Untrusted);
        let unusable = UNUSABLE.into_iter().map(Closed::Unusable);
        others
            .into_iter()
            .chain(alerts)
            .chain(untrusted)
            .chain(unusable)
            .collect()
    }

    fn failed(cause: Cause, reason: &str) -> Event {
        Event::RegistrationFailed {
            cause,
            ssid: Ssid(101),
            reason: reason.to_owned(),
            retry_in: Duration::from_secs(60),
        }
    }

    // Issue C: each reason has its own event, and its own sentence.
    #[test]
    fn every_failed_handshake_has_its_event_and_its_advice() {
        let names = Names::default();
        let mut texts = BTreeSet::new();
        for why in handshakes() {
            let cause = Cause::Handshake(why);
            let reason = why.to_string();
            let event = failed(cause, &reason);
            let news = names.of_core(&event).unwrap();
            assert_eq!(news.what, "handshake_failed");
            assert!(news.text.starts_with(&reason), "{news:?}");
            assert!(
                texts.insert(reason.clone()),
                "{why:?} says what another says"
            );
            let status = Status::new(fake::catalogue(), now_at(0));
            status.on_event(&event, now_at(1));
            let problems = status.view(now_at(1)).problems;
            let problem = problems.iter().find(|problem| problem.text == reason);
            let hint = problem.and_then(|problem| problem.hint.clone());
            assert_eq!(hint.as_deref(), Some(on(cause)), "{why:?}");
        }
    }

    #[test]
    fn credentials_of_each_kind_have_advice_of_their_own() {
        let of_server: BTreeSet<_> = Untrusted::ALL.map(on_certificate).into();
        assert!(of_server.len() >= 7);
        let own: BTreeSet<_> = UNUSABLE.map(on_credentials).into();
        assert!(own.len() >= 12);
    }

    #[test]
    fn what_a_server_answers_has_its_advice() {
        let words = |code| on(Cause::Refused(code));
        let explained = [
            Code::BAD_REQUEST,
            Code::UNAUTHORIZED,
            Code::FORBIDDEN,
            Code::PRECONDITION_FAILED,
            Code::REQUEST_ENTITY_TOO_LARGE,
            Code::SERVICE_UNAVAILABLE,
        ];
        let own: BTreeSet<_> = explained.map(words).into();
        assert_eq!(own.len(), explained.len());
        assert!(!own.contains(words(Code::METHOD_NOT_ALLOWED)));
    }

    #[test]
    fn other_failures_keep_their_event() {
        let names = Names::default();
        for (cause, what) in [
            (Cause::Account, "account_unusable"),
            (Cause::Link, "registration_failed"),
            (Cause::Refused(Code::FORBIDDEN), "registration_failed"),
            (Cause::Silence, "registration_failed"),
        ] {
            let news = names.of_core(&failed(cause, "why")).unwrap();
            assert_eq!(
                (news.what, news.text.as_str()),
                (what, "why; again in 60 s")
            );
        }
    }
}
