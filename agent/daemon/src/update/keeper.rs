//! The task that owns what is known of an update: one thing after the other, so that nothing that is
//! asked for is dropped half-way. What has changed is on the disk before anything follows from it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use lamplighter_lwm2m::client::ServerConfig;
use lamplighter_model::{
    Value,
    device::{Assignment, Fault, Part},
};
use lamplighter_updater::handover;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::{
    Ask, Shown, Wish,
    depot::{Depot, Origin},
    machine::{Act, Machine, NotNow, Outcome, Severity, Source, State, nobody},
    object::{check, id, is_nothing},
    pull::{self, Failed},
    view,
};
use crate::{
    bearer::Board,
    config::Bearer,
    events::{Class, EventLog, News},
    status::Status,
};

/// What fetching a package needs.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    pub(crate) board: Board,
    pub(crate) bearers: Vec<Bearer>,
    pub(crate) servers: Vec<ServerConfig>,
    /// Also over bearers that cost.
    pub(crate) metered: bool,
    /// File with the certificates of those who vouch for HTTPS servers.
    pub(crate) authorities: PathBuf,
    pub(crate) seed: u64,
    /// Until the second attempt.
    pub(crate) pause: Duration,
}

pub(super) struct Keeper {
    depot: Arc<Depot>,
    fetching: Arc<Fetching>,
    status: Status,
    events: EventLog,
    show: watch::Sender<Shown>,
    machine: Machine,
    pull: Option<JoinHandle<Result<(), Failed>>>,
    /// When the updater was asked last.
    asked: Instant,
    /// Since when nothing new has come of a push, of a person, or of the updater.
    waits: Instant,
    saved: Instant,
}

/// How often it is looked at what changes by itself.
const TICK: Duration = Duration::from_secs(1);
/// A push of which nothing comes any more has ended.
const PUSH_PATIENCE: Duration = Duration::from_secs(600);
/// The updater takes a request up at once; where it does not, it is asked again, and then no more.
const ASK_AGAIN: Duration = Duration::from_secs(60);
const NOBODY: Duration = Duration::from_secs(600);
/// Longer than any of its steps: people may begin anew then.
const STUCK: Duration = Duration::from_secs(3600);
/// How often it is kept how long people have been waited for.
const SAVE_AGAIN: Duration = Duration::from_secs(60);

