//! Which objects a server is told about, and in which versions (lwm2m/10, 3).

use std::collections::BTreeMap;

use lamplighter_model::{Address, ObjectId, Path, object::Version, tables::bundled_version};

use super::ANNOUNCED;
use crate::{catalogue::Catalogue, format::link::Link, object, registration::Enabler, view::View};

/// What one server knows of versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions<'a> {
    /// From the configuration, where a server knows only an older definition.
    pub(crate) configured: &'a BTreeMap<ObjectId, Version>,
    pub(crate) enabler: Enabler,
}

/// The links of Register, and of an Update after the list of objects has changed.
pub(crate) fn registration(
    catalogue: Catalogue<'_>,
    view: View,
    versions: Versions<'_>,
) -> Vec<Link> {
    let mut links = Vec::new();
    if versions.enabler >= Enabler::V1_1 {
        links.push(
            Link::new("/")
                .quoted("rt", "oma.lwm2m")
                .content_formats(&ANNOUNCED),
        );
    }
    for scope in view.scopes() {
        let mut last = None;
        for instance in catalogue.instances(scope) {
            if last != Some(instance.object) {
                last = Some(instance.object);
                let object = view.wire(Address {
                    scope,
                    path: Path::Object(instance.object),
                });
                let link = versions.link(object, instance.object, catalogue);
                links.extend((!link.attributes.is_empty()).then_some(link));
            }
            links.push(Link::new(view.wire(Address {
                scope,
                path: instance.into(),
            })));
        }
    }
    links
}

impl Versions<'_> {
    /// The link of an object, with its version where the server would assume another.
    pub(crate) fn link(self, target: Path, object: ObjectId, catalogue: Catalogue<'_>) -> Link {
        let link = Link::new(target);
        match (self.announced(object, catalogue), self.enabler) {
            (version, enabler) if version == bundled_version(enabler, object) => link,
            (version, Enabler::V1_0) => link.quoted("ver", version),
            (version, Enabler::V1_1 | Enabler::V1_2) => link.plain("ver", version),
        }
    }

    fn announced(self, object: ObjectId, catalogue: Catalogue<'_>) -> Version {
        if let Some(configured) = self.configured.get(&object) {
            return *configured;
        }
        match object {
            // What we show of these two is in every version of them.
            object::SERVER | object::DEVICE => bundled_version(self.enabler, object),
            _ => catalogue
                .definition(object)
                .map_or(Version::V1_0, |definition| definition.version),
        }
    }
}
