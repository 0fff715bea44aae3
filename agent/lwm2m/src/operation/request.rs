//! From a CoAP request to an operation (Transport 1.2, 6.4; the table of lwm2m/20, 1).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_model::Path;

use super::{Body, Mode, Operation, Watch};
use crate::format::ContentFormat;

const LINK: u16 = ContentFormat::Link.number();
const TEXT: u16 = ContentFormat::Text.number();

/// What a request on `path` asks for. Nothing is checked here but what tells operations apart.
pub(crate) fn operation(request: &Request, path: Path) -> Operation {
    match request.method {
        Method::Get => get(request),
        Method::Put => put(request),
        Method::Post => post(request, path),
        Method::Delete => Operation::Delete,
        Method::Fetch | Method::IPatch | Method::Patch => Operation::Unsupported(
            Code::METHOD_NOT_ALLOWED,
            "composite operations are not available in this version",
        ),
    }
}

fn get(request: &Request) -> Operation {
    if request.accept == Some(LINK) {
        return Operation::Discover;
    }
    let watch = match request.observe {
        Some(0) => Watch::Begin,
        Some(1) => Watch::End,
        Some(_) | None => Watch::No,
    };
    Operation::Read {
        accept: request.accept,
        watch,
    }
}

fn put(request: &Request) -> Operation {
    match request.content_format {
        None if request.payload.is_empty() => Operation::WriteAttributes(request.queries.clone()),
        format => Operation::Write {
            body: body(request, format),
            mode: Mode::Replace,
            hold: None,
        },
    }
}

fn post(request: &Request, path: Path) -> Operation {
    let partial = || Operation::Write {
        body: body(request, request.content_format),
        mode: Mode::Partial,
        hold: None,
    };
    match (path, request.content_format) {
        (Path::Object(_), _) => Operation::Create,
        (Path::Instance(_), _) => partial(),
        (Path::Resource(_), None | Some(TEXT)) => Operation::Execute {
            args: request.payload.clone(),
        },
        (Path::Resource(_), Some(_)) => partial(),
        (Path::Root | Path::ResourceInstance(..), _) => {
            Operation::Unsupported(Code::METHOD_NOT_ALLOWED, "nothing can be posted here")
        }
    }
}

fn body(request: &Request, format: Option<u16>) -> Body {
    Body::Encoded {
        format,
        payload: request.payload.clone(),
    }
}
