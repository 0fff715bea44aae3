//! State that comes to another board.

use lamplighter_lwm2m::{
    registration::Enabler,
    saved::{Moment, SavedObservation, SavedRegistration, SavedSession},
    security::Secret,
};
use lamplighter_model::Now;

use super::{
    cut::{Chance, CutDisk},
    *,
};
use crate::store::board::recognise_on;

const HERE: Option<&str> = Some("10000000abcd1234");
const THERE: Option<&str> = Some("10000000abcd9999");

fn moment() -> Moment {
    Moment::of(Now {
        boot: BootId(1),
        mono: Duration::ZERO,
        unix: None,
    })
}

fn registered() -> Record {
    let registration = SavedRegistration::Registered {
        at: moment(),
        identity: "cab-17 coap://server".to_owned(),
        lifetime: Duration::from_secs(300),
        location: vec!["rd".to_owned(), "7".to_owned()],
        version: Enabler::V1_1,
        refused: None,
    };
    Record::Registration(SERVER, Some(registration))
}

fn left() -> Record {
    let registration = SavedRegistration::None {
        version: Enabler::V1_1,
        refused: None,
    };
    Record::Registration(SERVER, Some(registration))
}

fn disabled(ssid: u16) -> Record {
    let registration = SavedRegistration::Disabled {
        began: moment(),
        lasts: Duration::from_secs(7200),
        version: None,
        refused: None,
    };
    Record::Registration(Ssid(ssid), Some(registration))
}

fn session() -> Record {
    let session = SavedSession {
        bytes: Secret::new(b"a frozen session".to_vec()),
        mark: Some([7; 16]),
    };
    Record::Session(SERVER, Some(Box::new(session)))
}

fn observation() -> Record {
    let observation = SavedObservation {
        attributes: None,
        composite: None,
        format: 112,
        is_orphan: false,
        path: "/3303/0/5700".to_owned(),
    };
    Record::Observation(SERVER, vec![1, 2], Some(observation))
}

fn trial(of: Record) -> Record {
    Record::Trial("account/102".to_owned(), Some(Box::new(of)))
}

fn all() -> Vec<Record> {
    vec![
        registered(),
        session(),
        observation(),
        record("Europe/Berlin"),
        disabled(102),
        trial(session()),
    ]
}

fn fill(disk: &mut CutDisk) {
    let mut records = Records::load(disk);
    let all = all().into_iter().map(|record| (BOX, record));
    records.keep(disk, all).unwrap();
    records.flush(disk).unwrap();
}

fn found(disk: &mut CutDisk) -> Vec<Record> {
    let all = Records::load(disk).all().into_iter();
    all.map(|(_, record)| record).collect()
}

#[test]
fn another_board_keeps_the_configuration_and_silences_but_no_registration_and_no_session() {
    let mut disk = CutDisk::new();
    assert!(!recognise_on(&mut disk, HERE).unwrap(), "a new state");
    fill(&mut disk);
    assert!(!recognise_on(&mut disk, HERE).unwrap());
    assert!(!recognise_on(&mut disk, None).unwrap(), "who can tell?");
    assert_eq!(found(&mut disk).len(), all().len());
    assert!(recognise_on(&mut disk, THERE).unwrap());
    let kept = found(&mut disk);
    for expected in [left(), record("Europe/Berlin"), disabled(102)] {
        assert!(kept.contains(&expected), "{expected:?} in {kept:?}");
    }
    assert!(
        kept.iter()
            .all(|record| record.on_another_board().is_none())
    );
    assert!(!recognise_on(&mut disk, THERE).unwrap(), "told once");
}

#[test]
fn a_power_cut_at_any_step_leaves_no_session_on_the_other_board() {
    let mut chance = Chance::new(1);
    for cut in 0.. {
        let mut disk = CutDisk::new();
        recognise_on(&mut disk, HERE).unwrap();
        fill(&mut disk);
        disk.world().steps = 0;
        disk.world().cut = Some(cut);
        let first = recognise_on(&mut disk, THERE);
        disk.world().lose(&mut chance);
        recognise_on(&mut disk, THERE).unwrap();
        let kept = found(&mut disk);
        assert!(
            kept.iter()
                .all(|record| record.on_another_board().is_none()),
            "cut before step {cut}: {kept:?}"
        );
        assert!(kept.contains(&record("Europe/Berlin")));
        if first.is_ok() {
            return assert!(cut > 3, "{cut} steps");
        }
    }
}
