//! What is remembered of points over time, for people (`GET /history`): a change of a state at once,
//! a measurement once a minute, and that nothing has changed now and then. The store keeps it.
//!
//! Disks wear out, so there is a most for all points together: many are remembered less often, and
//! what comes too fast waits for its turn, where only the newest is kept.

use std::{collections::BTreeSet, time::Duration};

use lamplighter_lwm2m::boundary::Kept;
use lamplighter_model::{Now, Packed, Quality, ResourceAddress, ResourceInstanceId, Sample, Value};

/// Measurements of a point are no closer, for each [`CROWD`] points that there are.
const SPACING: Duration = Duration::from_secs(60);
const CROWD: usize = 500;
/// The same of a state: a contact that bounces.
const STATE_SPACING: Duration = Duration::from_secs(1);
/// A value that stays as it is stands there so often.
const HEARTBEAT: Duration = Duration::from_secs(15 * 60);
/// All together: so many a minute for ever, and so many at once.
const PER_MINUTE: u32 = 1000;
const BURST: u32 = 10_000;
/// So long, and so many, are handed over together: alone each would cost the disk twice as much.
const BATCH: Duration = Duration::from_secs(10);
const MAX_BATCH: usize = 256;
/// More values than any site has.
const MAX_VALUES: usize = 16_384;

type Key = (ResourceAddress, Option<ResourceInstanceId>);

/// Chooses what the store remembers.
#[derive(Debug)]
pub struct Recorder {
    points: BTreeSet<ResourceAddress>,
    /// Between two measurements of a point.
    spacing: Duration,
    budget: Budget,
    last: Packed<Key, Last>,
    /// When what waits is due.
    due: BTreeSet<(Duration, Key)>,
    /// What is to be handed over, and since when.
    batch: Vec<Kept>,
    since: Duration,
    /// The next number is not below.
    next: u64,
}

/// How many may be written now.
#[derive(Debug)]
struct Budget {
    left: u32,
    /// Up to when it was filled.
    since: Duration,
}

/// What was remembered last of a value.
#[derive(Debug)]
struct Last {
    at: Duration,
    value: Value,
    quality: Quality,
    /// A newer sample that came too early.
    waiting: Option<(Duration, Sample)>,
}

impl Recorder {
    /// Of these points; `next` is what the store says.
    pub(crate) fn new(points: impl Iterator<Item = ResourceAddress>, next: u64) -> Self {
        let points: BTreeSet<_> = points.collect();
        let crowds = u32::try_from(points.len().div_ceil(CROWD)).unwrap_or(u32::MAX);
        Self {
            points,
            spacing: SPACING.saturating_mul(crowds.max(1)),
            budget: Budget {
                left: BURST,
                since: Duration::ZERO,
            },
            last: Packed::new(),
            due: BTreeSet::new(),
            batch: Vec::new(),
            since: Duration::ZERO,
            next,
        }
    }

    /// Takes samples, and gives what is to be handed over to the store now, if anything.
    pub(crate) fn take(&mut self, samples: &[Sample], now: Now) -> Vec<Kept> {
        let picked = self.pick(samples, now);
        if self.batch.is_empty() {
            self.since = now.mono;
        }
        self.batch.extend(picked);
        let is_due = now.mono.saturating_sub(self.since) >= BATCH;
        if is_due || self.batch.len() >= MAX_BATCH {
            return std::mem::take(&mut self.batch);
        }
        Vec::new()
    }

    fn pick(&mut self, samples: &[Sample], now: Now) -> Vec<Kept> {
        let mut chosen = Vec::new();
        for sample in samples {
            if self.points.contains(&sample.address) {
                chosen.extend(self.choose(sample, now.mono));
            }
        }
        self.take_due(now.mono, &mut chosen);
        chosen
            .into_iter()
            .map(|sample| self.numbered(sample, now))
            .collect()
    }

    /// What waits, at the end of the agent.
    pub(crate) fn put_away(&mut self, now: Now) -> Vec<Kept> {
        self.budget.left = u32::MAX;
        let mut chosen = Vec::new();
        self.take_due(Duration::MAX, &mut chosen);
        let mut all = std::mem::take(&mut self.batch);
        for sample in chosen {
            all.push(self.numbered(sample, now));
        }
        all
    }

