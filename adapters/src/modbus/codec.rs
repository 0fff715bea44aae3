//! Registers to values and back: one codec, so that what is written is laid out as what is read.

use std::{collections::BTreeMap, fmt, str::FromStr};

use lamplighter_model::{DataType, Decimal, Quality, Value};

/// What a register or a run of registers holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegisterType {
    /// A coil or discrete input.
    Bool,
    /// One bit of a register, 0 the lowest.
    Bit(u8),
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    /// Text of so many registers, two bytes each, padded with NUL.
    Text(u16),
}

/// How the bytes of a number stand in its registers; A is the most significant of four.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// Big-endian throughout, as the standard has it.
    #[default]
    Abcd,
    /// Bytes of each register swapped.
    Badc,
    /// Registers in reverse.
    Cdab,
    /// Little-endian throughout.
    Dcba,
}

/// From the number in the registers to the value: `number × scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    pub scale: Decimal,
    pub offset: Decimal,
}

/// Everything between the registers of a point and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct PointCodec {
    pub kind: RegisterType,
    pub order: Order,
    pub scaling: Scaling,
    /// Texts of numbers; other numbers are bad.
    pub map: BTreeMap<i64, String>,
    /// Numbers, before scaling, by which the device says that it has no value.
    pub invalid: Vec<Decimal>,
    /// Lowest and highest value, after scaling, that can be true.
    pub valid: Option<(Decimal, Decimal)>,
    /// What the resource's definition asks for.
    pub data_type: DataType,
}

/// Why a value cannot be laid out in registers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CodecError {
    /// Beyond what the registers hold.
    OutOfRange,
    /// None of the texts that the device knows.
    UnknownText,
    /// A value of another kind.
    WrongType,
}

/// A number or text as it stands in the registers.
#[derive(Clone, Debug, PartialEq)]
enum Raw {
    Bool(bool),
    Float(f64),
    Integer(i64),
    Text(String),
    Unsigned(u64),
}

impl RegisterType {
    /// Registers, or bits where [`RegisterType::Bool`], that it takes.
    pub fn width(self) -> u16 {
        match self {
            Self::Bool | Self::Bit(_) | Self::I16 | Self::U16 => 1,
            Self::I32 | Self::U32 | Self::F32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::Text(registers) => registers,
        }
    }
}

impl Order {
    /// To the order of the standard, or back: each is its own inverse.
    fn turn(self, registers: &mut [u16], kind: RegisterType) {
        let is_text = matches!(kind, RegisterType::Text(_));
        if matches!(self, Self::Cdab | Self::Dcba) && !is_text {
            registers.reverse();
        }
        if matches!(self, Self::Badc | Self::Dcba) {
            registers
                .iter_mut()
                .for_each(|register| *register = register.swap_bytes());
        }
    }
}

impl Scaling {
    /// Values as they stand in the registers.
    pub const NONE: Self = Self {
        scale: Decimal::new(1, 0),
        offset: Decimal::new(0, 0),
    };

    fn is_none(self) -> bool {
        self == Self::NONE
    }

    fn apply(self, number: Decimal) -> Option<Decimal> {
        number.checked_mul(self.scale)?.checked_add(self.offset)
    }

    /// The whole number whose value is nearest to `value`.
    fn nearest(self, value: Decimal) -> Option<i128> {
        let Decimal { mantissa, exponent } = self.offset;
        let difference = value.checked_add(Decimal::new(mantissa.checked_neg()?, exponent))?;
        let shift = i32::from(difference.exponent) - i32::from(self.scale.exponent);
        let power = 10i128.checked_pow(shift.unsigned_abs())?;
        let (mut over, mut under) = (
            i128::from(difference.mantissa),
            i128::from(self.scale.mantissa),
        );
        if shift >= 0 {
            over = over.checked_mul(power)?;
        } else {
            under = under.checked_mul(power)?;
        }
        divide_rounding(over, under)
    }
}

