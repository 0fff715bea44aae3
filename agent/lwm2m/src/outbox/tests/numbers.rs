//! The numbers of the queue, step by step.

use super::*;

fn sample(part: u16, value: i64) -> Sample {
    let address = ResourceAddress::gateway(3303, part, 5700);
    let at = Stamp {
        mono: std::time::Duration::from_secs(value.unsigned_abs()),
        ..Stamp::default()
    };
    Sample::good(address, Value::Integer(value), at)
}

/// What the store gives of numbers, each of a part of its own.
fn kept(numbers: std::ops::Range<u64>) -> Vec<Kept> {
    let kept = |number: u64| Kept {
        number,
        sample: sample(number as u16, 0),
    };
    numbers.map(kept).collect()
}

fn numbers(outbox: &Outbox) -> Vec<u64> {
    outbox.waiting().iter().map(|kept| kept.number).collect()
}

/// A store that holds these after a restart.
fn holding(first: u64, next: u64) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.restore(SavedQueue {
        dropped: 0,
        first,
        next,
    });
    outbox
}

#[test]
fn what_is_told_stays_with_the_store_until_something_later_is_confirmed() {
    let mut outbox = Outbox::default();
    let told = outbox.told((0..5).map(|value| sample(0, value)).collect());
    assert_eq!(told.iter().map(|kept| kept.number).max(), Some(4));
    assert_eq!(
        (outbox.unconfirmed(), outbox.mark(), outbox.next()),
        (5, 5, 5)
    );
    assert_eq!((outbox.queued(), outbox.is_empty()), (0, false));
    assert!(outbox.is_drained());
    assert_eq!(outbox.forget(), None, "nothing is confirmed");
    outbox.confirm(2);
    assert_eq!((outbox.unconfirmed(), outbox.settled()), (3, 2));
    assert_eq!(outbox.forget(), Some(1), "the last that has arrived");
    assert_eq!(outbox.forget(), None, "once");
    outbox.confirm(1);
    assert_eq!(outbox.settled(), 2, "an old answer takes nothing back");
    outbox.confirm(99);
    assert_eq!(outbox.settled(), 5, "what was not told cannot arrive");
    assert_eq!((outbox.unconfirmed(), outbox.forget()), (0, Some(4)));
    assert!(outbox.is_empty());
}

#[test]
fn the_same_sample_is_stored_once_and_once_more_only_where_it_must_wait() {
    let mut outbox = Outbox::default();
    let count = |kept: Vec<Kept>| kept.len();
    let told = vec![sample(0, 1), sample(2, 1), sample(0, 1)];
    assert_eq!(count(outbox.told(told)), 2);
    // One observation has told it, another has to wait.
    assert_eq!(count(outbox.queue(vec![sample(0, 1)])), 1);
    assert_eq!(count(outbox.queue(vec![sample(0, 1)])), 0);
    let later = Sample {
        at: sample(0, 2).at,
        ..sample(0, 1)
    };
    assert_eq!(count(outbox.queue(vec![later])), 1, "measured again");
    assert_eq!(count(outbox.queue(vec![sample(1, 1)])), 1, "another part");
    assert_eq!(outbox.next(), 5);
}

#[test]
fn the_store_is_asked_for_as_much_as_has_room_and_exists() {
    let mut outbox = holding(10, 1000);
    assert_eq!(outbox.fetch(), Some((10, BUFFERED)));
    assert_eq!(outbox.fetch(), None, "one question at a time");
    outbox.fetched(kept(10..522));
    assert_eq!(outbox.fetch(), None, "enough is in memory");
    outbox.advance(BUFFERED - REFILL);
    assert_eq!(outbox.fetch(), None, "still enough");
    outbox.advance(1);
    assert_eq!(outbox.fetch(), Some((522, BUFFERED - REFILL + 1)));
    outbox.fetched(kept(522..907));
    assert_eq!(numbers(&outbox), (395..907).collect::<Vec<_>>());
    outbox.advance(BUFFERED - 1);
    assert_eq!(outbox.fetch(), Some((907, 93)), "no more than there is");
    outbox.fetched(kept(907..1000));
    assert_eq!(outbox.fetch(), None, "all is in memory");
    assert_eq!((outbox.behind(), outbox.mark()), (94, 906));
}

#[test]
fn an_answer_of_the_store_to_an_old_question_counts_for_nothing() {
    let mut outbox = holding(0, 20);
    assert_eq!(outbox.fetch(), Some((0, 20)));
    outbox.fetched(kept(0..10));
    outbox.advance(10);
    assert_eq!(outbox.fetch(), Some((10, 10)));
    outbox.doubt();
    assert_eq!(outbox.fetch(), Some((0, 20)), "all is to be told again");
    outbox.fetched(kept(10..20));
    assert!(outbox.waiting().is_empty(), "that was asked before");
    outbox.fetched(kept(0..20));
    assert_eq!(numbers(&outbox), (0..20).collect::<Vec<_>>());
    assert_eq!(outbox.losses().total(), 0);
}

