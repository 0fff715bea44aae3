//! One update from the request to its end.
//!
//! 1. [`Updater::work`] takes up a request: the package is copied and the copy checked, what is
//!    installed is kept, what the agent says of itself is written down. Interrupted here, it begins
//!    again; nothing has changed.
//! 2. [`Stage::Installing`]: the package is being installed. Interrupted, it is installed again.
//! 3. [`Stage::Proving`]: the new version runs and has some time to be as well as the one before.
//!    Interrupted, it gets that time again.
//! 4. [`Stage::GoingBack`]: the package before is being installed, again and again if need be.
//! 5. [`Stage::Ending`]: what became of it is on the disk; only the files are tidied up.
//!
//! Each stage is on the disk before it begins. A copy of this program stays until the end, so that a
//! package which brings a broken one cannot prevent the way back.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::{
    commands::{self, Ran, now},
    files,
    handover::{self, PACKAGE, Phase, Reason, Report, Request, Wish},
    health::{Health, Moment},
    keep,
    settings::{Image, Installer, Settings},
    verify::{self, NAME, Package, Refusal},
};

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    /// The main file of the agent's configuration.
    pub config: PathBuf,
    /// Of the agent.
    pub state_dir: PathBuf,
    /// Of the updater.
    pub own_dir: PathBuf,
}

/// Works on requests, one at a time.
#[derive(Debug)]
pub struct Updater {
    places: Places,
    _lock: Flock<File>,
}

/// What must not be forgotten.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Transaction {
    id: String,
    stage: Stage,
    from: String,
    to: String,
    /// As configured when it began: what is configured now may be broken.
    installer: Installer,
    prove: Duration,
    before: Health,
    /// When it began.
    begun: Moment,
    /// How often the stage was begun.
    tries: u32,
    /// Why it goes back, or did.
    words: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Stage {
    Installing,
    Proving,
    GoingBack,
    Ending(Phase),
}

/// What follows a stage.
enum Next {
    Stage(Stage),
    /// The machine starts anew, and this goes on then.
    Restart(Stage),
    End,
}

/// The package that is to be installed, that is put in its place when it fails, that was there before
/// the last update, and that was installed last.
const NEW: &str = "new.deb";
const BEFORE: &str = "before.deb";
const PREVIOUS: &str = "previous.deb";
const INSTALLED: &str = "installed.deb";
/// Version of the image that was installed last.
const IMAGE: &str = "image";
const TRANSACTION: &str = "transaction";
/// Much longer than what the agent says of itself.
const MAX_TRANSACTION: u64 = 4 << 20;
/// Of this program.
const COPY: &str = "updater";

/// A stage that was begun so often and never ended does harm.
const MAX_TRIES: u32 = 3;
/// The longest installation.
const INSTALLATION: Duration = Duration::from_secs(1800);
/// Somebody else installs something: how long that is waited for, and how often looked.
const OTHERS: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_secs(1);

