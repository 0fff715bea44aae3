//! What a bootstrap server may do, and how it is answered (lwm2m/40, 3 and 14).

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_model::{ObjectId, ObjectInstanceId, Path};
use zeroize::Zeroize as _;

use super::{Accounts, Bootstrap, State, discover, draft::Draft, tell};
use crate::{
    access,
    boundary::BootstrapEvent,
    catalogue::Catalogue,
    format::{self, ContentFormat},
    object::{ACCESS_CONTROL, SERVER},
    operation,
    perform::Turn,
    registration::Enabler,
    reject::Reject,
    server,
    view::View,
};

/// An operation, not checked yet.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Operation {
    Delete(Path),
    Discover(Path),
    Finish,
    Read(Path),
    Write(Path),
}

const LINK: u16 = ContentFormat::Link.number();

impl Bootstrap {
    /// One request of the bootstrap server, and its answer.
    pub(super) fn on_request(
        &mut self,
        mut request: Request,
        accounts: &Accounts,
        turn: &mut Turn<'_>,
    ) -> Response {
        if matches!(self.state, State::Asking | State::Listening { .. }) {
            self.begin_draft(accounts, turn);
        }
        let wanted = operation(&request);
        let result = match &wanted {
            Ok(wanted) => self.operate(wanted, &request, accounts, turn),
            Err(reject) => Err(reject.clone()),
        };
        if result.is_ok() {
            self.renew(turn.now.mono);
        }
        request.payload.zeroize();
        let (name, path) = match &wanted {
            Ok(wanted) => (wanted.name(), wanted.path()),
            Err(_) => ("request", Path::Root),
        };
        match result {
            Ok(response) => {
                if wanted.is_ok_and(|wanted| wanted.is_change()) {
                    let operation = name;
                    tell(BootstrapEvent::Obeyed { operation, path }, turn.shared);
                }
                response
            }
            Err(reject) => {
                let refused = BootstrapEvent::Refused {
                    operation: name,
                    path,
                    code: reject.to_string(),
                };
                tell(refused, turn.shared);
                reject.into_response()
            }
        }
    }

    fn operate(
        &mut self,
        operation: &Operation,
        request: &Request,
        accounts: &Accounts,
        turn: &mut Turn<'_>,
    ) -> Result<Response, Reject> {
        let enabler = self.enabler();
        let State::Writing { draft, .. } = &mut self.state else {
            return Err(match operation {
                Operation::Finish => not_acceptable("there is no bootstrap to be finished"),
                Operation::Delete(_)
                | Operation::Discover(_)
                | Operation::Read(_)
                | Operation::Write(_) => {
                    Reject::method_not_allowed("there is no bootstrap under way")
                }
            });
        };
        let catalogue = turn.catalogue();
        match operation {
            Operation::Delete(path) => {
                draft.delete(*path, catalogue)?;
                Ok(Response::new(Code::DELETED))
            }
            Operation::Discover(path) => {
                let links = discover::links(*path, &request.queries, draft, (enabler, catalogue))?;
                Ok(Response {
                    content_format: Some(LINK),
                    payload: links.into_bytes(),
                    ..Response::new(Code::CONTENT)
                })
            }
            Operation::Finish => {
                self.conclude(accounts, turn)?;
                Ok(Response::new(Code::CHANGED))
            }
            Operation::Read(path) => read(*path, request.accept, draft, (enabler, catalogue)),
            Operation::Write(path) => {
                write(*path, request, draft, catalogue)?;
                Ok(Response::new(Code::CHANGED))
            }
        }
    }

    /// Checks the draft. It is kept before the answer leaves.
    ///
    /// # Errors
    /// 4.06 with the reasons; the server may put it right.
    pub(super) fn conclude(
        &mut self,
        accounts: &Accounts,
        turn: &mut Turn<'_>,
    ) -> Result<(), Reject> {
        let State::Writing {
            draft, is_refused, ..
        } = &mut self.state
        else {
            return Err(not_acceptable("there is no bootstrap to be finished"));
        };
        let settled = Draft::clone(draft).settle(accounts, turn.catalogue(), turn.now);
        *is_refused = settled.is_err();
        let settled = match settled {
            Ok(settled) => settled,
            Err(reasons) => {
                let reasons = reasons.join("; ");
                self.trouble = Some(server::Cause::Inconsistent.told(reasons.clone()));
                tell(BootstrapEvent::Inconsistent(reasons.clone()), turn.shared);
                return Err(not_acceptable(reasons));
            }
        };
        self.settled = Some(Box::new(settled));
        self.trouble = None;
        self.cause = None;
        if let Some(visit) = &mut self.visit {
            // An answer that comes later begins nothing anew.
            visit.forget();
        }
        let echo = self.visit.as_ref().map(super::Visit::echo);
        let until = turn.now.mono + echo.unwrap_or_default();
        self.enter(State::Lingering { until }, turn.now);
        Ok(())
    }
}

