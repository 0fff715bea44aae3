//! Lines of programs that serve devices, and messages of devices behind a broker.

use lamplighter_adapters::{
    mqtt::Form,
    remote::line::{self, RawSample, Said},
};
use lamplighter_model::{DataType, Decimal, Value, device::Assignment};

const TYPES: [DataType; 10] = [
    DataType::Boolean,
    DataType::Corelnk,
    DataType::Float,
    DataType::Integer,
    DataType::None,
    DataType::Objlnk,
    DataType::Opaque,
    DataType::String,
    DataType::Time,
    DataType::Unsigned,
];

/// One line, the first or a later one.
pub(crate) fn line(bytes: &[u8]) {
    let _ = line::hello(bytes);
    match line::said(bytes) {
        Ok(Said::Done(_, samples) | Said::Samples(samples)) => samples.iter().for_each(sample),
        Ok(Said::Declare(declare)) => {
            for added in &declare.added {
                let _ = line::place(&added.path);
            }
        }
        Ok(Said::Alive | Said::Failed(..) | Said::Link(..)) | Err(_) => {}
    }
}

fn sample(sample: &RawSample) {
    let _ = sample.milliseconds();
    let Some((address, index)) = sample.place() else {
        return;
    };
    for data_type in TYPES {
        let Some(value) = line::value(&sample.value, data_type) else {
            continue;
        };
        let assignment = Assignment {
            address,
            index,
            value,
        };
        let told = line::to_value(&assignment);
        let again = line::value(&told.value, data_type);
        // What is too large or too small for exact digits may have them when it is said again.
        let number = assignment.value.as_f64();
        let is_same = number.is_some() && again.as_ref().and_then(Value::as_f64) == number;
        assert!(
            is_same || again.as_ref() == Some(&assignment.value),
            "{again:?} after {:?}",
            assignment.value
        );
        assert_eq!(line::place(&told.path), Some((address, index)));
    }
}

/// The place of a value, a zero byte, the message.
pub(crate) fn message(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (field, message) = bytes.split_at(at);
    for data_type in TYPES {
        let form = Form {
            field: String::from_utf8_lossy(field).into_owned(),
            data_type,
            on: "ON".to_owned(),
            off: "OFF".to_owned(),
            scale: Decimal::new(1, -1),
        };
        if let Ok(value) = form.decode(message.get(1..).unwrap_or_default()) {
            // What cannot be said is refused.
            let _ = form.encode(&value);
        }
    }
}
