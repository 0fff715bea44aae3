//! What users of other gateways complain about, where no other file of these tests has it already.

use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::AtomicU64},
};

use lamplighter_adapters::{
    Adapter, Wake,
    bus::{Port, SerialOpener},
    modbus::{BusError, Table},
};
use lamplighter_sim::pty::Pty;
use tokio::{io::AsyncWriteExt, task::JoinSet};
use tracing::{Level, Metadata, span};

use super::*;

/// When the line is free again, and how often a request came before.
#[derive(Default)]
struct Monitor {
    busy_until: Mutex<Option<Instant>>,
    collisions: AtomicU64,
    requests: AtomicU64,
}

impl Monitor {
    fn request(&self, busy_for: Duration) {
        let now = Instant::now();
        let mut busy_until = self.busy_until.lock().unwrap();
        if busy_until.is_some_and(|until| now < until) {
            self.collisions.fetch_add(1, Ordering::Relaxed);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        *busy_until = Some(now + busy_for);
    }
}

/// Threads thingsboard-gateway#1841 and #1406, EdgeX#14 and #685, evcc#17500 and #16049: a poll and a
/// command, or two devices on one line, talk at once.
#[tokio::test(start_paused = true)]
async fn polls_and_commands_of_several_devices_are_never_on_the_line_at_once() {
    let units = counting_units(&[1, 2, 3]);
    let monitor = Arc::new(Monitor::default());
    let dice = Arc::new(Mutex::new(Dice(3)));
    let script = {
        let monitor = Arc::clone(&monitor);
        move |_: &Seen| match dice.lock().unwrap().below(10) {
            // As long as its time-out is not over, an answer may still come.
            0 => {
                monitor.request(TIMEOUT);
                Behaviour::Mute
            }
            part => {
                let late = TIMEOUT * u32::try_from(part).unwrap() / 12;
                monitor.request(late);
                Behaviour::Late(late)
            }
        }
    };
    let (bus, _) = start(rtu_settings(), &units, script);
    let mut askers = JoinSet::new();
    for number in 0..12u16 {
        let bus = bus.clone();
        let unit = 1 + (number % 3) as u8;
        askers.spawn(async move {
            for _ in 0..50 {
                let write = Request::WriteRegister {
                    at: number,
                    value: number,
                };
                let asked = if number % 4 == 0 {
                    Ask {
                        class: Class::Command,
                        ..ask(unit, write)
                    }
                } else {
                    read(unit, number, 1)
                };
                let _silent = bus.ask(asked).await;
            }
        });
    }
    askers.join_all().await;
    assert_eq!(monitor.requests.load(Ordering::Relaxed), 600);
    assert_eq!(monitor.collisions.load(Ordering::Relaxed), 0);
}

/// A line on which somebody else talks as well.
struct Noisy {
    memory: Memory<fn(&Seen) -> Behaviour>,
    noise: Vec<Vec<u8>>,
    every: Duration,
}

impl Opener for Noisy {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        let mut slave = self.memory.open().await?;
        let (ours, mut line) = tokio::io::duplex(1024);
        let (noise, every) = (self.noise.clone(), self.every);
        tokio::spawn(async move {
            let mut next = noise.into_iter().cycle();
            let mut slave_says = [0; 256];
            let mut we_say = [0; 256];
            loop {
                use tokio::io::AsyncReadExt;
                tokio::select! {
                    count = slave.read(&mut slave_says) => {
                        let Ok(count @ 1..) = count else { return };
                        line.write_all(&slave_says[..count]).await.unwrap();
                    }
                    count = line.read(&mut we_say) => {
                        let Ok(count @ 1..) = count else { return };
                        slave.write_all(&we_say[..count]).await.unwrap();
                    }
                    () = tokio::time::sleep(every) => {
                        line.write_all(&next.next().unwrap()).await.unwrap();
                    }
                }
            }
        });
        Ok(ours)
    }
}

