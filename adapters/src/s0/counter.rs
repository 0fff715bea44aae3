//! What a meter has counted: pulses since a start value, kept over restarts. Pulses are counted as
//! they are; the value is worked out from their number each time, so that nothing adds up.

use lamplighter_model::Decimal;

use crate::meter::Unit;

/// Digits behind the point that are told where a pulse is no decimal number of units.
const DIGITS: i8 = 6;

/// How a meter counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scale {
    /// Pulses of one unit, at least 1.
    pub pulses_per_unit: u32,
    /// `kWh`
    pub unit: Unit,
}

/// What survives a restart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// The start value as it was configured then; another one begins a new count.
    pub start: Decimal,
    pub pulses_per_unit: u32,
    /// As text, since what units there are changes with versions.
    pub unit: String,
    /// Where the pulses are counted from.
    pub base: Decimal,
    pub pulses: u64,
    /// Written while it went on counting: what came afterwards is not in it.
    pub is_open: bool,
    /// How often it was found like that: each time at most what is counted between two writes is
    /// missing.
    pub gaps: u32,
}

/// Where a counter is kept.
pub trait Keep: Send + 'static {
    /// `None`: nothing was ever kept.
    ///
    /// # Errors
    /// Something was, and cannot be read: to begin anew would lose it for good.
    fn load(&mut self) -> Result<Option<Kept>, String>;

    /// Does not wait for the disk.
    fn save(&mut self, kept: Kept);

    /// The last one: waits until it is written.
    fn finish(&mut self, kept: Kept);
}

/// Why a count does not simply go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beginning {
    /// Nothing was kept.
    First,
    /// It goes on.
    Same,
    /// It goes on, and the last run has not ended well.
    Gap,
    /// Another start value: another meter.
    Exchanged,
}

#[derive(Clone, Debug)]
pub(super) struct Counter {
    scale: Scale,
    kept: Kept,
}

impl Counter {
    pub(super) fn new(scale: Scale, start: Decimal, before: Option<Kept>) -> (Self, Beginning) {
        let fresh = Kept {
            start,
            pulses_per_unit: scale.pulses_per_unit,
            unit: scale.unit.to_string(),
            base: start,
            pulses: 0,
            is_open: true,
            gaps: 0,
        };
        let Some(before) = before else {
            return (Self { scale, kept: fresh }, Beginning::First);
        };
        if before.start != start {
            return (Self { scale, kept: fresh }, Beginning::Exchanged);
        }
        let beginning = if before.is_open {
            Beginning::Gap
        } else {
            Beginning::Same
        };
        let gaps = before.gaps + u32::from(before.is_open);
        let is_same =
            (before.pulses_per_unit, &before.unit) == (fresh.pulses_per_unit, &fresh.unit);
        let kept = if is_same {
            Kept {
                is_open: true,
                gaps,
                ..before
            }
        } else {
            // Counted otherwise from now on: what was counted stays what it was.
            let unit: Option<Unit> = before.unit.parse().ok();
            let known = value(&before).zip(unit);
            let base = known.and_then(|(value, unit)| unit.convert(value, scale.unit));
            Kept {
                base: base.unwrap_or(start),
                gaps,
                ..fresh
            }
        };
        (Self { scale, kept }, beginning)
    }

    pub(super) const fn add(&mut self, pulses: u64) {
        self.kept.pulses = self.kept.pulses.saturating_add(pulses);
    }

    pub(super) fn reset(&mut self) {
        self.kept.base = Decimal::from(0);
        self.kept.pulses = 0;
    }

    pub(super) const fn pulses(&self) -> u64 {
        self.kept.pulses
    }

    pub(super) const fn gaps(&self) -> u32 {
        self.kept.gaps
    }

    pub(super) fn kept(&self, is_open: bool) -> Kept {
        Kept {
            is_open,
            ..self.kept.clone()
        }
    }

    /// In this unit; `None` where it is too large for a number.
    pub(super) fn value(&self, unit: Unit) -> Option<Decimal> {
        self.scale.unit.convert(value(&self.kept)?, unit)
    }
}

/// In units of the counter.
fn value(kept: &Kept) -> Option<Decimal> {
    let fine = i128::from(kept.pulses) * 10_i128.pow(DIGITS.unsigned_abs().into());
    let mantissa = i64::try_from(fine / i128::from(kept.pulses_per_unit.max(1))).ok()?;
    let counted = Decimal::new(mantissa, -DIGITS).normalized();
    kept.base.checked_add(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn scale(pulses_per_unit: u32, unit: &str) -> Scale {
        Scale {
            pulses_per_unit,
            unit: unit.parse().unwrap(),
        }
    }

    fn wh(counter: &Counter) -> Decimal {
        counter.value("Wh".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_value_is_the_start_and_the_pulses_exactly() {
        let (mut counter, _) = Counter::new(scale(1000, "kWh"), number("1234.567"), None);
        assert_eq!(wh(&counter), number("1234567"));
        counter.add(3);
        assert_eq!(wh(&counter), number("1234570"));
        // 375 pulses per kWh: 2.6 recurring Wh.
        let (mut counter, _) = Counter::new(scale(375, "kWh"), number("0"), None);
        counter.add(1);
        assert_eq!(wh(&counter), number("2.666"));
        counter.add(374);
        assert_eq!(wh(&counter), number("1000"), "nothing has added up");
    }

    #[test]
    fn a_count_goes_on_after_a_restart_and_tells_whether_something_is_missing() {
        let (mut counter, first) = Counter::new(scale(1000, "kWh"), number("5"), None);
        assert_eq!(first, Beginning::First);
        counter.add(10);
        let (counter, same) =
            Counter::new(scale(1000, "kWh"), number("5.0"), Some(counter.kept(false)));
        assert_eq!(
            (same, wh(&counter), counter.gaps()),
            (Beginning::Same, number("5010"), 0)
        );
        let (counter, gap) =
            Counter::new(scale(1000, "kWh"), number("5"), Some(counter.kept(true)));
        assert_eq!(
            (gap, wh(&counter), counter.gaps()),
            (Beginning::Gap, number("5010"), 1)
        );
    }

    #[test]
    fn another_start_value_is_another_meter() {
        let (mut counter, _) = Counter::new(scale(1000, "kWh"), number("5"), None);
        counter.add(10);
        let (counter, beginning) =
            Counter::new(scale(800, "kWh"), number("0.3"), Some(counter.kept(true)));
        assert_eq!(
            (beginning, wh(&counter)),
            (Beginning::Exchanged, number("300"))
        );
    }

    #[test]
    fn other_pulses_count_on_from_what_was_counted() {
        let (mut counter, _) = Counter::new(scale(1000, "kWh"), number("5"), None);
        counter.add(10);
        let (mut counter, beginning) =
            Counter::new(scale(1, "Wh"), number("5"), Some(counter.kept(false)));
        assert_eq!((beginning, wh(&counter)), (Beginning::Same, number("5010")));
        counter.add(2);
        assert_eq!(wh(&counter), number("5012"));
    }
}
