//! Requests and what counts as their answer. Bytes are laid out by modbus-core; what a device sends
//! is checked here first, since modbus-core panics on some answers that do not fit.

use std::{fmt, ops::Range, str::FromStr};

use modbus_core::{self as core, rtu, tcp};

/// The four address spaces of a device.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Table {
    Coil,
    Discrete,
    Holding,
    Input,
}

/// One request to one device; addresses count from 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    Read {
        table: Table,
        at: u16,
        count: u16,
    },
    /// Function 22: the register becomes `(register & keep) | set`.
    MaskWrite {
        at: u16,
        keep: u16,
        set: u16,
    },
    /// Function 23: writes, then reads back what was written.
    WriteAndRead {
        at: u16,
        values: Vec<u16>,
    },
    WriteCoil {
        at: u16,
        on: bool,
    },
    WriteCoils {
        at: u16,
        on: Vec<bool>,
    },
    WriteRegister {
        at: u16,
        value: u16,
    },
    WriteRegisters {
        at: u16,
        values: Vec<u16>,
    },
}

/// What a device answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    Bits(Vec<bool>),
    Registers(Vec<u16>),
    Written,
}

/// The code with which a device refuses a request (Modbus application protocol 1.1b3, 7).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ExceptionCode(pub u8);

/// A request that no device could be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestError {
    /// It would reach beyond address 65535.
    AddressRange,
    /// None, or more than a frame holds (2000 and 1968 bits; 125, 123 and, with function 23, 121
    /// registers).
    Count,
    /// At another speed, on a line that has none.
    NoSpeed,
}

/// An answer of the device asked: what it says, or its refusal.
pub type Answer = Result<Reply, ExceptionCode>;

/// Unit, checksum: what RTU adds to a PDU.
const RTU_EXTRA: usize = 3;
/// The longest RTU and TCP frames have 256 and 260 bytes.
const MAX_FRAME: usize = 260;
const EXCEPTION_PDU: usize = 2;
const EXCEPTION_BIT: u8 = 0x80;

impl Table {
    /// Whether its items are bits.
    pub const fn holds_bits(self) -> bool {
        match self {
            Self::Coil | Self::Discrete => true,
            Self::Holding | Self::Input => false,
        }
    }
}

impl FromStr for Table {
    type Err = ();

    /// Reads `coil`, `discrete`, `holding`, `input`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "coil" => Ok(Self::Coil),
            "discrete" => Ok(Self::Discrete),
            "holding" => Ok(Self::Holding),
            "input" => Ok(Self::Input),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        })
    }
}

