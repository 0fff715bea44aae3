//! The adapter over streams in memory.

use std::io;

use lamplighter_model::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{advance, timeout},
};

use super::{gpsd::Gpsd, *};

/// Gives out streams one after the other; fails when there is none.
struct Streams(mpsc::Receiver<DuplexStream>);

impl Opener for Streams {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        self.0
            .try_recv()
            .map_err(|_| io::ErrorKind::ConnectionRefused.into())
    }
}

struct World {
    location: Location,
    streams: mpsc::Sender<DuplexStream>,
}

fn points() -> Vec<LocationPoint> {
    let object = lamplighter_model::ObjectId(6);
    Quantity::of_object(object)
        .map(|(resource, quantity)| LocationPoint {
            address: ResourceAddress::gateway(6, 0, resource.0),
            quantity,
        })
        .collect()
}

fn world() -> World {
    let (streams, receiver) = mpsc::channel(4);
    let config = LocationConfig {
        points: points(),
        every: Duration::from_secs(5),
        stale_after: Duration::from_secs(20),
        max_speed: 111.0,
    };
    let start = Instant::now();
    let clock = Clock::new(move || Stamp {
        mono: start.elapsed(),
        ..Stamp::default()
    });
    let location = Location::new(Streams(receiver), Gpsd::new(None), config, clock, 1);
    World { location, streams }
}

impl World {
    async fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        self.streams.send(theirs).await.unwrap();
        ours
    }

    async fn news(&mut self) -> Option<Result<Wake, Fault>> {
        timeout(Duration::from_millis(10), self.location.wait())
            .await
            .ok()
    }

    async fn samples(&mut self) -> Vec<Sample> {
        match self.news().await {
            Some(Ok(Wake::News(samples))) => samples,
            other => panic!("{other:?}"),
        }
    }
}

fn position(latitude: f64, mode: u8) -> String {
    format!(
        "{{\"class\":\"TPV\",\"device\":\"/dev/gps\",\"mode\":{mode},\"lat\":{latitude},\"lon\":13.4,\
         \"speed\":1.5,\"track\":90,\"time\":\"2026-11-23T03:15:00.000Z\"}}\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_position_is_told_at_most_once_in_its_time_and_its_loss_at_once() {
    let mut world = world();
    let mut gpsd = world.connect().await;
    gpsd.write_all(position(52.0, 2).as_bytes()).await.unwrap();
    let samples = world.samples().await;
    // No altitude and no radius were said.
    let told: Vec<u16> = samples
        .iter()
        .map(|sample| sample.address.path.resource.0)
        .collect();
    assert_eq!(told, [0, 1, 4, 5, 6]);
    assert_eq!(samples[0].value, Value::Float(52.0));
    assert_eq!(samples[2].value, Value::Opaque(vec![0, 90, 0, 5]));
    assert_eq!(samples[3].value, Value::Time(1_795_403_700));
    assert!(samples.iter().all(|sample| sample.quality == Quality::Good));
    for _ in 0..2 {
        advance(Duration::from_secs(1)).await;
        gpsd.write_all(position(52.0001, 2).as_bytes())
            .await
            .unwrap();
        assert_eq!(world.news().await, None);
    }
    advance(Duration::from_secs(3)).await;
    gpsd.write_all(position(52.0002, 2).as_bytes())
        .await
        .unwrap();
    assert_eq!(world.samples().await[0].value, Value::Float(52.0002));
    gpsd.write_all(position(52.0002, 1).as_bytes())
        .await
        .unwrap();
    let lost = world.samples().await;
    assert!(lost.iter().all(|sample| sample.quality == Quality::Stale));
    assert_eq!(lost[0].value, Value::Float(52.0002), "where it was last");
    gpsd.write_all(position(52.0002, 1).as_bytes())
        .await
        .unwrap();
    let words = "the receiver has no fix".to_owned();
    assert_eq!(world.news().await, Some(Err(Fault::Device(words))));
    gpsd.write_all(position(52.0003, 3).as_bytes())
        .await
        .unwrap();
    assert_eq!(world.samples().await[0].quality, Quality::Good, "at once");
}

#[tokio::test(start_paused = true)]
async fn gpsd_is_asked_to_tell_and_is_connected_to_again_when_it_goes() {
    let mut world = world();
    let mut gpsd = world.connect().await;
    let mut asked = vec![0; 64];
    let count = gpsd.read(&mut asked).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&asked[..count]),
        "?WATCH={\"enable\":true,\"json\":true};\n"
    );
    gpsd.write_all(position(52.0, 3).as_bytes()).await.unwrap();
    assert_eq!(world.samples().await.len(), 5);
    drop(gpsd);
    let lost = world.samples().await;
    assert!(lost.iter().all(|sample| sample.quality == Quality::Stale));
    assert_eq!(world.news().await, Some(Err(Fault::Unreachable)));
    let mut gpsd = world.connect().await;
    advance(Duration::from_secs(10)).await;
    gpsd.write_all(position(52.0, 3).as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(world.samples().await[0].quality, Quality::Good);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_heard() {
    let mut world = world();
    let _gpsd = world.connect().await;
    assert_eq!(world.news().await, None);
    let lost = timeout(Duration::from_secs(11), world.location.wait()).await;
    assert_eq!(lost, Ok(Err(Fault::Unreachable)));
}

#[tokio::test(start_paused = true)]
async fn a_read_gives_the_last_position_with_its_age_and_nothing_before_the_first() {
    let mut world = world();
    let instance = points()[0].address.instance();
    let read = world.location.read(instance, &[ResourceId(0)]).await;
    assert_eq!(read, Err(Fault::NoValue));
    let mut gpsd = world.connect().await;
    gpsd.write_all(position(52.0, 3).as_bytes()).await.unwrap();
    world.samples().await;
    let read = world
        .location
        .read(instance, &[ResourceId(0)])
        .await
        .unwrap();
    assert_eq!((read.len(), read[0].quality), (1, Quality::Good));
    advance(Duration::from_secs(20)).await;
    let read = world
        .location
        .read(instance, &[ResourceId(0)])
        .await
        .unwrap();
    assert_eq!(read[0].quality, Quality::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_flood_stays_in_the_line() {
    let mut world = world();
    let mut gpsd = world.connect().await;
    let flood = tokio::spawn(async move {
        let mut sent = 0_u64;
        loop {
            if gpsd.write_all(position(52.0, 3).as_bytes()).await.is_err() {
                return sent;
            }
            sent += 1;
        }
    });
    assert!(!world.samples().await.is_empty());
    // Nobody asks for more: queue and stream are full, and the flood stands.
    tokio::task::yield_now().await;
    assert!(world.location.reports.len() <= QUEUE);
    assert!(!flood.is_finished());
    drop(world);
    let sent = flood.await.unwrap();
    assert!(sent < 2000, "{sent} lines were taken");
}
