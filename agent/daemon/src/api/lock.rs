//! `/lock` and `/unlock`: the maintenance lock.

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, State},
};
use lamplighter_model::device::Origin;
use lamplighter_site::boundary::{ALL_OUTPUTS, LockRequest};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::{Api, Person, Refusal, shortened};
use crate::status::Named;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LockBody {
    /// A group, an output, or `all`.
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UnlockBody {
    /// What was locked by this name; everything where none is given.
    name: Option<String>,
}

/// Answered when the lock is on the disk; the outputs follow at once.
pub(super) async fn lock(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    body: Bytes,
) -> Result<Json<JsonValue>, Refusal> {
    let LockBody { name } = super::json_body(&body)?;
    known(&api, &name)?;
    let by = Origin::Local(person.name);
    ask(&api, LockRequest::Lock { what: name, by }).await
}

pub(super) async fn unlock(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    body: Bytes,
) -> Result<Json<JsonValue>, Refusal> {
    let UnlockBody { name } = if body.is_empty() {
        UnlockBody::default()
    } else {
        super::json_body(&body)?
    };
    // What was locked may be configured no more: the site knows.
    let by = Origin::Local(person.name);
    ask(&api, LockRequest::Unlock { what: name, by }).await
}

fn known(api: &Api, name: &str) -> Result<(), Refusal> {
    if name == ALL_OUTPUTS {
        return Ok(());
    }
    match api.status.named(name) {
        Some(Named::Group(_) | Named::Point(_)) => Ok(()),
        None => Err(Refusal::not_found(format!(
            "no group or output {}",
            shortened(name)
        ))),
    }
}

async fn ask(api: &Api, request: LockRequest) -> Result<Json<JsonValue>, Refusal> {
    let done = api.asker.lock(request).await?;
    done.map_err(|fault| Refusal::bad_request(fault.to_string()))?;
    Ok(Json(json!({ "result": "done" })))
}
