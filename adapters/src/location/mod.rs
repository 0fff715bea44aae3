//! Where the box is: positions of the daemon `gpsd`, or of a receiver that speaks NMEA 0183.
//!
//! 1. A task holds the line, opens it again and again, and turns lines into [`Report`]s
//!    (`receiver.rs`). What arrives faster than anybody wants it waits in the line, not here.
//! 2. The adapter believes a fix, or not (`judge.rs`), and tells it once per `every`.
//! 3. Without a fix the last position stays known, as stale, with the time at which it was true.

mod fix;
pub mod gpsd;
mod judge;
mod lines;
pub mod nmea;
mod receiver;
#[cfg(test)]
mod tests;
mod time;
mod velocity;

use std::time::Duration;

use lamplighter_model::{
    InstanceAddress, Quality, ResourceAddress, ResourceId, Sample, Stamp,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

pub use self::{
    fix::{Fix, Quantity, Report},
    lines::Lines,
    receiver::Decode,
};
use self::{
    judge::Judge,
    receiver::{News, QUEUE, listen},
};
use crate::{Adapter, Clock, Limits, Wake, bus::Opener};

/// What is told of a position, and when it is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationConfig {
    pub points: Vec<LocationPoint>,
    /// Shortest time between two positions that are told; that there is a fix or none is told at
    /// once.
    pub every: Duration,
    /// Without a fix for this time, values are stale.
    pub stale_after: Duration,
    /// Nothing that carries this box is faster, in m/s.
    pub max_speed: f64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocationPoint {
    pub address: ResourceAddress,
    pub quantity: Quantity,
}

impl LocationConfig {
    /// The limits of its supervisor. A receiver is heard every second, so no pause need be long.
    pub fn limits(&self) -> Limits {
        Limits {
            max_age: self.stale_after,
            stale_after: Some(self.stale_after),
            retry_max: Duration::from_secs(5),
            ..Limits::default()
        }
    }
}

/// A receiver whose position is told.
#[derive(Debug)]
pub struct Location {
    config: LocationConfig,
    reports: mpsc::Receiver<News>,
    task: JoinHandle<()>,
    judge: Judge,
    /// What was told last: the fix, when it came, and whether it still held.
    told: Option<Told>,
    /// The line is down, or the receiver has no fix: what `wait` says until that changes.
    trouble: Option<Fault>,
}

#[derive(Clone, Debug)]
struct Told {
    fix: Fix,
    at: Stamp,
    when: Instant,
    is_lost: bool,
}

impl Location {
    /// Begins to listen; must be called inside the runtime. `seed` spreads the attempts to connect.
    pub fn new<O, D>(opener: O, decoder: D, config: LocationConfig, clock: Clock, seed: u64) -> Self
    where
        O: Opener,
        D: Decode,
    {
        let (out, reports) = mpsc::channel(QUEUE);
        let task = tokio::spawn(listen(opener, decoder, clock, out, seed));
        let judge = Judge::new(config.max_speed);
        Self {
            config,
            reports,
            task,
            judge,
            told: None,
            trouble: None,
        }
    }

    /// What there is to tell of a report, if anything.
    fn take(&mut self, news: News) -> Option<Result<Vec<Sample>, Fault>> {
        match news {
            News::Lost => {
                self.trouble = Some(Fault::Unreachable);
                self.lose_fix().map(Ok)
            }
            News::Report(Report::NoFix, _) => {
                let fault = Fault::Device("the receiver has no fix".to_owned());
                self.trouble = None;
                Some(self.lose_fix().ok_or(fault))
            }
            News::Report(Report::Fix(fix), at) => {
                self.trouble = None;
                if !self.judge.believes(&fix, at) {
                    return None;
                }
                let pause = self.config.every / 2;
                let is_due = self.told.as_ref().is_none_or(|told| {
                    told.is_lost || told.when.elapsed() + pause >= self.config.every
                });
                is_due.then(|| Ok(self.tell(fix, at)))
            }
        }
    }

    fn tell(&mut self, fix: Fix, at: Stamp) -> Vec<Sample> {
        let samples = self.samples(&fix, at, fix.quality());
        self.told = Some(Told {
            fix,
            at,
            when: Instant::now(),
            is_lost: false,
        });
        samples
    }

    /// What was known becomes stale, once.
    fn lose_fix(&mut self) -> Option<Vec<Sample>> {
        let told = self.told.as_mut().filter(|told| !told.is_lost)?;
        told.is_lost = true;
        let (fix, at) = (told.fix.clone(), told.at);
        Some(self.samples(&fix, at, Quality::Stale))
    }

    fn samples(&self, fix: &Fix, at: Stamp, quality: Quality) -> Vec<Sample> {
        let sample = |point: &LocationPoint| {
            Some(Sample {
                quality,
                source_time: fix.time,
                ..Sample::good(point.address, point.quantity.of(fix)?, at)
            })
        };
        self.config.points.iter().filter_map(sample).collect()
    }
}

impl Adapter for Location {
    fn declared(&self) -> Vec<Declaration> {
        let declare = |point: &LocationPoint| Declaration {
            address: point.address,
            operations: Operations::R,
        };
        self.config.points.iter().map(declare).collect()
    }

    /// A receiver cannot be asked: the last position, stale where it is no longer told.
    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let told = self.told.as_ref().ok_or(Fault::NoValue)?;
        let is_old = told.is_lost || told.when.elapsed() >= self.config.stale_after;
        let quality = if is_old {
            Quality::Stale
        } else {
            told.fix.quality()
        };
        let mut samples = self.samples(&told.fix, told.at, quality);
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

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        loop {
            let news = match (self.reports.try_recv(), &self.trouble) {
                (Ok(news), _) => Some(news),
                (Err(_), Some(fault)) => return Err(fault.clone()),
                (Err(_), None) => self.reports.recv().await,
            };
            let Some(news) = news else {
                return Err(Fault::Unreachable);
            };
            if let Some(told) = self.take(news) {
                return told.map(Wake::News);
            }
        }
    }
}

impl Drop for Location {
    fn drop(&mut self) {
        self.task.abort();
    }
}
