//! The daemon gpsd (Debian's), fed with the sentences of a receiver over a pseudo-terminal: what it
//! makes of them and what our own decoder makes of them is the same place.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lamplighter_adapters::{
    Adapter, Clock, Wake,
    bus::{LineSettings, Opener, SerialOpener, TcpOpener},
    location::{Decode, Location, LocationConfig, LocationPoint, Quantity, gpsd::Gpsd, nmea::Nmea},
};
use lamplighter_model::{
    BootId, ObjectId, Quality, ResourceAddress, Sample, Stamp, UnixTime, Value,
};
use lamplighter_sim::pty::Pty;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, interval, timeout},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with its test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// gpsd in the foreground, at a port that was free, listening to a receiver it must not write to.
fn gpsd(device: &Path) -> (Daemon, u16) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let program = ["/usr/sbin/gpsd", "/usr/local/sbin/gpsd"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("gpsd is missing: run `tests/install gpsd`");
    let child = Command::new(program)
        .args(["-N", "-n", "-b", "-S", &port.to_string()])
        .arg(device)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Daemon(child), port)
}

fn sentence(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n")
}

/// A receiver on the way to the west, at 50 km/h; what it says in one second.
fn second(number: u32, has_fix: bool) -> String {
    let at = format!("0315{:02}.00", number % 60);
    if !has_fix {
        let (rmc, gga) = (
            format!("GPRMC,{at},V,,,,,,,231126,,,N"),
            format!("GPGGA,{at},,,,,0,00,99.99,,M,,M,,"),
        );
        return sentence(&rmc) + &sentence(&gga);
    }
    let place = "5231.20040,N,01324.29724,W";
    [
        format!("GPRMC,{at},A,{place},027.0,271.5,231126,,,A"),
        format!("GPGGA,{at},{place},1,09,0.9,34.1,M,44.0,M,,"),
        "GPGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.7,0.9,1.4".to_owned(),
        format!("GPGST,{at},10.0,4.0,3.0,271.5,3.0,4.0,9.0"),
    ]
    .iter()
    .map(|body| sentence(body))
    .collect()
}

/// Speaks four times as fast as a real one.
fn receiver(mut pty: Pty, has_fix: Arc<AtomicBool>) {
    tokio::spawn(async move {
        let mut clock = interval(Duration::from_millis(250));
        for number in 0.. {
            clock.tick().await;
            let text = second(number, has_fix.load(Ordering::Relaxed));
            if pty.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    });
}

fn location(opener: impl Opener, decoder: impl Decode) -> Location {
    let points = Quantity::of_object(ObjectId(6)).map(|(resource, quantity)| LocationPoint {
        address: ResourceAddress::gateway(6, 0, resource.0),
        quantity,
    });
    let config = LocationConfig {
        points: points.collect(),
        every: Duration::from_secs(1),
        stale_after: Duration::from_secs(15),
        max_speed: 111.0,
    };
    let start = Instant::now();
    let clock = Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    });
    Location::new(opener, decoder, config, clock, 1)
}

/// Waits for what is told with this quality; of a fix with an altitude and its error, which gpsd
/// knows a second later.
async fn told(location: &mut Location, quality: Quality) -> Vec<Sample> {
    let wanted = async {
        let mut pause = interval(Duration::from_millis(50));
        loop {
            match location.wait().await {
                Ok(Wake::News(samples)) if samples[0].quality == quality && is_whole(&samples) => {
                    return samples;
                }
                Ok(_) => {}
                Err(_) => {
                    pause.tick().await;
                }
            }
        }
    };
    timeout(PATIENCE, wanted).await.expect("it is told")
}

fn is_whole(samples: &[Sample]) -> bool {
    let has = |resource| {
        let mut samples = samples.iter();
        samples.any(|sample| sample.address.path.resource.0 == resource)
    };
    samples[0].quality == Quality::Stale || (has(2) && has(3))
}

fn number(samples: &[Sample], resource: u16) -> f64 {
    let mut of = samples.iter();
    let found = of.find(|sample| sample.address.path.resource.0 == resource);
    found
        .and_then(|sample| sample.value.as_f64())
        .unwrap_or_else(|| panic!("{resource}: {samples:?}"))
}

fn assert_place(samples: &[Sample], metres: f64) {
    let near = |resource, expected: f64, by: f64| {
        let is = number(samples, resource);
        assert!(
            (is - expected).abs() <= by,
            "{resource}: {is}, not {expected}"
        );
    };
    near(0, 52.520_006_7, 1e-6);
    near(1, -13.404_954, 1e-6);
    near(2, 34.1, 0.01);
    near(6, 13.89, 0.01);
    assert!(
        number(samples, 3) > 0.0 && number(samples, 3) < metres,
        "{samples:?}"
    );
    let velocity = samples.iter().find_map(|sample| {
        let Value::Opaque(bytes) = &sample.value else {
            return None;
        };
        Some(bytes.clone())
    });
    // 50 km/h to the west; a vertical speed may follow (3GPP TS 23.032, 8.12 and 8.13).
    let velocity = velocity.unwrap();
    let bearing = u16::from(velocity[0] & 1) << 8 | u16::from(velocity[1]);
    assert!((271..=272).contains(&bearing), "{velocity:?}");
    assert_eq!(velocity[2..4], [0, 50]);
    let time = samples[0].source_time.unwrap();
    let day = UnixTime::from_seconds(1_795_403_700);
    assert!((day..UnixTime(day.0 + 60_000)).contains(&time), "{time:?}");
}

#[tokio::test]
async fn gpsd_and_our_own_decoder_tell_the_same_place_of_the_same_sentences() {
    let has_fix = Arc::new(AtomicBool::new(true));
    let pty = Pty::open().unwrap();
    let (_daemon, port) = gpsd(pty.path());
    receiver(pty, Arc::clone(&has_fix));
    let opener = TcpOpener {
        host: "127.0.0.1".to_owned(),
        port,
        connect_timeout: Duration::from_secs(3),
    };
    let mut location_of_gpsd = location(opener, Gpsd::new(None));
    assert_place(&told(&mut location_of_gpsd, Quality::Good).await, 50.0);
    has_fix.store(false, Ordering::Relaxed);
    let lost = told(&mut location_of_gpsd, Quality::Stale).await;
    assert!(
        (number(&lost, 0) - 52.520_006_7).abs() < 1e-6,
        "where it was last"
    );
    has_fix.store(true, Ordering::Relaxed);
    told(&mut location_of_gpsd, Quality::Good).await;

    let pty = Pty::open().unwrap();
    let line: LineSettings = "9600-8N1".parse().unwrap();
    let opener = SerialOpener::new(pty.path().to_owned(), line);
    receiver(pty, has_fix);
    let mut ours = location(opener, Nmea::default());
    assert_place(&told(&mut ours, Quality::Good).await, 50.0);
}
