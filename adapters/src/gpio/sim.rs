//! Lines without hardware, for trials, the demo and tests: whoever holds the [`SimPins`] sees what
//! is driven and plays the world on the inputs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lamplighter_model::device::Fault;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Bias, Direction, Edge, Line, Lines};

/// Transitions kept for looking back, and edges waiting for the adapter, in all.
const HISTORY: usize = 4096;

/// The outside of the simulated lines; clones show the same lines. Levels are physical: `true` is
/// high voltage, whatever the adapter is told about active-low.
#[derive(Clone, Debug, Default)]
pub struct SimPins(Arc<Shared>);

/// The adapter's side of the simulated lines.
#[derive(Debug)]
pub struct SimLines {
    pins: SimPins,
    watched: Vec<(usize, Line)>,
    /// The number of the last change of each line.
    told: BTreeMap<String, u32>,
}

/// A change of a line, or its first drive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transition {
    pub line: String,
    pub level: bool,
    pub at: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    pins: Mutex<Pins>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Pins {
    levels: BTreeMap<String, bool>,
    /// Outputs that were driven.
    driven: BTreeMap<String, bool>,
    /// Outputs that are dimmed, in percent of the time at high voltage.
    dimmed: BTreeMap<String, u8>,
    history: VecDeque<Transition>,
    /// Each with its number among those of its line.
    edges: VecDeque<(u32, Transition)>,
    numbers: BTreeMap<String, u32>,
    /// Changes of inputs to come.
    coming: Vec<Transition>,
    wires: Vec<Wire>,
    broken: Option<String>,
}

/// A contact that follows an output.
#[derive(Debug)]
struct Wire {
    output: String,
    input: String,
    delay: Duration,
    inverted: bool,
}

