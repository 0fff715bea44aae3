//! Simulated M-Bus and DLMS meters read by other people's clients, and by our own adapters: what all
//! agree on is not our own misunderstanding.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lamplighter_adapters::{
    Adapter, Clock,
    bus::{SerialOpener, SharedLine, SharedSettings, TcpOpener},
    dlms::{
        Counter, CounterError, DlmsConfig, DlmsDevice, Framing, Key, Link, Secret, Security, Wanted,
    },
    mbus::{self, Address, Function, MbusDevice, SelectBy, Selector, Timing},
    meter::{Counters, MeterPoint, Obis, Register},
};
use lamplighter_interop::{lines::Lines, peers, root};
use lamplighter_model::{BootId, DataType, ResourceAddress, Sample, Stamp};
use lamplighter_sim::{
    dlms::{DlmsMeterConfig, DlmsMeters, DlmsSecurity},
    mbus::{MbusConfig, MbusLineConfig, MbusMeters},
    pty::Pty,
};
use serde_json::{Value as Json, json};
use tokio::{net::TcpListener, time::Instant};

const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
const PATIENCE: Duration = Duration::from_secs(30);
const GUEK: [u8; 16] = *b"0123456789abcdef";
const GAK: [u8; 16] = *b"fedcba9876543210";

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

fn settings() -> SharedSettings {
    SharedSettings {
        name: "line".into(),
        reopen_first: Duration::from_millis(100),
        reopen_max: Duration::from_secs(1),
        connect_pause: Duration::ZERO,
    }
}

/// What a script of `tests/interop/peers` says, line by line.
async fn told(script: &str, arguments: Vec<String>, lines: usize) -> Vec<Json> {
    let script = root().join("tests/interop/peers").join(script);
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new(peers().join("python/bin/python3"));
        let client = Lines::start(command.arg(script).args(arguments));
        let hear = |_| {
            client
                .hear(PATIENCE)
                .expect("the client reads: `make peers` installs it")
        };
        (0..lines)
            .map(hear)
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    })
    .await
    .unwrap()
}

fn values(samples: Vec<Sample>) -> Vec<String> {
    samples
        .into_iter()
        .map(|sample| sample.value.to_string())
        .collect()
}

#[tokio::test]
async fn a_foreign_master_and_our_adapter_read_the_same_from_an_mbus() {
    let second = MbusConfig {
        primary: 2,
        secondary: [0x79, 0x56, 0x34, 0x12, 0x24, 0x23, 0x28, 0x04],
        ..MbusConfig::default()
    };
    let meters = MbusMeters::new([MbusConfig::default(), second]);
    let pty = Pty::open().unwrap();
    let device = pty.path().to_owned();
    tokio::spawn(meters.serve(pty, MbusLineConfig::default()));

    let mut arguments = vec![device.display().to_string()];
    arguments.extend(["1", "2", "1234567924232804"].map(str::to_owned));
    let told = told("mbus_reader.py", arguments, 3).await;
    for (told, number) in told.iter().zip(["12345678", "12345679", "12345679"]) {
        assert_eq!(
            (&told["id"], &told["maker"]),
            (&json!(number), &json!("HYD"))
        );
        let values = told["values"].as_array().unwrap();
        assert_eq!(
            values[0],
            json!(["VIFUnit.ENERGY_WH", "MeasureUnit.WH", 12_345_678_000.0])
        );
        assert_eq!(
            values[1],
            json!(["VIFUnit.VOLUME", "MeasureUnit.M3", 1234.567])
        );
    }

    let line = SharedLine::new(
        SerialOpener::new(device, "2400-8E1".parse().unwrap()),
        settings(),
        1,
    );
    for address in [
        Address::Primary(1),
        Address::Secondary("1234567924232804".parse().unwrap()),
    ] {
        let samples = on_mbus(&line, address).await;
        assert_eq!(samples, ["12345678000"]);
    }
}

