//! `GET /events?since=ID&limit=N`: what happened, in order; without `since` the newest.
//! `GET /events/follow?since=ID`: the same and what comes, as server-sent events.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Json,
    extract::{Extension, Query, State},
    response::sse::{Event, KeepAlive, KeepAliveStream, Sse},
};
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::watch;

use super::{Api, Person};
use crate::events::{EventLog, EventView, MAX_ANSWER};

/// As many as a person looks at.
const USUAL: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Events behind this number.
    since: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn get(
    State(api): State<Api>,
    Query(Which { since, limit }): Query<Which>,
) -> Json<Vec<EventView>> {
    Json(api.events.events(since, limit.unwrap_or(USUAL)).await)
}

pub(super) async fn follow(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    Query(Which { since, limit }): Query<Which>,
) -> Sse<KeepAliveStream<Following>> {
    // Before what is there is looked at, so that nothing is missed.
    let revisions = api.events.revisions();
    let first = api.events.events(since, limit.unwrap_or(USUAL)).await;
    let following = Following {
        last: first.last().map(|event| event.id).or(since),
        ready: first.into(),
        log: api.events,
        person,
        revisions,
        waiting: None,
    };
    Sse::new(following).keep_alive(KeepAlive::default())
}

type Waiting = Pin<Box<dyn Future<Output = (watch::Receiver<u64>, Vec<EventView>)> + Send>>;

/// The stream behind one answer. It holds at most one answer of the log.
pub(super) struct Following {
    /// The last event that was fetched.
    last: Option<u64>,
    log: EventLog,
    person: Person,
    ready: VecDeque<EventView>,
    revisions: watch::Receiver<u64>,
    waiting: Option<Waiting>,
}

impl Following {
    /// What comes behind the last, as soon as there is any.
    fn wait(&self) -> Waiting {
        let (log, since) = (self.log.clone(), self.last.unwrap_or(0));
        let mut revisions = self.revisions.clone();
        Box::pin(async move {
            loop {
                let events = log.events(Some(since), MAX_ANSWER).await;
                if !events.is_empty() {
                    return (revisions, events);
                }
                if revisions.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }
}

impl Stream for Following {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.person.is_still_allowed() {
                return Poll::Ready(None);
            }
            if let Some(event) = self.ready.pop_front() {
                if let Ok(event) = Event::default().json_data(event) {
                    return Poll::Ready(Some(Ok(event)));
                }
                continue;
            }
            if self.waiting.is_none() {
                self.waiting = Some(self.wait());
            }
            let Some(waiting) = &mut self.waiting else {
                return Poll::Ready(None);
            };
            let (revisions, events) = ready!(waiting.as_mut().poll(context));
            self.waiting = None;
            self.revisions = revisions;
            self.last = events.last().map(|event| event.id).or(self.last);
            self.ready = events.into();
        }
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
