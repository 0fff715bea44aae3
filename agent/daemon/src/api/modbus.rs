//! `/modbus`: looking around on the lines, behind what the agent itself asks there.

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, State},
    http::StatusCode,
};
use serde::Deserialize;

use super::{Api, Person, Refusal, json_body};
use crate::{
    commission::{LineView, Outcome, PointView, Probed, Raw, RawWrite, RawWritten, Unanswered},
    events::{Class, EventLog, News},
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
) -> Result<Json<RawWritten>, Refusal> {
    let write: RawWrite = json_body(&body)?;
    let mut account = Account::of(&api, &write, person);
    let done = api.commission.write(&write).await;
    account.said = match &done {
        Ok(written) => {
            let what = match written.outcome {
                Outcome::Broadcast | Outcome::Differs | Outcome::Written => "register_written",
                Outcome::Unconfirmed => "register_write_unconfirmed",
            };
            (what, written.doubt().unwrap_or_default())
        }
        Err(error) => ("register_not_written", error.to_string()),
    };
    Ok(Json(done?))
}

/// What is told of a write whose handler was dropped: it may be on the line by then.
const GONE: (&str, &str) = (
    "register_write_unconfirmed",
    "whoever asked was gone before the answer",
);

/// Tells the event log what has become of a write, also where nobody waits for that.
struct Account {
    events: EventLog,
    about: String,
    by: String,
    said: (&'static str, String),
}

impl Account {
    fn of(api: &Api, write: &RawWrite, person: Person) -> Self {
        let about = format!(
            "{} unit {} {}:{}",
            write.bus, write.unit, write.table, write.at
        );
        let (what, text) = GONE;
        Self {
            events: api.events.clone(),
            about,
            by: person.name,
            said: (what, text.to_owned()),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let (what, text) = std::mem::take(&mut self.said);
        let about = std::mem::take(&mut self.about);
        let news = News::new(Class::Event, what).about(about);
        let news = news.by(std::mem::take(&mut self.by)).text(text);
        self.events.tell(news);
    }
}

/// A name of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

/// A question to a device, and so no GET: it takes the line's time.
pub(super) async fn point(State(api): State<Api>, body: Bytes) -> Result<Json<PointView>, Refusal> {
    let Named { name } = json_body(&body)?;
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

#[cfg(all(test, feature = "demo"))]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use serde_json::json;

    use super::*;
    use crate::{commission::tests::silent, fake::Site};

    #[tokio::test(start_paused = true)]
    async fn a_write_whose_asker_has_gone_is_in_the_event_log() {
        let site = Site::start();
        let api = Api {
            commission: silent().into(),
            ..site.api()
        };
        let body = json!({ "bus": "line", "unit": 40, "table": "holding", "at": 0, "values": [7] });
        let person = Person {
            name: "page (192.0.2.7)".to_owned(),
            still_allowed: None,
        };
        {
            let handler = write(State(api), Extension(person), body.to_string().into());
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(pin!(handler).poll(&mut context), Poll::Pending));
        }
        let told = site.events.events(None, 1).await;
        let of = |event: &crate::events::EventView| {
            (event.what.clone(), event.about.clone(), event.by.clone())
        };
        let expected = (
            "register_write_unconfirmed".to_owned(),
            "line unit 40 holding:0".to_owned(),
            "page (192.0.2.7)".to_owned(),
        );
        assert_eq!(told.iter().map(of).collect::<Vec<_>>(), [expected]);
    }
}
