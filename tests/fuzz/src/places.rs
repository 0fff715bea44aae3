//! Receivers that tell where the box is.

use lamplighter_adapters::location::{Decode, Lines, Quantity, Report, gpsd::Gpsd, nmea::Nmea};
use lamplighter_model::ObjectId;

/// What `gpsd` says.
pub(crate) fn gpsd(bytes: &[u8]) {
    for_lines(bytes, |line, gpsd: &mut Gpsd| check(gpsd.line(line)));
}

/// Sentences, each as it stands and with a sum that is right.
pub(crate) fn nmea(bytes: &[u8]) {
    for_lines(bytes, |line, nmea: &mut Nmea| {
        check(nmea.line(line));
        let start = line.iter().position(|byte| *byte == b'$');
        let body = &line[start.map_or(0, |at| at + 1)..];
        let end = body.iter().position(|byte| *byte == b'*');
        let body = &body[..end.unwrap_or(body.len())];
        let sum = body.iter().fold(0, |sum, byte| sum ^ byte);
        let sentence = [b"$", body, format!("*{sum:02X}").as_bytes()].concat();
        check(nmea.line(&sentence));
    });
}

fn for_lines<D: Decode + Default>(bytes: &[u8], mut take: impl FnMut(&[u8], &mut D)) {
    let mut decoder = D::default();
    Lines::new(D::LINE_MAX).push(bytes, |line| take(line, &mut decoder));
}

fn check(report: Option<Report>) {
    let Some(Report::Fix(fix)) = report else {
        return;
    };
    let is_place = fix.latitude.abs() <= 90.0 && fix.longitude.abs() <= 180.0;
    assert!(is_place, "a place on earth: {fix:?}");
    let is_date = |ms: i64| (0..253_402_300_860_000).contains(&ms);
    assert!(fix.time.is_none_or(|time| is_date(time.0)), "{fix:?}");
    for object in [6, 3336] {
        for (_, quantity) in Quantity::of_object(ObjectId(object)) {
            let number = quantity.of(&fix).and_then(|value| value.as_f64());
            assert!(number.is_none_or(f64::is_finite), "{quantity:?} of {fix:?}");
        }
    }
}
