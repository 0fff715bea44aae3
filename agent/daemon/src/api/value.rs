//! From JSON to a value of the type that the definition asks for.

use lamplighter_model::{DataType, Value, ValueError, object::ResourceDef};
use serde_json::Value as Json;

use super::Refusal;

/// `true`/`"on"` and `false`/`"off"` also fit numbers: the ends of the definition's range, so that a
/// lamp of 0–100 % is switched by the same word as a relay.
pub(super) fn value_of(json: &Json, definition: Option<&ResourceDef>) -> Result<Value, Refusal> {
    let Some(definition) = definition else {
        return untyped(json);
    };
    let value = match json {
        Json::Bool(on) => switched(*on, definition),
        Json::Number(number) => numeric(number).and_then(|value| value.fit(definition.data_type)),
        Json::String(text) => match (Value::parse(text, definition.data_type), text.as_str()) {
            (Err(_), "on" | "true") => switched(true, definition),
            (Err(_), "off" | "false") => switched(false, definition),
            (value, _) => value,
        },
        Json::Array(_) | Json::Null | Json::Object(_) => Err(ValueError::WrongType),
    };
    value.map_err(|error| {
        let why = match error {
            ValueError::OutOfRange => "does not fit",
            ValueError::Syntax | ValueError::WrongType => "is not",
        };
        Refusal::bad_request(format!(
            "the value {why} {} ({})",
            article(definition.data_type),
            definition.name
        ))
    })
}

/// Without a definition the value is taken as it looks; the core refuses what does not exist.
fn untyped(json: &Json) -> Result<Value, Refusal> {
    match json {
        Json::Bool(on) => Ok(Value::Boolean(*on)),
        Json::Number(number) => {
            numeric(number).map_err(|_| Refusal::bad_request("the number is too large"))
        }
        Json::String(text) => Ok(Value::String(text.clone())),
        Json::Array(_) | Json::Null | Json::Object(_) => Err(Refusal::bad_request(
            "the value is a number, a text, true or false",
        )),
    }
}

fn numeric(number: &serde_json::Number) -> Result<Value, ValueError> {
    if let Some(integer) = number.as_i64() {
        return Ok(Value::Integer(integer));
    }
    if let Some(unsigned) = number.as_u64() {
        return Ok(Value::Unsigned(unsigned));
    }
    number
        .as_f64()
        .map(Value::Float)
        .ok_or(ValueError::OutOfRange)
}

fn switched(on: bool, definition: &ResourceDef) -> Result<Value, ValueError> {
    match definition.data_type {
        DataType::Boolean => Ok(Value::Boolean(on)),
        DataType::Float | DataType::Integer | DataType::Unsigned => {
            let (low, high) = definition.range.unwrap_or((0.0, 1.0));
            Value::Float(if on { high } else { low }).fit(definition.data_type)
        }
        DataType::Corelnk
        | DataType::None
        | DataType::Objlnk
        | DataType::Opaque
        | DataType::String
        | DataType::Time => Err(ValueError::WrongType),
    }
}

fn article(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "a boolean",
        DataType::Corelnk => "a list of links",
        DataType::Float => "a number",
        DataType::Integer => "an integer",
        DataType::None => "anything that can be written",
        DataType::Objlnk => "an object link such as 66:7",
        DataType::Opaque => "hexadecimal bytes",
        DataType::String => "a text",
        DataType::Time => "a time in seconds since 1970",
        DataType::Unsigned => "an unsigned integer",
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{
        ResourceId,
        object::{Multiplicity, Operations},
    };
    use serde_json::json;

    use super::*;

    fn definition(data_type: DataType, range: Option<(f64, f64)>) -> ResourceDef {
        ResourceDef {
            id: ResourceId(1),
            name: "Command".to_owned(),
            operations: Operations::RW,
            multiplicity: Multiplicity::Single,
            mandatory: true,
            data_type,
            range,
            unit: String::new(),
        }
    }

    #[test]
    fn json_becomes_the_type_of_the_definition() {
        let percent = definition(DataType::Integer, Some((0.0, 100.0)));
        let boolean = definition(DataType::Boolean, None);
        let float = definition(DataType::Float, None);
        for (json, definition, value) in [
            (json!(true), &boolean, Value::Boolean(true)),
            (json!("off"), &boolean, Value::Boolean(false)),
            (json!(true), &percent, Value::Integer(100)),
            (json!("off"), &percent, Value::Integer(0)),
            (json!(40.0), &percent, Value::Integer(40)),
            (json!("40"), &percent, Value::Integer(40)),
            (json!(21), &float, Value::Float(21.0)),
            (json!("21.5"), &float, Value::Float(21.5)),
            (
                json!("00ff"),
                &definition(DataType::Opaque, None),
                Value::Opaque(vec![0, 255]),
            ),
        ] {
            assert_eq!(value_of(&json, Some(definition)).unwrap(), value, "{json}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let percent = definition(DataType::Integer, Some((0.0, 100.0)));
        for json in [
            json!(1.5),
            json!("warm"),
            json!(null),
            json!([1]),
            json!({}),
        ] {
            assert!(value_of(&json, Some(&percent)).is_err(), "{json}");
        }
        assert!(value_of(&json!([1]), None).is_err());
    }
}
