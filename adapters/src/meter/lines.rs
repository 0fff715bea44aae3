//! The data lines of IEC 62056-21, which DSMR P1 uses too: `1-0:1.8.0*255(0012345.678*kWh)`.

use super::{Content, MeterUnit, READINGS_MAX, Reading, Register};

/// Reads `OBIS(value*unit)(value)…` lines up to `!`; what is not of this form is skipped.
pub fn parse_lines(text: &[u8]) -> Vec<Reading> {
    let lines = text.split(|byte| matches!(byte, b'\r' | b'\n'));
    let lines = lines.take_while(|line| line.first() != Some(&b'!'));
    lines
        .filter_map(|line| std::str::from_utf8(line).ok())
        .flat_map(parse_line)
        .take(READINGS_MAX)
        .collect()
}

/// A line may hold several registers, each with several values.
fn parse_line(line: &str) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    let mut rest = line;
    while let Some((address, behind)) = rest.split_once('(') {
        let Some((content, next)) = behind.split_once(')') else {
            break;
        };
        let (text, unit) = split_unit(content);
        let reading = |register, place| Reading {
            place,
            ..Reading::good(register, Content::Text(text.to_owned()), unit.clone())
        };
        match address.trim().parse() {
            Ok(obis) => readings.push(reading(Register::Obis(obis), 0)),
            Err(_) if !address.trim().is_empty() => return readings,
            Err(_) => match readings.last() {
                Some(before) if before.place < u8::MAX => {
                    let next = reading(before.register.clone(), before.place + 1);
                    readings.push(next);
                }
                Some(_) | None => return readings,
            },
        }
        rest = next;
    }
    readings
}

/// `0012345.678*kWh`, or with a blank as some makers write it.
fn split_unit(content: &str) -> (&str, MeterUnit) {
    let number = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let split = content
        .split_once('*')
        .or_else(|| content.split_once(' ').filter(|(value, _)| number(value)));
    let (text, unit) = split.unwrap_or((content, ""));
    (text.trim(), MeterUnit::parse(unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn data_lines_give_registers_values_and_units() {
        let text =
            b"F.F(00000000)\r\n1-0:1.8.0*255(0012345.678*kWh)\r\n1.6.1(0.5*kW)(2611220915)\r\n\
            32.7.0(230 V)31.7.0(1.5*A)\r\nbroken(1\r\nodd line\r\n!\r\n2.8.0(1*kWh)\r\n";
        let shown: Vec<String> = parse_lines(text)
            .iter()
            .map(|reading| {
                let Reading {
                    register,
                    place,
                    content,
                    unit,
                    ..
                } = reading;
                format!("{register} {place} {content} {unit}")
            })
            .collect();
        assert_eq!(
            shown,
            [
                "F.F 0 00000000 ",
                "1-0:1.8.0 0 0012345.678 kWh",
                "1.6.1 0 0.5 kW",
                "1.6.1 1 2611220915 ",
                "32.7.0 0 230 V",
                "31.7.0 0 1.5 A",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_of_brackets_and_dots_is_parsed_or_skipped(text in r"[0-9.()*:\-AFkWh! \r\n&]{0,200}") {
            prop_assert!(parse_lines(text.as_bytes()).len() <= text.len());
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert!(parse_lines(&bytes).len() <= bytes.len());
        }
    }
}
