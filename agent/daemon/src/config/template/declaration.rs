//! A template as it stands in its file: its parameters, and the device that they fill.
//!
//! ```toml
//! text = "what it is"
//! source = "the manual that the facts are from"
//! [parameters]
//! instance = { type = "integer", default = 0, range = [0, 65534], text = "instance of 3303" }
//! [device]                            # as [device.NAME], with ${instance}, ${instance + 1} …
//! adapter = "modbus"
//! ```

use std::collections::BTreeMap;

use figment::value::{Dict, Num, Value};

use super::{below, fault};
use crate::config::{
    extract::{Misfit, kind_of, whole},
    layer::{self, File, Key, Layers},
    problem::{Problem, nearest},
};

/// A parameter is more than this many nobody fills in.
const MOST_PARAMETERS: usize = 64;

pub(super) struct Template {
    /// Its path, as problems name it.
    pub(super) file: String,
    /// Its number among the layers.
    pub(super) layer: usize,
    pub(super) lines: BTreeMap<Key, usize>,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) device: Dict,
}

pub(super) struct Parameter {
    kind: Kind,
    default: Option<Argument>,
    /// Lowest and highest, of numbers.
    range: Option<(f64, f64)>,
    text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// What a device gives to the parameters of its template.
pub(super) struct Given {
    /// `None`: something is wrong or missing.
    pub(super) values: Option<BTreeMap<String, Argument>>,
    pub(super) missing: Vec<String>,
    pub(super) misfits: Vec<Misfit>,
}

impl Template {
    /// Everything that is wrong with its file; what is not in the way of the rest is left out.
    pub(super) fn parse(file: &File, layer: usize) -> (Option<Self>, Vec<Problem>) {
        let path = file.path.display().to_string();
        let mut dict = match layer::parse(&file.text) {
            Ok(dict) => dict,
            Err((line, what)) => {
                let problem = fault(&path, layer, Some(line), &Key::new(), what, None);
                return (None, vec![problem]);
            }
        };
        let lines = layer::lines(&file.text);
        let mut reading = Reading {
            path: &path,
            layer,
            lines: &lines,
            problems: Vec::new(),
        };
        let parameters = reading.parameters(dict.remove("parameters"));
        let device = reading.device(dict.remove("device"));
        for name in ["text", "source"] {
            let value = dict.remove(name);
            if value.is_some_and(|value| value.as_str().is_none()) {
                reading.fault(&vec![name.to_owned()], format!("`{name}` is a text"), None);
            }
        }
        for name in dict.keys() {
            let known = ["device", "parameters", "source", "text"];
            reading.unknown(&vec![name.clone()], name, &known);
        }
        let problems = reading.problems;
        let template = device.map(|device| Self {
            file: path,
            layer,
            lines,
            parameters,
            device,
        });
        (template, problems)
    }

    pub(super) fn adapter(&self) -> Option<&str> {
        self.device.get("adapter")?.as_str()
    }