impl SimPins {
    /// The adapter's side.
    pub fn lines(&self) -> SimLines {
        SimLines {
            pins: self.clone(),
            watched: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Puts a voltage on an input.
    pub fn set_input(&self, line: &str, level: bool) {
        self.lock().set_input(line, level, Instant::now());
        self.0.news.notify_one();
    }

    /// Lets an input change at times from now on: a contact that bounces.
    pub fn set_input_later(&self, line: &str, changes: &[(Duration, bool)]) {
        let now = Instant::now();
        let coming = changes.iter().map(|&(after, level)| Transition {
            line: line.to_owned(),
            level,
            at: now + after,
        });
        self.lock().coming.extend(coming);
        self.0.news.notify_one();
    }

    /// Connects an input to an output: it follows after `delay`.
    pub fn wire(&self, output: &str, input: &str, delay: Duration, inverted: bool) {
        let wire = Wire {
            output: output.to_owned(),
            input: input.to_owned(),
            delay,
            inverted,
        };
        self.lock().wires.push(wire);
    }

    /// Cuts all wires to an input: a contact that is stuck.
    pub fn cut(&self, input: &str) {
        self.lock().wires.retain(|wire| wire.input != input);
    }

    /// The voltage that an output drives; `None` as long as nobody has driven it.
    pub fn driven(&self, line: &str) -> Option<bool> {
        self.lock().driven.get(line).copied()
    }

    /// The part of the time, in percent, that an output is at high voltage; `None` where it is not
    /// dimmed.
    pub fn dimmed(&self, line: &str) -> Option<u8> {
        self.lock().dimmed.get(line).copied()
    }

    /// All changes of a line, oldest first, the first drive included: an output without a glitch
    /// shows only what was commanded.
    pub fn transitions(&self, line: &str) -> Vec<Transition> {
        self.lock()
            .history
            .iter()
            .filter(|transition| transition.line == line)
            .cloned()
            .collect()
    }

    /// Takes the lines away, with words, or gives them back.
    pub fn break_down(&self, words: Option<&str>) {
        self.lock().broken = words.map(str::to_owned);
        self.0.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pins> {
        self.0.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pins {
    fn set_input(&mut self, line: &str, level: bool, at: Instant) {
        if self.levels.insert(line.to_owned(), level) == Some(level) {
            return;
        }
        let transition = Transition {
            line: line.to_owned(),
            level,
            at,
        };
        let number = self.numbers.entry(line.to_owned()).or_default();
        *number += 1;
        push(&mut self.edges, (*number, transition.clone()));
        push(&mut self.history, transition);
    }

    fn drive(&mut self, line: &str, level: bool, at: Instant) {
        if self.driven.insert(line.to_owned(), level) == Some(level) {
            return;
        }
        push(
            &mut self.history,
            Transition {
                line: line.to_owned(),
                level,
                at,
            },
        );
        let following = self
            .wires
            .iter()
            .filter(|wire| wire.output == line)
            .map(|wire| Transition {
                line: wire.input.clone(),
                level: level != wire.inverted,
                at: at + wire.delay,
            });
        self.coming.extend(following);
    }

    /// Lets what was to come happen up to now.
    fn advance(&mut self, now: Instant) {
        let (mut due, later): (Vec<_>, Vec<_>) =
            self.coming.drain(..).partition(|change| change.at <= now);
        self.coming = later;
        due.sort_by_key(|change| change.at);
        for Transition { line, level, at } in due {
            self.set_input(&line, level, at);
        }
    }

    fn is_whole(&self) -> Result<(), Fault> {
        match &self.broken {
            Some(words) => Err(Fault::Device(words.clone())),
            None => Ok(()),
        }
    }
}

impl Lines for SimLines {
    const DEBOUNCES: bool = false;

    fn open(&mut self, lines: &[Line]) -> Result<Vec<(usize, bool)>, Fault> {
        let mut pins = self.pins.lock();
        pins.is_whole()?;
        pins.advance(Instant::now());
        pins.edges.clear();
        self.told.clone_from(&pins.numbers);
        let inputs = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.direction == Direction::Input);
        self.watched = inputs
            .map(|(number, line)| (number, line.clone()))
            .collect();
        let level = |(number, line): &(usize, Line)| {
            let pulled = line.bias == Bias::PullUp;
            let level = *pins.levels.entry(line.name.clone()).or_insert(pulled);
            (*number, level != line.active_low)
        };
        Ok(self.watched.iter().map(level).collect())
    }

    fn drive(&mut self, lines: &[Line], levels: &[(usize, bool)]) -> Result<(), Fault> {
        let mut pins = self.pins.lock();
        pins.is_whole()?;
        for &(number, level) in levels {
            let line = lines.get(number).ok_or(Fault::Unsupported)?;
            pins.drive(&line.name, level != line.active_low, Instant::now());
        }
        Ok(())
    }

    fn dim(&mut self, (_, line): (usize, &Line), _: u16, percent: u8) -> Result<(), Fault> {
        let mut pins = self.pins.lock();
        pins.is_whole()?;
        let high = if line.active_low {
            100 - percent
        } else {
            percent
        };
        pins.dimmed.insert(line.name.clone(), high);
        Ok(())
    }

    async fn edge(&mut self) -> Result<Edge, Fault> {
        loop {
            let next = {
                let mut pins = self.pins.lock();
                pins.is_whole()?;
                pins.advance(Instant::now());
                while let Some((number, Transition { line, level, at })) = pins.edges.pop_front() {
                    let watched = self
                        .watched
                        .iter()
                        .find(|(_, watched)| watched.name == line);
                    let last = self.told.insert(line.clone(), number).unwrap_or(0);
                    if let Some((at_line, line)) = watched {
                        return Ok(Edge {
                            missed: number.saturating_sub(last + 1),
                            line: *at_line,
                            level: level != line.active_low,
                            age: at.elapsed(),
                        });
                    }
                }
                pins.coming.iter().map(|change| change.at).min()
            };
            let alarm = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.pins.0.news.notified() => {}
                () = alarm => {}
            }
        }
    }
}

/// The oldest goes when there is no room, as in the kernel.
fn push<T>(queue: &mut VecDeque<T>, one: T) {
    if queue.len() >= HISTORY {
        queue.pop_front();
    }
    queue.push_back(one);
}
