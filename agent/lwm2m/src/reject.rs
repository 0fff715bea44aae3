//! Why an operation is refused, as a response code.

use std::{fmt, time::Duration};

use lamplighter_coap::{Code, Response};
use lamplighter_model::device::Fault;

use crate::format::{DecodeError, EncodeError};

/// A refusal: code, words for people (the diagnostic payload), and how long to wait.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reject {
    pub code: Code,
    pub detail: String,
    pub max_age: Option<Duration>,
}

/// When to come back where the device has its hands full.
const BUSY: Duration = Duration::from_secs(2);
/// When to come back where nothing was read yet.
const NO_VALUE: Duration = Duration::from_secs(10);

impl Reject {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            max_age: None,
        }
    }

    /// A refusal that passes: 5.03 with the time to wait.
    pub fn temporary(detail: impl Into<String>, wait: Option<Duration>) -> Self {
        Self {
            code: Code::SERVICE_UNAVAILABLE,
            detail: detail.into(),
            max_age: wait,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Code::BAD_REQUEST, detail)
    }

    pub(crate) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(Code::METHOD_NOT_ALLOWED, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NOT_FOUND, detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(Code::UNAUTHORIZED, detail)
    }

    pub(crate) fn into_response(self) -> Response {
        Response {
            // Whole seconds, never less than asked for.
            max_age: self
                .max_age
                .map(|wait| u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)),
            payload: self.detail.into_bytes(),
            ..Response::new(self.code)
        }
    }
}

/// The one place where what a device or the site says becomes a response code.
impl From<Fault> for Reject {
    fn from(fault: Fault) -> Self {
        let detail = fault.to_string();
        match fault {
            Fault::BadValue(_) => Self::bad_request(detail),
            Fault::Busy => Self::temporary(detail, Some(BUSY)),
            Fault::Device(_) => Self::new(Code::INTERNAL_SERVER_ERROR, detail),
            Fault::NoValue => Self::temporary(detail, Some(NO_VALUE)),
            Fault::Refused { retry_after, .. } => Self::temporary(detail, retry_after),
            Fault::Timeout | Fault::Unreachable => Self::new(Code::GATEWAY_TIMEOUT, detail),
            Fault::TooLarge => Self::new(Code::REQUEST_ENTITY_TOO_LARGE, detail),
            Fault::Unsupported => Self::method_not_allowed(detail),
        }
    }
}

impl From<DecodeError> for Reject {
    fn from(error: DecodeError) -> Self {
        Self::new(
            Code::from_u16(error.code()).unwrap_or(Code::BAD_REQUEST),
            error.to_string(),
        )
    }
}

impl From<EncodeError> for Reject {
    fn from(error: EncodeError) -> Self {
        Self::new(
            Code::from_u16(error.code()).unwrap_or(Code::INTERNAL_SERVER_ERROR),
            error.to_string(),
        )
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.detail)
    }
}
