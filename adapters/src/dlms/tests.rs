//! Simulated meters, read by the adapter.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use lamplighter_model::{BootId, DataType, ResourceAddress, Sample, Stamp, device::Fault};
use lamplighter_sim::dlms::{
    Attribute, COUNTER, DlmsFault, DlmsMeterConfig, DlmsMeters, DlmsSecurity,
};
use tokio::{
    io::{DuplexStream, duplex},
    time::Instant,
};

use super::*;
use crate::{
    Adapter, Clock,
    bus::{Opener, SharedLine, SharedSettings},
    meter::{Counters, MeterPoint, Obis, Register},
};

const ENERGY: ResourceAddress = ResourceAddress::gateway(3331, 0, 5700);
const VOLTAGE: ResourceAddress = ResourceAddress::gateway(3316, 0, 5700);
const ENERGY_NAME: [u8; 6] = [1, 0, 1, 8, 0, 255];
const GUEK: [u8; 16] = *b"0123456789abcdef";
const GAK: [u8; 16] = *b"fedcba9876543210";

/// Opens the same line again and again.
struct Memory {
    meters: DlmsMeters,
    framing: Framing,
    is_gone: bool,
}

impl Opener for Memory {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        if self.is_gone {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = duplex(4096);
        let meters = self.meters.clone();
        match self.framing {
            Framing::Hdlc { .. } => tokio::spawn(meters.serve_hdlc(theirs)),
            Framing::Wrapper => tokio::spawn(meters.serve_wrapper(theirs)),
        };
        Ok(ours)
    }
}

/// Counters in memory that say what was kept.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<u32>>);

impl Counter for Kept {
    fn reserve(&self, seen: u32, count: u32) -> Result<u32, CounterError> {
        let mut next = self.0.lock().map_err(|_| CounterError("locked".into()))?;
        let first = (*next).max(seen + 1);
        *next = first
            .checked_add(count)
            .ok_or_else(|| CounterError("none left".into()))?;
        Ok(first)
    }

    fn give_back(&self, unused: u32, end: u32) {
        let mut next = self.0.lock().unwrap();
        if *next == end {
            *next = unused;
        }
    }
}

/// A disk that is full.
#[derive(Debug)]
struct Full;

impl Counter for Full {
    fn reserve(&self, _: u32, _: u32) -> Result<u32, CounterError> {
        Err(CounterError("no space left on device".into()))
    }

    fn give_back(&self, _: u32, _: u32) {}
}

fn hdlc() -> Framing {
    Framing::Hdlc {
        physical: None,
        length: None,
        char_time: Duration::from_micros(1042),
    }
}

fn line(meters: &DlmsMeters, framing: Framing) -> SharedLine<Memory> {
    let opener = Memory {
        meters: meters.clone(),
        framing,
        is_gone: false,
    };
    let settings = SharedSettings {
        name: "dlms".into(),
        reopen_first: Duration::from_millis(500),
        reopen_max: Duration::from_secs(30),
        connect_pause: Duration::ZERO,
    };
    SharedLine::new(opener, settings, 1)
}

fn config(framing: Framing, security: Security) -> DlmsConfig {
    let points = [(ENERGY, "1-0:1.8.0", "Wh"), (VOLTAGE, "1-0:32.7.0", "V")];
    let points = points.map(|(address, obis, unit)| {
        let wanted = Wanted::value(3, &obis.parse::<Obis>().unwrap());
        let register = Register::Record(wanted.to_string());
        let mut point = MeterPoint::new(address, register, DataType::Float);
        point.unit = Some(unit.parse().unwrap());
        (wanted, point)
    });
    DlmsConfig {
        link: Link {
            framing,
            server: 1,
            timeout: Duration::from_secs(2),
        },
        client: if security == Security::None { 16 } else { 1 },
        security,
        counter_at: None,
        retries: 1,
        read_every: Duration::from_secs(900),
        points: points.into(),
    }
}

