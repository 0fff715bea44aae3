//! Reading out one meter: what to say next, and what to make of the answer. No port, no clock.
//!
//! 1. The link is reset, so that both sides begin with the first telegram.
//! 2. A meter with a secondary address is selected; it then answers to the address of the selected.
//! 3. Data are asked for until the meter has no more. The frame count bit turns over with each good
//!    answer; a question that is repeated has the same one, and gets the same answer.

use std::fmt;

use lamplighter_model::device::Fault;

use super::{
    address::{ALONE, Address, SELECTED, Secondary},
    frame::{BadFrame, Frame, control},
    line::Heard,
    telegram::{self, Telegram, TelegramError},
};
use crate::meter::Trouble;

/// A readout in progress.
#[derive(Debug)]
pub struct ReadOut {
    address: Address,
    retries: u8,
    /// The first telegram is enough.
    first_only: bool,
    step: Step,
    /// Attempts of this step that failed.
    failed: u8,
    count_bit: bool,
    telegrams: Vec<Telegram>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Ask,
    Reset,
    Select(Secondary),
}

/// Why a meter was not read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// Several meters answer at once.
    Collision,
    /// Another meter than the one that was selected.
    Foreign(Secondary),
    Garbled(BadFrame),
    /// The port, with its words.
    Line(String),
    /// It has nothing to tell.
    NoData,
    /// We hear ourselves although `echo` is not set.
    Ourselves,
    Silence,
    Telegram(TelegramError),
    /// It does not come to an end.
    TooLong,
    /// What we hear of ourselves is not what we have said, or is missing.
    WrongEcho,
}

/// Telegrams of one readout; meters have ten at most.
pub const TELEGRAMS_MAX: usize = 32;

impl ReadOut {
    pub fn new(address: Address, retries: u8) -> Self {
        Self {
            address,
            retries,
            first_only: false,
            step: Step::Reset,
            failed: 0,
            count_bit: true,
            telegrams: Vec::new(),
        }
    }

    /// Only who is there, asked once.
    pub fn first(address: Address) -> Self {
        Self {
            first_only: true,
            ..Self::new(address, 0)
        }
    }

    /// What is to be said now.
    pub fn say(&self) -> (Frame, bool) {
        match self.step {
            Step::Ask => {
                let count = if self.count_bit { control::FCB } else { 0 };
                let frame = Frame::Short {
                    control: control::REQ_UD2 & !control::FCB | count,
                    address: self.link_address(),
                };
                (frame, false)
            }
            Step::Reset => {
                let frame = Frame::Short {
                    control: control::SND_NKE,
                    address: self.link_address(),
                };
                (frame, false)
            }
            Step::Select(secondary) => (secondary.selection(), true),
        }
    }

    /// Whether a frame is an answer to what was said: that of a meter that was asked before may come
    /// late.
    pub fn is_wanted(&self, frame: &Frame) -> bool {
        match (self.step, frame) {
            (
                Step::Ask,
                Frame::Long {
                    control, address, ..
                },
            ) => control & control::RSP_MASK == control::RSP_UD && self.may_say(*address),
            (Step::Ask | Step::Reset | Step::Select(_), Frame::Ack) => true,
            (Step::Ask, Frame::Short { .. })
            | (Step::Reset | Step::Select(_), Frame::Long { .. } | Frame::Short { .. }) => false,
        }
    }

    /// What came. `None`: there is more to say.
    ///
    /// # Errors
    /// The meter cannot be read.
    pub fn heard(&mut self, heard: Heard) -> Result<Option<Vec<Telegram>>, Failure> {
        let failure = match (self.step, heard) {
            (_, Heard::Ourselves) => return Err(Failure::Ourselves),
            (_, Heard::WrongEcho) => return Err(Failure::WrongEcho),
            // Who was not selected stays silent, and some meters always do: the question decides.
            (Step::Reset, _) => {
                self.enter(match self.address {
                    Address::Primary(_) => Step::Ask,
                    Address::Secondary(secondary) => Step::Select(secondary),
                });
                return Ok(None);
            }
            (Step::Select(_), Heard::Frame(_)) => {
                self.enter(Step::Ask);
                return Ok(None);
            }
            (
                Step::Ask,
                Heard::Frame(Frame::Long {
                    information, data, ..
                }),
            ) => {
                return self.told(information, &data);
            }
            (Step::Ask, Heard::Frame(Frame::Ack | Frame::Short { .. })) => Failure::NoData,
            (Step::Select(_), Heard::Garbled(_)) => Failure::Collision,
            (Step::Ask, Heard::Garbled(why)) => Failure::Garbled(why),
            (Step::Ask | Step::Select(_), Heard::Silence) => Failure::Silence,
        };
        self.failed += 1;
        if self.failed > self.retries {
            Err(failure)
        } else {
            Ok(None)
        }
    }

