//! What a value is: quantity, unit and power of ten, by the tables of `m-bus-application-layer`
//! (EN 13757-3, tables 10–16). Only they are taken from it; its values are floats, ours are exact.

use lamplighter_model::Decimal;
use m_bus_application_layer::{
    data_information::DataInformationError,
    value_information::{Unit, UnitName, ValueInformation, ValueInformationBlock, ValueLabel},
};

use super::record::RecordValue;

/// What a value is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Meaning {
    /// A word such as `volume_flow`, or the meter's own text; `other` where neither is known.
    pub quantity: String,
    /// As SenML writes it, where SenML knows it; [`UNKNOWN`] where a value has one that is not known.
    pub unit: &'static str,
    /// What distinguishes this value from others of the same quantity, such as `phase_l1`.
    pub qualifiers: Vec<&'static str>,
    /// The meter says that there is no value, or we cannot understand it.
    pub error: Option<&'static str>,
    /// The number that comes is multiplied by ten to this power.
    power: i8,
    is_date: bool,
}

/// In place of a unit that is not known.
pub const UNKNOWN: &str = "?";
const OTHER: &str = "other";

const WORDS: &[(ValueLabel, &str)] = &[
    (ValueLabel::ActualityDuration, "actuality_duration"),
    (ValueLabel::Address, "address"),
    (ValueLabel::ApparentEnergy, "apparent_energy"),
    (ValueLabel::ApparentPower, "apparent_power"),
    (ValueLabel::AveragingDuration, "averaging_duration"),
    (ValueLabel::ColdWarmTemperatureLimit, "temperature_limit"),
    (ValueLabel::Current, "current"),
    (ValueLabel::Customer, "customer"),
    (ValueLabel::CustomerLocation, "customer_location"),
    (ValueLabel::Date, "date"),
    (ValueLabel::DateTime, "date_time"),
    (ValueLabel::DigitalInput, "digital_input"),
    (ValueLabel::DigitalOutput, "digital_output"),
    (ValueLabel::Dimensionless, "dimensionless"),
    (ValueLabel::DimensionlessHCA, "heat_cost"),
    (ValueLabel::Energy, "energy"),
    (ValueLabel::EnhancedIdentification, "identification"),
    (ValueLabel::ErrorFlags, "error_flags"),
    (ValueLabel::ExternalTemperature, "external_temperature"),
    (ValueLabel::FabricationNumber, "fabrication_number"),
    (ValueLabel::FlowTemperature, "flow_temperature"),
    (ValueLabel::Frequency, "frequency"),
    (ValueLabel::HardwareVersion, "hardware_version"),
    (ValueLabel::Manufacturer, "manufacturer"),
    (ValueLabel::ManufacturerSpecific, "manufacturer_specific"),
    (ValueLabel::Mass, "mass"),
    (ValueLabel::MassFlow, "mass_flow"),
    (ValueLabel::MetrologyFirmwareVersion, "firmware_version"),
    (ValueLabel::ModelOrVersion, "model"),
    (ValueLabel::OnTime, "on_time"),
    (ValueLabel::OperatingTime, "operating_time"),
    (ValueLabel::OperatingTimeBattery, "battery_time"),
    (ValueLabel::OtherSoftwareVersion, "software_version"),
    (ValueLabel::ParameterSetIdentification, "parameter_set"),
    (ValueLabel::Power, "power"),
    (ValueLabel::Pressure, "pressure"),
    (ValueLabel::ReactiveEnergy, "reactive_energy"),
    (ValueLabel::ReactivePower, "reactive_power"),
    (ValueLabel::RelativeHumidity, "relative_humidity"),
    (
        ValueLabel::RemainingBatteryLifeTime,
        "remaining_battery_time",
    ),
    (ValueLabel::ResetCounter, "reset_counter"),
    (ValueLabel::ReturnTemperature, "return_temperature"),
    (ValueLabel::TemperatureDifference, "temperature_difference"),
    (ValueLabel::Voltage, "voltage"),
    (ValueLabel::Volume, "volume"),
    (ValueLabel::VolumeFlow, "volume_flow"),
];

