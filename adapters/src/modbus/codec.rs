//! Registers to values and back: one codec, so that what is written is laid out as what is read.

use std::{collections::BTreeMap, fmt, str::FromStr};

use lamplighter_model::{DataType, Decimal, Quality, Value};

use super::layout::{DateLayout, from_bcd, half_from_f64, half_to_f64, to_bcd};

/// What a register or a run of registers holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegisterType {
    /// A coil or discrete input.
    Bool,
    /// One bit of a register, 0 the lowest.
    Bit(u8),
    /// A whole number in some bits of a register: the lowest, and how many.
    Bits(u8, u8),
    /// Decimal digits, four to a register, in 1, 2 or 4 registers.
    Bcd(u16),
    /// Seconds since 1970, laid out as a calendar date.
    Date(DateLayout),
    I8(Byte),
    U8(Byte),
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
    /// Text of so many registers, two bytes each, padded with NUL.
    Text(u16),
    /// Text of so many registers, one byte each; the other is written as 0.
    HalfText(u16, Byte),
}

/// Which of the two bytes of a register.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Byte {
    High,
    #[default]
    Low,
}

/// Part of a register: what it becomes is `(register & keep) | set`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Masked {
    /// Bits that stay as they are.
    pub keep: u16,
    pub set: u16,
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
    /// Nothing that the layout knows, in its bits.
    Nonsense(u64),
    Text(String),
    Unsigned(u64),
}

impl RegisterType {
    /// Registers, or bits where [`RegisterType::Bool`], that it takes.
    pub fn width(self) -> u16 {
        match self {
            Self::Bool
            | Self::Bit(_)
            | Self::Bits(..)
            | Self::F16
            | Self::I8(_)
            | Self::I16
            | Self::U8(_)
            | Self::U16 => 1,
            Self::I32 | Self::U32 | Self::F32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::Bcd(registers) | Self::HalfText(registers, _) | Self::Text(registers) => {
                registers
            }
            Self::Date(layout) => layout.width(),
        }
    }

    /// The lowest bit and the number of bits of what takes only part of a register.
    pub fn field(self) -> Option<(u8, u8)> {
        match self {
            Self::Bit(bit) => Some((bit, 1)),
            Self::Bits(first, count) => Some((first, count)),
            Self::I8(byte) | Self::U8(byte) => Some((byte.shift(), 8)),
            Self::Bcd(_)
            | Self::Bool
            | Self::Date(_)
            | Self::F16
            | Self::F32
            | Self::F64
            | Self::HalfText(..)
            | Self::I16
            | Self::I32
            | Self::I64
            | Self::Text(_)
            | Self::U16
            | Self::U32
            | Self::U64 => None,
        }
    }

    /// Whether a register can hold it.
    pub fn is_possible(self) -> bool {
        match self {
            Self::Bcd(registers) => matches!(registers, 1 | 2 | 4),
            Self::HalfText(registers, _) | Self::Text(registers) => registers > 0,
            Self::Bit(_)
            | Self::Bits(..)
            | Self::Bool
            | Self::Date(_)
            | Self::F16
            | Self::F32
            | Self::F64
            | Self::I8(_)
            | Self::I16
            | Self::I32
            | Self::I64
            | Self::U8(_)
            | Self::U16
            | Self::U32
            | Self::U64 => self.field().is_none_or(|(first, count)| {
                count > 0 && u32::from(first) + u32::from(count) <= 16
            }),
        }
    }
}

impl Byte {
    const fn shift(self) -> u8 {
        match self {
            Self::High => 8,
            Self::Low => 0,
        }
    }
}

