//! The files of the page, out of the binary.

use axum::{
    Router,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

pub(super) const APP: &str = include_str!("static/app.html");
pub(super) const LOGIN: &str = include_str!("static/login.html");
/// Loads the page as if it was called from this box itself: a browser that came by a link from
/// elsewhere does not show a strict cookie on the first call.
pub(super) const ENTER: &str = include_str!("static/enter.html");

/// Everything that shows nothing of the box and is needed before the login.
pub(super) const FILES: [(&str, &str, &str); 13] = [
    ("/api.js", "text/javascript", include_str!("static/api.js")),
    ("/app.css", "text/css", include_str!("static/app.css")),
    ("/app.js", "text/javascript", include_str!("static/app.js")),
    (
        "/bearers.js",
        "text/javascript",
        include_str!("static/bearers.js"),
    ),
    (
        "/chart.js",
        "text/javascript",
        include_str!("static/chart.js"),
    ),
    (
        "/demo.js",
        "text/javascript",
        include_str!("static/demo.js"),
    ),
    (
        "/device.js",
        "text/javascript",
        include_str!("static/device.js"),
    ),
    ("/dom.js", "text/javascript", include_str!("static/dom.js")),
    (
        "/icon.svg",
        "image/svg+xml",
        include_str!("static/icon.svg"),
    ),
    (
        "/icons.js",
        "text/javascript",
        include_str!("static/icons.js"),
    ),
    (
        "/lighting.js",
        "text/javascript",
        include_str!("static/lighting.js"),
    ),
    (
        "/login.js",
        "text/javascript",
        include_str!("static/login.js"),
    ),
    (
        "/words.js",
        "text/javascript",
        include_str!("static/words.js"),
    ),
];

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .iter()
        .fold(Router::new(), |routes, (path, content_type, text)| {
            routes.route(path, get(move || async move { file(content_type, text) }))
        })
}

pub(super) fn html(text: &'static str) -> Response {
    file("text/html; charset=utf-8", text)
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static(content_type))],
        text,
    )
        .into_response()
}
