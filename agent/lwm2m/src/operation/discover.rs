//! Discover: what is there, and which attributes the asking server has attached (lwm2m/20, 4).
//!
//! The link of the target itself shows what is attached to it or inherited; links below it show
//! what is attached to them alone.

use std::collections::BTreeMap;

use lamplighter_model::{
    Address, InstanceAddress, InstancePath, ObjectId, Path, ResourceAddress, ResourcePath,
    device::Origin, object::Multiplicity,
};

use super::{
    Context, Plan,
    links::{self, Versions},
    target,
};
use crate::{
    format::{
        Content,
        link::{self, Link},
    },
    observe::{AttributeStore, Attributes},
    registration::List,
    reject::Reject,
    tree::Owner,
    view::View,
};

pub(super) fn plan(address: Address, context: Context<'_>) -> Result<Plan, Reject> {
    if address.path == Path::Root && matches!(context.caller.origin, Origin::Local(_)) {
        return Ok(Plan::Links(link::write(&everything(context))));
    }
    let object = target::check_object(address, context)?;
    if let Some(instance) = target::instance_of(address)
        && !context.catalogue.has_instance(instance)
    {
        return Err(Reject::not_found("the instance does not exist"));
    }
    let links = match address.path {
        Path::Root => return Err(Reject::method_not_allowed("discover needs an object")),
        Path::Object(_) => object_links(object, address, context),
        Path::Instance(path) => instance_links(path, address, context),
        Path::Resource(path) => resource_links(
            ResourceAddress {
                scope: address.scope,
                path,
            },
            context,
        )?,
        Path::ResourceInstance(..) => {
            return Err(Reject::method_not_allowed("discover ends at the resource"));
        }
    };
    Ok(Plan::Links(link::write(&links)))
}

/// For a person, what a Register lists. A server was told already.
fn everything(context: Context<'_>) -> Vec<Link> {
    let versions = Versions {
        configured: &BTreeMap::new(),
        enabler: context.caller.enabler,
    };
    links::registration(context.catalogue, View::Flat, versions, List::Full)
}

fn object_links(object: ObjectId, address: Address, context: Context<'_>) -> Vec<Link> {
    let configured = BTreeMap::new();
    let versions = Versions {
        configured: &configured,
        enabler: context.caller.enabler,
    };
    let link = versions.link(address.path, object, context.catalogue);
    let mut links = vec![with(link, attached(address, context))];
    for path in context.catalogue.instances_of(address.scope, object) {
        let instance = Address {
            path: path.into(),
            ..address
        };
        links.push(with(Link::new(path), attached(instance, context)));
        // Up to 1.1 the links of resources carry no attributes here.
        links.extend(
            resources(path, address, context)
                .into_iter()
                .map(|(_, link)| link),
        );
    }
    links
}

fn instance_links(instance: InstancePath, address: Address, context: Context<'_>) -> Vec<Link> {
    let mut links = vec![with(Link::new(instance), inherited(address, context))];
    for (path, link) in resources(instance, address, context) {
        links.push(with(
            link,
            attached(
                Address {
                    path: path.into(),
                    ..address
                },
                context,
            ),
        ));
    }
    links
}

fn resource_links(resource: ResourceAddress, context: Context<'_>) -> Result<Vec<Link>, Reject> {
    target::find(resource, context)?;
    let (path, link) = resource_link(resource, context)
        .ok_or_else(|| Reject::not_found("the resource has no value"))?;
    let mut links = vec![with(link, inherited(resource.into(), context))];
    if let Some(Content::Multiple(values)) = context.catalogue.content(resource) {
        for (index, _) in values {
            let address = Address {
                scope: resource.scope,
                path: Path::ResourceInstance(path, index),
            };
            links.push(with(Link::new(address.path), attached(address, context)));
        }
    }
    Ok(links)
}

/// The resources of an instance with their links, no attributes but `dim`.
fn resources(
    instance: InstancePath,
    address: Address,
    context: Context<'_>,
) -> Vec<(ResourcePath, Link)> {
    let ids = context
        .catalogue
        .resources(InstanceAddress {
            scope: address.scope,
            path: instance,
        })
        .into_iter();
    let resource = |resource| ResourceAddress {
        scope: address.scope,
        path: ResourcePath { instance, resource },
    };
    ids.filter_map(|id| resource_link(resource(id), context))
        .collect()
}

/// `None` for an optional resource of the core that has no value.
fn resource_link(address: ResourceAddress, context: Context<'_>) -> Option<(ResourcePath, Link)> {
    let found = context.catalogue.resource(address)?;
    let present = found.owner == Owner::Device
        || found.operations.execute
        || context.catalogue.content(address).is_some();
    if !present {
        return None;
    }
    let link = Link::new(address.path);
    Some((
        address.path,
        match found.definition.multiplicity {
            Multiplicity::Single => link,
            Multiplicity::Multiple => link.plain("dim", context.catalogue.dimension(address)),
        },
    ))
}

fn attached(address: Address, context: Context<'_>) -> Attributes {
    context
        .attributes
        .and_then(|store| store.at(address))
        .unwrap_or_default()
}

fn inherited(address: Address, context: Context<'_>) -> Attributes {
    context
        .attributes
        .map(|store: &AttributeStore| store.inherited(address))
        .unwrap_or_default()
}

fn with(link: Link, attributes: Attributes) -> Link {
    attributes.print(link)
}
