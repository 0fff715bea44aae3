//! `adapter = "sim"`: values without a device, for trials. They follow simple forms; writable ones
//! keep what was written.

use std::{f64::consts::TAU, time::Duration};

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::time::{Instant, sleep_until};

use crate::{Adapter, Clock, Wake};

/// One configured value.
#[derive(Clone, Debug, PartialEq)]
pub struct SimPoint {
    pub address: ResourceAddress,
    pub form: Form,
    pub is_writable: bool,
}

/// How a value goes with time.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    Constant(Value),
    /// From `from` to `to` within `period`, then again.
    Ramp {
        from: f64,
        to: f64,
        period: Duration,
    },
    Sine {
        mean: f64,
        amplitude: f64,
        period: Duration,
    },
    /// Changes its state after each `period`.
    Toggle {
        period: Duration,
    },
}

impl Form {
    /// The value at a time since the start.
    pub fn at(&self, elapsed: Duration) -> Value {
        let turns =
            |period: &Duration| elapsed.as_secs_f64() / period.as_secs_f64().max(f64::MIN_POSITIVE);
        match self {
            Self::Constant(value) => value.clone(),
            Self::Ramp { from, to, period } => {
                Value::Float(from + (to - from) * turns(period).fract())
            }
            Self::Sine {
                mean,
                amplitude,
                period,
            } => Value::Float(mean + amplitude * sine(turns(period))),
            Self::Toggle { period } => Value::Boolean(turns(period) % 2.0 >= 1.0),
        }
    }
}

/// The sine of a number of turns, by its series. That of std stands in a library of the system that
/// nothing else here needs: 0.3 MB in the memory of every box.
fn sine(turns: f64) -> f64 {
    // Mirrored to the quarter turns beside zero, where the series comes to its end soon.
    let angle = TAU
        * match turns.fract() {
            turn if turn > 0.75 => turn - 1.0,
            turn if turn > 0.25 => 0.5 - turn,
            turn => turn,
        };
    let (mut sum, mut term) = (angle, angle);
    for n in (2..=20).step_by(2).map(f64::from) {
        term *= -angle * angle / (n * (n + 1.0));
        sum += term;
    }
    sum
}

/// A device that does not exist.
#[derive(Debug)]
pub struct Sim {
    points: Vec<SimPoint>,
    every: Duration,
    clock: Clock,
    start: Instant,
    next: Instant,
}

impl Sim {
    /// All values are told once per `every`.
    pub fn new(points: Vec<SimPoint>, every: Duration, clock: Clock) -> Self {
        let start = Instant::now();
        Self {
            points,
            every: every.max(Duration::from_millis(1)),
            clock,
            start,
            next: start,
        }
    }

    fn samples(&self, which: impl Fn(ResourceAddress) -> bool) -> Vec<Sample> {
        let at = self.clock.stamp();
        let elapsed = self.start.elapsed();
        let points = self.points.iter().filter(|point| which(point.address));
        points
            .map(|point| Sample::good(point.address, point.form.at(elapsed), at))
            .collect()
    }
}

impl Adapter for Sim {
    fn declared(&self) -> Vec<Declaration> {
        let declare = |point: &SimPoint| Declaration {
            address: point.address,
            operations: Operations {
                read: true,
                write: point.is_writable,
                execute: false,
            },
        };
        self.points.iter().map(declare).collect()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        Ok(self.samples(|address| {
            address.instance() == instance && resources.contains(&address.path.resource)
        }))
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        let is_known = |value: &Assignment| {
            self.points
                .iter()
                .any(|point| point.is_writable && point.address == value.address)
        };
        if !values.iter().all(is_known) {
            return Err(Fault::Unsupported);
        }
        for value in values {
            for point in self
                .points
                .iter_mut()
                .filter(|point| point.address == value.address)
            {
                point.form = Form::Constant(value.value.clone());
            }
        }
        Ok(())
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        sleep_until(self.next).await;
        self.next = Instant::now() + self.every;
        Ok(Wake::News(self.samples(|_| true)))
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{BootId, Stamp};

    use super::*;

    const LEVEL: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
    const STATE: ResourceAddress = ResourceAddress::gateway(3342, 0, 5500);

    #[test]
    fn the_series_is_the_sine() {
        for turns in (0..3000).map(|n| f64::from(n) / 1000.0) {
            let difference = sine(turns) - (TAU * turns).sin();
            assert!(difference.abs() < 1e-13, "{turns}: {difference}");
        }
    }

    #[test]
    fn forms_follow_their_period() {
        let period = Duration::from_secs(10);
        let at = |form: &Form, seconds| form.at(Duration::from_secs(seconds));
        let ramp = Form::Ramp {
            from: 10.0,
            to: 20.0,
            period,
        };
        assert_eq!(
            (at(&ramp, 0), at(&ramp, 5), at(&ramp, 10)),
            (Value::Float(10.0), Value::Float(15.0), Value::Float(10.0))
        );
        let sine = Form::Sine {
            mean: 20.0,
            amplitude: 2.0,
            period: Duration::from_secs(4),
        };
        assert_eq!(
            (at(&sine, 0), at(&sine, 1)),
            (Value::Float(20.0), Value::Float(22.0))
        );
        let toggle = Form::Toggle { period };
        assert_eq!(
            (at(&toggle, 9), at(&toggle, 10)),
            (Value::Boolean(false), Value::Boolean(true))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_written_value_stays() {
        let start = Instant::now();
        let clock = Clock::new(move || Stamp {
            boot: BootId(1),
            mono: start.elapsed(),
        });
        let points = vec![
            SimPoint {
                address: LEVEL,
                form: Form::Constant(Value::Float(21.0)),
                is_writable: true,
            },
            SimPoint {
                address: STATE,
                form: Form::Toggle {
                    period: Duration::from_secs(1),
                },
                is_writable: false,
            },
        ];
        let mut sim = Sim::new(points, Duration::from_secs(1), clock);
        let write = |address| {
            [Assignment {
                address,
                index: None,
                value: Value::Float(22.0),
            }]
        };
        assert_eq!(sim.write(&write(STATE)).await, Err(Fault::Unsupported));
        sim.write(&write(LEVEL)).await.unwrap();
        let Wake::News(samples) = sim.wait().await.unwrap() else {
            panic!("no news")
        };
        assert_eq!((samples.len(), &samples[0].value), (2, &Value::Float(22.0)));
    }
}
