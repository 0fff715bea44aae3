//! The server inside the demo: what the page shows of it, and what it observes so that there is
//! something to see.

use std::sync::Arc;

use lamplighter_model::{Path, Value};
use lamplighter_sim::server::{
    Exchange,
    net::{LwServerHandle, Observation},
};
use tokio::task::{JoinHandle, JoinSet};

use crate::api::{DemoClient, DemoExchange, DemoFuture, DemoServer};

/// Observed as soon as the cabinet has registered: lamps, air handler, meter.
const OBSERVED: [&str; 5] = [
    "/3416",
    "/3303/0/5700",
    "/3308/0/5900",
    "/3306/0/5850",
    "/3305/0/5800",
];

/// The server as the page sees it.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    server: LwServerHandle,
    /// Ends with the last clone.
    _observer: Arc<Ending>,
}

#[derive(Debug)]
struct Ending(JoinHandle<()>);

impl Watched {
    pub(super) fn new(server: LwServerHandle) -> Self {
        let observer = tokio::spawn(observe_everyone(server.clone()));
        Self {
            server,
            _observer: Arc::new(Ending(observer)),
        }
    }
}

impl DemoServer for Watched {
    fn clients(&self) -> DemoFuture<'_, Vec<DemoClient>> {
        Box::pin(async {
            let clients = self.server.clients().await.into_iter();
            let shown = clients.map(|client| DemoClient {
                endpoint: client.endpoint.to_string(),
                address: client.address.to_string(),
                version: client.version,
            });
            shown.collect()
        })
    }

    fn write(&self, path: Path, value: Value) -> DemoFuture<'_, Result<DemoExchange, String>> {
        Box::pin(async move {
            let written = self.server.write_to_first(path, value).await;
            written.map(shown).map_err(|error| error.to_string())
        })
    }

    fn log(&self, after: u64) -> DemoFuture<'_, Vec<DemoExchange>> {
        Box::pin(async move {
            self.server
                .log(after)
                .await
                .into_iter()
                .map(shown)
                .collect()
        })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Observes whoever registers, anew after each registration: those before are gone with it.
async fn observe_everyone(server: LwServerHandle) {
    let mut changes = server.registrations();
    let mut seen = None;
    loop {
        let Ok(client) = server.registered(None).await else {
            return;
        };
        if seen.as_ref() == Some(&client.location) {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        seen = Some(client.location);
        let mut observations = JoinSet::new();
        for path in OBSERVED.iter().filter_map(|path| path.parse().ok()) {
            match server.observe(&client.endpoint, path, None).await {
                Ok(observation) => {
                    observations.spawn(drain(observation));
                }
                Err(error) => tracing::debug!(%path, %error, "Not observed"),
            }
        }
        tokio::spawn(async move { while observations.join_next().await.is_some() {} });
    }
}

/// The log of the server keeps what comes; here it only must not pile up.
async fn drain(mut observation: Observation) {
    while observation.notifications.recv().await.is_some() {}
}

fn shown(exchange: Exchange) -> DemoExchange {
    DemoExchange {
        number: exchange.number,
        from: exchange.from.to_string(),
        method: exchange.method.to_owned(),
        code: exchange.code_text(),
        ms: exchange.ms(),
        path: exchange.path,
        detail: exchange.detail,
    }
}
