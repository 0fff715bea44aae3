//! As much of CoAP (RFC 7252, 3) as both sides of the bench need.

const CONFIRMABLE: u8 = 0x40;
const ACKNOWLEDGEMENT: u8 = 0x60;
const GET: u8 = 0x01;
const POST: u8 = 0x02;
const DELETE: u8 = 0x04;
const CREATED: u8 = 0x41;
const DELETED: u8 = 0x42;
const CHANGED: u8 = 0x44;
pub(crate) const CONTENT: u8 = 0x45;

/// Uri-Path and Location-Path.
const URI_PATH: u8 = 11;
const LOCATION_PATH: u8 = 8;
const URI_QUERY: u8 = 15;
const PAYLOAD: u8 = 0xff;

/// What the server of the bench looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) code: u8,
    pub(crate) mid: u16,
    pub(crate) is_confirmable: bool,
}

/// A read of `/3/0/0`; its token is its message id.
pub(crate) fn get(mid: u16) -> [u8; 12] {
    let [high, low] = mid.to_be_bytes();
    let first = URI_PATH << 4 | 1;
    [
        CONFIRMABLE | 2,
        GET,
        high,
        low,
        high,
        low,
        first,
        b'3',
        1,
        b'0',
        1,
        b'0',
    ]
}

pub(crate) fn header(datagram: &[u8]) -> Option<Header> {
    let [first, code, high, low, ..] = *datagram else {
        return None;
    };
    Some(Header {
        code,
        mid: u16::from_be_bytes([high, low]),
        is_confirmable: first & 0xf0 == CONFIRMABLE,
    })
}

/// The server's answer to what a client asks of its directory: the first POST is the Register.
pub(crate) fn directory(datagram: &[u8], is_registered: bool) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    let code = acknowledge(datagram, &mut answer)?;
    answer[1] = match code {
        POST if is_registered => CHANGED,
        POST => {
            answer.extend([LOCATION_PATH << 4 | 2, b'r', b'd', 1, b'0']);
            CREATED
        }
        DELETE => DELETED,
        _ => return None,
    };
    Some(answer)
}

/// The echo's Register.
pub(crate) fn register() -> Vec<u8> {
    let mut message = vec![CONFIRMABLE, POST, 0, 1, URI_PATH << 4 | 2, b'r', b'd'];
    let mut before = URI_PATH;
    for query in ["lwm2m=1.1", "ep=echo", "lt=3600"] {
        message.push((URI_QUERY - before) << 4 | query.len() as u8);
        message.extend(query.as_bytes());
        before = URI_QUERY;
    }
    message.push(PAYLOAD);
    message.extend(b"</3/0>");
    message
}

/// Writes the echo's answer; false where none is due.
pub(crate) fn echo(datagram: &[u8], body: &[u8], answer: &mut Vec<u8>) -> bool {
    let Some(GET) = acknowledge(datagram, answer) else {
        return false;
    };
    answer.push(PAYLOAD);
    answer.extend_from_slice(body);
    true
}

/// Begins an answer with its header and token; the code of the request.
fn acknowledge(datagram: &[u8], answer: &mut Vec<u8>) -> Option<u8> {
    let [first, code, high, low, rest @ ..] = datagram else {
        return None;
    };
    let length = first & 0x0f;
    answer.clear();
    answer.extend([ACKNOWLEDGEMENT | length, CONTENT, *high, *low]);
    answer.extend_from_slice(rest.get(..usize::from(length))?);
    Some(*code)
}
