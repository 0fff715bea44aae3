//! The adapter of one Modbus device: what is due, reading it in the planned requests, writing and
//! reading back.

mod poll;
mod write;

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Fault, LinkState},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info, warn};

use self::{
    poll::{Poll, Turnaround},
    write::Write,
};
use super::{
    bus::{Answered, Ask, BusError, BusHandle, BusSettings, BusState, Class},
    config::{DeviceConfig, Problem},
    frame::{ExceptionCode, Reply, Request},
    health::Health,
    plan::{CostModel, RegisterRange},
};
use crate::{Adapter, Clock, Wake};

/// One device on a line.
///
/// [`Adapter::wait`] names one instance of each request that is due; [`Adapter::read`] gives the
/// samples of everything that the request brings, other instances included.
#[derive(Debug)]
pub struct ModbusDevice {
    config: Arc<DeviceConfig>,
    bus: BusHandle,
    line: watch::Receiver<BusState>,
    clock: Clock,
    polls: Vec<Poll>,
    /// What a read costs and what the device takes, as far as is known by now.
    cost: CostModel,
    /// As it was before anything was learned.
    configured_cost: CostModel,
    /// When what was refused is asked for again.
    forget_at: Option<Instant>,
    turnaround: Turnaround,
    /// When each point is to be told of again; some are read more often than they must be.
    told: Vec<Instant>,
    /// It refuses function 22.
    lacks_mask_write: bool,
    health: Health,
    /// Of the last write.
    read_back: Vec<Sample>,
    /// The next read is the probe that `wait` announced.
    probing: bool,
    /// A request whose future was dropped leaves this set.
    unfinished: bool,
    stats: watch::Sender<DeviceStats>,
}

/// State and counters of a device since the start, for `status`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceStats {
    pub state: LinkState,
    pub answers: u64,
    pub timeouts: u64,
    /// Answers that were none.
    pub garbled: u64,
    /// Requests that failed because the line was down.
    pub line_down: u64,
    /// Refusals by exception code.
    pub exceptions: BTreeMap<u8, u64>,
    /// Of the last answer, from the first byte sent to the last received.
    pub round_trip: Duration,
    /// What the device does not give together, or not at all, as it was found out.
    pub refused: Vec<RegisterRange>,
}

/// A device that says that it is busy is asked again, so often and after such a pause.
const BUSY_ATTEMPTS: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// A command that had to wait longer in the queue is not sent (design: answered within 4 s).
const COMMAND_EXPIRES: Duration = Duration::from_secs(4);