const QUALIFIERS: &[(ValueLabel, &str)] = &[
    (ValueLabel::AccumulationOnlyIfValueIsNegative, "export"),
    (ValueLabel::AccumulationOnlyIfValueIsPositive, "import"),
    (ValueLabel::AtNeutral, "neutral"),
    (ValueLabel::AtPhaseL1, "phase_l1"),
    (ValueLabel::AtPhaseL2, "phase_l2"),
    (ValueLabel::AtPhaseL3, "phase_l3"),
    (ValueLabel::BetweenPhasesL1L2, "l1_l2"),
    (ValueLabel::BetweenPhasesL2L3, "l2_l3"),
    (ValueLabel::BetweenPhasesL3L1, "l3_l1"),
    (
        ValueLabel::DeltaBetweenImportAndExport,
        "import_minus_export",
    ),
    (ValueLabel::LowerLimitValue, "lower_limit"),
    (
        ValueLabel::NextVIFEAndDataOfThisBlockAreManufacturerSpecific,
        "makers",
    ),
    (ValueLabel::UpperLimitValue, "upper_limit"),
    (ValueLabel::ValueAtBaseConditions, "base_conditions"),
    (ValueLabel::VifContainsUncorrectedUnitOrValue, "uncorrected"),
];

/// Labels that say nothing of the value.
const SILENT: &[ValueLabel] = &[
    ValueLabel::Binary,
    ValueLabel::Reserved,
    ValueLabel::NonMetricUnits,
];

type Parts = &'static [(UnitName, i32)];

const UNITS: &[(Parts, &str)] = &[
    (&[(UnitName::Ampere, 1)], "A"),
    (&[(UnitName::ApparentWatt, 1)], "VA"),
    (&[(UnitName::ApparentWatt, 1), (UnitName::Hour, 1)], "VAh"),
    (&[(UnitName::Bar, 1)], "bar"),
    (&[(UnitName::Celsius, 1)], "Cel"),
    (&[(UnitName::Day, 1)], "d"),
    (&[(UnitName::DecibelMilliWatt, 1)], "dBm"),
    (&[(UnitName::Degree, 1)], "deg"),
    (&[(UnitName::HCAUnit, 1)], ""),
    (&[(UnitName::Hertz, 1)], "Hz"),
    (&[(UnitName::Hour, 1)], "h"),
    (&[(UnitName::Joul, 1)], "J"),
    (&[(UnitName::Joul, 1), (UnitName::Hour, -1)], "J/h"),
    (&[(UnitName::Kelvin, 1)], "K"),
    (&[(UnitName::Kilogram, 1)], "kg"),
    (&[(UnitName::Kilogram, 1), (UnitName::Hour, -1)], "kg/h"),
    (&[(UnitName::Meter, 3)], "m3"),
    (&[(UnitName::Meter, 3), (UnitName::Hour, -1)], "m3/h"),
    (&[(UnitName::Meter, 3), (UnitName::Minute, -1)], "m3/min"),
    (&[(UnitName::Meter, 3), (UnitName::Second, -1)], "m3/s"),
    (&[(UnitName::Minute, 1)], "min"),
    (&[(UnitName::Month, 1)], "month"),
    (&[(UnitName::Percent, 1)], "%"),
    (&[(UnitName::ReactiveWatt, 1)], "var"),
    (&[(UnitName::ReactiveWatt, 1), (UnitName::Hour, 1)], "varh"),
    (&[(UnitName::Second, 1)], "s"),
    (&[(UnitName::Tonne, 1)], "t"),
    (&[(UnitName::Volt, 1)], "V"),
    (&[(UnitName::Watt, 1)], "W"),
    (&[(UnitName::Watt, 1), (UnitName::Hour, 1)], "Wh"),
    (&[(UnitName::Year, 1)], "year"),
];

/// The words for quantities.
pub fn quantities() -> impl Iterator<Item = &'static str> {
    WORDS.iter().map(|(_, word)| *word)
}

