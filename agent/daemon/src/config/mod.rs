//! The configuration: `lamplighter.toml`, `conf.d/*.toml` beside it, and the environment.
//!
//! 1. [`Texts`] are read from the files.
//! 2. `layer.rs` merges them with figment above the templates that devices name (`template.rs`);
//!    `extract.rs` makes the types of `schema.rs` from them.
//! 3. `check.rs` finds every problem and makes the [`Config`] that is used; nothing checks again.
//! 4. What was accepted is kept by `lastgood.rs` for the day when the files are broken.

mod check;
mod checked;
mod extract;
mod hardware;
mod lastgood;
mod layer;
mod not_built;
mod objects;
mod problem;
pub mod schema;
pub mod secret;
mod template;

use std::path::{Path, PathBuf};

use lamplighter_model::{ObjectId, object::Definitions, tables};

use crate::clock;

pub(crate) use check::VENDOR_OBJECT_BASE;
pub use check::{Checked, UNSECURED};
pub use checked::*;
pub use hardware::Hardware;
pub use layer::{File, Texts};
pub use not_built::NOT_AVAILABLE;
pub use problem::{Place, Problem, Severity};
pub use template::SHARED as SHARED_TEMPLATES;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The main file; drop-ins and credentials lie beside it.
    pub main: PathBuf,
    /// All variables of the process; what is not ours is ignored.
    pub environment: Vec<(String, String)>,
    /// The built-in definitions; `objects/*.xml` beside the main file and our own come on top.
    pub definitions: Definitions,
    pub hardware: Hardware,
    /// Templates of the package; those in `templates/` beside the main file come first.
    pub templates: PathBuf,
}

/// What there is to run with.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// The files as they are; `problems` are warnings.
    Good {
        config: Box<Config>,
        problems: Vec<Problem>,
    },
    /// The files have errors; this was accepted before.
    LastGood {
        config: Box<Config>,
        problems: Vec<Problem>,
    },
    /// The files have errors, and nothing else is there.
    None { problems: Vec<Problem> },
}

impl Loaded {
    /// A copy that shares no memory with the original.
    pub(crate) fn apart(&self) -> Self {
        match self {
            Self::Good { config, problems } => Self::Good {
                config: Box::new(config.apart()),
                problems: problems.clone(),
            },
            Self::LastGood { config, problems } => Self::LastGood {
                config: Box::new(config.apart()),
                problems: problems.clone(),
            },
            Self::None { problems } => Self::None {
                problems: problems.clone(),
            },
        }
    }
}

impl Source {
    /// With the process's environment and hardware.
    pub fn of_process(main: PathBuf) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            main,
            environment,
            definitions: tables::standard(),
            hardware: Hardware::read(Path::new("/")),
            templates: PathBuf::from(SHARED_TEMPLATES),
        }
    }

    /// Reads and checks everything; keeps nothing.
    pub fn check(&self) -> Checked {
        let (texts, problems) = self.texts();
        self.check_texts(&texts, problems)
    }

    /// As [`Self::check`], as if the drop-in `file` stood there already.
    pub fn check_with(&self, file: File) -> Checked {
        let (mut texts, mut problems) = self.texts();
        if self.has_no_main() {
            let main = self.main.display().to_string();
            problems.retain(|problem| problem.place.file != main);
        }
        texts.put(file);
        problems.extend(template::read(&mut texts, &self.templates()));
        self.check_texts(&texts, problems)
    }

    /// Nobody has written a main file yet, as on a fresh box.
    pub fn has_no_main(&self) -> bool {
        layer::is_absent(&self.main)
    }

    /// What to run with; what was accepted is kept in `state_dir`.
    pub fn load(&self, state_dir: &Path) -> Loaded {
        let (texts, problems) = self.texts();
        let Checked {
            config,
            mut problems,
        } = self.check_texts(&texts, problems);
        if let Some(config) = config {
            if let Err(error) = lastgood::keep(state_dir, &texts) {
                problems.push(not_kept(state_dir, &error));
            }
            return Loaded::Good {
                config: Box::new(config),
                problems,
            };
        }
        for (path, texts) in lastgood::kept(state_dir) {
            if let Some(config) = self.check_texts(&texts, Vec::new()).config {
                tracing::debug!(path = %path.display(), "Uses the last good configuration");
                return Loaded::LastGood {
                    config: Box::new(config),
                    problems,
                };
            }
        }
        Loaded::None { problems }
    }

    fn texts(&self) -> (Texts, Vec<Problem>) {
        let (mut texts, mut problems) = Texts::read(&self.main, self.environment.iter().cloned());
        problems.extend(template::read(&mut texts, &self.templates()));
        (texts, problems)
    }

    /// Where a template is looked for, in this order.
    fn templates(&self) -> [PathBuf; 2] {
        [
            self.main.with_file_name("templates"),
            self.templates.clone(),
        ]
    }

    fn check_texts(&self, texts: &Texts, mut problems: Vec<Problem>) -> Checked {
        let mut definitions = self.definitions.clone();
        problems.extend(objects::read(
            &self.main.with_file_name("objects"),
            &mut definitions,
        ));
        let is_added = |object: &ObjectId| self.definitions.object(*object).is_none();
        let objects = definitions.iter().map(|definition| definition.id);
        let surroundings = check::Surroundings {
            added: objects.filter(is_added).collect(),
            definitions,
            hardware: self.hardware.clone(),
            now: clock::unix(),
            shelf: self.shelf(),
            templates: self.templates().to_vec(),
        };
        check::check(texts, problems, &surroundings)
    }

    /// Where the secrets of this configuration lie.
    pub fn shelf(&self) -> secret::Shelf {
        let from_systemd = self
            .environment
            .iter()
            .find(|(name, _)| name == "CREDENTIALS_DIRECTORY");
        secret::Shelf::beside(
            &self.main,
            from_systemd.map(|(_, path)| PathBuf::from(path)),
        )
    }
}

fn not_kept(state_dir: &Path, error: &std::io::Error) -> Problem {
    Problem {
        severity: Severity::Warning,
        place: Place {
            file: state_dir.display().to_string(),
            ..Place::default()
        },
        key: String::new(),
        what: format!("the accepted configuration could not be kept: {error}"),
        hint: Some("the state directory must be writable".to_owned()),
    }
}
