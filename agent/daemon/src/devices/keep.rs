//! What goes on over a reload: lines and devices of which nothing was changed. Their adapters are not
//! disturbed: no output moves, no port is closed, no counter begins anew.

use std::{collections::BTreeMap, fmt};

use lamplighter_adapters::{
    AdapterHandle, Handles,
    modbus::{BusHandle, BusSettings},
};
use lamplighter_model::device::AdapterId;
use sha2::{Digest as _, Sha256};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{Starter, workshop::Workshop};
use crate::{
    config::{self, Config, Device, DeviceKind, LocationSource},
    status::WearSource,
    system::Counters,
};

/// What is left of a life of the agent for the next. What that does not take up ends.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(super) buses: BTreeMap<String, RunningBus>,
    devices: BTreeMap<String, KeptDevice>,
    /// Behind what works there.
    pub(super) workshop: Option<Workshop>,
}

#[derive(Debug)]
struct KeptDevice {
    handle: AdapterHandle,
    running: Running,
}

/// The adapter of a device that could go on.
#[derive(Debug)]
pub(super) struct Running {
    name: String,
    mark: Mark,
    counters: Option<Counters>,
    wear: Option<WearSource>,
    _task: Task,
}

/// The owner of a line.
#[derive(Debug)]
pub(super) struct RunningBus {
    mark: Mark,
    pub(super) handle: BusHandle,
    pub(super) settings: BusSettings,
    _task: Task,
}

/// Ends with it.
#[derive(Debug)]
pub(super) struct Task(pub(super) JoinHandle<()>);

/// Tells configurations apart, without their being kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark([u8; 32]);

struct Hasher(Sha256);

impl Kept {
    /// Of a life that has ended, with the ways to its adapters.
    pub(super) fn of(
        buses: BTreeMap<String, RunningBus>,
        running: BTreeMap<AdapterId, Running>,
        mut handles: Handles,
        workshop: Option<Workshop>,
    ) -> Self {
        if workshop.is_none() {
            return Self::default();
        }
        let kept = running.into_iter().filter_map(|(id, running)| {
            let handle = handles.remove(id)?;
            Some((running.name.clone(), KeptDevice { handle, running }))
        });
        Self {
            buses,
            devices: kept.collect(),
            workshop,
        }
    }

    /// Ends everything that is another in this configuration, before it begins anew.
    pub(super) fn for_config(mut self, config: &Config) -> Self {
        let same = |name: &String, mark: Mark| {
            let device = config.devices.iter().find(|device| device.name == *name);
            device.and_then(|device| Mark::of_device(config, device)) == Some(mark)
        };
        self.devices
            .retain(|name, kept| same(name, kept.running.mark));
        let same = |name: &String, mark: Mark| {
            let bus = config.buses.iter().find(|bus| bus.name == *name);
            bus.map(Mark::of) == Some(mark)
        };
        self.buses.retain(|name, bus| same(name, bus.mark));
        self
    }
}

impl Starter<'_> {
    /// Takes up the adapter of a device that was there before.
    pub(super) fn goes_on(&mut self, device: &Device) -> bool {
        let Some(KeptDevice { handle, running }) = self.kept.devices.remove(&device.name) else {
            return false;
        };
        let Running { counters, wear, .. } = &running;
        self.counters
            .extend(counters.clone().map(|counters| (device.id, counters)));
        self.wear.extend(wear.clone().map(|wear| (device.id, wear)));
        self.devices.handles.insert(device.id, handle.handed_over());
        self.devices.running.insert(device.id, running);
        true
    }

    /// Where work goes on over a reload; `None` where there can be no thread for it.
    pub(super) fn workshop(&mut self) -> Option<Handle> {
        let workshop = &mut self.devices.workshop;
        if workshop.is_none() {
            match Workshop::open() {
                Ok(opened) => *workshop = Some(opened),
                Err(error) => {
                    tracing::warn!(%error, "No thread for devices, a reload disturbs them")
                }
            }
        }
        workshop.as_ref().map(Workshop::handle)
    }

    /// Notes the task of an adapter.
    pub(super) fn runs(&mut self, id: AdapterId, task: JoinHandle<()>) {
        let device = self.config.devices.get(usize::from(id.0));
        let marked =
            device.and_then(|device| Some((device, Mark::of_device(self.config, device)?)));
        let Some((device, mark)) = marked else {
            self.devices.tasks.push(Task(task));
            return;
        };
        let running = Running {
            name: device.name.clone(),
            mark,
            counters: self.counters.get(&id).cloned(),
            wear: self.wear.get(&id).cloned(),
            _task: Task(task),
        };
        self.devices.running.insert(id, running);
    }
}

impl RunningBus {
    pub(super) fn new(
        bus: &config::Bus,
        handle: BusHandle,
        settings: BusSettings,
        task: JoinHandle<()>,
    ) -> Self {
        Self {
            mark: Mark::of(bus),
            handle,
            settings,
            _task: Task(task),
        }
    }
}

