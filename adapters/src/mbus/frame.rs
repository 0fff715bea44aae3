//! Frames of the link layer of wired M-Bus (EN 13757-2): made, and found in what a line delivers.

use std::fmt;

/// A frame from meter or master.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// A single character: understood.
    Ack,
    Long {
        control: u8,
        address: u8,
        /// Control information: what the data are.
        information: u8,
        data: Vec<u8>,
    },
    Short {
        control: u8,
        address: u8,
    },
}

/// What a number of received bytes begins with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// A whole frame and its length.
    Frame(Frame, usize),
    /// The beginning of a frame of this whole length.
    Part(usize),
    /// No frame.
    Nothing(BadFrame),
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadFrame {
    /// The check sum differs.
    CheckSum,
    /// It ends too early.
    Cut,
    /// The frame does not end with the stop character.
    End,
    /// The two lengths of a long frame differ, or are too small.
    Length,
    /// The first character begins no frame.
    Start,
}

const ACK: u8 = 0xE5;
const LONG: u8 = 0x68;
const SHORT: u8 = 0x10;
const STOP: u8 = 0x16;
const SHORT_LEN: usize = 5;
/// Control, address and control information are counted in the length of a long frame.
const LONG_LEAST: u8 = 3;
/// Two starts, two lengths, check sum, stop.
const LONG_AROUND: usize = 6;
/// The longest frame there is.
pub const FRAME_MAX: usize = 255 + LONG_AROUND;

/// Control fields (EN 13757-2, 5.7).
pub(super) mod control {
    /// Master resets the link of a meter, and takes back its selection.
    pub(crate) const SND_NKE: u8 = 0x40;
    /// Master sends data; with [`FCB`] on every second frame.
    pub(crate) const SND_UD: u8 = 0x53;
    /// Master asks for data; with [`FCB`] on every second frame.
    pub(crate) const REQ_UD2: u8 = 0x5B;
    /// Frame count bit.
    pub(crate) const FCB: u8 = 0x20;
    /// Meter answers with data; two further bits ask for attention.
    pub(crate) const RSP_UD: u8 = 0x08;
    /// What is left of a control field when those two bits are taken away.
    pub(crate) const RSP_MASK: u8 = 0xCF;
}

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ack => vec![ACK],
            Self::Long {
                control,
                address,
                information,
                data,
            } => {
                let mut body = vec![*control, *address, *information];
                // More than a frame holds is never asked for; what is cut here fails at the meter.
                body.extend(data.iter().take(usize::from(u8::MAX - LONG_LEAST)));
                let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
                let mut bytes = vec![LONG, length, length, LONG];
                bytes.extend(&body);
                bytes.extend([sum(&body), STOP]);
                bytes
            }
            Self::Short { control, address } => {
                let sum = sum(&[*control, *address]);
                vec![SHORT, *control, *address, sum, STOP]
            }
        }
    }
}

/// What the bytes begin with.
pub fn find(bytes: &[u8]) -> Found {
    match bytes {
        [] => Found::Part(1),
        [ACK, ..] => Found::Frame(Frame::Ack, 1),
        [SHORT, ..] => short(bytes),
        [LONG, ..] => long(bytes),
        [_, ..] => Found::Nothing(BadFrame::Start),
    }
}

fn short(bytes: &[u8]) -> Found {
    let Some(&[_, control, address, check, stop]) = bytes.first_chunk::<SHORT_LEN>() else {
        return Found::Part(SHORT_LEN);
    };
    if stop != STOP {
        return Found::Nothing(BadFrame::End);
    }
    if check != sum(&[control, address]) {
        return Found::Nothing(BadFrame::CheckSum);
    }
    Found::Frame(Frame::Short { control, address }, SHORT_LEN)
}

fn long(bytes: &[u8]) -> Found {
    let Some(&[_, length, again, second]) = bytes.first_chunk::<4>() else {
        return Found::Part(LONG_AROUND + usize::from(LONG_LEAST));
    };
    if second != LONG || length != again || length < LONG_LEAST {
        return Found::Nothing(BadFrame::Length);
    }
    let whole = usize::from(length) + LONG_AROUND;
    let Some(frame) = bytes.get(..whole) else {
        return Found::Part(whole);
    };
    let (body, end) = frame[4..].split_at(usize::from(length));
    if end[1] != STOP {
        return Found::Nothing(BadFrame::End);
    }
    if end[0] != sum(body) {
        return Found::Nothing(BadFrame::CheckSum);
    }
    let frame = Frame::Long {
        control: body[0],
        address: body[1],
        information: body[2],
        data: body[3..].to_vec(),
    };
    Found::Frame(frame, whole)
}

/// The sum of all bytes, without carry.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CheckSum => "wrong check sum",
            Self::Cut => "it ends too early",
            Self::End => "no stop character",
            Self::Length => "wrong length",
            Self::Start => "no start character",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nke() -> Frame {
        Frame::Short {
            control: control::SND_NKE,
            address: 1,
        }
    }

    fn answer() -> Frame {
        Frame::Long {
            control: 0x08,
            address: 5,
            information: 0x72,
            data: vec![1, 2, 3],
        }
    }

    #[test]
    fn frames_are_found_as_they_are_made() {
        assert_eq!(nke().bytes(), [0x10, 0x40, 0x01, 0x41, 0x16]);
        for frame in [Frame::Ack, nke(), answer()] {
            let mut bytes = frame.bytes();
            for cut in 1..bytes.len() {
                assert!(
                    matches!(find(&bytes[..cut]), Found::Part(_)),
                    "{frame:?} {cut}"
                );
            }
            let length = bytes.len();
            bytes.extend([0xAA; 3]);
            assert_eq!(find(&bytes), Found::Frame(frame, length));
        }
    }

    #[test]
    fn a_damaged_frame_is_none() {
        let whole = answer().bytes();
        for (at, wrong) in [
            (0, BadFrame::Start),
            (1, BadFrame::Length),
            (2, BadFrame::Length),
            (3, BadFrame::Length),
            (6, BadFrame::CheckSum),
            (10, BadFrame::CheckSum),
            (11, BadFrame::End),
        ] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(find(&bytes), Found::Nothing(wrong), "byte {at}");
        }
        let mut short = nke().bytes();
        short[2] = 2;
        assert_eq!(find(&short), Found::Nothing(BadFrame::CheckSum));
        assert_eq!(find(&[0x68, 2, 2, 0x68]), Found::Nothing(BadFrame::Length));
    }
}
