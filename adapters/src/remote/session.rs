//! One program at work: its wire, its pace, its mistakes.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    ERRORS_MAX,
    line::{Refusal, Told},
    wire::{Place, Wire},
};

/// A program may send this much at once after a quiet time.
const BURST: Duration = Duration::from_secs(1);

/// Time in which mistakes are counted together.
const MINUTE: Duration = Duration::from_secs(60);

/// What people are shown of a program's words.
const WORDS_MAX: usize = 120;

#[derive(Debug)]
pub(super) struct Session<S> {
    pub(super) wire: Wire<S>,
    /// Whether the device behind the program answers, as that says.
    pub(super) is_online: bool,
    pub(super) begun: Instant,
    lines: u64,
    heard: Instant,
    told: Instant,
    /// One sample takes this long of the program's time.
    pace: Duration,
    /// When all that has come would have come at the permitted pace.
    paid_until: Instant,
    is_held: bool,
    errors: u32,
    errors_since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(wire: Wire<S>, samples_per_s: u32) -> Self {
        let now = Instant::now();
        Self {
            wire,
            is_online: true,
            begun: now,
            lines: 1,
            heard: now,
            told: now,
            pace: Duration::from_secs(1) / samples_per_s.max(1),
            paid_until: now,
            is_held: false,
            errors: 0,
            errors_since: now,
        }
    }

    pub(super) fn tell(&mut self, told: &Told<'_>) {
        self.told = Instant::now();
        self.wire.tell(&told.to_line());
    }

    /// As [`Self::tell`], for a question that may be taken back.
    pub(super) fn ask(&mut self, told: &Told<'_>) -> Place {
        self.told = Instant::now();
        self.wire.tell_for_now(&told.to_line())
    }

    pub(super) fn on_line(&mut self) {
        self.lines += 1;
        self.heard = Instant::now();
    }

    /// A line has brought this many samples.
    pub(super) fn pay(&mut self, samples: usize) {
        let price = self.pace * u32::try_from(samples).unwrap_or(u32::MAX);
        self.paid_until = self.paid_until.max(Instant::now()) + price;
    }

    /// Nothing is read before.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let now = Instant::now();
        self.paid_until.checked_sub(BURST).filter(|at| *at > now)
    }

    /// Whether the program has begun to be too fast just now.
    pub(super) fn is_newly_held(&mut self) -> bool {
        let is_held = self.held_until().is_some();
        let was_held = std::mem::replace(&mut self.is_held, is_held);
        self.is_held && !was_held
    }

    /// When it is given up. While it is held it cannot be heard.
    pub(super) fn silent_at(&self, silence: Duration) -> Instant {
        self.held_until().unwrap_or(self.heard).max(self.heard) + silence
    }

    /// When it is told that we are there.
    pub(super) fn still_at(&self, silence: Duration) -> Instant {
        self.told + silence / 3
    }

    pub(super) fn complain(&mut self, reason: &str, refused: &[Refusal]) {
        let line = self.lines;
        self.tell(&Told::Error {
            line,
            reason,
            refused,
        });
        if self.errors_since.elapsed() >= MINUTE {
            self.errors_since = Instant::now();
            self.errors = 0;
        }
        self.errors += 1;
    }

    pub(super) const fn errs_too_often(&self) -> bool {
        self.errors > ERRORS_MAX
    }
}

/// Words of a program as people may be shown them: short, on one line.
pub(super) fn printable(words: &str) -> String {
    let visible = |letter: char| if letter.is_control() { ' ' } else { letter };
    words.chars().map(visible).take(WORDS_MAX).collect()
}
