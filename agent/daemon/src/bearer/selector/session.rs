//! The bearer in use, watched by what the servers say in the sessions over it.
//!
//! 1. Heard of a server: nothing to do until it has been silent for the idle time.
//! 2. Silent, or a request is without an answer for too long: [`Doubt`]. Pings go out one after the
//!    other, each unanswered one is a miss.
//! 3. Heard again: 1. Else the selector gives the bearer up, or opens its sockets anew.

use std::time::Duration;

/// As long as nobody knows how long an answer takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer that took less is no reason to expect the next one sooner than this.
const PATIENCE_MIN: Duration = Duration::from_millis(1500);
/// Round trips.
const PATIENCE_FACTOR: u32 = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// When its sockets were opened, on the monotonic clock like all here.
    opened: Duration,
    /// Last word of a server, over these sockets.
    heard: Option<Duration>,
    /// Idle time counts from here.
    rested: Duration,
    /// Something wants an answer since.
    awaited: Option<Duration>,
    /// Something wanted an answer since, at last.
    asked: Option<Duration>,
    /// That one is the server's own trouble: others answered.
    excused: Option<Duration>,
    doubt: Option<Doubt>,
    /// How long it was silent before its sockets were opened anew.
    pub(super) gap: Option<Duration>,
    /// Silences in a row though the path was good.
    silences: u32,
}

/// The servers may not be reached any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// When the first ping went out.
    since: Duration,
    gap: Duration,
    pinged: Duration,
    misses: u8,
    /// For the answer to a ping.
    pace: Duration,
    is_urgent: bool,
    /// A probe over the same bearer was answered since.
    is_path_good: bool,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) idle: Duration,
    pub(super) longest_idle: Duration,
    pub(super) timeout: Duration,
    pub(super) round_trip: Option<Duration>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Ping,
    /// No server was ever heard over these sockets, and perhaps there is none: their silence says
    /// nothing of the bearer, but a probe does.
    PingAndProbe,
    /// So many in a row.
    Missed(u8),
}

impl Pace {
    /// How long an answer that is wanted may take before it counts as missed.
    pub(super) fn patience(&self, is_heard: bool) -> Duration {
        let patience = match self.round_trip {
            Some(round_trip) => (round_trip * PATIENCE_FACTOR).max(PATIENCE_MIN),
            None if is_heard => PATIENCE,
            // A handshake takes several round trips.
            None => self.timeout,
        };
        patience.min(self.timeout)
    }
}

impl Session {
    pub(super) fn opened(now: Duration) -> Self {
        Self {
            opened: now,
            rested: now,
            ..Self::default()
        }
    }

    /// With other sockets; what wants an answer still does.
    pub(super) fn reopened(&self, now: Duration) -> Self {
        Self {
            awaited: self.awaited,
            ..Self::opened(now)
        }
    }

    /// Whether something was heard over these sockets.
    pub(super) const fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// Within this time, or since something is awaited.
    pub(super) fn is_heard_lately(&self, time: Duration, now: Duration) -> bool {
        let is_late = |heard| now < heard + time || self.asked.is_some_and(|asked| heard > asked);
        self.heard.is_some_and(is_late)
    }

    pub(super) fn is_missing(&self) -> bool {
        self.doubt.is_some_and(|doubt| doubt.misses > 0)
    }

    /// For how long answers are waited for where every second counts.
    pub(super) fn urgent_pace(&self) -> Option<Duration> {
        let doubt = self.doubt?;
        doubt.is_urgent.then_some(doubt.pace)
    }

    pub(super) fn is_path_good(&self) -> bool {
        self.doubt.is_some_and(|doubt| doubt.is_path_good)
    }

    pub(super) fn gap(&self) -> Option<Duration> {
        Some(self.doubt?.gap)
    }

