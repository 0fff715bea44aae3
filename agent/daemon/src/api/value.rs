//! From JSON to a value of the type that the definition asks for.

use lamplighter_model::{DataType, Value, ValueError, object::ResourceDef};
use serde_json::Value as Json;

use super::Refusal;

/// `true`/`"on"` and `false`/`"off"` also fit numbers from 0 to 1 or to 100: the ends of that range,
/// so that a lamp of 0–100 % is switched by the same word as a relay.
pub(super) fn value_of(json: &Json, definition: Option<&ResourceDef>) -> Result<Value, Refusal> {
    let Some(definition) = definition else {
        return untyped(json);
    };
    let word = match json {
        Json::Bool(on) => Some(*on),
        Json::String(text) => switch_word(text),
        Json::Array(_) | Json::Null | Json::Number(_) | Json::Object(_) => None,
    };
    if word.is_some() && is_number(definition.data_type) && highest(definition).is_none() {
        return Err(Refusal::bad_request(format!(
            "{} cannot be switched on or off: write a value",
            definition.name
        )));
    }
    let value = match json {
        Json::Bool(on) => switched(*on, definition),
        Json::Number(number) => numeric(number).and_then(|value| value.fit(definition.data_type)),
        Json::String(text) => match (Value::parse(text, definition.data_type), word) {
            (Err(_), Some(on)) => switched(on, definition),
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

fn switch_word(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

const fn is_number(data_type: DataType) -> bool {
    matches!(
        data_type,
        DataType::Float | DataType::Integer | DataType::Unsigned
    )
}

/// What "on" means for a number; `None` where it means nothing, as for a temperature.
fn highest(definition: &ResourceDef) -> Option<f64> {
    let (low, high) = definition.range?;
    let is_level = low == 0.0 && (high == 1.0 || high == 100.0);
    is_level.then_some(high)
}

fn switched(on: bool, definition: &ResourceDef) -> Result<Value, ValueError> {
    match definition.data_type {
        DataType::Boolean => Ok(Value::Boolean(on)),
        DataType::Float | DataType::Integer | DataType::Unsigned => {
            let high = highest(definition).ok_or(ValueError::WrongType)?;
            Value::Float(if on { high } else { 0.0 }).fit(definition.data_type)
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
    fn a_number_that_is_no_level_cannot_be_switched() {
        for range in [None, Some((-40.0, 80.0)), Some((0.0, 50.0))] {
            let definition = definition(DataType::Float, range);
            for json in [json!("on"), json!("false"), json!(true)] {
                let refusal = value_of(&json, Some(&definition)).unwrap_err();
                assert_eq!(
                    refusal,
                    Refusal::bad_request("Command cannot be switched on or off: write a value")
                );
            }
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
