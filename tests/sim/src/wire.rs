//! As much of a CoAP datagram as is needed to tell registration requests from the rest (RFC 7252,
//! 3).

/// What a client sends to a server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Acknowledgements, resets, empty messages.
    Control,
    Deregister,
    /// A response, or a notification.
    Response,
    Register,
    Send,
    Update,
    /// A request that is none of these.
    Other,
}

/// How many datagrams of each kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent([u64; 7]);

impl Sent {
    pub fn of(self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    pub fn all(self) -> u64 {
        self.0.iter().sum()
    }

    /// What came on top of an earlier count.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.iter_mut().zip(before.0) {
            *count -= before;
        }
        Self(counts)
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }
}

const URI_PATH: u16 = 11;

/// What a datagram of a client is; `None` where it cannot be read.
pub fn kind(datagram: &[u8]) -> Option<Kind> {
    let [first, code, _, _, ..] = *datagram else {
        return None;
    };
    if code == 0 {
        return Some(Kind::Control);
    }
    if code >> 5 != 0 {
        return Some(Kind::Response);
    }
    let path = path(datagram.get(4 + usize::from(first & 15)..)?)?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Some(match (code, path.as_slice()) {
        (2, ["rd"]) => Kind::Register,
        (2, ["rd", _]) => Kind::Update,
        (2, ["dp"]) => Kind::Send,
        (4, ["rd", _]) => Kind::Deregister,
        _ => Kind::Other,
    })
}

fn path(mut rest: &[u8]) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut number = 0u16;
    while let Some((&head, tail)) = rest.split_first() {
        if head == 0xff {
            break;
        }
        let (delta, tail) = extended(head >> 4, tail)?;
        let (length, tail) = extended(head & 15, tail)?;
        let (value, tail) = tail.split_at_checked(usize::from(length))?;
        number = number.checked_add(delta)?;
        if number == URI_PATH {
            path.push(String::from_utf8_lossy(value).into_owned());
        }
        rest = tail;
    }
    Some(path)
}

fn extended(nibble: u8, rest: &[u8]) -> Option<(u16, &[u8])> {
    match nibble {
        13 => {
            let (byte, rest) = rest.split_first()?;
            Some((u16::from(*byte) + 13, rest))
        }
        14 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            Some((u16::from_be_bytes(*bytes).checked_add(269)?, rest))
        }
        15 => None,
        small => Some((small.into(), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_requests_are_told_apart() {
        let message = |code: u8, options: &[u8]| {
            let mut bytes = vec![0x41, code, 0, 1, 9];
            bytes.extend(options);
            bytes
        };
        let rd = b"\xb2rd";
        let at = b"\xb2rd\x0212";
        let of = |code, options: &[u8]| kind(&message(code, options));
        assert_eq!(of(2, rd), Some(Kind::Register));
        assert_eq!(of(2, at), Some(Kind::Update));
        assert_eq!(of(4, at), Some(Kind::Deregister));
        assert_eq!(of(2, b"\xb2dp"), Some(Kind::Send));
        assert_eq!(of(1, rd), Some(Kind::Other));
        assert_eq!(of(0x45, rd), Some(Kind::Response));
        assert_eq!(kind(&[0x60, 0, 0, 1]), Some(Kind::Control));
        assert_eq!(of(2, b"\xbf"), None);
    }
}
