//! Reading what is planned, and learning what the plan did not know: what the device refuses, and
//! how long it takes.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use lamplighter_model::{
    InstanceAddress, Quality, ResourceAddress, ResourceId, Sample, Value, device::Fault,
};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{
    super::{
        bus::{BusError, Class},
        config::PointConfig,
        frame::{Reply, Request},
        plan::{CostModel, PlannedRequest, RegisterRange, plan, spanning},
    },
    ModbusDevice,
};
use crate::Wake;

/// A planned request and when it is due.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) request: PlannedRequest,
    /// Its place within the period, so that the requests of a line spread over it.
    slot: Instant,
    pub(super) due: Instant,
}

/// How long the device takes from the end of a request to its answer, smoothed.
#[derive(Debug, Default)]
pub(super) struct Turnaround {
    smoothed: Duration,
    answers: u32,
}

/// What a part of a refused read said.
enum Part {
    Given(Vec<Sample>),
    Refused,
}

/// The first reads come soon after the start, whatever their period.
const FIRST_READS_WITHIN: Duration = Duration::from_secs(2);
/// So many questions after one refusal; the rest is found out at the next.
const BISECTING_ASKS_MAX: u32 = 24;
/// The search is given up after this, well before the read that it belongs to.
const BISECTING_MAX: Duration = Duration::from_secs(2);
/// What was refused is asked for again after this: a device may refuse while it starts.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// A device that refuses more than this is read point by point.
const REFUSED_MAX: usize = 64;
/// The plan is made again after so many answers, if the turnaround is another than it was taken for.
const ANSWERS_PER_PLAN: u32 = 64;

impl ModbusDevice {
    /// Reads one planned request.
    pub(super) async fn poll(
        &mut self,
        planned: &PlannedRequest,
        class: Class,
        wanted: impl Fn(ResourceAddress) -> bool,
    ) -> Result<Vec<Sample>, Fault> {
        let request = read_of(planned.range);
        match self.try_ask(&request, class).await {
            Ok(reply) => {
                let points = self.tell(planned, wanted);
                Ok(self.samples(&points, planned.range, &reply))
            }
            Err(BusError::Exception(code)) if code.is_about_registers() => {
                let fault = self.on_error(&BusError::Exception(code), &request);
                self.bisect(&planned.points, fault).await
            }
            Err(error) => Err(self.on_error(&error, &request)),
        }
    }

    /// The points of a request that somebody asked for, or whose time has come: some are read more
    /// often than they must be, because that is cheaper.
    fn tell(
        &mut self,
        planned: &PlannedRequest,
        wanted: impl Fn(ResourceAddress) -> bool,
    ) -> Vec<usize> {
        let now = Instant::now();
        let points = planned.points.iter().copied();
        let told: Vec<usize> = points
            .filter(|point| {
                self.is_due(*point, planned, now) || wanted(self.config.points[*point].address)
            })
            .collect();
        for point in &told {
            self.told[*point] = now + self.config.points[*point].poll;
        }
        told
    }

    fn is_due(&self, point: usize, planned: &PlannedRequest, now: Instant) -> bool {
        self.config.points[point].poll <= planned.period
            || self.told[point] <= now + planned.period / 2
    }

    fn samples(&self, points: &[usize], range: RegisterRange, reply: &Reply) -> Vec<Sample> {
        let at = self.clock.stamp();
        let points = points.iter().map(|point| &self.config.points[*point]);
        let samples = points.filter_map(|point| {
            let own = point.read_range(self.config.addressing)?;
            let offset = usize::from(own.at.checked_sub(range.at)?);
            let (value, quality) = decode(point, reply, offset)?;
            Some(Sample {
                quality,
                ..Sample::good(point.address, value, at)
            })
        });
        samples.collect()
    }

