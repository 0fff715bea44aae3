//! `/bearers`, `/bearers/NAME/use`, `/bearers/auto`, `/offline`, `/online`: the ways to the servers.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, Path as UrlPath, State},
};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::{Api, Person, Refusal, shortened};
use crate::{
    ask::{BearerAsk, LONGEST_OFFLINE},
    status::BearerView,
};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfflineBody {
    /// For how long, in seconds; until `/online` where it is not given.
    for_s: Option<f64>,
}

pub(super) async fn list(State(api): State<Api>) -> Json<Vec<BearerView>> {
    Json(api.status.bearer_views((api.clock)()))
}

/// Answered when it is begun; it is on commit-confirm.
pub(super) async fn choose(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<JsonValue>, Refusal> {
    let board = api.status.board();
    let Some(facts) = board.named(&name) else {
        return Err(Refusal::not_found(format!(
            "no bearer {}",
            shortened(&name)
        )));
    };
    configured(&api)?;
    if let Some(reason) = facts.reason.filter(|reason| !reason.may_be_tried()) {
        let reason = reason.as_str();
        let text = format!(
            "bearer {name} is disconnected ({reason}): one is used by hand only where it may reach a \
             server, and on trial: taken back unless a server is reached over it in time"
        );
        return Err(Refusal::conflict(text));
    }
    ask(&api, person, BearerAsk::Use(name)).await
}

pub(super) async fn auto(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
) -> Result<Json<JsonValue>, Refusal> {
    configured(&api)?;
    ask(&api, person, BearerAsk::Auto).await
}

pub(super) async fn offline(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    body: Bytes,
) -> Result<Json<JsonValue>, Refusal> {
    let OfflineBody { for_s } = if body.is_empty() {
        OfflineBody::default()
    } else {
        super::json_body(&body)?
    };
    let time = for_s.map(time_of).transpose()?;
    configured(&api)?;
    ask(&api, person, BearerAsk::Offline(time)).await
}

pub(super) async fn online(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
) -> Result<Json<JsonValue>, Refusal> {
    configured(&api)?;
    ask(&api, person, BearerAsk::Online).await
}

/// Without `[bearer.NAME]` the system chooses, and the agent only looks on.
fn configured(api: &Api) -> Result<(), Refusal> {
    if api.status.board().is_configured() {
        return Ok(());
    }
    let text = "no bearer is configured ([bearer.NAME]): the routes of the system decide";
    Err(Refusal::conflict(text))
}

fn time_of(seconds: f64) -> Result<Duration, Refusal> {
    let longest = LONGEST_OFFLINE.as_secs();
    if seconds >= 1.0 && seconds <= longest as f64 {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let text = format!("for_s is 1 to {longest} seconds (7 days)");
    Err(Refusal::bad_request(text))
}

async fn ask(api: &Api, person: Person, what: BearerAsk) -> Result<Json<JsonValue>, Refusal> {
    let (bearer, note) = match &what {
        BearerAsk::Use(name) => (
            Some(name.clone()),
            Some("on trial: taken back unless a server is reached over it in time"),
        ),
        BearerAsk::Auto | BearerAsk::Offline(_) | BearerAsk::Online => (None, None),
    };
    api.asker.bearers(what, person.name).await??;
    Ok(Json(
        json!({ "bearer": bearer, "result": "done", "note": note }),
    ))
}