impl Updater {
    /// Waits for others of its kind.
    ///
    /// # Errors
    /// For people.
    pub fn new(places: Places) -> Result<Self, String> {
        let directory = &places.own_dir;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory);
        let failed = |error: io::Error| format!("{}: {error}", directory.display());
        made.map_err(failed)?;
        let lock = lock(&directory.join("lock")).map_err(failed)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| failed(error.into()))?;
        Ok(Self {
            places,
            _lock: lock,
        })
    }

    /// Goes on with what was begun, then takes up what is asked for.
    ///
    /// # Errors
    /// What prevents it for now, for people; to be tried again.
    pub fn work(&self) -> Result<(), String> {
        loop {
            if let Some(transaction) = self.transaction()? {
                if !self.go_on(transaction).map_err(|error| error.to_string())? {
                    return Ok(());
                }
                continue;
            }
            let Some(request) = self.request() else {
                return Ok(());
            };
            let settings = Settings::read(&self.places.config)?;
            self.take_up(&request, &settings)
                .map_err(|error| error.to_string())?;
        }
    }

    /// One that was not worked on to its end.
    fn request(&self) -> Option<Request> {
        let request = handover::request(&handover::directory(&self.places.state_dir))?;
        let report = handover::report(&self.places.own_dir);
        let is_done =
            report.is_some_and(|report| report.id == request.id && report.phase.is_final());
        (!is_done).then_some(request)
    }

    fn take_up(&self, request: &Request, settings: &Settings) -> io::Result<()> {
        let tell = |phase, words: &str| {
            let report = Report {
                id: request.id.clone(),
                phase,
                from: None,
                to: None,
                words: words.to_owned(),
            };
            handover::put_report(&self.places.own_dir, report)
        };
        tell(Phase::Checking, "")?;
        let begun = self.checked(request, settings).and_then(|versions| {
            let begun = self.begin(request, settings, versions);
            begun.map_err(|error| (None, error.to_string()))
        });
        let Err((reason, words)) = begun else {
            return Ok(());
        };
        for file in [TRANSACTION, NEW, COPY] {
            files::remove(&self.own(file))?;
        }
        tell(reason.map_or(Phase::Failed, Phase::Refused), &words)
    }

    fn begin(
        &self,
        request: &Request,
        settings: &Settings,
        (from, to): (String, String),
    ) -> io::Result<()> {
        let mut program = File::open("/proc/self/exe")?;
        files::copy(&mut program, &self.own(COPY), u64::MAX, 0o700)?;
        self.save(&Transaction {
            id: request.id.clone(),
            stage: Stage::Installing,
            from,
            to,
            installer: settings.installer.clone(),
            prove: settings.prove,
            before: Health::ask().unwrap_or_default(),
            begun: Moment::now(),
            tries: 0,
            words: String::new(),
        })
    }

    /// Everything that can be said before anything is changed: the versions from which and to which.
    fn checked(
        &self,
        request: &Request,
        settings: &Settings,
    ) -> Result<(String, String), (Option<Reason>, String)> {
        let failed = |error: io::Error| (None, error.to_string());
        let from = self.installed(&settings.installer).map_err(failed)?;
        let package = match request.wish {
            Wish::Install => {
                self.received(&from, settings)
                    .map_err(|(reason, words)| (Some(reason), words))?
                    .version
            }
            Wish::Rollback => self.previous().map_err(|words| (None, words))?,
        };
        if let Installer::Deb = settings.installer {
            keep::installed(&from, &self.own(INSTALLED), &self.own(BEFORE)).map_err(|error| {
                let words = format!("cannot keep the installed package: {error}");
                (None, words)
            })?;
        }
        Ok((from, package))
    }

    fn received(&self, installed: &str, settings: &Settings) -> Result<Package, Refusal> {
        let Settings {
            key,
            installer,
            max_size,
            ..
        } = settings;
        let container = handover::directory(&self.places.state_dir).join(PACKAGE);
        let package = verify::extract(&container, &self.own(NEW), key, installer, *max_size)?;
        verify::may_replace(&package, installed)?;
        Ok(package)
    }

    fn installed(&self, installer: &Installer) -> io::Result<String> {
        match installer {
            Installer::Deb => {
                let version = commands::installed(NAME)?;
                version.ok_or_else(|| io::Error::other("no package is installed"))
            }
            Installer::Image(_) => {
                let version = files::read(&self.own(IMAGE), 1 << 10).unwrap_or_default();
                Ok(String::from_utf8_lossy(&version).into_owned())
            }
        }
    }

    /// Takes the package that was there before as the one to be installed.
    fn previous(&self) -> Result<String, String> {
        let previous = self.own(PREVIOUS);
        let version = keep::version_of(&previous);
        let version = version.ok_or("no package is kept that was installed before")?;
        File::open(&previous)
            .and_then(|mut file| files::copy(&mut file, &self.own(NEW), u64::MAX, 0o600))
            .map_err(|error| error.to_string())?;
        Ok(version)
    }

    /// One stage; false where the machine starts anew.
    fn go_on(&self, mut transaction: Transaction) -> io::Result<bool> {
        transaction.tries += 1;
        self.save(&transaction)?;
        let next = match transaction.stage {
            Stage::Installing | Stage::Proving if transaction.tries > MAX_TRIES => {
                transaction.words = "it was interrupted again and again".to_owned();
                Next::Stage(Stage::GoingBack)
            }
            Stage::Installing => self.install(&mut transaction)?,
            Stage::Proving => self.prove(&mut transaction)?,
            Stage::GoingBack => self.go_back(&transaction)?,
            Stage::Ending(phase) => self.end(&transaction, phase)?,
        };
        match next {
            Next::End => files::remove(&self.own(TRANSACTION)).map(|()| true),
            Next::Restart(stage) => {
                (transaction.stage, transaction.tries) = (stage, 0);
                self.save(&transaction)?;
                if let Installer::Image(image) = &transaction.installer {
                    execute(&image.restart, None)?;
                }
                Ok(false)
            }
            Next::Stage(stage) => {
                (transaction.stage, transaction.tries) = (stage, 0);
                self.save(&transaction).map(|()| true)
            }
        }
    }

    fn install(&self, transaction: &mut Transaction) -> io::Result<Next> {
        self.tell(transaction, Phase::Installing)?;
        let installed = match &transaction.installer {
            Installer::Deb => dpkg(&self.own(NEW)),
            Installer::Image(image) => execute(&image.install, Some(&self.own(NEW))),
        };
        match (installed, &transaction.installer) {
            (Err(error), _) => {
                transaction.words = format!("it cannot be installed: {error}");
                Ok(Next::Stage(Stage::GoingBack))
            }
            (Ok(()), Installer::Image(Image { restart, .. })) if !restart.is_empty() => {
                Ok(Next::Restart(Stage::Proving))
            }
            (Ok(()), _) => Ok(Next::Stage(Stage::Proving)),
        }
    }

    /// It must be well for a while, so that one that ends again and again does not pass.
    fn prove(&self, transaction: &mut Transaction) -> io::Result<Next> {
        self.tell(transaction, Phase::Proving)?;
        let end = now() + transaction.prove;
        let stays = (transaction.prove / 10).min(Duration::from_secs(30));
        let pause = (stays / 5).min(LOOK);
        let mut since: Option<Instant> = None;
        loop {
            let lacks = match Health::ask() {
                None => Some("it does not run".to_owned()),
                Some(health) if health.is_older_than(&transaction.begun, &Moment::now()) => {
                    Some("it was not started anew".to_owned())
                }
                Some(health) => transaction.before.lacks(&health),
            };
            let Some(lacks) = lacks else {
                if *since.get_or_insert_with(now) + stays <= now() {
                    return proved(transaction);
                }
                sleep(pause);
                continue;
            };
            since = None;
            if now() >= end {
                transaction.words = lacks;
                return Ok(Next::Stage(Stage::GoingBack));
            }
            sleep(pause);
        }
    }

    fn go_back(&self, transaction: &Transaction) -> io::Result<Next> {
        self.tell(transaction, Phase::GoingBack)?;
        let gone_back = match &transaction.installer {
            Installer::Deb => dpkg(&self.own(BEFORE)),
            Installer::Image(image) => execute(&image.bad, None),
        };
        if let Err(error) = gone_back {
            let words = format!(
                "{}; the version before cannot be installed, which is tried again: {error}",
                transaction.words
            );
            let transaction = Transaction {
                words,
                ..transaction.clone()
            };
            self.tell(&transaction, Phase::GoingBack)?;
            return Err(error);
        }
        let ending = Stage::Ending(Phase::RolledBack);
        match &transaction.installer {
            Installer::Image(Image { restart, .. }) if !restart.is_empty() => {
                Ok(Next::Restart(ending))
            }
            Installer::Deb | Installer::Image(_) => Ok(Next::Stage(ending)),
        }
    }

    /// The files first, the report last: whoever reads it may ask for the next.
    fn end(&self, transaction: &Transaction, phase: Phase) -> io::Result<Next> {
        let rename = |from: &str, to: &str| match fs::rename(self.own(from), self.own(to)) {
            // It was done before an interruption.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        match (phase, &transaction.installer) {
            (Phase::Installed, Installer::Deb) => {
                rename(BEFORE, PREVIOUS)?;
                rename(NEW, INSTALLED)?;
            }
            (Phase::Installed, Installer::Image(_)) => {
                files::replace(&self.own(IMAGE), transaction.to.as_bytes(), 0o644)?;
            }
            _ => rename(BEFORE, INSTALLED)?,
        }
        for file in [NEW, COPY] {
            files::remove(&self.own(file))?;
        }
        self.tell(transaction, phase)?;
        Ok(Next::End)
    }

    fn tell(&self, transaction: &Transaction, phase: Phase) -> io::Result<()> {
        let report = Report {
            id: transaction.id.clone(),
            phase,
            from: Some(transaction.from.clone()),
            to: Some(transaction.to.clone()),
            words: transaction.words.clone(),
        };
        handover::put_report(&self.places.own_dir, report)
    }

    /// A file that cannot be read must not be taken for none: the box may be half updated.
    fn transaction(&self) -> Result<Option<Transaction>, String> {
        let path = self.own(TRANSACTION);
        match path.try_exists() {
            Ok(false) => Ok(None),
            Ok(true) => {
                let read = handover::read(&path, MAX_TRANSACTION);
                read.map(Some)
                    .ok_or_else(|| format!("{} cannot be understood", path.display()))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn save(&self, transaction: &Transaction) -> io::Result<()> {
        let content = handover::json(transaction)?;
        files::replace(&self.own(TRANSACTION), &content, 0o600)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.places.own_dir.join(name)
    }
}

/// Opens the lock; whoever can open it as well could keep us waiting.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn proved(transaction: &Transaction) -> io::Result<Next> {
    if let Installer::Image(image) = &transaction.installer {
        execute(&image.good, None)?;
    }
    Ok(Next::Stage(Stage::Ending(Phase::Installed)))
}

/// Installs a package; the configuration stays as the administrator has it. Where somebody else is
/// installing something, that is waited for.
fn dpkg(package: &Path) -> io::Result<()> {
    let end = now() + OTHERS;
    loop {
        let options = ["--force-confdef", "--force-confold", "--force-downgrade"];
        let ran = commands::run_within(
            "dpkg",
            |command| command.args(options).arg("-i").arg(package),
            INSTALLATION,
        );
        match ran.and_then(Ran::succeeded) {
            Err(error) if error.to_string().contains("lock") && now() < end => sleep(LOOK),
            other => return other.map(|_| ()),
        }
    }
}

fn execute(command: &[String], file: Option<&Path>) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let ran = commands::run_within(
        program,
        |command| command.args(arguments).args(file),
        INSTALLATION,
    );
    ran.and_then(Ran::succeeded).map(|_| ())
}