/// Thread neuron#2148: a light panel that sends to all by itself broke the link.
#[tokio::test(start_paused = true)]
async fn a_light_panel_that_talks_unasked_costs_no_value_and_no_link() {
    let memory = Memory {
        framing: sim::Framing::Rtu,
        units: counting_units(&[1]),
        script: (|_| Behaviour::Late(Duration::from_millis(7))) as fn(&Seen) -> Behaviour,
        opened: Arc::default(),
    };
    let opener = Noisy {
        memory,
        // A broadcast, a foreign answer that looks like one to us but for its unit, and noise.
        noise: vec![
            vec![0, 6, 0, 1, 0, 3, 0x99, 0xDA],
            framed(&[2, 3, 2, 0, 99]),
            vec![0xFF, 1, 3, 2],
            vec![1],
        ],
        every: Duration::from_millis(5),
    };
    let (bus, owner) = Bus::new(opener, rtu_settings(), 1);
    tokio::spawn(owner.run());
    let mut right = 0;
    for at in 0..90 {
        match bus.ask(read(1, at, 1)).await {
            Ok(answered) => {
                assert_eq!(answered.reply, registers(&[at]));
                right += 1;
            }
            Err(BusError::Garbled | BusError::Timeout) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(right >= 85, "{right} of 90");
    assert_eq!(bus.state().borrow().opened, 1);
}

fn framed(body: &[u8]) -> Vec<u8> {
    let sum = body.iter().fold(0xFFFFu16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xA001
            } else {
                sum >> 1
            }
        })
    });
    [body, &sum.to_le_bytes()].concat()
}

