//! `/modbus`: looking around on the lines, behind what the agent itself asks there.

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, Query, State},
    http::StatusCode,
};
use serde::Deserialize;

use super::{Api, Person, Refusal, json_body};
use crate::{
    commission::{LineView, PointView, Probed, Raw, RawWrite, Unanswered},
    events::{Class, News},
};

pub(super) async fn lines(State(api): State<Api>) -> Json<Vec<LineView>> {
    Json(api.commission.lines())
}

pub(super) async fn probe(State(api): State<Api>, body: Bytes) -> Result<Json<Probed>, Refusal> {
    Ok(Json(api.commission.probe(&json_body(&body)?).await?))
}

pub(super) async fn read(State(api): State<Api>, body: Bytes) -> Result<Json<Raw>, Refusal> {
    Ok(Json(api.commission.read(&json_body(&body)?).await?))
}

pub(super) async fn write(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    body: Bytes,
) -> Result<Json<Raw>, Refusal> {
    let write: RawWrite = json_body(&body)?;
    let done = api.commission.write(&write).await;
    let (what, text) = match &done {
        Ok(_) => ("register_written", String::new()),
        Err(error) => ("register_not_written", error.to_string()),
    };
    let about = format!(
        "{} unit {} {}:{}",
        write.bus, write.unit, write.table, write.at
    );
    let news = News::new(Class::Event, what).about(about).by(person.name);
    api.events.tell(news.text(text));
    Ok(Json(done?))
}

#[derive(Deserialize)]
pub(super) struct PointQuery {
    name: String,
}

pub(super) async fn point(
    State(api): State<Api>,
    Query(PointQuery { name }): Query<PointQuery>,
) -> Result<Json<PointView>, Refusal> {
    Ok(Json(api.commission.point(&name).await?))
}

impl From<Unanswered> for Refusal {
    fn from(error: Unanswered) -> Self {
        let text = error.to_string();
        match error {
            Unanswered::Busy(_) => Self::coded(StatusCode::SERVICE_UNAVAILABLE, 503, text),
            Unanswered::Line(_) | Unanswered::Silent(_) => {
                Self::coded(StatusCode::GATEWAY_TIMEOUT, 504, text)
            }
            Unanswered::Refused(_) => Self::coded(StatusCode::CONFLICT, 405, text),
            Unanswered::Senseless(_) => Self::bad_request(text),
            Unanswered::Unknown(_) => Self::not_found(text),
        }
    }
}