impl Meaning {
    /// The value information that `data` begins with, and what is behind it.
    pub(super) fn read(data: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let block = ValueInformationBlock::try_from(data).map_err(|error| words(&error))?;
        let rest = data.get(block.get_size()..).ok_or("a record is cut off")?;
        // What the tables do not know keeps its place: the records behind it can be read.
        let Ok(information) = ValueInformation::try_from(&block) else {
            let meaning = Self {
                quantity: OTHER.to_owned(),
                unit: UNKNOWN,
                ..Self::default()
            };
            return Ok((meaning, rest));
        };
        let mut meaning = Self::of(&information);
        if let Some(text) = &block.plaintext_vife {
            // Characters come last first.
            meaning.quantity = text.as_ascii_str().unwrap_or("").chars().rev().collect();
        }
        let extensions = block.value_information_extension.iter();
        let is_corrected = extensions
            .flat_map(|extensions| extensions.iter())
            .any(|extension| (0x78..=0x7B).contains(&(extension.data & 0x7F)));
        if is_corrected && information.decimal_offset_exponent != 0 {
            meaning.error = Some("something is to be added to it");
        }
        Ok((meaning, rest))
    }

    fn of(information: &ValueInformation<'_>) -> Self {
        let mut meaning = Self {
            unit: unit(information.units()),
            ..Self::default()
        };
        for label in information.labels() {
            if let Some((_, word)) = WORDS.iter().find(|(known, _)| *known == label)
                && meaning.quantity.is_empty()
            {
                meaning.quantity = (*word).to_owned();
            } else if let Some((_, word)) = QUALIFIERS.iter().find(|(known, _)| *known == label) {
                meaning.qualifiers.push(word);
            } else if label == ValueLabel::RecordErrorCodes {
                meaning.error = Some("the meter has none now");
            } else if !SILENT.contains(&label) {
                meaning.qualifiers.push(OTHER);
            }
        }
        if meaning.quantity.is_empty() {
            meaning.quantity = OTHER.to_owned();
        }
        meaning.is_date = [ValueLabel::Date, ValueLabel::DateTime]
            .into_iter()
            .any(|label| information.has_label(label));
        match i8::try_from(information.decimal_scale_exponent) {
            Ok(power) => meaning.power = power,
            Err(_) => meaning.error = Some("its scale is absurd"),
        }
        meaning
    }

    /// Of a fixed structure.
    pub(super) fn fixed(quantity: &str, unit: &'static str, power: i8) -> Self {
        Self {
            quantity: quantity.to_owned(),
            unit,
            power,
            ..Self::default()
        }
    }

    pub(super) fn number(&self, mantissa: i64) -> RecordValue {
        RecordValue::Number(Decimal::new(mantissa, self.power))
    }

    pub(super) fn scaled(&self, value: Decimal) -> Option<Decimal> {
        value.scaled(self.power)
    }

    /// The date that the bytes of an integer are, where it is one.
    pub(super) fn moment(&self, is_integer: bool, bytes: &[u8]) -> Option<RecordValue> {
        if !self.is_date || !is_integer {
            return None;
        }
        let text = match *bytes {
            [low, high] => date(low, high, 0),
            [minute, hour, low, high] if minute & 0x80 == 0 => date(low, high, hour >> 5 & 3)
                .zip(time(hour, minute, None))
                .map(join),
            [second, minute, hour, low, high, _] if minute & 0x80 == 0 => date(low, high, 0)
                .zip(time(hour, minute, Some(second)))
                .map(join),
            _ => None,
        };
        let none = RecordValue::Missing("it is no date");
        Some(text.map_or(none, RecordValue::Moment))
    }
}

fn join((date, time): (String, String)) -> String {
    format!("{date} {time}")
}

/// EN 13757-3, annex B, type G; types F and I have the same two bytes. `century`: 0 where the meter
/// does not say, then years up to 80 are of this century.
fn date(low: u8, high: u8, century: u8) -> Option<String> {
    let (day, month) = (low & 0x1F, high & 0x0F);
    let year = low >> 5 | high >> 4 << 3;
    if !(1..=31).contains(&day) || !(1..=12).contains(&month) || year > 99 {
        return None;
    }
    let century = match (century, year) {
        (0, 0..=80) => 2000,
        (0, _) => 1900,
        (century, _) => 1900 + 100 * u16::from(century),
    };
    Some(format!("{}-{month:02}-{day:02}", century + u16::from(year)))
}