/// A device that serves one client: how many it has at a time, and had at most.
struct OneClient {
    units: Units,
    clients: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

impl Opener for OneClient {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (units, clients) = (self.units.clone(), Arc::clone(&self.clients));
        let now = clients.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        tokio::spawn(async move {
            let _ended = sim::serve(theirs, sim::Framing::Tcp, units, |_: &Seen| {
                Behaviour::Answer
            })
            .await;
            clients.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(ours)
    }
}

/// Threads EdgeX#356 and telegraf#8225: a device that accepts one client locks everybody else out.
#[tokio::test(start_paused = true)]
async fn a_device_with_one_client_sees_one_connection_and_is_left_free_between() {
    let (clients, most) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let opener = OneClient {
        units: counting_units(&[1, 2]),
        clients: Arc::clone(&clients),
        most: Arc::clone(&most),
    };
    let mut settings = tcp_settings();
    settings.close_after = Some(Duration::from_millis(500));
    let (bus, owner) = Bus::new(opener, settings, 1);
    tokio::spawn(owner.run());
    let mut state = bus.state();
    for _ in 0..20 {
        let both = (bus.ask(read(1, 1, 1)), bus.ask(read(2, 2, 1)));
        let (one, two) = tokio::join!(both.0, both.1);
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(clients.load(Ordering::Relaxed), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(clients.load(Ordering::Relaxed), 0, "free for others");
    }
    assert_eq!(most.load(Ordering::Relaxed), 1);
    // Opened twenty times, and not one event of it.
    assert_eq!(state.borrow_and_update().opened, 20);
    assert!(state.borrow().open);
}

/// Counts what operators get to see.
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

/// Threads HA#94609, #56805 and #167388: a line with wrong checksums fills the log.
#[tokio::test(start_paused = true)]
async fn a_thousand_wrong_checksums_are_one_line_of_the_log() {
    let lines = Arc::<AtomicU64>::default();
    let _here = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let (bus, _) = start(rtu_settings(), &counting_units(&[1]), |_: &Seen| {
        Behaviour::WrongCrc
    });
    let mut config = DeviceConfig::new("meter", 1);
    config.probe.max = config.probe.first;
    config.points = vec![point(
        "p",
        (3303, 0, 5700),
        Table::Holding,
        1,
        plain(RegisterType::U16, DataType::Integer),
    )];
    let mut device = device(config, &bus);
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

/// Thread EdgeX#629: thirty devices with sixteen values each on one port are too slow.
#[tokio::test(start_paused = true)]
async fn thirty_devices_with_sixteen_values_are_read_in_thirty_requests() {
    let numbers: Vec<u8> = (1..=30).collect();
    let units = counting_units(&numbers);
    let asked = Arc::new(Mutex::new(BTreeMap::<u8, u32>::new()));
    let log = Arc::clone(&asked);
    let (bus, _) = start(rtu_settings(), &units, move |seen: &Seen| {
        *log.lock().unwrap().entry(seen.unit).or_default() += 1;
        Behaviour::Answer
    });
    for unit in numbers {
        let mut config = DeviceConfig::new(format!("d{unit}"), unit);
        let codec = plain(RegisterType::U16, DataType::Integer);
        config.points = (0..16)
            .map(|at| {
                point(
                    "p",
                    (3303, at, 5700),
                    Table::Holding,
                    at.into(),
                    codec.clone(),
                )
            })
            .collect();
        let mut device = device(config, &bus);
        let Ok(Wake::Due(instance, resources)) = device.wait().await else {
            panic!("a Modbus device only says what is due");
        };
        assert_eq!(device.read(instance, &resources).await.unwrap().len(), 16);
    }
    assert!(
        asked
            .lock()
            .unwrap()
            .values()
            .all(|requests| *requests == 1)
    );
}

/// Design: what the driver does not support is told, and does not cost the line.
#[tokio::test]
async fn a_port_that_cannot_switch_direction_says_so_and_works() {
    for rs485 in ["kernel", "rts_high"] {
        let pty = Pty::open().unwrap();
        let mut opener = SerialOpener::new(pty.path(), "19200-8N1".parse().unwrap());
        opener.rs485 = rs485.parse().unwrap();
        tokio::spawn(sim::serve(
            pty,
            sim::Framing::Rtu,
            counting_units(&[1]),
            |_: &Seen| Behaviour::Answer,
        ));
        let notice = opener.open().await.unwrap().notice();
        assert!(notice.contains(&format!("rs485 = \"{rs485}\"")), "{notice}");
        let settings = BusSettings::new("test", Framing::Rtu(opener.line));
        let (bus, owner) = Bus::new(opener, settings, 1);
        tokio::spawn(owner.run());
        let patient = Ask {
            timeout: Duration::from_secs(20),
            ..read(1, 7, 1)
        };
        assert_eq!(bus.ask(patient).await.unwrap().reply, registers(&[7]));
        assert_eq!(bus.state().borrow().notice, notice);
    }
}

/// A port that notes when its direction is switched.
struct Switched {
    port: DuplexStream,
    steps: Arc<Mutex<Vec<(&'static str, Instant)>>>,
}

impl Switched {
    fn note(&self, step: &'static str) {
        self.steps.lock().unwrap().push((step, Instant::now()));
    }
}

impl tokio::io::AsyncRead for Switched {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.port).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Switched {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.note("write");
        std::pin::Pin::new(&mut self.port).poll_write(cx, bytes)
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

impl Port for Switched {
    fn switches_direction(&self) -> bool {
        true
    }

    fn begin_sending(&mut self) -> io::Result<()> {
        self.note("send");
        Ok(())
    }

    async fn end_sending(&mut self) -> io::Result<()> {
        self.note("receive");
        Ok(())
    }
}

impl Opener for Switched {
    type Port = Self;

    async fn open(&mut self) -> io::Result<Self> {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(sim::serve(
            theirs,
            sim::Framing::Rtu,
            counting_units(&[1]),
            |_: &Seen| Behaviour::Late(Duration::from_millis(10)),
        ));
        Ok(Self {
            port: ours,
            steps: Arc::clone(&self.steps),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_sends_from_before_the_first_byte_until_the_last_has_gone_out() {
    let steps = Arc::default();
    let opener = Switched {
        port: tokio::io::duplex(1).0,
        steps: Arc::clone(&steps),
    };
    let (bus, owner) = Bus::new(opener, rtu_settings(), 1);
    tokio::spawn(owner.run());
    assert_eq!(bus.ask(read(1, 7, 1)).await.unwrap().reply, registers(&[7]));
    let steps = steps.lock().unwrap();
    let [("send", first), ("write", _), ("receive", last)] = steps[..] else {
        panic!("{steps:?}")
    };
    // Eight characters of eleven bits at 19200 Bd, and no answer is cut off by it.
    let on_wire = rtu_settings().char_time() * 8;
    assert!((on_wire..on_wire + Duration::from_millis(3)).contains(&(last - first)));
}
