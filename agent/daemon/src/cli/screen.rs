//! What is written to the terminal: tables whose columns line up, ages and values for people.

use std::io::{self, Write};

use serde_json::Value;

use super::exit::Failure;

/// Rows of cells; columns are as wide as their widest cell.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

/// A text of a device or a peer without what a terminal would take for a command.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

impl Table {
    pub(super) fn head<const N: usize>(cells: [&str; N]) -> Self {
        Self {
            rows: vec![cells.map(str::to_owned).to_vec()],
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)).to_vec());
    }

    /// Every row as a line, without blanks at its end.
    pub(super) fn print(&self, out: &mut impl Write, indent: &str) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            writeln!(out, "{indent}{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Exactly what the API said.
pub(super) fn print_json(out: &mut impl Write, value: &Value) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// A value as people read it, with its unit.
pub(super) fn value(value: &Value, unit: Option<&str>) -> String {
    let text = match value {
        Value::Null => return "–".to_owned(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    match unit {
        Some("/100") => format!("{text} %"),
        Some("") | None => text,
        Some(unit) => format!("{text} {unit}"),
    }
}

/// `4 s`, `12 min`, `3 h 05 min`, `9 d`.
pub(super) fn duration(seconds: f64) -> String {
    // Times are positive; what is longer than a century prints as one.
    let whole = seconds.clamp(0.0, 3.2e9) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min", whole / 60),
        3600..172_800 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        172_800.. => format!("{} d", whole / 86_400),
    }
}

/// `12 kB`; units of 1000.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::head(["NAME", "VALUE"]);
        table.row(["ahu1.setpoint".to_owned(), "21.5 Cel".to_owned()]);
        table.row(["a".to_owned(), String::new()]);
        let mut out = Vec::new();
        table.print(&mut out, "").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME           VALUE\nahu1.setpoint  21.5 Cel\na\n"
        );
    }

    #[test]
    fn times_are_told_in_the_unit_that_matters() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.9, "59 s"),
            (61.0, "1 min"),
            (3_900.0, "1 h 05 min"),
            (200_000.0, "2 d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_matters() {
        for (number, text) in [
            (999, "999 B"),
            (1_250, "1.2 kB"),
            (12_000_000, "12.0 MB"),
            (3_000_000_000, "3.0 GB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
