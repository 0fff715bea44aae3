//! What operators get to see of a bad line. By itself: what is counted here is the whole process's.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lamplighter_adapters::{
    Adapter, Clock, Wake,
    bus::Opener,
    modbus::{
        Bus, BusSettings, DeviceConfig, Framing, ModbusDevice, Order, PointCodec, PointConfig,
        ReadConfig, RegisterType, Table,
    },
};
use lamplighter_model::{BootId, DataType, ResourceAddress, Stamp, object::Operations};
use lamplighter_sim::modbus::{self as sim, Behaviour, Seen, Units};
use tokio::io::DuplexStream;
use tracing::{Level, Metadata, span};

/// Counts lines of INFO and above.
struct Lines(Arc<AtomicU64>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A slave whose checksums are wrong.
struct Damaged(Units);

impl Opener for Damaged {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(1024);
        let script = |_: &Seen| Behaviour::WrongCrc;
        tokio::spawn(sim::serve(
            theirs,
            sim::Framing::Rtu,
            self.0.clone(),
            script,
        ));
        Ok(ours)
    }
}

/// Threads HA#94609, #56805 and #167388: a line with wrong checksums fills the log.
#[tokio::test(start_paused = true)]
async fn a_thousand_wrong_checksums_are_one_line_of_the_log() {
    let lines = Arc::<AtomicU64>::default();
    tracing::subscriber::set_global_default(Lines(Arc::clone(&lines))).unwrap();
    let units = Units::default();
    units.with(1, |bank| bank.holding.insert(1, 1));
    let settings = BusSettings::new("line", Framing::Rtu("19200-8E1".parse().unwrap()));
    let (bus, owner) = Bus::new(Damaged(units), settings.clone(), 1);
    tokio::spawn(owner.run());
    let mut config = DeviceConfig::new("meter", 1);
    config.probe.max = config.probe.first;
    config.points = vec![PointConfig {
        name: "p".to_owned(),
        address: ResourceAddress::gateway(3303, 0, 5700),
        operations: Operations::R,
        read: Some(ReadConfig {
            table: Table::Holding,
            at: 1,
        }),
        write: None,
        codec: PointCodec::plain(RegisterType::U16, Order::Abcd, DataType::Integer),
        poll: Duration::from_secs(1),
    }];
    let clock = Clock::new(|| Stamp {
        boot: BootId(1),
        mono: Duration::ZERO,
    });
    let mut device = ModbusDevice::new(config, bus, &settings, clock, 1).unwrap();
    let stats = device.stats();
    while stats.borrow().garbled < 1000 {
        let Ok(Wake::Due(instance, resources)) = device.wait().await else {
            panic!("a Modbus device only says what is due");
        };
        assert!(device.read(instance, &resources).await.is_err());
    }
    // That the line is open, and that the device is offline.
    assert_eq!(lines.load(Ordering::Relaxed), 2);
}
