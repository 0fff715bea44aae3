//! The bytes of IEC 62056-21: identification, blocks with their check character. No IO.

pub(super) const SOH: u8 = 0x01;
pub(super) const STX: u8 = 0x02;
pub(super) const ETX: u8 = 0x03;
pub(super) const EOT: u8 = 0x04;
pub(super) const ACK: u8 = 0x06;
pub(super) const NAK: u8 = 0x15;

/// Longest telegram taken in; a full readout is a few kilobytes.
pub const TELEGRAM_MAX: usize = 64 * 1024;

/// Longest identification: `/XXXZ`, 16 characters, escape sequences, with room.
pub(super) const IDENTIFICATION_MAX: usize = 64;

/// What a meter says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identification {
    /// Three letters of the maker.
    pub maker: String,
    pub protocol: Protocol,
    /// The character that names protocol and speed.
    pub mode: char,
    pub text: String,
    /// The third letter of the maker is small: the meter reacts within 20 ms instead of 200.
    pub is_fast: bool,
}

/// Protocol mode with the highest speed in Bd.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// 300 Bd throughout.
    A,
    /// Changes the speed by itself.
    B(u32),
    /// Changes the speed when told.
    C(u32),
}

impl Protocol {
    /// Of the mode.
    pub fn letter(self) -> char {
        match self {
            Self::A => 'A',
            Self::B(_) => 'B',
            Self::C(_) => 'C',
        }
    }
}

/// Speeds of mode C, by the digit that stands for them.
const SPEEDS: [u32; 7] = [300, 600, 1200, 2400, 4800, 9600, 19200];

impl Identification {
    /// Parses `/XXXZident`, without the end of line; `None` where it is none.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.strip_prefix('/')?;
        let letters = text.as_bytes().get(..4)?;
        if !letters[..3].iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let protocol = match letters[3] {
            digit @ b'0'..=b'6' => Protocol::C(SPEEDS[usize::from(digit - b'0')]),
            letter @ b'A'..=b'F' => Protocol::B(SPEEDS[usize::from(letter - b'A') + 1]),
            _ => Protocol::A,
        };
        Some(Self {
            maker: text[..3].to_owned(),
            protocol,
            mode: char::from(letters[3]),
            text: text.get(4..)?.to_owned(),
            is_fast: letters[2].is_ascii_lowercase(),
        })
    }
}

impl std::fmt::Display for Identification {
    /// As the meter prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            maker, mode, text, ..
        } = self;
        write!(f, "/{maker}{mode}{text}")
    }
}

/// The digit and speed to ask for: the fastest that both sides can do.
pub(super) fn agree_speed(meter: u32, max: u32) -> (char, u32) {
    let fits = |(_, speed): &(char, u32)| *speed <= meter && *speed <= max;
    ('0'..='6')
        .zip(SPEEDS)
        .filter(fits)
        .last()
        .unwrap_or(('0', SPEEDS[0]))
}

/// Takes a block byte by byte: from STX (or SOH) to the check character behind ETX (or EOT).
#[derive(Debug, Default)]
pub struct Block {
    /// Between STX and ETX.
    text: Vec<u8>,
    check: u8,
    state: BlockState,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum BlockState {
    #[default]
    BeforeStart,
    InText,
    AtCheck {
        is_last: bool,
    },
    /// At the check of a block whose start was not seen.
    AtLostCheck,
}

/// Where a block stands after a byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BlockStep {
    /// The check character is wrong.
    Damaged,
    Done {
        is_last: bool,
    },
    More,
    /// It has ended, and its start was not seen.
    NoStart,
    TooLong,
}