fn gmac() -> Security {
    Security::Gmac {
        encryption_key: Key::new(&GUEK).unwrap(),
        authentication_key: Key::new(&GAK).unwrap(),
        system_title: *b"LMPcab17",
    }
}

fn built(security: DlmsSecurity) -> DlmsMeterConfig {
    DlmsMeterConfig {
        security,
        ..DlmsMeterConfig::default()
    }
}

fn gmac_meter() -> DlmsMeterConfig {
    built(DlmsSecurity::Gmac {
        encryption_key: GUEK,
        authentication_key: GAK,
    })
}

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

fn device(line: &SharedLine<Memory>, config: DlmsConfig) -> DlmsDevice<Memory> {
    counting(line, config, Kept::default())
}

fn counting(
    line: &SharedLine<Memory>,
    config: DlmsConfig,
    counter: impl Counter,
) -> DlmsDevice<Memory> {
    let counter = Arc::new(counter);
    DlmsDevice::new(line.clone(), config, Counters::default(), counter, clock())
}

async fn read(device: &mut DlmsDevice<Memory>) -> Result<Vec<Sample>, Fault> {
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

const EXPECTED: [&str; 2] = ["/3331/0/5700 12345678 Good", "/3316/0/5700 230.1 Good"];

#[tokio::test(start_paused = true)]
async fn registers_are_read_exactly_over_both_links_with_every_security() {
    for framing in [hdlc(), Framing::Wrapper] {
        for (built, security) in [
            (built(DlmsSecurity::None), Security::None),
            (
                built(DlmsSecurity::Password(b"12345678")),
                Security::Password(Secret::new(b"12345678").unwrap()),
            ),
            (gmac_meter(), gmac()),
        ] {
            let meters = DlmsMeters::new([built]);
            let line = line(&meters, framing);
            let mut device = device(&line, config(framing, security.clone()));
            for time in 0..3 {
                let samples = read(&mut device).await;
                assert_eq!(
                    shown(&samples.unwrap()),
                    EXPECTED,
                    "{framing:?} {security:?} {time}"
                );
            }
            assert_eq!(device.board().view().remarks, Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refused_associations_have_their_words() {
    let password = |text: &[u8]| Security::Password(Secret::new(text).unwrap());
    let keys = |first: u8, second: u8| Security::Gmac {
        encryption_key: Key::new(&[first; 16]).unwrap(),
        authentication_key: Key::new(&[second; 16]).unwrap(),
        system_title: *b"LMPcab17",
    };
    let locked = built(DlmsSecurity::Password(b"12345678"));
    for (built, security, words) in [
        (
            locked.clone(),
            password(b"87654321"),
            "wrong password or key",
        ),
        (locked, keys(1, 2), "refuses"),
        (gmac_meter(), keys(1, 2), "key"),
        (gmac_meter(), password(b"12345678"), "refuses"),
    ] {
        for framing in [hdlc(), Framing::Wrapper] {
            let meters = DlmsMeters::new([built.clone()]);
            let line = line(&meters, framing);
            let mut config = config(framing, security.clone());
            config.client = 1;
            let mut device = device(&line, config);
            let fault = read(&mut device).await.unwrap_err();
            assert!(
                matches!(&fault, Fault::Device(what) if what.contains(words)),
                "{framing:?} {security:?}: {fault}"
            );
            let errors = device.board().view().errors;
            assert!(
                errors.contains_key("refused") || errors.contains_key("key"),
                "{errors:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn counters_are_kept_before_they_are_used_and_never_used_twice() {
    let meters = DlmsMeters::new([gmac_meter()]);
    let line = line(&meters, Framing::Wrapper);
    let kept = Kept::default();
    let secured = config(Framing::Wrapper, gmac());
    for _ in 0..2 {
        let before = *kept.0.lock().unwrap();
        let mut device = counting(&line, secured.clone(), kept.clone());
        assert!(read(&mut device).await.is_ok());
        let seen = meters.seen_counter(0).unwrap();
        assert!(seen > before && seen < *kept.0.lock().unwrap(), "{seen}");
    }
    // What was kept is lost: the meter refuses, and says what it expects, which is not believed.
    let mut forgetful = device(&line, secured.clone());
    let fault = read(&mut forgetful).await.unwrap_err();
    assert!(fault.to_string().contains("invocation counters"), "{fault}");
    // The public client may ask the meter.
    let asking = DlmsConfig {
        counter_at: Some(COUNTER),
        ..secured.clone()
    };
    let mut asking = device(&line, asking);
    assert!(read(&mut asking).await.is_ok());
    let mut full = counting(&line, secured, Full);
    let fault = read(&mut full).await.unwrap_err();
    assert!(fault.to_string().contains("no space left"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_never_uses_more_numbers_than_it_took() {
    let meters = DlmsMeters::new([gmac_meter()]);
    let line = line(&meters, Framing::Wrapper);
    let kept = Kept::default();
    let mut short = counting(&line, config(Framing::Wrapper, gmac()), kept.clone());
    read(&mut short).await.unwrap();
    // What no message had is there for the next one, and no more.
    let seen = meters.seen_counter(0).unwrap();
    assert_eq!(*kept.0.lock().unwrap(), seen + 1);

    // A message for each register: more than a conversation may have.
    let mut long = config(Framing::Wrapper, gmac());
    let energy = long.points[0].clone();
    long.points.extend(vec![energy; 1100]);
    let mut long = counting(&line, long, kept.clone());
    assert!(read(&mut long).await.is_err());
    let last = meters.seen_counter(0).unwrap();
    let end = seen + 1 + dialogue::COUNTERS;
    assert!(last > seen + 1000 && last < end, "{last} of {end}");
    assert!(*kept.0.lock().unwrap() > last);
}

#[tokio::test(start_paused = true)]
async fn who_comes_behind_a_conversation_that_was_dropped_is_answered() {
    for framing in [Framing::Wrapper, hdlc()] {
        let meters = DlmsMeters::new([DlmsMeterConfig::default()]);
        let line = line(&meters, framing);
        let once = DlmsConfig {
            retries: 0,
            ..config(framing, Security::None)
        };
        let mut device = device(&line, once);
        read(&mut device).await.unwrap();
        // At any step of it.
        for milliseconds in [1, 20, 60, 120, 200, 300] {
            let cut = Duration::from_millis(milliseconds);
            let _ = tokio::time::timeout(cut, read(&mut device)).await;
            assert_eq!(
                shown(&read(&mut device).await.unwrap()),
                EXPECTED,
                "{framing:?} after {cut:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_register_lacks_does_not_concern_the_others() {
    let meters = DlmsMeters::new([DlmsMeterConfig::default()]);
    meters.set(0, (3, ENERGY_NAME, 2), Attribute::Forbidden);
    let line = line(&meters, hdlc());
    let mut device = device(&line, config(hdlc(), Security::None));
    assert_eq!(shown(&read(&mut device).await.unwrap()), EXPECTED[1..]);
    let remarks = device.board().view().remarks;
    assert_eq!(
        remarks,
        [
            "1-0:1.8.0: this client may not read it",
            "the meter has no 1-0:1.8.0"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_or_damaged_answer_costs_a_conversation_and_no_more() {
    for framing in [hdlc(), Framing::Wrapper] {
        for fault in [
            DlmsFault::Mute,
            DlmsFault::WrongCheck,
            DlmsFault::HangUp,
            DlmsFault::Noise,
        ] {
            let meters = DlmsMeters::new([DlmsMeterConfig::default()]);
            let line = line(&meters, framing);
            let mut device = device(&line, config(framing, Security::None));
            // The association goes well.
            read(&mut device).await.unwrap();
            meters.inject(0, &[fault]);
            let mut samples = read(&mut device).await;
            if (framing, fault) == (Framing::Wrapper, DlmsFault::HangUp) {
                // Whoever accepts a connection and ends it at once is not asked again at once.
                assert_eq!(samples, Err(Fault::Unreachable));
                tokio::time::sleep(Duration::from_secs(1)).await;
                samples = read(&mut device).await;
            }
            let samples = samples.unwrap_or_else(|why| panic!("{framing:?} {fault:?}: {why}"));
            assert_eq!(shown(&samples), EXPECTED, "{framing:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_that_stays_has_its_words() {
    let meters = DlmsMeters::new([DlmsMeterConfig::default()]);
    let line = line(&meters, hdlc());
    let mut device = device(&line, config(hdlc(), Security::None));
    let words = |text: &str| Fault::Device(text.to_owned());
    for (fault, expected) in [
        (DlmsFault::Mute, Fault::Timeout),
        (
            DlmsFault::WrongCheck,
            words("the meter sends frames that are damaged"),
        ),
    ] {
        meters.inject(0, &[fault, fault]);
        assert_eq!(read(&mut device).await, Err(expected));
        assert!(read(&mut device).await.is_ok());
    }
    let view = device.board().view();
    let kinds: Vec<_> = view.errors.into_iter().collect();
    assert_eq!(
        (kinds, view.good),
        (vec![("garbled", 1), ("timeout", 1)], 2)
    );
}

#[tokio::test(start_paused = true)]
async fn several_meters_share_a_line_and_long_values_come_in_parts() {
    let built = |physical, device_name| DlmsMeterConfig {
        physical,
        device_name,
        max_information: 32,
        ..DlmsMeterConfig::default()
    };
    let meters = DlmsMeters::new([built(17, "LMP17"), built(1018, "LMP18")]);
    meters.set(1, (3, ENERGY_NAME, 2), Attribute::Number(77));
    meters.set(0, (3, ENERGY_NAME, 2), Attribute::Octets(vec![b'x'; 1500]));
    let at = |physical| Framing::Hdlc {
        physical: Some(physical),
        length: None,
        char_time: Duration::from_micros(1042),
    };
    let line = line(&meters, at(17));
    let mut second = device(&line, config(at(1018), Security::None));
    assert_eq!(
        shown(&read(&mut second).await.unwrap()),
        ["/3331/0/5700 77 Good", EXPECTED[1]]
    );
    let mut text = config(at(17), Security::None);
    text.points[0].1.data_type = DataType::String;
    let samples = read(&mut device(&line, text)).await.unwrap();
    assert_eq!(samples[0].value.to_string(), "x".repeat(1500));
}

#[tokio::test(start_paused = true)]
async fn scalers_are_those_of_the_meter_now_also_when_it_was_exchanged() {
    let meters = DlmsMeters::new([DlmsMeterConfig::default()]);
    let line = line(&meters, Framing::Wrapper);
    let mut device = device(&line, config(Framing::Wrapper, Security::None));
    read(&mut device).await.unwrap();
    // Somebody sets its parameters anew.
    meters.set(0, (3, ENERGY_NAME, 3), Attribute::ScalerUnit(3, 30));
    let same = read(&mut device).await.unwrap();
    assert_eq!(shown(&same)[0], "/3331/0/5700 12345678000 Good");
    let name = Attribute::Octets(b"LMP0000000000002".to_vec());
    meters.set(0, (1, [0, 0, 42, 0, 0, 255], 2), name);
    let other = read(&mut device).await.unwrap();
    assert_eq!(shown(&other)[0], "/3331/0/5700 12345678000 Good");
    let notes: Vec<_> = device.take_notes().iter().map(|note| note.what).collect();
    assert_eq!(notes, ["meter_exchanged"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_be_opened_is_unreachable() {
    let meters = DlmsMeters::new([DlmsMeterConfig::default()]);
    let opener = Memory {
        meters,
        framing: Framing::Wrapper,
        is_gone: true,
    };
    let settings = SharedSettings {
        name: "dlms".into(),
        reopen_first: Duration::from_millis(500),
        reopen_max: Duration::from_secs(30),
        connect_pause: Duration::ZERO,
    };
    let line = SharedLine::new(opener, settings, 1);
    let mut device = device(&line, config(Framing::Wrapper, Security::None));
    assert_eq!(read(&mut device).await, Err(Fault::Unreachable));
}