/// What a request asks for.
///
/// # Errors
/// 4.05 for all that is no operation of a bootstrap server.
fn operation(request: &Request) -> Result<Operation, Reject> {
    let refused = || Reject::method_not_allowed("this is no operation of a bootstrap server");
    if request.method == Method::Post && request.path == ["bs"] {
        return Ok(Operation::Finish);
    }
    let address = View::Flat.address(&request.path).map_err(|_| refused())?;
    let path = address.path;
    match request.method {
        Method::Get if request.observe.is_some() => Err(refused()),
        // Of the root there is nothing else to be told.
        Method::Get if request.accept == Some(LINK) || path == Path::Root => {
            Ok(Operation::Discover(path))
        }
        Method::Get => Ok(Operation::Read(path)),
        Method::Put if request.content_format.is_none() && request.payload.is_empty() => {
            Err(refused())
        }
        Method::Put => Ok(Operation::Write(path)),
        Method::Delete => Ok(Operation::Delete(path)),
        Method::Fetch | Method::IPatch | Method::Patch | Method::Post => Err(refused()),
    }
}

fn write(
    path: Path,
    request: &Request,
    draft: &mut Draft,
    catalogue: Catalogue<'_>,
) -> Result<(), Reject> {
    if matches!(path, Path::Root | Path::ResourceInstance(..)) {
        return Err(Reject::method_not_allowed(
            "objects, instances and resources can be written",
        ));
    }
    let format = request.content_format.and_then(ContentFormat::from_number);
    let format = format.ok_or_else(|| {
        let why = "a Content-Format that this box reads is wanted";
        Reject::new(Code::UNSUPPORTED_CONTENT_FORMAT, why)
    })?;
    let object = path.object();
    if object.is_none_or(|object| catalogue.definition(object).is_none()) {
        return Err(Reject::not_found("this box has no such object"));
    }
    let definitions = catalogue.tree.definitions();
    let decoded = format::decode(format, path, "", &request.payload, definitions)?;
    draft.write(path, decoded, catalogue)
}

fn read(
    path: Path,
    accept: Option<u16>,
    draft: &Draft,
    (enabler, catalogue): (Enabler, Catalogue<'_>),
) -> Result<Response, Reject> {
    let (object, instance) = target(path)?;
    let instances = draft.instances_of(object, catalogue);
    if let Some(instance) = instance
        && !instances.contains(&instance)
    {
        return Err(Reject::not_found("the instance does not exist"));
    }
    let format = operation::answer_format(path, accept, enabler, catalogue)?;
    let nodes = draft.nodes(object, instance, catalogue);
    let payload = format::encode(format, path, "", &nodes, catalogue.tree.definitions())?;
    Ok(Response {
        content_format: Some(format.number_in(accept)),
        payload,
        ..Response::new(Code::CONTENT)
    })
}

/// Objects 1 and 2 can be read, and what holds keys cannot in particular.
fn target(path: Path) -> Result<(ObjectId, Option<ObjectInstanceId>), Reject> {
    let refused = || Reject::method_not_allowed("objects 1 and 2 and their instances can be read");
    if let Some(object) = path.object() {
        access::check_object(object)?;
    }
    let target = match path {
        Path::Object(object) => (object, None),
        Path::Instance(path) => (path.object, Some(path.instance)),
        Path::Root | Path::Resource(_) | Path::ResourceInstance(..) => return Err(refused()),
    };
    if matches!(target.0, SERVER | ACCESS_CONTROL) {
        Ok(target)
    } else {
        Err(refused())
    }
}

fn not_acceptable(why: impl Into<String>) -> Reject {
    Reject::new(Code::NOT_ACCEPTABLE, why)
}

impl Operation {
    const fn name(&self) -> &'static str {
        match self {
            Self::Delete(_) => "delete",
            Self::Discover(_) => "discover",
            Self::Finish => "finish",
            Self::Read(_) => "read",
            Self::Write(_) => "write",
        }
    }

    const fn path(&self) -> Path {
        match self {
            Self::Delete(path) | Self::Discover(path) | Self::Read(path) | Self::Write(path) => {
                *path
            }
            Self::Finish => Path::Root,
        }
    }

    const fn is_change(&self) -> bool {
        match self {
            Self::Delete(_) | Self::Write(_) => true,
            Self::Discover(_) | Self::Finish | Self::Read(_) => false,
        }
    }
}
