//! A register of the meter and where its value goes.

use lamplighter_model::{DataType, Decimal, Quality, ResourceAddress, UnixTime, Value};

use super::{Content, MeterUnit, Reading, Readout, Register, Unit};

/// A register of the meter and where its value goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeterPoint {
    pub address: ResourceAddress,
    pub register: Register,
    /// The type of the resource: a text is taken as it stands, anything else as a number.
    pub data_type: DataType,
    /// The unit that the value is converted to; `None` takes any as it comes.
    pub unit: Option<Unit>,
    /// What the meter means where it names no unit.
    pub meter_unit: Option<Unit>,
    /// Lowest and highest credible value, in `unit`.
    pub valid: Option<(Decimal, Decimal)>,
    /// A counter: it may not run backwards.
    pub monotonic: bool,
}

/// What a register gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) value: Value,
    pub(super) quality: Quality,
    pub(super) time: Option<UnixTime>,
}

impl MeterPoint {
    /// The value of a register as it comes.
    pub fn new(address: ResourceAddress, register: Register, data_type: DataType) -> Self {
        Self {
            address,
            register,
            data_type,
            unit: None,
            meter_unit: None,
            valid: None,
            monotonic: false,
        }
    }

    /// What the readout has for this point, or why it has nothing.
    pub(super) fn measure(&self, readout: &Readout) -> Result<Measured, String> {
        let reading = readout
            .find(&self.register)
            .ok_or_else(|| format!("the meter has no {}", self.register))?;
        let (value, quality) = match self.data_type {
            DataType::String => (Value::String(reading.content.to_string()), reading.quality),
            DataType::Boolean
            | DataType::Corelnk
            | DataType::Float
            | DataType::Integer
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque
            | DataType::Time
            | DataType::Unsigned => self.number(reading)?,
        };
        Ok(Measured {
            value,
            quality,
            time: reading.time,
        })
    }

    fn number(&self, reading: &Reading) -> Result<(Value, Quality), String> {
        let number = match &reading.content {
            Content::Number(number) => *number,
            Content::Text(text) => text
                .parse()
                .map_err(|_| format!("{} is not a number: {text}", self.register))?,
        };
        let number = self.converted(number, &reading.unit)?;
        let is_credible = self
            .valid
            .is_none_or(|(lowest, highest)| (lowest..=highest).contains(&number));
        let quality = if is_credible {
            reading.quality
        } else {
            Quality::Bad
        };
        let value = match self.data_type {
            DataType::Boolean => Ok(Value::Boolean(number != Decimal::from(0))),
            DataType::Integer | DataType::Time | DataType::Unsigned => {
                Value::Decimal(number.rounded()).fit(self.data_type)
            }
            DataType::Corelnk
            | DataType::Float
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque
            | DataType::String => Value::Decimal(number).fit(self.data_type),
        }
        .map_err(|error| format!("{}: {error}", self.register))?;
        Ok((value, quality))
    }

    fn converted(&self, number: Decimal, told: &MeterUnit) -> Result<Decimal, String> {
        let Some(wanted) = self.unit else {
            return Ok(number);
        };
        let register = &self.register;
        let given = match told {
            MeterUnit::Known(unit) => *unit,
            MeterUnit::Foreign(text) => {
                return Err(format!("{register} comes in an unknown unit: {text}"));
            }
            MeterUnit::Missing => self
                .meter_unit
                .ok_or_else(|| format!("{register} comes without a unit"))?,
        };
        let converted = given.convert(number, wanted);
        converted.ok_or_else(|| format!("{register} comes in {given}, not convertible to {wanted}"))
    }
}