impl PointCodec {
    /// Numbers as they stand, of the given layout.
    pub fn plain(kind: RegisterType, order: Order, data_type: DataType) -> Self {
        Self {
            kind,
            order,
            scaling: Scaling::NONE,
            map: BTreeMap::new(),
            invalid: Vec::new(),
            valid: None,
            data_type,
        }
    }

    /// The value of a bit, of a coil or discrete input.
    pub fn decode_bit(&self, on: bool) -> (Value, Quality) {
        self.value_of(Raw::Bool(on))
    }

    /// The value in the registers, as many as the type is wide; `None` where it is nothing that the
    /// resource could hold.
    pub fn decode(&self, registers: &[u16]) -> Option<(Value, Quality)> {
        if registers.len() != usize::from(self.kind.width()) {
            return None;
        }
        Some(self.value_of(self.raw_of(registers)?))
    }

    /// The coil state that means `value`.
    ///
    /// # Errors
    /// The value means neither on nor off.
    pub fn encode_bit(&self, value: &Value) -> Result<bool, CodecError> {
        match self.raw_for(value)? {
            Raw::Bool(on) => Ok(on),
            Raw::Float(_) | Raw::Integer(_) | Raw::Text(_) | Raw::Unsigned(_) => {
                Err(CodecError::WrongType)
            }
        }
    }

    /// The registers that mean `value`, or the nearest step of the scale to it.
    ///
    /// # Errors
    /// Why the device cannot hold the value.
    pub fn encode(&self, value: &Value) -> Result<Vec<u16>, CodecError> {
        let raw = self.raw_for(value)?;
        let mut registers = self.registers_of(&raw)?;
        self.order.turn(&mut registers, self.kind);
        Ok(registers)
    }

    fn raw_of(&self, registers: &[u16]) -> Option<Raw> {
        let mut registers = registers.to_vec();
        self.order.turn(&mut registers, self.kind);
        let bits = registers
            .iter()
            .take(4)
            .fold(0u64, |bits, register| bits << 16 | u64::from(*register));
        // Each cast keeps exactly the bits of the type.
        Some(match self.kind {
            RegisterType::Bool => Raw::Bool(bits != 0),
            RegisterType::Bit(bit) => Raw::Bool(bits.checked_shr(u32::from(bit))? & 1 == 1),
            RegisterType::I16 => Raw::Integer(i64::from(bits as i16)),
            RegisterType::U16 => Raw::Integer(i64::from(bits as u16)),
            RegisterType::I32 => Raw::Integer(i64::from(bits as i32)),
            RegisterType::U32 => Raw::Integer(i64::from(bits as u32)),
            RegisterType::I64 => Raw::Integer(bits as i64),
            RegisterType::U64 => Raw::Unsigned(bits),
            RegisterType::F32 => Raw::Float(shortest(f32::from_bits(bits as u32))),
            RegisterType::F64 => Raw::Float(f64::from_bits(bits)),
            RegisterType::Text(_) => Raw::Text(text_of(&registers)),
        })
    }

    fn value_of(&self, raw: Raw) -> (Value, Quality) {
        let invalid = raw
            .decimal()
            .is_some_and(|number| self.invalid.contains(&number));
        let (value, understood) = self.scaled(raw);
        let in_range = self.valid.is_none_or(|valid| is_between(&value, valid));
        let (value, fits) = fitted(value, self.data_type);
        let quality = if !invalid && understood && in_range && fits {
            Quality::Good
        } else {
            Quality::Bad
        };
        (value, quality)
    }