    fn choose(&mut self, sample: &Sample, now: Duration) -> Option<Sample> {
        let key = (sample.address, sample.index);
        let is_full = self.last.len() >= MAX_VALUES;
        let Some(last) = self.last.get_mut(&key) else {
            if !is_full {
                self.last.insert(key, Last::of(sample, now));
            }
            return (!is_full).then(|| sample.clone());
        };
        if let Some((at, _)) = last.waiting.take() {
            self.due.remove(&(at, key));
        }
        let is_other = last.value != sample.value || last.quality != sample.quality;
        let pause = match is_other {
            false => HEARTBEAT.max(self.spacing),
            true if is_measured(&sample.value) => self.spacing,
            true => STATE_SPACING,
        };
        let at = last.at.saturating_add(pause);
        if at <= now && self.budget.spend(now) {
            *last = Last::of(sample, now);
            return Some(sample.clone());
        }
        if is_other {
            last.waiting = Some((at, sample.clone()));
            self.due.insert((at, key));
        }
        None
    }

    fn take_due(&mut self, now: Duration, chosen: &mut Vec<Sample>) {
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now)
            && self.budget.spend(now)
        {
            self.due.remove(&(at, key));
            let Some(last) = self.last.get_mut(&key) else {
                continue;
            };
            if let Some((_, sample)) = last.waiting.take() {
                *last = Last::of(&sample, at);
                chosen.push(sample);
            }
        }
    }

    /// The number is the date, as far as that is known and rises: the store finds a time by it.
    fn numbered(&mut self, sample: Sample, now: Now) -> Kept {
        let date = now.unix.map_or(0, |unix| unix.0.max(0).cast_unsigned());
        let number = date.max(self.next);
        self.next = number.saturating_add(1);
        let source_time = sample.source_time.or_else(|| now.unix_of(sample.at));
        Kept {
            number,
            sample: Sample {
                source_time,
                ..sample
            },
        }
    }
}

