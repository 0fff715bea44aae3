//! Which objects a server is told about, and in which versions (lwm2m/10, 3).

use std::collections::BTreeMap;

use lamplighter_model::{Address, ObjectId, Path, Ssid, object::Version, tables::bundled_version};

use super::ANNOUNCED;
use crate::{
    catalogue::Catalogue,
    format::link::Link,
    object,
    registration::{Enabler, List},
    view::View,
};

/// What one server knows of versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions<'a> {
    /// From the configuration, where a server knows only an older definition.
    pub(crate) configured: &'a BTreeMap<ObjectId, Version>,
    pub(crate) enabler: Enabler,
}

/// An object with more instances stands without them in a short list.
const MANY: usize = 8;

/// The links of Register, and of an Update after the list of objects has changed. `to`: a server,
/// which is not told of what is hidden from it.
pub(crate) fn registration(
    catalogue: Catalogue<'_>,
    (view, to): (View, Option<Ssid>),
    versions: Versions<'_>,
    list: List,
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
        let mut empty = catalogue.empty_objects(scope).into_iter().peekable();
        let wire = |path| view.wire(Address { scope, path });
        let object_link = |object| versions.link(wire(Path::Object(object)), object, catalogue);
        let mut instances = catalogue.instances(scope);
        if let Some(ssid) = to {
            instances.retain(|path| !catalogue.core.access.hides(ssid, *path));
        }
        for instances in instances.chunk_by(|one, next| one.object == next.object) {
            let object = instances[0].object;
            while let Some(empty) = empty.next_if(|empty| *empty < object) {
                links.push(object_link(empty));
            }
            let link = object_link(object);
            let is_short = list == List::Short && instances.len() > MANY;
            links.extend((is_short || !link.attributes.is_empty()).then_some(link));
            let named = if is_short { &[] } else { instances };
            links.extend(named.iter().map(|path| Link::new(wire((*path).into()))));
        }
        // lwm2m/20, 13: servers create instances of what they were told only.
        links.extend(empty.map(object_link));
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
            // Of these the core shows what is in the version that is implied.
            object::SECURITY | object::SERVER | object::ACCESS_CONTROL | object::DEVICE => {
                bundled_version(self.enabler, object)
            }
            _ => catalogue
                .definition(object)
                .map_or(Version::V1_0, |definition| definition.version),
        }
    }
}