    /// The value of a raw number, and whether it is one.
    fn scaled(&self, raw: Raw) -> (Value, bool) {
        if !self.map.is_empty() {
            let text = raw
                .decimal()
                .and_then(Decimal::to_integer)
                .and_then(|number| self.map.get(&number));
            return match text {
                Some(text) => (Value::String(text.clone()), true),
                None => (raw.plain(), false),
            };
        }
        if self.scaling.is_none() {
            let is_number = !matches!(raw, Raw::Float(float) if !float.is_finite());
            return (raw.plain(), is_number);
        }
        match raw {
            Raw::Bool(_) | Raw::Text(_) => (raw.plain(), true),
            Raw::Float(float) => {
                let value = float * self.scaling.scale.to_f64() + self.scaling.offset.to_f64();
                (Value::Float(value), value.is_finite())
            }
            Raw::Integer(_) | Raw::Unsigned(_) => {
                match raw.decimal().and_then(|number| self.scaling.apply(number)) {
                    Some(value) => (Value::Decimal(value), true),
                    None => (raw.plain(), false),
                }
            }
        }
    }

    fn raw_for(&self, value: &Value) -> Result<Raw, CodecError> {
        if let (Value::String(text), false) = (value, self.map.is_empty()) {
            let number = self
                .map
                .iter()
                .find(|(_, known)| *known == text)
                .ok_or(CodecError::UnknownText)?
                .0;
            return Ok(Raw::Integer(*number));
        }
        match self.kind {
            RegisterType::Bool | RegisterType::Bit(_) => on_or_off(value).map(Raw::Bool),
            RegisterType::Text(_) => match value {
                Value::String(text) | Value::Corelnk(text) => Ok(Raw::Text(text.clone())),
                Value::Boolean(_)
                | Value::Decimal(_)
                | Value::Float(_)
                | Value::Integer(_)
                | Value::Objlnk(_)
                | Value::Opaque(_)
                | Value::Time(_)
                | Value::Unsigned(_) => Err(CodecError::WrongType),
            },
            RegisterType::F32 | RegisterType::F64 => {
                let value = value.as_f64().ok_or(CodecError::WrongType)?;
                if self.scaling.is_none() {
                    return Ok(Raw::Float(value));
                }
                Ok(Raw::Float(
                    (value - self.scaling.offset.to_f64()) / self.scaling.scale.to_f64(),
                ))
            }
            RegisterType::I16
            | RegisterType::U16
            | RegisterType::I32
            | RegisterType::U32
            | RegisterType::I64
            | RegisterType::U64 => self.whole_number_for(value),
        }
    }

    fn whole_number_for(&self, value: &Value) -> Result<Raw, CodecError> {
        let number = match value {
            Value::Unsigned(unsigned) if self.scaling.is_none() => i128::from(*unsigned),
            Value::Boolean(_)
            | Value::Corelnk(_)
            | Value::Decimal(_)
            | Value::Float(_)
            | Value::Integer(_)
            | Value::Objlnk(_)
            | Value::Opaque(_)
            | Value::String(_)
            | Value::Time(_)
            | Value::Unsigned(_) => {
                let value = exact(value)?;
                self.scaling.nearest(value).ok_or(CodecError::OutOfRange)?
            }
        };
        i64::try_from(number)
            .map(Raw::Integer)
            .or_else(|_| u64::try_from(number).map(Raw::Unsigned))
            .map_err(|_| CodecError::OutOfRange)
    }

    /// In the order of the standard.
    fn registers_of(&self, raw: &Raw) -> Result<Vec<u16>, CodecError> {
        let bytes = match (self.kind, raw) {
            (RegisterType::Text(registers), Raw::Text(text)) => {
                return text_registers(text, registers);
            }
            (RegisterType::F32, Raw::Float(float)) => {
                let narrow = *float as f32;
                if narrow.is_infinite() && float.is_finite() {
                    return Err(CodecError::OutOfRange);
                }
                narrow.to_be_bytes().to_vec()
            }
            (RegisterType::F64, Raw::Float(float)) => float.to_be_bytes().to_vec(),
            (kind, Raw::Integer(number)) => whole_bytes(kind, i128::from(*number))?,
            (kind, Raw::Unsigned(number)) => whole_bytes(kind, i128::from(*number))?,
            (_, Raw::Bool(_) | Raw::Float(_) | Raw::Text(_)) => return Err(CodecError::WrongType),
        };
        Ok(bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect())
    }
}

