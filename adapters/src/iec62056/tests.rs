use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use lamplighter_model::{
    BootId, DataType, Decimal, Stamp, Value,
    device::{Action, AdapterEvent, AdapterRequest, LinkState, OpId},
};
use lamplighter_sim::{
    meter::{Meter, MeterConfig as SimConfig, MeterFault},
    pty::Pty,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    time::timeout,
};

use super::*;
use crate::{
    Port,
    bus::{LineSettings, Port as LinePort, SerialOpener},
    supervise,
};

const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
const POWER: ResourceAddress = ResourceAddress::gateway(3305, 0, 5800);

/// A line in memory; each opening is a new one to the same meter.
struct Memory {
    meter: Meter,
    is_gone: bool,
    /// Changes of speed with the time since opening.
    speeds: Arc<Mutex<Vec<(u32, Duration)>>>,
}

#[derive(Debug)]
struct MemoryLine {
    stream: DuplexStream,
    opened: Instant,
    speeds: Arc<Mutex<Vec<(u32, Duration)>>>,
}

impl Opener for Memory {
    type Port = MemoryLine;

    async fn open(&mut self) -> io::Result<MemoryLine> {
        if self.is_gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (stream, other) = duplex(8192);
        tokio::spawn(self.meter.clone().serve(other));
        Ok(MemoryLine {
            stream,
            opened: Instant::now(),
            speeds: self.speeds.clone(),
        })
    }
}

impl LinePort for MemoryLine {
    fn set_line(&mut self, line: LineSettings) -> io::Result<()> {
        let mut speeds = self.speeds.lock().map_err(|_| io::ErrorKind::Other)?;
        speeds.push((line.baud, self.opened.elapsed()));
        Ok(())
    }
}

impl AsyncRead for MemoryLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for MemoryLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn memory(config: SimConfig) -> (Meter, Memory) {
    let meter = Meter::new(config);
    meter.set_power_w(0);
    (
        meter.clone(),
        Memory {
            meter,
            is_gone: false,
            speeds: Arc::default(),
        },
    )
}

fn point(address: ResourceAddress, obis: &str, unit: &str) -> MeterPoint {
    let obis: Obis = obis.parse().unwrap();
    MeterPoint {
        unit: Some(unit.parse().unwrap()),
        ..MeterPoint::new(address, obis.into(), DataType::Float)
    }
}

fn config() -> MeterConfig {
    MeterConfig {
        points: vec![
            point(ENERGY, "1-0:1.8.0*255", "Wh"),
            point(POWER, "1-0:16.7.0", "W"),
        ],
        ..MeterConfig::default()
    }
}

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

async fn read<O: Opener>(device: &mut MeterDevice<O>) -> Result<Vec<Sample>, Fault> {
    device
        .read(ENERGY.instance(), &[ENERGY.path.resource])
        .await
}

