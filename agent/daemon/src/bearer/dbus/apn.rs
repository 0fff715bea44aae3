//! Which access point a modem uses. A new one is on trial: where it does not connect, or no server
//! is reached over it, the former one is used again. Pure.

use std::time::Duration;

use crate::config::Apn;

/// How long a new access point may take to show that it works: it has to be found by the network,
/// connect, and carry an exchange with a server.
pub(super) const TRIAL: Duration = Duration::from_secs(300);
/// Refused so often in a row, in each family of addresses, it is none of this network.
const REFUSALS: u32 = 3;
/// How long it may be connected without a server behind it that was looked for.
const ISLAND: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Access {
    used: Option<Apn>,
    trial: Option<Trial>,
    /// Whether a server can be reached over this bearer, and when that was said; only what is other
    /// than before is said.
    serves: Option<(bool, Duration)>,
}

#[derive(Debug)]
struct Trial {
    former: Option<Apn>,
    ends: Duration,
    /// Times in a row that the network did not connect it.
    refusals: u32,
    /// The modem is connected to the new one.
    connected: Option<Duration>,
}

/// How a trial ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Kept,
    Reverted,
}

impl Access {
    pub(super) const fn new(used: Option<Apn>) -> Self {
        Self {
            used,
            trial: None,
            serves: None,
        }
    }

    /// The one to be used; `None`: that of the SIM.
    pub(super) const fn used(&self) -> Option<&Apn> {
        self.used.as_ref()
    }

    /// The one that is known to work, as far as one is.
    pub(super) fn settled(&self) -> Option<&Apn> {
        let trial = self.trial.as_ref();
        trial.map_or(self.used.as_ref(), |trial| trial.former.as_ref())
    }

    /// Tries another one. Where one is on trial already it has not shown anything: the fall-back
    /// stays what it is.
    pub(super) fn set(&mut self, apn: Option<Apn>, now: Duration) {
        if self.used == apn {
            return;
        }
        let former = match self.trial.take() {
            Some(trial) => trial.former,
            None => self.used.take(),
        };
        self.used = apn;
        if self.used != former {
            self.trial = Some(Trial {
                former,
                ends: now + TRIAL,
                refusals: 0,
                connected: None,
            });
        }
    }

    /// The network was asked for the one in use, and did not connect it.
    pub(super) const fn refused(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.refusals = trial.refusals.saturating_add(1);
        }
    }

    /// Whether a server can be reached over the bearer, as the selector sees it; `None`: nobody knows.
    pub(super) fn serves(&mut self, serves: Option<bool>, now: Duration) {
        self.serves = serves.map(|serves| (serves, now));
    }

    /// Whether the modem is connected to the access point in use.
    pub(super) fn see(&mut self, is_connected: bool, now: Duration) -> Option<Outcome> {
        let trial = self.trial.as_mut()?;
        trial.connected = match trial.connected {
            Some(since) if is_connected => Some(since),
            Some(_) | None => is_connected.then_some(now),
        };
        if is_connected {
            trial.refusals = 0;
        }
        let outcome = match (trial.shown(self.serves), self.serves) {
            (Some(true), _) => Outcome::Kept,
            _ if trial.refusals >= REFUSALS => Outcome::Reverted,
            _ if trial.due(self.serves) > now => return None,
            (Some(false), _) | (None, Some((false, _))) => Outcome::Reverted,
            // Nothing has gone over it, because there are better bearers.
            (None, _) if trial.connected.is_some() => Outcome::Kept,
            (None, _) => Outcome::Reverted,
        };
        let trial = self.trial.take()?;
        if outcome == Outcome::Reverted {
            self.used = trial.former;
        }
        Some(outcome)
    }

    pub(super) fn due(&self) -> Option<Duration> {
        let trial = self.trial.as_ref()?;
        Some(trial.due(self.serves))
    }
}

impl Trial {
    /// What was said before the connection was made is about the former one.
    fn shown(&self, serves: Option<(bool, Duration)>) -> Option<bool> {
        let (serves, at) = serves?;
        (at >= self.connected?).then_some(serves)
    }

