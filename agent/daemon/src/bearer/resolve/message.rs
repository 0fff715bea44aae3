//! Questions to name servers and their answers as bytes (RFC 1035, 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    A,
    Aaaa,
}

/// A name as labels with their lengths, in small letters, without the final zero.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Name(Vec<u8>);

/// What an answer says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Addresses(Vec<IpAddr>),
    /// The name is another, of which nothing more is said.
    Alias(Name),
    /// It would not fit into a datagram.
    Cut,
    /// The server cannot or will not say it, with its code.
    Failed(u8),
    /// There is no such name, or it has no address of this kind.
    Nothing,
}

/// It is not the answer to our question, or none at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unfit;

/// RFC 1035, 2.3.4, without the final zero.
const MAX_NAME: usize = 254;
const MAX_LABEL: usize = 63;
/// Records of one answer that are looked at.
const MAX_RECORDS: u16 = 64;
/// Names in a row that lead to one another.
pub(crate) const MAX_ALIASES: usize = 8;
/// Pointers in one name.
const MAX_JUMPS: usize = 16;
const HEADER: usize = 12;
const CLASS_INTERNET: u16 = 1;
const TYPE_CNAME: u16 = 5;
/// Bits of the third and fourth byte. // RFC 1035, 4.1.1
const IS_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const NO_SUCH_NAME: u8 = 3;

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::A => <[u8; 4]>::try_from(data)
                .ok()
                .map(|bytes| Ipv4Addr::from(bytes).into()),
            Self::Aaaa => <[u8; 16]>::try_from(data)
                .ok()
                .map(|bytes| Ipv6Addr::from(bytes).into()),
        }
    }
}

impl Name {
    /// `None`: it cannot be asked for.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut bytes = Vec::with_capacity(text.len() + 1);
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL || !label.is_ascii() {
                return None;
            }
            // The length of a label fits a byte.
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        (bytes.len() <= MAX_NAME).then_some(Self(bytes))
    }
}

/// A question with recursion wanted.
pub(crate) fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + name.0.len() + 5);
    bytes.extend(id.to_be_bytes());
    bytes.extend([RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&name.0);
    bytes.push(0);
    bytes.extend(kind.number().to_be_bytes());
    bytes.extend(CLASS_INTERNET.to_be_bytes());
    bytes
}

/// Reads the answer to [`question`] with the same arguments.
pub(crate) fn answer(bytes: &[u8], id: u16, name: &Name, kind: Kind) -> Result<Answer, Unfit> {
    let mut reader = Reader { bytes, at: 0 };
    let is_ours = reader.number()? == id;
    let (flags, code) = (reader.byte()?, reader.byte()? & 0x0f);
    if !is_ours || flags & IS_RESPONSE == 0 || flags & OPCODE != 0 {
        return Err(Unfit);
    }
    let (questions, records) = (reader.number()?, reader.number()?);
    reader.skip(4)?;
    if questions != 1
        || reader.name()? != *name
        || reader.number()? != kind.number()
        || reader.number()? != CLASS_INTERNET
    {
        return Err(Unfit);
    }
    match code {
        0 if flags & TRUNCATED != 0 => Ok(Answer::Cut),
        0 => found(&mut reader, records, name, kind),
        NO_SUCH_NAME => Ok(Answer::Nothing),
        code => Ok(Answer::Failed(code)),
    }
}

