//! The adapter of one Modbus device: what is due, reading it in the planned requests, writing and
//! reading back.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use lamplighter_model::{
    Decimal, InstanceAddress, ResourceAddress, ResourceId, Sample, Value,
    device::{Assignment, Declaration, Fault, LinkState},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info, warn};

use super::{
    bus::{Answered, Ask, BusError, BusHandle, BusSettings, BusState, Class},
    codec::{CodecError, RegisterType},
    config::{DeviceConfig, PointConfig, Problem, Verify, WriteFunction},
    frame::{ExceptionCode, Reply, Request},
    health::Health,
    plan::{PlannedRequest, RegisterRange},
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
    health: Health,
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
}

/// A planned request and when it is due.
#[derive(Debug)]
struct Poll {
    request: PlannedRequest,
    /// Its place within the period, so that the requests of a line spread over it.
    slot: Instant,
    due: Instant,
}

/// One point's part of a Write, laid out.
struct Write<'a> {
    point: &'a PointConfig,
    value: &'a Value,
    request: Request,
}

/// The first reads come soon after the start, whatever their period.
const FIRST_READS_WITHIN: Duration = Duration::from_secs(2);
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
        config: DeviceConfig,
        bus: BusHandle,
        settings: &BusSettings,
        clock: Clock,
        seed: u64,
    ) -> Result<Self, Vec<Problem>> {
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
        };
        let mut line = bus.state();
        line.mark_unchanged();
        Ok(Self {
            polls: spread(config.plan(settings).requests, config.unit),
            health: Health::new(&config, seed ^ u64::from(config.unit)),
            line,
            bus,
            clock,
            probing: false,
            unfinished: false,
            stats: watch::Sender::new(stats),
            config: Arc::new(config),
        })
    }

    /// State and counters; they go on changing when the device has moved into its task.
    pub fn stats(&self) -> watch::Receiver<DeviceStats> {
        self.stats.subscribe()
    }

    /// Reads one planned request.
    async fn poll(&mut self, index: usize, class: Class) -> Result<Vec<Sample>, Fault> {
        let range = self.polls[index].request.range;
        let reply = self.ask(read_of(range), class).await?;
        let at = self.clock.stamp();
        let points = self.polls[index]
            .request
            .points
            .iter()
            .map(|point| &self.config.points[*point]);
        let samples = points.filter_map(|point| {
            let own = point.read_range(self.config.addressing)?;
            let (value, quality) = decode(point, &reply, usize::from(own.at - range.at))?;
            Some(Sample {
                quality,
                ..Sample::good(point.address, value, at)
            })
        });
        Ok(samples.collect())
    }

    /// Asks until the device answers, in its configured attempts.
    async fn ask(&mut self, request: Request, class: Class) -> Result<Reply, Fault> {
        let (mut failed, mut busy) = (0, 0);
        let offline = self.health.is_offline();
        let retries = if offline {
            0
        } else {
            u32::from(self.config.retries)
        };
        loop {
            let result = self.bus.ask(self.ask_of(&request, class)).await;
            self.count(&result);
            match result {
                Ok(answered) => {
                    self.on_answer(answered.round_trip);
                    return Ok(answered.reply);
                }
                Err(BusError::Exception(code)) if code.is_busy() && busy < BUSY_ATTEMPTS => {
                    busy += 1;
                    sleep(BUSY_PAUSE).await;
                }
                Err(BusError::Down | BusError::Garbled | BusError::Timeout) if failed < retries => {
                    failed += 1
                }
                Err(error) => return Err(self.on_error(&error, &request)),
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
            let now = Instant::now();
            self.polls.iter_mut().for_each(|poll| poll.due = now);
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

    /// The planned requests that bring these resources.
    fn polls_for(&self, instance: InstanceAddress, resources: &[ResourceId]) -> BTreeSet<usize> {
        let wanted = |address: ResourceAddress| {
            address.instance() == instance && resources.contains(&address.path.resource)
        };
        let points = &self.config.points;
        let serves = |poll: &Poll| {
            poll.request
                .points
                .iter()
                .any(|point| wanted(points[*point].address))
        };
        (0..self.polls.len())
            .filter(|index| serves(&self.polls[*index]))
            .collect()
    }

    fn due(&self, index: usize) -> Option<Wake> {
        let points = &self.polls[index].request.points;
        let addresses = || {
            points
                .iter()
                .map(|point| self.config.points[*point].address)
        };
        let instance = addresses().next()?.instance();
        let resources = addresses().filter(|address| address.instance() == instance);
        Some(Wake::Due(
            instance,
            resources.map(|address| address.path.resource).collect(),
        ))
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

    async fn wait_for_poll(&mut self) -> Option<Wake> {
        let Some(next) = (0..self.polls.len()).min_by_key(|index| self.polls[*index].due) else {
            return std::future::pending().await;
        };
        sleep_until(self.polls[next].due).await;
        self.polls[next].reschedule(Instant::now());
        self.due(next)
    }

    /// Lays out a Write; nothing is sent yet.
    fn prepare<'a>(
        config: &'a DeviceConfig,
        assignment: &'a Assignment,
    ) -> Result<Write<'a>, Fault> {
        let value = &assignment.value;
        let point = config
            .points
            .iter()
            .find(|point| point.address == assignment.address && point.write.is_some());
        let (Some(point), None) = (point, assignment.index) else {
            return Err(Fault::Unsupported);
        };
        let (Some(write), Some(range)) = (point.write, point.write_range(config.addressing)) else {
            return Err(Fault::Unsupported);
        };
        let refused = |error: CodecError| Fault::BadValue(error.to_string());
        let request = if point.codec.kind == RegisterType::Bool {
            let on = point.codec.encode_bit(value).map_err(refused)?;
            match write.function {
                WriteFunction::Auto | WriteFunction::Single => {
                    Request::WriteCoil { at: range.at, on }
                }
                WriteFunction::Multiple => Request::WriteCoils {
                    at: range.at,
                    on: vec![on],
                },
            }
        } else {
            let values = point.codec.encode(value).map_err(refused)?;
            match (write.function, values.as_slice()) {
                (WriteFunction::Auto | WriteFunction::Single, [value]) => Request::WriteRegister {
                    at: range.at,
                    value: *value,
                },
                (WriteFunction::Auto | WriteFunction::Single | WriteFunction::Multiple, _) => {
                    Request::WriteRegisters {
                        at: range.at,
                        values,
                    }
                }
            }
        };
        Ok(Write {
            point,
            value,
            request,
        })
    }

    async fn verify(
        &mut self,
        point: &PointConfig,
        verify: Verify,
        value: &Value,
        written: &Request,
    ) -> Result<(), Fault> {
        sleep(verify.settle).await;
        let addressing = self.config.addressing;
        let Some(range) = point
            .read_range(addressing)
            .or_else(|| point.write_range(addressing))
        else {
            return Err(Fault::Unsupported);
        };
        let reply = self.ask(read_of(range), Class::Command).await?;
        if is_as_written(&reply, written) {
            return Ok(());
        }
        let read = decode(point, &reply, 0).map(|(read, _)| read);
        let near = verify
            .tolerance
            .zip(read.as_ref())
            .is_some_and(|(tolerance, read)| is_near(read, value, tolerance));
        if near {
            return Ok(());
        }
        Err(Fault::Device(
            "the device does not read back what was written".to_owned(),
        ))
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
        let (mut samples, mut fault) = (Vec::new(), Fault::NoValue);
        for index in self.polls_for(instance, resources) {
            match self.poll(index, class).await {
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
            .map(|assignment| Self::prepare(&config, assignment))
            .collect::<Result<_, _>>()?;
        self.begin();
        let mut done = Ok(());
        for Write {
            point,
            value,
            request,
        } in &writes
        {
            done = self.ask(request.clone(), Class::Command).await.map(drop);
            if let (Ok(()), Some(verify)) = (&done, point.write.and_then(|write| write.verify)) {
                done = self.verify(point, verify, value, request).await;
            }
            if done.is_err() {
                break;
            }
            self.read_soon(point.address);
        }
        self.unfinished = false;
        done
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

impl ModbusDevice {
    /// What was written shows up without waiting for its turn.
    fn read_soon(&mut self, address: ResourceAddress) {
        let now = Instant::now();
        for index in self.polls_for(address.instance(), &[address.path.resource]) {
            self.polls[index].due = now;
        }
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
fn spread(requests: Vec<PlannedRequest>, unit: u8) -> Vec<Poll> {
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

fn read_of(range: RegisterRange) -> Request {
    Request::Read {
        table: range.table,
        at: range.at,
        count: range.count,
    }
}

fn decode(
    point: &PointConfig,
    reply: &Reply,
    offset: usize,
) -> Option<(Value, lamplighter_model::Quality)> {
    match reply {
        Reply::Bits(bits) => Some(point.codec.decode_bit(*bits.get(offset)?)),
        Reply::Registers(registers) => point
            .codec
            .decode(registers.get(offset..offset + usize::from(point.codec.kind.width()))?),
        Reply::Written => None,
    }
}

fn is_as_written(read: &Reply, written: &Request) -> bool {
    match (read, written) {
        (Reply::Bits(bits), Request::WriteCoil { on, .. }) => bits == &[*on],
        (Reply::Bits(bits), Request::WriteCoils { on, .. }) => bits == on,
        (Reply::Registers(registers), Request::WriteRegister { value, .. }) => {
            registers == &[*value]
        }
        (Reply::Registers(registers), Request::WriteRegisters { values, .. }) => {
            registers == values
        }
        (Reply::Bits(_) | Reply::Registers(_) | Reply::Written, _) => false,
    }
}

fn is_near(read: &Value, wanted: &Value, tolerance: Decimal) -> bool {
    let (Some(read), Some(wanted)) = (read.as_f64(), wanted.as_f64()) else {
        return false;
    };
    // Half a millionth of the tolerance for what floats cannot hold exactly.
    (read - wanted).abs() <= tolerance.to_f64() * (1.0 + 5e-7)
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
