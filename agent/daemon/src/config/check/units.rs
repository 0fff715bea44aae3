//! Units of measurement that SenML names.

/// RFC 8428, 12.1 and RFC 8798, 3, without what is discouraged; primary and secondary units.
const SENML: &[&str] = &[
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V",
    "F", "Ohm", "S", "Wb", "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "l",
    "m/s", "m/s2", "m3/s", "l/s", "W/m2", "cd/m2", "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW",
    "Bspl", "count", "/", "%", "%RH", "%EL", "EL", "1/s", "1/min", "beat/min", "beats", "S/m", "B",
    "VA", "VAs", "var", "vars", "J/m", "kg/m3", "deg", "NTU", "ms", "min", "h", "MHz", "kW", "kVA",
    "kvar", "Ah", "Wh", "kWh", "varh", "kvarh", "kVAh", "Wh/km", "KiB", "GB", "Mbit/s", "B/s",
    "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h", "m/h", "ppm", "/100", "/1000", "hPa", "mm", "cm",
    "km", "km/h", "d", "VAh",
];

/// What people write instead.
const OFTEN_MEANT: &[(&str, &str)] = &[
    ("°C", "Cel"),
    ("C°", "Cel"),
    ("degC", "Cel"),
    ("celsius", "Cel"),
    ("Ω", "Ohm"),
    ("percent", "%"),
    ("L", "l"),
];

pub(super) fn is_known(unit: &str) -> bool {
    SENML.contains(&unit)
}

/// The unit that was probably meant.
pub(super) fn meant(unit: &str) -> Option<&'static str> {
    let often = OFTEN_MEANT
        .iter()
        .find(|(wrong, _)| wrong.eq_ignore_ascii_case(unit))
        .map(|(_, right)| *right);
    often.or_else(|| {
        SENML
            .iter()
            .copied()
            .find(|known| known.eq_ignore_ascii_case(unit))
    })
}
