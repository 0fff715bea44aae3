//! The local API, `/api/v1`: the same calls on the control socket and, behind the login, on the
//! page's port. It reads [`Status`] and asks the event loop; it never sees the core.

mod bearers;
pub mod control;
mod demo;
mod events;
mod history;
mod lock;
mod meter;
mod modbus;
mod objects;
mod patient;
mod refusal;
mod send;
#[cfg(test)]
mod tests;
mod update;
mod value;
mod watch;
mod why;

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Extension, Path as UrlPath, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use lamplighter_model::{Now, ResourceAddress, Scope};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    ask::{Asker, ServerAction},
    commission::{Commission, GpioLine},
    events::EventLog,
    status::{DeviceView, ReadView, ServerView, Status, StatusView, TrendView},
    store::History,
    update::Desk,
};

pub use demo::{DemoClient, DemoExchange, DemoFuture, DemoServer};
pub(crate) use patient::Patient;
pub use refusal::Refusal;
pub use why::{WhyRefusedView, WhySlotView, WhyView};

/// Larger than any value that a resource here takes by hand.
const MAX_BODY: usize = 64 * 1024;

/// The daemon's clock, for ages and dates in answers.
pub type NowSource = Arc<dyn Fn() -> Now + Send + Sync>;

/// What every call needs.
#[derive(Clone)]
pub struct Api {
    pub asker: Asker,
    pub clock: NowSource,
    pub(crate) commission: Arc<Commission>,
    pub demo: Option<Arc<dyn DemoServer>>,
    pub events: EventLog,
    /// `None`: none is kept.
    pub(crate) history: Option<History>,
    pub status: Status,
    /// `None` where no key is configured.
    pub(crate) update: Option<Desk>,
}

/// Who calls. Put into the request by whoever let it in; without one a call fails.
#[derive(Clone)]
pub struct Person {
    /// For the event log, with where from: `anna (local)`, `page (192.0.2.7)`.
    pub name: String,
    /// Asked again while an answer without end goes out.
    pub still_allowed: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// The calls, below `/api/v1`. The caller adds who may enter.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/status", get(status))
        .route("/devices", get(devices))
        .route("/points", get(points))
        .route("/servers", get(servers))
        .route("/servers/{name}/{action}", post(server_action))
        .route("/objects", get(objects::get_root))
        .route("/objects/", get(objects::get_root))
        .route(
            "/objects/{*target}",
            get(objects::get).put(objects::put).post(objects::post),
        )
        .route("/bearers", get(bearers::list))
        .route("/bearers/auto", post(bearers::auto))
        .route("/bearers/{name}/use", post(bearers::choose))
        .route("/offline", post(bearers::offline))
        .route("/online", post(bearers::online))
        .route("/bootstrap", post(bootstrap))
        .route("/reload", post(reload))
        .route("/send", post(send::post))
        .route("/lock", post(lock::lock))
        .route("/unlock", post(lock::unlock))
        .route("/events", get(events::get))
        .route("/events/follow", get(events::follow))
        .route("/history", get(history::get))
        .route("/update", get(update::status))
        .route("/update/package", post(update::package))
        .route("/update/rollback", post(update::rollback))
        .route("/why", get(why))
        .route("/watch", get(watch::get))
        .route("/trend", get(trend))
        .route("/metrics", get(metrics))
        .route("/gpio", get(gpio))
        .route("/meters", get(meter::list))
        .route("/meters/{name}", get(meter::view))
        .route("/meters/{name}/read", post(meter::read))
        .route("/modbus", get(modbus::lines))
        .route("/modbus/point", post(modbus::point))
        .route("/modbus/probe", post(modbus::probe))
        .route("/modbus/read", post(modbus::read))
        .route("/modbus/write", post(modbus::write))
        .merge(demo::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn status(State(api): State<Api>) -> Json<StatusView> {
    Json(api.status.view((api.clock)()))
}

async fn devices(State(api): State<Api>) -> Json<Vec<DeviceView>> {
    Json(api.status.devices((api.clock)()))
}

async fn gpio(State(api): State<Api>) -> Json<Vec<GpioLine>> {
    Json(api.commission.gpio().to_vec())
}

async fn points(State(api): State<Api>) -> Json<Vec<ReadView>> {
    Json(api.status.points((api.clock)()))
}

async fn servers(State(api): State<Api>) -> Json<Vec<ServerView>> {
    Json(api.status.servers((api.clock)()))
}

/// Prometheus text; also served as `/metrics` beside `/api/v1`.
pub async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        api.status.metrics((api.clock)()),
    )
}

async fn server_action(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    UrlPath((name, action)): UrlPath<(String, String)>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let action = match action.as_str() {
        "deregister" => ServerAction::Deregister,
        "refresh" => ServerAction::Refresh,
        "register" => ServerAction::Register,
        _ => {
            return Err(Refusal::not_found(
                "a server takes register, deregister and refresh",
            ));
        }
    };
    if !api
        .status
        .servers((api.clock)())
        .iter()
        .any(|server| server.name == name)
    {
        return Err(Refusal::not_found(format!(
            "no server {}",
            shortened(&name)
        )));
    }
    api.asker
        .server(name.clone(), action, person.name)
        .await??;
    Ok(Json(json!({ "server": name, "result": "done" })))
}

async fn bootstrap(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
) -> Result<Json<serde_json::Value>, Refusal> {
    api.asker.bootstrap(person.name).await??;
    Ok(Json(json!({ "result": "done" })))
}

async fn reload(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let reloaded = api.asker.reload(person.name).await?;
    reloaded.map_err(|why| Refusal::new(StatusCode::CONFLICT, why))?;
    Ok(Json(json!({ "result": "done" })))
}

#[derive(Deserialize)]
struct WhyQuery {
    name: String,
}

async fn why(
    State(api): State<Api>,
    Query(WhyQuery { name }): Query<WhyQuery>,
) -> Result<Json<WhyView>, Refusal> {
    let now = (api.clock)();
    let Some(why) = api.asker.why(name.clone()).await? else {
        return Err(why::no_output(&api.status, &name, now));
    };
    Ok(Json(WhyView::of(&why, &api.status.servers(now), now)))
}

#[derive(Deserialize)]
struct TrendQuery {
    /// Path or name.
    path: String,
}

async fn trend(
    State(api): State<Api>,
    Query(TrendQuery { path }): Query<TrendQuery>,
) -> Result<Json<TrendView>, Refusal> {
    let resource = objects::path_of(&api, &path)?.resource();
    let address = resource.map(|path| ResourceAddress {
        scope: Scope::Gateway,
        path,
    });
    let trend = address.and_then(|address| api.status.trend(address, (api.clock)()));
    trend
        .map(Json)
        .ok_or_else(|| Refusal::not_found(format!("no trend of {} is kept", shortened(&path))))
}

async fn unknown() -> Refusal {
    Refusal::not_found("no such call")
}

async fn wrong_method() -> Refusal {
    Refusal::not_allowed("not with this method")
}

/// A body as JSON, whatever type it claims to have.
pub(crate) fn json_body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("the body is not understood: {error}")))
}

/// A name that a caller gave, short enough to be said back.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

impl Person {
    pub(crate) fn is_still_allowed(&self) -> bool {
        self.still_allowed.as_ref().is_none_or(|allowed| allowed())
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("demo", &self.demo)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
