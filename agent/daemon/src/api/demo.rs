//! `/demo/…`: what only `lamplighter demo` has, a server of its own to send the same commands by.

use std::{fmt, pin::Pin};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use lamplighter_model::{Path, Value};
use serde::{Deserialize, Serialize};

use super::{Api, Refusal, objects::path_of, value::value_of};

pub type DemoFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server inside the demo, as the page sees it.
pub trait DemoServer: fmt::Debug + Send + Sync {
    /// Who is registered.
    fn clients(&self) -> DemoFuture<'_, Vec<DemoClient>>;

    /// Writes over LwM2M and waits for the answer; `Err` where none came.
    fn write(&self, path: Path, value: Value) -> DemoFuture<'_, Result<DemoExchange, String>>;

    /// The last exchanges with a number above `after`, oldest first, bounded.
    fn log(&self, after: u64) -> DemoFuture<'_, Vec<DemoExchange>>;
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DemoClient {
    pub endpoint: String,
    /// Where its datagrams come from.
    pub address: String,
    /// LwM2M version it registered with.
    pub version: String,
}

/// One request with its response, as one line of a protocol log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DemoExchange {
    /// Rises by one with each.
    pub number: u64,
    /// `server` or `client`: who sent the request.
    pub from: String,
    /// `GET`, `PUT`, `POST`, `NOTIFY` …
    pub method: String,
    pub path: String,
    /// `2.04`, or empty where nothing was answered.
    pub code: String,
    /// From request to response.
    pub ms: f64,
    /// Value or diagnostic text.
    pub detail: String,
}

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/demo/clients", get(clients))
        .route("/demo/log", get(log))
        .route("/demo/write", post(write))
}

async fn clients(State(api): State<Api>) -> Result<Json<Vec<DemoClient>>, Refusal> {
    Ok(Json(server(&api)?.clients().await))
}

#[derive(Deserialize)]
struct LogQuery {
    #[serde(default)]
    after: u64,
}

async fn log(
    State(api): State<Api>,
    Query(LogQuery { after }): Query<LogQuery>,
) -> Result<Json<Vec<DemoExchange>>, Refusal> {
    Ok(Json(server(&api)?.log(after).await))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteBody {
    /// Path or name.
    path: String,
    value: serde_json::Value,
}

async fn write(State(api): State<Api>, body: Bytes) -> Result<Json<DemoExchange>, Refusal> {
    let server = server(&api)?;
    let body: WriteBody = super::json_body(&body)?;
    let path = path_of(&api, &body.path)?;
    let Some(resource) = path.resource() else {
        return Err(Refusal::not_allowed("only a resource can be written"));
    };
    let definitions = api.status.definitions();
    let value = value_of(
        &body.value,
        definitions.resource(resource.object(), resource.resource),
    )?;
    let exchange = server.write(path, value).await;
    exchange
        .map(Json)
        .map_err(|error| Refusal::new(StatusCode::GATEWAY_TIMEOUT, error))
}

fn server(api: &Api) -> Result<&dyn DemoServer, Refusal> {
    api.demo
        .as_deref()
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "only `lamplighter demo` has this"))
}
