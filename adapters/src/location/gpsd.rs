//! The daemon `gpsd`: JSON lines over TCP (gpsd_json(5)).

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use tokio::time::Instant;

use super::{Decode, Fix, Report, time};

/// gpsd's own limit of a line is 10240.
const LINE_MAX: usize = 16_384;
/// Another receiver takes over when the one that is listened to has had no fix for this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of `mode`: 2 is a position, 3 one with an altitude.
const TWO_DIMENSIONS: u8 = 2;
const THREE_DIMENSIONS: u8 = 3;
/// Of `status`: dead reckoning alone, and a simulator.
const ESTIMATED: [u8; 2] = [5, 8];

/// Listens to one receiver at a time of those that gpsd has.
#[derive(Debug, Default)]
pub struct Gpsd {
    /// The one that was configured.
    device: Option<String>,
    /// The one that had a fix, and when.
    current: Option<(String, Instant)>,
}

/// The fields that we want, of any class of message.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    class: Cow<'a, str>,
    #[serde(borrow)]
    device: Cow<'a, str>,
    mode: u8,
    status: u8,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    lat: Option<f64>,
    lon: Option<f64>,
    /// Above the sea; `alt` before gpsd 3.20.
    #[serde(rename = "altMSL")]
    above_sea: Option<f64>,
    alt: Option<f64>,
    /// Estimated horizontal error.
    eph: Option<f64>,
    epx: Option<f64>,
    epy: Option<f64>,
    speed: Option<f64>,
    track: Option<f64>,
    climb: Option<f64>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl Gpsd {
    /// `device`: only the receiver that gpsd knows by this path.
    pub fn new(device: Option<String>) -> Self {
        Self {
            device,
            current: None,
        }
    }

    fn on_position(&mut self, message: &Message<'_>) -> Option<Report> {
        if self
            .device
            .as_deref()
            .is_some_and(|only| only != message.device)
        {
            return None;
        }
        let fix = message.fix();
        let is_current = self
            .current
            .as_ref()
            .is_none_or(|(name, _)| *name == message.device);
        let is_given_up = self
            .current
            .as_ref()
            .is_some_and(|(_, at)| at.elapsed() >= PATIENCE);
        match fix {
            Some(fix) if is_current || is_given_up => {
                self.current = Some((message.device.clone().into_owned(), Instant::now()));
                Some(Report::Fix(fix))
            }
            None if is_current => Some(Report::NoFix),
            Some(_) | None => None,
        }
    }
}

impl Message<'_> {
    fn fix(&self) -> Option<Fix> {
        if self.mode < TWO_DIMENSIONS {
            return None;
        }
        let altitude = self.above_sea.or(self.alt);
        let error = self.epx.zip(self.epy).map(|(x, y)| x.hypot(y));
        let fix = Fix {
            latitude: self.lat?,
            longitude: self.lon?,
            altitude: altitude.filter(|_| self.mode >= THREE_DIMENSIONS),
            radius: self.eph.or(error),
            speed: self.speed,
            track: self.track,
            climb: self.climb.filter(|_| self.mode >= THREE_DIMENSIONS),
            time: self.time.as_deref().and_then(time::iso),
            is_estimated: ESTIMATED.contains(&self.status),
        };
        fix.sane()
    }
}

impl Decode for Gpsd {
    const LINE_MAX: usize = LINE_MAX;

    fn hello(&self) -> Vec<u8> {
        b"?WATCH={\"enable\":true,\"json\":true};\n".to_vec()
    }

    fn line(&mut self, line: &[u8]) -> Option<Report> {
        let message: Message<'_> = serde_json::from_slice(line).ok()?;
        match &*message.class {
            "ERROR" => {
                tracing::debug!(message = %message.message, "gpsd reports an error");
                None
            }
            "TPV" => self.on_position(&message),
            _ => None,
        }
    }

    fn reset(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::UnixTime;

    use super::*;

    fn position(device: &str, latitude: f64) -> String {
        format!(
            r#"{{"class":"TPV","device":"{device}","mode":3,"lat":{latitude},"lon":13.4,"time":"2026-11-23T03:15:00.000Z"}}"#
        )
    }

    #[test]
    fn a_position_has_what_gpsd_says_of_it() {
        let line = br#"{"class":"TPV","device":"/dev/ttyACM0","status":1,"mode":3,"time":"2026-11-23T03:15:01.000Z","leapseconds":18,"ept":0.005,"lat":52.520006599,"lon":13.404954,"altHAE":78.2,"altMSL":34.1,"alt":34.1,"epx":3.1,"epy":4.2,"epv":9.2,"track":271.3,"speed":13.9,"climb":-0.1,"eph":5.7,"sep":12.0}"#;
        let fix = Gpsd::new(None).line(line);
        let expected = Fix {
            latitude: 52.520006599,
            longitude: 13.404954,
            altitude: Some(34.1),
            radius: Some(5.7),
            speed: Some(13.9),
            track: Some(271.3),
            climb: Some(-0.1),
            time: Some(UnixTime(1_795_403_701_000)),
            is_estimated: false,
        };
        assert_eq!(fix, Some(Report::Fix(expected)));
    }

    #[test]
    fn without_a_mode_of_two_there_is_no_position() {
        let mut gpsd = Gpsd::new(None);
        for line in [
            r#"{"class":"TPV","device":"/dev/ttyACM0","mode":1}"#,
            r#"{"class":"TPV","device":"/dev/ttyACM0","mode":1,"lat":1,"lon":2}"#,
            r#"{"class":"TPV","device":"/dev/ttyACM0","mode":3,"lat":91,"lon":2}"#,
            r#"{"class":"TPV","device":"/dev/ttyACM0","mode":3}"#,
        ] {
            assert_eq!(gpsd.line(line.as_bytes()), Some(Report::NoFix), "{line}");
        }
    }

    #[test]
    fn what_is_no_position_is_passed_over() {
        let mut gpsd = Gpsd::new(None);
        for line in [
            "",
            "nonsense",
            r#"{"class":"TPV","device":"#,
            r#"{"class":"TPV","mode":"three"}"#,
            r#"{"class":"VERSION","release":"3.25","rev":"3.25","proto_major":3,"proto_minor":15}"#,
            r#"{"class":"SKY","device":"/dev/ttyACM0","satellites":[{"PRN":1,"used":true}]}"#,
            r#"{"class":"ERROR","message":"Unrecognized request"}"#,
            r#"[1,2,3]"#,
        ] {
            assert_eq!(gpsd.line(line.as_bytes()), None, "{line}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_receivers_one_is_listened_to_until_it_has_no_fix() {
        let mut gpsd = Gpsd::new(None);
        let is_told = |gpsd: &mut Gpsd, device: &str| {
            let line = position(device, 52.0);
            matches!(gpsd.line(line.as_bytes()), Some(Report::Fix(_)))
        };
        assert!(is_told(&mut gpsd, "a"));
        assert!(!is_told(&mut gpsd, "b"));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(is_told(&mut gpsd, "a"));
        tokio::time::advance(PATIENCE).await;
        assert!(is_told(&mut gpsd, "b"));
        assert!(!is_told(&mut gpsd, "a"));
    }

    #[test]
    fn a_receiver_that_is_configured_is_the_only_one() {
        let mut gpsd = Gpsd::new(Some("/dev/b".to_owned()));
        assert_eq!(gpsd.line(position("/dev/a", 1.0).as_bytes()), None);
        assert!(gpsd.line(position("/dev/b", 1.0).as_bytes()).is_some());
    }
}
