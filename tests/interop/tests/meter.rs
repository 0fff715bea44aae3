//! Our simulated meter read by somebody else's client, and by our own adapter: what both agree on is
//! not our own misunderstanding.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lamplighter_adapters::{
    Adapter, Clock,
    bus::SerialOpener,
    iec62056::{MeterConfig, MeterDevice, line_at},
    meter::{MeterPoint, Obis, PushConfig, PushDevice, Telegrams},
    p1::TextTelegrams,
    sml::SmlTelegrams,
};
use lamplighter_interop::{lines::Lines, peers, root};
use lamplighter_model::{BootId, DataType, ResourceAddress, Stamp, Value};
use lamplighter_sim::{
    meter::{Meter, MeterConfig as MeterSettings},
    pty::Pty,
    pushing::{PushMeter, Telegram},
};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_foreign_client_and_our_adapter_read_the_same_from_the_meter() {
    // The client opens its port anew 750 ms after its acknowledgement and forgets what came before;
    // the standard lets a meter take up to 1.5 s.
    let reaction = Duration::from_secs(1);
    let meter = Meter::new(MeterSettings {
        reaction,
        ..MeterSettings::default()
    });
    meter.set_power_w(0);
    let pty = Pty::open().unwrap();
    let device = pty.path().to_owned();
    tokio::spawn(meter.serve(pty));

    let script = root().join("tests/interop/peers/meter_reader.py");
    let mut command = Command::new(peers().join("python/bin/python3"));
    let client = Lines::start(command.arg(script).arg(&device));
    let line = tokio::task::spawn_blocking(move || client.hear(PATIENCE))
        .await
        .unwrap();
    let told: Json =
        serde_json::from_str(&line.expect("the client reads: `make peers` installs it")).unwrap();
    assert_eq!(
        (&told["maker"], &told["speed"]),
        (&json!("LMP"), &json!(9600))
    );
    let registers = &told["registers"];
    assert_eq!(registers["1.8.0"], json!(["0012345.678", "kWh"]));
    assert_eq!(registers["32.7.0"], json!(["230.1", "V"]));
    assert_eq!(registers["F.F"], json!(["00000000", null]));

    let samples = our_reading(SerialOpener::new(device, line_at(300, false))).await;
    assert_eq!(samples, [Value::Decimal(12_345_678.into())]);
}

/// What a script of `tests/interop/peers` says, line by line.
async fn told(script: &str, device: PathBuf, lines: usize) -> Vec<Json> {
    let script = root().join("tests/interop/peers").join(script);
    let mut command = Command::new(peers().join("python/bin/python3"));
    let client = Lines::start(command.arg(script).arg(device));
    let hear = move || {
        let line = client.hear(PATIENCE);
        serde_json::from_str(&line.expect("the client reads: `make peers` installs it")).unwrap()
    };
    let all = tokio::task::spawn_blocking(move || (0..lines).map(|_| hear()).collect());
    all.await.unwrap()
}

/// The values of all registers that our adapter finds on a line.
async fn our_registers<T: Telegrams + Sync>(
    device: &Path,
    line: &str,
    telegrams: T,
) -> BTreeMap<String, String> {
    let port = SerialOpener::new(device, line.parse().unwrap());
    let config = PushConfig::new(Vec::new(), PATIENCE);
    let clock = Clock::new(Stamp::default);
    let mut adapter = PushDevice::new(port, telegrams, config, clock);
    let board = adapter.board();
    adapter.read(ENERGY.instance(), &[]).await.unwrap();
    let readout = board.view().last.unwrap();
    let readings = readout.readings.iter();
    readings
        .map(|reading| {
            let value = format!("{} {}", reading.content, reading.unit);
            (reading.register.to_string(), value)
        })
        .collect()
}

fn pushing(telegram: Telegram) -> PathBuf {
    let pty = Pty::open().unwrap();
    let device = pty.path().to_owned();
    tokio::spawn(PushMeter::new(telegram, Duration::from_millis(300)).serve(pty));
    device
}

#[tokio::test]
async fn a_foreign_parser_and_our_adapter_read_the_same_from_an_sml_meter() {
    let device = pushing(Telegram::Sml);
    let told = told("sml_reader.py", device.clone(), 1).await;
    assert_eq!(told[0]["1-0:1.8.0*255"], json!([123_456_780, -1, 30]));
    assert_eq!(told[0]["1-0:16.7.0*255"], json!([350, 0, 27]));
    let ours = our_registers(&device, "9600-8N1", SmlTelegrams::default()).await;
    assert_eq!(ours["1-0:1.8.0"], "12345678 Wh");
    assert_eq!(ours["1-0:16.7.0"], "350 W");
}

#[tokio::test]
async fn a_foreign_parser_and_our_adapter_read_the_same_from_a_customer_port() {
    let device = pushing(Telegram::P1);
    let told = told("p1_reader.py", device.clone(), 2).await;
    assert_eq!(told[0]["energy"], "12345.678");
    assert_eq!(told[0]["gas"], json!(["785.123", "m3", 1_795_335_000]));
    let ours = our_registers(&device, "115200-8N1", TextTelegrams::new(false)).await;
    assert_eq!(ours["1-0:1.8.1"], "012345.678 kWh");
    assert_eq!(ours["0-1:24.2.1"], "00785.123 m3");

    // A telegram of version 3 that the parser's own documentation shows.
    let sample = told[1].as_str().unwrap();
    let mut telegrams = TextTelegrams::new(false);
    let readout = sample.bytes().find_map(|byte| telegrams.push(byte));
    let readout = readout.unwrap().unwrap();
    assert_eq!(
        readout.serial.as_deref(),
        Some("4B384547303034303436333935353037")
    );
    let value = |obis: &str| {
        let obis: Obis = obis.parse().unwrap();
        let reading = readout.find(&obis.into()).unwrap();
        format!("{} {}", reading.content, reading.unit)
    };
    assert_eq!(value("1-0:1.8.2"), "12345.678 kWh");
    assert_eq!(value("0-1:24.2.1"), "00001.001 m3");
    assert_eq!(readout.readings.len(), 16);
}

async fn our_reading(port: SerialOpener) -> Vec<Value> {
    let start = Instant::now();
    let clock = Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    });
    let obis: Obis = "1-0:1.8.0*255".parse().unwrap();
    let point = MeterPoint {
        unit: Some("Wh".parse().unwrap()),
        ..MeterPoint::new(ENERGY, obis.into(), DataType::Float)
    };
    let config = MeterConfig {
        points: vec![point],
        ..MeterConfig::default()
    };
    let mut device = MeterDevice::new(port, config, clock);
    let samples = device
        .read(ENERGY.instance(), &[ENERGY.path.resource])
        .await
        .unwrap();
    samples.into_iter().map(|sample| sample.value).collect()
}
