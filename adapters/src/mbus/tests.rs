//! Meters on a simulated line, read by the adapter.

use std::{io, time::Duration};

use lamplighter_model::{
    BootId, DataType, ResourceAddress, Sample, Stamp,
    device::{AdapterEvent, Fault, LinkState},
};
use lamplighter_sim::{
    mbus::{MbusConfig as Built, MbusFault, MbusLineConfig, MbusMeters, heat},
    pty::Pty,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, timeout},
};

use super::*;
use crate::{
    Adapter, Clock, Port,
    bus::{Opener, SerialOpener, SharedLine, SharedSettings},
    meter::Counters,
    supervise,
};

const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
const VOLUME: ResourceAddress = ResourceAddress::gateway(3424, 0, 1);

/// Opens the same line again and again.
struct Memory {
    meters: MbusMeters,
    line: MbusLineConfig,
    is_gone: bool,
}

impl Opener for Memory {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        if self.is_gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (ours, theirs) = duplex(4096);
        tokio::spawn(self.meters.clone().serve(theirs, self.line));
        Ok(ours)
    }
}

fn settings() -> SharedSettings {
    SharedSettings {
        name: "mbus".into(),
        reopen_first: Duration::from_millis(500),
        reopen_max: Duration::from_secs(30),
        connect_pause: Duration::ZERO,
    }
}

fn shared(meters: &MbusMeters, line: MbusLineConfig) -> SharedLine<Memory> {
    let opener = Memory {
        meters: meters.clone(),
        line,
        is_gone: false,
    };
    SharedLine::new(opener, settings(), 1)
}

fn timing() -> Timing {
    Timing {
        line: "2400-8E1".parse().unwrap(),
        delay: Duration::ZERO,
        echo: false,
        factor: 1,
    }
}

fn selector(quantity: &str) -> Selector {
    Selector {
        by: SelectBy::Meaning {
            quantity: quantity.into(),
            function: Function::Instantaneous,
            storage: 0,
            tariff: 0,
            subunit: 0,
            qualifier: None,
        },
        number: None,
    }
}

fn config(address: Address) -> MbusConfig {
    let points = [(ENERGY, "energy", "Wh"), (VOLUME, "volume", "m3")];
    let points = points.map(|(address, quantity, unit)| {
        let selector = selector(quantity);
        let mut point = point(&selector, address, DataType::Float);
        point.unit = Some(unit.parse().unwrap());
        (selector, point)
    });
    MbusConfig {
        address,
        retries: 2,
        timing: timing(),
        read_every: Duration::from_secs(900),
        points: points.into(),
    }
}

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

fn device<O: Opener>(line: &SharedLine<O>, config: MbusConfig) -> MbusDevice<O> {
    MbusDevice::new(line.clone(), config, Counters::default(), clock())
}

fn one() -> (MbusMeters, SharedLine<Memory>) {
    let meters = MbusMeters::new([Built::default()]);
    let line = shared(&meters, MbusLineConfig::default());
    (meters, line)
}

fn remarks<O: Opener>(device: &MbusDevice<O>) -> Vec<String> {
    let view = device.board().view();
    view.failure.into_iter().chain(view.remarks).collect()
}

fn numbered(primary: u8, last: u8) -> Built {
    let mut secondary = Built::default().secondary;
    secondary[0] = last;
    Built {
        primary,
        secondary,
        telegrams: vec![heat(u32::from(primary), 1000, 0)],
        ..Built::default()
    }
}