impl Request {
    /// Whether the request can be put into a frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), RequestError> {
        let (at, count, max) = match self {
            Self::Read { table, at, count } => (
                *at,
                usize::from(*count),
                if table.holds_bits() { 2000 } else { 125 },
            ),
            Self::MaskWrite { at, .. }
            | Self::WriteCoil { at, .. }
            | Self::WriteRegister { at, .. } => (*at, 1, 1),
            Self::WriteAndRead { at, values } => (*at, values.len(), 121),
            Self::WriteCoils { at, on } => (*at, on.len(), 1968),
            Self::WriteRegisters { at, values } => (*at, values.len(), 123),
        };
        if count == 0 || count > max {
            return Err(RequestError::Count);
        }
        if usize::from(at) + count > 0x1_0000 {
            return Err(RequestError::AddressRange);
        }
        Ok(())
    }

    /// The frame for a serial line. The request was checked.
    pub(crate) fn rtu_frame(&self, unit: u8) -> Vec<u8> {
        let hdr = rtu::Header { slave: unit };
        self.encode(|pdu, buf| rtu::client::encode_request(rtu::RequestAdu { hdr, pdu }, buf))
    }

    /// The frame for TCP. The request was checked.
    pub(crate) fn tcp_frame(&self, unit: u8, transaction: u16) -> Vec<u8> {
        let hdr = tcp::Header {
            transaction_id: transaction,
            unit_id: unit,
        };
        self.encode(|pdu, buf| tcp::client::encode_request(tcp::RequestAdu { hdr, pdu }, buf))
    }

    /// Length of the request on a serial line.
    pub(crate) fn rtu_len(&self) -> usize {
        let pdu = match self {
            Self::MaskWrite { .. } => 7,
            Self::WriteAndRead { values, .. } => 10 + 2 * values.len(),
            Self::Read { .. } | Self::WriteCoil { .. } | Self::WriteRegister { .. } => 5,
            Self::WriteCoils { on, .. } => 6 + on.len().div_ceil(8),
            Self::WriteRegisters { values, .. } => 6 + 2 * values.len(),
        };
        pdu + RTU_EXTRA
    }

    /// Length of the answer on a serial line when the device does what it is asked.
    pub(crate) fn rtu_answer_len(&self) -> usize {
        self.answer_pdu_len() + RTU_EXTRA
    }

    /// What `pdu`, a whole one, says to this request; `None` where it is not its answer. A read
    /// answer carries no address: only its length and the silence before it tell which it is.
    pub(crate) fn answer_in(&self, pdu: &[u8]) -> Option<Answer> {
        let function = self.function();
        if let [refused, code] = *pdu
            && refused == function | EXCEPTION_BIT
        {
            return Some(Err(ExceptionCode(code)));
        }
        if pdu.len() != self.answer_pdu_len() || pdu.first() != Some(&function) {
            return None;
        }
        match self {
            Self::Read { table, count, .. } => read_answer(*table, *count, pdu),
            Self::WriteAndRead { values, .. } => {
                let data = pdu.get(2..)?;
                // The byte count is the length that was asked for, or this is another's answer.
                if usize::from(*pdu.get(1)?) != 2 * values.len() || data.len() != 2 * values.len() {
                    return None;
                }
                let words = data.chunks_exact(2);
                Some(Ok(Reply::Registers(
                    words
                        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                        .collect(),
                )))
            }
            // Comes back as it was sent.
            Self::MaskWrite { .. } => (self.mask_write_pdu() == pdu).then_some(Ok(Reply::Written)),
            Self::WriteCoil { .. }
            | Self::WriteCoils { .. }
            | Self::WriteRegister { .. }
            | Self::WriteRegisters { .. } => {
                // Address and value, or address and count, come back as they were sent.
                let echoed = self.encode(|pdu, buf| {
                    rtu::client::encode_request(
                        rtu::RequestAdu {
                            hdr: rtu::Header { slave: 0 },
                            pdu,
                        },
                        buf,
                    )
                });
                (echoed.get(1..6) == Some(pdu)).then_some(Ok(Reply::Written))
            }
        }
    }

    const fn function(&self) -> u8 {
        match self {
            Self::Read {
                table: Table::Coil, ..
            } => 1,
            Self::Read {
                table: Table::Discrete,
                ..
            } => 2,
            Self::Read {
                table: Table::Holding,
                ..
            } => 3,
            Self::Read {
                table: Table::Input,
                ..
            } => 4,
            Self::WriteCoil { .. } => 5,
            Self::WriteRegister { .. } => 6,
            Self::WriteCoils { .. } => 15,
            Self::WriteRegisters { .. } => 16,
            Self::MaskWrite { .. } => 22,
            Self::WriteAndRead { .. } => 23,
        }
    }

    fn answer_pdu_len(&self) -> usize {
        match self {
            Self::Read { table, count, .. } => 2 + data_len(*table, *count),
            Self::MaskWrite { .. } => 7,
            Self::WriteAndRead { values, .. } => 2 + 2 * values.len(),
            Self::WriteCoil { .. }
            | Self::WriteCoils { .. }
            | Self::WriteRegister { .. }
            | Self::WriteRegisters { .. } => 5,
        }
    }

    /// Function 22 as the application protocol 1.1b3, 6.16 has it; of no use for others.
    fn mask_write_pdu(&self) -> [u8; 7] {
        let Self::MaskWrite { at, keep, set } = self else {
            return [0; 7];
        };
        let ([a1, a0], [k1, k0], [s1, s0]) =
            (at.to_be_bytes(), keep.to_be_bytes(), set.to_be_bytes());
        [22, a1, a0, k1, k0, s1, s0]
    }

    fn encode(
        &self,
        frame: impl FnOnce(core::RequestPdu<'_>, &mut [u8]) -> Result<usize, core::Error>,
    ) -> Vec<u8> {
        let (mut data, mut buf) = ([0; MAX_FRAME], vec![0; MAX_FRAME]);
        let mask = self.mask_write_pdu();
        let request = match self {
            Self::Read {
                table: Table::Coil,
                at,
                count,
            } => Ok(core::Request::ReadCoils(*at, *count)),
            Self::Read {
                table: Table::Discrete,
                at,
                count,
            } => Ok(core::Request::ReadDiscreteInputs(*at, *count)),
            Self::Read {
                table: Table::Holding,
                at,
                count,
            } => Ok(core::Request::ReadHoldingRegisters(*at, *count)),
            Self::Read {
                table: Table::Input,
                at,
                count,
            } => Ok(core::Request::ReadInputRegisters(*at, *count)),
            // The library has no request of this function; it passes on what it does not know.
            Self::MaskWrite { .. } => Ok(core::Request::Custom(
                core::FunctionCode::Custom(mask[0]),
                &mask[1..],
            )),
            Self::WriteAndRead { at, values } => {
                let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
                core::Data::from_words(values, &mut data[..2 * values.len()])
                    .map(|words| core::Request::ReadWriteMultipleRegisters(*at, count, *at, words))
            }
            Self::WriteCoil { at, on } => Ok(core::Request::WriteSingleCoil(*at, *on)),
            Self::WriteCoils { at, on } => core::Coils::from_bools(on, &mut data)
                .map(|coils| core::Request::WriteMultipleCoils(*at, coils)),
            Self::WriteRegister { at, value } => {
                Ok(core::Request::WriteSingleRegister(*at, *value))
            }
            Self::WriteRegisters { at, values } => {
                core::Data::from_words(values, &mut data[..2 * values.len()])
                    .map(|words| core::Request::WriteMultipleRegisters(*at, words))
            }
        };
        let length = request
            .and_then(|request| frame(core::RequestPdu(request), &mut buf))
            .expect("a checked request fits the longest frame");
        buf.truncate(length);
        buf
    }
}

