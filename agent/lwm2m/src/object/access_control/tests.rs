//! The table of lwm2m/20, 11, row by row.

use super::*;

mod given;
mod handover;

const A: Ssid = Ssid(101);
const B: Ssid = Ssid(102);
const C: Ssid = Ssid(103);

const DEVICE: InstancePath = InstancePath::new(3, 0);
const LAMP: InstancePath = InstancePath::new(3416, 1);
const PORTFOLIO: InstancePath = InstancePath::new(16, 0);
const ACCOUNT_A: InstancePath = InstancePath::new(1, 0);
const ACCOUNT_B: InstancePath = InstancePath::new(1, 1);

fn grants(owner: bool, rights: &[(&str, &str)]) -> Grants {
    let rights = rights
        .iter()
        .map(|(pattern, rights)| (pattern.parse().unwrap(), rights.parse().unwrap()));
    Grants {
        owner,
        rights: rights.collect(),
    }
}

/// A owns the box; B has what is given.
fn owner_and(rights: &[(&str, &str)]) -> AccessControl {
    let mut access = AccessControl::default();
    access.add(A, ObjectInstanceId(0), grants(true, &[]));
    access.add(B, ObjectInstanceId(1), grants(false, rights));
    number(&mut access);
    access
}

fn number(access: &mut AccessControl) {
    let existing = [
        DEVICE,
        LAMP,
        PORTFOLIO,
        ACCOUNT_A,
        ACCOUNT_B,
        of_object(ObjectId(16)),
    ];
    access.reserve(existing.into_iter());
}

/// The letters of what a server may do.
fn may(access: &AccessControl, ssid: Ssid, path: InstancePath) -> String {
    let rights = [
        ('R', Right::Read),
        ('W', Right::Write),
        ('E', Right::Execute),
        ('D', Right::Delete),
        ('C', Right::Create),
    ];
    rights
        .into_iter()
        .filter(|(_, right)| access.allows(ssid, *right, path))
        .map(|(letter, _)| letter)
        .collect()
}

fn number_of(access: &AccessControl, path: InstancePath) -> ObjectInstanceId {
    access
        .number(path)
        .expect("an instance of object 2")
        .instance
}

fn write_acl(
    access: &mut AccessControl,
    path: InstancePath,
    entries: &[(u16, i64)],
    keeps: bool,
) -> Result<(), Reject> {
    let values = entries
        .iter()
        .map(|(who, bits)| (ResourceInstanceId(*who), Value::Integer(*bits)));
    let content = Content::Multiple(values.collect());
    access.write(number_of(access, path), ResourceId(2), &content, keeps)
}

fn write_owner(access: &mut AccessControl, path: InstancePath, who: u16) -> Result<(), Reject> {
    let content = Content::Single(Value::Integer(who.into()));
    access.write(number_of(access, path), ResourceId(3), &content, false)
}

fn acl(access: &AccessControl, path: InstancePath) -> Vec<(u16, u8)> {
    let entries = access.entries(path).into_iter();
    entries.map(|(who, rights)| (who, rights.bits())).collect()
}

#[test]
fn a_single_server_has_every_right_and_there_is_no_object_2() {
    let mut access = AccessControl::default();
    access.add(B, ObjectInstanceId(0), grants(false, &[]));
    assert_eq!(may(&access, B, LAMP), "RWEDC");
    number(&mut access);
    assert_eq!(access.number(LAMP), None);
    assert_eq!(access.target(ObjectInstanceId(0)), None);
}