    /// Whether it is news; and the round trip, where a first ping was answered.
    pub(super) fn hear(&mut self, at: Duration) -> (bool, Option<Duration>) {
        if at < self.opened || self.heard.is_some_and(|heard| at <= heard) {
            return (false, None);
        }
        self.heard = Some(at);
        self.rested = self.rested.max(at);
        self.silences = 0;
        let Some(doubt) = self.doubt.take() else {
            return (true, None);
        };
        self.excused = self.awaited;
        let is_first = doubt.misses == 0 && at >= doubt.pinged;
        (true, is_first.then(|| at - doubt.pinged))
    }

    pub(super) fn wait_for(&mut self, since: Option<Duration>) {
        self.awaited = since;
        self.asked = since.or(self.asked);
    }

    pub(super) fn path_is_good(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.is_path_good = true;
        }
    }

    /// Nobody may speak for a while, or the servers are silent on their own account.
    pub(super) fn rest(&mut self, now: Duration) {
        self.doubt = None;
        self.rested = now;
        self.excused = self.awaited;
    }

    /// Silent though the path is good: asked less and less often.
    pub(super) fn bear_silence(&mut self, now: Duration) {
        self.rest(now);
        self.silences = self.silences.saturating_add(1);
    }

    /// When [`Session::step`] has something to do.
    pub(super) fn due(&self, pace: &Pace) -> Duration {
        let awaited = self.awaited_due(pace);
        let other = match &self.doubt {
            Some(doubt) => doubt.pinged + doubt.pace,
            None => self.rested + self.idle(pace),
        };
        awaited.map_or(other, |awaited| awaited.min(other))
    }

    pub(super) fn step(&mut self, pace: &Pace, now: Duration) -> Option<Step> {
        if self.awaited_due(pace).is_some_and(|due| now >= due) {
            return Some(Step::Missed(self.miss(pace, now)));
        }
        let Some(doubt) = &mut self.doubt else {
            if now < self.rested + self.idle(pace) {
                return None;
            }
            if !self.is_heard() {
                self.rested = now;
                self.silences = self.silences.saturating_add(1);
                return Some(Step::PingAndProbe);
            }
            self.doubt = Some(Doubt {
                since: now,
                gap: now - self.rested,
                pinged: now,
                misses: 0,
                pace: pace.timeout,
                is_urgent: false,
                is_path_good: false,
            });
            return Some(Step::Ping);
        };
        if now < doubt.pinged + doubt.pace {
            return None;
        }
        doubt.misses = doubt.misses.saturating_add(1);
        doubt.pinged = now;
        Some(Step::Missed(doubt.misses))
    }

    /// An answer was missed for certain: pings follow each other quickly. Gives the misses in a row.
    pub(super) fn miss(&mut self, pace: &Pace, now: Duration) -> u8 {
        let doubt = self.ask_now(pace, now);
        doubt.misses = doubt.misses.saturating_add(1);
        doubt.misses
    }

    /// A ping goes out, its answer is wanted soon.
    pub(super) fn ask_now(&mut self, pace: &Pace, now: Duration) -> &mut Doubt {
        let quick = pace.patience(self.is_heard());
        let rested = self.rested;
        let doubt = self.doubt.get_or_insert_with(|| Doubt {
            since: now,
            gap: now.saturating_sub(rested),
            pinged: now,
            misses: 0,
            pace: quick,
            is_urgent: true,
            is_path_good: false,
        });
        doubt.pinged = now;
        doubt.pace = quick;
        doubt.is_urgent = true;
        doubt
    }

    fn awaited_due(&self, pace: &Pace) -> Option<Duration> {
        let since = self.awaited?;
        // The ping itself awaits an answer too.
        let is_ping = |doubt: Doubt| doubt.is_urgent || since >= doubt.since;
        let is_known = self.excused == self.awaited || self.doubt.is_some_and(is_ping);
        // While others answer, the path is good.
        let since = since.max(self.heard.unwrap_or(self.opened));
        (!is_known).then(|| since + pace.patience(self.is_heard()))
    }

    fn idle(&self, pace: &Pace) -> Duration {
        let longest = pace.longest_idle.max(pace.idle);
        let doublings = self.silences.min(16);
        pace.idle.saturating_mul(1 << doublings).min(longest)
    }
}
