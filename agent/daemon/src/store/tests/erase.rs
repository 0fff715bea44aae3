//! What a server may not have any more is not to be found on the disk.

use std::fs;

use lamplighter_model::Path as ObjectPath;

use super::*;

const SECRET: &[u8] = b"swordfish";

/// Every third is a text below /43501.
fn mixed(number: u64) -> Kept {
    let kept = kept(number);
    if !number.is_multiple_of(3) {
        return kept;
    }
    let address = ResourceAddress::gateway(43_501, 0, 1);
    let value = Value::String(format!("swordfish-{number}"));
    Kept {
        number,
        sample: Sample::good(address, value, kept.sample.at),
    }
}

fn is_secret(kept: &Kept) -> bool {
    kept.number.is_multiple_of(3)
}

/// Files in which the secret stands.
fn traces(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let traces = entries.filter(|entry| {
        let content = fs::read(entry.path()).unwrap();
        content.windows(SECRET.len()).any(|part| part == SECRET)
    });
    traces
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn erase(still: &mut Still, path: &str) -> Vec<Stored> {
    let path: ObjectPath = path.parse().unwrap();
    still.turn(|inbox| inbox.erase((BOX, SERVER), vec![path]))
}

fn all(still: &mut Still, from: u64) -> Vec<Kept> {
    let mut found = Vec::new();
    loop {
        let from = found.last().map_or(from, |kept: &Kept| kept.number + 1);
        let more = still.fetch(from, 500);
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// A queue of many blocks, of which the first are delivered, and a tail.
fn filled(directory: &Path) -> Still {
    let mut still = Still::open(directory, config(Duration::ZERO));
    for from in (0..30_000).step_by(1000) {
        still.keep((from..from + 1000).map(mixed).collect());
        still.writer.flush_due();
    }
    still.forget(9_999);
    still.writer.write();
    assert!(
        traces(directory).len() > 1,
        "in the database and in the tail"
    );
    still
}

#[test]
fn nothing_of_what_is_erased_can_be_found_and_the_rest_stays() {
    let directory = crate::fake::directory("erase");
    let mut still = filled(&directory);
    let reports = erase(&mut still, "/43501/0");
    let lost = (10_000..30_000).filter(|number| number % 3 == 0).count() as u64;
    assert_eq!(reports, [Stored::Erased(BOX, SERVER, lost)]);
    assert_eq!(traces(&directory), Vec::<String>::new());
    let rest: Vec<Kept> = (10_000..30_000)
        .map(mixed)
        .filter(|kept| !is_secret(kept))
        .collect();
    assert_eq!(all(&mut still, 0), rest);
    // The numbers go on, also after a kill.
    still.keep((30_000..30_003).map(mixed).collect());
    let mut again = Still::open(&directory, StoreConfig::default());
    assert_eq!(again.queue().next, 30_003);
    assert_eq!(all(&mut again, 0).len(), rest.len() + 3);
}

#[test]
fn with_the_root_nothing_stays_of_a_queue() {
    let directory = crate::fake::directory("erase-all");
    let mut still = filled(&directory);
    still.forget(u64::MAX);
    assert_eq!(erase(&mut still, "/"), [Stored::Erased(BOX, SERVER, 0)]);
    assert_eq!(traces(&directory), Vec::<String>::new());
    let mut again = Still::open(&directory, StoreConfig::default());
    assert_eq!(again.queue(), SavedQueue::default());
    assert_eq!(again.fetch(0, 9), []);
    // The same server may come back, and its numbers go on.
    still.keep((30_000..30_003).map(mixed).collect());
    assert_eq!(all(&mut still, 0).len(), 3);
}
