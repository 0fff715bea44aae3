//! Digital lines: inputs as Boolean samples with the time of their edge, outputs that are driven
//! only when somebody has decided what they shall be.
//!
//! 1. Inputs and feedback contacts are requested when the adapter first waits or reads; their
//!    levels are its first news.
//! 2. An output is requested by its first Write, as an output with that value in the same call, so
//!    that a relay sees nothing else. What it does before this process is the wiring's and the
//!    kernel's business; at its end a line stays as it is, or is driven once more to its exit level.
//! 3. With a feedback contact the value of a point is what the contact says, and a Write succeeds
//!    when the contact has followed.

#[cfg(feature = "gpio-cdev")]
pub mod cdev;
mod debounce;
#[cfg(feature = "gpio-cdev")]
pub mod look;
#[cfg(feature = "gpio-rppal")]
pub mod rppal;
pub mod sim;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, future::Future, time::Duration};

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample, Stamp, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::time::{Instant, sleep_until, timeout_at};

pub(crate) use self::debounce::Debounce;
use crate::{Adapter, Clock, Wake};

/// One configured point.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GpioPoint {
    pub address: ResourceAddress,
    /// Name of the line, e.g. `GPIO5`.
    pub line: String,
    pub direction: Direction,
    pub active_low: bool,
    pub bias: Bias,
    /// Inputs: changes shorter than this are no changes.
    pub debounce: Duration,
    /// Outputs only.
    pub drive: Drive,
    /// Outputs only: what it is when this adapter ends, if anybody has ever driven it; `None`: what
    /// it was.
    pub exit: Option<bool>,
    /// Outputs only: dimmed by pulses of this frequency, in Hz. It takes levels of 0–100 then.
    pub pwm: Option<u16>,
    /// Outputs only: a contact that says whether the output did what it was told.
    pub feedback: Option<Feedback>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feedback {
    pub line: String,
    pub active_low: bool,
    pub bias: Bias,
    pub debounce: Duration,
    /// Time in which the contact follows.
    pub within: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    Input,
    Output,
}

/// What holds a line that nobody drives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Bias {
    /// As the board has it.
    #[default]
    AsIs,
    Disabled,
    PullDown,
    PullUp,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Drive {
    OpenDrain,
    OpenSource,
    #[default]
    PushPull,
}

/// One line as a backend sees it; lines are numbered in the order of their list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    pub name: String,
    pub direction: Direction,
    pub active_low: bool,
    pub bias: Bias,
    pub drive: Drive,
    pub debounce: Duration,
}

/// A change of an input. Levels are logical: `true` is active.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edge {
    pub line: usize,
    pub level: bool,
    /// How long ago it happened.
    pub age: Duration,
    /// Changes of this line since the last one that was told, which nobody could hold.
    pub missed: u32,
}

/// What the adapter needs of the hardware. Calls do not block; errors are words for people in
/// [`Fault::Device`], or [`Fault::Unreachable`].
pub trait Lines: Send + 'static {
    /// Whether the backend filters by [`Line::debounce`] itself.
    const DEBOUNCES: bool;

    /// Requests the inputs among `lines`, with edge detection; gives their levels by number.
    /// Called again after a fault.
    fn open(&mut self, lines: &[Line]) -> Result<Vec<(usize, bool)>, Fault>;

    /// Drives outputs; a line that was not driven before is requested with its value in one call.
    fn drive(&mut self, lines: &[Line], levels: &[(usize, bool)]) -> Result<(), Fault>;

    /// Drives an output with pulses: `percent` of the time it is active. One that was not driven
    /// before is requested first.
    ///
    /// # Errors
    /// What cannot be done, in words; most backends cannot dim at all.
    fn dim(&mut self, line: (usize, &Line), hertz: u16, percent: u8) -> Result<(), Fault> {
        let _ = (hertz, percent);
        Err(Fault::Device(format!(
            "{} cannot be dimmed here",
            line.1.name
        )))
    }

    /// The next change of an input. Dropped at will without losing one.
    fn edge(&mut self) -> impl Future<Output = Result<Edge, Fault>> + Send;
}

