use std::{future::poll_fn, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::bearer::dbus::modem::Modem;

fn bearer(name: &str, kind: BearerKind, interface: Option<&str>) -> Bearer {
    Bearer {
        interface: interface.map(str::to_owned),
        manage: crate::config::Manage::None,
        ..Bearer::new(name, kind)
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_nothing_is_told_and_it_is_looked_for_for_ever() {
    let bearers = [bearer("cell", BearerKind::Cellular, None)];
    let place = Place {
        bus: Some("unix:path=/nowhere/at/all".into()),
        ..Place::default()
    };
    let mut managers = Managers::start(&bearers, &place, Tried::default());
    let event = poll_fn(|cx| managers.poll_event(cx));
    assert!(timeout(Duration::from_secs(86_400), event).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_bearers_nobody_looks() {
    let mut managers = Managers::start(&[], &Place::default(), Tried::default());
    let event = poll_fn(|cx| managers.poll_event(cx));
    assert!(timeout(Duration::from_secs(86_400), event).await.is_err());
}

#[test]
fn the_network_is_told_by_the_modem_and_the_cost_by_networkmanager() {
    let modem = Meta {
        registered: Some(true),
        name_servers: vec!["192.0.2.1".parse().unwrap()],
        metered: Some(false),
        ..Meta::default()
    };
    let network = Meta {
        metered: Some(true),
        quality: Some(70),
        trouble: Some("no address".into()),
        ..Meta::default()
    };
    let both = together(Some(modem.clone()), Some(network.clone()));
    let expected = Meta {
        registered: Some(true),
        metered: Some(true),
        quality: Some(70),
        ..modem
    };
    let expected = Meta {
        trouble: network.trouble,
        ..expected
    };
    assert_eq!(both, expected);
}

#[test]
fn each_modem_has_one_bearer() {
    let modem = |path: &str, interfaces: &[&str]| {
        let mut modem = Modem::default();
        modem.path = path.into();
        modem.interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        modem
    };
    let bearers = [0, 1, 2].map(BearerId);
    let named = |names: &[(u16, &str)]| -> Interfaces {
        let names = names.iter();
        names
            .map(|(id, name)| (BearerId(*id), (*name).to_owned()))
            .collect()
    };
    let owned = |names: &[(u16, &str)], modems: &[Modem]| {
        let owned = modems::owners(&bearers, &named(names), modems);
        owned
            .into_iter()
            .map(|(id, at)| (id.0, at))
            .collect::<Vec<_>>()
    };
    let two = [modem("/0", &["wwan0"]), modem("/1", &["wwan1"])];
    // By name where there is one; the others take what is left.
    assert_eq!(owned(&[(1, "wwan0")], &two), [(0, 1), (1, 0)]);
    assert_eq!(owned(&[(0, "wwan7"), (1, "wwan7"), (2, "wwan7")], &two), []);
    // Twice the same name is one too many.
    assert_eq!(
        owned(&[(0, "wwan0"), (1, "wwan0"), (2, "x")], &two),
        [(0, 0)]
    );
    // PPP: the interface is not a port of the modem.
    let serial = [modem("/0", &[])];
    assert_eq!(owned(&[(0, "ppp0"), (1, "x"), (2, "y")], &serial), [(0, 0)]);
}

/// Each life has a runtime of its own, with which its tasks end.
fn in_a_life<T>(bearers: &[Bearer], tried: &Tried, test: impl AsyncFnOnce(&Managers) -> T) -> T {
    let place = Place {
        bus: Some("unix:path=/nowhere/at/all".into()),
        ..Place::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let managers = Managers::start(bearers, &place, tried.clone());
        test(&managers).await
    })
}

#[test]
fn a_reload_takes_nothing_back_of_what_was_tried_or_asked_for() {
    let cell = Bearer {
        manage: crate::config::Manage::ModemManager,
        ..bearer("cell", BearerKind::Cellular, None)
    };
    let tried = Tried::default();
    in_a_life(std::slice::from_ref(&cell), &tried, async |managers| {
        let change = ApnChange {
            name: Some("new".into()),
            ..ApnChange::default()
        };
        // There is no bus, so that it waits.
        managers.controls().change_apn(0, change).unwrap();
    });
    let told = |bearers: &[Bearer]| {
        in_a_life(bearers, &tried, async |managers| {
            let mut controls = managers.controls();
            controls.changed().await;
            let profile = controls.profiles().remove(0);
            (profile.bearer, profile.apn)
        })
    };
    // Another bearer stands before it now.
    let bearers = [bearer("a", BearerKind::Ethernet, None), cell.clone()];
    assert_eq!(told(&bearers), (1, Some("new".to_owned())));
    // Who edits the file wants something else.
    let edited = Bearer {
        sms_from: vec!["+4312345".into()],
        ..cell
    };
    assert_eq!(told(&[edited]), (0, None));
}