impl Raw {
    fn decimal(&self) -> Option<Decimal> {
        match self {
            Self::Bool(on) => Some(Decimal::from(i64::from(*on))),
            Self::Float(float) => decimal_of(*float),
            Self::Integer(integer) => Some(Decimal::from(*integer)),
            Self::Text(_) => None,
            Self::Unsigned(unsigned) => i64::try_from(*unsigned).ok().map(Decimal::from),
        }
    }

    fn plain(self) -> Value {
        match self {
            Self::Bool(on) => Value::Boolean(on),
            Self::Float(float) => Value::Float(float),
            Self::Integer(integer) => Value::Integer(integer),
            Self::Text(text) => Value::String(text),
            Self::Unsigned(unsigned) => Value::Unsigned(unsigned),
        }
    }
}

/// The value as its resource wants it. Numbers are rounded for whole resources; what does not fit
/// becomes the nearest thing that does, and is marked.
fn fitted(value: Value, data_type: DataType) -> (Value, bool) {
    match (data_type, &value) {
        (DataType::Boolean, Value::Boolean(_)) => (value, true),
        (DataType::Boolean, _) => {
            let number = value.as_f64();
            (
                Value::Boolean(number.is_some_and(|number| number != 0.0)),
                matches!(number, Some(0.0 | 1.0)),
            )
        }
        (DataType::String, Value::String(_)) => (value, true),
        (DataType::String, _) => (Value::String(value.to_string()), false),
        (DataType::Float, Value::Boolean(on)) => (Value::Float(f64::from(u8::from(*on))), true),
        (DataType::Integer | DataType::Unsigned | DataType::Time, _) => whole(value, data_type),
        (
            DataType::Corelnk
            | DataType::Float
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque,
            _,
        ) => match value.clone().fit(data_type) {
            Ok(value) => (value, true),
            Err(_) => (value, false),
        },
    }
}

fn whole(value: Value, data_type: DataType) -> (Value, bool) {
    let number = match &value {
        Value::Boolean(on) => Some(i64::from(*on)),
        Value::Decimal(decimal) => Scaling::NONE
            .nearest(*decimal)
            .and_then(|number| i64::try_from(number).ok()),
        Value::Float(float) => decimal_of(*float)
            .and_then(|decimal| Scaling::NONE.nearest(decimal))
            .and_then(|number| i64::try_from(number).ok()),
        Value::Corelnk(_)
        | Value::Integer(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_)
        | Value::Time(_)
        | Value::Unsigned(_) => None,
    };
    let candidate = number.map_or_else(|| value.clone(), Value::Integer);
    if let (DataType::Unsigned, Value::Unsigned(_)) = (data_type, &candidate) {
        return (candidate, true);
    }
    match candidate.fit(data_type) {
        Ok(value) => (value, true),
        Err(_) => (value, false),
    }
}

fn is_between(value: &Value, (lowest, highest): (Decimal, Decimal)) -> bool {
    value
        .as_f64()
        .is_none_or(|value| value >= lowest.to_f64() && value <= highest.to_f64())
}

/// `over / under`, halves away from zero.
fn divide_rounding(over: i128, under: i128) -> Option<i128> {
    let quotient = over.checked_div(under)?;
    let rest = over.checked_rem(under)?;
    if rest.unsigned_abs() < under.unsigned_abs().div_ceil(2) {
        return Some(quotient);
    }
    quotient.checked_add(if (over < 0) == (under < 0) { 1 } else { -1 })
}

fn exact(value: &Value) -> Result<Decimal, CodecError> {
    match value {
        Value::Decimal(decimal) => Ok(*decimal),
        Value::Float(float) => decimal_of(*float).ok_or(CodecError::OutOfRange),
        Value::Integer(integer) | Value::Time(integer) => Ok(Decimal::from(*integer)),
        Value::Unsigned(unsigned) => i64::try_from(*unsigned)
            .map(Decimal::from)
            .map_err(|_| CodecError::OutOfRange),
        Value::Boolean(on) => Ok(Decimal::from(i64::from(*on))),
        Value::Corelnk(_) | Value::Objlnk(_) | Value::Opaque(_) | Value::String(_) => {
            Err(CodecError::WrongType)
        }
    }
}

