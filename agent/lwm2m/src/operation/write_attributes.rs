//! Write-Attributes: when a server wants to be told (lwm2m/30, 3).

use lamplighter_model::{Address, DataType, Path, object::Multiplicity};

use super::{Context, Operation, Plan, Then, Watch, target};
use crate::{
    access::Right,
    catalogue::Catalogue,
    observe::{Attribute, Attributes, Subject},
    registration::Enabler,
    reject::Reject,
};

pub(super) fn plan(
    address: Address,
    queries: &[String],
    context: Context<'_>,
) -> Result<Plan, Reject> {
    target::check_object(address, context)?;
    if let Some(instance) = target::instance_of(address) {
        target::check_instance(instance, Right::Read, context)?;
    }
    if let Some((resource, index)) = target::resource_of(address) {
        let found = target::find(resource, context)?;
        if !found.operations.read {
            return Err(Reject::method_not_allowed("the resource cannot be read"));
        }
        if index.is_some() && context.catalogue.latest(address).is_empty() {
            return Err(Reject::not_found("the resource instance does not exist"));
        }
    }
    if queries.is_empty() {
        return Err(Reject::bad_request("no attribute is named"));
    }
    let attributes = parse(
        queries,
        address.path,
        context.caller.enabler,
        context.catalogue,
    )?;
    let stored = context
        .attributes
        .and_then(|store| store.at(address))
        .unwrap_or_default();
    stored.with(&attributes).check()?;
    Ok(Plan::Done(Then::Attributes(attributes)))
}

/// The attributes that came with an Observe; `None` where there were none, or it is no Observe. A
/// cancellation repeats them, and they mean nothing there.
///
/// # Errors
/// As of a Write-Attributes; and 4.00 before 1.2: a client that takes none in an Observe refuses it
/// (lwm2m/30, 5), so that the server does not believe that they hold.
pub(crate) fn observe_attributes(
    queries: &[String],
    operation: &Operation,
    path: Path,
    (enabler, catalogue): (Enabler, Catalogue<'_>),
) -> Result<Option<Attributes>, Reject> {
    if queries.is_empty() || operation.watch() != Watch::Begin {
        return Ok(None);
    }
    if enabler < Enabler::V1_2 {
        return Err(Reject::bad_request(
            "attributes in an Observe exist since 1.2",
        ));
    }
    let attributes = parse(queries, path, enabler, catalogue)?;
    let composite = matches!(operation, Operation::ReadComposite { .. });
    if composite && !attributes.iter().all(|one| one.suits_composite()) {
        return Err(Reject::bad_request(
            "the attribute does not suit several paths",
        ));
    }
    let attributes = Attributes::default().with(&attributes);
    attributes.check()?;
    Ok(Some(attributes))
}

/// The attributes of a request about `path`, each where it may stand.
///
/// # Errors
/// 4.00 for what is malformed, unknown, or cannot stand there. epmin and epmax stand on every
/// level also in 1.1, whose text has them on resources only: servers and clients in use do not
/// distinguish.
fn parse(
    queries: &[String],
    path: Path,
    enabler: Enabler,
    catalogue: Catalogue<'_>,
) -> Result<Vec<Attribute>, Reject> {
    let mut attributes = Vec::with_capacity(queries.len());
    for query in queries {
        let attribute = Attribute::parse(query, enabler)?;
        if !may_stand(attribute.subject(), path, enabler, catalogue) {
            return Err(Reject::bad_request(
                "the attribute does not suit what the path names",
            ));
        }
        attributes.push(attribute);
    }
    Ok(attributes)
}

fn may_stand(subject: Subject, path: Path, enabler: Enabler, catalogue: Catalogue<'_>) -> bool {
    if subject == Subject::Telling {
        return true;
    }
    let definition = path
        .resource()
        .and_then(|path| catalogue.resource_definition(path.object(), path.resource));
    let Some(definition) = definition else {
        return false;
    };
    // The instances of a multiple resource inherit from it, and the published Discover answers
    // show conditions there (lwm2m/20, 13); in 1.0 they have no paths.
    let is_single = definition.multiplicity == Multiplicity::Single;
    suits(subject, definition.data_type) && (is_single || enabler >= Enabler::V1_1)
}

const fn suits(subject: Subject, data_type: DataType) -> bool {
    match data_type {
        DataType::Boolean => matches!(subject, Subject::Boolean),
        DataType::Float | DataType::Integer | DataType::Time | DataType::Unsigned => {
            matches!(subject, Subject::Number)
        }
        DataType::Corelnk
        | DataType::None
        | DataType::Objlnk
        | DataType::Opaque
        | DataType::String => false,
    }
}
