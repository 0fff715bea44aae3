use proptest::prelude::*;

use super::*;
use crate::meter::{Obis, Register};

/// A telegram of our own in the form of version 5.
const LINES: &str = "/LMP5lamplighter\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261122091500W)\r\n\
0-0:96.1.1(4B384547303034303436333935353037)\r\n1-0:1.8.1(012345.678*kWh)\r\n1-0:1.7.0(00.350*kW)\r\n\
0-1:24.1.0(003)\r\n0-1:96.1.0(3232323241424344)\r\n0-1:24.2.1(261122091000W)(00785.123*m3)\r\n!";

fn telegram(lines: &str) -> Vec<u8> {
    format!("{lines}{:04X}\r\n", crc16(lines.as_bytes())).into_bytes()
}

fn feed(telegrams: &mut TextTelegrams, bytes: &[u8]) -> Vec<Result<Readout, Spoilt>> {
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

#[test]
fn a_telegram_that_begins_in_the_middle_is_skipped_and_the_next_is_read() {
    let mut telegrams = TextTelegrams::new(false);
    let whole = telegram(LINES);
    assert_eq!(feed(&mut telegrams, &whole[100..]), []);
    let told = feed(&mut telegrams, &whole);
    let [Ok(readout)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(readout.meter, "/LMP5lamplighter");
    assert_eq!(
        readout.serial.as_deref(),
        Some("4B384547303034303436333935353037"),
        "not that of a sub-meter"
    );
    assert_eq!(value(readout, "1-0:1.8.1"), "012345.678 kWh");
    assert_eq!(value(readout, "0-1:24.2.1"), "00785.123 m3");
    let gas: Obis = "0-1:24.2.1".parse().unwrap();
    let gas = readout.find(&gas.into()).unwrap();
    assert_eq!(gas.time.map(|time| time.seconds()), Some(1_795_335_000));
}

#[test]
fn damaged_cut_and_endless_telegrams_are_told_apart_from_good_ones() {
    let mut telegrams = TextTelegrams::new(false);
    let good = telegram(LINES);
    let mut damaged = good.clone();
    damaged[60] ^= 1;
    assert_eq!(feed(&mut telegrams, &damaged), [Err(Spoilt::Checksum)]);
    assert!(feed(&mut telegrams, &good)[0].is_ok());
    let without = format!("{LINES}\r\n");
    assert_eq!(
        feed(&mut telegrams, without.as_bytes()),
        [Err(Spoilt::Checksum)],
        "this meter has checked before"
    );
    let cut = &good[..200];
    assert_eq!(feed(&mut telegrams, &[cut, &good].concat()).len(), 1);
    let endless = [b"/".as_slice(), &vec![b'1'; TELEGRAM_MAX]].concat();
    assert_eq!(feed(&mut telegrams, &endless), [Err(Spoilt::TooLong)]);
}

#[test]
fn telegrams_of_versions_2_and_3_have_no_check_and_another_form_of_sub_meters() {
    let lines = "/LMP2lamplighter\r\n\r\n0-0:96.1.1(4B38)\r\n1-0:1.8.1(00001.001*kWh)\r\n\
        0-1:24.3.0(121030140000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00024.125)\r\n0-1:24.4.0(1)\r\n!\r\n";
    let told = feed(&mut TextTelegrams::new(false), lines.as_bytes());
    let [Ok(readout)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(value(readout, "0-1:24.2.1"), "00024.125 m3");
    assert_eq!(value(readout, "0-1:24.4.0"), "1 ");
}

#[test]
fn parity_in_software_finds_a_damaged_character() {
    let line = "/LMP3mode-d\r\n\r\n1.8.0(1*kWh)\r\n!\r\n";
    let even = |byte: u8| byte | ((byte.count_ones() as u8 & 1) << 7);
    let good: Vec<u8> = line.bytes().map(even).collect();
    let mut telegrams = TextTelegrams::new(true);
    assert!(feed(&mut telegrams, &good)[0].is_ok());
    let mut damaged = good.clone();
    damaged[20] ^= 0x80;
    assert_eq!(feed(&mut telegrams, &damaged), [Err(Spoilt::Checksum)]);
}

#[test]
fn an_encrypted_telegram_says_so_once() {
    let mut encrypted = vec![0xDB, 0x08];
    encrypted.extend(b"SAGgp\x00\x00\x01");
    encrypted.extend([0x82, 0x01, 0x00, 0x30]);
    encrypted.extend([b'/'; 255]);
    let mut telegrams = TextTelegrams::new(false);
    let told = feed(&mut telegrams, &encrypted);
    assert_eq!(
        told,
        [Err(Spoilt::Encrypted("no key is configured".to_owned()))]
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let mut telegrams = TextTelegrams::new(false);
        for byte in bytes {
            let _ = telegrams.push(byte);
            prop_assert!(telegrams.text.len() < TELEGRAM_MAX);
        }
    }

    #[test]
    fn any_lines_are_read_or_skipped(text in r"[0-9.()*:\-AFkWSm \r\n]{0,300}") {
        let _ = readings(text.as_bytes());
    }
}