fn data_len(table: Table, count: u16) -> usize {
    let count = usize::from(count);
    if table.holds_bits() {
        count.div_ceil(8)
    } else {
        2 * count
    }
}

fn read_answer(table: Table, count: u16, pdu: &[u8]) -> Option<Answer> {
    if usize::from(*pdu.get(1)?) != data_len(table, count) {
        return None;
    }
    let (response, count) = (core::Response::try_from(pdu).ok()?, usize::from(count));
    let reply = if let core::Response::ReadCoils(bits) | core::Response::ReadDiscreteInputs(bits) =
        response
    {
        Reply::Bits(
            (0..count)
                .map(|index| bits.get(index))
                .collect::<Option<_>>()?,
        )
    } else if let core::Response::ReadHoldingRegisters(words)
    | core::Response::ReadInputRegisters(words) = response
    {
        Reply::Registers(
            (0..count)
                .map(|index| words.get(index))
                .collect::<Option<_>>()?,
        )
    } else {
        return None;
    };
    Some(Ok(reply))
}

/// The first answer of `unit` to `request` among received bytes, and where it stands. Whole frames
/// of others are stepped over, so one cannot hide in another; noise is searched byte by byte.
pub fn find_answer(bytes: &[u8], unit: u8, request: &Request) -> Option<(Answer, Range<usize>)> {
    let (mut at, mut at_boundary) = (0, true);
    while at + EXCEPTION_PDU + RTU_EXTRA <= bytes.len() {
        let rest = &bytes[at..];
        if let Some((answer, length)) = answer_at(rest, unit, request) {
            return Some((answer, at..at + length));
        }
        match at_boundary.then(|| foreign_frame(rest)).flatten() {
            Some(length) => at += length,
            None => {
                at += 1;
                at_boundary = false;
            }
        }
    }
    None
}

