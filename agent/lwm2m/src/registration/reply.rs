//! Answers to registration requests.

use std::time::Duration;

use lamplighter_coap::{Code, Response};

use crate::server::{Cause, Trouble};

/// What the core needs of the answer to a registration request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) location: Vec<String>,
    pub(crate) max_age: Option<Duration>,
}

impl Reply {
    /// The refusal in words.
    pub(super) fn trouble(&self) -> Trouble {
        let meaning = match self.code {
            Code::BAD_REQUEST => "the server does not accept the registration",
            Code::UNAUTHORIZED => "the server does not authorise this endpoint",
            Code::FORBIDDEN => "the server refuses this endpoint name",
            Code::PRECONDITION_FAILED => "the server does not support this LwM2M version",
            Code::REQUEST_ENTITY_TOO_LARGE => "the list of objects is too long for the server",
            Code::SERVICE_UNAVAILABLE => "the server is overloaded",
            _ => "the server refuses the registration",
        };
        let words = if self.detail.is_empty() {
            format!("{} {meaning}", self.code)
        } else {
            format!("{} {meaning} ({})", self.code, self.detail)
        };
        Cause::Refused(self.code).told(words)
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let detail = if response.code.is_success() {
            String::new()
        } else {
            printable(&response.payload)
        };
        Self {
            code: response.code,
            detail,
            location: response.location_path,
            max_age: response
                .max_age
                .map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

/// The diagnostic payload of a refusal, as far as it is text, shortened.
fn printable(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload)
        .chars()
        .filter(|c| !c.is_control())
        .take(120)
        .collect()
}
