//! Lays the files and the environment over each other and remembers where each value came from.
//!
//! 1. Every file is parsed; the lines of its keys are looked for when one of them is asked for.
//! 2. figment merges: main file, drop-ins in the order of their names, environment. Tables merge by
//!    name; anything else is replaced by the later layer.
//! 3. A value of the merged tree carries the tag of its layer, and with it finds its line.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Tag, Value},
};
use serde::{Deserialize, Serialize};
use toml_edit::{ImDocument, Item, TableLike};

use super::problem::{Place, Problem, Severity};

/// Variables that begin like settings and are none.
const NO_SETTINGS: [&str; 2] = ["LAMPLIGHTER_LOG", "LAMPLIGHTER_REGISTRY_DIR"];
const PREFIX: &str = "LAMPLIGHTER_";
/// A configuration file is written by hand; more than this is a mistake.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A key in the merged tree, from the root down.
pub(super) type Key = Vec<String>;

/// The texts of a configuration: what is read, kept as last good, and checked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Texts {
    /// The main file first, then the drop-ins.
    pub files: Vec<File>,
    /// `LAMPLIGHTER_…` variables with their values.
    pub environment: Vec<(String, String)>,
    /// The templates that devices name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<File>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct File {
    pub path: PathBuf,
    pub text: String,
}

/// The merged tree with the places of its keys.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) root: Value,
    /// Which layer the values of a tag come from.
    owners: BTreeMap<Tag, usize>,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    name: String,
    dict: Dict,
    lines: Lines,
    is_environment: bool,
    is_template: bool,
}

/// The line of each key of a text. They take many times the memory of the text, and only problems
/// have a use for them.
#[derive(Clone, Debug)]
struct Lines {
    /// Of TOML.
    text: String,
    found: OnceCell<BTreeMap<Key, usize>>,
}

impl Texts {
    /// Reads `main` and `conf.d/*.toml` beside it, and takes what belongs to us from `environment`.
    /// What cannot be read is a problem; the rest is still read. Beside a drop-in there need not be
    /// a main file.
    pub fn read(
        main: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut paths = drop_ins(main).unwrap_or_else(|(path, error)| {
            problems.push(unreadable(&path, 1, &error));
            Vec::new()
        });
        if paths.is_empty() || !is_absent(main) {
            paths.insert(0, main.to_owned());
        }
        let mut files = Vec::new();
        for path in paths {
            match read_limited(&path) {
                Ok(text) => files.push(File { path, text }),
                Err(error) => problems.push(unreadable(&path, files.len(), &error)),
            }
        }
        let environment = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !NO_SETTINGS.contains(&name.as_str()))
            .collect();
        let texts = Self {
            files,
            environment,
            templates: Vec::new(),
        };
        (texts, problems)
    }
}

impl Texts {
    /// Puts a drop-in in its place among the others, or replaces the one of that name.
    pub(super) fn put(&mut self, file: File) {
        self.files.retain(|other| other.path != file.path);
        let is_later =
            |other: &File| other.path.parent() == file.path.parent() && other.path > file.path;
        let at = self
            .files
            .iter()
            .position(is_later)
            .unwrap_or(self.files.len());
        self.files.insert(at, file);
    }
}

impl Layers {
    /// Merges all texts. A file with a syntax error is left out and reported.
    pub(super) fn merge(texts: &Texts) -> (Self, Vec<Problem>) {
        let mut layers = Vec::new();
        let mut problems = Vec::new();
        for (number, file) in texts.files.iter().enumerate() {
            match Layer::from_file(file) {
                Ok(layer) => layers.push(layer),
                Err((line, what)) => problems.push(Problem {
                    severity: Severity::Error,
                    place: Place {
                        layer: number,
                        file: file.path.display().to_string(),
                        line: Some(line),
                    },
                    key: String::new(),
                    what,
                    hint: None,
                }),
            }
        }
        layers.extend(
            texts
                .environment
                .iter()
                .map(|(name, value)| Layer::from_variable(name, value)),
        );
        (Self::of(layers), problems)
    }

    /// The same, with templates below everything else.
    pub(super) fn above(mut self, templates: Vec<Layer>) -> Self {
        if templates.is_empty() {
            return self;
        }
        self.layers.extend(templates);
        Self::of(self.layers)
    }