/// Whether all the bytes are whole frames, of whomever.
pub(crate) fn only_frames(mut bytes: &[u8]) -> bool {
    while let Some(length) = foreign_frame(bytes) {
        bytes = &bytes[length..];
    }
    bytes.is_empty()
}

fn answer_at(bytes: &[u8], unit: u8, request: &Request) -> Option<(Answer, usize)> {
    let (&from, &function) = (bytes.first()?, bytes.get(1)?);
    if from != unit || function & !EXCEPTION_BIT != request.function() {
        return None;
    }
    let pdu_len = if function & EXCEPTION_BIT == 0 {
        request.answer_pdu_len()
    } else {
        EXCEPTION_PDU
    };
    let frame = rtu::extract_frame(bytes, pdu_len).ok().flatten()?;
    Some((request.answer_in(frame.pdu)?, pdu_len + RTU_EXTRA))
}

/// Length of the whole request or answer of any unit at the beginning of `bytes`.
fn foreign_frame(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < EXCEPTION_PDU + RTU_EXTRA {
        return None;
    }
    [
        rtu::response_pdu_len(bytes).ok().flatten(),
        request_pdu_len(bytes),
    ]
    .into_iter()
    .find_map(|pdu_len| {
        let pdu_len = pdu_len?;
        rtu::extract_frame(bytes, pdu_len).ok().flatten()?;
        Some(pdu_len + RTU_EXTRA)
    })
}

/// As the library, but with the byte count of functions 15 and 16 where it stands in a frame.
fn request_pdu_len(bytes: &[u8]) -> Option<usize> {
    if let [_, 15 | 16, _, _, _, _, count, ..] = *bytes {
        return Some(6 + usize::from(count));
    }
    rtu::request_pdu_len(bytes).ok().flatten()
}

impl ExceptionCode {
    /// The device has no such registers, or not so many of them at once.
    pub const fn is_about_registers(self) -> bool {
        matches!(self.0, 2 | 3)
    }

    /// The device is there and asks for patience: acknowledged (5), busy (6).
    pub const fn is_busy(self) -> bool {
        matches!(self.0, 5 | 6)
    }

    /// The gateway answers in place of a device that does not.
    pub const fn is_gateway(self) -> bool {
        matches!(self.0, 0x0A | 0x0B)
    }
}

