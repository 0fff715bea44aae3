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

/// The value within the limit, or why not.
pub(crate) fn within(
    value: Value,
    limit: Option<&Limit>,
    data_type: Option<DataType>,
) -> Result<Value, Fault> {
    let (Some(limit), Some(number)) = (limit, value.as_f64()) else {
        return Ok(value);
    };
    let low = limit.min.filter(|min| number < *min);
    let high = limit.max.filter(|max| number > *max);
    let Some(bound) = low.or(high) else {
        return Ok(value);
    };
    match limit.on_violation {
        OnViolation::Clamp => {
            let whole = data_type.is_some_and(|data_type| data_type != DataType::Float);
            // Of whole numbers the nearest inside the limit.
            let bound = match (whole, low) {
                (true, Some(_)) => bound.ceil(),
                (true, None) => bound.floor(),
                (false, _) => bound,
            };
            let clamped = Value::Float(bound);
            data_type
                .map_or_else(
                    || Ok(clamped.clone()),
                    |data_type| clamped.clone().fit(data_type),
                )
                .map_err(|error| bad("the limit", error))
        }
        OnViolation::Reject => {
            let side = if low.is_some() { "lowest" } else { "highest" };
            Err(Fault::BadValue(format!(
                "the {side} permitted value is {bound}"
            )))
        }
    }
}

fn bad(name: &str, error: ValueError) -> Fault {
    Fault::BadValue(format!("{name}: {error}"))
}
