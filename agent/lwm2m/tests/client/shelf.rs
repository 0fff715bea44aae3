//! A box whose servers may create: instances of object 34 (several), 35 (one) and 16.

use std::{collections::BTreeSet, sync::Arc};

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::client::{ClientConfig, Creation, ServerConfig, VersionChoice};
use lamplighter_model::{
    DataType, ObjectId, ResourceId,
    object::{Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};

use crate::common::{World, accept_all, config, definitions, request, server_config};

pub(crate) const TLV: u16 = 11542;
pub(crate) const JSON: u16 = 110;

/// Resources of object 34.
const RESOURCES: [(u16, Operations, bool, Multiplicity, DataType); 12] = [
    (
        0,
        Operations::RW,
        true,
        Multiplicity::Single,
        DataType::String,
    ),
    (
        1,
        Operations::RW,
        false,
        Multiplicity::Multiple,
        DataType::String,
    ),
    (
        2,
        Operations::R,
        true,
        Multiplicity::Single,
        DataType::Integer,
    ),
    (
        3,
        Operations::R,
        false,
        Multiplicity::Single,
        DataType::Integer,
    ),
    (4, Operations::E, true, Multiplicity::Single, DataType::None),
    (
        5,
        Operations::E,
        false,
        Multiplicity::Single,
        DataType::None,
    ),
    (
        6,
        Operations::RW,
        false,
        Multiplicity::Single,
        DataType::Objlnk,
    ),
    (
        7,
        Operations::RW,
        false,
        Multiplicity::Single,
        DataType::Corelnk,
    ),
    (
        8,
        Operations::W,
        false,
        Multiplicity::Single,
        DataType::Opaque,
    ),
    (
        9,
        Operations::RW,
        false,
        Multiplicity::Single,
        DataType::Integer,
    ),
    (
        10,
        Operations::RW,
        false,
        Multiplicity::Single,
        DataType::Boolean,
    ),
    (
        11,
        Operations::R,
        true,
        Multiplicity::Multiple,
        DataType::Float,
    ),
];

pub(crate) fn shelf_config(version: VersionChoice) -> ClientConfig {
    let mut definitions = definitions();
    definitions.insert(object(34, Multiplicity::Multiple));
    definitions.insert(object(35, Multiplicity::Single));
    ClientConfig {
        creation: Creation {
            max_bytes: 16 << 10,
            max_instances: 4,
            max_value: 1 << 10,
            objects: BTreeSet::from([1, 3, 34, 35, 99, 3303].map(ObjectId)),
        },
        definitions: Arc::new(definitions),
        servers: vec![ServerConfig {
            version,
            ..server_config()
        }],
        ..config()
    }
}

fn object(id: u16, multiplicity: Multiplicity) -> ObjectDef {
    let resources = RESOURCES.into_iter();
    let resource = |(id, operations, mandatory, multiplicity, data_type)| ResourceDef {
        id: ResourceId(id),
        name: format!("resource {id}"),
        operations,
        multiplicity,
        mandatory,
        data_type,
        range: (id == 9).then_some((-128.0, 127.0)),
        unit: String::new(),
    };
    ObjectDef {
        id: ObjectId(id),
        name: format!("object {id}"),
        version: Version::V1_0,
        multiplicity,
        mandatory: false,
        resources: resources
            .map(resource)
            .map(|resource| (resource.id, resource))
            .collect(),
    }
}

/// Registered in a version.
pub(crate) fn shelf(version: VersionChoice) -> World {
    let mut world = World::new(shelf_config(version), Vec::new(), accept_all);
    world.run();
    world
}

impl World {
    pub(crate) fn post(&mut self, path: &str, format: u16, payload: &[u8]) -> Response {
        self.ask(request(Method::Post, path, Some(format), payload))
    }

    pub(crate) fn delete(&mut self, path: &str) -> Response {
        self.ask(request(Method::Delete, path, None, b""))
    }

    pub(crate) fn fetch(&mut self, body: &str) -> Response {
        self.ask(Request {
            accept: Some(JSON),
            ..request(Method::Fetch, "/", Some(JSON), body.as_bytes())
        })
    }

    /// `/34/0` with a name and two texts.
    pub(crate) fn fill(&mut self) {
        let body =
            r#"[{"bn":"/34/0/","n":"0","vs":"a"},{"n":"1/0","vs":"Red"},{"n":"1/1","vs":"Green"}]"#;
        assert_eq!(self.post("/34", JSON, body.as_bytes()).code, Code::CREATED);
    }

    /// Everything that a refused request must leave as it is.
    pub(crate) fn state(&mut self) -> String {
        let all = self.fetch(r#"[{"n":"/"}]"#);
        assert_eq!(all.code, Code::CONTENT);
        format!(
            "{:?} {:?} {}",
            self.saved,
            self.tree,
            String::from_utf8_lossy(&all.payload)
        )
    }
}