    /// Where a key stands, or the table that it would belong to.
    pub(super) fn line(&self, key: &[String]) -> Option<usize> {
        line_of(&self.lines, key)
    }
}

struct Reading<'a> {
    path: &'a str,
    layer: usize,
    lines: &'a BTreeMap<Key, usize>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn device(&mut self, device: Option<Value>) -> Option<Dict> {
        let at = vec!["device".to_owned()];
        let Some(Value::Dict(_, device)) = device else {
            self.fault(&at, "a template has a table [device]".to_owned(), None);
            return None;
        };
        for name in ["template", "parameters"] {
            if device.contains_key(name) {
                self.fault(
                    &below(&at, name),
                    "a template is not made of another".to_owned(),
                    None,
                );
                return None;
            }
        }
        if device.get("adapter").and_then(Value::as_str).is_none() {
            self.fault(
                &at,
                "the key `adapter` is missing in [device]".to_owned(),
                None,
            );
        }
        Some(device)
    }

    fn parameters(&mut self, parameters: Option<Value>) -> BTreeMap<String, Parameter> {
        let at = vec!["parameters".to_owned()];
        let parameters = match parameters {
            None => return BTreeMap::new(),
            Some(Value::Dict(_, parameters)) => parameters,
            Some(_) => {
                self.fault(&at, "`parameters` is a table".to_owned(), None);
                return BTreeMap::new();
            }
        };
        if parameters.len() > MOST_PARAMETERS {
            self.fault(&at, format!("more than {MOST_PARAMETERS} parameters"), None);
        }
        let mut read = BTreeMap::new();
        for (name, declared) in parameters.into_iter().take(MOST_PARAMETERS) {
            let at = below(&at, &name);
            if !super::fill::is_parameter(&name) {
                let hint = "lower-case letters, digits and _, a letter first".to_owned();
                self.fault(&at, format!("`{name}` cannot be a parameter"), Some(hint));
                continue;
            }
            if let Some(parameter) = self.parameter(&at, declared) {
                read.insert(name, parameter);
            }
        }
        read
    }

    fn parameter(&mut self, at: &Key, declared: Value) -> Option<Parameter> {
        let Value::Dict(_, mut declared) = declared else {
            let hint = "{ type = \"integer\", default = 0 }".to_owned();
            self.fault(at, "a parameter is a table".to_owned(), Some(hint));
            return None;
        };
        let kind = declared.remove("type");
        let Some(kind) = kind.as_ref().and_then(Value::as_str).and_then(Kind::named) else {
            let hint = "boolean, integer, number or text".to_owned();
            self.fault(
                &below(at, "type"),
                "a parameter has a `type`".to_owned(),
                Some(hint),
            );
            return None;
        };
        let range = declared.remove("range");
        let range = range.and_then(|range| self.range(&below(at, "range"), kind, &range));
        let text = declared.remove("text");
        let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
        let mut parameter = Parameter {
            kind,
            default: None,
            range,
            text: text.to_owned(),
        };
        if let Some(default) = declared.remove("default") {
            match parameter.argument(&default, None) {
                Ok(default) => parameter.default = Some(default),
                Err(what) => self.fault(&below(at, "default"), what, None),
            }
        }
        for name in declared.keys() {
            self.unknown(
                &below(at, name),
                name,
                &["default", "range", "text", "type"],
            );
        }
        Some(parameter)
    }

    fn range(&mut self, at: &Key, kind: Kind, range: &Value) -> Option<(f64, f64)> {
        let bounds: Option<Vec<f64>> = range
            .as_array()
            .and_then(|bounds| bounds.iter().map(number).collect());
        if let (Some([lowest, highest]), Kind::Integer | Kind::Number) = (bounds.as_deref(), kind)
            && lowest <= highest
        {
            return Some((*lowest, *highest));
        }
        let hint = "range = [0, 100]".to_owned();
        let what = "`range` is the lowest and the highest number".to_owned();
        self.fault(at, what, Some(hint));
        None
    }

    fn unknown(&mut self, at: &Key, name: &str, known: &[&str]) {
        let hint = match nearest(name, known.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("known: {}", known.join(", ")),
        };
        self.fault(at, format!("unknown key `{name}`"), Some(hint));
    }

    fn fault(&mut self, at: &Key, what: String, hint: Option<String>) {
        let line = line_of(self.lines, at);
        self.problems
            .push(fault(self.path, self.layer, line, at, what, hint));
    }
}

