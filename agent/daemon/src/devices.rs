//! From the configuration to running adapters: the one list of adapter kinds.
//!
//! Each bus gets a task that owns it, each device an adapter under its own supervisor. Nothing is
//! opened here; lines are opened by their owners, again and again.

mod counter;
mod gpio;
mod keep;
mod location;
pub(crate) mod meter;
pub(crate) mod modbus;
mod mqtt;
mod remote;
mod s0;
mod workshop;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lamplighter_adapters::{
    Adapter, Clock,
    modbus::{BusHandle, BusSettings},
    sim::{Form, Sim, SimPoint},
    supervise::{Handles, Health, Limits, Port, supervise},
    w1::Files,
};
use lamplighter_model::device::{AdapterEvent, AdapterId, LinkState};
use tokio::{runtime::Handle, sync::watch};

pub(crate) use keep::Kept;
use keep::{Mark, Running, RunningBus, Task};
use workshop::Workshop;

use crate::{
    bearer::objects::{self, Objects},
    commission::{Commission, Meters},
    config::{BusId, Config, Device, DeviceKind},
    status::{Status, WearSource},
    system::{self, Counters, Parts, System},
    update::object,
};

/// How often simulated values are told.
const SIM_PERIOD: Duration = Duration::from_secs(1);

/// All adapters and the tasks that serve them; the tasks end with it.
#[derive(Debug, Default)]
pub struct Devices {
    /// For people who look around on a line.
    pub(crate) commission: Arc<Commission>,
    pub handles: Handles,
    buses: BTreeMap<String, RunningBus>,
    /// Adapters that could go on over a reload.
    running: BTreeMap<AdapterId, Running>,
    /// All others.
    tasks: Vec<Task>,
    /// Behind what works there.
    workshop: Option<Workshop>,
}

/// What every family needs to be started.
struct Starter<'a> {
    /// The way to the broker; `None` where no device needs one.
    broker: Option<Result<mqtt::Way, String>>,
    buses: BTreeMap<BusId, (BusHandle, BusSettings)>,
    clock: Clock,
    config: &'a Config,
    /// How each device answers.
    counters: BTreeMap<AdapterId, Counters>,
    devices: Devices,
    /// Of the life before.
    kept: Kept,
    /// Of meters that share them; `None` while one is being made.
    lines: Option<meter::Lines>,
    /// For people who read them out.
    meters: Meters,
    seed: u64,
    /// Where programs come in; `None` where none is to be served.
    socket: Option<Result<remote::Entrance, String>>,
    state_dir: PathBuf,
    /// The ways of programs to their devices.
    ways: BTreeMap<String, remote::Way>,
    /// Of adapters that count their errors.
    wear: BTreeMap<AdapterId, WearSource>,
}

/// The adapter of the box itself, behind the configured ones.
pub fn system_id(config: &Config) -> AdapterId {
    AdapterId(u16::try_from(config.devices.len()).unwrap_or(u16::MAX))
}

/// That of its bearers, behind it.
pub fn bearers_id(config: &Config) -> AdapterId {
    AdapterId(system_id(config).0.saturating_add(1))
}

/// That of object 5, behind it.
pub fn update_id(config: &Config) -> AdapterId {
    AdapterId(bearers_id(config).0.saturating_add(1))
}

