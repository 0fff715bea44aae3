//! Every input that is kept, and a bounded number of changed ones, the same in every run.

use std::{collections::BTreeSet, fs, path::Path};

use lamplighter_fuzz::{
    TARGETS, corpus,
    runner::{self, Limit},
};

#[test]
fn every_corpus_file_is_harmless() {
    for target in TARGETS {
        for (name, input) in corpus::read(target.name).unwrap() {
            if let Err(why) = runner::one(target, &input) {
                panic!("{} {name}: {why}", target.name);
            }
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let directories: BTreeSet<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(directories, targets);
}

#[test]
fn changed_inputs_are_harmless() {
    for target in TARGETS {
        let inputs = corpus::read(target.name).unwrap();
        let inputs: Vec<_> = inputs.into_iter().map(|(_, input)| input).collect();
        let limit = Limit::Changes(target.changes);
        let outcome = runner::many(target, &inputs, 1, limit, |_| {});
        if let Some(find) = outcome.finds.first() {
            panic!("{} {:?}: {}", target.name, find.input, find.why);
        }
    }
}
