//! What the kernel knows of its own clock.
#![expect(
    unsafe_code,
    reason = "no safe binding of adjtimex(2) exists; the second named file of design.md, 8"
)]

use nix::libc;

/// Whether somebody keeps the system's clock right: NTP, PTP, or whatever tells the kernel so. Once
/// told, the kernel itself gives it up when it has heard nothing for hours.
pub(super) fn is_synchronized() -> bool {
    // SAFETY: a plain structure of numbers, for which zeros are valid. With `modes` 0 the call only
    // reads, and writes into what the pointer points to, which lives during the call.
    let state = unsafe {
        let mut state: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut state)
    };
    // A sandbox may forbid to ask; then nobody vouches.
    state >= 0 && state != libc::TIME_ERROR
}
