//! Frames of real meters, with what libmbus makes of them (tests/vectors/mbus).

use super::*;

const FRAMES: &str = include_str!("../../../tests/vectors/mbus/frames.txt");
const REFUSED: &str = include_str!("../../../tests/vectors/mbus/refused.txt");

struct Vector<'a> {
    name: &'a str,
    bytes: Vec<u8>,
    slave: Vec<&'a str>,
    records: Vec<Vec<&'a str>>,
}

fn vectors() -> Vec<Vector<'static>> {
    let mut vectors: Vec<Vector<'_>> = Vec::new();
    for line in FRAMES.lines() {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        let fields = || rest.split(';').map(str::trim).collect();
        match (key, vectors.last_mut()) {
            ("frame", _) => vectors.push(Vector {
                name: rest,
                bytes: Vec::new(),
                slave: Vec::new(),
                records: Vec::new(),
            }),
            ("#" | "", _) | (_, None) => (),
            ("slave", Some(vector)) => vector.slave = fields(),
            ("record", Some(vector)) => vector.records.push(fields()),
            (frame, Some(vector)) => vector.bytes = hex(frame),
        }
    }
    vectors
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn telegram(bytes: &[u8]) -> Result<Telegram, String> {
    match find(bytes) {
        Found::Frame(
            Frame::Long {
                information, data, ..
            },
            _,
        ) => parse(information, &data).map_err(|error| error.to_string()),
        Found::Frame(frame, _) => Err(format!("{frame:?}")),
        Found::Part(_) => Err("a part of a frame".to_owned()),
        Found::Nothing(why) => Err(why.to_string()),
    }
}

/// Times are normalised to seconds there.
fn number(record: &Record) -> Option<f64> {
    let RecordValue::Number(number) = record.value else {
        return None;
    };
    let factor = match record.meaning.unit {
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "m3/min" => 60.0,
        "m3/s" => 3600.0,
        _ => 1.0,
    };
    Some(number.to_f64() * factor)
}

/// Header, and words of a difference from libmbus, which ignores what we do not.
const KNOWN: &[(&str, &str)] = &[
    // No decimal digits: there is no value, which libmbus makes a number of.
    ("3C 2A", "none (it is no number)"),
    ("3B 3A", "none (it is no number)"),
    ("3C 2B", "none (it is no number)"),
    ("3B 3B", "none (it is no number)"),
    // Day or month 0, or marked as invalid: there is no date.
    ("42 6C", "none (it is no date), there 2000-00-00"),
    ("32 6C", "none (it is no date), there 2000-00-00"),
    ("04 6D", "none (it is no date), there 1900-01-00T00:00:00Z"),
    (
        "84 8F 0F 6D",
        "none (it is no date), there 2027-01-01T00:00:00Z",
    ),
    // Per pulse; the duration of an excess: not the unit of the quantity.
    ("04 90 28", "unit ?, there m^3"),
    ("04 BE 50", "unit ?, there m^3/h"),
    ("04 BE 58", "unit ?, there m^3/h"),
    // Reserved by the standard.
    ("0C 7B", "another place"),
    ("81 30 FD 7C", "unit , there Reserved"),
    ("81 20 FD 7C", "unit , there Reserved"),
    ("01 FD 7C", "unit , there Reserved"),
];

/// The counters of a fixed structure, which libmbus does not scale.
const FIXED: &[(&str, [&str; 2])] = &[
    (
        "manual_frame2",
        ["volume 0.001 m3", "volume 0.135 m3, storage 1"],
    ),
    ("sen_pollusonic_2", ["energy 6531000 Wh", "volume 0.069 m3"]),
];

/// What differs from libmbus; empty where nothing does.
fn difference(record: &Record, expected: &[&str]) -> String {
    let [function, storage, tariff, device, unit, _, value] = expected else {
        return "no record".to_owned();
    };
    let own_function = match record.function {
        Function::Instantaneous => "Instantaneous value",
        Function::Maximum => "Maximum value",
        Function::Minimum => "Minimum value",
        Function::DuringError => "Value during error state",
    };
    let place = |text: &str| text.parse::<u64>().unwrap_or(0);
    if own_function != *function
        || record.storage != place(storage)
        || u64::from(record.tariff) != place(tariff)
        || u64::from(record.subunit) != place(device)
    {
        return "another place".to_owned();
    }
    let own_unit = match record.meaning.unit {
        "Cel" => "°C",
        "m3" => "m^3",
        "m3/h" | "m3/min" | "m3/s" => "m^3/h",
        "min" | "h" | "d" => "s",
        own => own,
    };
    let is_same_unit = own_unit == *unit || matches!(*unit, "" | "-" | "Units for H.C.A.");
    if !is_same_unit {
        return format!("unit {own_unit}, there {unit}");
    }
    if let (Some(own), Ok(there)) = (number(record), value.parse::<f64>()) {
        // Six decimals are printed there.
        let is_float = record.header[0] & 0x0F == 5;
        let tolerance = 1e-6_f64.max(there.abs() * if is_float { 1e-7 } else { 1e-12 });
        return if (own - there).abs() <= tolerance {
            String::new()
        } else {
            format!("{own}, there {there}")
        };
    }
    let there = value.replace('T', " ");
    let there = there.trim_end_matches('Z');
    let own = record.value.to_string();
    if there.starts_with(&own) || own == *value || own == value.replace(' ', "") {
        return String::new();
    }
    format!("{own}, there {value}")
}