    fn of(layers: Vec<Layer>) -> Self {
        let (templates, users): (Vec<_>, Vec<_>) =
            layers.iter().partition(|layer| layer.is_template);
        let lowest_first = templates.into_iter().chain(users);
        let figment = lowest_first.fold(Figment::new(), Figment::merge);
        let dict = figment
            .data()
            .ok()
            .and_then(|mut data| data.remove(&Profile::Default));
        let root = Value::from(dict.unwrap_or_default());
        let mut owners = BTreeMap::new();
        find_owners(&root, &figment, &layers, &mut owners);
        Self {
            root,
            owners,
            layers,
        }
    }

    /// Nothing more is put below: what the layers were made of is not needed any more. It is several
    /// times as large as what is made of it.
    pub(super) fn settled(mut self) -> Self {
        for layer in &mut self.layers {
            layer.dict = Dict::new();
        }
        self
    }

    pub(super) fn count(&self) -> usize {
        self.layers.len()
    }

    /// Of what stands in a template: where the user names that template.
    pub(super) fn user_of(&self, place: &Place, key: &[String]) -> Option<Place> {
        let [first, device, ..] = key else {
            return None;
        };
        let is_template = self.layers.get(place.layer)?.is_template;
        (is_template && first == "device")
            .then(|| self.place(&[first.clone(), device.clone(), "template".to_owned()]))
    }

    /// The value at a key, also one that was reported as wrong.
    pub(super) fn find(&self, key: &[String]) -> Option<&Value> {
        key.iter().try_fold(&self.root, |value, name| match value {
            Value::Dict(_, dict) => dict.get(name),
            Value::Array(_, items) => items.get(name.parse::<usize>().ok()?),
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..) => None,
        })
    }

    /// Whether a value is the text of a variable, to be read as the type that is asked for.
    pub(super) fn is_from_environment(&self, tag: Tag) -> bool {
        self.layer_of(tag)
            .is_some_and(|(_, layer)| layer.is_environment)
    }

    /// Where a key stands; of one that stands nowhere, the table that it would belong to.
    pub(super) fn place(&self, key: &[String]) -> Place {
        let value = self.find(key);
        let owner = value.and_then(|value| self.layer_of(value.tag()));
        if let Some((number, layer)) = owner {
            if let Some(line) = layer.lines.of(key) {
                return layer.place(number, line);
            }
            // A variable whose name has empty parts stands under a shorter key than its own.
            if layer.is_environment && value.and_then(Value::as_dict).is_none() {
                return layer.place(number, 0);
            }
        }
        for depth in (1..=key.len()).rev() {
            for (number, layer) in self.layers.iter().enumerate() {
                if let Some(line) = layer.lines.of(&key[..depth]) {
                    return layer.place(number, line);
                }
            }
        }
        if let Some((number, layer)) = owner {
            return layer.place(number, 0);
        }
        self.layers
            .first()
            .map(|layer| layer.place(0, 1))
            .unwrap_or_default()
    }

    fn layer_of(&self, tag: Tag) -> Option<(usize, &Layer)> {
        let number = *self.owners.get(&tag)?;
        Some((number, self.layers.get(number)?))
    }
}

impl Layer {
    fn from_file(file: &File) -> Result<Self, (usize, String)> {
        Ok(Self {
            name: file.path.display().to_string(),
            dict: parse(&file.text)?,
            lines: Lines {
                text: file.text.clone(),
                found: OnceCell::new(),
            },
            is_environment: false,
            is_template: false,
        })
    }

    /// What a template makes, and where in it each key stands.
    pub(super) fn of_template(name: String, dict: Dict, lines: BTreeMap<Key, usize>) -> Self {
        Self {
            name,
            dict,
            lines: lines.into(),
            is_environment: false,
            is_template: true,
        }
    }

    fn from_variable(name: &str, value: &str) -> Self {
        let setting = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
        let key: Key = setting.split("__").map(str::to_owned).collect();
        let nested = figment::util::nest(&key.join("."), Value::from(value));
        let dict = match nested {
            Value::Dict(_, dict) => dict,
            Value::Array(..)
            | Value::Bool(..)
            | Value::Char(..)
            | Value::Empty(..)
            | Value::Num(..)
            | Value::String(..) => Dict::new(),
        };
        Self {
            name: format!("environment {name}"),
            dict,
            lines: BTreeMap::from([(key, 0)]).into(),
            is_environment: true,
            is_template: false,
        }
    }

