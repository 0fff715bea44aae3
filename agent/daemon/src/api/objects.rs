//! `/objects/…`: read, discover, write, execute, with the same checks as a server's operation.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, Path as UrlPath, RawQuery, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use lamplighter_lwm2m::{
    boundary::{LocalAnswer, LocalOperation, LocalRequest},
    reject::Reject,
};
use lamplighter_model::{Path, Quality};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::{Api, Person, Refusal, value::value_of};
use crate::status::ReadView;

/// Longer than any schedule; keeps arithmetic on times far from its ends.
const MAX_HOLD_S: f64 = 10.0 * 365.0 * 86_400.0;

pub(super) async fn get_root(
    api: State<Api>,
    person: Extension<Person>,
    query: RawQuery,
) -> Result<Response, Refusal> {
    get(api, person, UrlPath(String::new()), query).await
}

pub(super) async fn get(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    UrlPath(target): UrlPath<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let path = path_of(&api, &target)?;
    match query.as_deref() {
        None | Some("") => Ok(Json(read(&api, person, path).await?).into_response()),
        Some("discover") => discover(&api, person, path).await,
        Some(_) => Err(Refusal::bad_request("only ?discover is known")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteBody {
    value: JsonValue,
    /// How long the command holds against the rules of the site, in seconds.
    for_s: Option<f64>,
}

pub(super) async fn put(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    UrlPath(target): UrlPath<String>,
    body: Bytes,
) -> Result<Json<JsonValue>, Refusal> {
    let path = path_of(&api, &target)?;
    let body: WriteBody = super::json_body(&body)?;
    let Some(resource) = path.resource() else {
        return Err(Refusal::not_allowed("only a resource can be written"));
    };
    let definitions = api.status.definitions();
    let value = value_of(
        &body.value,
        definitions.resource(resource.object(), resource.resource),
    )?;
    let hold = body.for_s.map(hold_of).transpose()?;
    local(&api, person, LocalOperation::Write { path, value, hold }).await??;
    Ok(Json(json!({ "path": path.to_string(), "result": "done" })))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecuteBody {
    #[serde(default)]
    args: String,
}

pub(super) async fn post(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    UrlPath(target): UrlPath<String>,
    body: Bytes,
) -> Result<Json<JsonValue>, Refusal> {
    let path = path_of(&api, &target)?;
    let body: ExecuteBody = if body.is_empty() {
        ExecuteBody::default()
    } else {
        super::json_body(&body)?
    };
    let operation = LocalOperation::Execute {
        path,
        args: body.args.into_bytes(),
    };
    local(&api, person, operation).await??;
    Ok(Json(json!({ "path": path.to_string(), "result": "done" })))
}

/// A path or a name of the configuration, as it stands in the address.
pub(super) fn path_of(api: &Api, target: &str) -> Result<Path, Refusal> {
    let target = target.trim_matches('/');
    if let Ok(path) = format!("/{target}").parse() {
        return Ok(path);
    }
    if let Some(named) = api.status.named(target) {
        return Ok(named.path());
    }
    let what = if target.starts_with(|first: char| first.is_ascii_digit()) {
        "path"
    } else {
        "point or group"
    };
    Err(Refusal::not_found(format!(
        "no {what} {}",
        super::shortened(target)
    )))
}

/// One object for a single value, a list for everything else.
async fn read(api: &Api, person: Person, path: Path) -> Result<JsonValue, Refusal> {
    let answer = local(api, person, LocalOperation::Read(path)).await?;
    let now = (api.clock)();
    let views = match answer {
        Ok(LocalAnswer::Samples(samples)) => samples
            .iter()
            .map(|sample| api.status.describe(sample, now))
            .collect(),
        Ok(LocalAnswer::Done | LocalAnswer::Links(_)) => Vec::new(),
        Err(reject) => last_known(api, path, reject)?,
    };
    let text = path.to_string();
    match views.as_slice() {
        [view] if path.resource().is_some() && view.path == text => Ok(json!(view)),
        [] if path.resource().is_some() => Err(Refusal::not_found(format!("{path} has no value"))),
        views => Ok(json!(views)),
    }
}

/// People see the last value of a device that cannot be asked now, marked as such.
fn last_known(api: &Api, path: Path, reject: Reject) -> Result<Vec<ReadView>, Refusal> {
    let (503 | 504) = reject.code.to_u16() else {
        return Err(reject.into());
    };
    let known = api.status.last_known(path, (api.clock)());
    if known.is_empty() {
        return Err(reject.into());
    }
    let stale = |view: ReadView| ReadView {
        quality: Some(Quality::Stale),
        error: Some(reject.detail.clone()),
        ..view
    };
    Ok(known.into_iter().map(stale).collect())
}

async fn discover(api: &Api, person: Person, path: Path) -> Result<Response, Refusal> {
    let links = match local(api, person, LocalOperation::Discover(path)).await?? {
        LocalAnswer::Links(links) => links,
        LocalAnswer::Done | LocalAnswer::Samples(_) => String::new(),
    };
    Ok(([(CONTENT_TYPE, "application/link-format")], links).into_response())
}

async fn local(
    api: &Api,
    person: Person,
    operation: LocalOperation,
) -> Result<Result<LocalAnswer, Reject>, Refusal> {
    Ok(api
        .asker
        .local(LocalRequest {
            user: person.name,
            operation,
        })
        .await?)
}

fn hold_of(seconds: f64) -> Result<Duration, Refusal> {
    if seconds > 0.0 && seconds <= MAX_HOLD_S {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Refusal::bad_request(
        "for_s is more than 0 seconds and at most ten years",
    ))
}
