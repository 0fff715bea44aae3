//! Frames as a slave sees them.

use super::Seen;

/// How requests and answers stand on the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    Rtu,
    Tcp,
}

pub(super) struct Request {
    pub(super) unit: u8,
    /// On TCP.
    pub(super) transaction: u16,
    pub(super) pdu: Vec<u8>,
}

impl Request {
    pub(super) fn function(&self) -> u8 {
        self.pdu.first().copied().unwrap_or_default()
    }

    pub(super) fn seen(&self) -> Seen {
        let word = |at: usize| match self.pdu.get(at..at + 2) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]),
            Some(_) | None => 0,
        };
        Seen {
            unit: self.unit,
            function: self.function(),
            at: word(1),
            count: word(3),
        }
    }
}

impl Framing {
    /// Takes the first whole request off the received bytes; what cannot be one is thrown away.
    pub(super) fn take_request(self, received: &mut Vec<u8>) -> Option<Request> {
        match self {
            Self::Rtu => take_rtu(received),
            Self::Tcp => take_tcp(received),
        }
    }

    pub(super) fn frame(self, unit: u8, transaction: u16, pdu: &[u8]) -> Vec<u8> {
        let mut frame = match self {
            Self::Rtu => vec![unit],
            Self::Tcp => {
                let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX);
                [transaction.to_be_bytes(), [0, 0], length.to_be_bytes()]
                    .concat()
                    .into_iter()
                    .chain([unit])
                    .collect()
            }
        };
        frame.extend_from_slice(pdu);
        if self == Self::Rtu {
            frame.extend_from_slice(&crc(&frame).to_le_bytes());
        }
        frame
    }
}

fn take_rtu(received: &mut Vec<u8>) -> Option<Request> {
    for start in 0..received.len() {
        let rest = &received[start..];
        let length = match *rest {
            [_, 1..=6, ..] => 8,
            [_, 15 | 16, _, _, _, _, bytes, ..] => 9 + usize::from(bytes),
            [_, 22, ..] => 10,
            [_, 23, _, _, _, _, _, _, _, _, bytes, ..] => 13 + usize::from(bytes),
            [_, 15 | 16 | 23, ..] | [_] => return None,
            // The length of other functions is not known; taken as short ones.
            _ => 4,
        };
        let frame = rest.get(..length)?;
        let (body, sum) = frame.split_at(length - 2);
        if crc(body).to_le_bytes() == sum {
            let request = Request {
                unit: body[0],
                transaction: 0,
                pdu: body[1..].to_vec(),
            };
            received.drain(..start + length);
            return Some(request);
        }
    }
    received.clear();
    None
}

fn take_tcp(received: &mut Vec<u8>) -> Option<Request> {
    let &[t1, t0, _, _, l1, l0, unit, ..] = received.as_slice() else {
        return None;
    };
    let end = 6 + usize::from(u16::from_be_bytes([l1, l0]));
    let pdu = received.get(7..end)?.to_vec();
    received.drain(..end);
    Some(Request {
        unit,
        transaction: u16::from_be_bytes([t1, t0]),
        pdu,
    })
}

/// CRC-16 of Modbus over serial line 1.02, 6.2.2.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_that_of_the_specification() {
        // Modbus over serial line 1.02, 6.2.2: the checksum of 02 07 is 1241, low byte first.
        assert_eq!(Framing::Rtu.frame(2, 0, &[7]), [2, 7, 0x41, 0x12]);
        assert_eq!(
            Framing::Tcp.frame(2, 0x0102, &[7, 8]),
            [1, 2, 0, 0, 0, 3, 2, 7, 8]
        );
    }

    #[test]
    fn a_request_is_found_behind_noise() {
        let read = Framing::Rtu.frame(17, 0, &[3, 0, 1, 0, 2]);
        let mut received = [&[0xFF, 0xFE][..], &read, &read[..5]].concat();
        let request = Framing::Rtu.take_request(&mut received).unwrap();
        assert_eq!(
            request.seen(),
            Seen {
                unit: 17,
                function: 3,
                at: 1,
                count: 2
            }
        );
        assert!(Framing::Rtu.take_request(&mut received).is_none());
        received.extend_from_slice(&read[5..]);
        assert!(Framing::Rtu.take_request(&mut received).is_some());
    }
}
