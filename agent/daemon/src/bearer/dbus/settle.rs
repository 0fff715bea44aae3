//! A value that is believed once it has stood for a while: modems show mixtures of two cells while
//! they change between them.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Settling<T> {
    /// How long it must have stood.
    time: Duration,
    shown: Option<T>,
    /// What is said since when, where that is something else.
    said: Option<(T, Duration)>,
}

impl<T: Copy + Eq> Settling<T> {
    pub(super) const fn new(time: Duration) -> Self {
        Self {
            time,
            shown: None,
            said: None,
        }
    }

    /// What is believed, now that this is said.
    pub(super) fn see(&mut self, said: Option<T>, now: Duration) -> Option<T> {
        let Some(value) = said else {
            // What is gone is gone at once.
            *self = Self::new(self.time);
            return None;
        };
        if self.shown == said {
            self.said = None;
            return said;
        }
        let since = match self.said {
            Some((former, since)) if former == value => since,
            Some(_) | None => now,
        };
        if now.saturating_sub(since) >= self.time {
            self.shown = said;
            self.said = None;
        } else {
            self.said = Some((value, since));
        }
        self.shown
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Duration> {
        self.said.map(|(_, since)| since + self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_mixture_of_two_cells_is_never_shown() {
        let mut cell = Settling::new(ms(500));
        assert_eq!(cell.see(Some(1), ms(0)), None);
        assert_eq!(cell.due(), Some(ms(500)));
        assert_eq!(cell.see(Some(1), ms(500)), Some(1));
        assert_eq!(cell.due(), None);
        // 20 ms of something else.
        assert_eq!(cell.see(Some(9), ms(1000)), Some(1));
        assert_eq!(cell.see(Some(2), ms(1020)), Some(1));
        assert_eq!(cell.see(Some(2), ms(1500)), Some(1));
        assert_eq!(cell.see(Some(2), ms(1520)), Some(2));
    }

    #[test]
    fn a_cell_that_was_left_is_not_shown_any_longer() {
        let mut cell = Settling::new(ms(500));
        cell.see(Some(1), ms(0));
        assert_eq!(cell.see(Some(1), ms(600)), Some(1));
        assert_eq!(cell.see(None, ms(601)), None);
        assert_eq!(cell.see(Some(1), ms(602)), None, "it settles anew");
    }
}
