//! What the server asks of clients, and how it stands on the wire. Core 1.2, 6.3 and 6.4.

use std::fmt;

use lamplighter_coap::{Failure, Method, Request};
use lamplighter_lwm2m::format::{self, ContentFormat, EncodeError, Node, UNASSIGNED};
use lamplighter_model::{InstancePath, ObjectId, Path, Value, object::Definitions};

use super::answer::{shortened, summary};

/// Names a request of the server, or the observation that it began.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(super) u64);

/// One request to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Nodes of an instance [`UNASSIGNED`] leave its id to the client; in TLV they must be of one
    /// instance.
    Create {
        object: ObjectId,
        nodes: Vec<Node>,
        format: ContentFormat,
    },
    Delete(Path),
    Discover(Path),
    /// The arguments as they stand in the payload: `0='U',1`.
    Execute(Path, String),
    /// Without a format the client chooses.
    Observe(Path, Option<ContentFormat>),
    /// The paths stand in the body, in the first format.
    ObserveComposite(Vec<Path>, ContentFormat, Option<ContentFormat>),
    /// With attributes for this observation only (1.2).
    ObserveWith(Path, Vec<String>, Option<ContentFormat>),
    /// Exactly this, for what no other operation would send; the answer is decoded as of this path.
    Raw(Path, Request),
    /// Without a format the client chooses.
    Read(Path, Option<ContentFormat>),
    /// The paths stand in the body, in the first format.
    ReadComposite(Vec<Path>, ContentFormat, Option<ContentFormat>),
    Write {
        path: Path,
        nodes: Vec<Node>,
        format: ContentFormat,
        mode: WriteMode,
    },
    /// `pmin=1`; without `=` the attribute is removed.
    WriteAttributes(Path, Vec<String>),
    WriteComposite(Vec<Node>, ContentFormat),
}

/// What becomes of that which a Write does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WriteMode {
    /// It stays (POST).
    Partial,
    /// It goes (PUT).
    Replace,
}

/// How an observation is ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CancelMode {
    /// By a request with Observe 1, which is answered.
    Active,
    /// By a reset of the next notification.
    Reset,
}

/// Why a request brought no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestError {
    /// The values cannot be written in this format.
    Encode(EncodeError),
    /// The exchange ended without an answer.
    Failed(Failure),
    /// The registration ended, or was replaced, before the answer came.
    Gone,
    /// Nobody of this name is registered.
    NoSuchClient,
    /// It has ended, or never was.
    NoSuchObservation,
    /// A single value goes to resources only.
    NotAResource,
    /// The server has ended.
    Stopped,
    /// Too many requests of this client are open.
    TooMany,
}

impl Operation {
    /// Writes one value to a resource or resource instance.
    ///
    /// # Errors
    /// [`RequestError::NotAResource`] where the path is neither.
    pub fn write_value(
        path: Path,
        value: Value,
        format: ContentFormat,
        mode: WriteMode,
    ) -> Result<Self, RequestError> {
        let node = match path {
            Path::Resource(resource) => Node::single(resource, value),
            Path::ResourceInstance(resource, index) => {
                Node::multiple(resource, vec![(index, value)])
            }
            Path::Root | Path::Object(_) | Path::Instance(_) => {
                return Err(RequestError::NotAResource);
            }
        };
        Ok(Self::Write {
            path,
            nodes: vec![node],
            format,
            mode,
        })
    }

    pub fn path(&self) -> Path {
        match self {
            Self::Create { object, .. } => Path::Object(*object),
            Self::Delete(path)
            | Self::Discover(path)
            | Self::Execute(path, _)
            | Self::Observe(path, _)
            | Self::ObserveWith(path, ..)
            | Self::Raw(path, _)
            | Self::Read(path, _)
            | Self::Write { path, .. }
            | Self::WriteAttributes(path, _) => *path,
            // Core 1.2, 6.3.8: they address the root.
            Self::ObserveComposite(..) | Self::ReadComposite(..) | Self::WriteComposite(..) => {
                Path::Root
            }
        }
    }

