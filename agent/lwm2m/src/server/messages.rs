//! The registration requests as CoAP messages (lwm2m/10, 1).

use std::time::Duration;

use lamplighter_coap::{Method, Request};

use crate::{
    format::{
        ContentFormat,
        link::{self, Link},
    },
    registration::Enabler,
};

/// What a Register says of us.
pub(super) struct Parameters<'a> {
    /// 1/x/7, with queue mode up to 1.0.
    pub(super) binding: &'static str,
    pub(super) enabler: Enabler,
    pub(super) endpoint: &'a str,
    pub(super) lifetime: Duration,
    pub(super) queue_mode: bool,
    /// `NAME=VALUE`, of whatever the server wants to know beside.
    pub(super) vendor: &'a [String],
}

/// Register: `POST /rd?ep=…&lt=…&lwm2m=…&b=…` with the list of objects.
pub(super) fn register(parameters: &Parameters<'_>, links: &[Link]) -> Request {
    let mut queries = vec![
        format!("ep={}", parameters.endpoint),
        format!("lt={}", parameters.lifetime.as_secs()),
        format!("lwm2m={}", parameters.enabler.as_str()),
        format!("b={}", parameters.binding),
    ];
    // Since 1.1 queue mode is a query without a value.
    if parameters.queue_mode && parameters.enabler >= Enabler::V1_1 {
        queries.push("Q".to_owned());
    }
    queries.extend_from_slice(parameters.vendor);
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
    binding: Option<&str>,
    links: Option<&[Link]>,
) -> Request {
    let lifetime = lifetime.map(|lifetime| format!("lt={}", lifetime.as_secs()));
    let binding = binding.map(|binding| format!("b={binding}"));
    let queries = lifetime.into_iter().chain(binding).collect();
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