async fn read<O: Opener>(device: &mut MbusDevice<O>) -> Result<Vec<Sample>, Fault> {
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

fn secondary(text: &str) -> Address {
    Address::Secondary(text.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn one_readout_feeds_all_points_exactly() {
    let (_, line) = one();
    for address in [
        Address::Primary(1),
        Address::Primary(ALONE),
        secondary("12345678"),
    ] {
        let mut device = device(&line, config(address));
        assert_eq!(
            shown(&read(&mut device).await.unwrap()),
            ["/3331/0/5700 12345678000 Good", "/3424/0/1 1234.567 Good"],
            "{address}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn all_telegrams_of_a_meter_are_read_and_the_next_readout_begins_with_the_first() {
    let (meters, line) = one();
    meters.configure(1, |meter| {
        meter.telegrams = vec![
            vec![0x01, 0x03, 7],
            vec![0x01, 0x2B, 8],
            vec![0x01, 0x13, 9],
        ];
    });
    let mut device = device(&line, config(Address::Primary(1)));
    for _ in 0..2 {
        let samples = read(&mut device).await.unwrap();
        assert_eq!(
            shown(&samples),
            ["/3331/0/5700 7 Good", "/3424/0/1 0.009 Good"]
        );
    }
    assert_eq!(meters.readouts(1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_or_missing_answer_is_asked_for_again() {
    let (meters, line) = one();
    let mut device = device(&line, config(Address::Primary(1)));
    for fault in [
        MbusFault::Cut,
        MbusFault::Mute,
        MbusFault::Noise,
        MbusFault::WrongCheckSum,
        MbusFault::NoData,
    ] {
        meters.inject(1, &[fault]);
        assert_eq!(read(&mut device).await.unwrap().len(), 2, "{fault:?}");
    }
    assert_eq!(
        meters.readouts(1),
        5,
        "a repeated answer is no further readout"
    );
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_words_and_the_next_readout_works() {
    let (meters, line) = one();
    let mut device = device(&line, config(Address::Primary(1)));
    let words = |text: &str| Fault::Device(text.to_owned());
    for (fault, expected) in [
        (MbusFault::Mute, Fault::Timeout),
        (
            MbusFault::Cut,
            words("the answer is damaged: it ends too early"),
        ),
        (
            MbusFault::WrongCheckSum,
            words("the answer is damaged: wrong check sum"),
        ),
        (MbusFault::NoData, words("the meter has no data")),
        (
            MbusFault::Busy,
            words("the meter reports error 8 (it is busy)"),
        ),
    ] {
        let times = if fault == MbusFault::Busy { 1 } else { 3 };
        meters.inject(1, &vec![fault; times]);
        assert_eq!(read(&mut device).await.unwrap_err(), expected, "{fault:?}");
        let remark = remarks(&device);
        assert_eq!(remark.len(), 1, "{remark:?}");
        assert_eq!(read(&mut device).await.unwrap().len(), 2, "after {fault:?}");
        assert_eq!(remarks(&device), Vec::<String>::new());
    }
    let view = device.board().view();
    let kinds: Vec<_> = view.errors.into_iter().collect();
    let expected = [
        ("garbled", 2),
        ("no_data", 1),
        ("refused", 1),
        ("timeout", 1),
    ];
    assert_eq!((kinds, view.good), (expected.into(), 5));
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_telegram_is_named() {
    let (meters, line) = one();
    meters.configure(1, |meter| {
        meter.security = 0x0510;
        meter.telegrams = vec![vec![0xA5; 32]];
    });
    let mut device = device(&line, config(Address::Primary(1)));
    let words = "the answer is encrypted (security mode 5), which is not supported";
    assert_eq!(read(&mut device).await, Err(Fault::Device(words.into())));
}

#[tokio::test(start_paused = true)]
async fn values_that_are_none_and_records_that_are_missing_are_named_and_the_rest_is_told() {
    let (meters, line) = one();
    meters.configure(1, |meter| {
        meter.status = 0x08;
        // No decimal digits; then a volume, then a record that is cut off.
        meter.telegrams = vec![vec![0x0A, 0x06, 0xEE, 0xEE, 0x01, 0x13, 5, 0x04, 0x2B, 1]];
    });
    let mut device = device(&line, config(Address::Primary(1)));
    assert_eq!(
        shown(&read(&mut device).await.unwrap()),
        ["/3424/0/1 0.005 Unchecked"]
    );
    assert_eq!(
        remarks(&device),
        [
            "records at the end of a telegram are lost: a record is cut off",
            "energy: it is no number",
            "the meter reports an error of its own: permanent error",
            "the meter has no energy",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_smaller_counter_is_not_believed_and_another_meter_is_seen() {
    let (meters, line) = one();
    let mut configured = config(Address::Primary(1));
    configured.points[0].1.monotonic = true;
    let mut device = device(&line, configured);
    read(&mut device).await.unwrap();
    meters.configure(1, |meter| meter.telegrams = vec![heat(5, 6, 7)]);
    let samples = read(&mut device).await.unwrap();
    assert_eq!(shown(&samples)[0], "/3331/0/5700 12345678000 Bad");
    meters.configure(1, |meter| meter.secondary[0] = 0x79);
    let samples = read(&mut device).await.unwrap();
    assert_eq!(shown(&samples)[0], "/3331/0/5700 5000 Good");
    let notes: Vec<_> = device.take_notes().iter().map(|note| note.what).collect();
    assert_eq!(notes, ["counter_back", "meter_exchanged"]);
}

#[tokio::test(start_paused = true)]
async fn an_echo_is_read_back_and_one_that_was_not_announced_is_named() {
    let meters = MbusMeters::new([Built::default()]);
    let line = shared(
        &meters,
        MbusLineConfig {
            echo: true,
            ..MbusLineConfig::default()
        },
    );
    let mut with = config(Address::Primary(1));
    with.timing.echo = true;
    assert_eq!(
        read(&mut device(&line, with.clone())).await.unwrap().len(),
        2
    );
    let words = "the adapter returns what is sent: set echo = true in its [bus]";
    let without = config(Address::Primary(1));
    assert_eq!(
        read(&mut device(&line, without)).await,
        Err(Fault::Device(words.into()))
    );
    let (_, silent) = one();
    let failure = read(&mut device(&silent, with)).await.unwrap_err();
    assert!(
        failure.to_string().contains("does not come back"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_meter_needs_its_factor() {
    let (meters, line) = one();
    let late = MbusFault::Late(Duration::from_millis(300));
    let mut configured = config(Address::Primary(1));
    configured.retries = 0;
    meters.inject(1, &[late]);
    assert_eq!(
        read(&mut device(&line, configured.clone())).await,
        Err(Fault::Timeout)
    );
    configured.timing.factor = 2;
    meters.inject(1, &[late]);
    assert!(read(&mut device(&line, configured)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_taken_for_that_of_another_meter() {
    let meters = MbusMeters::new([numbered(1, 0x71), numbered(2, 0x72)]);
    let line = shared(&meters, MbusLineConfig::default());
    let at = |address| {
        let mut config = config(address);
        config.retries = 0;
        device(&line, config)
    };
    let mut first = at(Address::Primary(1));
    for mut second in [at(Address::Primary(2)), at(secondary("12345672"))] {
        // It arrives while the second one is asked for its data.
        meters.inject(1, &[MbusFault::Late(Duration::from_millis(250))]);
        assert_eq!(read(&mut first).await, Err(Fault::Timeout));
        match read(&mut second).await {
            Ok(samples) => assert_eq!(shown(&samples)[0], "/3331/0/5700 2000 Good"),
            Err(Fault::Device(_) | Fault::Timeout) => (),
            Err(fault) => panic!("{fault}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn meters_whose_addresses_are_alike_collide() {
    let meters = MbusMeters::new([numbered(1, 0x71), numbered(1, 0x72)]);
    let line = shared(&meters, MbusLineConfig::default());
    let failure = read(&mut device(&line, config(Address::Primary(1)))).await;
    let words = failure.unwrap_err().to_string();
    assert!(words.contains("damaged"), "{words}");
    assert!(
        read(&mut device(&line, config(secondary("12345672"))))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_meter_takes_little_of_the_others_time() {
    let meters = MbusMeters::new((1..=8).map(|number| numbered(number, number)));
    meters.set_mute(3, true);
    meters.set_mute(6, true);
    let line = shared(&meters, MbusLineConfig::default());
    let mut handles = Vec::new();
    for number in 1..=8 {
        let config = MbusConfig {
            read_every: Duration::from_secs(60),
            ..config(Address::Primary(number))
        };
        let limits = config.limits();
        let (handle, port) = Port::pair();
        tokio::spawn(supervise(device(&line, config), port, clock(), limits));
        handles.push(handle);
    }
    tokio::time::sleep(Duration::from_secs(3601)).await;
    for number in [1, 2, 4, 5, 7, 8] {
        let readouts = meters.readouts(number);
        assert!((59..=61).contains(&readouts), "meter {number}: {readouts}");
    }
    // It is back when it answers again, at the latest after the longest pause.
    meters.set_mute(3, false);
    tokio::time::sleep(Duration::from_secs(3700)).await;
    assert!(meters.readouts(3) > 0);
    drop(handles);
}

#[tokio::test(start_paused = true)]
async fn a_scan_finds_every_meter_by_digits_where_answers_collide() {
    let numbers = [0x01, 0x02, 0x15, 0x95];
    let meters = MbusMeters::new(
        (1..)
            .zip(numbers)
            .map(|(primary, last)| numbered(primary, last)),
    );
    let line = shared(&meters, MbusLineConfig::default());
    let mut scan = SecondaryScan::new("12345FFF".parse().unwrap());
    let mut found = Vec::new();
    while let Some(pattern) = scan.next_pattern() {
        let looked = look(&line, timing(), Address::Secondary(pattern))
            .await
            .unwrap();
        found.extend(scan.looked(&looked));
    }
    let found: Vec<_> = found
        .iter()
        .map(|(meter, failure)| (meter.identification(), failure.is_none()))
        .collect();
    let expected = ["12345601", "12345602", "12345615", "12345695"];
    assert_eq!(found, expected.map(|number| (number.to_owned(), true)));
    let primary = |number| look(&line, timing(), Address::Primary(number));
    assert!(matches!(primary(4).await, Ok(Looked::Meter(Some(_)))));
    assert_eq!(primary(5).await, Ok(Looked::Nobody));
}

#[tokio::test(start_paused = true)]
async fn a_readout_takes_little_more_than_the_lines_time() {
    let char_time = timing().line.char_time();
    let meters = MbusMeters::new([Built {
        reaction: Duration::from_millis(10),
        ..Built::default()
    }]);
    let line = shared(
        &meters,
        MbusLineConfig {
            char_time,
            ..MbusLineConfig::default()
        },
    );
    let mut device = device(&line, config(Address::Primary(1)));
    read(&mut device).await.unwrap();
    let start = Instant::now();
    read(&mut device).await.unwrap();
    // Reset, acknowledgement, question, answer; a pause before both of ours, the meter's before its.
    let floor = char_time * (5 + 1 + 5 + 76) + Duration::from_millis(2 * 14 + 2 * 10);
    let took = start.elapsed();
    assert!(took <= floor + floor / 10, "{took:?} for {floor:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_be_opened_is_unreachable_and_comes_back() {
    let meters = MbusMeters::new([Built::default()]);
    let opener = Memory {
        meters,
        line: MbusLineConfig::default(),
        is_gone: true,
    };
    let line = SharedLine::new(opener, settings(), 1);
    let mut device = device(&line, config(Address::Primary(1)));
    assert_eq!(read(&mut device).await, Err(Fault::Unreachable));
    assert!(!line.state().borrow().is_open && !line.state().borrow().reason.is_empty());
}

#[tokio::test]
async fn a_real_serial_port_is_read_hangs_up_and_comes_back() {
    let link = std::env::temp_dir().join(format!("lamplighter-mbus-{}", std::process::id()));
    let pty = Pty::open_linked(&link).unwrap();
    let meters = MbusMeters::new([Built::default()]);
    let serving = tokio::spawn(meters.clone().serve(pty, MbusLineConfig::default()));
    let opener = SerialOpener::new(&link, timing().line);
    let line = SharedLine::new(opener, settings(), 1);
    let config = MbusConfig {
        read_every: Duration::from_millis(300),
        ..config(Address::Primary(1))
    };
    let limits = crate::Limits {
        retry_first: Duration::from_millis(10),
        offline_after: 1,
        ..config.limits()
    };
    let (mut handle, port) = Port::pair();
    tokio::spawn(supervise(device(&line, config), port, clock(), limits));
    let mut reach = async |state: LinkState| {
        let find = async {
            loop {
                if let AdapterEvent::Link(now, _) = handle.events.recv().await.unwrap()
                    && now == state
                {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), find).await.unwrap();
    };
    reach(LinkState::Online).await;
    serving.abort();
    reach(LinkState::Offline).await;
    let pty = Pty::open_linked(&link).unwrap();
    tokio::spawn(meters.serve(pty, MbusLineConfig::default()));
    reach(LinkState::Online).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_who_never_stops_is_given_up() {
    let (ours, mut theirs) = duplex(4096);
    struct Once(Option<DuplexStream>);
    impl Opener for Once {
        type Port = DuplexStream;
        fn open(&mut self) -> impl Future<Output = io::Result<DuplexStream>> + Send {
            std::future::ready(self.0.take().ok_or_else(|| io::ErrorKind::NotFound.into()))
        }
    }
    tokio::spawn(async move {
        let mut said = [0; 64];
        loop {
            let _ = timeout(Duration::from_millis(5), theirs.read(&mut said)).await;
            if theirs.write_all(&[0xAA; 16]).await.is_err() {
                return;
            }
        }
    });
    let line = SharedLine::new(Once(Some(ours)), settings(), 1);
    let mut device = device(&line, config(Address::Primary(1)));
    let failure = read(&mut device).await.unwrap_err();
    assert!(matches!(failure, Fault::Device(_)), "{failure}");
}