    /// As the standard calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "Create",
            Self::Delete(_) => "Delete",
            Self::Discover(_) => "Discover",
            Self::Execute(..) => "Execute",
            Self::Observe(..) | Self::ObserveWith(..) => "Observe",
            Self::ObserveComposite(..) => "Observe-Composite",
            Self::Raw(..) => "Raw",
            Self::Read(..) => "Read",
            Self::ReadComposite(..) => "Read-Composite",
            Self::Write { .. } => "Write",
            Self::WriteAttributes(..) => "Write-Attributes",
            Self::WriteComposite(..) => "Write-Composite",
        }
    }

    /// What is sent along, for people.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Delete(_)
            | Self::Discover(_)
            | Self::Observe(..)
            | Self::Raw(..)
            | Self::Read(..) => String::new(),
            Self::Execute(_, arguments) => arguments.clone(),
            Self::Create { nodes, .. }
            | Self::Write { nodes, .. }
            | Self::WriteComposite(nodes, _) => summary(nodes),
            Self::ObserveWith(_, attributes, _) | Self::WriteAttributes(_, attributes) => {
                attributes.join("&")
            }
            Self::ObserveComposite(paths, ..) | Self::ReadComposite(paths, ..) => {
                let paths: Vec<_> = paths.iter().map(Path::to_string).collect();
                shortened(&paths.join(", "))
            }
        }
    }

    /// `root`: alternative root of the client, segments joined by slashes.
    pub(super) fn request(
        &self,
        root: &str,
        definitions: &Definitions,
    ) -> Result<Request, EncodeError> {
        let at = |method, path: Path| Request::new(method, segments(root, path));
        let encoded = |method, path: Path, nodes: &[Node], format: ContentFormat| {
            let target = encoding_target(path, nodes, format);
            let payload = format::encode(format, target, &prefix(root), nodes, definitions)?;
            Ok::<_, EncodeError>(Request {
                content_format: Some(format.number()),
                payload,
                ..at(method, path)
            })
        };
        let composite = |paths: &[Path], format: ContentFormat, accept: &Option<ContentFormat>| {
            Ok::<_, EncodeError>(Request {
                accept: accept.map(ContentFormat::number),
                content_format: Some(format.number()),
                payload: format::encode_paths(format, &prefix(root), paths)?,
                ..at(Method::Fetch, Path::Root)
            })
        };
        Ok(match self {
            Self::Create {
                object,
                nodes,
                format,
            } => encoded(Method::Post, Path::Object(*object), nodes, *format)?,
            Self::Delete(path) => at(Method::Delete, *path),
            Self::Discover(path) => Request {
                accept: Some(ContentFormat::Link.number()),
                ..at(Method::Get, *path)
            },
            Self::Execute(path, arguments) => Request {
                content_format: (!arguments.is_empty()).then(|| ContentFormat::Text.number()),
                payload: arguments.clone().into_bytes(),
                ..at(Method::Post, *path)
            },
            Self::Observe(path, accept) => Request {
                accept: accept.map(ContentFormat::number),
                observe: Some(0),
                ..at(Method::Get, *path)
            },
            Self::ObserveComposite(paths, format, accept) => Request {
                observe: Some(0),
                ..composite(paths, *format, accept)?
            },
            Self::ObserveWith(path, attributes, accept) => Request {
                accept: accept.map(ContentFormat::number),
                observe: Some(0),
                queries: attributes.clone(),
                ..at(Method::Get, *path)
            },
            Self::Raw(_, request) => request.clone(),
            Self::Read(path, accept) => Request {
                accept: accept.map(ContentFormat::number),
                ..at(Method::Get, *path)
            },
            Self::ReadComposite(paths, format, accept) => composite(paths, *format, accept)?,
            Self::Write {
                path,
                nodes,
                format,
                mode,
            } => encoded(mode.method(), *path, nodes, *format)?,
            Self::WriteAttributes(path, attributes) => Request {
                queries: attributes.clone(),
                ..at(Method::Put, *path)
            },
            Self::WriteComposite(nodes, format) => {
                encoded(Method::IPatch, Path::Root, nodes, *format)?
            }
        })
    }
}

/// What the payload of a Write or Create is about: the path itself, but a TLV without an instance
/// id is written as that of an instance.
fn encoding_target(path: Path, nodes: &[Node], format: ContentFormat) -> Path {
    match (path, nodes.first()) {
        (Path::Object(object), Some(node))
            if format == ContentFormat::Tlv && node.path.instance.instance == UNASSIGNED =>
        {
            Path::Instance(InstancePath {
                object,
                instance: UNASSIGNED,
            })
        }
        _ => path,
    }
}

impl WriteMode {
    fn method(self) -> Method {
        match self {
            Self::Partial => Method::Post,
            Self::Replace => Method::Put,
        }
    }
}

/// What stands in front of names in payloads.
pub(super) fn prefix(root: &str) -> String {
    if root.is_empty() {
        String::new()
    } else {
        format!("/{root}")
    }
}

fn segments(root: &str, path: Path) -> Vec<String> {
    let path = path.to_string();
    root.split('/')
        .chain(path.split('/'))
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect()
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Failed(failure) => f.write_str(failure_text(*failure)),
            Self::Gone => f.write_str("the registration ended"),
            Self::NoSuchClient => f.write_str("not registered"),
            Self::NoSuchObservation => f.write_str("no such observation"),
            Self::NotAResource => f.write_str("not a resource"),
            Self::Stopped => f.write_str("the server has ended"),
            Self::TooMany => f.write_str("too many open requests"),
        }
    }
}

impl std::error::Error for RequestError {}

pub(super) fn failure_text(failure: Failure) -> &'static str {
    match failure {
        Failure::BadResponse => "the answer cannot be understood",
        Failure::Reset => "reset by the client",
        Failure::TimedOut => "no answer",
        Failure::TooLarge => "too large",
    }
}
