//! Bytes on an M-Bus.

use lamplighter_adapters::mbus::{
    Address, BadFrame, Failure, Found, Frame, Heard, ReadOut, Record, Secondary, SelectBy,
    Selector, TELEGRAMS_MAX, Telegram, find, parse,
};

use crate::input::Input;

/// What the line delivers, from any place on.
pub(crate) fn line(bytes: &[u8]) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        at += match find(rest) {
            Found::Frame(frame, length) => {
                assert!(length <= rest.len(), "a frame beyond the line");
                assert!(!matches!(&frame, Frame::Long { data, .. } if data.len() > 252));
                data(&frame);
                length
            }
            Found::Part(length) => {
                assert!(length > rest.len(), "a part that is whole");
                1
            }
            Found::Nothing(_) => 1,
        };
    }
    records(bytes);
}

fn data(frame: &Frame) {
    assert_eq!(
        find(&frame.bytes()),
        Found::Frame(frame.clone(), frame.bytes().len())
    );
    if let Frame::Long {
        information, data, ..
    } = frame
    {
        records(&[&[*information], &data[..]].concat());
    }
}

/// Control information and what stands behind it.
fn records(bytes: &[u8]) {
    let Some((information, data)) = bytes.split_first() else {
        return;
    };
    match parse(*information, data) {
        Ok(telegram) => telegram
            .records
            .iter()
            .for_each(|record| found(&telegram, record)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Each record is found by its bytes, and no other instead of it.
fn found(telegram: &Telegram, record: &Record) {
    assert!(!record.header.is_empty() && !record.to_string().is_empty());
    let selector = Selector {
        by: SelectBy::Header(record.header.clone()),
        number: None,
    };
    if let Ok(at) = selector.find(&telegram.records) {
        assert!(std::ptr::eq(&telegram.records[at], record));
    }
    assert!(!record.name().is_empty());
}

/// What a readout hears, one thing after the other.
pub(crate) fn readout(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let address = if input.is_set() {
        Address::Secondary(Secondary::ANY)
    } else {
        Address::Primary(1)
    };
    let mut readout = ReadOut::new(address, input.byte() % 4);
    for _ in 0..TELEGRAMS_MAX * 8 {
        let (frame, _) = readout.say();
        assert!(matches!(find(&frame.bytes()), Found::Frame(..)));
        let heard = match input.byte() % 8 {
            0 => Heard::Silence,
            1 => Heard::Garbled(BadFrame::CheckSum),
            2 => Heard::Ourselves,
            3 => Heard::Frame(Frame::Ack),
            _ => Heard::Frame(Frame::Long {
                control: 8,
                address: 1,
                information: if input.is_set() { 0x78 } else { input.byte() },
                data: input.piece().to_vec(),
            }),
        };
        let is_other = matches!(&heard, Heard::Frame(frame) if !readout.is_wanted(frame));
        let heard = if is_other { Heard::Silence } else { heard };
        match readout.heard(heard) {
            Ok(None) => (),
            Ok(Some(telegrams)) => {
                assert!((1..=TELEGRAMS_MAX).contains(&telegrams.len()));
                return;
            }
            Err(failure) => {
                assert!(!matches!(failure, Failure::Line(_)));
                return;
            }
        }
    }
    panic!("a readout without an end");
}
