//! Templates: device types, each a file of its own, with parameters.
//!
//! 1. `template = "xy-md02"` of a device names `xy-md02.toml` in `templates/` beside the main file,
//!    else in the directory of the package.
//! 2. The device's `parameters` and the defaults of the template fill its `${…}`.
//! 3. What comes out lies below all layers of the user: whatever his files say of the device wins,
//!    key by key, and what they do not say has its place in the template.

mod declaration;
mod fill;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use figment::value::{Dict, Value};

use super::{
    extract::Misfit,
    layer::{self, File, Key, Layer, Layers, Texts},
    problem::{Place, Problem, Severity, nearest},
};
use declaration::Template;

/// Where the package puts its templates.
pub const SHARED: &str = "/usr/share/lamplighter/templates";

/// The layers with what templates add, and what was wrong with them.
pub(super) struct Expanded {
    pub(super) layers: Layers,
    /// Keys that have done their work, and devices that cannot be made.
    pub(super) used: BTreeSet<Key>,
    /// In the user's files.
    pub(super) misfits: Vec<Misfit>,
    /// In templates.
    pub(super) problems: Vec<Problem>,
}

/// Reads the templates that devices name. One that is in none of the directories is found missing
/// when the texts are checked.
pub(super) fn read(texts: &mut Texts, directories: &[PathBuf]) -> Vec<Problem> {
    let (layers, _) = Layers::merge(texts);
    let names: BTreeSet<String> = wanted(&layers)
        .into_iter()
        .filter_map(|wanted| wanted.name)
        .collect();
    let mut problems = Vec::new();
    texts.templates.clear();
    for name in names {
        let candidates = directories
            .iter()
            .map(|directory| file_of(directory, &name));
        let Some(path) = candidates.into_iter().find(|path| !layer::is_absent(path)) else {
            continue;
        };
        match layer::read_limited(&path) {
            Ok(text) => texts.templates.push(File { path, text }),
            Err(error) => problems.push(layer::unreadable(&path, texts.files.len(), &error)),
        }
    }
    problems
}

/// Puts the templates below the user's layers. `directories`: for the hint what there is.
pub(super) fn expand(layers: Layers, files: &[File], directories: &[PathBuf]) -> Expanded {
    let mut expansion = Expansion {
        user: &layers,
        files,
        directories,
        first_layer: layers.count(),
        templates: BTreeMap::new(),
        used: BTreeSet::new(),
        misfits: Vec::new(),
        problems: Vec::new(),
    };
    for wanted in wanted(&layers) {
        expansion.device(wanted);
    }
    let Expansion {
        templates,
        used,
        misfits,
        problems,
        ..
    } = expansion;
    let made = templates
        .into_values()
        .flatten()
        .filter_map(Made::into_layer)
        .collect();
    Expanded {
        layers: layers.above(made),
        used,
        misfits,
        problems,
    }
}

/// A device that has `template` or `parameters`.
struct Wanted<'a> {
    device: &'a str,
    /// As far as it can be the name of a file.
    name: Option<String>,
    parameters: Option<&'a Value>,
}

struct Expansion<'a> {
    user: &'a Layers,
    files: &'a [File],
    directories: &'a [PathBuf],
    /// Number of the first layer that comes from a template.
    first_layer: usize,
    /// By name; `None`: one that cannot be used, which was said already.
    templates: BTreeMap<String, Option<Made>>,
    used: BTreeSet<Key>,
    misfits: Vec<Misfit>,
    problems: Vec<Problem>,
}

/// A template and the devices that were made of it.
struct Made {
    template: Template,
    devices: Dict,
    names: Vec<String>,
}

