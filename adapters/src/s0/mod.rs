//! Meters with a pulse output (S0, IEC 62053-31) on a digital line.
//!
//! 1. Each change to active is one pulse, by the time and the number that the kernel has given it:
//!    what its queue could not hold is counted by the numbers that are missing.
//! 2. The counter is kept when `every_pulses` have come or `every` has passed, and at the end. After
//!    an end without that, people are told that something may be missing, and how much at most.
//! 3. Power comes from the distance of pulses.

mod counter;
mod rate;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lamplighter_model::{
    Decimal, InstanceAddress, ResourceAddress, ResourceId, Sample, Stamp, Value,
    device::{Assignment, Declaration, Fault, Note},
    object::Operations,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

pub use self::counter::{Keep, Kept, Scale};
use self::{
    counter::{Beginning, Counter},
    rate::Rate,
};
use crate::{
    Adapter, Clock, Wake,
    gpio::{Debounce, Edge, Line, Lines},
    meter::Unit,
};

/// When a counter is written.
pub const SAVE_EVERY: Duration = Duration::from_secs(300);
/// The same, in pulses: what a power cut can cost.
pub const SAVE_PULSES: u64 = 1000;

/// One meter.
#[derive(Clone, Debug)]
pub struct S0Config {
    pub line: Line,
    pub scale: Scale,
    /// What the meter showed when its pulses began to be counted.
    pub start: Decimal,
    pub points: Vec<S0Point>,
    /// How often counter and power are told while they change.
    pub every: Duration,
    /// Without a pulse for this time the power is nothing.
    pub zero_after: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct S0Point {
    pub address: ResourceAddress,
    pub quantity: Quantity,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quantity {
    /// In this unit.
    Counter(Unit),
    /// Begins at zero, for [`Adapter::execute`].
    Reset,
    /// Units of the counter per hour, times ten to this power.
    Power(i8),
}

/// What happened to the pulses of one meter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct S0Stats {
    /// Changes of the line that the kernel could not hold; they are counted all the same.
    pub missed: u64,
    /// Ends of the program after which pulses may be missing.
    pub gaps: u32,
}

/// Counts the pulses of one line.
#[derive(Debug)]
pub struct S0<L: Lines, K: Keep> {
    backend: L,
    keep: K,
    config: S0Config,
    clock: Clock,
    counter: Counter,
    rate: Rate,
    debounce: Debounce,
    is_open: bool,
    was_open: bool,
    level: bool,
    /// When there is something to tell again.
    due: Instant,
    told: Option<Vec<Value>>,
    saved: (u64, Instant),
    stats: watch::Sender<S0Stats>,
    notes: Vec<Note>,
}

impl<L: Lines, K: Keep> S0<L, K> {
    /// # Errors
    /// What was counted before cannot be read.
    pub fn new(backend: L, mut keep: K, config: S0Config, clock: Clock) -> Result<Self, String> {
        let (counter, beginning) = Counter::new(config.scale, config.start, keep.load()?);
        let notes = Vec::from_iter(match beginning {
            Beginning::First | Beginning::Same => None,
            Beginning::Gap => Some(Note {
                what: "pulses_missing",
                text: format!(
                    "the last run ended without notice: up to {SAVE_PULSES} pulses, or those of {} \
                     s, may be missing",
                    SAVE_EVERY.as_secs()
                ),
                detail: String::new(),
            }),
            Beginning::Exchanged => Some(Note {
                what: "meter_exchanged",
                text: "another start value: the counter begins there".to_owned(),
                detail: config.start.to_string(),
            }),
        });
        for note in &notes {
            tracing::warn!(line = config.line.name, "{}", note.text);
        }
        keep.save(counter.kept(true));
        let (now, mono) = (Instant::now(), clock.stamp().mono);
        let gaps = counter.gaps();
        let (stats, _) = watch::channel(S0Stats { missed: 0, gaps });
        Ok(Self {
            notes,
            saved: (counter.pulses(), now),
            rate: Rate::new(config.zero_after, mono),
            backend,
            keep,
            config,
            clock,
            counter,
            debounce: Debounce::default(),
            is_open: false,
            was_open: false,
            level: false,
            due: now,
            told: None,
            stats,
        })
    }

    pub fn stats(&self) -> watch::Receiver<S0Stats> {
        self.stats.subscribe()
    }

    fn open(&mut self) -> Result<(), Fault> {
        if self.is_open {
            return Ok(());
        }
        let levels = self.backend.open(std::slice::from_ref(&self.config.line))?;
        self.level = levels.first().is_some_and(|(_, level)| *level);
        self.debounce = Debounce::default();
        if self.was_open {
            self.rate.lose(self.clock.stamp().mono);
        }
        (self.is_open, self.was_open) = (true, true);
        Ok(())
    }

