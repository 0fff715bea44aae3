//! `GET /watch?path=…&path=…`: values as they change, as server-sent events.
//!
//! Each value is an event of its own with the same JSON as a read; `event: status` says that
//! servers, devices, groups or problems changed. The newest of each value comes first on opening.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    extract::{Extension, Query, State},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_core::Stream;
use lamplighter_model::Path;

use super::{Api, NowSource, Person, Refusal, objects::path_of};
use crate::status::{Changes, Watch};

const MAX_PATHS: usize = 64;

pub(super) async fn get(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Sse<KeepAliveStream>, Refusal> {
    if query.len() > MAX_PATHS {
        return Err(Refusal::bad_request(format!("at most {MAX_PATHS} paths")));
    }
    if query.iter().any(|(key, _)| key != "path") {
        return Err(Refusal::bad_request("only path= is known"));
    }
    let paths: Result<Vec<Path>, Refusal> = query
        .iter()
        .map(|(_, target)| path_of(&api, target))
        .collect();
    let paths = Some(paths?)
        .filter(|paths| !paths.is_empty())
        .unwrap_or_else(|| vec![Path::Root]);
    let watch = Arc::new(api.status.watch(paths)?);
    let values = Values {
        watch,
        clock: api.clock,
        person,
        ready: VecDeque::new(),
        waiting: None,
    };
    Ok(Sse::new(values).keep_alive(KeepAlive::default()))
}

type KeepAliveStream = axum::response::sse::KeepAliveStream<Values>;

/// The stream behind one answer. It holds what was fetched and not yet sent; everything newer
/// waits, merged, in the [`Watch`].
pub(super) struct Values {
    watch: Arc<Watch>,
    clock: NowSource,
    person: Person,
    ready: VecDeque<Event>,
    waiting: Option<Pin<Box<dyn Future<Output = Changes> + Send>>>,
}

impl Values {
    fn fetch(&mut self, changes: &Changes) {
        let values = self.watch.values(changes, (self.clock)());
        self.ready.extend(
            values
                .iter()
                .filter_map(|value| Event::default().json_data(value).ok()),
        );
        if changes.status() {
            self.ready
                .push_back(Event::default().event("status").data("{}"));
        }
    }
}

impl Stream for Values {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.person.is_still_allowed() {
                return Poll::Ready(None);
            }
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let watch = Arc::clone(&self.watch);
            let waiting = self
                .waiting
                .get_or_insert_with(|| Box::pin(async move { watch.changed().await }));
            let changes = ready!(waiting.as_mut().poll(context));
            self.waiting = None;
            self.fetch(&changes);
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("watch", &self.watch)
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}
