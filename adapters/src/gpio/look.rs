//! GPIO chips seen from outside, for people: which lines there are, who has them, one level. Lines
//! that somebody has are left alone.

use std::{fs, io, path::Path};

use gpiocdev::{
    Request,
    chip::{self, Chip},
    line::{self, Value},
};

/// Shown by `gpioinfo` as the user of a line that is held here.
const CONSUMER: &str = "lamplighter gpio";
const DEVICES: &str = "/dev";

/// A chip with all its lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChipView {
    /// What stays the same over kernels and boots.
    pub label: String,
    /// `gpiochip0`, which does not.
    pub name: String,
    pub lines: Vec<LineView>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LineView {
    pub number: u32,
    /// Empty where the board names none.
    pub name: String,
    pub is_output: bool,
    pub active_low: bool,
    /// Who has it; `None`: nobody.
    pub user: Option<String>,
}

/// A line that is driven as long as this lives.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "the line is held as long as it is open")] Request);

/// Why a chip or a line cannot be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LookError {
    /// There is none at all.
    NoChip,
    /// There are some, and this user may open none of them.
    NoPermission(String),
    /// No such line, or several.
    NoLine(String),
    /// Somebody has the line.
    InUse { line: String, user: String },
    /// What the kernel said.
    Kernel(String),
}

/// All chips that may be opened.
///
/// # Errors
/// There is none, or none that may be opened.
pub fn chips() -> Result<Vec<ChipView>, LookError> {
    let view = |chip: &Chip| {
        let info = chip.info().ok()?;
        let lines = chip.line_info_iter().ok()?.filter_map(Result::ok);
        Some(ChipView {
            label: info.label,
            name: chip.name(),
            lines: lines.map(view_of).collect(),
        })
    };
    Ok(open()?.iter().filter_map(view).collect())
}

/// The level of a line that nobody has, `true` for high; its direction stays as it is. `chip` is a
/// label, `line` a name, or a number on a chip that is named.
///
/// # Errors
/// It cannot be read.
pub fn level(chip: Option<&str>, line: &str) -> Result<bool, LookError> {
    let (chip, info) = find(chip, line)?;
    let mut request = Request::builder();
    request.on_chip(chip.path()).with_consumer(CONSUMER);
    request.with_line(info.offset).as_is();
    let request = request.request().map_err(|error| kernel(&error))?;
    let value = request.value(info.offset).map_err(|error| kernel(&error))?;
    Ok(value == Value::Active)
}

/// Drives a line that nobody has, `true` for high, until the answer is dropped.
///
/// # Errors
/// It cannot be driven.
pub fn hold(chip: Option<&str>, line: &str, high: bool) -> Result<Held, LookError> {
    let (chip, info) = find(chip, line)?;
    let mut request = Request::builder();
    request.on_chip(chip.path()).with_consumer(CONSUMER);
    request.with_line(info.offset).as_output(high.into());
    Ok(Held(request.request().map_err(|error| kernel(&error))?))
}

fn open() -> Result<Vec<Chip>, LookError> {
    let mut open = Vec::new();
    for path in chip::chips().unwrap_or_default() {
        open.extend(Chip::from_path(path));
    }
    if !open.is_empty() {
        return Ok(open);
    }
    Err(closed(Path::new(DEVICES)))
}

/// Why no chip could be opened.
fn closed(devices: &Path) -> LookError {
    let entries = fs::read_dir(devices).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("gpiochip"))
        })
        .collect();
    names.sort();
    let forbidden = names.into_iter().find(|path| {
        fs::File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    });
    match forbidden {
        Some(path) => LookError::NoPermission(path.display().to_string()),
        None => LookError::NoChip,
    }
}

fn find(label: Option<&str>, name: &str) -> Result<(Chip, line::Info), LookError> {
    let mut found = Vec::new();
    for chip in open()? {
        let is_meant = match (label, chip.info()) {
            (None, _) => true,
            (Some(label), Ok(info)) => info.label == label,
            (Some(_), Err(_)) => false,
        };
        if !is_meant {
            continue;
        }
        let by_number = || {
            let number = name.parse().ok().filter(|_| label.is_some())?;
            chip.line_info(number).ok()
        };
        if let Some(info) = chip.find_line_info(name).or_else(by_number) {
            found.push((chip, info));
        }
    }
    if found.len() > 1 {
        return Err(LookError::NoLine(format!(
            "several chips have a line {name}: name one with --chip"
        )));
    }
    let Some((chip, info)) = found.pop() else {
        let of = label.map_or_else(|| "no chip".to_owned(), |label| format!("no chip {label}"));
        return Err(LookError::NoLine(format!("{of} has a line {name}")));
    };
    if info.used {
        let user = if info.consumer.is_empty() {
            "the kernel".to_owned()
        } else {
            info.consumer
        };
        return Err(LookError::InUse {
            line: name.to_owned(),
            user,
        });
    }
    Ok((chip, info))
}

fn view_of(info: line::Info) -> LineView {
    LineView {
        number: info.offset,
        name: info.name,
        is_output: info.direction == line::Direction::Output,
        active_low: info.active_low,
        user: info.used.then_some(info.consumer),
    }
}

fn kernel(error: &gpiocdev::Error) -> LookError {
    LookError::Kernel(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_without_chips_is_told_from_one_that_may_not_be_opened() {
        let nowhere = Path::new("/nonexistent");
        assert_eq!(closed(nowhere), LookError::NoChip);
    }
}
