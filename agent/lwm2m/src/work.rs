//! Counts how many entries of tables are looked at, so that tests see work that grows with what is
//! not concerned. Nothing of it is in a program.

/// One entry was looked up or passed by.
#[inline]
pub(crate) fn visit() {
    #[cfg(test)]
    VISITS.with(|visits| visits.set(visits.get() + 1));
}

#[cfg(test)]
thread_local! {
    static VISITS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The visits that `act` makes.
#[cfg(test)]
pub(crate) fn visits(act: impl FnOnce()) -> u64 {
    let before = VISITS.get();
    act();
    VISITS.get() - before
}
