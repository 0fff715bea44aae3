//! Certificates: who is believed, by whose word, and when.

use lamplighter_dtls::{
    Certificate, Clock, Closed, Established, Matching, Peer, Secret, Security, Session,
    SessionEvent, Time, Untrusted, Unusable, Usage, test_server::ServerEvent,
};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::pair::{Pair, TODAY, key, server_with, vector};

/// Trusts what `server` names in the way of `usage`, and the authority of the tests.
fn account(usage: Usage, server: &str) -> Certificate {
    Certificate {
        chain: vec![vector("client")],
        key: Secret::new(key("client")),
        matching: Matching::Exact,
        server: if server.is_empty() {
            Vec::new()
        } else {
            vector(server)
        },
        strict_time: false,
        trust_store: vec![vector("authority")],
        usage,
    }
}

fn peer(certificate: Certificate) -> Peer {
    Peer::new(
        "server.example",
        Security::Certificate(Box::new(certificate)),
    )
}

/// How a session with a server that shows this certificate begins.
fn shown(certificate: Certificate, server: &str) -> Result<Established, Closed> {
    started(&mut Pair::new(
        peer(certificate),
        server_with(server, &["issuer"]),
    ))
}

fn started(pair: &mut Pair) -> Result<Established, Closed> {
    let told = pair.start();
    match told.first() {
        Some(SessionEvent::Established(how)) => {
            assert!(pair.exchange());
            Ok(*how)
        }
        Some(SessionEvent::Closed(why)) => Err(*why),
        other => panic!("neither established nor closed but {other:?}"),
    }
}

fn refused(why: Untrusted) -> Result<Established, Closed> {
    Err(Closed::Untrusted(why))
}

const FULL: Result<Established, Closed> = Ok(Established::Full);

#[test]
fn both_sides_show_certificates_with_every_suite() {
    for suite in lamplighter_dtls::SUITES {
        if suite.kind == lamplighter_dtls::Kind::Certificate {
            let mut peer = peer(account(Usage::DomainIssued, ""));
            peer.suites = vec![suite.number];
            let mut pair = Pair::new(peer, server_with("server", &["issuer"]));
            assert_eq!(started(&mut pair), FULL, "{}", suite.name);
            assert_eq!(pair.suite(), suite.name);
            let expected = ServerEvent::Established(pair.client(), b"cab-17".to_vec());
            assert_eq!(pair.served[0], expected);
        }
    }
}

#[test]
fn without_a_list_the_short_tag_is_taken() {
    let mut pair = Pair::new(
        peer(account(Usage::DomainIssued, "")),
        server_with("server", &["issuer"]),
    );
    assert_eq!(started(&mut pair), FULL);
    assert_eq!(pair.suite(), "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8");
}

// 3: only the very certificate counts, whoever has signed it.
#[test]
fn domain_issued_means_this_certificate_and_no_other() {
    let mut this = account(Usage::DomainIssued, "alone");
    this.trust_store.clear();
    assert_eq!(shown(this.clone(), "alone"), FULL);
    assert_eq!(shown(this.clone(), "server"), refused(Untrusted::Other));
    // Its name does not matter.
    let mut peer = peer(this);
    peer.host = "another.example".to_owned();
    let mut pair = Pair::new(peer, server_with("alone", &[]));
    assert_eq!(started(&mut pair), FULL);
}

// 2: what leads to the anchor, and nothing else, though the trust store knows it.
#[test]
fn a_trust_anchor_is_the_only_authority() {
    let anchor = |name| account(Usage::TrustAnchorAssertion, name);
    assert_eq!(shown(anchor("authority"), "server"), FULL);
    assert_eq!(shown(anchor("issuer"), "server"), FULL);
    assert_eq!(
        shown(anchor("stranger"), "server"),
        refused(Untrusted::Chain)
    );
    assert_eq!(
        shown(anchor("authority"), "foreign"),
        refused(Untrusted::Chain)
    );
    assert_eq!(shown(anchor("stranger"), "foreign"), FULL);
}