async fn on_mbus(line: &SharedLine<SerialOpener>, address: Address) -> Vec<String> {
    let selector = Selector {
        by: SelectBy::Meaning {
            quantity: "energy".into(),
            function: Function::Instantaneous,
            storage: 0,
            tariff: 0,
            subunit: 0,
            qualifier: None,
        },
        number: None,
    };
    let point = MeterPoint {
        unit: Some("Wh".parse().unwrap()),
        ..mbus::point(&selector, ENERGY, DataType::Float)
    };
    let config = mbus::MbusConfig {
        address,
        retries: 2,
        timing: Timing {
            line: "2400-8E1".parse().unwrap(),
            delay: Duration::ZERO,
            echo: false,
            factor: 1,
        },
        read_every: Duration::from_secs(900),
        points: vec![(selector, point)],
    };
    let mut device = MbusDevice::new(line.clone(), config, Counters::default(), clock());
    values(
        device
            .read(ENERGY.instance(), &[ENERGY.path.resource])
            .await
            .unwrap(),
    )
}

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<u32>>);

impl Counter for Kept {
    fn reserve(&self, seen: u32, count: u32) -> Result<u32, CounterError> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (*next).max(seen + 1);
        *next = first + count;
        Ok(first)
    }

    fn give_back(&self, _: u32, _: u32) {}
}

/// Serves every connection with the same meter.
async fn served(security: DlmsSecurity) -> u16 {
    let meters = DlmsMeters::new([DlmsMeterConfig {
        security,
        ..DlmsMeterConfig::default()
    }]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(meters.clone().serve_wrapper(stream));
        }
    });
    port
}

#[tokio::test]
async fn foreign_clients_and_our_adapter_read_the_same_from_a_dlms_meter() {
    let hex = |key: [u8; 16]| key.map(|byte| format!("{byte:02x}")).concat();
    let keys = format!("{}:{}", hex(GUEK), hex(GAK));
    let gmac = DlmsSecurity::Gmac {
        encryption_key: GUEK,
        authentication_key: GAK,
    };
    let ours = Security::Gmac {
        encryption_key: Key::new(&GUEK).unwrap(),
        authentication_key: Key::new(&GAK).unwrap(),
        system_title: *b"LMPcab17",
    };
    let password = Security::Password(Secret::new(b"12345678").unwrap());
    for (built, secret, security, clients) in [
        (
            DlmsSecurity::None,
            "none",
            Security::None,
            &["dlms-cosem", "gurux"][..],
        ),
        (
            DlmsSecurity::Password(b"12345678"),
            "12345678",
            password,
            &["dlms-cosem", "gurux"],
        ),
        (gmac, keys.as_str(), ours, &["gurux"]),
    ] {
        let port = served(built).await;
        for client in clients {
            let arguments = [*client, &port.to_string(), secret].map(str::to_owned);
            let told = told("dlms_reader.py", arguments.into(), 1).await;
            let expected = json!({"value": 12_345_678, "scaler": 0, "unit": 30});
            assert_eq!(told[0], expected, "{client} {built:?}");
        }
        assert_eq!(over_dlms(port, security).await, ["12345678"], "{built:?}");
    }
}

async fn over_dlms(port: u16, security: Security) -> Vec<String> {
    let opener = TcpOpener {
        host: "127.0.0.1".into(),
        port,
        connect_timeout: Duration::from_secs(3),
    };
    let wanted = Wanted::value(3, &"1-0:1.8.0".parse::<Obis>().unwrap());
    let register = Register::Record(wanted.to_string());
    let point = MeterPoint {
        unit: Some("Wh".parse().unwrap()),
        ..MeterPoint::new(ENERGY, register, DataType::Float)
    };
    let config = DlmsConfig {
        link: Link {
            framing: Framing::Wrapper,
            server: 1,
            timeout: Duration::from_secs(5),
        },
        client: if security == Security::None { 16 } else { 1 },
        security,
        counter_at: Some(lamplighter_sim::dlms::COUNTER),
        retries: 1,
        read_every: Duration::from_secs(900),
        points: vec![(wanted, point)],
    };
    let line = SharedLine::new(opener, settings(), 1);
    let mut device: DlmsDevice<_> = DlmsDevice::new(
        line,
        config,
        Counters::default(),
        Arc::new(Kept::default()),
        clock(),
    );
    values(
        device
            .read(ENERGY.instance(), &[ENERGY.path.resource])
            .await
            .unwrap(),
    )
}