    fn told(&mut self, information: u8, data: &[u8]) -> Result<Option<Vec<Telegram>>, Failure> {
        let telegram = telegram::parse(information, data).map_err(Failure::Telegram)?;
        let is_repeated = self.telegrams.last() == Some(&telegram);
        if let (Address::Secondary(wanted), Some(header)) = (self.address, telegram.header)
            && let Some(meter) = header.secondary.filter(|meter| !wanted.fits(*meter))
        {
            return Err(Failure::Foreign(meter));
        }
        let has_more = telegram.has_more;
        // A meter that does not mind the count bit would go on for ever.
        if !is_repeated {
            self.telegrams.push(telegram);
        }
        if !has_more || is_repeated || self.first_only || self.telegrams.len() == TELEGRAMS_MAX {
            return Ok(Some(std::mem::take(&mut self.telegrams)));
        }
        self.count_bit = !self.count_bit;
        self.enter(Step::Ask);
        Ok(None)
    }

    fn enter(&mut self, step: Step) {
        self.step = step;
        self.failed = 0;
    }

    /// The address on the link layer.
    fn link_address(&self) -> u8 {
        match self.address {
            Address::Primary(number) => number,
            Address::Secondary(_) => SELECTED,
        }
    }

    /// A meter says its primary address, also when it was selected by its secondary one.
    fn may_say(&self, address: u8) -> bool {
        match self.address {
            Address::Primary(number) => number == address || number == ALONE,
            Address::Secondary(_) => true,
        }
    }
}

