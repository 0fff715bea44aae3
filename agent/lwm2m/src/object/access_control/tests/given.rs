//! What a bootstrap server says of rights.

use super::*;

fn assigned(entries: &[(u16, u8)], owner: u16) -> Assigned {
    Assigned {
        entries: entries.iter().copied().collect(),
        owner,
    }
}

#[test]
fn the_accounts_of_a_bootstrap_are_those_that_count() {
    let mut access = owner_and(&[("/3416", "RW")]);
    let accounts = [
        (A, ObjectInstanceId(0), grants(true, &[])),
        (C, ObjectInstanceId(1), grants(false, &[("/3416", "RE")])),
    ];
    access.set_accounts(accounts.into_iter());
    assert_eq!(may(&access, B, LAMP), "");
    assert_eq!(may(&access, C, LAMP), "RE");
}

#[test]
fn rights_are_exactly_what_was_assigned_to_servers_that_there_are() {
    let mut access = owner_and(&[("/3416", "RW")]);
    let before = access.clone();
    access.assign(LAMP, &assigned(&[(0, 1), (101, 2), (103, 31)], 102));
    assert_eq!(acl(&access, LAMP), [(0, 1), (101, 2)]);
    assert_eq!(
        may(&access, A, LAMP),
        "WC",
        "an object is made for all instances"
    );
    assert_eq!(
        may(&access, B, LAMP),
        "RWED",
        "of the owner without an entry"
    );
    assert_eq!(may(&access, C, LAMP), "R", "of all others");
    let records = access.records_since(&before);
    assert!(matches!(&records[..], [Record::Access(path, Some(_))] if path == "/3416/1"));
}

#[test]
fn what_servers_had_changed_of_rights_is_forgotten_but_not_who_made_an_instance() {
    let mut access = owner_and(&[("/3416", "RW")]);
    let before = access.clone();
    let made = InstancePath::new(16, 3);
    let _record = access.created(B, made);
    let number_of_all = [LAMP, DEVICE, made];
    access.reserve(number_of_all.into_iter());
    for path in [LAMP, DEVICE] {
        write_acl(&mut access, path, &[(102, 1)], false).unwrap();
    }
    write_owner(&mut access, made, 101).unwrap();
    access.clear(LAMP);
    assert_eq!(may(&access, B, LAMP), may(&before, B, LAMP));
    assert_eq!(may(&access, B, DEVICE), "R", "the other stays");
    access.clear_all();
    assert_eq!(may(&access, B, DEVICE), may(&before, B, DEVICE));
    assert_eq!(access.owner(made), B.0);
}