/// Points over the lines of one backend.
#[derive(Debug)]
pub struct Gpio<L: Lines> {
    backend: L,
    clock: Clock,
    points: Vec<Point>,
    lines: Vec<Line>,
    /// Inputs as they were last reported, by line; empty until the inputs are open.
    levels: BTreeMap<usize, bool>,
    debounce: Debounce,
    is_open: bool,
    /// Not told yet; of each point the newest.
    news: BTreeMap<usize, Sample>,
}

#[derive(Debug)]
struct Point {
    address: ResourceAddress,
    /// What is driven; `None` for an input.
    output: Option<usize>,
    /// What is measured.
    input: Option<usize>,
    within: Duration,
    driven: Option<bool>,
    exit: Option<bool>,
    pwm: Option<u16>,
    /// What a dimmed output was set to.
    percent: u8,
}

impl<L: Lines> Gpio<L> {
    pub fn new(backend: L, points: &[GpioPoint], clock: Clock) -> Self {
        let mut lines = Vec::new();
        let points = points
            .iter()
            .map(|point| Point::new(point, &mut lines))
            .collect();
        Self {
            backend,
            clock,
            points,
            lines,
            levels: BTreeMap::new(),
            debounce: Debounce::default(),
            is_open: false,
            news: BTreeMap::new(),
        }
    }

    /// Requests the inputs and makes their levels news.
    fn open(&mut self) -> Result<(), Fault> {
        if self.is_open {
            return Ok(());
        }
        let levels = self.backend.open(&self.lines)?;
        self.is_open = true;
        self.debounce = Debounce::default();
        self.levels.clear();
        let now = self.clock.stamp();
        for (line, level) in levels {
            self.settle(line, level, now);
        }
        for (number, point) in self.points.iter().enumerate() {
            if let (None, Some(value)) = (point.input, point.told()) {
                let sample = Sample::good(point.address, value, now);
                self.news.insert(number, sample);
            }
        }
        Ok(())
    }

    /// The next change that is one, after the bounce filter.
    async fn change(&mut self) -> Result<(), Fault> {
        loop {
            let settled = self.debounce.next();
            tokio::select! {
                biased;
                edge = self.backend.edge() => match edge {
                    Ok(edge) => if self.on_edge(edge) { return Ok(()) },
                    Err(fault) => {
                        self.is_open = false;
                        return Err(fault);
                    }
                },
                () = at(settled) => if self.on_settled() { return Ok(()) },
            }
        }
    }

    /// Whether something changed.
    fn on_edge(&mut self, edge: Edge) -> bool {
        let Some(line) = self.lines.get(edge.line) else {
            return false;
        };
        let at = self.before(edge.age);
        if L::DEBOUNCES || line.debounce.is_zero() {
            return self.settle(edge.line, edge.level, at);
        }
        self.debounce
            .on_edge(edge.line, edge.level, at, Instant::now() + line.debounce);
        false
    }

    fn on_settled(&mut self) -> bool {
        let settled = self.debounce.take(Instant::now());
        settled
            .into_iter()
            .fold(false, |changed, (line, level, at)| {
                self.settle(line, level, at) || changed
            })
    }

    /// Takes over the level of an input; whether it is another one.
    fn settle(&mut self, line: usize, level: bool, at: Stamp) -> bool {
        if self.levels.insert(line, level) == Some(level) {
            return false;
        }
        for (number, point) in self.points.iter().enumerate() {
            if point.input == Some(line) {
                self.news.insert(
                    number,
                    Sample::good(point.address, Value::Boolean(level), at),
                );
            }
        }
        true
    }

