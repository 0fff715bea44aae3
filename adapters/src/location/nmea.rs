//! Receivers that speak NMEA 0183: RMC, GGA, GLL, VTG, GST and ZDA, of any constellation.
//!
//! One position comes in several sentences of the same second. They are put together, and told when
//! all kinds are there that the second before had, else when the next one begins.

use lamplighter_model::UnixTime;

use super::{Decode, Fix, Report, time};

/// 82 by the standard; some receivers write more digits.
const LINE_MAX: usize = 256;
const FIELDS_MAX: usize = 32;

const KNOT: f64 = 1852.0 / 3600.0;
const KM_PER_H: f64 = 1.0 / 3.6;
/// Error of a usual receiver in metres, to be multiplied by its dilution of precision.
const RANGE_ERROR: f64 = 5.0;

/// Puts sentences together.
#[derive(Debug, Default)]
pub struct Nmea {
    epoch: Epoch,
    /// Kinds of sentences of the second before.
    usual: u8,
}

/// What has been said of one second.
#[derive(Clone, Debug, Default, PartialEq)]
struct Epoch {
    /// Milliseconds of the day.
    of_day: Option<u32>,
    kinds: u8,
    is_told: bool,
    /// Midnight of its day.
    day: Option<UnixTime>,
    place: Option<(f64, f64)>,
    altitude: Option<f64>,
    dilution: Option<f64>,
    error: Option<f64>,
    speed: Option<f64>,
    track: Option<f64>,
    /// A sentence says that the position does not hold.
    is_invalid: bool,
    is_estimated: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Gga,
    Gll,
    Gst,
    Rmc,
    Vtg,
    Zda,
}

/// The fields of a sentence behind its name.
struct Fields<'a>([&'a str; FIELDS_MAX]);