fn found(reader: &mut Reader<'_>, records: u16, name: &Name, kind: Kind) -> Result<Answer, Unfit> {
    let (mut aliases, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..records.min(MAX_RECORDS) {
        let owner = reader.name()?;
        let (of, class) = (reader.number()?, reader.number()?);
        // How long it holds.
        reader.skip(4)?;
        let length = usize::from(reader.number()?);
        let begin = reader.at;
        let data = reader.take(length)?;
        if class != CLASS_INTERNET {
            continue;
        }
        if of == TYPE_CNAME {
            let mut target = Reader {
                bytes: reader.bytes,
                at: begin,
            };
            aliases.push((owner, target.name()?));
        } else if of == kind.number() {
            addresses.push((owner, kind.address(data).ok_or(Unfit)?));
        }
    }
    let mut at = name;
    for _ in 0..MAX_ALIASES {
        let here: Vec<IpAddr> = addresses
            .iter()
            .filter(|(owner, _)| owner == at)
            .map(|(_, address)| *address)
            .collect();
        if !here.is_empty() {
            return Ok(Answer::Addresses(here));
        }
        let Some((_, next)) = aliases.iter().find(|(owner, _)| owner == at) else {
            break;
        };
        at = next;
    }
    if at == name {
        return Ok(Answer::Nothing);
    }
    Ok(Answer::Alias(at.clone()))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unfit> {
        let taken = self.bytes.get(self.at..self.at + length).ok_or(Unfit)?;
        self.at += length;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), Unfit> {
        self.take(length).map(drop)
    }

    fn byte(&mut self) -> Result<u8, Unfit> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Result<u16, Unfit> {
        self.take(2)
            .map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    /// RFC 1035, 4.1.4. Pointers lead back only.
    fn name(&mut self) -> Result<Name, Unfit> {
        let mut name = Vec::new();
        // Behind the first pointer.
        let mut end = None;
        let mut jumps = 0;
        loop {
            let begin = self.at;
            let length = self.byte()?;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.take(length.into())?;
                    name.push(length);
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                }
                0xc0.. => {
                    let to = usize::from(length & 0x3f) << 8 | usize::from(self.byte()?);
                    jumps += 1;
                    if to >= begin || jumps > MAX_JUMPS {
                        return Err(Unfit);
                    }
                    end.get_or_insert(self.at);
                    self.at = to;
                }
                64..0xc0 => return Err(Unfit),
            }
            if name.len() > MAX_NAME {
                return Err(Unfit);
            }
        }
        self.at = end.unwrap_or(self.at);
        Ok(Name(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// An answer with these records behind the question: owner, type, data.
    fn reply(
        flags: u8,
        code: u8,
        asked: &Name,
        kind: Kind,
        records: &[(&Name, u16, &[u8])],
    ) -> Vec<u8> {
        let mut bytes = question(7, asked, kind);
        bytes[2] |= flags;
        bytes[3] |= code;
        bytes[7] = u8::try_from(records.len()).unwrap();
        for (owner, of, data) in records {
            bytes.extend_from_slice(&owner.0);
            bytes.push(0);
            bytes.extend(of.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(data);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Answer, Unfit> {
        answer(bytes, 7, &name("lw.example"), Kind::A)
    }

    #[test]
    fn a_question_is_that_of_the_standard() {
        let bytes = question(0x1234, &name("LW.example."), Kind::Aaaa);
        let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02lw\x07example\0\0\x1c\0\x01";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn addresses_are_found_behind_aliases_and_under_pointers() {
        let (asked, other) = (name("lw.example"), name("a.b"));
        let target = [other.0.clone(), vec![0]].concat();
        let records: [(&Name, u16, &[u8]); 3] = [
            (&asked, 5, &target),
            (&other, 1, &[192, 0, 2, 1]),
            (&name("elsewhere"), 1, &[192, 0, 2, 9]),
        ];
        let bytes = reply(IS_RESPONSE, 0, &asked, Kind::A, &records);
        let found = Answer::Addresses(vec![[192, 0, 2, 1].into()]);
        assert_eq!(read(&bytes), Ok(found.clone()));
        // The usual pointer to the question.
        let mut bytes = reply(IS_RESPONSE, 0, &asked, Kind::A, &[]);
        bytes[7] = 1;
        bytes.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
        assert_eq!(read(&bytes), Ok(found));
    }

    #[test]
    fn an_alias_alone_is_told() {
        let (asked, other) = (name("lw.example"), name("a.b"));
        let target = [other.0.clone(), vec![0]].concat();
        let bytes = reply(IS_RESPONSE, 0, &asked, Kind::A, &[(&asked, 5, &target)]);
        assert_eq!(read(&bytes), Ok(Answer::Alias(other)));
        let own = [asked.0.clone(), vec![0]].concat();
        let bytes = reply(IS_RESPONSE, 0, &asked, Kind::A, &[(&asked, 5, &own)]);
        assert_eq!(read(&bytes), Ok(Answer::Nothing), "it leads to itself");
    }

    #[test]
    fn what_is_not_the_answer_to_the_question_is_unfit() {
        let asked = name("lw.example");
        let address: [(&Name, u16, &[u8]); 1] = [(&asked, 1, &[192, 0, 2, 1])];
        let good = reply(IS_RESPONSE, 0, &asked, Kind::A, &address);
        assert!(read(&good).is_ok());
        assert_eq!(answer(&good, 8, &asked, Kind::A), Err(Unfit));
        assert_eq!(answer(&good, 7, &name("lw.exampl"), Kind::A), Err(Unfit));
        assert_eq!(answer(&good, 7, &asked, Kind::Aaaa), Err(Unfit));
        assert_eq!(read(&reply(0, 0, &asked, Kind::A, &address)), Err(Unfit));
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), Err(Unfit), "{length}");
        }
        let short: [(&Name, u16, &[u8]); 1] = [(&asked, 1, &[192, 0, 2])];
        assert_eq!(
            read(&reply(IS_RESPONSE, 0, &asked, Kind::A, &short)),
            Err(Unfit)
        );
    }

    #[test]
    fn refusals_and_cuts_are_told_apart() {
        let asked = name("lw.example");
        let told = |flags, code| read(&reply(flags, code, &asked, Kind::A, &[]));
        assert_eq!(told(IS_RESPONSE, 0), Ok(Answer::Nothing));
        assert_eq!(told(IS_RESPONSE, 3), Ok(Answer::Nothing));
        assert_eq!(told(IS_RESPONSE, 2), Ok(Answer::Failed(2)));
        assert_eq!(told(IS_RESPONSE | TRUNCATED, 0), Ok(Answer::Cut));
    }

    #[test]
    fn names_that_point_to_themselves_end() {
        let mut bytes = reply(IS_RESPONSE, 0, &name("lw.example"), Kind::A, &[]);
        bytes[7] = 1;
        let here = u8::try_from(bytes.len()).unwrap();
        bytes.extend([0xc0, here]);
        bytes.extend([0; 16]);
        assert_eq!(read(&bytes), Err(Unfit));
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for text in [
            "",
            ".",
            "a..b",
            "ä.example",
            &"a".repeat(64),
            &"ab.".repeat(90),
        ] {
            assert_eq!(Name::new(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_change_of_an_answer_makes_it_panic(at in 0usize..90, to: u8, more in prop::collection::vec(any::<u8>(), 0..40)) {
            let (asked, other) = (name("lw.example"), name("a.b"));
            let target = [other.0.clone(), vec![0]].concat();
            let mut bytes = reply(IS_RESPONSE, 0, &asked, Kind::A, &[(&asked, 5, &target), (&other, 1, &[192, 0, 2, 1])]);
            let length = bytes.len();
            bytes[at % length] = to;
            bytes.extend(more);
            let _ = read(&bytes);
        }
    }
}
