//! Why the API did not do what was asked: an HTTP status, words, and the LwM2M code.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use lamplighter_lwm2m::reject::Reject;
use serde_json::json;

use crate::{ask::Unanswered, status::TooManyWatchers};

/// Printed as `{"error":"…","code":"4.05"}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    status: StatusCode,
    /// LwM2M code, class × 100 + detail; `None` where LwM2M has no part in it.
    code: Option<u16>,
    text: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            text: text.into(),
            retry_after: None,
        }
    }

    /// With the LwM2M code of the same meaning.
    pub(super) fn coded(status: StatusCode, code: u16, text: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::new(status, text)
        }
    }

    /// The request itself makes no sense.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self {
            code: Some(400),
            ..Self::new(StatusCode::BAD_REQUEST, text)
        }
    }

    pub fn not_found(text: impl Into<String>) -> Self {
        Self {
            code: Some(404),
            ..Self::new(StatusCode::NOT_FOUND, text)
        }
    }

    pub fn not_allowed(text: impl Into<String>) -> Self {
        Self {
            code: Some(405),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, text)
        }
    }

    /// Not as things stand now.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self {
            code: Some(409),
            ..Self::new(StatusCode::CONFLICT, text)
        }
    }

    pub fn after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self {
            status: status_of(reject.code.to_u16()),
            code: Some(reject.code.to_u16()),
            text: reject.detail,
            retry_after: reject.max_age,
        }
    }
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        let status = match unanswered {
            Unanswered::Busy | Unanswered::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Unanswered::Late => StatusCode::GATEWAY_TIMEOUT,
        };
        Self::new(status, unanswered.to_string())
    }
}

impl From<TooManyWatchers> for Refusal {
    fn from(error: TooManyWatchers) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self
            .code
            .map(|code| format!("{}.{:02}", code / 100, code % 100));
        let mut response = (
            self.status,
            Json(json!({ "error": self.text, "code": code })),
        )
            .into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up: who comes back after whole seconds comes late enough.
            let seconds = wait
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The HTTP status of the same number, where HTTP means the same by it.
fn status_of(code: u16) -> StatusCode {
    // 401 would ask for a login that cannot help, and CoAP has codes that HTTP has not.
    match code {
        401 | 402 => StatusCode::FORBIDDEN,
        408 | 409 | 422 | 429 => StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST),
        400 | 403..=406 | 412 | 413 | 415 => {
            StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
        }
        500..=504 => StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        code if code < 500 => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