    fn before(&self, age: Duration) -> Stamp {
        let now = self.clock.stamp();
        Stamp {
            mono: now.mono.saturating_sub(age),
            ..now
        }
    }

    /// Waits until all contacts have followed, and says which have not.
    async fn confirm(&mut self, driven: &[(usize, bool)]) -> Result<(), Fault> {
        let start = Instant::now();
        for &(number, level) in driven {
            let Some(contact) = self.points[number].input else {
                continue;
            };
            let deadline = start + self.points[number].within;
            while self.levels.get(&contact) != Some(&level) {
                match timeout_at(deadline, self.change()).await {
                    Ok(change) => change?,
                    Err(_) => return Err(self.disagreement(number, level)),
                }
            }
        }
        Ok(())
    }

    fn disagreement(&self, number: usize, level: bool) -> Fault {
        let point = &self.points[number];
        let name = |line: Option<usize>| line.map_or("?", |line| self.lines[line].name.as_str());
        let state = |on: bool| if on { "on" } else { "off" };
        Fault::Device(format!(
            "feedback {} is still {} {} ms after {} was switched {}",
            name(point.input),
            state(!level),
            point.within.as_millis(),
            name(point.output),
            state(level),
        ))
    }

    /// Which points are to be driven how, in percent; refuses the whole Write where one cannot.
    fn plan(&self, values: &[Assignment]) -> Result<Vec<(usize, u8)>, Fault> {
        let drive = |assignment: &Assignment| {
            let found =
                |point: &Point| point.address == assignment.address && point.output.is_some();
            let number = self
                .points
                .iter()
                .position(found)
                .ok_or(Fault::Unsupported)?;
            match (&assignment.value, self.points[number].pwm) {
                (Value::Boolean(level), _) => Ok((number, if *level { 100 } else { 0 })),
                (value, Some(_)) => match value.as_f64() {
                    // Whole: rounded, and within.
                    Some(level) if (0.0..=100.0).contains(&level) => {
                        Ok((number, level.round() as u8))
                    }
                    Some(_) | None => Err(Fault::BadValue("a level is 0 to 100".to_owned())),
                },
                (_, None) => Err(Fault::BadValue("a line is on or off".to_owned())),
            }
        };
        values.iter().map(drive).collect()
    }

    /// The value of a point now.
    fn sample(&self, point: &Point) -> Option<Sample> {
        let value = match point.input {
            Some(line) => Value::Boolean(self.levels.get(&line).copied()?),
            None => point.told()?,
        };
        Some(Sample::good(point.address, value, self.clock.stamp()))
    }

    /// Switches what is switched together, and dims what is dimmed.
    fn drive(&mut self, plan: &[(usize, u8)]) -> Result<(), Fault> {
        let mut levels = Vec::new();
        for &(number, percent) in plan {
            let point = &self.points[number];
            let Some(line) = point.output else { continue };
            match point.pwm {
                Some(hertz) => self
                    .backend
                    .dim((line, &self.lines[line]), hertz, percent)?,
                None => levels.push((line, percent > 0)),
            }
        }
        if levels.is_empty() {
            return Ok(());
        }
        self.backend.drive(&self.lines, &levels)
    }
}

