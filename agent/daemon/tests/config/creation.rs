//! `[client] creatable` and `[client.created]`.

use std::collections::BTreeSet;

use lamplighter_model::ObjectId;

use crate::{SERVER, check, directory, put, source};

const OBJECT: &str = r#"<LWM2M><Object ObjectType="MODefinition"><Name>Shelf</Name>
<ObjectID>33000</ObjectID><ObjectVersion>1.0</ObjectVersion>
<MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory><Resources>
<Item ID="0"><Name>Name</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>String</Type></Item></Resources></Object></LWM2M>"#;

fn objects(ids: &[u16]) -> BTreeSet<ObjectId> {
    ids.iter().copied().map(ObjectId).collect()
}

#[test]
fn servers_may_create_what_exists_to_be_created_and_what_only_a_file_defines() {
    let directory = directory("creation");
    std::fs::create_dir_all(directory.join("objects")).unwrap();
    put(&directory, "objects/shelf.xml", OBJECT);
    let temperature = OBJECT.replace("33000", "3303");
    put(&directory, "objects/temperature.xml", &temperature);
    put(&directory, "lamplighter.toml", SERVER);
    let config = source(&directory).check().config.unwrap();
    assert_eq!(config.creation.objects, objects(&[16, 19, 33000]));
    let listed = format!("{SERVER}[client]\ncreatable = [19]\n[client.created]\ninstances = 3\n");
    put(&directory, "lamplighter.toml", &listed);
    let creation = source(&directory).check().config.unwrap().creation;
    assert_eq!(
        (creation.objects, creation.max_instances, creation.max_value),
        (objects(&[19]), 3, 65_536)
    );
}

#[test]
fn what_the_agent_makes_itself_or_nothing_defines_cannot_be_creatable() {
    for text in [
        "[client]\ncreatable = [3]",
        "[client]\ncreatable = [40000]",
        "[client]\ncreatable = [42801]",
        "[client]\ncreatable = [3303]\n[device.a]\nadapter = \"sim\"\npoint.t = { resource = \"/3303/0/5700\" }",
        "[client.created]\ninstances = 0",
        "[client.created]\nvalue_bytes = 1048577",
    ] {
        let checked = check("creatable", &format!("{SERVER}{text}\n"));
        assert!(checked.config.is_none(), "{text}");
        assert_eq!(checked.problems.len(), 1, "{text}: {:?}", checked.problems);
    }
}
