use lamplighter_model::{BootId, UnixTime};

use super::*;
use crate::{saved::SavedInstance, security::Secret};

const A: Ssid = Ssid(101);
const B: Ssid = Ssid(102);

fn at(seconds: u64) -> Now {
    Now {
        boot: BootId(1),
        mono: Duration::from_secs(seconds),
        unix: Some(UnixTime::from_seconds(
            1_800_000_000 + seconds.cast_signed(),
        )),
    }
}

fn account(ssid: Ssid, uri: &str) -> SecurityAccount {
    SecurityAccount {
        ssid: Some(ssid),
        uri: uri.to_owned(),
        ..SecurityAccount::default()
    }
}

fn configured(ssid: Ssid) -> ServerConfig {
    let uri = "coap://a.example".parse().unwrap();
    ServerConfig::new("a", ssid, uri)
}

fn bootstrap() -> BootstrapConfig {
    BootstrapConfig::new(SecurityAccount {
        uri: "coap://bs.example".to_owned(),
        ..SecurityAccount::default()
    })
}

fn given(ssid: Ssid, security: SecurityAccount) -> SavedGiven {
    SavedGiven {
        servers: vec![GivenAccount {
            from: 0,
            security: (1, security),
            server: (0, SavedInstance::default()),
            ssid,
        }],
        ..SavedGiven::default()
    }
}

fn accounts(
    bootstrap: Option<BootstrapConfig>,
    servers: Vec<ServerConfig>,
    given: Option<SavedGiven>,
) -> Accounts {
    let mut accounts = Accounts::new(bootstrap, servers, &[], at(1000));
    accounts.set_given(given);
    accounts
}

fn fallback() -> SavedFallback {
    SavedFallback {
        began: Moment::of(at(1000)),
        awaited: Vec::new(),
        parted: Vec::new(),
        records: Vec::new(),
    }
}

#[test]
fn rights_of_the_file_count_as_said() {
    let mut rightful = configured(A);
    rightful.rights.owner = true;
    let accounts = accounts(None, vec![rightful, configured(B)], None);
    assert!(accounts.is_granted(A));
    assert!(!accounts.is_granted(B));
    assert!(!accounts.is_granted(Ssid(103)));
}

#[test]
fn where_the_file_names_no_bootstrap_server_none_may_give_accounts_without_security() {
    assert!(!accounts(None, vec![], None).terms().allow_unsecured);
    // Who is asked without security may.
    assert!(
        accounts(Some(bootstrap()), vec![], None)
            .terms()
            .allow_unsecured
    );
}

#[test]
fn an_account_of_the_file_counts_unless_a_bootstrap_server_has_decided() {
    let given = given(A, account(A, "coap://x.example"));
    let mut accounts = accounts(Some(bootstrap()), vec![], Some(given));
    assert!(!accounts.configure(A, Some(configured(A))));
    assert!(accounts.configure(B, Some(configured(B))));
    assert!(accounts.configure(B, None));
    assert_eq!(accounts.overruled(), ["a"]);
}

#[test]
fn given_accounts_without_security_are_named() {
    let secured = SecurityAccount {
        identity: b"me".to_vec(),
        mode: SecurityMode::Psk,
        secret_key: Secret::new(vec![1; 16]),
        ..account(A, "coaps://x.example")
    };
    let mut all = given(A, secured.clone());
    let mut open = given(B, account(B, "coap://y.example"));
    open.servers[0].security.0 = 2;
    all.servers.append(&mut open.servers);
    let names = |given| accounts(None, vec![], Some(given)).given_unsecured();
    assert_eq!(names(all.clone()), ["server-102"]);
    let own = |account| GivenBootstrap::Given {
        account: Box::new(account),
        instance: 0,
    };
    all.bootstrap = own(secured.clone());
    assert_eq!(names(all.clone()), ["server-102"]);
    all.bootstrap = own(SecurityAccount::default());
    assert_eq!(names(all.clone()), ["server-102", "bootstrap"]);
    assert!(names(given(A, secured)).is_empty());
    assert!(
        accounts(None, vec![configured(A)], None)
            .given_unsecured()
            .is_empty()
    );
}

#[test]
fn how_much_of_the_time_is_over_is_noted_now_and_then_only() {
    let step = Duration::from_secs(60);
    let mut accounts = accounts(Some(bootstrap()), vec![], None);
    assert_eq!(accounts.time_at(), None);
    accounts.hold(fallback(), at(1000));
    assert_eq!(accounts.time_at(), Some(at(1000).mono + step));
    assert_eq!(accounts.poll_time(at(1059)), None);
    assert!(accounts.poll_time(at(1060)).is_some());
    assert_eq!(accounts.time_at(), Some(at(1060).mono + step));

    // After a start as well, where it is known how long the box was off.
    let saved = [Record::Fallback(Some(Box::new(fallback())))];
    let started = Accounts::new(Some(bootstrap()), vec![], &saved, at(1500));
    assert_eq!(started.time_at(), Some(at(1500).mono + step));
    let due = at(1000).mono + BootstrapConfig::ROLLBACK;
    assert_eq!(started.rollback_at(), Some(due));
}

#[test]
fn an_account_that_is_gone_comes_back_when_people_change_it() {
    let mut accounts = accounts(Some(bootstrap()), vec![], None);
    let gone = accounts.gone();
    assert_eq!(
        gone,
        GivenBootstrap::Gone {
            of: bootstrap().security.fingerprint()
        }
    );
    accounts.set_given(Some(SavedGiven {
        bootstrap: gone,
        ..SavedGiven::default()
    }));
    assert!(accounts.bootstrap().is_none());
    let mut other = bootstrap();
    other.security.uri = "coap://other.example".to_owned();
    accounts.bootstrap = Some(other);
    assert!(accounts.bootstrap().is_some());
}

#[test]
fn whom_the_box_trusts_is_said_by_the_file_of_the_server_else_of_the_bootstrap_server() {
    let mut own = configured(A);
    own.security.strict_time = true;
    own.security.trust_store = vec![vec![1]];
    let mut bootstrap = bootstrap();
    bootstrap.security.trust_store = vec![vec![2]];
    let trusted = |accounts: &Accounts, ssid| {
        let trusted = accounts.trusting(&account(ssid, "coaps://x.example"));
        (trusted.strict_time, trusted.trust_store)
    };
    let all = accounts(Some(bootstrap), vec![own], None);
    assert_eq!(trusted(&all, A), (true, vec![vec![1]]));
    assert_eq!(trusted(&all, B), (false, vec![vec![2]]));
    let none = accounts(None, vec![], None);
    assert_eq!(trusted(&none, A), (false, vec![]));
}

#[test]
fn a_given_account_is_dealt_with_as_the_file_says_of_its_server() {
    let spread = Some(Duration::from_secs(7));
    let mut own = configured(A);
    own.mute_send = false;
    own.registration.priority = Some(3);
    own.registration.return_spread = spread;
    let given = given(A, account(A, "coap://x.example"));
    let wanted = accounts(Some(bootstrap()), vec![own], Some(given)).wanted();
    let [one] = wanted.as_slice() else {
        panic!("{wanted:?}");
    };
    assert_eq!(one.config.name, "a");
    assert_eq!(one.config.uri.to_string(), "coap://x.example:5683");
    // What object 1 says comes from the bootstrap server alone.
    assert!(one.config.mute_send);
    assert_eq!(one.config.registration.priority, None);
    assert_eq!(one.config.registration.return_spread, spread);
}