#[test]
fn what_the_store_has_not_any_more_is_counted_and_waited_for_no_longer() {
    let mut outbox = holding(10, 30);
    assert!(outbox.fetch().is_some());
    outbox.fetched(Vec::new());
    assert_eq!(outbox.losses().store, 20);
    assert!(outbox.is_drained());
    let mut outbox = holding(0, 20);
    assert!(outbox.fetch().is_some());
    // What comes while the store is asked is not in its answer.
    assert_eq!(outbox.queue(vec![sample(0, 1)]).len(), 1);
    outbox.fetched(Vec::new());
    assert_eq!(outbox.losses().store, 20);
    assert_eq!(outbox.fetch(), Some((20, 1)));
}

#[test]
fn samples_of_more_parts_than_may_be_parked_are_lost() {
    let mut outbox = Outbox::default();
    let mut park = |part: usize, value: i64| {
        outbox.queue(vec![sample(u16::try_from(part).unwrap(), value)]);
        outbox.park()
    };
    for part in 0..MAX_PARKED {
        assert!(park(part, 1), "{part}");
    }
    assert!(!park(MAX_PARKED, 1), "one part more");
    assert!(park(7, 2), "a part that is parked");
    assert_eq!(outbox.parked().len(), MAX_PARKED);
    assert_eq!(outbox.queued(), MAX_PARKED as u64 + 1);
    let part = (sample(7, 0).address, None);
    let parked = outbox.parked()[&part];
    assert_eq!((parked.count, parked.first, parked.last), (2, 7, 4097));
    assert_eq!(outbox.unpark_all(&part), 2);
    assert_eq!(outbox.unpark_all(&part), 0);
}

#[test]
fn reading_again_begins_only_where_something_was_passed_by() {
    let mut outbox = Outbox::default();
    outbox.told(vec![sample(0, 1)]);
    outbox.reread(1);
    assert!(outbox.is_drained(), "nothing is before the position");
    outbox.reread(0);
    assert!(!outbox.is_drained());
    assert_eq!(outbox.fetch(), Some((0, 1)));
}

#[test]
fn what_the_store_dropped_is_passed_wherever_the_position_is() {
    // Still to be told.
    let mut outbox = holding(0, 20);
    assert!(outbox.fetch().is_some());
    outbox.fetched(kept(0..20));
    outbox.dropped(5, 5);
    assert_eq!(numbers(&outbox), (5..20).collect::<Vec<_>>());
    assert_eq!((outbox.mark(), outbox.settled()), (5, 5));
    assert_eq!((outbox.losses().bound, outbox.behind()), (5, 15));
    assert_eq!(outbox.forget(), None, "the store has done so itself");
    // Told already.
    outbox.advance(10);
    outbox.dropped(10, 5);
    assert_eq!((outbox.mark(), outbox.settled()), (15, 10));
    assert_eq!(outbox.unconfirmed(), 5);
    // Not in memory yet.
    let mut outbox = holding(0, 2000);
    assert!(outbox.fetch().is_some());
    outbox.fetched(kept(0..512));
    outbox.dropped(600, 600);
    assert!(outbox.waiting().is_empty());
    assert_eq!(outbox.fetch(), Some((600, 512)));
    // More than there ever was.
    outbox.dropped(9999, 1);
    assert_eq!((outbox.mark(), outbox.is_drained()), (2000, true));
}

#[test]
fn what_the_store_is_asked_for_is_still_wanted_when_it_dropped_what_is_before() {
    let mut outbox = holding(0, 2000);
    assert!(outbox.fetch().is_some());
    outbox.fetched(kept(0..512));
    outbox.advance(400);
    assert_eq!(outbox.fetch(), Some((512, 400)));
    outbox.dropped(512, 512);
    assert_eq!(outbox.fetch(), None, "it has not answered yet");
    outbox.fetched(kept(512..912));
    assert_eq!(numbers(&outbox), (512..912).collect::<Vec<_>>());
}

#[test]
fn what_is_discarded_is_counted_with_what_was_parked() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.discard_all(Loss::Cancelled), None);
    outbox.told(vec![sample(0, 1)]);
    outbox.queue(vec![sample(1, 1), sample(2, 1), sample(3, 1)]);
    assert!(outbox.park());
    assert_eq!(outbox.discard_all(Loss::Cancelled), Some((3, 3)));
    assert_eq!(outbox.losses().cancelled, 3, "the first was told");
    assert!(outbox.is_empty() && outbox.is_drained());
    assert!(outbox.waiting().is_empty() && outbox.parked().is_empty());
    assert_eq!(outbox.unconfirmed(), 0);
    // The same values are worth storing again.
    assert_eq!(outbox.queue(vec![sample(1, 1)]).len(), 1);
}

#[test]
fn losses_are_counted_by_reason() {
    let mut outbox = Outbox::default();
    for (loss, samples, word) in [
        (Loss::Bound, 1, "full"),
        (Loss::Cancelled, 2, "not want"),
        (Loss::Limited, 4, "hqmax"),
        (Loss::Refused, 8, "refused"),
        (Loss::Store, 16, "lost"),
        (Loss::Unauthorized, 32, "may not"),
    ] {
        assert!(loss.as_str().contains(word), "{}", loss.as_str());
        outbox.lose(loss, samples);
    }
    outbox.undated(64);
    let losses = Losses {
        bound: 1,
        cancelled: 2,
        limited: 4,
        refused: 8,
        store: 16,
        unauthorized: 32,
        undated: 64,
    };
    assert_eq!(*outbox.losses(), losses);
    assert_eq!(losses.total(), 63, "what is undated was told");
}
