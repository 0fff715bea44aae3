//! Whether a value may be written: the definition's type and range, and the configured limit.

use lamplighter_model::{DataType, Value, ValueError, device::Fault, object::ResourceDef};

use crate::boundary::{Limit, OnViolation};

/// The value as the definition wants it.
pub(crate) fn fit(value: Value, definition: Option<&ResourceDef>) -> Result<Value, Fault> {
    if matches!(&value, Value::Float(float) if !float.is_finite()) {
        return Err(Fault::BadValue(
            "the value is not a finite number".to_owned(),
        ));
    }
    let Some(definition) = definition else {
        return Ok(value);
    };
    let value = value
        .fit(definition.data_type)
        .map_err(|error| bad(&definition.name, error))?;
    let Some((min, max)) = definition.range else {
        return Ok(value);
    };
    let size = match &value {
        Value::Corelnk(text) | Value::String(text) => Some(text.len() as f64),
        Value::Opaque(bytes) => Some(bytes.len() as f64),
        Value::Boolean(_) | Value::Objlnk(_) => None,
        Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_) => value.as_f64(),
    };
    if size.is_some_and(|size| size < min || size > max) {
        return Err(Fault::BadValue(format!(
            "{} must be from {min} to {max}",
            definition.name
        )));
    }
    Ok(value)
}

/// The value of a request within the limit, or why not.
pub(crate) fn within(
    value: Value,
    limit: Option<&Limit>,
    data_type: Option<DataType>,
) -> Result<Value, Fault> {
    let Some((limit, side)) = limit.and_then(|limit| Some((limit, side(&value, limit)?))) else {
        return Ok(value);
    };
    match limit.on_violation {
        OnViolation::Clamp => bound(side, data_type).map_err(|error| bad("the limit", error)),
        OnViolation::Reject => {
            let (word, bound) = match side {
                Side::Above(max) => ("highest", max),
                Side::Below(min) => ("lowest", min),
            };
            Err(Fault::BadValue(format!(
                "the {word} permitted value is {bound}"
            )))
        }
    }
}

/// What comes nearest to a value that nobody asks for and so nobody can be refused, within the limit.
pub(crate) fn nearest(value: Value, limit: Option<&Limit>, data_type: Option<DataType>) -> Value {
    match limit.and_then(|limit| side(&value, limit)) {
        Some(side) => bound(side, data_type).unwrap_or(value),
        None => value,
    }
}

/// Where a value lies outside a limit.
#[derive(Clone, Copy, Debug)]
enum Side {
    Above(f64),
    Below(f64),
}

fn side(value: &Value, limit: &Limit) -> Option<Side> {
    let number = value.as_f64()?;
    let below = limit.min.filter(|min| number < *min).map(Side::Below);
    below.or_else(|| limit.max.filter(|max| number > *max).map(Side::Above))
}

/// The last permitted value on this side; of whole numbers the nearest inside.
fn bound(side: Side, data_type: Option<DataType>) -> Result<Value, ValueError> {
    let whole = data_type.is_some_and(|data_type| data_type != DataType::Float);
    let bound = match side {
        Side::Above(max) if whole => max.floor(),
        Side::Below(min) if whole => min.ceil(),
        Side::Above(bound) | Side::Below(bound) => bound,
    };
    match data_type {
        Some(data_type) => Value::Float(bound).fit(data_type),
        None => Ok(Value::Float(bound)),
    }
}

fn bad(name: &str, error: ValueError) -> Fault {
    Fault::BadValue(format!("{name}: {error}"))
}
