//! Modbus against slaves that are real at the protocol level: in memory and with paused time, and
//! on a pseudo-terminal.
//!
//! Which test answers which complaint about other gateways:
//!
//! | complaint | test |
//! |---|---|
//! | a dead slave slows the others | `mute::two_mute_slaves_of_eight_do_not_slow_the_others` |
//! | a late reply is a wrong value | `late`, three transports; real pymodbus in `tests/interop` |
//! | writes wait behind polls | `line::a_command_waits_for_one_poll_at_most` |
//! | poll and command collide | `complaints::polls_and_commands_of_several_devices_are_never_on_the_line_at_once` |
//! | no silence between frames | `pauses::no_request_comes_before_the_silence_is_over_and_none_long_after_it` |
//! | each value is a request | `plan::tests` in the library, `complaints::thirty_devices_with_sixteen_values_are_read_in_thirty_requests` |
//! | a device refuses the merged read | `learning` |
//! | byte orders differ between read and write | `tests/interop`: `every_type_in_every_order_…` |
//! | foreign traffic breaks the link | `complaints::a_light_panel_that_talks_unasked_costs_no_value_and_no_link` |
//! | one failed read drops the link | `line::every_fault_on_the_line_is_contained_in_its_request` |
//! | the device allows one client | `complaints::a_device_with_one_client_sees_one_connection_and_is_left_free_between` |
//! | a timeout in other units than thought | configuration: units in the key, unknown keys are errors |
//! | USB adapters come back under another name | `port`, `line::an_adapter_that_was_away_for_hours_is_opened_as_soon_as_it_is_back` |
//! | the log is full of checksums | `tests/log.rs`: `a_thousand_wrong_checksums_are_one_line_of_the_log` |
//! | old values look fresh | `supervised`, and the supervisor's own tests |
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod complaints;
mod device;
mod functions;
mod guests;
mod late;
mod learning;
mod line;
mod mute;
mod pauses;
mod port;
mod supervised;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lamplighter_adapters::{
    Clock,
    bus::Opener,
    modbus::{
        Ask, Bus, BusHandle, BusSettings, Class, DeviceConfig, Framing, ModbusDevice, Order,
        PointCodec, PointConfig, ReadConfig, RegisterType, Reply, Request, Table, Verify,
        WriteConfig, WriteFunction,
    },
};
use lamplighter_model::{BootId, DataType, ResourceAddress, Stamp, object::Operations};
use lamplighter_sim::modbus::{self as sim, Behaviour, Seen, Units};
use tokio::{io::DuplexStream, time::Instant};

const TIMEOUT: Duration = Duration::from_millis(100);

/// A line in memory; each opening finds slaves that obey the same script.
struct Memory<S> {
    framing: sim::Framing,
    units: Units,
    script: S,
    opened: Arc<AtomicU32>,
}

impl<S: FnMut(&Seen) -> Behaviour + Clone + Send + 'static> Opener for Memory<S> {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(sim::serve(
            theirs,
            self.framing,
            self.units.clone(),
            self.script.clone(),
        ));
        Ok(ours)
    }
}

fn rtu_settings() -> BusSettings {
    BusSettings::new("test", Framing::Rtu("19200-8E1".parse().unwrap()))
}

fn tcp_settings() -> BusSettings {
    BusSettings::new("test", Framing::Tcp)
}

/// A running line and how often it was opened.
fn start<S>(settings: BusSettings, units: &Units, script: S) -> (BusHandle, Arc<AtomicU32>)
where
    S: FnMut(&Seen) -> Behaviour + Clone + Send + 'static,
{
    let opened = Arc::default();
    let framing = if settings.framing == Framing::Tcp {
        sim::Framing::Tcp
    } else {
        sim::Framing::Rtu
    };
    let memory = Memory {
        framing,
        units: units.clone(),
        script,
        opened: Arc::clone(&opened),
    };
    let (bus, owner) = Bus::new(memory, settings, 1);
    tokio::spawn(owner.run());
    (bus, opened)
}

fn read(unit: u8, at: u16, count: u16) -> Ask {
    ask(
        unit,
        Request::Read {
            table: Table::Holding,
            at,
            count,
        },
    )
}

fn ask(unit: u8, request: Request) -> Ask {
    Ask {
        unit,
        request,
        class: Class::Poll,
        timeout: TIMEOUT,
        late_timeout: TIMEOUT,
        expires: None,
    }
}

fn registers(values: &[u16]) -> Reply {
    Reply::Registers(values.to_vec())
}

/// Units with the holding and input registers 0–99, each holding its own address, and as many coils.
fn counting_units(numbers: &[u8]) -> Units {
    let units = Units::default();
    for unit in numbers {
        units.with(*unit, |bank| {
            bank.holding = (0..100).map(|at| (at, at)).collect();
            bank.input = bank.holding.clone();
            bank.coils = (0..100).map(|at| (at, at % 2 == 1)).collect();
        });
    }
    units
}

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

fn point(
    name: &str,
    resource: (u16, u16, u16),
    table: Table,
    at: u32,
    codec: PointCodec,
) -> PointConfig {
    let writable = matches!(table, Table::Coil | Table::Holding);
    PointConfig {
        name: name.to_owned(),
        address: ResourceAddress::gateway(resource.0, resource.1, resource.2),
        operations: if writable {
            Operations::RW
        } else {
            Operations::R
        },
        read: Some(ReadConfig { table, at }),
        write: writable.then(|| WriteConfig {
            table,
            at,
            function: WriteFunction::Auto,
            verify: Some(Verify::default()),
        }),
        codec,
        poll: Duration::from_secs(1),
    }
}

fn plain(kind: RegisterType, data_type: DataType) -> PointCodec {
    PointCodec::plain(kind, Order::Abcd, data_type)
}

fn device(config: DeviceConfig, bus: &BusHandle) -> ModbusDevice {
    ModbusDevice::new(config, bus.clone(), &rtu_settings(), clock(), 1).unwrap()
}

/// A sequence that differs from seed to seed and never from run to run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
