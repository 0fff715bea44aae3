//! What a server will never be told, by reason.

/// Why a sample is not told, or not as it was measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Loss {
    /// The store was full; the oldest went.
    Bound,
    /// The server does not want it any more: cancelled, storing switched off, account removed.
    Cancelled,
    /// The server wants no more of them kept (attribute hqmax).
    Limited,
    /// The server refused it, or its format cannot carry it.
    Refused,
    /// The store did not have it any more.
    Store,
    /// The server may not read it any more.
    Unauthorized,
}

/// Counts since the start, those of the store since ever.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Losses {
    pub bound: u64,
    pub cancelled: u64,
    pub limited: u64,
    pub refused: u64,
    pub store: u64,
    pub unauthorized: u64,
    /// Told without their time, because the date never became known.
    pub undated: u64,
}

impl Losses {
    /// All that nobody was told.
    pub const fn total(&self) -> u64 {
        self.bound + self.cancelled + self.limited + self.refused + self.store + self.unauthorized
    }

    pub(crate) const fn add(&mut self, loss: Loss, samples: u64) {
        let count = match loss {
            Loss::Bound => &mut self.bound,
            Loss::Cancelled => &mut self.cancelled,
            Loss::Limited => &mut self.limited,
            Loss::Refused => &mut self.refused,
            Loss::Store => &mut self.store,
            Loss::Unauthorized => &mut self.unauthorized,
        };
        *count = count.saturating_add(samples);
    }
}

impl Loss {
    /// For people and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "the store was full",
            Self::Cancelled => "the server does not want it any more",
            Self::Limited => "the server wants no more kept (hqmax)",
            Self::Refused => "the server refused it",
            Self::Store => "the store has lost it",
            Self::Unauthorized => "the server may not read it any more",
        }
    }
}