/// The decimal that people would write for the float.
fn decimal_of(float: f64) -> Option<Decimal> {
    if !float.is_finite() {
        return None;
    }
    Decimal::from_str(&format!("{float:e}")).ok()
}

/// The same number as the `f32` prints: 21.1, not 21.10000038.
fn shortest(float: f32) -> f64 {
    format!("{float:e}")
        .parse()
        .unwrap_or_else(|_| f64::from(float))
}

fn on_or_off(value: &Value) -> Result<bool, CodecError> {
    match value.as_f64() {
        Some(0.0) => Ok(false),
        Some(1.0) => Ok(true),
        Some(_) => Err(CodecError::OutOfRange),
        None => Err(CodecError::WrongType),
    }
}

fn whole_bytes(kind: RegisterType, number: i128) -> Result<Vec<u8>, CodecError> {
    let fits = match kind {
        RegisterType::I16 => i16::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::U16 => u16::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::I32 => i32::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::U32 => u32::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::I64 => i64::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::U64 => u64::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::Bool
        | RegisterType::Bit(_)
        | RegisterType::F32
        | RegisterType::F64
        | RegisterType::Text(_) => return Err(CodecError::WrongType),
    };
    fits.map_err(|_| CodecError::OutOfRange)
}

/// The text up to its padding; bytes that are no UTF-8 are replaced.
fn text_of(registers: &[u16]) -> String {
    let bytes: Vec<u8> = registers
        .iter()
        .flat_map(|register| register.to_be_bytes())
        .collect();
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, 0 | b' '))
        .map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn text_registers(text: &str, registers: u16) -> Result<Vec<u16>, CodecError> {
    let mut bytes = text.as_bytes().to_vec();
    let length = 2 * usize::from(registers);
    if bytes.len() > length {
        return Err(CodecError::OutOfRange);
    }
    bytes.resize(length, 0);
    Ok(bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect())
}

impl FromStr for Order {
    type Err = ();

    /// Reads `ABCD`, `BADC`, `CDAB`, `DCBA`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ABCD" => Ok(Self::Abcd),
            "BADC" => Ok(Self::Badc),
            "CDAB" => Ok(Self::Cdab),
            "DCBA" => Ok(Self::Dcba),
            _ => Err(()),
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the value is beyond what the device's registers hold",
            Self::UnknownText => "the device knows no such text",
            Self::WrongType => "the value is of another kind than the device's",
        })
    }
}