impl fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "illegal function",
            2 => "illegal data address",
            3 => "illegal data value",
            4 => "device failure",
            5 => "acknowledged, still working",
            6 => "device busy",
            8 => "memory parity error",
            0x0A => "gateway path unavailable",
            0x0B => "gateway target does not answer",
            _ => "unknown exception",
        };
        write!(f, "{name} (exception {})", self.0)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressRange => "the request reaches beyond address 65535",
            Self::Count => "the request asks for nothing or for more than one frame holds",
            Self::NoSpeed => "only a serial line has a speed",
        })
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READ: Request = Request::Read {
        table: Table::Holding,
        at: 7,
        count: 2,
    };

    fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = vec![unit];
        frame.extend_from_slice(pdu);
        let crc = rtu::crc16(&frame);
        frame.extend_from_slice(&crc.to_be_bytes());
        frame
    }

    fn found(bytes: &[u8]) -> Option<Answer> {
        find_answer(bytes, 17, &READ).map(|(answer, _)| answer)
    }

    #[test]
    fn requests_are_laid_out_as_the_specification_shows() {
        // Modbus application protocol 1.1b3, 6.3, 6.5, 6.11 and 6.12, with unit 17 and checksum.
        let cases: [(Request, &[u8]); 6] = [
            // 6.16 and 6.17.
            (
                Request::MaskWrite {
                    at: 4,
                    keep: 0xF2,
                    set: 0x25,
                },
                &[22, 0, 4, 0, 0xF2, 0, 0x25],
            ),
            (
                Request::WriteAndRead {
                    at: 0x0E,
                    values: vec![0xFF; 3],
                },
                &[
                    23, 0, 0x0E, 0, 3, 0, 0x0E, 0, 3, 6, 0, 0xFF, 0, 0xFF, 0, 0xFF,
                ],
            ),
            (
                Request::Read {
                    table: Table::Holding,
                    at: 0x6B,
                    count: 3,
                },
                &[3, 0, 0x6B, 0, 3],
            ),
            (
                Request::WriteCoil { at: 0xAC, on: true },
                &[5, 0, 0xAC, 0xFF, 0],
            ),
            (
                Request::WriteCoils {
                    at: 0x13,
                    on: [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(|bit| bit == 1).to_vec(),
                },
                &[15, 0, 0x13, 0, 10, 2, 0xCD, 1],
            ),
            (
                Request::WriteRegisters {
                    at: 1,
                    values: vec![0x0A, 0x0102],
                },
                &[16, 0, 1, 0, 2, 4, 0, 0x0A, 1, 2],
            ),
        ];
        for (request, pdu) in cases {
            assert_eq!(request.rtu_frame(17), frame(17, pdu));
            assert_eq!(request.rtu_len(), pdu.len() + RTU_EXTRA);
            assert_eq!(request.tcp_frame(17, 0x1501)[..2], [0x15, 1]);
            assert_eq!(
                request.tcp_frame(17, 0x1501)[6..],
                frame(17, pdu)[..pdu.len() + 1]
            );
        }
    }

    #[test]
    fn only_the_right_unit_function_and_length_is_an_answer() {
        let right = frame(17, &[3, 4, 0, 1, 0, 2]);
        assert_eq!(found(&right), Some(Ok(Reply::Registers(vec![1, 2]))));
        assert_eq!(found(&frame(17, &[0x83, 2])), Some(Err(ExceptionCode(2))));
        for wrong in [
            frame(18, &[3, 4, 0, 1, 0, 2]),
            frame(17, &[4, 4, 0, 1, 0, 2]),
            frame(17, &[3, 2, 0, 1]),
            frame(17, &[3, 6, 0, 1, 0, 2, 0, 3]),
            frame(17, &[0x84, 2]),
            right[..right.len() - 1].to_vec(),
            [&right[..4], &[0xFF], &right[5..]].concat(),
        ] {
            assert_eq!(found(&wrong), None, "{wrong:x?}");
        }
    }

    #[test]
    fn an_exception_code_that_nobody_knows_is_still_an_answer() {
        assert_eq!(
            found(&frame(17, &[0x83, 0x77])),
            Some(Err(ExceptionCode(0x77)))
        );
    }

    #[test]
    fn an_answer_is_found_behind_noise_and_foreign_frames() {
        let right = frame(17, &[3, 4, 0, 1, 0, 2]);
        let foreign = frame(9, &[4, 2, 0, 1]);
        let broadcast = frame(0, &[6, 0, 1, 0, 2]);
        for before in [
            &b"\x11\x03\x04"[..],
            &foreign,
            &broadcast,
            &[foreign.clone(), broadcast.clone()].concat(),
        ] {
            let (answer, place) =
                find_answer(&[before, &right, b"\0"].concat(), 17, &READ).unwrap();
            assert_eq!(
                (answer, place.end),
                (Ok(Reply::Registers(vec![1, 2])), before.len() + right.len())
            );
        }
    }

    #[test]
    fn an_answer_inside_a_foreign_frame_is_none() {
        let inner = frame(17, &[3, 4, 0, 1, 0, 2]);
        let mut pdu = vec![3, 10];
        pdu.extend_from_slice(&inner);
        pdu.push(0);
        assert_eq!(found(&frame(9, &pdu)), None);
        assert!(only_frames(&frame(9, &pdu)));
        // A light panel that writes to all: function 16 and its byte count.
        let mut broadcast = vec![16, 0, 1, 0, 5, 10];
        broadcast.extend_from_slice(&inner);
        broadcast.push(0);
        assert_eq!(found(&frame(0, &broadcast)), None);
        assert!(only_frames(&frame(0, &broadcast)));
        assert!(!only_frames(&inner[..5]));
    }

    #[test]
    fn a_write_is_answered_by_its_own_address_and_value() {
        let write = Request::WriteRegister { at: 5, value: 215 };
        assert_eq!(
            write.answer_in(&[6, 0, 5, 0, 215]),
            Some(Ok(Reply::Written))
        );
        assert_eq!(write.answer_in(&[6, 0, 6, 0, 215]), None);
        assert_eq!(write.answer_in(&[6, 0, 5, 0, 214]), None);
        let write = Request::WriteRegisters {
            at: 5,
            values: vec![1, 2],
        };
        assert_eq!(write.answer_in(&[16, 0, 5, 0, 2]), Some(Ok(Reply::Written)));
        assert_eq!(write.answer_in(&[16, 0, 5, 0, 1]), None);
        let mask = Request::MaskWrite {
            at: 4,
            keep: 0xF2,
            set: 0x25,
        };
        let answer = [22, 0, 4, 0, 0xF2, 0, 0x25];
        assert_eq!(mask.answer_in(&answer), Some(Ok(Reply::Written)));
        assert_eq!(mask.answer_in(&[22, 0, 4, 0, 0xF2, 0, 0x24]), None);
        assert_eq!(
            find_answer(&frame(17, &answer), 17, &mask).map(|(answer, _)| answer),
            Some(Ok(Reply::Written))
        );
        let both = Request::WriteAndRead {
            at: 4,
            values: vec![7, 8],
        };
        assert_eq!(
            both.answer_in(&[23, 4, 0, 7, 0, 9]),
            Some(Ok(Reply::Registers(vec![7, 9])))
        );
        assert_eq!(both.answer_in(&[23, 2, 0, 7, 0, 9]), None);
        assert_eq!(both.answer_in(&[23, 4, 0, 7]), None);
    }

    #[test]
    fn requests_that_fit_no_frame_are_refused() {
        for (request, error) in [
            (
                Request::Read {
                    table: Table::Input,
                    at: 0,
                    count: 0,
                },
                RequestError::Count,
            ),
            (
                Request::Read {
                    table: Table::Input,
                    at: 0,
                    count: 126,
                },
                RequestError::Count,
            ),
            (
                Request::Read {
                    table: Table::Coil,
                    at: 0,
                    count: 2001,
                },
                RequestError::Count,
            ),
            (
                Request::Read {
                    table: Table::Input,
                    at: 65535,
                    count: 2,
                },
                RequestError::AddressRange,
            ),
            (
                Request::WriteRegisters {
                    at: 0,
                    values: vec![0; 124],
                },
                RequestError::Count,
            ),
            (
                Request::WriteCoils {
                    at: 0,
                    on: Vec::new(),
                },
                RequestError::Count,
            ),
        ] {
            assert_eq!(request.check(), Err(error), "{request:?}");
        }
        assert_eq!(
            Request::WriteRegisters {
                at: 0,
                values: vec![1; 123]
            }
            .rtu_frame(1)
            .len(),
            255
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 1u16..20) {
            for table in [Table::Coil, Table::Discrete, Table::Holding, Table::Input] {
                let request = Request::Read { table, at: 0, count };
                let _ = find_answer(&bytes, 1, &request);
                let _ = request.answer_in(&bytes);
            }
            let _ = only_frames(&bytes);
        }

        #[test]
        fn valid_checksums_do_not_make_it_panic(unit in 0u8..3, pdu in prop::collection::vec(any::<u8>(), 1..30)) {
            let bytes = frame(unit, &pdu);
            for table in [Table::Coil, Table::Holding] {
                let _ = find_answer(&bytes, 1, &Request::Read { table, at: 0, count: 3 });
            }
        }
    }
}