impl Order {
    /// To the order of the standard, or back: each is its own inverse.
    fn turn(self, registers: &mut [u16], kind: RegisterType) {
        let is_text = matches!(kind, RegisterType::HalfText(..) | RegisterType::Text(_));
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
            Raw::Float(_)
            | Raw::Integer(_)
            | Raw::Nonsense(_)
            | Raw::Text(_)
            | Raw::Unsigned(_) => Err(CodecError::WrongType),
        }
    }

    /// What part of a register becomes so that it means `value`, where the type is such a part.
    ///
    /// # Errors
    /// Why the device cannot hold the value.
    pub fn encode_field(&self, value: &Value) -> Result<Masked, CodecError> {
        let (first, count) = self.kind.field().ok_or(CodecError::WrongType)?;
        let (signed, number) = match self.raw_for(value)? {
            Raw::Bool(on) => (false, i128::from(on)),
            Raw::Integer(number) => (matches!(self.kind, RegisterType::I8(_)), i128::from(number)),
            Raw::Unsigned(number) => (false, i128::from(number)),
            Raw::Float(_) | Raw::Nonsense(_) | Raw::Text(_) => return Err(CodecError::WrongType),
        };
        let range = if signed { -128..128 } else { 0..1i128 << count };
        if !range.contains(&number) {
            return Err(CodecError::OutOfRange);
        }
        let mask = field_mask(first, count);
        // The lowest bits are what the field holds, of negative numbers too.
        let mut words = [!mask, ((number as u16) << first) & mask];
        for word in &mut words {
            self.order.turn(std::slice::from_mut(word), self.kind);
        }
        let [keep, set] = words;
        Ok(Masked { keep, set })
    }

    /// The registers that mean `value`, or the nearest step of the scale to it.
    ///
    /// # Errors
    /// Why the device cannot hold the value; always where it is only part of a register.
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
            RegisterType::Bcd(_) => from_bcd(bits)
                .and_then(|number| i64::try_from(number).ok())
                .map_or(Raw::Nonsense(bits), Raw::Integer),
            RegisterType::Bit(bit) => Raw::Bool(bits.checked_shr(u32::from(bit))? & 1 == 1),
            RegisterType::Bits(first, count) => {
                let field = bits as u16 & field_mask(first, count);
                Raw::Integer(i64::from(field.checked_shr(u32::from(first))?))
            }
            RegisterType::Date(layout) => layout
                .decode(&registers)
                .map_or(Raw::Nonsense(bits), Raw::Integer),
            RegisterType::I8(byte) => Raw::Integer(i64::from((bits >> byte.shift()) as u8 as i8)),
            RegisterType::U8(byte) => Raw::Integer(i64::from((bits >> byte.shift()) as u8)),
            RegisterType::I16 => Raw::Integer(i64::from(bits as i16)),
            RegisterType::U16 => Raw::Integer(i64::from(bits as u16)),
            RegisterType::I32 => Raw::Integer(i64::from(bits as i32)),
            RegisterType::U32 => Raw::Integer(i64::from(bits as u32)),
            RegisterType::I64 => Raw::Integer(bits as i64),
            RegisterType::U64 => Raw::Unsigned(bits),
            RegisterType::F16 => Raw::Float(half_to_f64(bits as u16)),
            RegisterType::F32 => Raw::Float(shortest(f32::from_bits(bits as u32))),
            RegisterType::F64 => Raw::Float(f64::from_bits(bits)),
            RegisterType::HalfText(_, byte) => Raw::Text(text_of(
                registers
                    .iter()
                    .map(|register| (register >> byte.shift()) as u8),
            )),
            RegisterType::Text(_) => Raw::Text(text_of(
                registers.iter().flat_map(|register| register.to_be_bytes()),
            )),
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
        if let Raw::Nonsense(_) = raw {
            return (raw.plain(), false);
        }
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
            Raw::Bool(_) | Raw::Nonsense(_) | Raw::Text(_) => (raw.plain(), true),
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
            RegisterType::HalfText(..) | RegisterType::Text(_) => match value {
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
            RegisterType::F16 | RegisterType::F32 | RegisterType::F64 => {
                let value = value.as_f64().ok_or(CodecError::WrongType)?;
                if self.scaling.is_none() {
                    return Ok(Raw::Float(value));
                }
                Ok(Raw::Float(
                    (value - self.scaling.offset.to_f64()) / self.scaling.scale.to_f64(),
                ))
            }
            RegisterType::Bcd(_)
            | RegisterType::Bits(..)
            | RegisterType::Date(_)
            | RegisterType::I8(_)
            | RegisterType::U8(_)
            | RegisterType::I16
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
            (RegisterType::HalfText(registers, byte), Raw::Text(text)) => {
                let mut bytes = padded(text, usize::from(registers))?;
                return Ok(bytes
                    .drain(..)
                    .map(|text_byte| u16::from(text_byte) << byte.shift())
                    .collect());
            }
            (RegisterType::Date(layout), Raw::Integer(unix)) => {
                return layout.encode(*unix).ok_or(CodecError::OutOfRange);
            }
            (RegisterType::F16, Raw::Float(float)) => {
                let half = half_from_f64(*float).ok_or(CodecError::OutOfRange)?;
                half.to_be_bytes().to_vec()
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
            (_, Raw::Bool(_) | Raw::Float(_) | Raw::Nonsense(_) | Raw::Text(_)) => {
                return Err(CodecError::WrongType);
            }
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
            Self::Nonsense(_) | Self::Text(_) => None,
            Self::Unsigned(unsigned) => i64::try_from(*unsigned).ok().map(Decimal::from),
        }
    }

    fn plain(self) -> Value {
        match self {
            Self::Bool(on) => Value::Boolean(on),
            Self::Float(float) => Value::Float(float),
            Self::Integer(integer) => Value::Integer(integer),
            Self::Text(text) => Value::String(text),
            Self::Nonsense(bits) | Self::Unsigned(bits) => Value::Unsigned(bits),
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
        RegisterType::Bcd(registers) => {
            let digits = u64::try_from(number)
                .ok()
                .and_then(|number| to_bcd(number, 4 * u32::from(registers)))
                .ok_or(CodecError::OutOfRange)?;
            let bytes = digits.to_be_bytes();
            let length = 2 * usize::from(registers).min(4);
            Ok(bytes[bytes.len() - length..].to_vec())
        }
        RegisterType::I16 => i16::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::U16 => u16::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::I32 => i32::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::U32 => u32::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::I64 => i64::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::U64 => u64::try_from(number).map(|number| number.to_be_bytes().to_vec()),
        RegisterType::Bool
        | RegisterType::Bit(_)
        | RegisterType::Bits(..)
        | RegisterType::Date(_)
        | RegisterType::F16
        | RegisterType::F32
        | RegisterType::F64
        | RegisterType::HalfText(..)
        | RegisterType::I8(_)
        | RegisterType::Text(_)
        | RegisterType::U8(_) => return Err(CodecError::WrongType),
    };
    fits.map_err(|_| CodecError::OutOfRange)
}

/// The text up to its padding; bytes that are no UTF-8 are replaced.
fn text_of(bytes: impl Iterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.collect();
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, 0 | b' '))
        .map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn text_registers(text: &str, registers: u16) -> Result<Vec<u16>, CodecError> {
    Ok(padded(text, 2 * usize::from(registers))?
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect())
}

fn padded(text: &str, length: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() > length {
        return Err(CodecError::OutOfRange);
    }
    bytes.resize(length, 0);
    Ok(bytes)
}

fn field_mask(first: u8, count: u8) -> u16 {
    let ones = (1u32 << count.min(16)) - 1;
    // Cut to the register.
    (ones << first.min(16)) as u16
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
mod tests;
