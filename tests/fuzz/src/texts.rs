//! Texts that people and servers write.

use std::path::PathBuf;

use lamplighter::config::{File, Hardware, Severity, Source};
use lamplighter_lwm2m::{access, server::ServerUri};
use lamplighter_model::{
    DataType, Decimal, ObjectLink, Path, ResourcePath, Value, object::Version, tables, xml,
};

/// Every type that a text can be read as.
const TYPES: [DataType; 9] = [
    DataType::Boolean,
    DataType::Corelnk,
    DataType::Float,
    DataType::Integer,
    DataType::Objlnk,
    DataType::Opaque,
    DataType::String,
    DataType::Time,
    DataType::Unsigned,
];

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

pub(crate) fn path(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(path) = text.parse::<Path>() {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    if let Ok(path) = text.parse::<ResourcePath>() {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    // A panic is all that is looked for.
    let _ = text.parse::<access::Pattern>();
    let _ = text.parse::<access::Rights>();
    let _ = text.parse::<Version>();
}

pub(crate) fn value(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let text = text(rest);
    let data_type = TYPES[usize::from(*first) % TYPES.len()];
    if let Ok(value) = Value::parse(text, data_type) {
        let _ = value.as_f64();
        for other in TYPES {
            if let Ok(fitting) = value.clone().fit(other) {
                assert_eq!(
                    format!("{:?}", fitting.clone().fit(other)),
                    format!("{:?}", Ok::<_, ()>(fitting)),
                    "fitting twice"
                );
            }
        }
    }
    if let Ok(decimal) = text.parse::<Decimal>() {
        let normal = decimal.normalized();
        assert_eq!(normal.to_string().parse(), Ok(normal));
        let _ = (decimal.to_f64(), decimal.to_integer());
        let _ = decimal.checked_mul(decimal);
        let _ = decimal.checked_add(decimal);
    }
    if let Ok(link) = text.parse::<ObjectLink>() {
        assert_eq!(link.to_string().parse(), Ok(link));
    }
}

pub(crate) fn server_uri(bytes: &[u8]) {
    if let Ok(uri) = text(bytes).parse::<ServerUri>() {
        assert_eq!(uri.to_string().parse(), Ok(uri));
    }
}

/// What was read can be written and is the same when it is read again.
pub(crate) fn object_xml(bytes: &[u8]) {
    let Ok(objects) = xml::read(text(bytes)) else {
        return;
    };
    for object in objects {
        let written = xml::write(&object);
        assert_eq!(
            xml::read(&written).map_err(|error| error.to_string()),
            Ok(vec![object]),
            "{written}"
        );
    }
}

/// A drop-in without a main file. What is not used has a reason.
pub(crate) fn config(bytes: &[u8]) {
    let source = Source {
        main: PathBuf::from("/nonexistent/lamplighter.toml"),
        environment: Vec::new(),
        definitions: tables::standard(),
        hardware: Hardware::default(),
        templates: "/nowhere".into(),
    };
    let checked = source.check_with(File {
        path: PathBuf::from("/nonexistent/conf.d/fuzz.toml"),
        text: text(bytes).to_owned(),
    });
    let is_refused = |severity: Severity| matches!(severity, Severity::Error);
    let is_wrong = checked
        .problems
        .iter()
        .any(|problem| is_refused(problem.severity));
    assert_eq!(checked.config.is_none(), is_wrong, "{:?}", checked.problems);
}