fn shown(samples: &[Sample]) -> Vec<String> {
    samples
        .iter()
        .map(|sample| format!("{} {} {:?}", sample.address, sample.value, sample.quality))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_readout_feeds_all_points_exactly() {
    let (meter, memory) = memory(SimConfig::default());
    let speeds = memory.speeds.clone();
    meter.set_power_w(350);
    let mut device = MeterDevice::new(memory, config(), clock());
    let samples = read(&mut device).await.unwrap();
    assert_eq!(
        shown(&samples),
        ["/3331/0/5700 12345678 Good", "/3305/0/5800 350 Good"]
    );
    assert_eq!(samples[0].value, Value::Decimal(Decimal::from(12_345_678)));
    let speeds = speeds.lock().unwrap().clone();
    assert_eq!((speeds[0].0, speeds[1].0), (300, 9600));
    // reaction of the meter 200 ms and ours 200, then the delay for the head 300
    assert_eq!(speeds[1].1.as_millis() / 10, 70);
}

#[tokio::test(start_paused = true)]
async fn the_speed_is_capped_and_a_paced_line_takes_its_time() {
    let (_, memory) = memory(SimConfig {
        paced: true,
        ..SimConfig::default()
    });
    let speeds = memory.speeds.clone();
    let config = MeterConfig {
        max_speed: 1500,
        ..config()
    };
    let mut device = MeterDevice::new(memory, config, clock());
    let start = Instant::now();
    read(&mut device).await.unwrap();
    assert_eq!(speeds.lock().unwrap()[1].0, 1200);
    let took = start.elapsed();
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(4),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_words_and_the_next_readout_works() {
    let words = |failure: Failure| Fault::from(failure);
    for (fault, expected) in [
        (MeterFault::Mute, Fault::Timeout),
        (MeterFault::Cut, words(Failure::Cut)),
        (MeterFault::WrongCheck, words(Failure::Checksum)),
        (MeterFault::Refuse, words(Failure::Refused)),
    ] {
        let (meter, memory) = memory(SimConfig::default());
        let mut device = MeterDevice::new(memory, config(), clock());
        meter.inject(&[fault]);
        assert_eq!(read(&mut device).await.unwrap_err(), expected, "{fault:?}");
        assert_eq!(read(&mut device).await.unwrap().len(), 2, "after {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_block_is_asked_for_again() {
    let (meter, memory) = memory(SimConfig::default());
    let mut device = MeterDevice::new(memory, config(), clock());
    meter.inject(&[MeterFault::WrongCheckOnce, MeterFault::Noise]);
    assert_eq!(read(&mut device).await.unwrap().len(), 2);
    assert_eq!(
        read(&mut device).await.unwrap().len(),
        2,
        "noise before the identification"
    );
}

#[tokio::test(start_paused = true)]
async fn echo_software_parity_and_blocks_are_understood() {
    let sim = SimConfig {
        echo: true,
        software_parity: true,
        two_blocks: true,
        ..SimConfig::default()
    };
    let (meter, memory) = memory(sim);
    let config = MeterConfig {
        echo: true,
        software_parity: true,
        wake_up: true,
        ..config()
    };
    let mut device = MeterDevice::new(memory, config, clock());
    assert_eq!(read(&mut device).await.unwrap().len(), 2);
    meter.inject(&[MeterFault::Parity]);
    assert_eq!(read(&mut device).await.unwrap_err(), Failure::Parity.into());
}

#[tokio::test(start_paused = true)]
async fn a_missing_echo_is_named() {
    let (_, memory) = memory(SimConfig::default());
    let mut device = MeterDevice::new(
        memory,
        MeterConfig {
            echo: true,
            ..config()
        },
        clock(),
    );
    assert_eq!(read(&mut device).await.unwrap_err(), Failure::Echo.into());
}

#[tokio::test(start_paused = true)]
async fn a_meter_that_never_ends_meets_the_deadline() {
    let (_, memory) = memory(SimConfig {
        paced: true,
        ..SimConfig::default()
    });
    let config = MeterConfig {
        max_speed: 300,
        readout_deadline: Duration::from_secs(3),
        ..config()
    };
    let mut device = MeterDevice::new(memory, config, clock());
    assert_eq!(
        read(&mut device).await.unwrap_err(),
        Failure::Deadline.into()
    );
}

#[tokio::test(start_paused = true)]
async fn other_modes_are_read_as_far_as_they_go() {
    for (identification, speeds_seen) in
        [("/LMPDmode-b", vec![300, 4800]), ("/LMP mode-a", vec![300])]
    {
        let sim = SimConfig {
            identification: identification.into(),
            ..SimConfig::default()
        };
        let (_, memory) = memory(sim);
        let speeds = memory.speeds.clone();
        let mut device = MeterDevice::new(memory, config(), clock());
        assert_eq!(read(&mut device).await.unwrap().len(), 2);
        let seen: Vec<u32> = speeds
            .lock()
            .unwrap()
            .iter()
            .map(|(speed, _)| *speed)
            .collect();
        assert_eq!(seen, speeds_seen);
    }
}

#[tokio::test(start_paused = true)]
async fn registers_that_give_no_value_are_left_out_with_a_reason() {
    let (meter, memory) = memory(SimConfig::default());
    meter.set_errors(4);
    let config = MeterConfig {
        points: vec![
            point(ENERGY, "1.8.0", "Wh"),
            point(POWER, "2.8.0", "Wh"),
            point(POWER, "32.7.0", "Wh"),
        ],
        ..MeterConfig::default()
    };
    let mut device = MeterDevice::new(memory, config, clock());
    assert_eq!(
        shown(&read(&mut device).await.unwrap()),
        ["/3331/0/5700 12345678 Unchecked"]
    );
    assert_eq!(
        device.ledger.remarks(),
        [
            "the meter reports an error of its own: 00000004",
            "32.7.0 comes in V, not convertible to Wh",
            "the meter has no 2.8.0"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_is_answered_from_the_last_readout_and_the_period_is_kept() {
    let (meter, memory) = memory(SimConfig::default());
    let config = config();
    let limits = config.limits();
    let clock = clock();
    let (mut handle, port) = Port::pair();
    tokio::spawn(supervise(
        MeterDevice::new(memory, config, clock.clone()),
        port,
        clock,
        limits,
    ));
    tokio::time::sleep(Duration::from_secs(290)).await;
    let request = AdapterRequest {
        op: OpId(1),
        action: Action::Read(vec![POWER, ENERGY]),
    };
    handle.try_send(request).unwrap();
    let answer = loop {
        if let AdapterEvent::Done(_, result) = handle.events.recv().await.unwrap() {
            break result.unwrap();
        }
    };
    assert_eq!(answer.samples.len(), 2);
    assert_eq!(meter.readouts(), 1);
    tokio::time::sleep(Duration::from_secs(320)).await;
    assert_eq!(meter.readouts(), 3, "at 0, 300 and 600 s");
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_gone_is_unreachable_and_comes_back() {
    let (_, mut memory) = memory(SimConfig::default());
    memory.is_gone = true;
    let mut device = MeterDevice::new(memory, config(), clock());
    assert_eq!(read(&mut device).await.unwrap_err(), Fault::Unreachable);
    device.opener.is_gone = false;
    read(&mut device).await.unwrap();
}

#[tokio::test]
async fn a_real_serial_port_is_read_hangs_up_and_comes_back() {
    let link = std::env::temp_dir().join(format!("lamplighter-meter-{}", std::process::id()));
    let pty = Pty::open_linked(&link).unwrap();
    let opener = SerialOpener::new(pty.path(), line_at(300, false));
    let meter = Meter::new(SimConfig {
        reaction: Duration::from_millis(1),
        ..SimConfig::default()
    });
    let serving = tokio::spawn(meter.clone().serve(pty));
    let fast = MeterConfig {
        reaction: Duration::ZERO,
        speed_change_delay: Duration::ZERO,
        read_every: Duration::from_millis(500),
        ..config()
    };
    let limits = Limits {
        retry_first: Duration::from_millis(10),
        offline_after: 1,
        ..fast.limits()
    };
    let (mut handle, port) = Port::pair();
    let clock = clock();
    tokio::spawn(supervise(
        MeterDevice::new(opener, fast, clock.clone()),
        port,
        clock,
        limits,
    ));
    let mut reach = async |state: LinkState| {
        let find = async {
            loop {
                if let AdapterEvent::Link(now, words) = handle.events.recv().await.unwrap()
                    && now == state
                {
                    return words;
                }
            }
        };
        timeout(Duration::from_secs(20), find).await.unwrap()
    };
    reach(LinkState::Online).await;
    serving.abort();
    assert_eq!(
        reach(LinkState::Offline).await,
        "the device cannot be reached"
    );
    tokio::spawn(meter.serve(Pty::open_linked(&link).unwrap()));
    reach(LinkState::Online).await;
}