impl Keeper {
    pub(super) fn new(
        depot: Arc<Depot>,
        fetching: Fetching,
        status: Status,
        events: EventLog,
        show: watch::Sender<Shown>,
    ) -> Self {
        Self {
            depot,
            fetching: Arc::new(fetching),
            status,
            events,
            show,
            machine: Machine::default(),
            pull: None,
            asked: Instant::now(),
            waits: Instant::now(),
            saved: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let loaded = self.on_disk(|depot| Ok(depot.load())).await;
        self.machine = loaded.unwrap_or_default();
        let machine = self.machine.clone();
        self.show.send_modify(|shown| {
            shown.machine = machine;
            shown.is_known = true;
        });
        self.go_on().await;
        let mut tick = Instant::now();
        loop {
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.on_ask(ask).await,
                    None => return,
                },
                pulled = ended(&mut self.pull) => self.on_pulled(pulled).await,
                () = sleep_until(tick) => {
                    tick = Instant::now() + TICK;
                    self.on_tick().await;
                }
            }
        }
    }

    /// With what a restart has interrupted.
    async fn go_on(&mut self) {
        let is_complete = self.on_disk(|depot| Ok(depot.is_complete())).await;
        if self.machine.state == State::Downloading && is_complete.unwrap_or(false) {
            return drop(self.finish().await);
        }
        let act = self.machine.restarted();
        self.perform(act).await;
    }

    async fn on_ask(&mut self, ask: Ask) {
        // Whoever has asked may have gone.
        match ask {
            Ask::Execute(resource, reply) => {
                let act = match resource.path.resource.0 {
                    id::UPDATE => self.machine.update(self.status.is_locked()),
                    id::CANCEL => self.machine.cancel(),
                    _ => Err(NotNow),
                };
                let _ = reply.send(self.follow(act).await);
            }
            Ask::Part(part, reply) if is_reset(&part) => {
                let act = self.machine.reset();
                let _ = reply.send(self.follow(act).await);
            }
            Ask::Part(part, reply) => {
                let is_last = !part.has_more;
                let mut added = self.add(part).await;
                if added.is_ok() && is_last {
                    added = self.complete().await;
                }
                let is_whole = added.is_ok() && is_last;
                // The check may take longer than a server waits; its result is told by 5/0/5.
                let _ = reply.send(added);
                if is_whole {
                    let _ = self.finish().await;
                }
            }
            Ask::Person(wish, reply) => {
                let _ = reply.send(self.on_person(wish).await);
            }
            Ask::Write(values, reply) => {
                let (written, is_whole) = self.write(&values).await;
                let _ = reply.send(written);
                if is_whole {
                    let _ = self.finish().await;
                }
            }
        }
    }

    /// All checks first. Whether a whole package came with it.
    async fn write(&mut self, values: &[Assignment]) -> (Result<(), Fault>, bool) {
        for value in values {
            if let Err(fault) = check(value) {
                return (Err(fault), false);
            }
        }
        let mut is_whole = false;
        for Assignment { address, value, .. } in values {
            let done = match (address.path.resource.0, value) {
                (id::PACKAGE, Value::Opaque(bytes)) if is_nothing(bytes) => {
                    let act = self.machine.reset();
                    self.follow(act).await
                }
                (id::PACKAGE, Value::Opaque(bytes)) => {
                    is_whole = true;
                    match self.push(0, None, bytes.clone()).await {
                        Ok(()) => self.complete().await,
                        refused => refused,
                    }
                }
                (id::URI, Value::String(uri)) => {
                    let act = self.machine.write_uri(uri);
                    self.follow(act).await
                }
                (id::SEVERITY, Value::Integer(number)) => {
                    self.machine.severity = Severity::try_from(*number).unwrap_or_default();
                    self.follow(Ok(Act::Nothing)).await
                }
                (id::MAX_DEFER, Value::Unsigned(seconds)) => {
                    self.machine.max_defer_s = *seconds;
                    self.follow(Ok(Act::Nothing)).await
                }
                (id::AUTOMATIC, Value::Boolean(is_automatic)) => {
                    self.machine.is_automatic = *is_automatic;
                    self.follow(Ok(Act::Nothing)).await
                }
                _ => Err(Fault::Unsupported),
            };
            if done.is_err() {
                return (done, false);
            }
        }
        (Ok(()), is_whole)
    }

    async fn add(&mut self, part: Part) -> Result<(), Fault> {
        let Part {
            offset,
            bytes,
            total,
            ..
        } = part;
        self.push(offset, total, bytes).await
    }

    /// A piece of what a server pushes.
    async fn push(&mut self, offset: u64, total: Option<u64>, bytes: Vec<u8>) -> Result<(), Fault> {
        if offset == 0 {
            let act = self.machine.begin_push();
            self.follow(act).await?;
        } else if !self.machine.is_pushed() {
            return Err(Fault::Unsupported);
        }
        let length = total.unwrap_or_default();
        let length = length.max(offset.saturating_add(bytes.len() as u64));
        if length > self.depot.max_size() {
            let act = self
                .machine
                .fail(Outcome::NoSpace, "the package is too large");
            self.follow(Ok(act)).await?;
            return Err(Fault::TooLarge);
        }
        if offset == 0 {
            self.begin().await?;
        }
        self.waits = Instant::now();
        self.put(offset, bytes).await
    }

    async fn begin(&mut self) -> Result<(), Fault> {
        let begun = self.on_disk(|depot| depot.begin(&Origin::default())).await;
        self.judge(begun).await
    }

    async fn put(&mut self, offset: u64, bytes: Vec<u8>) -> Result<(), Fault> {
        let added = self.on_disk(move |depot| depot.add(offset, &bytes)).await;
        match added {
            // What is there is good still.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(Fault::BadValue(
                "a part before this one is missing".to_owned(),
            )),
            added => self.judge(added).await,
        }
    }

    async fn complete(&mut self) -> Result<(), Fault> {
        let completed = self.on_disk(|depot| depot.complete()).await;
        self.judge(completed).await
    }

    /// Nothing can be written: what was begun ends.
    async fn judge(&mut self, written: io::Result<()>) -> Result<(), Fault> {
        let Err(error) = written else {
            return Ok(());
        };
        let act = self.machine.fail(Outcome::NoSpace, &error.to_string());
        self.follow(Ok(act)).await?;
        match error.kind() == io::ErrorKind::FileTooLarge {
            true => Err(Fault::TooLarge),
            false => Err(Fault::Device(error.to_string())),
        }
    }

    async fn on_person(&mut self, wish: Wish) -> Result<(), Fault> {
        match wish {
            Wish::Begin => {
                let is_stuck = self.waits.elapsed() > STUCK;
                let act = self.machine.begin_local(is_stuck);
                self.follow(act).await?;
                self.waits = Instant::now();
                self.begin().await
            }
            Wish::Add(..) | Wish::End if !self.machine.is_local() => Err(Fault::Unsupported),
            Wish::Add(offset, bytes) => {
                self.waits = Instant::now();
                self.put(offset, bytes).await
            }
            Wish::End => {
                self.complete().await?;
                self.finish().await
            }
            Wish::Rollback => {
                let act = self.machine.roll_back();
                self.follow(act).await
            }
        }
    }

    /// The whole package has come.
    async fn finish(&mut self) -> Result<(), Fault> {
        let depot = Arc::clone(&self.depot);
        let checked = spawn_blocking(move || depot.finish()).await;
        let Ok(checked) = checked else {
            return Err(Fault::Device("the package cannot be checked".to_owned()));
        };
        match checked {
            Ok(package) => {
                let is_held = self.status.is_locked();
                let act = self
                    .machine
                    .downloaded(package.name, package.version, is_held);
                self.follow(Ok(act)).await
            }
            Err((reason, words)) => {
                let act = self.machine.fail(Outcome::from(reason), &words);
                self.follow(Ok(act)).await?;
                Err(Fault::BadValue(words))
            }
        }
    }

    async fn on_pulled(&mut self, pulled: Result<(), Failed>) {
        match pulled {
            // What is wrong with it stands in the machine.
            Ok(()) => {
                if self.complete().await.is_ok() {
                    let _ = self.finish().await;
                }
            }
            Err((outcome, words)) => {
                let act = self.machine.fail(outcome, &words);
                let _ = self.follow(Ok(act)).await;
            }
        }
    }

    async fn on_tick(&mut self) {
        let act = match self.machine.state {
            State::Idle => Act::Nothing,
            State::Downloading if self.machine.is_pushed() || self.machine.is_local() => {
                if self.waits.elapsed() < PUSH_PATIENCE {
                    Act::Nothing
                } else {
                    let words = "nothing came any more";
                    self.machine.fail(Outcome::ConnectionLost, words)
                }
            }
            State::Downloading => Act::Nothing,
            State::Downloaded => self.machine.pass(TICK, self.status.is_locked()),
            State::Updating => self.look_at_report().await,
        };
        let _ = self.follow(Ok(act)).await;
    }

    async fn look_at_report(&mut self) -> Act {
        let report = self.on_disk(|depot| Ok(depot.report())).await;
        let number = self.machine.number().to_string();
        let report = report.ok().flatten().filter(|report| report.id == number);
        if report.is_some() && report != self.show.borrow().phase {
            self.waits = Instant::now();
        }
        let is_nobody_there = report.is_none() && self.waits.elapsed() > NOBODY;
        if is_nobody_there && self.on_disk(|depot| depot.withdraw()).await.is_ok() {
            return self.machine.on_report(&nobody(&number));
        }
        self.show.send_if_modified(|shown| {
            let is_news = shown.phase != report;
            shown.phase.clone_from(&report);
            is_news
        });
        match report {
            Some(report) => self.machine.on_report(&report),
            None if self.asked.elapsed() > ASK_AGAIN => Act::Install(self.machine.number()),
            None => Act::Nothing,
        }
    }

    /// Does what a change of state asks for.
    async fn follow(&mut self, act: Result<Act, NotNow>) -> Result<(), Fault> {
        let act = act.map_err(|NotNow| Fault::Unsupported)?;
        self.perform(act).await;
        Ok(())
    }

    async fn perform(&mut self, act: Act) {
        self.keep().await;
        match act {
            Act::Discard => {
                if let Some(pull) = self.pull.take() {
                    pull.abort();
                    // It may be in the middle of writing.
                    let _ = pull.await;
                }
                self.tried(self.on_disk(|depot| depot.discard()).await);
            }
            Act::Download => {
                let Source::Uri(uri) = self.machine.source.clone() else {
                    return;
                };
                let (depot, fetching) = (Arc::clone(&self.depot), Arc::clone(&self.fetching));
                self.pull = Some(tokio::spawn(pull::pull(depot, fetching, uri)));
            }
            Act::Install(number) => {
                self.asked = Instant::now();
                let wish = match self.machine.package {
                    Some(_) => handover::Wish::Install,
                    None => handover::Wish::Rollback,
                };
                self.tried(self.on_disk(move |depot| depot.ask(number, wish)).await);
            }
            Act::Nothing => {}
        }
    }

    /// Tells and keeps what has changed.
    async fn keep(&mut self) {
        let before = self.show.borrow().machine.clone();
        if before.state != self.machine.state {
            self.waits = Instant::now();
            let unix = self.events.now().unix;
            self.machine.changed = unix.map(|unix| unix.seconds());
        }
        if before == self.machine {
            return;
        }
        if !self.machine.only_waits(&before) || self.saved.elapsed() > SAVE_AGAIN {
            self.saved = Instant::now();
            let machine = self.machine.clone();
            self.tried(self.on_disk(move |depot| depot.save(&machine)).await);
        }
        self.tell(&before);
        let machine = self.machine.clone();
        self.show.send_modify(|shown| {
            shown.machine = machine;
            if shown.machine.state != State::Updating {
                shown.phase = None;
            }
        });
    }

    fn tell(&self, before: &Machine) {
        if let Some(text) = view::news(&self.machine, before) {
            let news = News::new(Class::System, "update").text(text);
            self.events.tell(news.detail(self.machine.words.clone()));
        }
    }

    fn tried(&self, done: io::Result<()>) {
        if let Err(error) = done {
            tracing::error!(%error, "Cannot keep what belongs to an update");
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Depot) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let depot = Arc::clone(&self.depot);
        let done = spawn_blocking(move || work(&depot)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(pull) = &self.pull {
            pull.abort();
        }
    }
}

/// The end of a download, where one runs.
async fn ended(pull: &mut Option<JoinHandle<Result<(), Failed>>>) -> Result<(), Failed> {
    let Some(task) = pull else {
        return std::future::pending().await;
    };
    let ended = task.await;
    *pull = None;
    ended.unwrap_or_else(|error| Err((Outcome::ConnectionLost, error.to_string())))
}

/// Object 5 is to forget what is there, by a transfer in blocks that has but one.
fn is_reset(part: &Part) -> bool {
    part.offset == 0 && !part.has_more && is_nothing(&part.bytes)
}
