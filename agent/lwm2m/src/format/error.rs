//! Why a payload cannot be read or written, and the response code of each reason.

use std::fmt;

use lamplighter_model::ValueError;

/// Why a payload was refused, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecodeError {
    pub kind: DecodeErrorKind,
    /// Bytes into the payload; in the SenML formats of the record at fault.
    pub offset: usize,
}

/// What is wrong with a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeErrorKind {
    BadBase64,
    BadUtf8,
    /// A resource, resource instance or instance stands twice (with the same time).
    Duplicate,
    /// An element lies where the format does not allow it.
    Misplaced,
    /// No value, or none for the target.
    MissingValue,
    /// A single value for a multiple resource, or several for a single one.
    Multiplicity,
    /// The format cannot carry this target.
    NotApplicable,
    /// NaN or infinity.
    NotANumber,
    /// An id or name is not one of the standard's.
    NotAPath,
    /// The number does not fit the type of its resource.
    OutOfRange,
    /// An element lies outside the target of the request.
    OutsideTarget,
    Syntax,
    TooLarge,
    TrailingBytes,
    Truncated,
    /// A feature that must be understood and is not (SenML base value, unknown `name_`).
    Unsupported,
    WrongType,
}

/// Why values cannot be written in a format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EncodeError {
    /// The format cannot carry this target.
    NotAcceptable,
    /// NaN or infinity.
    NotANumber,
    /// A length beyond what the format can express.
    TooLarge,
    /// A value is not of the type of its definition.
    WrongType,
}

impl DecodeError {
    /// The response code, class × 100 + detail.
    pub const fn code(self) -> u16 {
        match self.kind {
            DecodeErrorKind::NotApplicable => 415,
            DecodeErrorKind::TooLarge => 413,
            DecodeErrorKind::BadBase64
            | DecodeErrorKind::BadUtf8
            | DecodeErrorKind::Duplicate
            | DecodeErrorKind::Misplaced
            | DecodeErrorKind::MissingValue
            | DecodeErrorKind::Multiplicity
            | DecodeErrorKind::NotANumber
            | DecodeErrorKind::NotAPath
            | DecodeErrorKind::OutOfRange
            | DecodeErrorKind::OutsideTarget
            | DecodeErrorKind::Syntax
            | DecodeErrorKind::TrailingBytes
            | DecodeErrorKind::Truncated
            | DecodeErrorKind::Unsupported
            | DecodeErrorKind::WrongType => 400,
        }
    }
}

impl DecodeErrorKind {
    pub(super) const fn at(self, offset: usize) -> DecodeError {
        DecodeError { kind: self, offset }
    }
}

impl EncodeError {
    /// The response code, class × 100 + detail.
    pub const fn code(self) -> u16 {
        match self {
            Self::NotAcceptable => 406,
            Self::NotANumber | Self::TooLarge | Self::WrongType => 500,
        }
    }
}

impl From<ValueError> for DecodeErrorKind {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::OutOfRange => Self::OutOfRange,
            ValueError::Syntax => Self::Syntax,
            ValueError::WrongType => Self::WrongType,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::BadBase64 => "not base64",
            DecodeErrorKind::BadUtf8 => "not UTF-8",
            DecodeErrorKind::Duplicate => "the same path twice",
            DecodeErrorKind::Misplaced => "an element where none may be",
            DecodeErrorKind::MissingValue => "no value",
            DecodeErrorKind::Multiplicity => "one value for several or several for one",
            DecodeErrorKind::NotApplicable => "the format cannot carry this target",
            DecodeErrorKind::NotANumber => "NaN or infinity",
            DecodeErrorKind::NotAPath => "not a path or id",
            DecodeErrorKind::OutOfRange => "the number does not fit the type",
            DecodeErrorKind::OutsideTarget => "outside the target of the request",
            DecodeErrorKind::Syntax => "syntax error",
            DecodeErrorKind::TooLarge => "too many values",
            DecodeErrorKind::TrailingBytes => "bytes after the end",
            DecodeErrorKind::Truncated => "the payload ends too early",
            DecodeErrorKind::Unsupported => "a feature that is not supported",
            DecodeErrorKind::WrongType => "a value of another type",
        };
        write!(f, "{what} at byte {}", self.offset)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAcceptable => "the format cannot carry this target",
            Self::NotANumber => "NaN or infinity",
            Self::TooLarge => "too long for the format",
            Self::WrongType => "a value of another type than its definition",
        })
    }
}

impl std::error::Error for DecodeError {}

impl std::error::Error for EncodeError {}
