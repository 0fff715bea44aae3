//! The server inside the demo, as the page sees it.

use lamplighter_model::{Path, Value};
use lamplighter_sim::server::LwServerHandle;

use crate::api::{DemoClient, DemoExchange, DemoFuture, DemoServer};

/// The server and the endpoint that the page writes to through it.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    endpoint: String,
    server: LwServerHandle,
}

impl Watched {
    pub(super) fn new(server: LwServerHandle, endpoint: String) -> Self {
        Self { endpoint, server }
    }
}
