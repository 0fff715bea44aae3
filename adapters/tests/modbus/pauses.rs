//! Pauses on a line with the speed of a real one.

use lamplighter_adapters::bus::SerialOpener;
use lamplighter_sim::{modbus::Obedient, null_modem::NullModem};

use super::*;

/// Ours is the near end, a slave in this runtime has the far one.
async fn exchanges_at(
    line: &str,
    count: u16,
) -> (Vec<lamplighter_sim::null_modem::Exchange>, Duration) {
    let line = line
        .parse::<lamplighter_adapters::bus::LineSettings>()
        .unwrap();
    let modem = NullModem::open(line.char_time()).unwrap();
    let mut far = SerialOpener::new(modem.far(), line);
    let port = far.open().await.unwrap();
    tokio::spawn(async move {
        sim::serve(port, sim::Framing::Rtu, counting_units(&[1]), Obedient).await
    });
    let settings = BusSettings::new("paced", Framing::Rtu(line));
    let silence = settings.silence();
    let (bus, owner) = Bus::new(SerialOpener::new(modem.near(), line), settings, 1);
    tokio::spawn(owner.run());
    for at in 0..count {
        let patient = Ask {
            timeout: Duration::from_secs(20),
            late_timeout: Duration::from_secs(20),
            ..read(1, at, 10)
        };
        bus.ask(patient).await.unwrap();
    }
    (modem.take_exchanges(), silence)
}

/// Issue of others (mqmgateway#40, libmodbus PR#494, tokio-modbus#180): no silence between frames.
#[tokio::test]
async fn no_request_comes_before_the_silence_is_over_and_none_long_after_it() {
    for line in ["9600-8N1", "19200-8E1"] {
        let (exchanges, silence) = exchanges_at(line, 25).await;
        assert_eq!(exchanges.len(), 25);
        let pauses: Vec<Duration> = exchanges
            .windows(2)
            .map(|pair| pair[1].request.0 - pair[0].reply.1)
            .collect();
        let shortest = pauses.iter().min().unwrap();
        assert!(*shortest >= silence, "{line}: {shortest:?} of {silence:?}");
        // The machine may be busy now and then; a timer that counts in milliseconds is late always.
        assert!(
            *shortest < silence + Duration::from_millis(1),
            "{line}: {shortest:?} of {silence:?}"
        );
    }
}
