//! The tables against a copy of the OMA registry, where `LAMPLIGHTER_REGISTRY_DIR` names one.
#![expect(clippy::print_stderr, reason = "a test that compares nothing says so")]

use std::path::{Path, PathBuf};

use lamplighter_model::{object::ObjectDef, tables, xml};

/// Files of the registry that define no object.
const OTHERS: [&str; 3] = ["Common.xml", "DDF.xml", "LWM2M_senml_units.xml"];

#[test]
fn the_registry_loads_and_our_tables_agree_with_it() {
    let Some(directory) = std::env::var_os("LAMPLIGHTER_REGISTRY_DIR").map(PathBuf::from) else {
        eprintln!("skipped: LAMPLIGHTER_REGISTRY_DIR names no copy of the OMA registry");
        return;
    };
    every_definition_loads(&directory);
    every_definition_loads(&directory.join("version_history"));
    for object in tables::standard().iter() {
        let official = load(&directory.join(format!("{}.xml", object.id)));
        assert_eq!(official.len(), 1);
        assert_same(object, &official[0]);
    }
}

/// Resource by resource, so that a difference is shown and not the whole object.
fn assert_same(ours: &ObjectDef, official: &ObjectDef) {
    let ids = |object: &ObjectDef| object.resources.keys().copied().collect::<Vec<_>>();
    assert_eq!(ids(ours), ids(official), "object {}", ours.id);
    for (ours_resource, official) in ours.resources.values().zip(official.resources.values()) {
        assert_eq!(ours_resource, official, "object {}", ours.id);
    }
    assert_eq!(ours, official);
}

fn every_definition_loads(directory: &Path) {
    let mut loaded = 0;
    for entry in std::fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        let other = path
            .file_name()
            .is_some_and(|name| OTHERS.iter().any(|other| name == *other));
        if !other && path.extension().is_some_and(|extension| extension == "xml") {
            loaded += load(&path).len();
        }
    }
    assert!(loaded > 0, "no definitions in {}", directory.display());
}

fn load(path: &Path) -> Vec<ObjectDef> {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    xml::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
