//! Customer ports that send text telegrams by themselves: DSMR P1 (Netherlands, Belgium, Luxembourg,
//! Sweden, Hungary …) and mode D of IEC 62056-21, whose telegrams are the same without a check.
//!
//! `/XXX5ident`, an empty line, data lines, `!` and, since version 4, the CRC of all that as four
//! hexadecimal digits.

mod lines;
#[cfg(test)]
mod tests;

use crate::meter::{Readout, Spoilt, Telegrams};

pub use lines::readings;

/// Longest telegram; those of version 5 have some 2 kB.
pub const TELEGRAM_MAX: usize = 16 * 1024;
/// Header of an encrypted telegram as far as its length: tag, system title with its own length, and
/// three bytes of length.
const CIPHER_HEADER: usize = 13;

/// Takes the line of a customer port apart.
#[derive(Debug)]
pub struct TextTelegrams {
    /// Parity in the eighth bit, to be checked here.
    software_parity: bool,
    /// From `/` on, empty before.
    text: Vec<u8>,
    /// A character of the telegram came damaged.
    is_damaged: bool,
    /// This meter checks its telegrams: one without is cut.
    has_crc: bool,
    cipher: Cipher,
}

/// How much was seen of an encrypted telegram.
#[derive(Debug, Default)]
struct Cipher {
    header: Vec<u8>,
    /// Of its bytes, still to come.
    rest: usize,
}

impl TextTelegrams {
    pub fn new(software_parity: bool) -> Self {
        Self {
            software_parity,
            text: Vec::new(),
            is_damaged: false,
            has_crc: false,
            cipher: Cipher::default(),
        }
    }

    fn at_line_start(&self) -> bool {
        matches!(self.text.last(), Some(b'\n' | b'\r'))
    }

    /// The telegram that the end of a line has completed.
    fn finish(&mut self) -> Option<Result<Readout, Spoilt>> {
        let end = self.text.iter().rposition(|byte| *byte == b'!')?;
        let starts_line = matches!(
            end.checked_sub(1).map(|at| self.text[at]),
            Some(b'\n' | b'\r')
        );
        if !starts_line {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        let (told, check) = text.split_at(end + 1);
        if std::mem::take(&mut self.is_damaged) {
            return Some(Err(Spoilt::Checksum));
        }
        match check.trim_ascii() {
            [] if self.has_crc => return Some(Err(Spoilt::Checksum)),
            [] => {}
            check => {
                let check = std::str::from_utf8(check).ok();
                let check = check.and_then(|check| u16::from_str_radix(check, 16).ok());
                if check != Some(crc16(told)) {
                    return Some(Err(Spoilt::Checksum));
                }
                self.has_crc = true;
            }
        }
        Some(Ok(lines::readout(&told[..end])))
    }
}

impl Telegrams for TextTelegrams {
    fn push(&mut self, byte: u8) -> Option<Result<Readout, Spoilt>> {
        if self.text.is_empty()
            && let Some(spoilt) = self.cipher.push(byte)
        {
            return Some(Err(spoilt));
        }
        let (byte, is_right) = if self.software_parity {
            (byte & 0x7f, byte.count_ones().is_multiple_of(2))
        } else {
            (byte, true)
        };
        if byte == b'/' && (self.text.is_empty() || self.at_line_start()) {
            // Whatever came before was cut.
            self.text.clear();
            self.is_damaged = false;
        } else if self.text.is_empty() {
            return None;
        }
        self.is_damaged |= !is_right;
        self.text.push(byte);
        if byte == b'\n' {
            return self.finish();
        }
        if self.text.len() >= TELEGRAM_MAX {
            self.text.clear();
            return Some(Err(Spoilt::TooLong));
        }
        None
    }

    fn reset(&mut self) {
        *self = Self::new(self.software_parity);
    }
}

impl Cipher {
    /// Telegrams in Luxembourg and Austria are general-glo-ciphered (IEC 62056-5-3): DB 08, the
    /// system title, 82 and the length.
    fn push(&mut self, byte: u8) -> Option<Spoilt> {
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        let fits = match self.header.len() {
            0 => byte == 0xDB,
            1 => byte == 0x08,
            10 => byte == 0x82,
            _ => true,
        };
        if !fits {
            self.header.clear();
            if byte != 0xDB {
                return None;
            }
        }
        self.header.push(byte);
        if self.header.len() < CIPHER_HEADER {
            return None;
        }
        let header = std::mem::take(&mut self.header);
        self.rest = usize::from(u16::from_be_bytes([header[11], header[12]]));
        Some(Spoilt::Encrypted("no key is configured".to_owned()))
    }
}

/// CRC-16/ARC: polynomial 0x8005 reflected, beginning with 0 (DSMR 5.0.2 P1, 6.2).
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc: u16, _| {
            let carry = if crc & 1 == 1 { 0xA001 } else { 0 };
            (crc >> 1) ^ carry
        })
    })
}