impl<L: Lines> Adapter for Gpio<L> {
    fn declared(&self) -> Vec<Declaration> {
        let declare = |point: &Point| Declaration {
            address: point.address,
            operations: Operations {
                read: true,
                write: point.output.is_some(),
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
        self.open()?;
        // Edges that wait are newer than the known level.
        while let Ok(change) = timeout_at(Instant::now(), self.change()).await {
            change?;
        }
        let wanted = |point: &&Point| {
            point.address.instance() == instance && resources.contains(&point.address.path.resource)
        };
        let samples: Vec<Sample> = self
            .points
            .iter()
            .filter(wanted)
            .filter_map(|point| self.sample(point))
            .collect();
        if samples.is_empty() {
            Err(Fault::NoValue)
        } else {
            Ok(samples)
        }
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        let plan = self.plan(values)?;
        if plan
            .iter()
            .any(|&(number, _)| self.points[number].input.is_some())
        {
            self.open()?;
        }
        self.drive(&plan)?;
        for &(number, percent) in &plan {
            let point = &mut self.points[number];
            (point.driven, point.percent) = (Some(percent > 0), percent);
        }
        let switched: Vec<(usize, bool)> = plan
            .iter()
            .map(|&(number, percent)| (number, percent > 0))
            .collect();
        let confirmed = self.confirm(&switched).await;
        for &(number, _) in &plan {
            if let Some(sample) = self.sample(&self.points[number]) {
                self.news.insert(number, sample);
            }
        }
        confirmed
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        self.open()?;
        while self.news.is_empty() {
            self.change().await?;
        }
        Ok(Wake::News(
            std::mem::take(&mut self.news).into_values().collect(),
        ))
    }
}

impl<L: Lines> Drop for Gpio<L> {
    fn drop(&mut self) {
        // Pulses end with us: what was dimmed is on or off afterwards.
        let exit = |point: &Point| match (point.exit, point.pwm) {
            (None, Some(_)) => point.driven,
            (exit, _) => exit,
        };
        let plan: Vec<(usize, u8)> = self
            .points
            .iter()
            .enumerate()
            .filter(|(_, point)| point.driven.is_some())
            .filter_map(|(number, point)| Some((number, if exit(point)? { 100 } else { 0 })))
            .collect();
        if let Err(error) = self.drive(&plan) {
            tracing::warn!(%error, "Outputs stay as they are");
        }
    }
}

impl Point {
    /// What it was told to do.
    fn told(&self) -> Option<Value> {
        let driven = self.driven?;
        Some(match self.pwm {
            Some(_) => Value::Integer(i64::from(self.percent)),
            None => Value::Boolean(driven),
        })
    }

    fn new(config: &GpioPoint, lines: &mut Vec<Line>) -> Self {
        let mut add = |line: Line| {
            lines.push(line);
            lines.len() - 1
        };
        let own = add(Line {
            name: config.line.clone(),
            direction: config.direction,
            active_low: config.active_low,
            bias: config.bias,
            drive: config.drive,
            debounce: config.debounce,
        });
        let contact = config.feedback.as_ref().map(|feedback| {
            add(Line {
                name: feedback.line.clone(),
                direction: Direction::Input,
                active_low: feedback.active_low,
                bias: feedback.bias,
                drive: Drive::default(),
                debounce: feedback.debounce,
            })
        });
        let (output, input) = match config.direction {
            Direction::Input => (None, Some(own)),
            Direction::Output => (Some(own), contact),
        };
        let within = config
            .feedback
            .as_ref()
            .map_or(Duration::ZERO, |feedback| feedback.within);
        Self {
            address: config.address,
            output,
            input,
            within,
            driven: None,
            exit: config.exit,
            pwm: config.pwm,
            percent: 0,
        }
    }
}

impl GpioPoint {
    /// An input without any peculiarity.
    pub fn input(address: ResourceAddress, line: impl Into<String>) -> Self {
        Self {
            address,
            line: line.into(),
            direction: Direction::Input,
            active_low: false,
            bias: Bias::default(),
            debounce: Duration::ZERO,
            drive: Drive::default(),
            exit: None,
            pwm: None,
            feedback: None,
        }
    }

    /// An output without any peculiarity.
    pub fn output(address: ResourceAddress, line: impl Into<String>) -> Self {
        Self {
            direction: Direction::Output,
            ..Self::input(address, line)
        }
    }
}

/// How long ago something happened that the kernel stamped with its monotonic clock.
#[cfg(any(feature = "gpio-cdev", feature = "gpio-rppal"))]
fn age_of(stamp: Duration) -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, |now| {
        Duration::from(now).saturating_sub(stamp)
    })
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
