use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use lamplighter_model::{
    BootId, DataType, Decimal, ResourceAddress, Sample, Stamp, Value,
    device::{Action, AdapterEvent, AdapterRequest, Fault, LinkState, OpId},
};
use lamplighter_sim::{
    meter::{LineSpeed, Meter, MeterConfig as SimConfig, MeterFault},
    pty::Pty,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    time::{Instant, timeout},
};

use super::*;
use crate::{
    Adapter, Port,
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
    /// The speed now, where the meter cares.
    speed: Option<Arc<AtomicU32>>,
}

#[derive(Debug)]
struct MemoryLine {
    stream: DuplexStream,
    opened: Instant,
    speed: Option<Arc<AtomicU32>>,
    speeds: Arc<Mutex<Vec<(u32, Duration)>>>,
}

impl Opener for Memory {
    type Port = MemoryLine;

    async fn open(&mut self) -> io::Result<MemoryLine> {
        if self.is_gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (stream, other) = duplex(8192);
        let speed = self.speed.clone();
        let line = speed.map(|speed| Arc::new(move || speed.load(Ordering::Relaxed)) as LineSpeed);
        tokio::spawn(self.meter.clone().serve_at(other, line));
        Ok(MemoryLine {
            stream,
            speed: self.speed.clone(),
            opened: Instant::now(),
            speeds: self.speeds.clone(),
        })
    }
}

