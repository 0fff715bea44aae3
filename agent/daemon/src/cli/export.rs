//! `lamplighter objects export DIR`

use std::{collections::BTreeSet, io::Write, path::Path};

use lamplighter_model::{
    ObjectId,
    object::Definitions,
    tables::{self, VendorObject},
    xml,
};

use super::{args::Global, exit::Failure};
use crate::{
    atomic,
    config::{Config, Source, VENDOR_OBJECT_BASE},
};

/// Objects that the agent has whatever is configured.
const OWN_OBJECTS: [u16; 4] = [1, 3, 4, 7];

/// The object of the rights of several servers.
const ACCESS_CONTROL: ObjectId = ObjectId(2);

/// Writes the definition of every object that this configuration registers; without a
/// configuration, of every object that is built in.
pub(super) fn export(
    global: &Global,
    directory: &Path,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let used = if global.config().exists() {
        registered(global)?
    } else {
        built_in()
    };
    atomic::directory(directory)?;
    for (name, text) in xml::files(&used) {
        atomic::write(&directory.join(&name), text.as_bytes(), 0o644)?;
        writeln!(out, "{}", directory.join(&name).display())?;
    }
    Ok(())
}

fn registered(global: &Global) -> Result<Definitions, Failure> {
    let checked = Source::of_process(global.config()).check();
    let Some(config) = checked.config else {
        return Err(Failure::invalid(&checked.problems));
    };
    let mut used = Definitions::default();
    for id in objects(&config) {
        if let Some(object) = config.definitions.object(id) {
            used.insert(object.as_ref().clone());
        }
    }
    Ok(used)
}

fn built_in() -> Definitions {
    let mut all = tables::standard();
    tables::vendor(VENDOR_OBJECT_BASE)
        .into_iter()
        .for_each(|object| all.insert(object));
    all
}

/// The objects that servers will find here.
pub(super) fn objects(config: &Config) -> BTreeSet<ObjectId> {
    let base = config.site.vendor_object_base;
    let points = config.points().map(|point| point.address.path.object());
    let groups = config
        .site
        .groups
        .iter()
        .filter_map(|group| Some(group.standard_instance?.path.object));
    let group = (!config.site.groups.is_empty()).then(|| VendorObject::Group.id(base));
    let output = (!config.site.points.is_empty()).then(|| VendorObject::OutputStatus.id(base));
    let rights = (config.servers.len() > 1).then_some(ACCESS_CONTROL);
    OWN_OBJECTS
        .map(ObjectId)
        .into_iter()
        .chain(points)
        .chain(groups)
        .chain(group)
        .chain(output)
        .chain(rights)
        .chain(config.creation.objects.iter().copied())
        .collect()
}
