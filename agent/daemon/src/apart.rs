//! Work whose memory goes back to the system: done on a thread of its own, of which only a copy stays.
//!
//! What allocates much for a moment leaves holes between what stays, and the system's allocator gives
//! back only what is free to the end of its region. With glibc, a thread has a region of its own.

use std::{
    hint, panic,
    thread::{self, Builder},
};

/// As that of a main thread.
const STACK: usize = 8 << 20;
/// Freeing as much at once makes glibc join what is free (64 kB) and give it back.
const SWEEP: usize = 96 << 10;

/// What `keep` makes here of what `make` has made there; it may share nothing with it.
pub(crate) fn apart<T: Send, K>(make: impl Fn() -> T + Sync, keep: impl FnOnce(&T) -> K) -> K {
    let theirs = there(&make).unwrap_or_else(&make);
    let ours = keep(&theirs);
    // What is let go here would be used here again, and hold the region.
    let mut theirs = Some(theirs);
    there(|| {
        drop(theirs.take());
        drop(hint::black_box(Vec::<u8>::with_capacity(SWEEP)));
    });
    ours
}

/// On a thread of its own; `None` where there can be none.
fn there<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let worker = Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        match worker.ok()?.join() {
            Ok(done) => Some(done),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_kept_as_a_copy_and_let_go_on_another_thread() {
        struct Told<'a>(&'a std::sync::Mutex<Vec<thread::ThreadId>>);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                self.0.lock().unwrap().push(thread::current().id());
            }
        }
        let here = thread::current().id();
        let dropped = std::sync::Mutex::new(Vec::new());
        let made = apart(
            || (Told(&dropped), thread::current().id()),
            |(_, there)| *there,
        );
        assert_ne!(made, here);
        let dropped = dropped.into_inner().unwrap();
        assert_eq!(dropped.len(), 1);
        assert_ne!(dropped[0], here);
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_there_is_one_here() {
        apart(|| panic!("a bug"), |(): &()| ());
    }
}