#[test]
fn the_rights_of_a_server_on_an_instance() {
    // Entries of the list, owner, and what server 102 may then do.
    let owner = B.0;
    type Entries<'a> = &'a [(u16, i64)];
    let rows: [(&str, Entries<'_>, u16, &str); 10] = [
        ("own entry", &[(102, 1)], 101, "R"),
        ("own entry, each bit", &[(102, 4)], 101, "E"),
        (
            "own entry hides the default",
            &[(102, 1), (0, 15)],
            101,
            "R",
        ),
        ("entry 0 is no right at all", &[(102, 0), (0, 15)], 101, ""),
        ("default entry", &[(0, 3)], 101, "RW"),
        ("no entry", &[(101, 15)], 101, ""),
        ("empty list", &[], 101, ""),
        ("owner without entry", &[(101, 1)], owner, "RWED"),
        (
            "owner without entry hides the default",
            &[(0, 1)],
            owner,
            "RWED",
        ),
        ("owner with an entry", &[(102, 1), (0, 15)], owner, "R"),
    ];
    for (row, entries, owner, expected) in rows {
        let mut access = owner_and(&[]);
        write_acl(&mut access, LAMP, entries, false).unwrap();
        write_owner(&mut access, LAMP, owner).unwrap();
        assert_eq!(may(&access, B, LAMP), expected, "{row}");
    }
}

#[test]
fn without_an_instance_of_object_2_about_it_nobody_but_the_configured_has_rights() {
    let access = owner_and(&[("/3416", "R")]);
    let unknown = InstancePath::new(3300, 9);
    assert_eq!(may(&access, B, unknown), "");
    assert_eq!(may(&access, B, InstancePath::new(3416, 900)), "R");
}

#[test]
fn create_is_asked_of_the_object_and_counts_nowhere_else() {
    let access = owner_and(&[("/16", "RC"), ("/3416/1", "RWEDC")]);
    assert!(access.allows(B, Right::Create, PORTFOLIO));
    assert!(access.allows(A, Right::Create, PORTFOLIO), "the owner");
    assert!(
        !access.allows(B, Right::Create, LAMP),
        "an instance says nothing of its object"
    );
    assert!(!access.allows(C, Right::Create, PORTFOLIO), "a stranger");
    let object = of_object(ObjectId(16));
    assert_eq!(access.owner(object), NOBODY);
    assert_eq!(acl(&access, object), [(101, 16), (102, 16)]);
    assert_eq!(acl(&access, PORTFOLIO), [(101, 15), (102, 1)], "no C");
}

#[test]
fn object_2_is_read_by_all_and_written_by_the_owner_of_what_it_is_about() {
    let mut access = owner_and(&[("/3416/1", "RWEDC")]);
    let about_lamp = access.number(LAMP).unwrap();
    assert_eq!(may(&access, A, about_lamp), "RW");
    assert_eq!(may(&access, B, about_lamp), "R");
    write_owner(&mut access, LAMP, B.0).unwrap();
    assert_eq!(may(&access, A, about_lamp), "R");
    assert_eq!(may(&access, B, about_lamp), "RW");
    let about_object = access.number(of_object(ObjectId(16))).unwrap();
    assert_eq!(
        may(&access, A, about_object),
        "R",
        "only a bootstrap server"
    );
    assert_eq!(
        access.number(about_lamp),
        None,
        "nothing is said of object 2 itself"
    );
}

#[test]
fn the_longest_pattern_counts() {
    let access = owner_and(&[("*", "R"), ("/3416", "RW"), ("/3416/1", "E"), ("/3", "")]);
    for (path, expected) in [
        (InstancePath::new(3303, 0), "R"),
        (InstancePath::new(3416, 2), "RW"),
        (LAMP, "E"),
        (DEVICE, ""),
    ] {
        assert_eq!(may(&access, B, path), expected, "{path}");
        assert_eq!(may(&access, A, path), "RWEDC", "{path}");
    }
    assert_eq!(acl(&access, DEVICE), [(101, 15), (102, 0)]);
    assert_eq!(access.owner(DEVICE), A.0);
}

#[test]
fn a_server_manages_its_own_account_unless_something_else_is_said() {
    let access = owner_and(&[("*", "R")]);
    assert_eq!(may(&access, B, ACCOUNT_B), "RWE");
    assert_eq!(may(&access, B, ACCOUNT_A), "R");
    let access = owner_and(&[]);
    assert_eq!(may(&access, B, ACCOUNT_B), "RWE");
    assert_eq!(may(&access, B, ACCOUNT_A), "");
    let access = owner_and(&[("/1", "R")]);
    assert_eq!(may(&access, B, ACCOUNT_B), "R");
}

#[test]
fn what_a_server_makes_is_its_own() {
    let mut access = owner_and(&[("/16", "C")]);
    let record = access.created(B, PORTFOLIO);
    assert_eq!(record.key(), Record::Access("/16/0".to_owned(), None).key());
    assert_eq!(access.owner(PORTFOLIO), B.0);
    assert_eq!(may(&access, B, PORTFOLIO), "RWEDC");
    assert_eq!(acl(&access, PORTFOLIO), [(101, 15), (102, 15)]);
    assert!(access.deleted(PORTFOLIO).unwrap().is_removal());
    assert_eq!(access.owner(PORTFOLIO), A.0);
    assert_eq!(access.deleted(PORTFOLIO), None);
}

#[test]
fn a_list_is_replaced_or_added_to() {
    let mut access = owner_and(&[("*", "R")]);
    write_acl(&mut access, LAMP, &[(0, 1)], true).unwrap();
    assert_eq!(acl(&access, LAMP), [(0, 1), (101, 15), (102, 1)]);
    write_acl(&mut access, LAMP, &[(102, 3)], false).unwrap();
    assert_eq!(acl(&access, LAMP), [(102, 3)]);
    access.reset(number_of(&access, LAMP), ResourceId(2));
    assert_eq!(acl(&access, LAMP), []);
    assert_eq!(
        access.read(number_of(&access, LAMP), ResourceId(2)),
        Some(Content::Multiple(Vec::new()))
    );
}

#[test]
fn nonsense_is_refused() {
    let mut access = owner_and(&[]);
    for entries in [(102, 32), (102, -1), (999, 1), (u16::MAX, 1)] {
        assert!(
            write_acl(&mut access, LAMP, &[entries], true).is_err(),
            "{entries:?}"
        );
    }
    for owner in [0, 999] {
        assert!(write_owner(&mut access, LAMP, owner).is_err(), "{owner}");
    }
    assert_eq!(access, owner_and(&[]), "nothing has changed");
    assert!(write_owner(&mut access, LAMP, NOBODY).is_ok());
}

#[test]
fn what_was_written_counts_until_the_configuration_says_something_else() {
    let mut access = owner_and(&[("/3416", "R")]);
    write_acl(&mut access, LAMP, &[(102, 7)], true).unwrap();
    let (_, records) = access.different(&owner_and(&[("/3416", "R")]));
    let [Record::Access(path, Some(saved))] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(path, "/3416/1");
    for (rights, expected) in [("R", "RWE"), ("RW", "RW")] {
        let mut restarted = owner_and(&[("/3416", rights)]);
        restarted.restore(LAMP, saved.clone());
        assert_eq!(may(&restarted, B, LAMP), expected, "{rights}");
    }
    let mut restarted = owner_and(&[("/3416", "R")]);
    restarted.restore(LAMP, saved.clone());
    restarted.add(C, ObjectInstanceId(2), grants(false, &[("*", "R")]));
    assert_eq!(may(&restarted, B, LAMP), "RWE", "another key has changed");
}

#[test]
fn what_goes_back_to_the_configuration_is_not_kept() {
    let mut access = owner_and(&[("/3416", "R")]);
    write_acl(&mut access, LAMP, &[(102, 7)], true).unwrap();
    write_acl(&mut access, LAMP, &[(102, 1)], true).unwrap();
    assert_eq!(access, owner_and(&[("/3416", "R")]));
}

/// A made something and listed B and C for it; then A leaves.
fn left_behind(b: i64, c: i64) -> (AccessControl, Vec<InstancePath>) {
    let mut access = owner_and(&[]);
    access.remove(A);
    access.add(A, ObjectInstanceId(0), grants(false, &[("/16", "C")]));
    access.add(C, ObjectInstanceId(2), grants(false, &[]));
    let _ = access.created(A, PORTFOLIO);
    let entries: Vec<(u16, i64)> = [(101, 15), (102, b), (103, c)]
        .into_iter()
        .filter(|(_, bits)| *bits >= 0)
        .collect();
    write_acl(&mut access, PORTFOLIO, &entries, false).unwrap();
    access.remove(A);
    let (orphans, records) = access.disinherit();
    assert_eq!(records.len(), 1, "{records:?}");
    (access, orphans)
}

#[test]
fn what_a_server_leaves_goes_to_the_one_that_may_write_and_delete_most() {
    const NONE: i64 = -1;
    for (b, c, heir) in [
        (1, 3, C),
        (3, 1, B),
        (2, 8, C),
        (10, 15, B),
        (5, 1, B),
        (NONE, 1, C),
    ] {
        let (access, orphans) = left_behind(b, c);
        assert_eq!(access.owner(PORTFOLIO), heir.0, "{b} {c}");
        assert!(!acl(&access, PORTFOLIO).iter().any(|(who, _)| *who == A.0));
        assert_eq!(orphans, []);
    }
    let (access, orphans) = left_behind(NONE, NONE);
    assert_eq!(orphans, [PORTFOLIO], "nobody has a right on it any more");
    assert_eq!(access.changed.get(&PORTFOLIO), None);
}

#[test]
fn what_a_server_had_given_away_stays_where_it_is() {
    let mut access = owner_and(&[("/16", "C")]);
    let _ = access.created(B, PORTFOLIO);
    write_owner(&mut access, PORTFOLIO, A.0).unwrap();
    access.remove(B);
    access.add(C, ObjectInstanceId(1), grants(false, &[]));
    assert_eq!(access.disinherit().0, []);
    assert_eq!(access.owner(PORTFOLIO), A.0);
    assert_eq!(acl(&access, PORTFOLIO), [(101, 15)]);
}

#[test]
fn everything_is_readable_by_its_number() {
    let access = owner_and(&[("*", "R")]);
    let number = number_of(&access, LAMP);
    let single = |value| Some(Content::Single(Value::Integer(value)));
    assert_eq!(access.read(number, ResourceId(0)), single(3416));
    assert_eq!(access.read(number, ResourceId(1)), single(1));
    assert_eq!(access.read(number, ResourceId(3)), single(101));
    assert_eq!(access.read(number, ResourceId(4)), None);
}