    fn place(&self, number: usize, line: usize) -> Place {
        Place {
            layer: number,
            file: self.name.clone(),
            line: (line > 0).then_some(line),
        }
    }
}

fn find_owners(
    value: &Value,
    figment: &Figment,
    layers: &[Layer],
    owners: &mut BTreeMap<Tag, usize>,
) {
    let tag = value.tag();
    if !owners.contains_key(&tag)
        && let Some(metadata) = figment.get_metadata(tag)
        && let Some(owner) = layers.iter().position(|layer| layer.name == metadata.name)
    {
        owners.insert(tag, owner);
    }
    match value {
        Value::Dict(_, dict) => dict
            .values()
            .for_each(|value| find_owners(value, figment, layers, owners)),
        Value::Array(_, items) => items
            .iter()
            .for_each(|value| find_owners(value, figment, layers, owners)),
        Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..)
        | Value::Empty(..) => {}
    }
}

impl Lines {
    fn of(&self, key: &[String]) -> Option<usize> {
        let found = self.found.get_or_init(|| lines(&self.text));
        found.get(key).copied()
    }
}

impl From<BTreeMap<Key, usize>> for Lines {
    fn from(lines: BTreeMap<Key, usize>) -> Self {
        Self {
            text: String::new(),
            found: lines.into(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Nothing of that name is there, not even a link that leads nowhere.
pub(super) fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The drop-ins beside the main file in the order of their names; no directory means none.
fn drop_ins(main: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let directory = main.with_file_name("conf.d");
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err((directory, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| (directory.clone(), error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

pub(super) fn read_limited(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "more than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(text)
}

pub(super) fn unreadable(path: &Path, layer: usize, error: &io::Error) -> Problem {
    let hint = if error.kind() == io::ErrorKind::NotFound && !is_absent(path) {
        Some(
            "it is a link to a file that does not exist: make that file or remove the link"
                .to_owned(),
        )
    } else if error.kind() == io::ErrorKind::NotFound {
        Some("write one with `lamplighter setup`, or name another file with --config".to_owned())
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        Some("the user of the service must be able to read it".to_owned())
    } else {
        None
    };
    Problem {
        severity: Severity::Error,
        place: Place {
            layer,
            file: path.display().to_string(),
            line: None,
        },
        key: String::new(),
        what: format!("cannot be read: {error}"),
        hint,
    }
}

/// A file as a tree; where it is not TOML, the line and why.
pub(super) fn parse(text: &str) -> Result<Dict, (usize, String)> {
    Toml::from_str::<Dict>(text).map_err(|error| match ImDocument::parse(text) {
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            (LineNumbers::of(text).at(at), first_line(error.message()))
        }
        Ok(_) => (1, first_line(error.message())),
    })
}

/// The line of each key of TOML.
pub(super) fn lines(text: &str) -> BTreeMap<Key, usize> {
    let mut lines = BTreeMap::new();
    if let Ok(document) = ImDocument::parse(text) {
        let numbers = LineNumbers::of(text);
        note_lines(document.as_table(), &numbers, &mut Vec::new(), &mut lines);
    }
    lines
}

fn note_lines(
    table: &dyn TableLike,
    numbers: &LineNumbers,
    above: &mut Key,
    lines: &mut BTreeMap<Key, usize>,
) {
    for (name, item) in table.iter() {
        above.push(name.to_owned());
        let span = table
            .key(name)
            .and_then(toml_edit::Key::span)
            .or_else(|| item.span());
        if let Some(span) = span {
            lines.insert(above.clone(), numbers.at(span.start));
        }
        note_item(item, numbers, above, lines);
        above.pop();
    }
}

fn note_item(
    item: &Item,
    numbers: &LineNumbers,
    above: &mut Key,
    lines: &mut BTreeMap<Key, usize>,
) {
    if let Some(table) = item.as_table_like() {
        return note_lines(table, numbers, above, lines);
    }
    let Some(array) = item.as_array() else { return };
    for (index, value) in array.iter().enumerate() {
        above.push(index.to_string());
        if let Some(span) = value.span() {
            lines.insert(above.clone(), numbers.at(span.start));
        }
        above.pop();
    }
}

/// Where each line of a text ends; a large file is not counted anew for each of its keys.
struct LineNumbers(Vec<usize>);

impl LineNumbers {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(end, _)| end).collect())
    }

    /// Of a byte, from 1.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|end| *end < byte) + 1
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("not TOML").to_owned()
}