    /// Finds out which part of a refused read the device does not give, reads the rest, and plans
    /// around it from now on. `points` are in the order of their registers.
    async fn bisect(&mut self, points: &[usize], fault: Fault) -> Result<Vec<Sample>, Fault> {
        let (mut samples, mut asks, begun) = (Vec::new(), 0, Instant::now());
        let all = 0..points.len();
        let mut refused = Vec::from([all]);
        'search: while let Some(part) = refused.pop() {
            let Some(middle) = self.middle(&points[part.clone()]) else {
                self.refuse_alone(points[part.start]);
                continue;
            };
            let halves = [
                part.start..part.start + middle,
                part.start + middle..part.end,
            ];
            let mut given = true;
            for half in &halves {
                asks += 1;
                match self.read_part(&points[half.clone()]).await {
                    Ok(Part::Given(more)) => samples.extend(more),
                    Ok(Part::Refused) => {
                        given = false;
                        refused.push(half.clone());
                    }
                    // What is known so far is kept.
                    Err(_) => break 'search,
                }
            }
            if given {
                asks += 1;
                if self.refuse_together(points, &halves).await.is_err() {
                    break;
                }
            }
            if asks > BISECTING_ASKS_MAX {
                break;
            }
            if begun.elapsed() > BISECTING_MAX && !refused.is_empty() {
                // The line is slow, or busy: the search would never come to its end.
                self.cost.one_per_point = true;
                self.forget_at
                    .get_or_insert_with(|| Instant::now() + FORGET_AFTER);
                break;
            }
        }
        self.plan_again();
        self.publish_refused();
        if samples.is_empty() {
            Err(fault)
        } else {
            Ok(samples)
        }
    }

    /// Where to divide: at the widest gap, since what is not there is most likely in it. `None` where
    /// all read the same registers.
    fn middle(&self, points: &[usize]) -> Option<usize> {
        let ranges: Vec<RegisterRange> = points.iter().map(|point| self.range_of(*point)).collect();
        let mut reach = ranges.first()?.end();
        let (mut widest, mut at) = (0, None);
        for (index, range) in ranges.iter().enumerate().skip(1) {
            let gap = u32::from(range.at).saturating_sub(reach);
            reach = reach.max(range.end());
            if gap > widest {
                (widest, at) = (gap, Some(index));
            }
        }
        let all_the_same = ranges.iter().all(|range| *range == ranges[0]);
        at.or_else(|| (!all_the_same).then_some(ranges.len() / 2))
    }

    async fn read_part(&mut self, points: &[usize]) -> Result<Part, Fault> {
        let range = self.span(points);
        let request = read_of(range);
        match self.try_ask(&request, Class::Poll).await {
            Ok(reply) => Ok(Part::Given(self.samples(points, range, &reply))),
            Err(BusError::Exception(code)) if code.is_about_registers() => {
                self.on_error(&BusError::Exception(code), &request);
                Ok(Part::Refused)
            }
            Err(error) => Err(self.on_error(&error, &request)),
        }
    }

    /// Both halves were given, the whole was not: is it what lies between them, or the length?
    async fn refuse_together(
        &mut self,
        points: &[usize],
        halves: &[Range<usize>; 2],
    ) -> Result<(), Fault> {
        let [left, right] = halves;
        let seam = [points[left.end - 1], points[right.start]];
        let whole = self.span(&points[left.start..right.end]);
        let range = self.span(&seam);
        if range == whole || matches!(self.read_part(&seam).await?, Part::Refused) {
            info!(
                device = self.config.name, %range,
                "Device does not give these registers together: they are read apart from now on"
            );
            self.refuse(range);
            return Ok(());
        }
        let longest = self.span(&points[left.clone()]).count;
        let longest = longest.max(self.span(&points[right.clone()]).count);
        // No point is wider than a request may be.
        let widest = (0..self.config.points.len())
            .map(|point| self.range_of(point))
            .filter(|range| range.table.holds_bits() == whole.table.holds_bits());
        let widest = widest.map(|range| range.count).max().unwrap_or_default();
        let longest = longest.max(widest);
        if longest >= whole.count {
            self.refuse(range);
            return Ok(());
        }
        info!(
            device = self.config.name,
            longest, "Device does not give so many at once: less is read from now on"
        );
        if whole.table.holds_bits() {
            self.cost.max_bits = longest;
        } else {
            self.cost.max_registers = longest;
        }
        Ok(())
    }

    fn refuse_alone(&mut self, point: usize) {
        let range = self.range_of(point);
        if self.cost.refused.contains(&range) {
            return;
        }
        warn!(
            device = self.config.name,
            point = self.config.points[point].name,
            %range,
            "Device has no such register: it is read no more until the device comes back anew"
        );
        self.refuse(range);
    }

    fn refuse(&mut self, range: RegisterRange) {
        self.forget_at
            .get_or_insert_with(|| Instant::now() + FORGET_AFTER);
        if self.cost.refused.len() < REFUSED_MAX {
            self.cost.refused.push(range);
        } else {
            self.cost.one_per_point = true;
        }
    }

    /// Reads points that the plan leaves out because the device refused them: somebody asks for them.
    pub(super) async fn read_refused(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let (mut samples, mut fault) = (Vec::new(), Fault::NoValue);
        for point in 0..self.config.points.len() {
            let address = self.config.points[point].address;
            let is_wanted =
                address.instance() == instance && resources.contains(&address.path.resource);
            let range = self.range_of(point);
            if !is_wanted || range.count == 0 {
                continue;
            }
            let request = read_of(range);
            match self.try_ask(&request, Class::Poll).await {
                Ok(reply) => {
                    samples.extend(self.samples(&[point], range, &reply));
                    self.cost
                        .refused
                        .retain(|refused| !range.contains(*refused));
                    self.plan_again();
                    self.publish_refused();
                }
                Err(error) => fault = self.on_error(&error, &request),
            }
        }
        if samples.is_empty() {
            Err(fault)
        } else {
            Ok(samples)
        }
    }

    /// What was refused once may be there now.
    pub(super) fn forget_refusals(&mut self) {
        self.forget_at = None;
        let configured = CostModel {
            turnaround: self.cost.turnaround,
            ..self.configured_cost.clone()
        };
        if self.cost == configured {
            return;
        }
        self.cost = configured;
        self.plan_again();
        self.publish_refused();
    }

    /// Takes the measured turnaround into the plan when it is clearly another than was assumed.
    pub(super) fn measure(&mut self, request: &Request, round_trip: Duration) {
        let chars = u32::try_from(request.rtu_len() + request.rtu_answer_len()).unwrap_or(0);
        let took = round_trip.saturating_sub(self.cost.char_time * chars);
        let Some(turnaround) = self.turnaround.after(took) else {
            return;
        };
        let assumed = self.cost.turnaround;
        if turnaround.abs_diff(assumed) > (assumed / 2).max(Duration::from_millis(1)) {
            self.cost.turnaround = turnaround;
            self.plan_again();
        }
    }

    /// Plans with what is known by now; requests keep the times of those whose points they take over.
    fn plan_again(&mut self) {
        let planned = plan(&self.config.ranges(), &self.cost).requests;
        let old: Vec<(BTreeSet<usize>, Instant, Instant)> = self
            .polls
            .iter()
            .map(|poll| {
                (
                    poll.request.points.iter().copied().collect(),
                    poll.slot,
                    poll.due,
                )
            })
            .collect();
        let now = Instant::now();
        let heir = |request: PlannedRequest| {
            let parents = old
                .iter()
                .filter(|(points, ..)| request.points.iter().any(|point| points.contains(point)));
            let (slot, due) = parents
                .map(|(_, slot, due)| (*slot, *due))
                .min_by_key(|(_, due)| *due)
                .unwrap_or((now, now));
            Poll { request, slot, due }
        };
        self.polls = planned.into_iter().map(heir).collect();
    }

    fn publish_refused(&self) {
        self.stats
            .send_modify(|stats| stats.refused.clone_from(&self.cost.refused));
    }

    fn range_of(&self, point: usize) -> RegisterRange {
        self.config.range_of(&self.config.points[point])
    }

    fn span(&self, points: &[usize]) -> RegisterRange {
        let first = self.range_of(points[0]);
        points
            .iter()
            .map(|point| self.range_of(*point))
            .fold(first, spanning)
    }

    /// The planned requests that bring these resources.
    pub(super) fn polls_for(
        &self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Vec<PlannedRequest> {
        let polls = self.polls.iter().map(|poll| &poll.request);
        polls
            .filter(|request| self.serves(request, instance, resources))
            .cloned()
            .collect()
    }

    fn serves(
        &self,
        request: &PlannedRequest,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> bool {
        let addresses = request
            .points
            .iter()
            .map(|point| self.config.points[*point].address);
        addresses
            .filter(|address| address.instance() == instance)
            .any(|address| resources.contains(&address.path.resource))
    }

    pub(super) fn due(&self, index: usize) -> Option<Wake> {
        let (request, now) = (&self.polls[index].request, Instant::now());
        let addresses = || {
            request
                .points
                .iter()
                .filter(|point| self.is_due(**point, request, now))
                .map(|point| self.config.points[*point].address)
        };
        let instance = addresses().next()?.instance();
        let resources = addresses().filter(|address| address.instance() == instance);
        Some(Wake::Due(
            instance,
            resources.map(|address| address.path.resource).collect(),
        ))
    }

    pub(super) async fn wait_for_poll(&mut self) -> Option<Wake> {
        let next = (0..self.polls.len()).min_by_key(|index| self.polls[*index].due);
        let due = next.map(|next| self.polls[next].due);
        let Some(until) = due.into_iter().chain(self.forget_at).min() else {
            return std::future::pending().await;
        };
        sleep_until(until).await;
        if self.forget_at.is_some_and(|at| at <= Instant::now()) {
            self.forget_refusals();
            return None;
        }
        let next = next?;
        self.polls[next].reschedule(Instant::now());
        self.due(next)
    }

    /// What was written shows up without waiting for its turn.
    pub(super) fn read_soon(&mut self, address: ResourceAddress) {
        let now = Instant::now();
        let due: Vec<usize> = (0..self.polls.len())
            .filter(|index| {
                let request = &self.polls[*index].request;
                self.serves(request, address.instance(), &[address.path.resource])
            })
            .collect();
        for index in due {
            self.polls[index].due = now;
        }
        for (point, told) in self.config.points.iter().zip(&mut self.told) {
            if point.address == address {
                *told = now;
            }
        }
    }
}

impl Turnaround {
    /// Takes one in; gives the smoothed one now and then.
    fn after(&mut self, took: Duration) -> Option<Duration> {
        self.smoothed = if self.answers == 0 {
            took
        } else {
            (self.smoothed * 7 + took) / 8
        };
        self.answers = self.answers.checked_add(1).unwrap_or(1);
        self.answers
            .is_multiple_of(ANSWERS_PER_PLAN)
            .then_some(self.smoothed)
    }
}

impl Poll {
    /// The next slot of its grid; those that were missed are left out.
    fn reschedule(&mut self, now: Instant) {
        let period = self.request.period;
        let passed = now.saturating_duration_since(self.slot).as_nanos() / period.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.slot += period * passed;
        if self.slot <= now {
            self.slot += period;
        }
        self.due = self.slot;
    }
}

/// Gives each request its place in its period: evenly among those of the device, and from the unit
/// number among the devices of the line.
pub(super) fn spread(requests: Vec<PlannedRequest>, unit: u8) -> Vec<Poll> {
    let start = Instant::now();
    let count = f64::from(u32::try_from(requests.len()).unwrap_or(u32::MAX));
    // Multiples of the golden ratio never bunch.
    let shift = f64::from(unit) * 0.618_033_988_75;
    let poll = |(index, request): (u32, PlannedRequest)| {
        let phase = ((f64::from(index) + shift) / count).fract();
        let slot = start + request.period.mul_f64(phase);
        let due = start + request.period.min(FIRST_READS_WITHIN).mul_f64(phase);
        Poll { request, slot, due }
    };
    (0..).zip(requests).map(poll).collect()
}

pub(super) fn read_of(range: RegisterRange) -> Request {
    Request::Read {
        table: range.table,
        at: range.at,
        count: range.count,
    }
}

pub(super) fn decode(
    point: &PointConfig,
    reply: &Reply,
    offset: usize,
) -> Option<(Value, Quality)> {
    match reply {
        Reply::Bits(bits) => Some(point.codec.decode_bit(*bits.get(offset)?)),
        Reply::Registers(registers) => point
            .codec
            .decode(registers.get(offset..offset + usize::from(point.codec.kind.width()))?),
        Reply::Written => None,
    }
}