impl Mark {
    /// `None`: what belongs to it is shared with others, or is not told by the configuration alone.
    pub(super) fn of_device(config: &Config, device: &Device) -> Option<Self> {
        match &device.kind {
            DeviceKind::Gpio(gpio) => Some(Self::of(gpio)),
            DeviceKind::Location(location) => match location.source {
                LocationSource::Gpsd { .. } => Some(Self::of(location)),
                LocationSource::Nmea(bus) => Some(Self::of(&(config.bus(bus), location))),
            },
            // The number of its bus may be another.
            DeviceKind::Modbus(modbus) => Some(Self::of(&(
                config.bus(modbus.bus),
                &modbus.config,
                modbus.stale_after,
                &modbus.points,
            ))),
            DeviceKind::S0(meter) => Some(Self::of(meter)),
            DeviceKind::Sim(points) => Some(Self::of(points)),
            DeviceKind::System(files) | DeviceKind::W1(files) => Some(Self::of(files)),
            DeviceKind::Meter(_) | DeviceKind::Mqtt(_) | DeviceKind::Remote(_) => None,
        }
    }

    fn of(configured: &impl fmt::Debug) -> Self {
        let mut hasher = Hasher(Sha256::new());
        fmt::write(&mut hasher, format_args!("{configured:?}")).expect("a hash takes everything");
        Self(hasher.0.finalize().into())
    }
}

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::BootId;
    use tokio::task::Id;

    use super::*;
    use crate::{
        catalogue::catalogue,
        clock::Clock,
        devices::{Devices, start},
        events::{EventLog, LoadedLog},
        fake::configured,
        status::Status,
        system::Parts,
    };

    const LAMPS: &str = concat!(
        "[client]\nendpoint = \"cab-17\"\n",
        "[device.lamps]\nadapter = \"gpio\"\nbackend = \"sim\"\n",
        "point.l1 = { line = \"GPIO5\", instance = \"/3416/1\" }\n",
    );
    const LINE: &str = "[bus.b]\nkind = \"tcp\"\naddress = \"127.0.0.1:9\"\n";

    fn modbus(name: &str, unit: u8) -> String {
        format!(
            concat!(
                "[device.{name}]\nadapter = \"modbus\"\nbus = \"b\"\nunit = {unit}\n",
                "[device.{name}.point.t]\nresource = \"/3303/{unit}/5700\"\n",
                "read = {{ table = \"input\", at = 0 }}\n",
            ),
            name = name,
            unit = unit,
        )
    }

    fn begin(config: &Config, kept: Kept) -> Devices {
        let clock = Clock::of(BootId(1));
        let status = Status::new(catalogue(config), clock.now());
        let directory = crate::fake::directory("keep");
        let parts = Parts {
            update: None,
            controls: None,
            state_dir: directory.clone(),
            log: EventLog::new(move || clock.now(), LoadedLog::default(), None),
            status: status.clone(),
            on_errors: Box::new(|_| true),
            on_zone: Box::new(|_| true),
        };
        start(
            config,
            &status,
            parts,
            &directory,
            clock.for_adapters(),
            1,
            kept,
        )
    }

    /// Which task each device has, and each line.
    fn tasks(devices: &Devices) -> BTreeMap<String, Id> {
        let running = devices.running.values();
        let running = running.map(|running| (running.name.clone(), running._task.0.id()));
        let buses = devices.buses.iter();
        let buses = buses.map(|(name, bus)| (format!("bus {name}"), bus._task.0.id()));
        running.chain(buses).collect()
    }

    #[tokio::test]
    async fn what_was_not_changed_goes_on_and_everything_else_begins_anew() {
        let first = configured(&[LAMPS, LINE, &modbus("m", 1), &modbus("n", 2)].concat());
        let mut devices = begin(&first, Kept::default());
        let before = tasks(&devices);
        let handles = std::mem::take(&mut devices.handles);
        // Another device stands before them all, one is changed, one is gone.
        let other = "[device.a]\nadapter = \"sim\"\npoint.t = { resource = \"/3303/0/5700\" }\n";
        let second = configured(&[LAMPS, other, LINE, &modbus("m", 3)].concat());
        let devices = begin(&second, devices.keep(handles));
        let after = tasks(&devices);
        let names: Vec<&str> = after.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "bus b", "lamps", "m"]);
        assert_eq!(after["lamps"], before["lamps"]);
        assert_eq!(after["bus b"], before["bus b"]);
        assert_ne!(after["m"], before["m"]);
        // With the adapter of the box itself.
        assert_eq!(devices.handles.len(), 4);
    }

    #[tokio::test]
    async fn a_line_that_is_another_takes_its_devices_along() {
        let device = modbus("m", 1);
        let first = configured(&[LAMPS, LINE, &device].concat());
        let mut devices = begin(&first, Kept::default());
        let before = tasks(&devices);
        let handles = std::mem::take(&mut devices.handles);
        let second = configured(&[LAMPS, &LINE.replace(":9", ":10"), &device].concat());
        let after = tasks(&begin(&second, devices.keep(handles)));
        assert_ne!(after["bus b"], before["bus b"]);
        assert_ne!(after["m"], before["m"]);
        assert_eq!(after["lamps"], before["lamps"]);
    }
}
