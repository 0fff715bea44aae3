//! `POST /send`: tells servers the current values without being asked.

use axum::{
    Json,
    body::Bytes,
    extract::{Extension, State},
};
use lamplighter_model::Path;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use super::{Api, Person, Refusal, objects::path_of, shortened};

/// More do not fit into one message that any server takes.
const MAX_PATHS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendBody {
    /// Paths or names.
    paths: Vec<String>,
    /// Name of one server; all that take it, where none is named.
    server: Option<String>,
}

/// Answered when the servers have confirmed it.
pub(super) async fn post(
    State(api): State<Api>,
    Extension(person): Extension<Person>,
    body: Bytes,
) -> Result<Json<JsonValue>, Refusal> {
    let SendBody { paths, server } = super::json_body(&body)?;
    if paths.is_empty() || paths.len() > MAX_PATHS {
        let what = format!("paths has 1 to {MAX_PATHS} paths or names");
        return Err(Refusal::bad_request(what));
    }
    let paths = paths.iter().map(|path| path_of(&api, path));
    let paths = paths.collect::<Result<Vec<Path>, Refusal>>()?;
    if let Some(server) = &server {
        let servers = api.status.servers((api.clock)());
        if !servers.iter().any(|known| known.name == *server) {
            let what = format!("no server {}", shortened(server));
            return Err(Refusal::not_found(what));
        }
    }
    api.asker.send(paths, server, person.name).await??;
    Ok(Json(json!({ "result": "done" })))
}