impl Expansion<'_> {
    fn device(&mut self, wanted: Wanted<'_>) {
        let device: Key = vec!["device".to_owned(), wanted.device.to_owned()];
        let (template, parameters) = (below(&device, "template"), below(&device, "parameters"));
        self.used.insert(template.clone());
        self.used.insert(parameters.clone());
        let Some(name) = wanted.name else {
            let what = match self.user.find(&template) {
                Some(_) => "`template` is the name of a device type",
                None => "`parameters` are those of a template, and none is named",
            };
            let at = if self.user.find(&template).is_some() {
                template
            } else {
                parameters
            };
            return self.misfit(
                at,
                what,
                Some("for example template = \"xy-md02\"".to_owned()),
            );
        };
        self.load(&name, &template);
        let Some(Some(made)) = self.templates.get_mut(&name) else {
            // Nothing can be said about the rest of a device whose type is not known.
            self.used.insert(device);
            return;
        };
        let given = declaration::given(&made.template, self.user, &parameters, wanted.parameters);
        self.misfits.extend(given.misfits);
        let Some(values) = given.values else {
            let missing: Vec<&str> = given.missing.iter().map(String::as_str).collect();
            if !missing.is_empty() {
                let what = format!("template `{name}` needs {}", list(&missing));
                let hint = format!("parameters = {{ {} = … }}", missing.join(" = …, "));
                let at = if wanted.parameters.is_some() {
                    parameters
                } else {
                    template
                };
                self.misfit(at, what, Some(hint));
            }
            self.used.insert(device);
            return;
        };
        let (filled, faults) = fill::fill(&made.template, &values);
        made.devices.insert(wanted.device.to_owned(), filled);
        made.names.push(wanted.device.to_owned());
        for (key, fault) in faults {
            // What could not be filled in is said once, and not asked for its meaning.
            let rest = key.into_iter().skip(1);
            self.used
                .insert(device.iter().cloned().chain(rest).collect());
            self.problems.push(fault);
        }
        self.same_adapter(&device, &name);
    }

    /// Parses a template when it is named first.
    fn load(&mut self, name: &str, at: &Key) {
        if self.templates.contains_key(name) {
            return;
        }
        let number = self.first_layer + self.templates.len();
        let file = self
            .files
            .iter()
            .find(|file| file.path.file_stem().is_some_and(|stem| stem == name));
        let template = match file {
            None => {
                let hint = self.known(name);
                self.misfit(
                    at.clone(),
                    format!("there is no template `{name}`"),
                    Some(hint),
                );
                None
            }
            Some(file) => {
                let (template, problems) = Template::parse(file, number);
                self.problems.extend(problems);
                template
            }
        };
        let made = template.map(|template| Made {
            template,
            devices: Dict::new(),
            names: Vec::new(),
        });
        self.templates.insert(name.to_owned(), made);
    }

    /// A device is of one kind only.
    fn same_adapter(&mut self, device: &Key, name: &str) {
        let at = below(device, "adapter");
        let Some(Some(made)) = self.templates.get(name) else {
            return;
        };
        let (Some(own), Some(theirs)) = (
            self.user.find(&at).and_then(Value::as_str),
            made.template.adapter(),
        ) else {
            return;
        };
        if own != theirs {
            let what = format!("template `{name}` is of adapter = \"{theirs}\"");
            self.misfit(at, what, Some("leave `adapter` out".to_owned()));
        }
    }

    /// What was probably meant, or where templates are looked for.
    fn known(&self, wrong: &str) -> String {
        let names: BTreeSet<String> = self
            .directories
            .iter()
            .flat_map(|directory| names_in(directory))
            .collect();
        if let Some(nearest) = nearest(wrong, names.iter().map(String::as_str)) {
            return format!("did you mean `{nearest}`?");
        }
        let places: Vec<String> = self
            .directories
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        let places = format!("they are looked for in {}", places.join(", then in "));
        if names.is_empty() {
            return places;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("there is {}; {places}", names.join(", "))
    }

    fn misfit(&mut self, key: Key, what: impl Into<String>, hint: Option<String>) {
        self.misfits.push(Misfit {
            key,
            what: what.into(),
            hint,
        });
    }
}

impl Made {
    fn into_layer(self) -> Option<Layer> {
        if self.names.is_empty() {
            return None;
        }
        let mut lines = BTreeMap::new();
        for (key, line) in &self.template.lines {
            // The table itself is the user's, who is told there what is missing.
            let [first, rest @ ..] = key.as_slice() else {
                continue;
            };
            if first != "device" || rest.is_empty() {
                continue;
            }
            for name in &self.names {
                let mut key: Key = vec![first.clone(), name.clone()];
                key.extend_from_slice(rest);
                lines.insert(key, *line);
            }
        }
        let dict = Dict::from([("device".to_owned(), Value::from(self.devices))]);
        Some(Layer::of_template(self.template.file, dict, lines))
    }
}

fn wanted(layers: &Layers) -> Vec<Wanted<'_>> {
    let devices = layers.find(&["device".to_owned()]).and_then(Value::as_dict);
    let mut wanted = Vec::new();
    for (device, table) in devices.into_iter().flatten() {
        let Some(table) = table.as_dict() else {
            continue;
        };
        let (name, parameters) = (table.get("template"), table.get("parameters"));
        if name.is_some() || parameters.is_some() {
            let name = name.and_then(Value::as_str).filter(|name| is_name(name));
            wanted.push(Wanted {
                device,
                name: name.map(str::to_owned),
                parameters,
            });
        }
    }
    wanted
}

fn file_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.toml"))
}

/// It becomes the name of a file.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.path();
            let is_toml = path
                .extension()
                .is_some_and(|extension| extension == "toml");
            let stem = path.file_stem()?.to_str()?;
            is_toml.then(|| stem.to_owned())
        })
        .collect()
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [one] => format!("the parameter {one}"),
        several => format!("the parameters {}", several.join(", ")),
    }
}

fn below(table: &Key, name: &str) -> Key {
    let mut key = table.clone();
    key.push(name.to_owned());
    key
}

/// A fault of a template, at one of its keys.
fn fault(
    template: &str,
    layer: usize,
    line: Option<usize>,
    key: &Key,
    what: String,
    hint: Option<String>,
) -> Problem {
    Problem {
        severity: Severity::Error,
        place: Place {
            layer,
            file: template.to_owned(),
            line,
        },
        key: key.join("."),
        what,
        hint,
    }
}
