//! Older events, from the files.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde::Deserialize;

use super::Entry;
use crate::store::EVENT_FILES;

/// All that is looked at of most lines.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// Events behind `since` and before `end`, in order, at most so many. A file that cannot be read
/// counts as empty, and so does a line.
pub(super) fn read(directory: &Path, since: u64, end: u64, limit: usize) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    // The newer file may become the older one meanwhile: opened first, it is not missed.
    let open = |name: &&str| File::open(directory.join(name)).ok();
    let mut files: Vec<File> = EVENT_FILES.iter().rev().filter_map(open).collect();
    files.reverse();
    for file in files {
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            let last = found.last().map_or(since, |entry| entry.id);
            let is_wanted = |numbered: Numbered| numbered.id > last && numbered.id < end;
            if serde_json::from_slice(&line).is_ok_and(is_wanted) {
                found.extend(serde_json::from_slice::<Entry>(&line).ok());
            }
            if found.len() >= limit {
                return found;
            }
        }
    }
    found
}
