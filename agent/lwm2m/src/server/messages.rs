//! The registration requests as CoAP messages (lwm2m/10, 1).

use std::time::Duration;

use lamplighter_coap::{Method, Request};

use crate::{
    format::{
        ContentFormat,
        link::{self, Link},
    },
    object::server::BINDING,
    registration::Enabler,
};

/// Register: `POST /rd?ep=…&lt=…&lwm2m=…&b=…` with the list of objects.
pub(super) fn register(
    endpoint: &str,
    lifetime: Duration,
    enabler: Enabler,
    links: &[Link],
) -> Request {
    let queries = vec![
        format!("ep={endpoint}"),
        format!("lt={}", lifetime.as_secs()),
        format!("lwm2m={}", enabler.as_str()),
        format!("b={BINDING}"),
    ];
    with_links(
        Request {
            queries,
            ..Request::new(Method::Post, vec!["rd".to_owned()])
        },
        links,
    )
}

/// Update: only what is different stands in it.
pub(super) fn update(
    location: Vec<String>,
    lifetime: Option<Duration>,
    links: Option<&[Link]>,
) -> Request {
    let queries = lifetime
        .map(|lifetime| format!("lt={}", lifetime.as_secs()))
        .into_iter()
        .collect();
    let request = Request {
        queries,
        ..Request::new(Method::Post, location)
    };
    match links {
        None => request,
        Some(links) => with_links(request, links),
    }
}

pub(super) fn deregister(location: Vec<String>) -> Request {
    Request::new(Method::Delete, location)
}

fn with_links(request: Request, links: &[Link]) -> Request {
    let content_format = Some(ContentFormat::Link.number());
    Request {
        content_format,
        payload: link::write(links).into_bytes(),
        ..request
    }
}
