//! Which registers are read together: the cheapest requests for a set of points, by the time they
//! take on the line. Pure, so that `lamplighter check` can print it without opening a device.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{frame::Table, merge::cheapest};

/// Registers or bits of one table, from `at` on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RegisterRange {
    pub table: Table,
    pub at: u16,
    pub count: u16,
}

/// What a request costs on a line, and what the device takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CostModel {
    /// One character; zero on the network.
    pub char_time: Duration,
    /// The silence before each frame.
    pub silence: Duration,
    /// From the end of the request to the beginning of the answer.
    pub turnaround: Duration,
    /// At most 125.
    pub max_registers: u16,
    /// At most 2000.
    pub max_bits: u16,
    /// Never read, not even to bridge a gap.
    pub holes: Vec<RegisterRange>,
    /// Ranges that the device has refused: it would refuse whatever contains one as well.
    pub refused: Vec<RegisterRange>,
    /// Nothing is read together but points of the same range.
    pub one_per_point: bool,
}

/// One read, again and again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedRequest {
    pub range: RegisterRange,
    pub period: Duration,
    /// Which of the points it serves, by their place in the configuration.
    pub points: Vec<usize>,
    /// Time on the line, request, pauses and answer.
    pub line_time: Duration,
}

/// All reads of a device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PollPlan {
    pub requests: Vec<PlannedRequest>,
}

/// Address, function, quantity, checksum: a read on a serial line.
const REQUEST_CHARS: u32 = 8;
/// Address, function, byte count, checksum: what an answer has besides data.
const ANSWER_CHARS: u32 = 5;

impl RegisterRange {
    /// One behind the last.
    pub(crate) fn end(self) -> u32 {
        u32::from(self.at) + u32::from(self.count)
    }

    /// Whether they have a register in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.table == other.table
            && u32::from(self.at) < other.end()
            && u32::from(other.at) < self.end()
    }

    /// Whether `other` lies within.
    pub fn contains(self, other: Self) -> bool {
        self.table == other.table && self.at <= other.at && other.end() <= self.end()
    }
}

impl CostModel {
    /// Time that reading the range takes on the line.
    pub fn line_time(&self, range: RegisterRange) -> Duration {
        let count = u32::from(range.count);
        let data = if range.table.holds_bits() {
            count.div_ceil(8)
        } else {
            2 * count
        };
        self.char_time * (REQUEST_CHARS + ANSWER_CHARS + data) + 2 * self.silence + self.turnaround
    }

    /// Whether one request may read the range.
    pub fn allows(&self, range: RegisterRange) -> bool {
        let max = if range.table.holds_bits() {
            self.max_bits.min(2000)
        } else {
            self.max_registers.min(125)
        };
        range.count <= max
            && !self.holes.iter().any(|hole| hole.overlaps(range))
            && !self.refused.iter().any(|refused| range.contains(*refused))
    }
}

impl PollPlan {
    /// Share of the line's time, 1.0 for all of it.
    pub fn load(&self) -> f64 {
        self.requests
            .iter()
            .map(|request| request.line_time.as_secs_f64() / request.period.as_secs_f64().max(1e-3))
            .sum()
    }

    /// Time on the line when every request is made once.
    pub fn line_time(&self) -> Duration {
        self.requests.iter().map(|request| request.line_time).sum()
    }
}

/// The cheapest requests that read every point; points of one table share requests, and one whose
/// period is longer may be read along with others more often than it must be.
/// A point that no request may read by itself is left out: configurations are checked for that first.
pub fn plan(points: &[(RegisterRange, Duration)], cost: &CostModel) -> PollPlan {
    let mut tables: BTreeMap<Table, Vec<usize>> = BTreeMap::new();
    for (index, (range, _)) in points.iter().enumerate() {
        if range.count > 0 && cost.allows(*range) {
            tables.entry(range.table).or_default().push(index);
        }
    }
    let mut requests = Vec::new();
    for table in tables.into_values() {
        let ranges: Vec<_> = table.iter().map(|index| points[*index]).collect();
        let merged = cheapest(&ranges, cost).into_iter();
        requests.extend(merged.map(|request| PlannedRequest {
            line_time: cost.line_time(request.range),
            range: request.range,
            period: request.period,
            points: request.points.iter().map(|index| table[*index]).collect(),
        }));
    }
    requests.sort_by_key(|request| (request.period, request.range));
    PollPlan { requests }
}

