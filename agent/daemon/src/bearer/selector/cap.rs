//! Limits of a bearer's traffic.

use crate::config::{AtCap, Cap};

/// Percent of a cap at which people are told.
const WARN_PERCENT: u128 = 75;

/// How much of a cap is used; of two caps, the fuller one.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    #[default]
    Free,
    Warned,
    Reached,
}

/// What a level means for the choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Limit {
    None,
    /// Behind all others.
    Demoted,
    /// Behind all others, and only for what is urgent.
    Urgent,
    Blocked,
}

impl Level {
    /// Of the bytes of today and of this month.
    pub(super) fn of(cap: Option<&Cap>, today: u64, month: u64) -> Self {
        let Some(cap) = cap else {
            return Self::Free;
        };
        let day = cap.day.map(|cap| Self::of_one(cap, today));
        let month = cap.month.map(|cap| Self::of_one(cap, month));
        day.max(month).unwrap_or_default()
    }

    /// Of one cap.
    pub(crate) fn of_one(cap: u64, used: u64) -> Self {
        if used >= cap {
            Self::Reached
        } else if u128::from(used) * 100 >= u128::from(cap) * WARN_PERCENT {
            Self::Warned
        } else {
            Self::Free
        }
    }

    pub(super) fn limit(self, cap: Option<&Cap>) -> Limit {
        let Some(cap) = cap else {
            return Limit::None;
        };
        match self {
            Self::Free | Self::Warned => Limit::None,
            Self::Reached => match cap.at_cap {
                AtCap::Warn => Limit::None,
                AtCap::Demote => Limit::Demoted,
                AtCap::Urgent => Limit::Urgent,
                AtCap::Block => Limit::Blocked,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_one_of_day_and_month_counts() {
        let cap = Cap {
            day: Some(100),
            month: Some(1000),
            at_cap: AtCap::Demote,
        };
        let level = |today, month| Level::of(Some(&cap), today, month);
        assert_eq!(level(74, 749), Level::Free);
        assert_eq!(level(75, 0), Level::Warned);
        assert_eq!(level(0, 750), Level::Warned);
        assert_eq!(level(100, 0), Level::Reached);
        assert_eq!(level(5, 1000), Level::Reached);
        assert_eq!(Level::of(None, u64::MAX, u64::MAX), Level::Free);
    }

    #[test]
    fn a_huge_cap_does_not_overflow() {
        let cap = Cap {
            day: Some(u64::MAX),
            month: None,
            at_cap: AtCap::Warn,
        };
        assert_eq!(Level::of(Some(&cap), u64::MAX - 1, 0), Level::Warned);
        assert_eq!(Level::Reached.limit(Some(&cap)), Limit::None);
    }
}