impl Trouble for Failure {
    fn kind(&self) -> &'static str {
        match self {
            Self::Collision => "collision",
            Self::Foreign(_) => "other_meter",
            Self::Garbled(_) => "garbled",
            Self::Line(_) => "line_down",
            Self::NoData => "no_data",
            Self::Ourselves | Self::WrongEcho => "echo",
            Self::Silence => "timeout",
            Self::Telegram(TelegramError::Encrypted(_)) => "encrypted",
            Self::Telegram(_) => "refused",
            Self::TooLong => "too_long",
        }
    }

    fn is_silence(&self) -> bool {
        matches!(self, Self::Silence)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collision => f.write_str("several meters answer at once: their addresses are alike"),
            Self::Foreign(meter) => write!(f, "another meter answers: {meter}"),
            Self::Garbled(why) => write!(f, "the answer is damaged: {why}"),
            Self::Line(words) => f.write_str(words),
            Self::NoData => f.write_str("the meter has no data"),
            Self::Ourselves => {
                f.write_str("the adapter returns what is sent: set echo = true in its [bus]")
            }
            Self::Silence => f.write_str("the meter does not answer"),
            Self::Telegram(error) => error.fmt(f),
            Self::TooLong => f.write_str("the readout took too long"),
            Self::WrongEcho => f.write_str(
                "what was sent does not come back as it should: several talk at once, or echo = true \
                 is wrong",
            ),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Line(_) => Self::Unreachable,
            Failure::Silence => Self::Timeout,
            Failure::Collision
            | Failure::Foreign(_)
            | Failure::Garbled(_)
            | Failure::NoData
            | Failure::Ourselves
            | Failure::Telegram(_)
            | Failure::TooLong
            | Failure::WrongEcho => Self::Device(failure.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [
        0x78, 0x56, 0x34, 0x12, 0x24, 0x40, 0x01, 0x07, 0x55, 0x00, 0x00, 0x00,
    ];

    fn answer(address: u8, records: &[u8]) -> Heard {
        Heard::Frame(Frame::Long {
            control: 0x08,
            address,
            information: 0x72,
            data: [&HEADER[..], records].concat(),
        })
    }

    fn said(readout: &ReadOut) -> Vec<u8> {
        readout.say().0.bytes()
    }

    #[test]
    fn the_count_bit_turns_over_with_each_good_answer_only() {
        let mut readout = ReadOut::new(Address::Primary(5), 2);
        assert_eq!(said(&readout)[1..3], [0x40, 5]);
        assert_eq!(readout.heard(Heard::Frame(Frame::Ack)), Ok(None));
        assert_eq!(said(&readout)[1..3], [0x7B, 5]);
        assert_eq!(readout.heard(Heard::Silence), Ok(None));
        assert_eq!(said(&readout)[1..3], [0x7B, 5], "the same question again");
        assert_eq!(readout.heard(answer(5, &[0x01, 0x13, 1, 0x1F])), Ok(None));
        assert_eq!(said(&readout)[1..3], [0x5B, 5]);
        let damaged = Heard::Garbled(BadFrame::CheckSum);
        assert_eq!(readout.heard(damaged), Ok(None));
        assert_eq!(said(&readout)[1..3], [0x5B, 5]);
        let told = readout.heard(answer(5, &[0x01, 0x13, 2])).unwrap().unwrap();
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn a_meter_is_given_up_after_its_attempts() {
        let mut readout = ReadOut::new(Address::Primary(5), 2);
        assert_eq!(
            readout.heard(Heard::Silence),
            Ok(None),
            "some never say that they reset"
        );
        assert_eq!(readout.heard(Heard::Silence), Ok(None));
        assert_eq!(readout.heard(Heard::Silence), Ok(None));
        assert_eq!(readout.heard(Heard::Silence), Err(Failure::Silence));
    }

    #[test]
    fn a_secondary_address_is_selected_first_and_compared() {
        let address = "12345678".parse().unwrap();
        let mut readout = ReadOut::new(Address::Secondary(address), 0);
        assert_eq!(said(&readout)[1..3], [0x40, 0xFD]);
        readout.heard(Heard::Silence).unwrap();
        assert_eq!((said(&readout)[6], readout.say().1), (0x52, true));
        readout.heard(Heard::Frame(Frame::Ack)).unwrap();
        assert_eq!(said(&readout)[1..3], [0x7B, 0xFD]);
        assert!(readout.heard(answer(5, &[])).unwrap().is_some());

        let other = "12345679".parse().unwrap();
        let mut readout = ReadOut::new(Address::Secondary(other), 0);
        readout.heard(Heard::Silence).unwrap();
        readout.heard(Heard::Frame(Frame::Ack)).unwrap();
        let foreign = readout.heard(answer(5, &[])).unwrap_err();
        assert_eq!(
            foreign.to_string(),
            "another meter answers: 1234567824400107"
        );

        let mut readout = ReadOut::new(Address::Secondary(other), 0);
        readout.heard(Heard::Silence).unwrap();
        let both = Heard::Garbled(BadFrame::Start);
        assert_eq!(readout.heard(both), Err(Failure::Collision));
    }

    #[test]
    fn a_late_answer_of_another_meter_is_not_wanted() {
        let mut readout = ReadOut::new(Address::Primary(5), 0);
        let frame = |address| Frame::Long {
            control: 0x08,
            address,
            information: 0x72,
            data: HEADER.to_vec(),
        };
        assert!(!readout.is_wanted(&frame(5)), "nobody was asked yet");
        readout.heard(Heard::Silence).unwrap();
        assert!(readout.is_wanted(&frame(5)) && !readout.is_wanted(&frame(6)));
        let own = Frame::Short {
            control: 0x7B,
            address: 5,
        };
        assert!(!readout.is_wanted(&own));
    }

    #[test]
    fn a_meter_that_repeats_itself_ends() {
        let mut readout = ReadOut::new(Address::Primary(5), 0);
        readout.heard(Heard::Silence).unwrap();
        let more = || answer(5, &[0x01, 0x13, 1, 0x1F]);
        assert_eq!(readout.heard(more()), Ok(None));
        assert_eq!(readout.heard(more()).unwrap().unwrap().len(), 1);

        let mut endless = ReadOut::new(Address::Primary(5), 0);
        endless.heard(Heard::Silence).unwrap();
        let told = (0..=u8::MAX).find_map(|number| {
            endless
                .heard(answer(5, &[0x01, 0x13, number, 0x1F]))
                .unwrap()
        });
        assert_eq!(told.unwrap().len(), TELEGRAMS_MAX);
    }

    #[test]
    fn every_failure_has_its_fault_and_words() {
        let mut readout = ReadOut::new(Address::Primary(5), 0);
        readout.heard(Heard::Silence).unwrap();
        let busy = Heard::Frame(Frame::Long {
            control: 0x08,
            address: 5,
            information: 0x70,
            data: vec![8],
        });
        let failure = readout.heard(busy).unwrap_err();
        let words = "the meter reports error 8 (it is busy)";
        assert_eq!(Fault::from(failure), Fault::Device(words.into()));
        assert_eq!(Fault::from(Failure::Silence), Fault::Timeout);
        assert_eq!(
            Fault::from(Failure::Line("gone".into())),
            Fault::Unreachable
        );
        assert_eq!(
            readout.heard(Heard::Frame(Frame::Ack)),
            Err(Failure::NoData)
        );
    }
}