/// The smallest range that contains both, of one table.
pub(crate) fn spanning(a: RegisterRange, b: RegisterRange) -> RegisterRange {
    let at = a.at.min(b.at);
    let count = a.end().max(b.end()) - u32::from(at);
    // 65536 bits do not fit, nor does any device allow them.
    RegisterRange {
        table: a.table,
        at,
        count: u16::try_from(count).unwrap_or(u16::MAX),
    }
}

impl fmt::Display for RegisterRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.at)?;
        if self.count > 1 {
            write!(f, "..{}", self.end() - 1)
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for PollPlan {
    /// One line per request and one for the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for request in &self.requests {
            writeln!(
                f,
                "every {:>6.1} s  {:<22} {:>3} points  {:>7.1} ms",
                request.period.as_secs_f64(),
                request.range.to_string(),
                request.points.len(),
                request.line_time.as_secs_f64() * 1e3,
            )?;
        }
        write!(
            f,
            "{} requests, {:.1} ms on the line, {:.1} % of its time",
            self.requests.len(),
            self.line_time().as_secs_f64() * 1e3,
            self.load() * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::merge::load, *};

    const PERIOD: Duration = Duration::from_secs(5);

    fn cost_at(baud: u64) -> CostModel {
        let char_time = Duration::from_nanos(11_000_000_000 / baud);
        CostModel {
            char_time,
            silence: if baud > 19200 {
                Duration::from_micros(1750)
            } else {
                char_time * 7 / 2
            },
            turnaround: Duration::ZERO,
            max_registers: 125,
            max_bits: 2000,
            holes: Vec::new(),
            refused: Vec::new(),
            one_per_point: false,
        }
    }

    fn holding(at: u16, count: u16) -> RegisterRange {
        RegisterRange {
            table: Table::Holding,
            at,
            count,
        }
    }

    fn planned(ranges: &[RegisterRange], cost: &CostModel) -> Vec<RegisterRange> {
        let points: Vec<_> = ranges.iter().map(|range| (*range, PERIOD)).collect();
        plan(&points, cost)
            .requests
            .iter()
            .map(|request| request.range)
            .collect()
    }

    #[test]
    fn a_gap_is_bridged_while_that_is_cheaper_than_another_request() {
        let cost = cost_at(9600);
        assert_eq!(
            planned(&[holding(0, 1), holding(10, 1)], &cost),
            [holding(0, 11)]
        );
        assert_eq!(
            planned(&[holding(0, 1), holding(12, 1)], &cost),
            [holding(0, 1), holding(12, 1)]
        );
        // Pauses do not shrink with the speed, so at 115200 Bd longer gaps are worth it.
        assert_eq!(
            planned(&[holding(0, 1), holding(24, 1)], &cost_at(115_200)),
            [holding(0, 25)]
        );
    }

    #[test]
    fn neither_a_hole_nor_the_limit_of_the_device_is_crossed() {
        let mut cost = cost_at(9600);
        cost.holes = vec![holding(2, 2)];
        assert_eq!(
            planned(&[holding(0, 2), holding(4, 1)], &cost),
            [holding(0, 2), holding(4, 1)]
        );
        cost.max_registers = 4;
        assert_eq!(
            planned(&[holding(10, 3), holding(13, 3)], &cost),
            [holding(10, 3), holding(13, 3)]
        );
    }

    #[test]
    fn a_rare_point_rides_along_where_that_is_cheaper() {
        let cost = cost_at(9600);
        let rarely = Duration::from_secs(30);
        let plan_of = |at| {
            let points = [
                (holding(0, 10), PERIOD),
                (holding(at, 1), rarely),
                (holding(3, 2), rarely),
            ];
            plan(&points, &cost)
        };
        // Its neighbour costs two bytes each time, less than a request now and then.
        let near = plan_of(10);
        assert_eq!(near.requests.len(), 1);
        assert_eq!(near.requests[0].range, holding(0, 11));
        // Further away it does not; what lies within costs nothing anyway.
        let far = plan_of(14);
        let served: Vec<_> = far
            .requests
            .iter()
            .map(|request| (request.period, request.points.clone()))
            .collect();
        assert_eq!(served, [(PERIOD, vec![0, 2]), (rarely, vec![1])]);
    }

    #[test]
    fn a_large_device_is_planned_at_once() {
        // 150 points with seven periods, in one table.
        let points: Vec<_> = (0..150u16)
            .map(|number| {
                let period = Duration::from_secs(1 + u64::from(number * 31 % 7));
                (holding(number * 5, 1 + number % 3), period)
            })
            .collect();
        let plan = plan(&points, &cost_at(9600));
        let served: usize = plan
            .requests
            .iter()
            .map(|request| request.points.len())
            .sum();
        assert_eq!(served, 150);
    }

    #[test]
    fn tables_and_periods_are_kept_apart() {
        let coil = RegisterRange {
            table: Table::Coil,
            at: 0,
            count: 1,
        };
        let points = [
            (holding(0, 1), PERIOD),
            (holding(50, 1), PERIOD * 2),
            (coil, PERIOD),
            (holding(1, 1), PERIOD),
        ];
        let plan = plan(&points, &cost_at(9600));
        let served: Vec<_> = plan
            .requests
            .iter()
            .map(|request| request.points.clone())
            .collect();
        assert_eq!(served, [vec![2], vec![0, 3], vec![1]]);
        assert!(plan.to_string().ends_with("% of its time"), "{plan}");
    }

    #[test]
    fn line_time_is_that_of_field_measurements() {
        // 16 registers in one request at 9600 8E1 were measured at 60 ms, one by one at 403 ms.
        let cost = cost_at(9600);
        let one = cost.line_time(holding(0, 16)).as_secs_f64();
        let single = cost.line_time(holding(0, 1)).as_secs_f64();
        assert!(
            (one - 0.0596).abs() < 0.001 && (16.0 * single - 0.403).abs() < 0.003,
            "{one} {single}"
        );
    }

    /// The cheapest of all ways to put the points into requests, in any combination.
    fn brute_force(points: &[(RegisterRange, Duration)], cost: &CostModel) -> u128 {
        type Runs = Vec<(RegisterRange, Duration)>;
        fn place(
            rest: &[(RegisterRange, Duration)],
            runs: &mut Runs,
            cost: &CostModel,
            best: &mut u128,
        ) {
            let Some(((range, period), rest)) = rest.split_first() else {
                if runs.iter().all(|(run, _)| cost.allows(*run)) {
                    *best = (*best).min(price(runs.iter().copied(), cost));
                }
                return;
            };
            for index in 0..runs.len() {
                let before = runs[index];
                runs[index] = (spanning(before.0, *range), before.1.min(*period));
                place(rest, runs, cost, best);
                runs[index] = before;
            }
            runs.push((*range, *period));
            place(rest, runs, cost, best);
            runs.pop();
        }
        let mut best = u128::MAX;
        place(points, &mut Vec::new(), cost, &mut best);
        best
    }

    fn price(requests: impl Iterator<Item = (RegisterRange, Duration)>, cost: &CostModel) -> u128 {
        requests
            .map(|(range, period)| load(range, period, cost))
            .sum()
    }

    proptest! {
        #[test]
        fn no_other_way_to_read_the_points_is_cheaper(
            layout in prop::collection::vec((0u16..60, 1u16..5, 0usize..4), 1..8),
            hole in 0u16..60,
            refused in (0u16..60, 1u16..30),
            max_registers in 5u16..40,
            bits: bool,
            fast: bool,
            same_period: bool,
        ) {
            let table = if bits { Table::Coil } else { Table::Holding };
            let mut cost = cost_at(if fast { 115_200 } else { 9600 });
            cost.max_registers = max_registers;
            cost.max_bits = max_registers;
            cost.holes = vec![RegisterRange { table, at: hole, count: 1 }];
            cost.refused = vec![RegisterRange { table, at: refused.0, count: refused.1 }];
            let periods = [1, 2, 5, 60].map(Duration::from_secs);
            let points: Vec<_> = layout
                .iter()
                .map(|(at, count, period)| {
                    let range = RegisterRange { table, at: *at, count: *count };
                    (range, if same_period { PERIOD } else { periods[*period] })
                })
                .filter(|(range, _)| cost.allows(*range))
                .collect();
            let plan = plan(&points, &cost);
            let planned = plan.requests.iter().map(|request| (request.range, request.period));
            // Each request's share is rounded by itself.
            let (ours, best) = (price(planned, &cost), brute_force(&points, &cost));
            prop_assert!(ours.abs_diff(best) <= points.len() as u128, "{} {}", ours, best);
            for (index, (range, period)) in points.iter().enumerate() {
                let serving: Vec<_> =
                    plan.requests.iter().filter(|request| request.points.contains(&index)).collect();
                prop_assert_eq!(serving.len(), 1);
                prop_assert!(serving[0].range.contains(*range) && cost.allows(serving[0].range));
                prop_assert!(serving[0].period <= *period);
            }
        }
    }
}