/// Starts everything that is configured. A device that cannot be started is reported as offline
/// with the reason; the others run. Must be called inside the runtime.
pub(crate) fn start(
    config: &Config,
    status: &Status,
    mut system: Parts,
    run_dir: &Path,
    clock: Clock,
    seed: u64,
    kept: Kept,
) -> Devices {
    let mut kept = kept.for_config(config);
    let workshop = kept.workshop.take();
    let buses = modbus::buses(config);
    let mut starter = Starter {
        broker: mqtt::way(config),
        buses: BTreeMap::new(),
        clock,
        config,
        counters: BTreeMap::new(),
        devices: Devices {
            workshop,
            ..Devices::default()
        },
        kept,
        lines: Some(meter::Lines::new(&system.state_dir, seed)),
        meters: Meters::default(),
        seed,
        socket: remote::entrance(config, run_dir).map(|bound| bound.map_err(|why| why.to_string())),
        state_dir: system.state_dir.clone(),
        ways: BTreeMap::new(),
        wear: BTreeMap::new(),
    };
    for (id, bus) in buses {
        let opened = starter.modbus_bus(bus);
        starter.buses.insert(id, opened);
    }
    for device in &config.devices {
        if let Err(why) = starter.device(device) {
            tracing::error!(device = device.name, why, "Device cannot be started");
            starter.broken(device.id, why);
        }
    }
    let meters = std::mem::take(&mut starter.meters);
    let commission = Commission::of(config, &starter.buses).with_meters(meters);
    starter.devices.commission = Arc::new(commission);
    starter.connect_to_broker();
    starter.let_programs_in(system.log.clone());
    let counters = std::mem::take(&mut starter.counters);
    let controls = system.controls.take();
    let update = system.update.take();
    let system = System::new(starter.clock.clone(), config, counters, system);
    starter.supervise(system_id(config), system.look_around(), system::limits());
    if let Some(controls) = controls {
        let objects = Objects::new(starter.clock.clone(), &config.bearers, controls);
        starter.supervise(bearers_id(config), objects, objects::limits());
    }
    if let Some(desk) = update {
        let object = object::Object::new(starter.clock.clone(), desk);
        starter.supervise(update_id(config), object, object::limits());
    }
    status.ask_wear_of(std::mem::take(&mut starter.wear));
    starter.devices
}

impl Starter<'_> {
    fn device(&mut self, device: &Device) -> Result<(), String> {
        if self.goes_on(device) {
            return Ok(());
        }
        let can_go_on = Mark::of_device(self.config, device).is_some();
        let workshop = if can_go_on { self.workshop() } else { None };
        let _there = workshop.as_ref().map(Handle::enter);
        match &device.kind {
            DeviceKind::Gpio(gpio) => self.gpio(device, gpio),
            DeviceKind::Location(location) => self.location(device, location),
            DeviceKind::Meter(meter) => self.meter(device, meter),
            DeviceKind::Modbus(modbus) => self.modbus(device, modbus),
            DeviceKind::Mqtt(mqtt) => self.mqtt(device, mqtt),
            DeviceKind::Remote(remote) => self.remote(device, remote),
            DeviceKind::S0(meter) => self.s0(device, meter),
            DeviceKind::System(files) | DeviceKind::W1(files) => {
                let points = files.points.iter().map(|(_, point)| point.clone());
                let (root, clock) = ("/".into(), self.clock.clone());
                let adapter = Files::new(points.collect(), root, files.period, clock);
                self.supervise(device.id, adapter, Files::limits(files.period));
                Ok(())
            }
            DeviceKind::Sim(points) => {
                let points = points.iter().map(|point| SimPoint {
                    address: point.point.address,
                    form: Form::Constant(point.value.clone()),
                    is_writable: point.point.writable,
                });
                let sim = Sim::new(points.collect(), SIM_PERIOD, self.clock.clone());
                self.supervise(device.id, sim, Limits::default());
                Ok(())
            }
        }
    }

    fn supervise<A: Adapter>(&mut self, id: AdapterId, adapter: A, mut limits: Limits) {
        let (handle, port) = Port::pair();
        let (health, counters) = watch::channel(Health::default());
        limits.health = Some(health);
        self.counters
            .entry(id)
            .or_insert(Counters::Supervised(counters));
        self.devices.handles.insert(id, handle);
        let clock = self.clock.clone();
        let task = tokio::spawn(async move {
            supervise(adapter, port, clock, limits).await;
        });
        self.runs(id, task);
    }

    /// Stands in the place of an adapter that cannot be started, so that its state can be seen.
    fn broken(&mut self, id: AdapterId, why: String) {
        let (handle, mut port) = Port::pair();
        self.devices.handles.insert(id, handle);
        self.task(async move {
            let offline = AdapterEvent::Link(LinkState::Offline, why);
            if port.events.send(offline).await.is_err() {
                return;
            }
            while let Some(request) = port.requests.recv().await {
                let done = AdapterEvent::Done(
                    request.op,
                    Err(lamplighter_model::device::Fault::Unreachable),
                );
                if port.events.send(done).await.is_err() {
                    return;
                }
            }
        });
    }

    fn task(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.devices.tasks.push(Task(tokio::spawn(task)));
    }
}

impl Devices {
    /// What can go on in the next life. `handles`: the ways to the adapters.
    pub(crate) fn keep(self, handles: Handles) -> Kept {
        Kept::of(self.buses, self.running, handles, self.workshop)
    }
}