impl Budget {
    fn spend(&mut self, now: Duration) -> bool {
        let gained = now.saturating_sub(self.since).as_millis() * u128::from(PER_MINUTE) / 60_000;
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained > 0 {
            self.since = now;
            self.left = self.left.saturating_add(gained).min(BURST);
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

impl Last {
    fn of(sample: &Sample, at: Duration) -> Self {
        Self {
            at,
            value: sample.value.clone(),
            quality: sample.quality,
            waiting: None,
        }
    }
}

/// What moves all the time, other than what is switched.
const fn is_measured(value: &Value) -> bool {
    match value {
        Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_) => true,
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::now_at;

    const POINT: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
    const SWITCH: ResourceAddress = ResourceAddress::gateway(3342, 0, 5500);

    fn recorder() -> Recorder {
        Recorder::new([POINT, SWITCH].into_iter(), 0)
    }

    /// The seconds of what is remembered of a value at this second.
    fn take(recorder: &mut Recorder, s: u64, address: ResourceAddress, value: Value) -> Vec<i64> {
        let sample = Sample::good(address, value, now_at(s).stamp());
        times(&recorder.pick(&[sample], now_at(s)))
    }

    fn times(kept: &[Kept]) -> Vec<i64> {
        let time = |kept: &Kept| kept.sample.source_time.unwrap().seconds();
        kept.iter().map(time).collect()
    }

    #[test]
    fn a_measurement_is_remembered_once_a_minute_with_the_newest_that_came() {
        let mut recorder = recorder();
        let mut all = Vec::new();
        for s in (100..400).step_by(10) {
            let value = Value::Float(s as f64);
            all.extend(take(&mut recorder, s, POINT, value));
        }
        assert_eq!(all, [100, 160, 220, 280, 340]);
        assert_eq!(times(&recorder.put_away(now_at(400))), [390]);
    }

    #[test]
    fn what_came_too_early_and_stays_is_remembered_when_its_time_has_come() {
        let mut recorder = recorder();
        assert_eq!(take(&mut recorder, 100, POINT, Value::Float(1.0)), [100]);
        assert_eq!(take(&mut recorder, 110, POINT, Value::Float(2.0)), [0; 0]);
        assert_eq!(times(&recorder.pick(&[], now_at(159))), [0; 0]);
        assert_eq!(times(&recorder.pick(&[], now_at(160))), [110]);
        assert_eq!(take(&mut recorder, 170, POINT, Value::Float(2.0)), [0; 0]);
    }

    #[test]
    fn a_state_is_remembered_at_once_unless_it_bounces() {
        let mut recorder = recorder();
        let on = Value::Boolean;
        assert_eq!(take(&mut recorder, 100, SWITCH, on(true)), [100]);
        assert_eq!(take(&mut recorder, 102, SWITCH, on(false)), [102]);
        assert_eq!(take(&mut recorder, 102, SWITCH, on(true)), [0; 0]);
        assert_eq!(take(&mut recorder, 102, SWITCH, on(false)), [0; 0]);
        assert_eq!(take(&mut recorder, 200, SWITCH, on(true)), [200]);
    }

    #[test]
    fn many_points_are_remembered_less_often() {
        let address = |instance| ResourceAddress::gateway(3303, instance, 5700);
        let mut recorder = Recorder::new((0..2000).map(address), 0);
        let mut all = Vec::new();
        for s in (1000..2000).step_by(60) {
            all.extend(take(&mut recorder, s, address(7), Value::Float(s as f64)));
        }
        assert_eq!(all, [1000, 1240, 1480, 1720, 1960]);
    }

    #[test]
    fn what_comes_soon_after_another_is_handed_over_with_it() {
        let mut recorder = recorder();
        let mut take = |s: u64| {
            let sample = Sample::good(SWITCH, Value::Integer(s.cast_signed()), now_at(s).stamp());
            times(&recorder.take(&[sample], now_at(s)))
        };
        assert_eq!(take(100), [0; 0]);
        assert_eq!(take(105), [0; 0]);
        assert_eq!(take(160), [100, 160]);
        assert_eq!(take(220), [0; 0]);
        assert_eq!(times(&recorder.put_away(now_at(221))), [220]);
    }

    #[test]
    fn a_site_that_flickers_is_bounded() {
        let address = |instance| ResourceAddress::gateway(3342, instance, 5500);
        let mut recorder = Recorder::new((0..400).map(address), 0);
        let mut kept = 0;
        for s in 0..3600 {
            let sample = |instance| {
                let value = Value::Boolean(s % 2 == 0);
                Sample::good(address(instance), value, now_at(s).stamp())
            };
            let samples: Vec<Sample> = (0..400).map(sample).collect();
            kept += recorder.pick(&samples, now_at(s)).len();
        }
        let most = (BURST + 60 * PER_MINUTE) as usize;
        assert!((most / 2..=most).contains(&kept), "{kept}");
    }

    #[test]
    fn that_nothing_changes_is_remembered_every_quarter_of_an_hour() {
        let mut recorder = recorder();
        let mut all = Vec::new();
        for s in (0..3600).step_by(60) {
            all.extend(take(&mut recorder, 1000 + s, SWITCH, Value::Boolean(true)));
        }
        assert_eq!(all, [1000, 1900, 2800, 3700]);
    }

    #[test]
    fn another_quality_is_another_sample() {
        let mut recorder = recorder();
        let good = Sample::good(SWITCH, Value::Boolean(true), now_at(100).stamp());
        let bad = Sample {
            quality: Quality::Bad,
            at: now_at(110).stamp(),
            ..good.clone()
        };
        assert_eq!(recorder.pick(&[good], now_at(100)).len(), 1);
        assert_eq!(recorder.pick(&[bad], now_at(110)).len(), 1);
    }

    #[test]
    fn what_is_no_point_is_not_remembered() {
        let other = ResourceAddress::gateway(3, 0, 9);
        assert_eq!(take(&mut recorder(), 100, other, Value::Integer(1)), [0; 0]);
    }

    #[test]
    fn numbers_rise_and_follow_the_date() {
        let mut recorder = Recorder::new([POINT].into_iter(), 200_000);
        let mut number = |s: u64, unix: bool, value: f64| {
            let now = Now {
                unix: now_at(s).unix.filter(|_| unix),
                ..now_at(s)
            };
            let sample = Sample::good(POINT, Value::Float(value), now.stamp());
            recorder.pick(&[sample], now)[0].number
        };
        assert_eq!(number(100, true, 1.0), 200_000, "not below what is stored");
        assert_eq!(number(300, true, 2.0), 300_000);
        assert_eq!(number(500, false, 3.0), 300_001, "no date");
        assert_eq!(number(600, true, 4.0), 600_000);
    }
}
