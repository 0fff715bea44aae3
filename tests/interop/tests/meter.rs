//! Our simulated meter read by somebody else's client, and by our own adapter: what both agree on is
//! not our own misunderstanding.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{process::Command, time::Duration};

use lamplighter_adapters::{
    Adapter, Clock,
    bus::SerialOpener,
    iec62056::{MeterConfig, MeterDevice, line_at},
    meter::{MeterPoint, Obis},
};
use lamplighter_interop::{lines::Lines, peers, root};
use lamplighter_model::{BootId, DataType, ResourceAddress, Stamp, Value};
use lamplighter_sim::{
    meter::{Meter, MeterConfig as MeterSettings},
    pty::Pty,
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
