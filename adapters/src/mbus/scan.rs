//! Who is on the line: every primary address, or the tree of secondary ones.

use tokio::time::Instant;

use super::{
    address::{ANY_DIGIT, Address, Secondary},
    line::{Timing, exchange},
    readout::{Failure, ReadOut},
    telegram::{Header, Telegram},
};
use crate::{
    bus::{Opener, SharedLine},
    meter::READOUT_MAX,
};

/// Reads a meter out, in one turn on the line.
///
/// # Errors
/// Why it cannot be read.
pub async fn read_out<O: Opener>(
    line: &SharedLine<O>,
    timing: Timing,
    mut readout: ReadOut,
) -> Result<Vec<Telegram>, Failure> {
    let lost = |error: &std::io::Error| Failure::Line(format!("the line is down: {error}"));
    let mut turn = line.turn().await.map_err(|error| lost(&error))?;
    let end = Instant::now() + READOUT_MAX;
    loop {
        if Instant::now() > end {
            return Err(Failure::TooLong);
        }
        let (frame, listen_on) = readout.say();
        let heard = exchange(&mut turn, timing, &frame, listen_on, |frame| {
            readout.is_wanted(frame)
        });
        let result = match heard.await {
            Ok(heard) => readout.heard(heard),
            Err(error) => {
                let failure = lost(&error);
                turn.lost(&error);
                return Err(failure);
            }
        };
        if let Some(result) = result.transpose() {
            turn.finish();
            return result;
        }
    }
}

/// What is at an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Looked {
    /// Somebody, who says this of himself.
    Meter(Option<Header>),
    Nobody,
    /// Somebody, who cannot be read.
    Troubled(Failure),
}

/// Asks once whether a meter is there.
///
/// # Errors
/// The line is down, or returns what is sent.
pub async fn look<O: Opener>(
    line: &SharedLine<O>,
    timing: Timing,
    address: Address,
) -> Result<Looked, Failure> {
    match read_out(line, timing, ReadOut::first(address)).await {
        Ok(telegrams) => {
            let header = telegrams.first().and_then(|telegram| telegram.header);
            Ok(Looked::Meter(header))
        }
        Err(Failure::Silence) => Ok(Looked::Nobody),
        Err(failure @ (Failure::Line(_) | Failure::Ourselves | Failure::WrongEcho)) => Err(failure),
        Err(
            failure @ (Failure::Collision
            | Failure::Foreign(_)
            | Failure::Garbled(_)
            | Failure::NoData
            | Failure::Telegram(_)
            | Failure::TooLong),
        ) => Ok(Looked::Troubled(failure)),
    }
}

/// The search for secondary addresses: where several meters answer at once, one more digit is tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecondaryScan {
    /// Patterns to try, the next one last, each with the place of the next open digit.
    open: Vec<(Secondary, usize)>,
}

const DIGITS: usize = 8;

impl SecondaryScan {
    /// Looks for all meters that fit; the open digits of the pattern stand last.
    pub fn new(pattern: Secondary) -> Self {
        let place = (0..DIGITS).find(|place| pattern.digit(*place) == ANY_DIGIT);
        Self {
            open: vec![(pattern, place.unwrap_or(DIGITS))],
        }
    }

    /// The pattern to try next; `None` at the end.
    pub fn next_pattern(&self) -> Option<Secondary> {
        self.open.last().map(|(pattern, _)| *pattern)
    }

    /// What came of it: a meter with its address, where there is one.
    pub fn looked(&mut self, looked: &Looked) -> Option<(Secondary, Option<Failure>)> {
        let (pattern, place) = self.open.pop()?;
        let own = |header: &Option<Header>| header.and_then(|header| header.secondary);
        match looked {
            Looked::Nobody => None,
            Looked::Meter(header) => Some((own(header).unwrap_or(pattern), None)),
            Looked::Troubled(_) if place < DIGITS => {
                let digits = (0..=9).rev();
                self.open
                    .extend(digits.map(|digit| (pattern.with_digit(place, digit), place + 1)));
                None
            }
            Looked::Troubled(failure) => Some((pattern, Some(failure.clone()))),
        }
    }

    /// How much of the tree was looked at, in hundredths.
    pub fn progress(&self) -> u8 {
        let left: f64 = self
            .open
            .iter()
            .map(|(_, place)| 0.1f64.powi(i32::try_from(*place).unwrap_or(i32::MAX)))
            .sum();
        // Within 0 and 100 by the sum of the tree.
        (100.0 - 100.0 * left.min(1.0)) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mbus::frame::BadFrame;

    /// Whoever of these fits the pattern answers; two of them garble.
    fn answer(meters: &[Secondary], pattern: Secondary) -> Looked {
        let mut fitting = meters.iter().filter(|meter| pattern.fits(**meter));
        match (fitting.next(), fitting.next()) {
            (None, _) => Looked::Nobody,
            (Some(meter), None) => Looked::Meter(Some(Header {
                secondary: Some(*meter),
                access: 0,
                status: crate::mbus::Status::default(),
            })),
            (Some(_), Some(_)) => Looked::Troubled(Failure::Garbled(BadFrame::CheckSum)),
        }
    }

    fn scan(meters: &[&str]) -> (Vec<String>, usize) {
        let meters: Vec<Secondary> = meters.iter().map(|text| text.parse().unwrap()).collect();
        let mut scan = SecondaryScan::new(Secondary::ANY);
        let (mut found, mut steps, mut before) = (Vec::new(), 0, 0);
        while let Some(pattern) = scan.next_pattern() {
            steps += 1;
            if let Some((meter, failure)) = scan.looked(&answer(&meters, pattern)) {
                let trouble = failure.map_or("", |_| " alike");
                found.push(format!("{meter}{trouble}"));
            }
            assert!(scan.progress() >= before);
            before = scan.progress();
        }
        assert_eq!(scan.progress(), 100);
        (found, steps)
    }

    #[test]
    fn every_meter_is_found_once_and_only_where_several_answer_is_looked_closer() {
        assert_eq!(scan(&[]), (vec![], 1));
        assert_eq!(
            scan(&["1234567824400107"]),
            (vec!["1234567824400107".to_owned()], 1)
        );
        let meters = ["1234567824400107", "1234667824400104", "9934567824400107"];
        let (found, steps) = scan(&meters);
        assert_eq!(found, meters);
        assert_eq!(steps, 51, "ten for each of five digits, and the first");
    }

    #[test]
    fn meters_that_cannot_be_told_apart_are_named() {
        let (found, _) = scan(&["1234567824400107", "1234567824400104"]);
        assert_eq!(found, ["12345678FFFFFFFF alike"]);
    }
}