impl Block {
    /// Takes the next seven bits. What comes before the start is skipped.
    pub fn push(&mut self, byte: u8) -> BlockStep {
        match self.state {
            BlockState::BeforeStart => match byte {
                STX | SOH => self.state = BlockState::InText,
                ETX | EOT => self.state = BlockState::AtLostCheck,
                _ => {}
            },
            BlockState::AtLostCheck => {
                self.state = BlockState::BeforeStart;
                return BlockStep::NoStart;
            }
            BlockState::InText => {
                self.check ^= byte;
                match byte {
                    ETX | EOT => {
                        self.state = BlockState::AtCheck {
                            is_last: byte == ETX,
                        }
                    }
                    _ if self.text.len() >= TELEGRAM_MAX => return BlockStep::TooLong,
                    _ => self.text.push(byte),
                }
            }
            BlockState::AtCheck { is_last } => {
                self.state = BlockState::BeforeStart;
                let is_right = byte == self.check & 0x7f;
                return if is_right {
                    BlockStep::Done { is_last }
                } else {
                    BlockStep::Damaged
                };
            }
        }
        BlockStep::More
    }

    /// Whether the start was seen.
    pub fn has_begun(&self) -> bool {
        match self.state {
            BlockState::AtLostCheck | BlockState::BeforeStart => false,
            BlockState::AtCheck { .. } | BlockState::InText => true,
        }
    }

    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}

/// Even parity over eight bits, for lines that carry 7E1 as 8N1.
pub(super) fn with_parity(byte: u8) -> u8 {
    let low = byte & 0x7f;
    low | ((low.count_ones() as u8 & 1) << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(bytes: &[u8]) -> (Vec<BlockStep>, Block) {
        let mut block = Block::default();
        let steps = bytes
            .iter()
            .map(|byte| block.push(*byte))
            .filter(|step| *step != BlockStep::More)
            .collect();
        (steps, block)
    }

    #[test]
    fn a_block_ends_with_the_exclusive_or_of_its_bytes() {
        // "1.8.0(1)" up to ETX, computed by hand: 0x31^0x2e^0x38^0x2e^0x30^0x28^0x31^0x29^0x03
        let check = b"1.8.0(1)\x03".iter().fold(0, |check, byte| check ^ byte);
        let (steps, block) = feed(&[b"noise\x021.8.0(1)\x03".as_slice(), &[check]].concat());
        assert_eq!(steps, [BlockStep::Done { is_last: true }]);
        assert_eq!(block.into_text(), b"1.8.0(1)");
        assert_eq!(
            feed(&[b"\x021.8.0(1)\x03".as_slice(), &[check ^ 1]].concat()).0,
            [BlockStep::Damaged]
        );
        assert_eq!(
            feed(b"\x02\x04\x04").0,
            [BlockStep::Done { is_last: false }]
        );
        assert_eq!(
            feed(&[b"\x02".as_slice(), &[b'0'; TELEGRAM_MAX + 1]].concat()).0,
            [BlockStep::TooLong]
        );
    }

    #[test]
    fn identifications_name_mode_and_speed() {
        let parse = |text: &str| Identification::parse(text.as_bytes());
        let meter = parse("/ISk5MT174-0001").unwrap();
        assert_eq!(
            (meter.maker.as_str(), meter.protocol, meter.is_fast),
            ("ISk", Protocol::C(9600), true)
        );
        assert_eq!(parse("/ABCD\\2x").unwrap().protocol, Protocol::B(4800));
        assert_eq!(parse("/ABC x").unwrap().protocol, Protocol::A);
        for text in ["", "/", "/AB", "ABC5x", "/A1C5x"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(agree_speed(9600, 2400), ('3', 2400));
        assert_eq!(agree_speed(9600, 115_200), ('5', 9600));
        assert_eq!(agree_speed(300, 9600), ('0', 300));
    }

    #[test]
    fn parity_is_even() {
        for byte in 0..=127 {
            assert_eq!(with_parity(byte).count_ones() % 2, 0);
            assert_eq!(with_parity(byte) & 0x7f, byte);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut block = Block::default();
            for byte in &bytes {
                block.push(*byte);
            }
            prop_assert!(block.into_text().len() <= bytes.len());
            let _ = Identification::parse(&bytes);
        }
    }
}
