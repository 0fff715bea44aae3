//! Opaque (42): the bytes of a single opaque value.

use lamplighter_model::{DataType, Value};

use super::{DecodeError, DecodeErrorKind, Decoded, EncodeError, Frame, Node};

pub(super) fn encode(frame: Frame<'_>, nodes: &[Node]) -> Result<Vec<u8>, EncodeError> {
    match frame.single_value(nodes)?.into_owned() {
        Value::Opaque(bytes) => Ok(bytes),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Objlnk(_)
        | Value::String(_)
        | Value::Time(_)
        | Value::Unsigned(_) => Err(EncodeError::NotAcceptable),
    }
}

pub(super) fn decode(frame: Frame<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let path = frame.single_target()?;
    match frame.data_type(path) {
        Some(DataType::Opaque) | None => {
            Ok(frame.single_decoded(path, Value::Opaque(payload.to_vec())))
        }
        Some(_) => Err(DecodeErrorKind::NotApplicable.at(0)),
    }
}
