//! From a CoAP request to an operation (Transport 1.2, 6.4; the table of lwm2m/20, 1).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_model::Path;

use super::{Body, Mode, Operation, Watch};
use crate::format::ContentFormat;

const LINK: u16 = ContentFormat::Link.number();
const TEXT: u16 = ContentFormat::Text.number();
/// Text in servers older than its registered use.
const OLD_TEXT: u16 = 1541;

/// What a request on `path` asks for. Nothing is checked here but what tells operations apart.
pub(crate) fn operation(request: &Request, path: Path) -> Operation {
    match request.method {
        Method::Get => get(request),
        Method::Put => put(request),
        Method::Post => post(request, path),
        Method::Delete => Operation::Delete,
        Method::Fetch => fetch(request, path),
        Method::IPatch => ipatch(request, path),
        Method::Patch => {
            Operation::Unsupported(Code::METHOD_NOT_ALLOWED, "no operation has this method")
        }
    }
}

fn get(request: &Request) -> Operation {
    if request.accept == Some(LINK) {
        return Operation::Discover(request.queries.clone());
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
        (Path::Object(_), format) => Operation::Create(body(request, format)),
        (Path::Instance(_), _) => partial(),
        (Path::Resource(_), None | Some(TEXT | OLD_TEXT)) => Operation::Execute {
            args: arguments(request),
        },
        (Path::Resource(_), Some(_)) => partial(),
        (Path::Root | Path::ResourceInstance(..), _) => {
            Operation::Unsupported(Code::METHOD_NOT_ALLOWED, "nothing can be posted here")
        }
    }
}

fn fetch(request: &Request, path: Path) -> Operation {
    let watch = match request.observe {
        Some(0) => Watch::Begin,
        Some(1) => Watch::End,
        Some(_) | None => Watch::No,
    };
    // The queries of an Observe are attributes; a cancellation repeats them.
    let has_queries = watch == Watch::No && !request.queries.is_empty();
    if let Some(refused) = refuse_composite(has_queries, path) {
        return refused;
    }
    Operation::ReadComposite {
        accept: request.accept,
        body: body(request, request.content_format),
        watch,
    }
}

fn ipatch(request: &Request, path: Path) -> Operation {
    refuse_composite(!request.queries.is_empty(), path)
        .unwrap_or_else(|| Operation::WriteComposite(body(request, request.content_format)))
}

/// The paths of a composite operation stand in its body (lwm2m/20, 9); 4.02 would be right too, but
/// is none of the codes of the standard.
fn refuse_composite(has_queries: bool, path: Path) -> Option<Operation> {
    let why = match path {
        Path::Root if !has_queries => return None,
        Path::Root => "this query means nothing here",
        Path::Object(_) | Path::Instance(_) | Path::Resource(_) | Path::ResourceInstance(..) => {
            "the paths of a composite operation stand in its body"
        }
    };
    Some(Operation::Unsupported(Code::BAD_REQUEST, why))
}

/// One passage of the standard shows the argument of 1/x/8 as a query, `?0=U` (lwm2m/10, 6).
fn arguments(request: &Request) -> Vec<u8> {
    let as_query = request
        .queries
        .first()
        .and_then(|query| query.strip_prefix("0="));
    match as_query {
        Some(value) if request.payload.is_empty() => format!("0='{value}'").into_bytes(),
        Some(_) | None => request.payload.clone(),
    }
}

fn body(request: &Request, format: Option<u16>) -> Body {
    Body::Encoded {
        format,
        payload: request.payload.clone(),
    }
}