    fn due(&self, serves: Option<(bool, Duration)>) -> Duration {
        match (self.shown(serves), self.connected) {
            (Some(false), Some(since)) => self.ends.min(since + ISLAND),
            (Some(_) | None, _) => self.ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn apn(name: &str) -> Option<Apn> {
        Some(Apn {
            name: name.into(),
            user: None,
            password: None,
        })
    }

    fn name(apn: Option<&Apn>) -> Option<&str> {
        apn.map(|apn| apn.name.as_str())
    }

    #[test]
    fn one_that_carries_is_kept_and_one_that_never_connects_is_left() {
        let mut access = Access::new(apn("old"));
        access.set(apn("new"), s(0));
        assert_eq!(name(access.used()), Some("new"));
        assert_eq!(
            name(access.settled()),
            Some("old"),
            "until it has shown that it works"
        );
        assert_eq!(access.see(false, s(10)), None);
        // That was the old one, which has just been left.
        access.serves(Some(true), s(11));
        assert_eq!(access.see(true, s(20)), None);
        access.serves(Some(false), s(21));
        assert_eq!(access.see(true, s(22)), None);
        access.serves(Some(true), s(30));
        assert_eq!(access.see(true, s(30)), Some(Outcome::Kept));
        assert_eq!(name(access.settled()), Some("new"));
        assert_eq!(access.due(), None);
        // And one that the network does not know.
        access.set(apn("wrong"), s(100));
        assert_eq!(access.due(), Some(s(400)));
        for now in 100..400 {
            assert_eq!(access.see(false, s(now)), None);
        }
        assert_eq!(access.see(false, s(400)), Some(Outcome::Reverted));
        assert_eq!(name(access.used()), Some("new"));
        assert_eq!(access.see(true, s(401)), None);
    }

    #[test]
    fn an_access_point_without_a_server_behind_it_is_left() {
        let mut access = Access::new(None);
        access.set(apn("island"), s(0));
        access.see(true, s(5));
        access.serves(Some(false), s(20));
        assert_eq!(access.due(), Some(s(65)));
        assert_eq!(access.see(true, s(64)), None);
        assert_eq!(access.see(true, s(65)), Some(Outcome::Reverted));
        assert_eq!(name(access.used()), None);
        // It was silent before and still is: nothing is said of it.
        access.set(apn("island"), s(100));
        access.see(true, s(105));
        assert_eq!(access.see(true, s(399)), None);
        assert_eq!(access.see(true, s(400)), Some(Outcome::Reverted));
    }

    #[test]
    fn one_that_the_network_refuses_is_left_early() {
        let mut access = Access::new(apn("works"));
        access.refused();
        access.set(apn("unknown"), s(0));
        for now in [1, 11] {
            access.refused();
            assert_eq!(access.see(false, s(now)), None, "the other family may do");
        }
        access.refused();
        assert_eq!(access.see(false, s(41)), Some(Outcome::Reverted));
        assert_eq!(name(access.used()), Some("works"));
        // What does connect in the end is not refused.
        access.set(apn("slow"), s(100));
        access.refused();
        access.refused();
        assert_eq!(access.see(true, s(150)), None);
        access.refused();
        assert_eq!(access.see(false, s(160)), None);
    }

    #[test]
    fn one_that_only_stands_by_is_kept_where_it_connects() {
        let mut access = Access::new(apn("old"));
        access.set(apn("new"), s(0));
        assert_eq!(access.see(true, s(299)), None);
        assert_eq!(access.see(true, s(300)), Some(Outcome::Kept));
    }

    #[test]
    fn the_fall_back_is_the_last_one_that_worked() {
        let mut access = Access::new(apn("works"));
        access.set(apn("first"), s(0));
        access.set(apn("second"), s(200));
        assert_eq!(access.due(), Some(s(500)));
        assert_eq!(access.see(false, s(500)), Some(Outcome::Reverted));
        assert_eq!(name(access.used()), Some("works"));
        // Back by hand before it is over.
        access.set(apn("third"), s(600));
        access.set(apn("works"), s(601));
        assert_eq!(
            (access.due(), name(access.settled())),
            (None, Some("works"))
        );
        access.set(apn("works"), s(602));
        assert_eq!(access.due(), None);
    }
}