// 1: this certificate, and a chain that the trust store accepts.
#[test]
fn a_service_certificate_needs_a_chain_as_well() {
    let service = |name| account(Usage::ServiceCertificateConstraint, name);
    assert_eq!(shown(service("server"), "server"), FULL);
    assert_eq!(
        shown(service("server"), "unnamed"),
        refused(Untrusted::Other)
    );
    assert_eq!(shown(service("alone"), "alone"), refused(Untrusted::Chain));
    assert_eq!(
        shown(service("foreign"), "foreign"),
        refused(Untrusted::Chain)
    );
}

// 0: a chain that the trust store accepts and that passes this authority.
#[test]
fn a_ca_constraint_names_an_authority_of_the_chain() {
    let constraint = |name| account(Usage::CaConstraint, name);
    assert_eq!(shown(constraint("authority"), "server"), FULL);
    assert_eq!(shown(constraint("issuer"), "server"), FULL);
    assert_eq!(
        shown(constraint("stranger"), "server"),
        refused(Untrusted::Other)
    );
    assert_eq!(
        shown(constraint("server"), "server"),
        refused(Untrusted::Other)
    );
    assert_eq!(
        shown(constraint("stranger"), "foreign"),
        refused(Untrusted::Chain)
    );
}

#[test]
fn hashes_stand_for_certificates_with_every_usage() {
    let hashes = |name: &str| {
        let der = vector(name);
        [
            (Matching::Sha256, Sha256::digest(&der).to_vec()),
            (Matching::Sha384, Sha384::digest(&der).to_vec()),
            (Matching::Sha512, Sha512::digest(&der).to_vec()),
        ]
    };
    let cases = [
        (Usage::CaConstraint, "issuer"),
        (Usage::ServiceCertificateConstraint, "server"),
        (Usage::TrustAnchorAssertion, "issuer"),
        (Usage::DomainIssued, "server"),
    ];
    for (usage, name) in cases {
        for (matching, hash) in hashes(name) {
            let mut account = account(usage, "");
            account.matching = matching;
            account.server = hash.clone();
            assert_eq!(
                shown(account.clone(), "server"),
                FULL,
                "{usage:?} {matching:?}"
            );
            account.server[0] ^= 1;
            let wrong = shown(account, "server");
            let expected = match usage {
                Usage::TrustAnchorAssertion => Untrusted::Chain,
                Usage::CaConstraint | Usage::ServiceCertificateConstraint | Usage::DomainIssued => {
                    Untrusted::Other
                }
            };
            assert_eq!(wrong, refused(expected), "{usage:?} {matching:?}");
        }
    }
    // The anchor is known by its hash, and the server does not send it.
    let mut account = account(Usage::TrustAnchorAssertion, "");
    account.matching = Matching::Sha256;
    account.server = Sha256::digest(vector("authority")).to_vec();
    assert_eq!(shown(account.clone(), "server"), refused(Untrusted::Chain));
    let mut pair = Pair::new(
        peer(account),
        server_with("server", &["issuer", "authority"]),
    );
    assert_eq!(started(&mut pair), FULL);
}

#[test]
fn an_anchor_by_hash_still_asks_for_the_name() {
    let mut account = account(Usage::TrustAnchorAssertion, "");
    account.matching = Matching::Sha256;
    account.server = Sha256::digest(vector("issuer")).to_vec();
    let mut peer = peer(account);
    peer.host = "another.example".to_owned();
    let mut pair = Pair::new(peer, server_with("server", &["issuer"]));
    assert_eq!(started(&mut pair), refused(Untrusted::Name));
}

#[test]
fn without_a_certificate_in_the_account_the_trust_store_decides() {
    for usage in [Usage::TrustAnchorAssertion, Usage::DomainIssued] {
        assert_eq!(shown(account(usage, ""), "server"), FULL);
        let foreign = shown(account(usage, ""), "foreign");
        assert_eq!(foreign, refused(Untrusted::Chain));
    }
}

