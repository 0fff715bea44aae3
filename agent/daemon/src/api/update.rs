//! `/update`: new versions of this program, brought by people.

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::StatusCode,
};
use http_body_util::BodyExt as _;
use lamplighter_model::device::Fault;
use serde_json::{Value as JsonValue, json};

use super::{Api, Person, Refusal};
use crate::{
    events::{Class, News},
    update::{Desk, UpdateView},
};

pub(super) async fn status(State(api): State<Api>) -> Result<Json<UpdateView>, Refusal> {
    Ok(Json(desk(&api)?.view()))
}

/// Answered when the package was checked and handed over; what becomes of it stands in the status.
pub(super) async fn package(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    mut body: Body,
) -> Result<Json<JsonValue>, Refusal> {
    let desk = desk(&api)?;
    desk.begin().await.map_err(refused)?;
    let mut offset = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("the package ends too early"))?;
        if let Ok(data) = frame.into_data() {
            let length = data.len() as u64;
            desk.add(offset, data.to_vec()).await.map_err(refused)?;
            offset += length;
        }
    }
    desk.end().await.map_err(refused)?;
    tell(&api, &person, "a package was handed over");
    Ok(Json(json!({ "result": "begun" })))
}

pub(super) async fn rollback(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
) -> Result<Json<JsonValue>, Refusal> {
    desk(&api)?.roll_back().await.map_err(refused)?;
    tell(&api, &person, "the version before is wanted back");
    Ok(Json(json!({ "result": "begun" })))
}

fn desk(api: &Api) -> Result<&Desk, Refusal> {
    let none =
        || Refusal::not_found("no key is configured that packages are signed with: [update] key");
    api.update.as_ref().ok_or_else(none)
}

fn tell(api: &Api, person: &Person, text: &str) {
    let news = News::new(Class::System, "update").by(&person.name);
    api.events.tell(news.text(text.to_owned()));
}

fn refused(fault: Fault) -> Refusal {
    match fault {
        Fault::BadValue(why) => Refusal::bad_request(why),
        Fault::TooLarge => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the package is too large"),
        Fault::Unsupported => {
            Refusal::not_allowed("an update is under way: lamplighter update status")
        }
        Fault::Busy
        | Fault::Device(_)
        | Fault::NoValue
        | Fault::Refused { .. }
        | Fault::Timeout
        | Fault::Unreachable => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()),
    }
}
