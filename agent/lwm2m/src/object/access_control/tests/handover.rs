//! Rights that are given away, taken back and left behind, and what object 2 says to nonsense.

use lamplighter_coap::Code;

use super::*;

fn keys(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.key().to_string())
        .collect()
}

/// A owns the box, B and C may do nothing but with their accounts.
fn three() -> AccessControl {
    let mut access = owner_and(&[]);
    access.add(C, ObjectInstanceId(2), grants(false, &[]));
    access
}

#[test]
fn what_object_2_cannot_hold_is_refused_with_the_code_of_its_kind() {
    let mut access = owner_and(&[]);
    let lamp = number_of(&access, LAMP);
    let one = Content::Single(Value::Integer(1));
    let many = Content::Multiple(vec![(ResourceInstanceId(102), Value::Integer(1))]);
    for (number, resource, content, code) in [
        (lamp, id::ACL, &one, Code::BAD_REQUEST),
        (lamp, id::OWNER, &many, Code::BAD_REQUEST),
        (lamp, id::OBJECT, &one, Code::METHOD_NOT_ALLOWED),
        (lamp, id::INSTANCE, &many, Code::METHOD_NOT_ALLOWED),
        (ObjectInstanceId(60_000), id::ACL, &many, Code::NOT_FOUND),
    ] {
        let refused = access.write(number, ResourceId(resource), content, true);
        assert_eq!(refused.unwrap_err().code, code, "{resource} {content:?}");
    }
    assert_eq!(access, owner_and(&[]));
    // Part of a Replace: an owner that is not named stays, as 2/x/3 is mandatory.
    write_owner(&mut access, LAMP, B.0).unwrap();
    access.reset(lamp, ResourceId(id::OWNER));
    assert_eq!(access.owner(LAMP), B.0);
    assert_eq!(acl(&access, LAMP), [(101, 15)]);
}

#[test]
fn the_resources_that_a_write_has_changed_are_told_and_kept() {
    let before = owner_and(&[]);
    let about = |access: &AccessControl, resource| access.number(LAMP).unwrap().resource(resource);
    let mut access = before.clone();
    write_owner(&mut access, LAMP, B.0).unwrap();
    let (resources, records) = access.different(&before);
    assert_eq!(resources, [about(&access, id::OWNER)]);
    assert_eq!(keys(&records), ["access/3416/1"]);
    let with_owner = access.clone();
    write_acl(&mut access, LAMP, &[(102, 1)], true).unwrap();
    let (resources, _) = access.different(&with_owner);
    assert_eq!(resources, [about(&access, id::ACL)]);
    let (resources, records) = access.different(&before);
    assert_eq!(
        resources,
        [about(&access, id::ACL), about(&access, id::OWNER)]
    );
    assert_eq!(records.len(), 1);
    assert_eq!(access.different(&access.clone()), (vec![], vec![]));
    let undone = access.take_back(LAMP, None);
    assert_eq!(undone, resources);
    assert_eq!(access, before);
    let Some(saved) = with_owner.changed.get(&LAMP).cloned() else {
        panic!("the owner is kept");
    };
    assert_eq!(access.take_back(LAMP, Some(saved)).len(), 1);
    assert_eq!(access, with_owner);
}

/// Design, 6: changes that can cut the box off are on trial.
#[test]
fn what_a_server_gives_away_can_be_taken_back() {
    let before = three();
    let mut access = before.clone();
    write_owner(&mut access, LAMP, B.0).unwrap();
    assert_eq!(keys(&access.given_away(&before, A)), ["access/3416/1"]);
    assert!(access.given_away(&before, A)[0].is_removal(), "as it was");
    assert!(access.given_away(&before, B).is_empty(), "it got something");
    assert!(before.given_away(&access, C).is_empty(), "it has no part");
    // Given on a second time, what comes back is what was before that.
    let mut again = access.clone();
    write_owner(&mut again, LAMP, C.0).unwrap();
    let records = again.given_away(&access, B);
    let [Record::Access(_, Some(saved))] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(saved.owner.map(|owner| owner.is), Some(B.0));
}

#[test]
fn an_account_that_its_server_or_nobody_can_write_any_more_is_given_away() {
    let before = three();
    let written = |path: InstancePath, entries: &[(u16, i64)]| {
        let mut access = before.clone();
        write_acl(&mut access, path, entries, false).unwrap();
        access
    };
    let own = written(ACCOUNT_B, &[(101, 15), (102, 1)]);
    assert_eq!(keys(&own.given_away(&before, B)), ["access/1/1"]);
    assert!(own.given_away(&before, A).is_empty(), "A can still write");
    assert!(own.given_away(&before, C).is_empty());
    let nobody = written(ACCOUNT_B, &[(101, 1), (102, 1)]);
    for by in [A, B, C] {
        assert_eq!(keys(&nobody.given_away(&before, by)), ["access/1/1"]);
    }
    assert!(nobody.given_away(&nobody, A).is_empty(), "it was so before");
    let lamp = written(LAMP, &[(101, 1)]);
    assert!(lamp.given_away(&before, A).is_empty(), "not an account");
}

#[test]
fn whether_anybody_may_create_is_known() {
    let mut access = AccessControl::default();
    access.add(B, ObjectInstanceId(1), grants(false, &[("/16", "C")]));
    access.add(C, ObjectInstanceId(2), grants(false, &[("*", "RWED")]));
    assert!(access.is_create_granted(ObjectId(16)));
    assert!(!access.is_create_granted(ObjectId(3416)));
    assert!(owner_and(&[]).is_create_granted(ObjectId(3416)));
}