fn time(hour: u8, minute: u8, second: Option<u8>) -> Option<String> {
    let (hour, minute) = (hour & 0x1F, minute & 0x3F);
    let second = second.map(|second| second & 0x3F);
    if hour > 23 || minute > 59 || second.is_some_and(|second| second > 59) {
        return None;
    }
    let second = second.map_or_else(String::new, |second| format!(":{second:02}"));
    Some(format!("{hour:02}:{minute:02}{second}"))
}

fn unit(units: impl Iterator<Item = Unit>) -> &'static str {
    let units: Vec<_> = units.map(|unit| (unit.name, unit.exponent)).collect();
    if units.is_empty() {
        return "";
    }
    UNITS
        .iter()
        .find(|(parts, _)| **parts == units[..])
        .map_or(UNKNOWN, |(_, text)| text)
}

fn words(error: &DataInformationError) -> &'static str {
    if matches!(error, DataInformationError::DataTooShort) {
        "a record is cut off"
    } else {
        "a value field that cannot be understood"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Meaning {
        let (meaning, rest) = Meaning::read(data).unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        meaning
    }

    #[test]
    fn values_are_named_with_what_distinguishes_them() {
        let voltage = read(&[0xFD, 0xC8, 0xFC, 0x01]);
        assert_eq!((voltage.quantity.as_str(), voltage.unit), ("voltage", "V"));
        assert_eq!(voltage.qualifiers, ["phase_l1"]);
        assert_eq!(voltage.number(2301).to_string(), "230.1");
        let corrected = read(&[0x93, 0x74]);
        assert_eq!(corrected.number(5).to_string(), "0.00005");
        let text = read(&[0xFC, 0x03, b'H', b'R', b'%', 0x74]);
        assert_eq!(text.quantity, "%RH");
        assert_eq!(text.number(3396).to_string(), "33.96");
    }

    #[test]
    fn what_the_tables_do_not_know_keeps_its_place() {
        let unknown = read(&[0x6F]);
        assert_eq!(
            (unknown.quantity.as_str(), unknown.unit),
            ("other", UNKNOWN)
        );
        assert_eq!(read(&[0xFF, 0x01]).quantity, "manufacturer_specific");
        let makers = read(&[0x83, 0xFF, 0x01]);
        assert_eq!((makers.quantity.as_str(), makers.unit), ("energy", "Wh"));
        assert_eq!(makers.qualifiers, ["makers"]);
    }

    #[test]
    fn a_value_that_the_meter_does_not_have_is_missing() {
        assert!(read(&[0x83, 0x15]).error.is_some());
        assert_eq!(
            Meaning::read(&[0xFD; 12]),
            Err("a value field that cannot be understood")
        );
    }

    #[test]
    fn dates_are_read_and_impossible_ones_are_none() {
        let date = read(&[0x6C]);
        let moment = |bytes: &[u8]| date.moment(true, bytes).unwrap().to_string();
        assert_eq!(moment(&[0x7E, 0x14]), "2011-04-30");
        assert_eq!(moment(&[0x22, 0x10, 0x8D, 0x11]), "2012-01-13 16:34");
        assert_eq!(
            moment(&[5, 0x22, 0x10, 0x8D, 0x11, 0]),
            "2012-01-13 16:34:05"
        );
        for wrong in [
            &[0, 0][..],
            &[0xFF, 0xFF],
            &[0x80, 0x10, 0x8D, 0x11],
            &[0x3C, 0x10, 0x8D, 0x11],
            &[1, 2, 3],
        ] {
            assert_eq!(moment(wrong), "none (it is no date)", "{wrong:02X?}");
        }
        assert_eq!(date.moment(false, &[0x7E, 0x14]), None);
        assert_eq!(read(&[0x13]).moment(true, &[0x7E, 0x14]), None);
    }
}