#[test]
fn the_name_must_be_that_of_the_host() {
    let name = |host: &str, sni: Option<&str>, server: &str| {
        let mut peer = peer(account(Usage::DomainIssued, ""));
        peer.host = host.to_owned();
        peer.sni = sni.map(str::to_owned);
        started(&mut Pair::new(peer, server_with(server, &["issuer"])))
    };
    let wrong = refused(Untrusted::Name);
    assert_eq!(name("another.example", None, "server"), wrong);
    assert_eq!(name("SERVER.example", None, "server"), FULL);
    // The name of the account goes before the host of the URI.
    assert_eq!(name("192.0.2.9", Some("server.example"), "server"), FULL);
    assert_eq!(
        name("server.example", Some("other.example"), "server"),
        wrong
    );
    // Addresses are found among the alternative names.
    assert_eq!(name("192.0.2.1", None, "server"), FULL);
    assert_eq!(name("192.0.2.2", None, "server"), wrong);
    assert_eq!(name("2001:db8::1", None, "server"), wrong);
    // Without alternative names the common name counts.
    assert_eq!(name("server.example", None, "unnamed"), FULL);
    assert_eq!(name("another.example", None, "unnamed"), wrong);
    assert_eq!(name("192.0.2.1", None, "unnamed"), wrong);
}

#[test]
fn a_name_is_sent_and_an_address_never() {
    let asks_for = |host: &str| {
        let mut peer = peer(account(Usage::DomainIssued, ""));
        peer.host = host.to_owned();
        let mut pair = Pair::new(peer, server_with("server", &["issuer"]));
        pair.start();
        let hello = &pair.sent[0];
        hello
            .windows(host.len())
            .any(|part| part == host.as_bytes())
    };
    assert!(asks_for("server.example"));
    assert!(!asks_for("192.0.2.1"));
}

fn at(clock: Clock, strict: bool, server: &str, usage: Usage) -> Result<Established, Closed> {
    let mut account = account(
        usage,
        if usage == Usage::DomainIssued {
            server
        } else {
            ""
        },
    );
    account.strict_time = strict;
    let mut pair = Pair::new(peer(account), server_with(server, &["issuer"]));
    pair.clock = clock;
    started(&mut pair)
}

#[test]
fn an_expired_certificate_is_refused_with_any_clock() {
    for usage in [Usage::DomainIssued, Usage::TrustAnchorAssertion] {
        for time in [Time::Trusted(TODAY), Time::Estimated(0), Time::Unknown] {
            let clock = Clock { floor: TODAY, time };
            let expired = at(clock, false, "expired", usage);
            assert_eq!(expired, refused(Untrusted::Expired), "{usage:?} {time:?}");
        }
    }
}

#[test]
fn a_certificate_of_the_future_is_refused_once_the_clock_is_trusted() {
    let future = |time, strict| {
        let clock = Clock { floor: 0, time };
        at(clock, strict, "future", Usage::TrustAnchorAssertion)
    };
    let early = refused(Untrusted::NotYetValid);
    assert_eq!(future(Time::Trusted(TODAY), false), early);
    assert_eq!(future(Time::Unknown, false), FULL);
    assert_eq!(future(Time::Estimated(TODAY), false), FULL);
    assert_eq!(future(Time::Estimated(TODAY), true), early);
}

#[test]
fn with_an_unknown_clock_a_strict_account_accepts_nobody() {
    let clock = Clock {
        floor: TODAY,
        time: Time::Unknown,
    };
    let strict = at(clock, true, "server", Usage::TrustAnchorAssertion);
    assert_eq!(strict, refused(Untrusted::ClockUnknown));
    let usual = at(clock, false, "server", Usage::TrustAnchorAssertion);
    assert_eq!(usual, FULL);
}

#[test]
fn a_session_ends_with_the_certificate_that_it_stands_on() {
    let mut pair = Pair::new(
        peer(account(Usage::TrustAnchorAssertion, "")),
        server_with("expired", &["issuer"]),
    );
    // The last day but one of the certificate.
    let then = 1_609_372_800;
    pair.clock = Clock {
        floor: 0,
        time: Time::Trusted(then),
    };
    assert_eq!(pair.established(), Established::Full);
    pair.move_to("192.0.2.18:5000");
    assert_eq!(pair.established(), Established::Continued);
    pair.session.distrust();
    assert_eq!(pair.established(), Established::Resumed);
    pair.clock.time = Time::Trusted(then + 3 * 86_400);
    let told = pair.start();
    let expired = SessionEvent::Closed(Closed::Untrusted(Untrusted::Expired));
    assert_eq!(told, [expired]);
}

