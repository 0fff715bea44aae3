//! The last exchanges, as a protocol log shows them.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use lamplighter_coap::Code;

/// Who sent the request, or the notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    Client,
    Server,
}

/// One request with what became of it, or one notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Rises by one with each, beginning with 1.
    pub number: u64,
    /// When it was over, since the origin of the server's time.
    pub at: Duration,
    pub from: Side,
    /// Empty where a request is of nobody known.
    pub endpoint: Arc<str>,
    /// `GET`, `PUT`, `POST`, `DELETE`, `NOTIFY`.
    pub method: &'static str,
    /// `Register`, `Read` …
    pub operation: &'static str,
    pub path: String,
    /// `None` where nothing was answered.
    pub code: Option<Code>,
    /// From request to response.
    pub took: Duration,
    /// Values, parameters, or a diagnostic text.
    pub detail: String,
}

impl Exchange {
    /// `2.04`, or nothing.
    pub fn code_text(&self) -> String {
        self.code.map(|code| code.to_string()).unwrap_or_default()
    }

    /// From request to response in milliseconds.
    pub fn ms(&self) -> f64 {
        self.took.as_secs_f64() * 1000.0
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A ring.
#[derive(Debug)]
pub(super) struct Log {
    exchanges: VecDeque<Exchange>,
    limit: usize,
    last: u64,
}

impl Log {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            exchanges: VecDeque::new(),
            limit,
            last: 0,
        }
    }

    /// Numbers the exchange; the oldest goes where there are too many.
    pub(super) fn add(&mut self, exchange: Exchange) -> u64 {
        self.last += 1;
        if self.exchanges.len() >= self.limit {
            self.exchanges.pop_front();
        }
        if self.limit > 0 {
            self.exchanges.push_back(Exchange {
                number: self.last,
                ..exchange
            });
        }
        self.last
    }

    pub(super) fn after(&self, number: u64) -> Vec<Exchange> {
        let known = self
            .exchanges
            .partition_point(|exchange| exchange.number <= number);
        self.exchanges.range(known..).cloned().collect()
    }
}
