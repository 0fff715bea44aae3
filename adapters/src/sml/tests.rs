use std::path::PathBuf;

use proptest::prelude::*;
use sml_rs::transport::encode_streaming;

use super::*;
use crate::meter::Register;

fn feed(bytes: &[u8]) -> Vec<Result<Readout, Spoilt>> {
    let mut telegrams = SmlTelegrams::default();
    bytes
        .iter()
        .filter_map(|byte| telegrams.push(*byte))
        .collect()
}

fn value(readout: &Readout, obis: &str) -> String {
    let obis: Obis = obis.parse().unwrap();
    let reading = readout.find(&Register::Obis(obis)).unwrap();
    format!("{} {}", reading.content, reading.unit)
}

/// A list with one entry, in its own message: SML by hand.
fn telegram(list_length: &[u8]) -> Vec<u8> {
    let mut message = vec![
        0x76, 0x02, 0x01, 0x62, 0x00, 0x62, 0x00, 0x72, 0x63, 0x07, 0x01, 0x77,
    ];
    message.extend([0x01, 0x03, 0x0a, 0x01, 0x01, 0x01]);
    message.extend(list_length);
    message.extend([
        0x77, 0x07, 1, 0, 1, 8, 0, 255, 0x01, 0x01, 0x62, 30, 0x52, 0xff,
    ]);
    message.extend([0x65, 0x00, 0x01, 0xe2, 0x40, 0x01, 0x01, 0x01]);
    let crc = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC).checksum(&message);
    message.push(0x63);
    message.extend(crc.swap_bytes().to_be_bytes());
    message.push(0x00);
    message
}

#[test]
fn a_telegram_by_hand_gives_its_register() {
    let bytes: Vec<u8> = encode_streaming(telegram(&[0x71])).collect();
    let told = feed(&[&bytes[9..], &bytes[..]].concat());
    let [Ok(readout)] = told.as_slice() else {
        panic!("a cut one is no error, then the whole one: {told:?}");
    };
    assert_eq!(value(readout, "1-0:1.8.0*255"), "12345.6 Wh");
    assert_eq!(readout.serial.as_deref(), Some("0A01"));
    let mut damaged = bytes;
    damaged[40] ^= 1;
    assert_eq!(feed(&damaged), [Err(Spoilt::Checksum)]);
}

#[test]
fn lengths_beyond_reason_are_refused() {
    let huge = [0xFF, 0x8F, 0x8F, 0x8F, 0x8F, 0x8F, 0x8F, 0x0F];
    let many = [0xF0, 0x80, 0x8F, 0x8F, 0x0F];
    for length in [&huge[..], &many[..]] {
        assert!(matches!(read(&telegram(length)), Err(Spoilt::Malformed(_))));
    }
    let endless = [&[0x1b; 4][..], &[1; 4], &vec![7; TELEGRAM_MAX + 8]].concat();
    assert_eq!(feed(&endless), [Err(Spoilt::TooLong)]);
    assert_eq!(feed(&[0x55; 200_000]), [], "noise for minutes");
}

/// Where the registry's copy of sml-rs is: its samples come with it.
fn samples() -> PathBuf {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let manifest = text
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| path.contains("/sml-rs-"))
        .unwrap();
    PathBuf::from(manifest).parent().unwrap().to_owned()
}

/// The sample that sml-rs ships (MIT/Apache), by its own documentation: one telegram.
#[test]
fn the_sample_of_sml_rs_is_read() {
    let told = feed(&std::fs::read(samples().join("sample.bin")).unwrap());
    let readouts: Vec<&Readout> = told.iter().filter_map(|told| told.as_ref().ok()).collect();
    assert!(!readouts.is_empty(), "{told:?}");
    for readout in readouts {
        assert!(readout.serial.is_some() && readout.readings.len() >= 3);
        let energy = value(readout, "1-0:1.8.0*255");
        assert!(energy.ends_with(" Wh"), "{energy}");
    }
}

/// Captures of 37 real meters that the package of sml-rs carries for its tests.
#[test]
fn captures_of_real_meters_are_read_as_far_as_they_are_whole() {
    let mut files = 0;
    let mut telegrams = 0;
    for entry in std::fs::read_dir(samples().join("tests/libsml-testing")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "bin") {
            continue;
        }
        let told = feed(&std::fs::read(&path).unwrap());
        files += 1;
        telegrams += told.iter().filter(|told| told.is_ok()).count();
        assert!(
            !told
                .iter()
                .any(|told| matches!(told, Err(Spoilt::Malformed(_)))),
            "{}: {told:?}",
            path.display()
        );
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let power = |expected: &str| {
            let first = told.iter().find_map(|told| told.as_ref().ok()).unwrap();
            assert_eq!(value(first, "1-0:16.7.0*255"), expected, "{name}");
        };
        match name.as_str() {
            // Power that is positive, told as if it was negative.
            "DZG_DVS-7412.2_jmberg" => power("356.24 W"),
            // Another meter of the same maker, that gives power away.
            "DZG_DVS-7420.2V.G2_mtr2_neg" => power("-105.5 W"),
            _ => {}
        }
    }
    assert_eq!(files, 37);
    assert_eq!(telegrams, 227, "as sml-rs itself reads");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = feed(&bytes);
        let _ = read(&bytes);
    }

    #[test]
    fn no_bytes_within_a_telegram_make_it_panic(at in 0usize..40, byte in any::<u8>()) {
        let mut message = telegram(&[0x71]);
        let at = at % message.len();
        message[at] = byte;
        let _ = read(&message);
    }
}
