//! The cheapest way to put points of one table into requests, also where their periods differ.
//!
//! Points pass in the order of their registers. Each joins a request that is still open or opens
//! one, of its own period or of a shorter one: a point that is read more often than it must be may
//! still be cheaper than a request of its own. At most one request per period is open at a time,
//! since of two that overlap one can give the other its points at no cost. All ways that may still
//! become the cheapest are followed side by side; those that another one equals in everything that
//! matters and beats in cost are dropped.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use super::plan::{CostModel, RegisterRange, spanning};

/// A request: its range, its period, and the points that it reads.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Merged {
    pub(super) range: RegisterRange,
    pub(super) period: Duration,
    pub(super) points: Vec<usize>,
}

/// Share of the line's time in units of 2⁻⁴⁰, then requests: at the same price the fewer.
type Price = (u128, u32);

/// One way to put the points so far into requests.
#[derive(Clone)]
struct Way {
    price: Price,
    /// By period, the shortest first.
    open: Vec<Option<RegisterRange>>,
    /// Where its last choice stands.
    choice: usize,
}

/// What became of a point; choices form chains from the last point back to the first.
struct Choice {
    before: usize,
    /// By its place among the periods.
    period: usize,
    opens: bool,
}

/// More are not followed: with many periods in a small place the result may then be a little dearer.
const WAYS_MAX: usize = 256;

/// The cheapest requests. `points` are ranges of one table, each of which may be read by itself.
pub(super) fn cheapest(points: &[(RegisterRange, Duration)], cost: &CostModel) -> Vec<Merged> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|index| (points[*index].0.at, points[*index].0.count));
    let mut periods: Vec<Duration> = points.iter().map(|(_, period)| *period).collect();
    periods.sort();
    periods.dedup();
    let mut choices = Vec::new();
    let mut ways = vec![Way {
        price: (0, 0),
        open: vec![None; periods.len()],
        choice: usize::MAX,
    }];
    for index in &order {
        let (range, period) = points[*index];
        let own = periods.partition_point(|shorter| *shorter < period);
        let mut next = BTreeMap::new();
        for mut way in ways {
            way.close_what_is_too_far(range, &periods, cost);
            for period in 0..=own {
                way.joined(range, period, &periods, cost, &mut choices, &mut next);
            }
        }
        ways = best_of(next);
    }
    let best = ways.into_iter().min_by_key(|way| way.price);
    let chain = best.map_or(usize::MAX, |way| way.choice);
    requests(points, &order, &periods, &choices, chain)
}

impl Way {
    /// Drops requests that it can never pay again to make longer.
    fn close_what_is_too_far(
        &mut self,
        range: RegisterRange,
        periods: &[Duration],
        cost: &CostModel,
    ) {
        for (open, period) in self.open.iter_mut().zip(periods) {
            let Some(request) = *open else { continue };
            let reaching = spanning(request, RegisterRange { count: 1, ..range });
            let longer = load(reaching, *period, cost) - load(request, *period, cost);
            let opening = load(RegisterRange { count: 1, ..range }, *period, cost);
            // Another request may begin in a byte of its own.
            let byte = (cost.char_time.as_nanos() << 40) / period.as_nanos().max(1);
            let is_too_far = longer > opening + byte + 1;
            if is_too_far || !cost.allows(reaching) {
                *open = None;
            }
        }
    }

    /// The ways in which the next point goes into a request of this period.
    fn joined(
        &self,
        range: RegisterRange,
        period: usize,
        periods: &[Duration],
        cost: &CostModel,
        choices: &mut Vec<Choice>,
        ways: &mut BTreeMap<Vec<u64>, Vec<Self>>,
    ) {
        let mut add = |request: RegisterRange, former: u128, opens: bool| {
            let mut way = self.clone();
            way.price.0 += load(request, periods[period], cost) - former;
            way.price.1 += u32::from(opens);
            way.open[period] = Some(request);
            way.choice = choices.len();
            choices.push(Choice {
                before: self.choice,
                period,
                opens,
            });
            ways.entry(way.ends()).or_default().push(way);
        };
        if let Some(open) = self.open[period] {
            let request = spanning(open, range);
            let may_join = cost.allows(request)
                && (!cost.one_per_point || (request == open && request == range));
            if may_join {
                add(request, load(open, periods[period], cost), false);
            }
        }
        add(range, 0, true);
    }

    /// What the cost of all later points depends on, but for how far left a request begins.
    fn ends(&self) -> Vec<u64> {
        let end = |open: &Option<RegisterRange>| {
            open.map_or(0, |range| {
                let end = u64::from(range.end());
                if range.table.holds_bits() {
                    end << 32 | u64::from(range.at)
                } else {
                    end
                }
            })
        };
        self.open.iter().map(end).collect()
    }

    /// Whether whatever becomes of the other could become of this one, at no higher price.
    fn beats(&self, other: &Self) -> bool {
        let starts = |way: &Self| -> Vec<Option<u16>> {
            way.open
                .iter()
                .map(|open| open.map(|range| range.at))
                .collect()
        };
        self.price <= other.price && starts(self).iter().zip(starts(other)).all(|(a, b)| *a >= b)
    }
}

/// The ways that nothing beats, at most [`WAYS_MAX`], the cheapest first.
fn best_of(found: BTreeMap<Vec<u64>, Vec<Way>>) -> Vec<Way> {
    let mut best = Vec::new();
    for (_, mut ways) in found {
        ways.sort_by_key(|way| {
            let starts: Vec<_> = way
                .open
                .iter()
                .map(|open| open.map(|open| open.at))
                .collect();
            (way.price, Reverse(starts))
        });
        let mut kept: Vec<Way> = Vec::new();
        for way in ways {
            if !kept.iter().any(|better| better.beats(&way)) {
                kept.push(way);
            }
        }
        best.append(&mut kept);
    }
    best.sort_by_key(|way| way.price);
    best.truncate(WAYS_MAX);
    best
}

/// Follows the chain of choices back.
fn requests(
    points: &[(RegisterRange, Duration)],
    order: &[usize],
    periods: &[Duration],
    choices: &[Choice],
    mut chain: usize,
) -> Vec<Merged> {
    let mut made = Vec::with_capacity(order.len());
    while let Some(choice) = choices.get(chain) {
        made.push(choice);
        chain = choice.before;
    }
    let mut requests: Vec<Merged> = Vec::new();
    let mut open = vec![usize::MAX; periods.len()];
    for (index, choice) in order.iter().zip(made.into_iter().rev()) {
        let range = points[*index].0;
        if choice.opens {
            open[choice.period] = requests.len();
            requests.push(Merged {
                range,
                period: periods[choice.period],
                points: vec![*index],
            });
        } else if let Some(request) = requests.get_mut(open[choice.period]) {
            request.range = spanning(request.range, range);
            request.points.push(*index);
        }
    }
    requests
}

/// Share of the line's time that reading the range takes, in units of 2⁻⁴⁰.
pub(super) fn load(range: RegisterRange, period: Duration, cost: &CostModel) -> u128 {
    (cost.line_time(range).as_nanos() << 40) / period.as_nanos().max(1)
}
