//! Bootstrap-Discover: which instances there are, and whose (Core 1.2, 6.1.7.2; lwm2m/40, 4).

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{InstancePath, ObjectId, ObjectInstanceId, Path, Scope};

use super::draft::Draft;
use crate::{
    catalogue::Catalogue,
    format::link::{self, Link},
    object::{ACCESS_CONTROL, SECURITY, SERVER},
    operation::links::Versions,
    registration::Enabler,
    reject::Reject,
};

/// The links below the root or an object.
///
/// # Errors
/// 4.00 for what is deeper, 4.04 for an object that this box has not got.
pub(super) fn links(
    path: Path,
    queries: &[String],
    draft: &Draft,
    (enabler, catalogue): (Enabler, Catalogue<'_>),
) -> Result<String, Reject> {
    if !queries.is_empty() {
        return Err(Reject::bad_request("there is no query here"));
    }
    let objects = objects(catalogue);
    let shown: Vec<ObjectId> = match path {
        Path::Root => objects.into_iter().collect(),
        Path::Object(object) if objects.contains(&object) => vec![object],
        Path::Object(_) => return Err(Reject::not_found("this box has no such object")),
        Path::Instance(_) | Path::Resource(_) | Path::ResourceInstance(..) => {
            return Err(Reject::bad_request("discover ends at the object"));
        }
    };
    let configured = BTreeMap::new();
    let versions = Versions {
        configured: &configured,
        enabler,
    };
    let mut links = Vec::new();
    for object in shown {
        let instances = draft.instances_of(object, catalogue);
        let link = versions.link(Path::Object(object), object, catalogue);
        if instances.is_empty() || !link.attributes.is_empty() {
            links.push(link);
        }
        let instances = instances.into_iter();
        links.extend(instances.map(|id| {
            instance_link(
                InstancePath {
                    object,
                    instance: id,
                },
                draft,
            )
        }));
    }
    Ok(headed(&links, enabler))
}

/// All that this box knows of, also without instances.
fn objects(catalogue: Catalogue<'_>) -> BTreeSet<ObjectId> {
    let scope = Scope::Gateway;
    let instances = catalogue.instances(scope).into_iter();
    let mut objects: BTreeSet<ObjectId> = instances.map(|path| path.object).collect();
    objects.extend(catalogue.empty_objects(scope));
    let core = [SECURITY, SERVER, ACCESS_CONTROL].into_iter();
    objects.extend(core.filter(|object| catalogue.definition(*object).is_some()));
    objects
}

fn instance_link(path: InstancePath, draft: &Draft) -> Link {
    let link = Link::new(path);
    match path.object {
        SECURITY => security_link(link, path.instance, draft),
        SERVER => match draft.servers.get(&path.instance).and_then(|one| one.ssid()) {
            Some(ssid) => link.plain("ssid", ssid),
            None => link,
        },
        _ => link,
    }
}

/// Of the account of the bootstrap server nothing is told, as in the published examples.
fn security_link(link: Link, instance: ObjectInstanceId, draft: &Draft) -> Link {
    let Some(security) = draft.security.get(&instance) else {
        return link;
    };
    let account = &security.account;
    match account.ssid {
        Some(ssid) if !account.is_bootstrap => link.plain("ssid", ssid).quoted("uri", &account.uri),
        Some(_) | None => link,
    }
}

/// The version of LwM2M stands in front; up to 1.0 without a target, and nothing is said of URIs.
fn headed(links: &[Link], enabler: Enabler) -> String {
    match enabler {
        Enabler::V1_0 => {
            let mut links = links.to_vec();
            for link in &mut links {
                link.attributes.retain(|attribute| attribute.name != "uri");
            }
            format!("lwm2m=\"1.0\",{}", link::write(&links))
        }
        Enabler::V1_1 | Enabler::V1_2 => {
            let head = Link::new("/").plain("lwm2m", enabler.as_str());
            format!("{head},{}", link::write(links))
        }
    }
}
