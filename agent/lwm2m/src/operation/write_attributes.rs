//! Write-Attributes: when a server wants to be told (lwm2m/30, 3).

use lamplighter_model::{Address, DataType, Path, object::Multiplicity};

use super::{Context, Plan, Then, target};
use crate::{
    access::Right,
    observe::{Attribute, Attributes},
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
    let attributes: Vec<Attribute> = queries
        .iter()
        .map(|query| Attribute::parse(query))
        .collect::<Result<_, _>>()?;
    if attributes
        .iter()
        .any(|attribute| attribute.is_value_condition())
        && !is_single_number(address.path, context)
    {
        return Err(Reject::bad_request(
            "gt, lt and st belong to a single numeric resource",
        ));
    }
    let stored = context
        .attributes
        .and_then(|store| store.at(address))
        .unwrap_or_default();
    stored.with(&attributes).check()?;
    Ok(Plan::Done(Then::Attributes(attributes)))
}

fn is_single_number(path: Path, context: Context<'_>) -> bool {
    let definition = path.resource().and_then(|resource| {
        context
            .catalogue
            .resource_definition(resource.object(), resource.resource)
    });
    definition.is_some_and(|definition| {
        let numeric = match definition.data_type {
            DataType::Float | DataType::Integer | DataType::Time | DataType::Unsigned => true,
            DataType::Boolean
            | DataType::Corelnk
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque
            | DataType::String => false,
        };
        let single = matches!(path, Path::ResourceInstance(..))
            || definition.multiplicity == Multiplicity::Single;
        numeric && single
    })
}

impl Attributes {
    /// With the changes of one request.
    fn with(mut self, changes: &[Attribute]) -> Self {
        changes.iter().for_each(|change| self.set(*change));
        self
    }
}
