//! `/meters`: what meters have, in their own words.

use axum::{
    Json,
    extract::{Path as UrlPath, Query, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Refusal};
use crate::commission::MeterView;

pub(super) async fn list(State(api): State<Api>) -> Json<Vec<String>> {
    Json(api.commission.meters().names())
}

#[derive(Deserialize)]
pub(super) struct After {
    /// Only a readout that has ended behind this many.
    after: Option<u64>,
}

pub(super) async fn view(
    State(api): State<Api>,
    UrlPath(name): UrlPath<String>,
    Query(After { after }): Query<After>,
) -> Result<Json<MeterView>, Refusal> {
    let view = api.commission.meters().view(&name, after);
    view.map(Json).ok_or_else(|| unknown(&name))
}

/// Asks for a readout; `view` tells how far it is.
pub(super) async fn read(
    State(api): State<Api>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<Value>, Refusal> {
    let ended = api.commission.meters().ask(&name);
    let ended = ended.ok_or_else(|| unknown(&name))?;
    Ok(Json(json!({ "ended": ended })))
}

fn unknown(name: &str) -> Refusal {
    Refusal::not_found(format!("there is no meter {name}"))
}