#[test]
fn frames_of_real_meters_decode_to_what_libmbus_publishes() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 76);
    let (mut compared, mut report) = (0, String::new());
    for vector in &vectors {
        let telegram = match telegram(&vector.bytes) {
            Ok(telegram) => telegram,
            Err(why) => {
                report += &format!("{}: {why}\n", vector.name);
                continue;
            }
        };
        if let Some(why) = telegram.lost {
            report += &format!("{}: lost: {why}\n", vector.name);
        }
        let secondary = telegram.header.and_then(|header| header.secondary).unwrap();
        let identification = format!("{:0>8}", vector.slave[0]);
        if secondary.identification() != identification {
            report += &format!("{}: {secondary}, there {identification}\n", vector.name);
        }
        let values = vector
            .records
            .iter()
            .filter(|record| !matches!(record[0], "Manufacturer specific" | "More records follow"));
        let values: Vec<_> = values.collect();
        if values.len() != telegram.records.len() {
            report += &format!(
                "{}: {} records, there {}\n",
                vector.name,
                telegram.records.len(),
                values.len()
            );
        }
        if let Some((_, fixed)) = FIXED.iter().find(|(name, _)| *name == vector.name) {
            let shown: Vec<_> = telegram.records.iter().map(ToString::to_string).collect();
            assert_eq!(shown, *fixed, "{}", vector.name);
            continue;
        }
        for (record, expected) in telegram.records.iter().zip(values) {
            compared += 1;
            let (header, difference) = (record.header_text(), difference(record, expected));
            let is_known = KNOWN
                .iter()
                .any(|(known, words)| *known == header && difference.starts_with(words));
            if !difference.is_empty() && !is_known {
                report += &format!("{}: {record} ({header}): {difference}\n", vector.name);
            }
        }
    }
    assert_eq!(report, "");
    assert_eq!(compared, 897);
}

/// What is said of each damaged frame.
const DAMAGED: &[(&str, &str)] = &[
    ("application_busy", "the meter reports error 8 (it is busy)"),
    (
        "buffer_too_long",
        "the meter reports error 2 (the request is too long)",
    ),
    ("error", "the meter reports error 0 (unspecified)"),
    ("premature_end_of_data1", "2 records, a record is cut off"),
    ("premature_end_of_data2", "2 records, a record is cut off"),
    ("premature_end_of_dif1", "2 records, a record is cut off"),
    ("premature_end_of_dif2", "2 records, a record is cut off"),
    (
        "premature_end_of_record",
        "the meter reports error 4 (a record ends too early)",
    ),
    (
        "premature_end_of_var_vif1",
        "3 records, a value field that cannot be understood",
    ),
    ("premature_end_of_vif1", "2 records, a record is cut off"),
    (
        "too_long_var_vif",
        "3 records, a value field that cannot be understood",
    ),
    (
        "too_many_dife",
        "2 records, too many extensions of a data field",
    ),
    (
        "too_many_difes",
        "the meter reports error 5 (too many extensions of a data field)",
    ),
    (
        "too_many_readouts",
        "the meter reports error 9 (it was read too often)",
    ),
    (
        "too_many_records",
        "the meter reports error 3 (too many records)",
    ),
    (
        "too_many_vife",
        "2 records, a value field that cannot be understood",
    ),
    (
        "too_many_vifes",
        "the meter reports error 6 (too many extensions of a value field)",
    ),
    ("too_short_header", "the answer is too short"),
    (
        "unimplemented_ci",
        "the meter reports error 1 (it does not know this control information)",
    ),
    (
        "unspecified_error",
        "the meter reports error 0 (unspecified)",
    ),
    ("invalid_length", "wrong length"),
    ("invalid_length2", "the answer is too short"),
    ("manual_frame1", "no start character"),
    ("manual_frame4", "the answer has the unknown type 51"),
    ("manual_frame5", "the answer has the unknown type 51"),
    ("manual_frame6", "the answer has the unknown type 51"),
    // The maker's data begin at once.
    ("svm_f22_telegram2", "0 records, all"),
];

#[test]
fn damaged_frames_are_refused_with_words() {
    let frames = REFUSED
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| *name != "#");
    let told: Vec<(&str, String)> = frames
        .map(|(name, bytes)| match telegram(&hex(bytes)) {
            Ok(telegram) => {
                let lost = telegram.lost.unwrap_or("all");
                (name, format!("{} records, {lost}", telegram.records.len()))
            }
            Err(why) => (name, why),
        })
        .collect();
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|(name, words)| (*name, words.as_str()))
        .collect();
    assert_eq!(told, DAMAGED);
}