    fn on_edge(&mut self, edge: Edge) {
        if edge.line != 0 {
            return;
        }
        if edge.missed > 0 {
            self.on_missed(edge);
        }
        let now = self.clock.stamp();
        let at = now.mono.saturating_sub(edge.age);
        if L::DEBOUNCES || self.config.line.debounce.is_zero() {
            self.settle(edge.level, at);
            return;
        }
        let happened = Instant::now() - edge.age;
        // Edges may have waited: what stood still long enough before this one has counted.
        self.take_settled(happened);
        let at = Stamp { mono: at, ..now };
        let settles = happened + self.config.line.debounce;
        self.debounce.on_edge(0, edge.level, at, settles);
    }

    /// Changes alternate: of those that are missing between two known levels, it is known how many
    /// were pulses.
    fn on_missed(&mut self, edge: Edge) {
        let missed = u64::from(edge.missed);
        let pulses = if self.level {
            missed / 2
        } else {
            missed.div_ceil(2)
        };
        // The one that is told now was preceded by its contrary.
        self.level = !edge.level;
        self.counter.add(pulses);
        self.rate.lose(self.clock.stamp().mono);
        self.stats.send_modify(|stats| stats.missed += missed);
        tracing::warn!(
            line = self.config.line.name,
            missed,
            "Changes of the line were not told one by one; they are counted by their numbers"
        );
    }

    fn take_settled(&mut self, now: Instant) {
        for (_, level, at) in self.debounce.take(now) {
            self.settle(level, at.mono);
        }
    }

    fn settle(&mut self, level: bool, at: Duration) {
        if std::mem::replace(&mut self.level, level) == level || !level {
            return;
        }
        self.counter.add(1);
        self.rate.on_pulses(1, at);
    }

    /// What there is to tell now; nothing where it is as it was.
    fn tell(&mut self) -> Option<Vec<Sample>> {
        let at = self.clock.stamp();
        let per_second = self.rate.look(at.mono);
        let mut samples = Vec::new();
        for point in &self.config.points {
            let value = match point.quantity {
                Quantity::Counter(unit) => self.counter.value(unit).map(Value::Decimal),
                Quantity::Power(power) => per_second.map(|rate| {
                    let per_hour = rate * 3600.0 / f64::from(self.config.scale.pulses_per_unit);
                    Value::Float(per_hour * 10f64.powi(power.into()))
                }),
                Quantity::Reset => None,
            };
            samples.extend(value.map(|value| Sample::good(point.address, value, at)));
        }
        let values: Vec<Value> = samples.iter().map(|sample| sample.value.clone()).collect();
        (self.told.as_ref() != Some(&values)).then(|| {
            self.told = Some(values);
            samples
        })
    }

    /// Keeps the counter when it is time.
    fn save(&mut self) {
        let (pulses, when) = self.saved;
        let more = self.counter.pulses().saturating_sub(pulses);
        if more >= SAVE_PULSES || (more > 0 && when.elapsed() >= SAVE_EVERY) {
            self.write();
        }
    }

    fn write(&mut self) {
        self.saved = (self.counter.pulses(), Instant::now());
        self.keep.save(self.counter.kept(true));
    }
}

impl<L: Lines, K: Keep> Adapter for S0<L, K> {
    fn declared(&self) -> Vec<Declaration> {
        let declare = |point: &S0Point| Declaration {
            address: point.address,
            operations: match point.quantity {
                Quantity::Counter(_) | Quantity::Power(_) => Operations::R,
                Quantity::Reset => Operations {
                    read: false,
                    write: false,
                    execute: true,
                },
            },
        };
        self.config.points.iter().map(declare).collect()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        self.open()?;
        // Whoever asks gets it whether it is another one or not.
        self.told = None;
        let mut samples = self.tell().unwrap_or_default();
        samples.retain(|sample| {
            sample.address.instance() == instance
                && resources.contains(&sample.address.path.resource)
        });
        if samples.is_empty() {
            return Err(Fault::NoValue);
        }
        Ok(samples)
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, resource: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        let mut points = self.config.points.iter();
        if !points.any(|point| (point.address, point.quantity) == (resource, Quantity::Reset)) {
            return Err(Fault::Unsupported);
        }
        self.counter.reset();
        self.write();
        self.due = Instant::now();
        Ok(())
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        self.open()?;
        loop {
            let settled = self.debounce.next();
            tokio::select! {
                biased;
                edge = self.backend.edge() => match edge {
                    Ok(edge) => self.on_edge(edge),
                    Err(fault) => {
                        self.is_open = false;
                        return Err(fault);
                    }
                },
                () = at(settled) => self.take_settled(Instant::now()),
                () = sleep_until(self.due) => {
                    self.due = Instant::now() + self.config.every;
                    if let Some(samples) = self.tell() {
                        return Ok(Wake::News(samples));
                    }
                }
            }
            self.save();
        }
    }
}

impl<L: Lines, K: Keep> Drop for S0<L, K> {
    fn drop(&mut self) {
        self.keep.finish(self.counter.kept(false));
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
