//! `GET /history?path=&from=&to=&limit=&next=`: what is remembered of points, in the order in which it
//! came. An answer ends with `next` where there is more: asked again with it, the next begins there.

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use lamplighter_model::{Path, Sample, UnixTime};
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;

use super::{Api, Refusal, objects::path_of, shortened};
use crate::{
    status::{
        json_of,
        time::{parse, rfc3339},
    },
    store::Search,
};

/// Samples of an answer, where nobody says how many, and the most.
const USUAL: usize = 1000;
const MOST: usize = 10_000;
/// Blocks of the store that are looked into for one answer; the next goes on behind them.
const MAX_BLOCKS: usize = 256;
/// Where the clock was wrong, numbers are; nothing is looked for further behind the end.
const SLACK_MS: u64 = 24 * 3600 * 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Path or name.
    path: String,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    next: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Answer {
    samples: Vec<Remembered>,
    next: Option<u64>,
}

/// One sample.
#[derive(Serialize)]
struct Remembered {
    path: String,
    name: Option<String>,
    /// Null where the date was not known and never became.
    time: Option<String>,
    value: JsonValue,
    unit: Option<String>,
    quality: lamplighter_model::Quality,
}

pub(super) async fn get(
    State(api): State<Api>,
    Query(which): Query<Which>,
) -> Result<Json<Answer>, Refusal> {
    let Some(history) = &api.history else {
        let what = "no history is kept: [store] history_max is 0";
        return Err(Refusal::not_found(what));
    };
    let mut search = search(&api, &which)?;
    let limit = search.limit;
    let mut samples: Vec<Sample> = Vec::new();
    for _ in 0..MAX_BLOCKS {
        search.limit = limit - samples.len();
        let found = history.search(search).await;
        let found = found.ok_or_else(|| {
            let what = "the history cannot be read now, try again";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what)
        })?;
        samples.extend(found.samples);
        search.next = found.next.filter(|next| !is_behind(*next, search.to));
        if search.next.is_none() || samples.len() >= limit {
            break;
        }
    }
    Ok(Json(Answer {
        samples: samples
            .iter()
            .map(|sample| remembered(&api, sample))
            .collect(),
        next: search.next,
    }))
}

fn search(api: &Api, which: &Which) -> Result<Search, Refusal> {
    let path = path_of(api, &which.path)?;
    let is_known = path != Path::Root && api.status.has_points(path);
    if !is_known {
        let what = format!("no point is called {}", shortened(&which.path));
        return Err(Refusal::not_found(what));
    }
    let (from, to) = (time(which.from.as_deref())?, time(which.to.as_deref())?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Refusal::bad_request("`from` is behind `to`"));
    }
    let limit = which.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::bad_request(format!("limit is 1 to {MOST}")));
    }
    Ok(Search {
        path,
        from,
        to,
        next: which.next,
        limit,
    })
}

fn time(text: Option<&str>) -> Result<Option<UnixTime>, Refusal> {
    let parsed = text.map(|text| {
        parse(text).ok_or_else(|| {
            let what = "no time: 2026-08-01T12:00:00Z or seconds since 1970 are wanted";
            Refusal::bad_request(format!("`{}` is {what}", shortened(text)))
        })
    });
    parsed.transpose()
}

fn is_behind(next: u64, to: Option<UnixTime>) -> bool {
    to.is_some_and(|to| next > to.0.max(0).cast_unsigned().saturating_add(SLACK_MS))
}

fn remembered(api: &Api, sample: &Sample) -> Remembered {
    let view = api.status.describe(sample, (api.clock)());
    Remembered {
        path: view.path,
        name: view.name,
        time: sample.source_time.map(rfc3339),
        value: json_of(&sample.value),
        unit: view.unit,
        quality: sample.quality,
    }
}