#[test]
fn what_was_believed_without_a_date_is_not_continued_when_the_date_says_no() {
    let mut pair = Pair::new(
        peer(account(Usage::TrustAnchorAssertion, "")),
        server_with("future", &["issuer"]),
    );
    pair.clock = Clock {
        floor: 0,
        time: Time::Unknown,
    };
    assert_eq!(pair.established(), Established::Full);
    assert!(pair.exchange());
    // Over a restart as well.
    let frozen = pair.session.freeze(b"board").unwrap();
    let mark = frozen.mark();
    let account = peer(account(Usage::TrustAnchorAssertion, ""));
    pair.session = Session::thaw(account, frozen, mark, b"board").unwrap();
    pair.clock.time = Time::Trusted(TODAY);
    let early = SessionEvent::Closed(Closed::Untrusted(Untrusted::NotYetValid));
    assert_eq!(pair.start(), [early]);
}

#[test]
fn the_new_certificate_of_an_authority_stands_in_for_the_old_one() {
    for names in [["former", "authority"], ["authority", "former"]] {
        let mut account = account(Usage::TrustAnchorAssertion, "");
        account.trust_store = names.map(vector).to_vec();
        assert_eq!(shown(account, "server"), FULL, "{names:?}");
    }
    let mut account = account(Usage::TrustAnchorAssertion, "");
    account.trust_store = vec![vector("former")];
    assert_eq!(shown(account, "server"), refused(Untrusted::Expired));
}

#[test]
fn a_server_that_does_not_trust_us_says_so() {
    let mut settings = server_with("server", &["issuer"]);
    settings.certificate.as_mut().unwrap().trust = vec![vector("stranger")];
    let told = Pair::new(peer(account(Usage::DomainIssued, "")), settings).start();
    // unknown_ca // RFC 5246, 7.2.2
    assert_eq!(told, [SessionEvent::Closed(Closed::Peer(48))]);
}

#[test]
fn a_resumption_costs_a_third_of_a_handshake() {
    let mut pair = Pair::new(
        peer(account(Usage::DomainIssued, "")),
        server_with("server", &["issuer"]),
    );
    let bytes = |pair: &mut Pair| {
        let all = pair.sent.drain(..).chain(pair.answered.drain(..));
        all.map(|datagram| datagram.len()).sum::<usize>()
    };
    pair.start();
    let full = bytes(&mut pair);
    pair.session.restart(pair.clock, pair.now);
    assert_eq!(crate::pair::how(&pair.run()), Established::Resumed);
    let resumed = bytes(&mut pair);
    assert!(resumed * 3 < full, "{resumed} of {full}");
}

#[test]
fn what_cannot_be_used_is_told_before_the_first_handshake() {
    type Change = fn(&mut Certificate);
    let check = |change: Change| {
        let mut account = account(Usage::DomainIssued, "server");
        change(&mut account);
        Session::dtls(peer(account)).err()
    };
    assert_eq!(check(|_| ()), None);
    let cases: [(Change, Unusable); 9] = [
        (|a| a.chain.clear(), Unusable::CertificateMissing),
        (
            |a| a.chain = vec![b"?".to_vec()],
            Unusable::CertificateUnreadable,
        ),
        (
            |a| a.key = Secret::new(b"?".to_vec()),
            Unusable::KeyUnreadable,
        ),
        (
            |a| a.key = Secret::new(key("server")),
            Unusable::KeyMismatch,
        ),
        (|a| a.server = b"?".to_vec(), Unusable::ServerUnreadable),
        (
            |a| a.matching = Matching::Sha256,
            Unusable::ServerHashLength,
        ),
        (
            |a| a.trust_store = vec![b"?".to_vec()],
            Unusable::TrustStoreUnreadable,
        ),
        (
            |a| {
                a.server.clear();
                a.trust_store.clear();
            },
            Unusable::NothingTrusted,
        ),
        (
            |a| {
                a.usage = Usage::CaConstraint;
                a.server.clear();
            },
            Unusable::NothingTrusted,
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(check(change), Some(expected));
    }
}