impl ModbusDevice {
    /// The adapter of a device on the line that `bus` leads to. Must be called inside a tokio
    /// runtime. `seed` spreads its probes.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn new(
        config: impl Into<Arc<DeviceConfig>>,
        bus: BusHandle,
        settings: &BusSettings,
        clock: Clock,
        seed: u64,
    ) -> Result<Self, Vec<Problem>> {
        let config = config.into();
        let problems = config.problems(settings);
        if !problems.is_empty() {
            return Err(problems);
        }
        let stats = DeviceStats {
            state: LinkState::Starting,
            answers: 0,
            timeouts: 0,
            garbled: 0,
            line_down: 0,
            exceptions: BTreeMap::new(),
            round_trip: Duration::ZERO,
            refused: Vec::new(),
        };
        let mut line = bus.state();
        line.mark_unchanged();
        Ok(Self {
            polls: poll::spread(config.plan(settings).requests, config.unit),
            cost: config.cost(settings),
            configured_cost: config.cost(settings),
            forget_at: None,
            turnaround: Turnaround::default(),
            told: vec![Instant::now(); config.points.len()],
            lacks_mask_write: false,
            health: Health::new(&config, seed ^ u64::from(config.unit)),
            line,
            bus,
            clock,
            read_back: Vec::new(),
            probing: false,
            unfinished: false,
            stats: watch::Sender::new(stats),
            config,
        })
    }

    /// State and counters; they go on changing when the device has moved into its task.
    pub fn stats(&self) -> watch::Receiver<DeviceStats> {
        self.stats.subscribe()
    }

    async fn ask(&mut self, request: Request, class: Class) -> Result<Reply, Fault> {
        match self.try_ask(&request, class).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.on_error(&error, &request)),
        }
    }

    /// Asks until the device answers, in its configured attempts.
    async fn try_ask(&mut self, request: &Request, class: Class) -> Result<Reply, BusError> {
        let (mut failed, mut busy) = (0, 0);
        let offline = self.health.is_offline();
        let retries = if offline {
            0
        } else {
            u32::from(self.config.retries)
        };
        loop {
            let result = self.bus.ask(self.ask_of(request, class)).await;
            self.count(&result);
            match result {
                Ok(answered) => {
                    self.on_answer(answered.round_trip);
                    self.measure(request, answered.round_trip);
                    return Ok(answered.reply);
                }
                Err(BusError::Exception(code)) if code.is_busy() && busy < BUSY_ATTEMPTS => {
                    busy += 1;
                    sleep(BUSY_PAUSE).await;
                }
                Err(BusError::Down | BusError::Garbled | BusError::Timeout) if failed < retries => {
                    failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn ask_of(&self, request: &Request, class: Class) -> Ask {
        let timeout = match class {
            Class::Command | Class::Guest | Class::Poll => self.config.timeout,
            Class::Probe => self.health.probe_timeout(self.config.timeout),
        };
        Ask {
            unit: self.config.unit,
            request: request.clone(),
            class,
            timeout,
            late_timeout: self.config.timeout,
            expires: (class == Class::Command).then(|| Instant::now() + COMMAND_EXPIRES),
        }
    }

    fn on_answer(&mut self, round_trip: Duration) {
        if self.health.on_answer(round_trip) {
            info!(device = self.config.name, "Device is back");
            // It may be another one of its kind.
            self.forget_refusals();
            let now = Instant::now();
            self.polls.iter_mut().for_each(|poll| poll.due = now);
            self.told.fill(now);
        }
        self.publish_state();
    }

    fn on_error(&mut self, error: &BusError, request: &Request) -> Fault {
        match error {
            BusError::Exception(code) if code.is_gateway() => {
                self.on_failure(error);
                Fault::Unreachable
            }
            BusError::Exception(code) => {
                self.on_answer(Duration::ZERO);
                refusal(*code, request)
            }
            BusError::Garbled | BusError::Timeout => {
                self.on_failure(error);
                Fault::Timeout
            }
            BusError::Down => {
                self.on_failure(error);
                Fault::Unreachable
            }
            // Neither says anything about the device.
            BusError::Deferred => Fault::Unreachable,
            BusError::Expired | BusError::Full => Fault::Busy,
            BusError::Invalid(error) => Fault::BadValue(error.to_string()),
        }
    }

    fn on_failure(&mut self, error: &BusError) {
        if self.health.on_failure(Instant::now()) {
            warn!(device = self.config.name, %error, "Device is offline");
        } else {
            debug!(device = self.config.name, %error, "Request failed");
        }
        self.publish_state();
    }

    fn publish_state(&self) {
        let state = self.health.state();
        self.stats
            .send_if_modified(|stats| mem::replace(&mut stats.state, state) != state);
    }

    fn count(&self, result: &Result<Answered, BusError>) {
        self.stats.send_if_modified(|stats| {
            match result {
                Ok(answered) => {
                    stats.answers += 1;
                    stats.round_trip = answered.round_trip;
                }
                Err(BusError::Exception(code)) => *stats.exceptions.entry(code.0).or_default() += 1,
                Err(BusError::Garbled) => stats.garbled += 1,
                Err(BusError::Timeout) => stats.timeouts += 1,
                Err(BusError::Down) => stats.line_down += 1,
                Err(
                    BusError::Deferred | BusError::Expired | BusError::Full | BusError::Invalid(_),
                ) => {}
            }
            false
        });
    }

    /// A request that was dropped at its deadline had no answer until then.
    fn begin(&mut self) {
        if mem::replace(&mut self.unfinished, true) {
            self.on_failure(&BusError::Expired);
        }
    }

    /// Waits until an offline device is to be probed: after its pause, or when the line is back.
    async fn wait_to_probe(&mut self) -> Option<Wake> {
        tokio::select! {
            () = sleep_until(self.health.probe_at()) => {}
            changed = self.line.changed() => {
                if changed.is_err() {
                    // The owner of the line has ended, and with it the product.
                    return std::future::pending().await;
                }
                if self.line.borrow_and_update().open {
                    self.health.on_line_open(Instant::now());
                }
                return None;
            }
        }
        self.health.on_probe(Instant::now());
        self.probing = true;
        let cheapest =
            (0..self.polls.len()).min_by_key(|index| self.polls[*index].request.line_time)?;
        self.due(cheapest)
    }
}

impl Adapter for ModbusDevice {
    fn declared(&self) -> Vec<Declaration> {
        let points = self.config.points.iter();
        points
            .map(|point| Declaration {
                address: point.address,
                operations: point.operations,
            })
            .collect()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let probing = mem::take(&mut self.probing);
        if self.health.is_offline() && !probing {
            return Err(Fault::Unreachable);
        }
        let class = if self.health.is_offline() {
            Class::Probe
        } else {
            Class::Poll
        };
        self.begin();
        let polls = self.polls_for(instance, resources);
        if polls.is_empty() && !probing {
            let samples = self.read_refused(instance, resources).await;
            self.unfinished = false;
            return samples;
        }
        let (mut samples, mut fault) = (Vec::new(), Fault::NoValue);
        let wanted = |address: ResourceAddress| {
            address.instance() == instance && resources.contains(&address.path.resource)
        };
        for planned in polls {
            match self.poll(&planned, class, wanted).await {
                Ok(more) => samples.extend(more),
                Err(why) => {
                    let silent = matches!(why, Fault::Timeout | Fault::Unreachable);
                    fault = why;
                    // A device that is silent would be silent to the rest as well.
                    if silent {
                        break;
                    }
                }
            }
        }
        self.unfinished = false;
        if samples.is_empty() {
            Err(fault)
        } else {
            Ok(samples)
        }
    }

    async fn write(&mut self, values: &[Assignment]) -> Result<(), Fault> {
        let config = Arc::clone(&self.config);
        let writes: Vec<Write<'_>> = values
            .iter()
            .map(|assignment| Write::prepare(&config, assignment))
            .collect::<Result<_, _>>()?;
        self.begin();
        self.read_back.clear();
        let mut done = Ok(());
        for write in &writes {
            done = self.carry_out(write).await;
            if done.is_err() {
                break;
            }
            let is_known = |sample: &Sample| sample.address == write.point.address;
            if !self.read_back.iter().any(is_known) {
                self.read_soon(write.point.address);
            }
        }
        self.unfinished = false;
        done
    }

    fn take_read_back(&mut self) -> Vec<Sample> {
        mem::take(&mut self.read_back)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        loop {
            let wake = if self.health.is_offline() {
                self.wait_to_probe().await
            } else {
                self.wait_for_poll().await
            };
            if let Some(wake) = wake {
                return Ok(wake);
            }
        }
    }
}

/// What the device's own refusal means for who asked.
fn refusal(code: ExceptionCode, request: &Request) -> Fault {
    let is_write = !matches!(request, Request::Read { .. });
    match code.0 {
        1 | 2 => Fault::Unsupported,
        3 if is_write => Fault::BadValue(code.to_string()),
        5 | 6 => Fault::Busy,
        _ => Fault::Device(code.to_string()),
    }
}
