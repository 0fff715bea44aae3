//! Which objects the box knows: those built in, OMA XML beside the configuration, our vendor objects.

use std::{fs, path::Path, sync::Arc};

use lamplighter_model::{object::Definitions, tables, xml};

/// Larger than any definition of the registry.
const MAX_FILE: u64 = 1024 * 1024;

/// The built-in definitions and those in `objects/*.xml` beside the configuration, which go first.
/// What cannot be read is told, with its file.
pub fn load(config: &Path) -> (Definitions, Vec<String>) {
    let mut definitions = tables::standard();
    let mut unread = Vec::new();
    let directory = config.parent().unwrap_or(Path::new(".")).join("objects");
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "xml")).collect();
    files.sort();
    for file in files {
        match read(&file) {
            Ok(found) => found.into_iter().for_each(|definition| definitions.insert(definition)),
            Err(why) => unread.push(format!("{}: {why}", file.display())),
        }
    }
    (definitions, unread)
}

/// The same with our vendor objects from `base` on.
pub fn with_vendor(definitions: &Definitions, base: u16) -> Arc<Definitions> {
    let mut all = definitions.clone();
    tables::vendor(base).into_iter().for_each(|definition| all.insert(definition));
    Arc::new(all)
}

fn read(file: &Path) -> Result<Vec<lamplighter_model::object::ObjectDef>, String> {
    let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > MAX_FILE {
        return Err(format!("{length} bytes are more than the {MAX_FILE} of the largest definition"));
    }
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    xml::read(&text).map_err(|error| error.to_string())
}
