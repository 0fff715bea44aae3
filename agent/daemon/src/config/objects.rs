//! `objects/*.xml` beside the configuration: OMA definitions of objects that are not built in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lamplighter_model::{object::Definitions, xml};

use super::{
    layer::read_limited,
    problem::{Place, Problem, Severity},
};

/// After all layers.
const LAST: usize = usize::MAX;

/// Adds every definition in `directory`; a file that is none is a problem. No directory is none.
pub(super) fn read(directory: &Path, definitions: &mut Definitions) -> Vec<Problem> {
    let mut problems = Vec::new();
    let paths = match paths(directory) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return problems,
        Err(error) => return vec![problem(directory, None, format!("cannot be read: {error}"))],
    };
    for path in paths {
        match read_limited(&path) {
            Err(error) => problems.push(problem(&path, None, format!("cannot be read: {error}"))),
            Ok(text) => match xml::read(&text) {
                Ok(objects) => objects
                    .into_iter()
                    .for_each(|object| definitions.insert(object)),
                Err(error) => problems.push(problem(
                    &path,
                    usize::try_from(error.line).ok(),
                    error.to_string(),
                )),
            },
        }
    }
    problems
}

fn paths(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn problem(path: &Path, line: Option<usize>, what: String) -> Problem {
    Problem {
        severity: Severity::Error,
        place: Place {
            layer: LAST,
            file: path.display().to_string(),
            line,
        },
        key: String::new(),
        what,
        hint: Some("a file of object definitions as OMA publishes them".to_owned()),
    }
}
