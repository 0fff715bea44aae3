//! A Write whose payload is too large to be held: it is passed on piece by piece, each answered by the
//! device before the next one comes. Only opaque values are so large.

use lamplighter_coap::{Code, Request};
use lamplighter_model::{
    Address, DataType, Path,
    device::{Action, Part},
    object::Multiplicity,
};

use super::{Context, Plan, Then, target};
use crate::{access::Right, format::ContentFormat, reject::Reject, tree::Owner};

/// What stands around the value in the payload that is being passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope {
    /// Bytes in front of it.
    header: u64,
    /// Its own, where the header says so.
    length: Option<u64>,
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) has_more: bool,
    offset: u64,
    bytes: Vec<u8>,
    total: Option<u64>,
}

/// What may be so large: the package of a firmware.
pub(crate) const LARGE: [[&str; 3]; 1] = [["5", "0", "0"]];

/// TLV: a resource (11), identifier of 8 bits (0), length in 8, 16 or 24 bits (01, 10, 11). // Core 1.2, 7.4.3
const TLV_RESOURCE: u8 = 0b1100_0000;

/// What a request of the peer brings of a value; its first piece says what stands around it.
///
/// # Errors
/// The format has no such values, or the payload is not of the format.
pub(crate) fn piece(
    request: &Request,
    part: lamplighter_coap::Part,
    envelope: &mut Envelope,
) -> Result<Piece, Reject> {
    let mut total = part.total.map(u64::from);
    let mut bytes = request.payload.as_slice();
    let offset = if part.offset == 0 {
        *envelope = Envelope::read(request.content_format, bytes)?;
        bytes = &bytes[envelope.header as usize..];
        0
    } else {
        (part.offset as u64).saturating_sub(envelope.header)
    };
    if let Some(length) = envelope.length {
        let end = offset + bytes.len() as u64;
        if end > length || !part.has_more && end != length {
            return Err(Reject::bad_request("the length of the value is wrong"));
        }
        total = Some(length);
    }
    Ok(Piece {
        has_more: part.has_more,
        offset,
        bytes: bytes.to_vec(),
        total,
    })
}

impl Envelope {
    fn read(format: Option<u16>, payload: &[u8]) -> Result<Self, Reject> {
        match format.and_then(ContentFormat::from_number) {
            Some(ContentFormat::Opaque) => Ok(Self::default()),
            Some(ContentFormat::Tlv) => tlv(payload)
                .ok_or_else(|| Reject::bad_request("a single resource in TLV is wanted")),
            Some(_) | None => Err(Reject::new(
                Code::UNSUPPORTED_CONTENT_FORMAT,
                "what is so large is written as application/octet-stream or TLV",
            )),
        }
    }
}

/// The resource with identifier 0, which is whom pieces are passed on to.
fn tlv(payload: &[u8]) -> Option<Envelope> {
    let [kind, 0, rest @ ..] = payload else {
        return None;
    };
    let bytes = usize::from((kind ^ TLV_RESOURCE) >> 3);
    let length = match kind ^ TLV_RESOURCE {
        0b01000 | 0b10000 | 0b11000 => rest.get(..bytes)?,
        _ => return None,
    };
    let length = length
        .iter()
        .fold(0, |length, byte| length << 8 | u64::from(*byte));
    Some(Envelope {
        header: 2 + bytes as u64,
        length: Some(length),
    })
}

/// The checks of a Write, but for those of the value: its owner makes them.
pub(super) fn plan(address: Address, piece: &Piece, context: Context<'_>) -> Result<Plan, Reject> {
    target::check_object(address, context)?;
    let (Path::Resource(_), Some((resource, None))) = (address.path, target::resource_of(address))
    else {
        return Err(Reject::method_not_allowed("only resources are so large"));
    };
    target::check_instance(resource.instance(), Right::Write, context)?;
    let found = target::find(resource, context)?;
    let is_large = found.owner == Owner::Device
        && found.definition.data_type == DataType::Opaque
        && found.definition.multiplicity == Multiplicity::Single;
    if !found.operations.write || !is_large {
        return Err(Reject::method_not_allowed(
            "the resource cannot be written in pieces",
        ));
    }
    let part = Part {
        resource,
        offset: piece.offset,
        bytes: piece.bytes.clone(),
        has_more: piece.has_more,
        total: piece.total,
    };
    Ok(Plan::Device(Action::WritePart(part), Then::Executed(None)))
}

#[cfg(test)]
mod tests {
    use lamplighter_coap::{Method, Part as Block};

    use super::*;

    fn request(format: u16, payload: &[u8]) -> Request {
        Request {
            content_format: Some(format),
            payload: payload.to_vec(),
            ..Request::new(Method::Put, vec!["5".to_owned()])
        }
    }

    fn block(offset: usize, has_more: bool) -> Block {
        Block {
            offset,
            has_more,
            total: None,
        }
    }

    #[test]
    fn the_header_of_tlv_is_no_part_of_the_value() {
        let mut envelope = Envelope::default();
        // Resource 0 of five bytes, its length in 8, 16 and 24 bits.
        for header in [&[0xc8, 0, 5][..], &[0xd0, 0, 0, 5], &[0xd8, 0, 0, 0, 5]] {
            let first = [header, b"val"].concat();
            let end = first.len();
            let first = piece(&request(11542, &first), block(0, true), &mut envelope).unwrap();
            assert_eq!((first.offset, first.bytes.as_slice()), (0, &b"val"[..]));
            assert_eq!(first.total, Some(5));
            let last = piece(&request(11542, b"ue"), block(end, false), &mut envelope).unwrap();
            assert_eq!((last.offset, last.bytes.as_slice()), (3, &b"ue"[..]));
            for (wrong, has_more) in [(&b"u"[..], false), (b"uee", true)] {
                let wrong = piece(&request(11542, wrong), block(end, has_more), &mut envelope);
                assert_eq!(wrong.unwrap_err().code, Code::BAD_REQUEST);
            }
        }
        for odd in [
            &b""[..],
            b"\xc8",
            b"\xc8\x01\x05",
            b"\x88\0\x05",
            b"\xd8\0\0",
            b"\xc5\0abcde",
        ] {
            let odd = piece(&request(11542, odd), block(0, true), &mut envelope);
            assert_eq!(odd.unwrap_err().code, Code::BAD_REQUEST);
        }
    }

    #[test]
    fn opaque_values_stand_for_themselves_and_others_are_refused() {
        let mut envelope = Envelope::default();
        let first = piece(&request(42, b"value"), block(0, true), &mut envelope).unwrap();
        assert_eq!((first.offset, first.bytes.len(), first.total), (0, 5, None));
        let next = piece(&request(42, b"value"), block(5, false), &mut envelope).unwrap();
        assert_eq!((next.offset, next.has_more), (5, false));
        let json = piece(&request(110, b"[{}]"), block(0, true), &mut envelope);
        assert_eq!(json.unwrap_err().code, Code::UNSUPPORTED_CONTENT_FORMAT);
    }
}