impl Parameter {
    /// Reads what was given; `variable` is the text where it comes from the environment.
    fn argument(&self, value: &Value, variable: Option<&str>) -> Result<Argument, String> {
        let argument = match (self.kind, variable) {
            (Kind::Boolean, Some(text)) => text.trim().parse().ok().map(Argument::Boolean),
            (Kind::Boolean, None) => value.to_bool().map(Argument::Boolean),
            (Kind::Integer, Some(text)) => text.trim().parse().ok().map(Argument::Integer),
            (Kind::Integer, None) => whole_of(value).map(Argument::Integer),
            (Kind::Number, Some(text)) => text.trim().parse().ok().map(Argument::Number),
            (Kind::Number, None) => number(value).map(Argument::Number),
            (Kind::Text, _) => value.as_str().map(|text| Argument::Text(text.to_owned())),
        };
        let expected = self.kind.expected();
        let Some(argument) = argument else {
            return Err(format!("expected {expected}, found {}", kind_of(value)));
        };
        let of_number = match argument {
            Argument::Integer(number) => Some(number as f64),
            Argument::Number(number) => Some(number),
            Argument::Boolean(_) | Argument::Text(_) => None,
        };
        if let (Some(number), Some((lowest, highest))) = (of_number, self.range)
            && !(lowest..=highest).contains(&number)
        {
            return Err(format!("{number} is not within {lowest} to {highest}"));
        }
        Ok(argument)
    }
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "text" => Self::Text,
            _ => return None,
        })
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text in quotes",
        }
    }
}

/// What a device gives, with the defaults of the rest.
pub(super) fn given(
    template: &Template,
    user: &Layers,
    at: &Key,
    parameters: Option<&Value>,
) -> Given {
    let mut misfits = Vec::new();
    let none = Dict::new();
    let table = match parameters {
        None => &none,
        Some(Value::Dict(_, table)) => table,
        Some(other) => {
            let what = format!("expected a table, found {}", kind_of(other));
            misfits.push(misfit(at.clone(), what, None));
            &none
        }
    };
    for name in table.keys() {
        if !template.parameters.contains_key(name) {
            let hint = known(template, name);
            let what = format!("template has no parameter `{name}`");
            misfits.push(misfit(below(at, name), what, Some(hint)));
        }
    }
    let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, parameter) in &template.parameters {
        let Some(value) = table.get(name) else {
            match &parameter.default {
                Some(default) => drop(values.insert(name.clone(), default.clone())),
                None => missing.push(name.clone()),
            }
            continue;
        };
        let variable = value
            .as_str()
            .filter(|_| user.is_from_environment(value.tag()));
        match parameter.argument(value, variable) {
            Ok(argument) => drop(values.insert(name.clone(), argument)),
            Err(what) => {
                let hint = Some(parameter.text.clone()).filter(|text| !text.is_empty());
                misfits.push(misfit(below(at, name), format!("`{name}`: {what}"), hint));
            }
        }
    }
    let is_whole = values.len() == template.parameters.len();
    Given {
        values: is_whole.then_some(values),
        missing,
        misfits,
    }
}

fn known(template: &Template, wrong: &str) -> String {
    let names = || template.parameters.keys().map(String::as_str);
    match nearest(wrong, names()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if template.parameters.is_empty() => "it has none".to_owned(),
        None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn misfit(key: Key, what: String, hint: Option<String>) -> Misfit {
    Misfit { key, what, hint }
}

fn line_of(lines: &BTreeMap<Key, usize>, key: &[String]) -> Option<usize> {
    (1..=key.len())
        .rev()
        .find_map(|depth| lines.get(&key[..depth]).copied())
}

fn whole_of(value: &Value) -> Option<i64> {
    match value {
        Value::Num(_, number) => whole(*number),
        Value::Array(..)
        | Value::Bool(..)
        | Value::Char(..)
        | Value::Dict(..)
        | Value::Empty(..)
        | Value::String(..) => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Num(_, Num::F32(float)) => f64::from(*float),
        Value::Num(_, Num::F64(float)) => *float,
        Value::Array(..)
        | Value::Bool(..)
        | Value::Char(..)
        | Value::Dict(..)
        | Value::Empty(..)
        | Value::Num(..)
        | Value::String(..) => whole_of(value)? as f64,
    };
    number.is_finite().then_some(number)
}
