//! Checked changes of resources that the core holds: its own objects, and instances that servers
//! made. They are applied to copies; committing those is an assignment.

use std::collections::{BTreeMap, btree_map::Entry};

use lamplighter_coap::Code;
use lamplighter_model::{
    InstanceAddress, InstancePath, ResourceAddress, ResourceInstanceId, ResourcePath, Scope, Value,
};

use crate::{
    catalogue::Catalogue,
    format::{Content, Node},
    object::CoreObjects,
    reject::Reject,
    tree::{self, Held},
};

/// A checked change of one resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edit {
    /// One instance of a multiple resource goes.
    Delete(ResourcePath, ResourceInstanceId),
    /// The instances of a multiple resource that are named; the others stay.
    Merge(Node),
    /// Back to the default, or to no value.
    Reset(ResourcePath),
    /// Takes the place of all that the resource held.
    Set(Node),
}

/// Copies of what edits change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) core: Option<CoreObjects>,
    pub(crate) stored: BTreeMap<InstancePath, Held>,
}

/// Instances of one multiple resource in what servers store.
const MAX_RESOURCE_INSTANCES: usize = 1024;

/// Applies edits to copies.
///
/// # Errors
/// Where a value is not allowed, or what was allowed is not any more.
pub(crate) fn apply(edits: &[Edit], catalogue: Catalogue<'_>) -> Result<Draft, Reject> {
    let mut draft = Draft::default();
    for edit in edits {
        let path = edit.path();
        if catalogue.core.has_resource(path) {
            let core = draft.core.get_or_insert_with(|| catalogue.core.clone());
            apply_to_core(edit, core, catalogue)?;
        } else {
            apply_to_stored(edit, &mut draft.stored, catalogue)?;
        }
    }
    check_room(&draft.stored, catalogue)?;
    Ok(draft)
}

impl Edit {
    pub(crate) const fn path(&self) -> ResourcePath {
        match self {
            Self::Delete(path, _) | Self::Reset(path) => *path,
            Self::Merge(node) | Self::Set(node) => node.path,
        }
    }

    /// What the resource holds afterwards; `None` for its default, or for no value.
    fn after(&self, before: Option<Content>) -> Result<Option<Content>, Reject> {
        Ok(match self {
            Self::Delete(_, index) => {
                let Some(Content::Multiple(mut values)) = before else {
                    return Err(absent());
                };
                let count = values.len();
                values.retain(|(id, _)| id != index);
                if values.len() == count {
                    return Err(absent());
                }
                Some(Content::Multiple(values))
            }
            Self::Merge(Node { content, .. }) => Some(match (before, content) {
                (Some(Content::Multiple(before)), Content::Multiple(values)) => {
                    sorted(before.iter().chain(values))
                }
                (Some(_) | None, content) => ordered(content),
            }),
            Self::Reset(_) => None,
            Self::Set(Node { content, .. }) => Some(ordered(content)),
        })
    }
}

/// Whether there is room for one more instance, or for what instances hold now.
///
/// # Errors
/// 5.00 where there is not, 4.13 for a value that is too long in itself.
pub(crate) fn check_room(
    stored: &BTreeMap<InstancePath, Held>,
    catalogue: Catalogue<'_>,
) -> Result<(), Reject> {
    let mut bytes = catalogue.tree.stored_bytes();
    for (path, held) in stored {
        held.values()
            .try_for_each(|content| check_content(content, catalogue))?;
        let before = catalogue.tree.held(gateway(*path));
        bytes += tree::size(held);
        bytes = bytes.saturating_sub(before.as_ref().map_or(0, tree::size));
    }
    if bytes > catalogue.creation.max_bytes && !stored.is_empty() {
        return Err(Reject::new(
            Code::INTERNAL_SERVER_ERROR,
            "there is no more room for what servers store",
        ));
    }
    Ok(())
}

fn check_content(content: &Content, catalogue: Catalogue<'_>) -> Result<(), Reject> {
    let limit = catalogue.creation.max_value;
    let fits = |value: &Value| tree::value_size(value) <= limit;
    let fit = match content {
        Content::Multiple(values) => {
            values.len() <= MAX_RESOURCE_INSTANCES && values.iter().all(|(_, value)| fits(value))
        }
        Content::Single(value) => fits(value),
    };
    if fit {
        return Ok(());
    }
    Err(Reject::new(
        Code::REQUEST_ENTITY_TOO_LARGE,
        format!("no more than {MAX_RESOURCE_INSTANCES} values of {limit} bytes each"),
    ))
}

fn apply_to_core(
    edit: &Edit,
    draft: &mut CoreObjects,
    catalogue: Catalogue<'_>,
) -> Result<(), Reject> {
    let (path, now) = (edit.path(), catalogue.now);
    match edit {
        Edit::Delete(..) => match edit.after(draft.read(path, now))? {
            None => draft.reset(path, now),
            Some(content) => draft.write(path, &content, false, now),
        },
        Edit::Merge(node) => draft.write(path, &node.content, true, now),
        Edit::Reset(_) => draft.reset(path, now),
        Edit::Set(node) => draft.write(path, &node.content, false, now),
    }
}

fn apply_to_stored(
    edit: &Edit,
    drafts: &mut BTreeMap<InstancePath, Held>,
    catalogue: Catalogue<'_>,
) -> Result<(), Reject> {
    let path = edit.path();
    let held = match drafts.entry(path.instance) {
        Entry::Occupied(draft) => draft.into_mut(),
        Entry::Vacant(place) => {
            let held = catalogue.tree.held(gateway(path.instance));
            place.insert(held.ok_or_else(|| Reject::not_found("the instance does not exist"))?)
        }
    };
    match edit.after(held.remove(&path.resource))? {
        None => {}
        Some(content) => {
            held.insert(path.resource, content);
        }
    }
    Ok(())
}

/// Each resource instance once, the later value, in order.
fn sorted<'a>(values: impl Iterator<Item = &'a (ResourceInstanceId, Value)>) -> Content {
    let sorted: BTreeMap<_, _> = values.cloned().collect();
    Content::Multiple(sorted.into_iter().collect())
}

fn ordered(content: &Content) -> Content {
    match content {
        Content::Multiple(values) => sorted(values.iter()),
        Content::Single(value) => Content::Single(value.clone()),
    }
}

/// Instances that servers made are all of the box's own tree.
pub(crate) const fn gateway(path: InstancePath) -> InstanceAddress {
    InstanceAddress {
        scope: Scope::Gateway,
        path,
    }
}

/// A resource of the box's own tree.
pub(crate) const fn gateway_resource(path: ResourcePath) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path,
    }
}

fn absent() -> Reject {
    Reject::not_found("the resource instance does not exist")
}
