//! The real ModemManager with a simulated modem: what it says of the network, messages that wake the
//! box, and a PIN that is tried once.

use std::{future::poll_fn, path::Path, time::Duration};

use lamplighter::{
    bearer::{
        BearerId, Meta,
        dbus::{ManagerEvent, Managers, Place, Told, Tried},
    },
    config::{Bearer, BearerKind, Manage, secret::Secret},
};
use lamplighter_interop::{
    modem::{Bus, Modem, ModemManager, Registration},
    scratch,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const CELL: BearerId = BearerId(0);

fn bearer(manage: Manage) -> Bearer {
    Bearer {
        manage,
        ..Bearer::new("cell", BearerKind::Cellular)
    }
}

fn managers(bus: &Bus, bearer: Bearer, state_dir: Option<&Path>) -> Managers {
    let place = Place {
        bus: Some(bus.address.clone()),
        state_dir: state_dir.map(Path::to_owned),
    };
    Managers::start(&[bearer], &place, Tried::default())
}

async fn next(managers: &mut Managers) -> ManagerEvent {
    let event = poll_fn(|cx| managers.poll_event(cx));
    timeout(PATIENCE, event).await.expect("an event")
}

/// Waits for something to be told.
async fn meta(managers: &mut Managers, what: &str, is_it: impl Fn(&Meta) -> bool) -> Meta {
    let mut last = Meta::default();
    let wanted = async {
        loop {
            if let ManagerEvent::Meta(CELL, meta) = next(managers).await {
                last = meta;
                if is_it(&last) {
                    return;
                }
            }
        }
    };
    let found = timeout(PATIENCE, wanted).await;
    assert!(found.is_ok(), "{what}: {last:?}");
    last
}

/// Waits for something at the modem.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wanted = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, wanted).await.is_ok(), "{what}");
}

/// A modem says it again and again: what it says while ModemManager is busy with something else is
/// overheard there, or taken for home.
async fn says(
    modem: &Modem,
    registration: Registration,
    managers: &mut Managers,
    is_it: impl Fn(&Meta) -> bool,
) -> Meta {
    let again = async {
        loop {
            modem.register(registration);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let what = format!("{registration:?}");
    tokio::select! {
        meta = meta(managers, &what, is_it) => meta,
        () = again => unreachable!("it is never tired of it"),
    }
}

#[tokio::test]
async fn registration_is_lost_and_comes_back_in_another_country_and_cell() {
    let directory = scratch("modem-network");
    let bus = Bus::start(&directory).await;
    let modem = Modem::start(None);
    let mut managers = managers(&bus, bearer(Manage::None), None);
    let _manager = ModemManager::start(&bus, &modem, &directory).await;
    // Somebody else enables it: what is not ours is left alone.
    let idle = |meta: &Meta| meta.trouble.as_deref() == Some("the modem is not enabled");
    meta(&mut managers, "there", idle).await;
    bus.enable_modem().await;
    let home = meta(&mut managers, "at home", |meta| {
        meta.registered == Some(true)
            && meta.cell.is_some()
            && meta.operator.is_some()
            && meta.signal.is_some()
    });
    let home = home.await;
    assert_eq!(home.roaming, Some(false));
    assert_eq!((home.cell, home.area), (Some(0x83_f7cd), Some(0x31c5)));
    assert_eq!(home.operator.as_deref(), Some("21401"));
    assert_eq!(home.technology, Some(6));
    assert_eq!(home.signal, Some(-79));

    let lost = |meta: &Meta| meta.registered == Some(false);
    let lost = says(&modem, Registration::Searching, &mut managers, lost).await;
    let nothing = Meta {
        registered: Some(false),
        trouble: lost.trouble.clone(),
        ..Meta::default()
    };
    assert_eq!(lost, nothing, "nothing of a cell that was left");

    let back = |meta: &Meta| meta.roaming == Some(true) && meta.cell.is_some();
    says(&modem, Registration::Roaming, &mut managers, back).await;

    modem.move_to("31C6", "00ABCDEF");
    let moved = |meta: &Meta| meta.cell == Some(0xab_cdef);
    let moved = meta(&mut managers, "moved", moved).await;
    assert_eq!(moved.area, Some(0x31c6), "both at once, never a mixture");
}

#[tokio::test]
async fn a_message_of_an_allowed_sender_wakes_and_others_are_left_alone() {
    let directory = scratch("modem-messages");
    let bus = Bus::start(&directory).await;
    let modem = Modem::start(None);
    let bearer = Bearer {
        sms_from: vec!["+34600111222".into()],
        ..bearer(Manage::ModemManager)
    };
    let mut managers = managers(&bus, bearer, None);
    let _manager = ModemManager::start(&bus, &modem, &directory).await;
    let registered = |meta: &Meta| meta.registered == Some(true);
    meta(&mut managers, "registered", registered).await;

    modem.deliver_text("+34600999999", "please update");
    // It hears of the second only when it is done with the first.
    until("the first is read", || modem.messages_read() == 1).await;
    modem.deliver_text("+34600111222", "anything");
    let mut events = Vec::new();
    while !events.contains(&ManagerEvent::Wake(CELL)) {
        events.push(next(&mut managers).await);
    }
    let wakes = |events: &[ManagerEvent]| {
        events
            .iter()
            .filter(|e| **e == ManagerEvent::Wake(CELL))
            .count()
    };
    assert_eq!(wakes(&events), 1);
    until("only the foreign message is left", || modem.messages() == 1).await;

    // Bytes for a port are taken as well; the box was woken just now, so that it waits a minute.
    let read = modem.messages_read();
    modem.deliver_bytes("+34600111222", 2948, &[0x44, 0x02, 0, 1]);
    until("the bytes are read", || modem.messages_read() > read).await;
    until("read and deleted", || modem.messages() == 1).await;
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_and_never_again() {
    let directory = scratch("modem-pin");
    let bus = Bus::start(&directory).await;
    let modem = Modem::start(Some("4321"));
    let _manager = ModemManager::start(&bus, &modem, &directory).await;
    let bearer = |pin: &str| Bearer {
        pin: Some(Secret::from(pin.as_bytes().to_vec())),
        ..bearer(Manage::ModemManager)
    };
    for _ in 0..2 {
        let mut managers = managers(&bus, bearer("1234"), Some(&directory));
        let locked = |meta: &Meta| meta.trouble.is_some();
        let meta = meta(&mut managers, "locked", locked).await;
        assert_eq!(meta.registered, Some(false));
        if modem.pins_tried().is_empty() {
            while next(&mut managers).await != ManagerEvent::Told(CELL, Told::PinRefused) {}
        }
    }
    assert_eq!(modem.pins_tried(), ["1234"]);
    // Another one is, and it fits.
    let mut managers = managers(&bus, bearer("4321"), Some(&directory));
    let registered = |meta: &Meta| meta.registered == Some(true);
    meta(&mut managers, "registered", registered).await;
    assert_eq!(modem.pins_tried(), ["1234", "4321"]);
}