impl LinePort for MemoryLine {
    fn set_line(&mut self, line: LineSettings) -> io::Result<()> {
        let mut speeds = self.speeds.lock().map_err(|_| io::ErrorKind::Other)?;
        speeds.push((line.baud, self.opened.elapsed()));
        if let Some(speed) = &self.speed {
            speed.store(line.baud, Ordering::Relaxed);
        }
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
            speed: None,
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
        (MeterFault::Late, Fault::Timeout),
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

/// A meter on a line whose speed matters, as every character takes its time.
fn on_a_line(config: SimConfig) -> (Meter, Memory) {
    let (meter, mut memory) = memory(SimConfig {
        paced: true,
        ..config
    });
    memory.speed = Some(Arc::new(AtomicU32::new(300)));
    (meter, memory)
}

#[tokio::test(start_paused = true)]
async fn ends_that_change_their_speed_apart_find_together_by_asking_again() {
    for fault in [MeterFault::SwitchEarly, MeterFault::SwitchLate] {
        let (meter, memory) = on_a_line(SimConfig::default());
        let mut device = MeterDevice::new(memory, config(), clock());
        meter.inject(&[fault]);
        assert_eq!(read(&mut device).await.unwrap().len(), 2, "{fault:?}");
        assert_eq!(meter.speed(), 9600);
    }
}

#[tokio::test(start_paused = true)]
async fn ends_that_never_meet_again_are_named() {
    let (meter, memory) = on_a_line(SimConfig::default());
    let mut device = MeterDevice::new(memory, config(), clock());
    meter.inject(&[MeterFault::NoSwitch]);
    let apart = Fault::from(Failure::SpeedChange(9600));
    assert_eq!(read(&mut device).await.unwrap_err(), apart);
    read(&mut device).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_holds_the_acknowledgement_back_needs_the_delay() {
    let slow_head = SimConfig {
        head_delay: Duration::from_millis(150),
        ..SimConfig::default()
    };
    for (delay, works) in [(250, false), (400, true)] {
        let (_, memory) = on_a_line(slow_head.clone());
        let config = MeterConfig {
            speed_change_delay: Duration::from_millis(delay),
            ..config()
        };
        let mut device = MeterDevice::new(memory, config, clock());
        let told = read(&mut device).await;
        assert_eq!(told.is_ok(), works, "{delay} ms: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn modes_are_spoken_as_configured_or_refused_by_name() {
    let meters = [
        ("A", "/LMP mode-a"),
        ("B", "/LMPDmode-b"),
        ("C", "/LMP5mode-c"),
    ];
    for (mode, speeds) in [
        (Mode::A, [Some(300), None, Some(300)]),
        (Mode::B, [None, Some(4800), None]),
        (Mode::C, [None, None, Some(9600)]),
        (Mode::Auto, [Some(300), Some(4800), Some(9600)]),
    ] {
        for ((name, identification), speed) in meters.into_iter().zip(speeds) {
            let (meter, memory) = memory(SimConfig {
                identification: identification.into(),
                ..SimConfig::default()
            });
            let config = MeterConfig { mode, ..config() };
            let mut device = MeterDevice::new(memory, config, clock());
            match (read(&mut device).await, speed) {
                (Ok(_), Some(speed)) => assert_eq!(meter.speed(), speed, "{mode:?} {name}"),
                (Err(Fault::Device(words)), None) => {
                    assert!(words.contains(&format!("mode {name}")), "{words}");
                }
                (told, _) => panic!("{mode:?} {name}: {told:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_the_data_do_no_harm() {
    let (meter, memory) = memory(SimConfig::default());
    let mut device = MeterDevice::new(memory, config(), clock());
    meter.inject(&[MeterFault::ExtraBehind]);
    for _ in 0..2 {
        assert_eq!(read(&mut device).await.unwrap().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_counter_and_another_meter_are_noticed() {
    let (meter, memory) = memory(SimConfig::default());
    let mut config = config();
    config.points[0].monotonic = true;
    let mut device = MeterDevice::new(memory, config, clock());
    read(&mut device).await.unwrap();
    meter.set_energy_wh(1000);
    let told = shown(&read(&mut device).await.unwrap());
    assert_eq!(told[0], "/3331/0/5700 12345678 Bad");
    meter.set_serial("00012346");
    let told = shown(&read(&mut device).await.unwrap());
    assert_eq!(told[0], "/3331/0/5700 1000 Good");
    let noted: Vec<_> = device.take_notes().iter().map(|note| note.what).collect();
    assert_eq!(noted, ["counter_back", "meter_exchanged"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_gets_a_readout_at_once() {
    let (meter, memory) = memory(SimConfig::default());
    let config = config();
    let limits = config.limits();
    let device = MeterDevice::new(memory, config, clock());
    let board = device.board();
    let (mut handle, port) = Port::pair();
    tokio::spawn(supervise(device, port, clock(), limits));
    tokio::spawn(async move { while handle.events.recv().await.is_some() {} });
    tokio::time::sleep(Duration::from_secs(100)).await;
    let start = Instant::now();
    let readout = board.readout(Duration::from_secs(60)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (readout.meter.as_str(), readout.serial.as_deref()),
        ("/LMP5lamplighter-1", Some("00012345"))
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(meter.readouts(), 2);
}

/// Of a readout with a line of 9600 Bd: 25 characters of sign-on and identification and 6 of the
/// acknowledgement at 300 Bd, the pauses of both sides, the data at 9600 Bd.
#[tokio::test(start_paused = true)]
async fn a_readout_takes_the_time_of_its_line_and_little_more() {
    for (max_speed, data_speed) in [(300, 300), (9600, 9600)] {
        let (meter, memory) = on_a_line(SimConfig {
            identification: "/LMp5lamplighter-1".into(),
            reaction: Duration::from_millis(20),
            ..SimConfig::default()
        });
        let config = MeterConfig {
            max_speed,
            speed_change_delay: Duration::from_millis(210),
            ..config()
        };
        let mut device = MeterDevice::new(memory, config, clock());
        let board = device.board();
        let start = Instant::now();
        read(&mut device).await.unwrap();
        let took = start.elapsed();
        assert!(board.view().took.unwrap() <= took);
        let block = u32::try_from(meter.data().len() + 3).unwrap();
        let character = |count: u32, speed| Duration::from_secs(10) * count / speed;
        let floor = character(5 + 20 + 6, 300)
            + 3 * Duration::from_millis(20)
            + character(block, data_speed);
        let ratio = took.as_secs_f64() / floor.as_secs_f64();
        assert!(
            (1.0..1.2).contains(&ratio),
            "{max_speed} Bd: {took:?} {ratio}"
        );
    }
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
        device.board().view().remarks,
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
    device.meter.opener.is_gone = false;
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
