//! `${…}` in the texts of a template.
//!
//! `${name}` is a parameter. Numbers may be calculated with: names and numbers, joined by `+`, `-`
//! and `*`, as in `${base + 2}`. A text that is nothing but one `${…}` becomes what the parameter is,
//! a number or true; elsewhere it is put in as text, as in `"/3303/${instance}/5700"`.

use std::collections::BTreeMap;

use figment::value::{Dict, Num, Value};

use super::{
    below,
    declaration::{Argument, Template},
    fault,
};
use crate::config::{layer::Key, problem::Problem};

const OPEN: &str = "${";

/// The device of a template with everything filled in, and the keys where that could not be.
pub(super) fn fill(
    template: &Template,
    values: &BTreeMap<String, Argument>,
) -> (Value, Vec<(Key, Problem)>) {
    let mut filling = Filling {
        template,
        values,
        problems: Vec::new(),
    };
    let filled = filling.table(&vec!["device".to_owned()], &template.device);
    (filled.into(), filling.problems)
}

/// Whether this can be the name of a parameter.
pub(super) fn is_parameter(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(fits) && name.starts_with(|first: char| first.is_ascii_lowercase())
}

struct Filling<'a> {
    template: &'a Template,
    values: &'a BTreeMap<String, Argument>,
    problems: Vec<(Key, Problem)>,
}

impl Filling<'_> {
    fn table(&mut self, at: &Key, table: &Dict) -> Dict {
        table
            .iter()
            .map(|(name, value)| (name.clone(), self.value(&below(at, name), value)))
            .collect()
    }

    fn value(&mut self, at: &Key, value: &Value) -> Value {
        match value {
            Value::Dict(_, table) => self.table(at, table).into(),
            Value::Array(_, items) => {
                let filled = (0usize..)
                    .zip(items)
                    .map(|(number, item)| self.value(&below(at, &number.to_string()), item));
                filled.collect::<Vec<Value>>().into()
            }
            Value::String(_, text) if text.contains(OPEN) => match self.text(text) {
                Ok(value) => value,
                Err(what) => {
                    let (line, template) = (self.template.line(at), self.template);
                    let problem = fault(&template.file, template.layer, line, at, what, None);
                    self.problems.push((at.clone(), problem));
                    value.clone()
                }
            },
            Value::Bool(..)
            | Value::Char(..)
            | Value::Empty(..)
            | Value::Num(..)
            | Value::String(..) => value.clone(),
        }
    }

    fn text(&self, text: &str) -> Result<Value, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (inner, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}`: a ${{ has no }}"))?;
            let argument = self.expression(inner)?;
            if before.is_empty() && after.is_empty() && filled.is_empty() {
                return Ok(argument.into_value());
            }
            filled.push_str(before);
            filled.push_str(&argument.to_text());
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled.into())
    }

    /// Sums of products.
    fn expression(&self, text: &str) -> Result<Argument, String> {
        if !text.contains(['+', '-', '*']) {
            return self.operand(text);
        }
        let mut sum: Option<Argument> = None;
        for (sign, product) in terms(text) {
            let mut product = product.split('*').map(|operand| self.operand(operand));
            let first = product.next().unwrap_or_else(|| Err(unreadable(text)))?;
            let product = product.try_fold(first, |product, operand| {
                calculate('*', product, operand?).ok_or_else(|| not_a_number(text))
            })?;
            let so_far = sum.unwrap_or(Argument::Integer(0));
            sum = Some(calculate(sign, so_far, product).ok_or_else(|| not_a_number(text))?);
        }
        sum.ok_or_else(|| unreadable(text))
    }

    fn operand(&self, text: &str) -> Result<Argument, String> {
        let text = text.trim();
        if let Some(value) = self.values.get(text) {
            return Ok(value.clone());
        }
        if let Ok(number) = text.parse() {
            return Ok(Argument::Integer(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Argument::Number(number)),
            Ok(_) | Err(_) if is_parameter(text) => {
                Err(format!("`${{{text}}}`: there is no parameter of this name"))
            }
            Ok(_) | Err(_) => Err(unreadable(text)),
        }
    }
}

impl Argument {
    fn into_value(self) -> Value {
        match self {
            Self::Boolean(on) => on.into(),
            Self::Integer(number) => number.into(),
            Self::Number(number) => Value::from(Num::F64(number)),
            Self::Text(text) => text.into(),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Boolean(on) => on.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Each with the sign before it.
fn terms(text: &str) -> Vec<(char, &str)> {
    let mut terms = Vec::new();
    let (mut sign, mut rest) = ('+', text);
    if let Some(after) = text.trim_start().strip_prefix('-') {
        (sign, rest) = ('-', after);
    }
    while let Some(at) = rest.find(['+', '-']) {
        terms.push((sign, &rest[..at]));
        sign = if rest[at..].starts_with('-') {
            '-'
        } else {
            '+'
        };
        rest = &rest[at + 1..];
    }
    terms.push((sign, rest));
    terms
}

/// Whole numbers stay whole; `None` where one is no number or the result is none.
fn calculate(sign: char, a: Argument, b: Argument) -> Option<Argument> {
    if let (Argument::Integer(a), Argument::Integer(b)) = (&a, &b) {
        let whole = match sign {
            '*' => a.checked_mul(*b),
            '-' => a.checked_sub(*b),
            _ => a.checked_add(*b),
        };
        return whole.map(Argument::Integer);
    }
    let (a, b) = (a.number()?, b.number()?);
    let number = match sign {
        '*' => a * b,
        '-' => a - b,
        _ => a + b,
    };
    // 0.1 × 3 is 0.3: nobody writes more digits into a template.
    let number: f64 = format!("{number:.12e}").parse().ok()?;
    number.is_finite().then_some(Argument::Number(number))
}

impl Argument {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Boolean(_) | Self::Text(_) => None,
        }
    }
}

fn unreadable(text: &str) -> String {
    format!("`{text}` is not a parameter, nor a sum or product of parameters and numbers")
}

fn not_a_number(text: &str) -> String {
    format!("`${{{text}}}` cannot be calculated")
}