impl Kind {
    /// By the last three letters; the first two are the constellation.
    fn of(name: &str) -> Option<Self> {
        let (talker, kind) = name.split_at_checked(2)?;
        if talker.starts_with('P') {
            return None;
        }
        match kind {
            "GGA" => Some(Self::Gga),
            "GLL" => Some(Self::Gll),
            "GST" => Some(Self::Gst),
            "RMC" => Some(Self::Rmc),
            "VTG" => Some(Self::Vtg),
            "ZDA" => Some(Self::Zda),
            _ => None,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Where its time of day stands.
    const fn time_field(self) -> Option<usize> {
        match self {
            Self::Gga | Self::Gst | Self::Rmc | Self::Zda => Some(0),
            Self::Gll => Some(4),
            Self::Vtg => None,
        }
    }

    /// Whether it says where the receiver is, or that it does not know.
    const fn tells_place(self) -> bool {
        match self {
            Self::Gga | Self::Gll | Self::Rmc => true,
            Self::Gst | Self::Vtg | Self::Zda => false,
        }
    }
}

impl Nmea {
    fn sentence(&mut self, kind: Kind, fields: &Fields<'_>) -> Option<Report> {
        let of_day = kind
            .time_field()
            .and_then(|at| time::of_day(fields.get(at)));
        let is_other = kind.time_field().is_some() && of_day != self.epoch.of_day;
        let is_repeated = kind.tells_place() && self.epoch.kinds & kind.bit() != 0;
        let before = (is_other || is_repeated)
            .then(|| self.begin(of_day))
            .flatten();
        self.epoch.take(kind, fields);
        self.epoch.kinds |= kind.bit();
        let is_complete = self.usual != 0 && self.epoch.kinds & self.usual == self.usual;
        // Where both are due the older one is of no use any more.
        if is_complete { self.epoch.tell() } else { None }.or(before)
    }

    /// The next second; gives back the one before if it has not been told.
    fn begin(&mut self, of_day: Option<u32>) -> Option<Report> {
        let report = self.epoch.tell();
        self.usual = self.epoch.kinds;
        self.epoch = Epoch {
            of_day,
            ..Epoch::default()
        };
        report
    }
}

impl Epoch {
    fn take(&mut self, kind: Kind, fields: &Fields<'_>) {
        match kind {
            Kind::Gga => {
                // Quality: 0 none, 6 estimated, 7 typed in, 8 simulated.
                self.hold(fields.get(5) != "0" && !fields.get(5).is_empty());
                self.is_estimated |= matches!(fields.get(5), "6" | "7" | "8");
                self.place(fields, 1);
                self.dilution = fields.number(7);
                self.altitude = fields.number(8).filter(|_| fields.get(9) == "M");
            }
            Kind::Gll => {
                self.hold(fields.get(5) == "A");
                self.mode(fields.get(6));
                self.place(fields, 0);
            }
            Kind::Gst => {
                let errors = fields.number(5).zip(fields.number(6));
                self.error = errors.map(|(north, east)| north.hypot(east));
            }
            Kind::Rmc => {
                self.hold(fields.get(1) == "A");
                self.mode(fields.get(11));
                self.place(fields, 2);
                self.speed = fields.number(6).map(|knots| knots * KNOT);
                self.track = fields.number(7);
                self.day = day_of(fields.get(8)).or(self.day);
            }
            Kind::Vtg => {
                self.track = self.track.or_else(|| fields.number(0));
                let speed = fields.number(6).map(|speed| speed * KM_PER_H);
                self.speed = self.speed.or(speed);
            }
            Kind::Zda => {
                let part = |at| fields.get(at).parse::<i64>().ok();
                let day = part(3).zip(part(2)).zip(part(1));
                let day = day.and_then(|((year, month), day)| time::midnight(year, month, day));
                self.day = day.or(self.day);
            }
        }
    }

    const fn hold(&mut self, is_valid: bool) {
        self.is_invalid |= !is_valid;
    }

    /// NMEA 2.3: autonomous, differential …; N is none, E reckoned, M typed in, S simulated.
    fn mode(&mut self, mode: &str) {
        self.is_invalid |= mode == "N";
        self.is_estimated |= matches!(mode, "E" | "M" | "S");
    }

    fn place(&mut self, fields: &Fields<'_>, at: usize) {
        let latitude = angle(fields.get(at), fields.get(at + 1), ["N", "S"]);
        let longitude = angle(fields.get(at + 2), fields.get(at + 3), ["E", "W"]);
        self.place = latitude.zip(longitude).or(self.place);
    }

    /// What it comes to, once, if it says anything of a place.
    fn tell(&mut self) -> Option<Report> {
        let says = [Kind::Gga, Kind::Gll, Kind::Rmc]
            .iter()
            .any(|kind| self.kinds & kind.bit() != 0);
        if !says || std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        Some(self.fix().map_or(Report::NoFix, Report::Fix))
    }

    fn fix(&self) -> Option<Fix> {
        let (latitude, longitude) = self.place.filter(|_| !self.is_invalid)?;
        let at = self.day.zip(self.of_day);
        let fix = Fix {
            latitude,
            longitude,
            altitude: self.altitude,
            radius: self
                .error
                .or_else(|| self.dilution.map(|hdop| hdop * RANGE_ERROR)),
            speed: self.speed,
            track: self.track,
            climb: None,
            time: at.map(|(day, of_day)| UnixTime(day.0 + i64::from(of_day))),
            is_estimated: self.is_estimated,
        };
        fix.sane()
    }
}

impl Decode for Nmea {
    const LINE_MAX: usize = LINE_MAX;

    fn hello(&self) -> Vec<u8> {
        Vec::new()
    }

    fn line(&mut self, line: &[u8]) -> Option<Report> {
        let body = body(line)?;
        let mut parts = body.split(',');
        let kind = Kind::of(parts.next()?)?;
        let mut fields = Fields([""; FIELDS_MAX]);
        fields
            .0
            .iter_mut()
            .zip(parts)
            .for_each(|(field, part)| *field = part);
        self.sentence(kind, &fields)
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl<'a> Fields<'a> {
    fn get(&self, at: usize) -> &'a str {
        self.0.get(at).copied().unwrap_or("")
    }

    fn number(&self, at: usize) -> Option<f64> {
        let text = self.get(at);
        // Nothing that only a programmer would write.
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
        text.parse().ok().filter(|_| is_plain)
    }
}

/// What stands between `$` and `*`, if the checksum behind is right. Noise before `$` is passed over.
fn body(line: &[u8]) -> Option<&str> {
    let start = line.iter().rposition(|byte| *byte == b'$')? + 1;
    let sentence = std::str::from_utf8(&line[start..]).ok()?;
    let (body, sum) = sentence.split_once('*')?;
    let sum = u8::from_str_radix(sum, 16)
        .ok()
        .filter(|_| sum.len() == 2)?;
    let is_right = body.bytes().fold(0, |sum, byte| sum ^ byte) == sum;
    is_right.then_some(body)
}

/// `5231.2004,N`: degrees, and minutes of two digits before the point.
fn angle(text: &str, side: &str, [positive, negative]: [&str; 2]) -> Option<f64> {
    let point = text.find('.').unwrap_or(text.len());
    let (degrees, minutes) = text.split_at_checked(point.checked_sub(2)?)?;
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    if !is_plain(degrees) || !is_plain(minutes) {
        return None;
    }
    let degrees: f64 = if degrees.is_empty() {
        0.0
    } else {
        degrees.parse().ok()?
    };
    let minutes: f64 = minutes.parse().ok().filter(|minutes| *minutes < 60.0)?;
    let angle = degrees + minutes / 60.0;
    if side == positive {
        Some(angle)
    } else {
        (side == negative).then_some(-angle)
    }
}

/// `ddmmyy`; receivers began in 1980.
fn day_of(text: &str) -> Option<UnixTime> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| text[at..at + 2].parse::<i64>().ok();
    let (day, month, year) = (two(0)?, two(2)?, two(4)?);
    let century = if year >= 80 { 1900 } else { 2000 };
    time::midnight(century + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its checksum.
    fn sentence(body: &str) -> String {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}")
    }

    fn told(nmea: &mut Nmea, bodies: &[&str]) -> Vec<Report> {
        let lines = bodies.iter().map(|body| sentence(body));
        lines
            .filter_map(|line| nmea.line(line.as_bytes()))
            .collect()
    }

    fn fixes(reports: Vec<Report>) -> Vec<Fix> {
        let fix = |report| match report {
            Report::Fix(fix) => Some(fix),
            Report::NoFix => None,
        };
        reports.into_iter().filter_map(fix).collect()
    }

    #[test]
    fn the_sentences_of_one_second_make_one_position() {
        let second = |n: u32| {
            [
                format!("GNRMC,03150{n}.00,A,5231.20040,N,01324.29724,W,027.0,271.5,231126,,,A"),
                "GNVTG,271.5,T,,M,027.0,N,50.0,K,A".to_owned(),
                format!("GNGGA,03150{n}.00,5231.20040,N,01324.29724,W,1,09,0.9,34.1,M,44.0,M,,"),
                format!("GNGST,03150{n}.00,10,,,,3.0,4.0,9.0"),
            ]
        };
        let bodies: Vec<String> = (0..3).flat_map(second).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let fixes = fixes(told(&mut Nmea::default(), &bodies));
        // The first is told when the second begins, the others by themselves.
        let seconds: Vec<i64> = fixes
            .iter()
            .filter_map(|fix| Some(fix.time?.seconds() - 1_795_403_700))
            .collect();
        assert_eq!(seconds, [0, 1, 2]);
        let fix = &fixes[1];
        assert!((fix.latitude - 52.520_006_7).abs() < 1e-6, "{fix:?}");
        assert!((fix.longitude + 13.404_954).abs() < 1e-6, "{fix:?}");
        assert_eq!((fix.altitude, fix.radius), (Some(34.1), Some(5.0)));
        assert_eq!(fix.track, Some(271.5));
        assert!((fix.speed.unwrap() - 13.89).abs() < 0.01, "{fix:?}");
    }

    #[test]
    fn without_a_fix_that_is_said() {
        let bodies = [
            "GPRMC,,V,,,,,,,,,,N",
            "GPGGA,,,,,,0,00,99.99,,,,,,",
            "GPRMC,,V,,,,,,,,,,N",
            "GPGGA,,,,,,0,00,99.99,,,,,,",
        ];
        let reports = told(&mut Nmea::default(), &bodies);
        assert_eq!(reports, [Report::NoFix, Report::NoFix]);
        // Status V wins over a position that is still there.
        let warning = "GPRMC,031500,V,5231.2,N,01324.3,E,0,0,231126,,,N";
        let reports = told(&mut Nmea::default(), &[warning, warning]);
        assert_eq!(reports, [Report::NoFix]);
    }

    #[test]
    fn a_receiver_of_one_sentence_is_told_at_once_when_its_habit_is_known() {
        let body = |n: u32| format!("GPRMC,03150{n},A,5231.2,N,01324.3,E,0.0,,231126,,");
        let mut nmea = Nmea::default();
        let counts: Vec<usize> = (0..4).map(|n| told(&mut nmea, &[&body(n)]).len()).collect();
        assert_eq!(counts, [0, 1, 1, 1]);
        assert!(nmea.epoch.is_told, "the last one is not waited for");
    }

    #[test]
    fn what_is_reckoned_or_simulated_is_not_measured() {
        for mode in ["E", "M", "S"] {
            let body = format!("GPRMC,031500,A,5231.2,N,01324.3,E,0.0,,231126,,,{mode}");
            let fixes = fixes(told(&mut Nmea::default(), &[&body, &body]));
            assert!(fixes[0].is_estimated, "{mode}");
        }
    }

    #[test]
    fn lines_that_are_not_whole_are_passed_over() {
        let good = sentence("GPRMC,031500,A,5231.2,N,01324.3,E,0.0,,231126,,");
        for line in [
            "",
            "$",
            "$GPRMC",
            "$GPRMC*",
            "$GPRMC,031500,A,5231.2,N,01324.3,E,0.0,,231126,,*00",
            "GPRMC,031500,A*00",
            &good[..good.len() - 3],
            "$PUBX,00*33",
            "!AIVDM,1,1,,A,13aGmP0P00PD;88MD5MTDww@2<0L,0*23",
        ] {
            let mut nmea = Nmea::default();
            nmea.line(line.as_bytes());
            assert_eq!(nmea.epoch, Epoch::default(), "{line}");
        }
        let noise = format!("\u{fffd}$GPRM{good}");
        let mut nmea = Nmea::default();
        nmea.line(noise.as_bytes());
        assert!(nmea.epoch.place.is_some(), "noise before a sentence");
    }

    #[test]
    fn angles_have_their_side() {
        assert_eq!(angle("0130.0", "S", ["N", "S"]), Some(-1.5));
        assert_eq!(angle("00030", "E", ["E", "W"]), Some(0.5));
        for (text, side) in [
            ("", "N"),
            ("1", "N"),
            ("5260.0", "N"),
            ("52x1.0", "N"),
            ("5231.0", ""),
        ] {
            assert_eq!(angle(text, side, ["N", "S"]), None, "{text}{side}");
        }
    }

    #[test]
    fn a_day_of_the_last_century_is_one() {
        assert_eq!(day_of("060180"), time::midnight(1980, 1, 6));
        assert_eq!(day_of("231126"), time::midnight(2026, 11, 23));
        assert_eq!(day_of("320126"), None);
    }
}