#[test]
fn numbers_are_kept_when_there_are_new_ones_and_somebody_to_tell_apart() {
    let mut single = AccessControl::default();
    single.add(B, ObjectInstanceId(0), grants(false, &[]));
    assert_eq!(single.reserve([LAMP].into_iter()), None);
    let mut access = owner_and(&[]);
    assert_eq!(access.reserve([LAMP].into_iter()), None, "known");
    let new = InstancePath::new(3300, 0);
    let record = access.reserve([new].into_iter());
    let Some(Record::AccessNumbers(blocks)) = record else {
        panic!("{record:?}");
    };
    let number = access.number(new);
    let mut restarted = AccessControl::default();
    restarted.restore_numbers(&blocks);
    restarted.add(A, ObjectInstanceId(0), grants(true, &[]));
    restarted.add(B, ObjectInstanceId(1), grants(false, &[]));
    assert_eq!(restarted.number(new), number);
}

#[test]
fn the_default_entry_inherits_nothing_and_outlives_the_servers() {
    let mut access = three();
    access.add(B, ObjectInstanceId(1), grants(false, &[("/16", "C")]));
    let _ = access.created(B, PORTFOLIO);
    write_acl(
        &mut access,
        PORTFOLIO,
        &[(0, 15), (103, 1), (102, 1)],
        false,
    )
    .unwrap();
    access.remove(B);
    let (orphans, records) = access.disinherit();
    assert_eq!(
        (orphans, keys(&records)),
        (vec![], vec!["access/16/0".to_owned()])
    );
    assert_eq!(access.owner(PORTFOLIO), C.0, "0 is no server");
    assert_eq!(acl(&access, PORTFOLIO), [(0, 15), (103, 1)]);
    assert_eq!(
        access.disinherit(),
        (vec![], vec![]),
        "nothing is left to do"
    );
}

#[test]
fn what_the_box_made_itself_stays_when_nobody_has_a_right_on_it() {
    let mut access = AccessControl::default();
    for (server, instance) in [(A, 0), (B, 1), (C, 2)] {
        access.add(server, ObjectInstanceId(instance), grants(false, &[]));
    }
    number(&mut access);
    write_owner(&mut access, LAMP, B.0).unwrap();
    write_owner(&mut access, DEVICE, A.0).unwrap();
    access.remove(B);
    let (orphans, records) = access.disinherit();
    assert_eq!(orphans, []);
    assert_eq!(keys(&records), ["access/3416/1"]);
    assert_eq!(access.owner(LAMP), NOBODY);
    assert_eq!(access.owner(DEVICE), A.0, "its owner is still there");
}

#[test]
fn what_was_made_nobodys_stays_so_when_servers_leave() {
    let mut access = three();
    write_owner(&mut access, LAMP, NOBODY).unwrap();
    access.remove(C);
    assert_eq!(access.disinherit(), (vec![], vec![]));
    assert_eq!(access.owner(LAMP), NOBODY);
}

#[test]
fn rights_that_one_server_has_written_are_no_reason_to_give_away_what_the_box_owns() {
    let mut access = three();
    write_acl(&mut access, LAMP, &[(101, 1), (102, 15)], false).unwrap();
    access.remove(C);
    assert_eq!(access.disinherit(), (vec![], vec![]));
    assert_eq!(access.owner(LAMP), A.0);
}

#[test]
fn an_owner_that_was_written_counts_until_the_configuration_names_another() {
    let mut access = three();
    write_owner(&mut access, LAMP, B.0).unwrap();
    let saved = access.changed[&LAMP].clone();
    for (owner, expected) in [(A, B), (C, C)] {
        let mut restarted = AccessControl::default();
        for (server, instance) in [(A, 0), (B, 1), (C, 2)] {
            let grants = grants(server == owner, &[]);
            restarted.add(server, ObjectInstanceId(instance), grants);
        }
        restarted.restore(LAMP, saved.clone());
        assert_eq!(restarted.owner(LAMP), expected.0, "{owner} owns the box");
    }
}

#[test]
fn there_is_no_object_2_once_a_single_server_is_left() {
    let mut access = owner_and(&[]);
    let number = number_of(&access, LAMP);
    access.remove(A);
    assert_eq!(access.number(LAMP), None);
    assert_eq!(access.target(number), None);
}

/// Where the box is shows who drives it: a server without the right is not even told that it is
/// known (design, 6).
#[test]
fn the_place_of_the_box_is_hidden_from_those_who_may_not_read_it() {
    let place = InstancePath::new(6, 0);
    let access = owner_and(&[("*", "RWED")]);
    assert!(access.hides(B, place));
    assert!(!access.hides(A, place), "the owner");
    assert!(!access.hides(B, LAMP));
    let named = owner_and(&[("/6", "R")]);
    assert!(!named.hides(B, place));
    assert!(!named.hides(B, LAMP), "without a right, but no secret");
    let mut access = access;
    access.reserve([place].into_iter());
    let about = |path| access.number(path).unwrap().resource(id::ACL);
    assert!(access.is_about_hidden(about(place)));
    assert!(!access.is_about_hidden(about(LAMP)));
    let number = about(place).instance.instance;
    let other = InstancePath {
        instance: number,
        ..LAMP
    };
    assert!(!access.is_about_hidden(other.resource(id::ACL)));
}
