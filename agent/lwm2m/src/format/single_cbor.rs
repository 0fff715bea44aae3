//! CBOR (60): a single value as one item.

use lamplighter_model::Value;
use minicbor::data::Tag;

use super::{
    DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, Node,
    cbor::{self, Reader},
};

/// Seconds since 1970 (RFC 8949, 3.4.2).
const EPOCH: Tag = Tag::new(1);

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    let value = frame.single_value(nodes)?;
    cbor::check(&value)?;
    Ok(cbor::written(|writer| {
        if matches!(*value, Value::Time(_)) {
            // lwm2m/50 §2 allows both forms; Leshan takes a time with its tag only.
            writer.tag(EPOCH)?;
        }
        cbor::write_value(writer, &value)
    }))
}

pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let path = frame.single_target()?;
    let mut reader = Reader::new(payload);
    let value = cbor::read_value(&mut reader)
        .and_then(|value| cbor::typed(value, frame.data_type(path)))
        .map_err(|kind| kind.at(0))?;
    if reader.position() != payload.len() {
        return Err(DecodeErrorKind::TrailingBytes.at(reader.position()));
    }
    Ok(frame.single_decoded(path, value))
}