impl std::error::Error for CodecError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORDERS: [Order; 4] = [Order::Abcd, Order::Badc, Order::Cdab, Order::Dcba];

    fn scaled(kind: RegisterType, scale: &str, offset: &str) -> PointCodec {
        PointCodec {
            scaling: Scaling {
                scale: scale.parse().unwrap(),
                offset: offset.parse().unwrap(),
            },
            ..PointCodec::plain(kind, Order::Abcd, DataType::Float)
        }
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().unwrap())
    }

    #[test]
    fn orders_are_named_by_where_the_bytes_stand() {
        for (order, registers) in [
            (Order::Abcd, [0x0A0B, 0x0C0D]),
            (Order::Badc, [0x0B0A, 0x0D0C]),
            (Order::Cdab, [0x0C0D, 0x0A0B]),
            (Order::Dcba, [0x0D0C, 0x0B0A]),
        ] {
            let codec = PointCodec::plain(RegisterType::U32, order, DataType::Integer);
            assert_eq!(
                codec.decode(&registers),
                Some((Value::Integer(0x0A0B_0C0D), Quality::Good))
            );
            assert_eq!(
                codec.encode(&Value::Integer(0x0A0B_0C0D)),
                Ok(registers.to_vec())
            );
        }
    }

    #[test]
    fn scaling_is_exact() {
        let codec = scaled(RegisterType::I16, "0.1", "0");
        assert_eq!(codec.decode(&[215]), Some((decimal("21.5"), Quality::Good)));
        assert_eq!(
            codec.decode(&[0xFFFF]),
            Some((decimal("-0.1"), Quality::Good))
        );
        assert_eq!(codec.encode(&Value::Float(21.5)), Ok(vec![215]));
        assert_eq!(codec.encode(&Value::Float(21.54)), Ok(vec![215]));
        assert_eq!(codec.encode(&decimal("-0.15")), Ok(vec![0xFFFE]));
        assert_eq!(
            codec.encode(&Value::Float(3276.8)),
            Err(CodecError::OutOfRange)
        );
        let codec = scaled(RegisterType::U16, "0.5", "-40");
        assert_eq!(codec.decode(&[81]), Some((decimal("0.5"), Quality::Good)));
        assert_eq!(codec.encode(&Value::Float(0.5)), Ok(vec![81]));
        assert_eq!(
            codec.encode(&Value::Float(-41.0)),
            Err(CodecError::OutOfRange)
        );
    }

    #[test]
    fn what_the_device_calls_invalid_is_bad() {
        let mut codec = scaled(RegisterType::I16, "0.1", "0");
        codec.invalid = vec![Decimal::from(32767)];
        codec.valid = Some((Decimal::from(-40), Decimal::from(90)));
        for (register, quality) in [
            (32767, Quality::Bad),
            (901, Quality::Bad),
            (900, Quality::Good),
            (0u16.wrapping_sub(401), Quality::Bad),
        ] {
            assert_eq!(codec.decode(&[register]).unwrap().1, quality, "{register}");
        }
        let codec = PointCodec::plain(RegisterType::F32, Order::Abcd, DataType::Float);
        assert_eq!(codec.decode(&[0x7FC0, 0]).unwrap().1, Quality::Bad);
    }

    #[test]
    fn numbers_read_as_their_texts_and_back() {
        let mut codec = PointCodec::plain(RegisterType::U16, Order::Abcd, DataType::String);
        codec.map = [(0, "cool".to_owned()), (5, "fan".to_owned())].into();
        assert_eq!(
            codec.decode(&[5]),
            Some((Value::String("fan".into()), Quality::Good))
        );
        assert_eq!(
            codec.decode(&[4]),
            Some((Value::String("4".into()), Quality::Bad))
        );
        assert_eq!(codec.encode(&Value::String("fan".into())), Ok(vec![5]));
        assert_eq!(
            codec.encode(&Value::String("hot".into())),
            Err(CodecError::UnknownText)
        );
    }

    #[test]
    fn values_come_as_their_resource_wants_them() {
        let as_type = |kind, data_type, registers: &[u16]| {
            PointCodec::plain(kind, Order::Abcd, data_type)
                .decode(registers)
                .unwrap()
        };
        assert_eq!(
            as_type(RegisterType::U16, DataType::Boolean, &[1]),
            (Value::Boolean(true), Quality::Good)
        );
        assert_eq!(
            as_type(RegisterType::U16, DataType::Boolean, &[7]),
            (Value::Boolean(true), Quality::Bad)
        );
        assert_eq!(
            as_type(RegisterType::Bit(10), DataType::Boolean, &[0x0400]),
            (Value::Boolean(true), Quality::Good)
        );
        assert_eq!(
            as_type(RegisterType::F32, DataType::Float, &[0x41A8, 0xCCCD]).0,
            Value::Float(21.1)
        );
        assert_eq!(
            as_type(RegisterType::F32, DataType::Integer, &[0x41A8, 0xCCCD]).0,
            Value::Integer(21)
        );
        assert_eq!(
            as_type(RegisterType::U64, DataType::Unsigned, &[0xFFFF; 4]),
            (Value::Unsigned(u64::MAX), Quality::Good)
        );
        assert_eq!(
            as_type(RegisterType::U64, DataType::Integer, &[0xFFFF; 4]).1,
            Quality::Bad
        );
        assert_eq!(
            as_type(
                RegisterType::Text(3),
                DataType::String,
                &[0x4142, 0x4300, 0]
            ),
            (Value::String("ABC".into()), Quality::Good)
        );
        let coil = PointCodec::plain(RegisterType::Bool, Order::Abcd, DataType::Boolean);
        assert_eq!(coil.encode_bit(&Value::Boolean(true)), Ok(true));
        assert_eq!(
            coil.encode_bit(&Value::Integer(2)),
            Err(CodecError::OutOfRange)
        );
    }

    #[test]
    fn the_wrong_number_of_registers_is_no_value() {
        assert_eq!(
            PointCodec::plain(RegisterType::U32, Order::Abcd, DataType::Integer).decode(&[1]),
            None
        );
    }

    proptest! {
        #[test]
        fn what_is_decoded_encodes_to_the_same_registers(words in prop::array::uniform4(any::<u16>())) {
            let cases = [
                (RegisterType::I16, DataType::Integer),
                (RegisterType::U16, DataType::Integer),
                (RegisterType::I32, DataType::Integer),
                (RegisterType::U32, DataType::Unsigned),
                (RegisterType::I64, DataType::Integer),
                (RegisterType::U64, DataType::Unsigned),
                (RegisterType::F32, DataType::Float),
                (RegisterType::F64, DataType::Float),
            ];
            for (kind, data_type) in cases {
                for order in ORDERS {
                    let codec = PointCodec::plain(kind, order, data_type);
                    let registers = &words[..usize::from(kind.width())];
                    let (value, quality) = codec.decode(registers).unwrap();
                    if quality == Quality::Good {
                        prop_assert_eq!(codec.encode(&value).unwrap(), registers, "{:?} {:?}", kind, order);
                    }
                }
            }
        }

        #[test]
        fn scaled_registers_come_back_too(word: u16, scale in 1i64..1000, exponent in -6i8..3, offset in -500i64..500) {
            let scaling = Scaling { scale: Decimal::new(scale, exponent), offset: Decimal::new(offset, -1) };
            for kind in [RegisterType::I16, RegisterType::U16] {
                let codec = PointCodec { scaling, ..PointCodec::plain(kind, Order::Badc, DataType::Float) };
                let (value, _) = codec.decode(&[word]).unwrap();
                prop_assert_eq!(codec.encode(&value), Ok(vec![word]));
                // Formats on the wire carry floats: those come back as well.
                prop_assert_eq!(codec.encode(&Value::Float(value.as_f64().unwrap())), Ok(vec![word]));
            }
        }

        #[test]
        fn texts_come_back(text in "[ -~]{0,7}[!-~]") {
            for order in ORDERS {
                let codec = PointCodec::plain(RegisterType::Text(4), order, DataType::String);
                let value = Value::String(text.clone());
                prop_assert_eq!(codec.decode(&codec.encode(&value).unwrap()), Some((value, Quality::Good)));
            }
        }

        #[test]
        fn no_registers_and_no_value_make_it_panic(
            words in prop::collection::vec(any::<u16>(), 0..5),
            number: f64,
            scale: i64,
            exponent: i8,
        ) {
            let scaling = Scaling { scale: Decimal::new(scale, exponent), offset: Decimal::new(i64::MIN, 0) };
            for kind in [RegisterType::I64, RegisterType::U64, RegisterType::F32, RegisterType::Bit(200)] {
                let codec = PointCodec { scaling, ..PointCodec::plain(kind, Order::Dcba, DataType::Integer) };
                let _ = codec.decode(&words);
                let _ = codec.encode(&Value::Float(number));
                let _ = codec.encode(&Value::Integer(scale));
            }
        }
    }
}
