//! Registers and points for people.

use std::io::{self, Write};

use crate::{
    cli::screen::{self, Table},
    commission::{Outcome, PointView, Raw, RawWritten, Words},
};

/// Every register in the ways in which it could be meant; pairs also as one value.
pub(super) fn raw(raw: &Raw, out: &mut impl Write) -> io::Result<()> {
    match &raw.words {
        Words::Bits(bits) => {
            let mut table = Table::head(["BIT", "STATE"]);
            for (at, on) in (u32::from(raw.at)..).zip(bits) {
                let state = if *on { "on" } else { "off" };
                table.row([format!("{}:{at}", raw.table), state.to_owned()]);
            }
            table.print(out, "")
        }
        Words::Registers(words) => {
            let mut table =
                Table::head(["REGISTER", "HEX", "U16", "I16", "U32", "F32", "F32 CDAB"]);
            for (number, word) in words.iter().enumerate() {
                let at = u32::from(raw.at) + u32::try_from(number).unwrap_or(u32::MAX);
                let pair = words.get(number + 1).map(|low| (*word, *low));
                let joined = |(high, low): (u16, u16)| u32::from(high) << 16 | u32::from(low);
                let float = |bits: u32| format!("{:?}", f32::from_bits(bits));
                table.row([
                    format!("{}:{at}", raw.table),
                    format!("{word:04X}"),
                    word.to_string(),
                    word.cast_signed().to_string(),
                    pair.map_or_else(String::new, |pair| joined(pair).to_string()),
                    pair.map_or_else(String::new, |pair| float(joined(pair))),
                    pair.map_or_else(String::new, |(high, low)| float(joined((low, high)))),
                ]);
            }
            table.print(out, "")
        }
    }
}

/// What stands there after a write, where that is known.
pub(super) fn written(written: &RawWritten, out: &mut impl Write) -> io::Result<()> {
    match written.outcome {
        Outcome::Broadcast => writeln!(out, "sent to everybody, whom nobody answers"),
        Outcome::Differs | Outcome::Written => raw(&written.raw, out),
        Outcome::Unconfirmed => Ok(()),
    }
}

pub(super) fn point(point: &PointView, out: &mut impl Write) -> io::Result<()> {
    let words = match &point.raw.words {
        Words::Bits(bits) => bits
            .iter()
            .map(|on| if *on { "on" } else { "off" }.to_owned())
            .collect::<Vec<_>>(),
        Words::Registers(words) => words.iter().map(|word| format!("{word:04X}")).collect(),
    };
    let value = match &point.value {
        Some(value) => screen::value(value, Some(&point.unit)),
        None => "not what the configuration says".to_owned(),
    };
    let quality = point.quality.map_or_else(String::new, |quality| {
        format!(
            "  ({})",
            serde_json::to_value(quality)
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default()
        )
    });
    let writable = if point.writable {
        ", can be written"
    } else {
        ""
    };
    writeln!(out, "  {}  {}{writable}", point.name, point.path)?;
    writeln!(
        out,
        "  {} unit {} on {}, {}:{}, {:.1} ms",
        point.device,
        point.unit_number,
        point.bus,
        point.raw.table,
        point.raw.at,
        point.raw.round_trip_ms
    )?;
    writeln!(out, "  raw    {}", words.join(" "))?;
    writeln!(out, "  value  {value}{quality}")
}
