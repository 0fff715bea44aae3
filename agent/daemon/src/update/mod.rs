//! Updates of this program: object 5 for servers, `lamplighter update` for people.
//!
//! 1. [`machine`]: what may happen when; no files, no network.
//! 2. [`keeper`]: the task that owns it, and does what follows.
//! 3. [`depot`]: the files, and what is handed over to `lamplighter-updater`, which installs.
//! 4. [`object`]: object 5, as an adapter. [`pull`]: packages that are fetched.

mod depot;
mod keeper;
mod machine;
pub(crate) mod object;
mod pull;
mod view;

use std::{path::Path, sync::Arc};

use lamplighter_model::{
    ResourceAddress,
    device::{Assignment, Fault, Part},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{config::Update, events::EventLog, status::Status};
use depot::Depot;
use keeper::Keeper;
use machine::Machine;

pub(crate) use keeper::Fetching;
pub(crate) use pull::FIRST_PAUSE;
pub(crate) use view::UpdateView;

/// The way to the keeper; all of them lead to the same.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    asks: mpsc::Sender<Ask>,
    shown: watch::Receiver<Shown>,
}

/// What is to be seen of an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shown {
    /// What a restart has left is read.
    is_known: bool,
    pub(crate) machine: Machine,
    /// What the updater does.
    pub(crate) phase: Option<lamplighter_updater::handover::Report>,
}

/// What the keeper is asked for.
#[derive(Debug)]
enum Ask {
    Execute(ResourceAddress, Reply),
    Part(Part, Reply),
    Person(Wish, Reply),
    Write(Vec<Assignment>, Reply),
}

/// Of a person.
#[derive(Debug)]
enum Wish {
    /// A package comes, in parts.
    Begin,
    /// One of them.
    Add(u64, Vec<u8>),
    /// That was all: install it.
    End,
    Rollback,
}

type Reply = oneshot::Sender<Result<(), Fault>>;

/// Asks that may wait.
const ASKS: usize = 16;

/// Begins, with what a restart has interrupted. Must be called inside the runtime.
pub(crate) fn start(
    settings: &Update,
    state_dir: &Path,
    fetching: Fetching,
    status: Status,
    events: EventLog,
) -> (Desk, JoinHandle<()>) {
    let depot = Arc::new(Depot::new(state_dir, settings.clone()));
    let (asks, asked) = mpsc::channel(ASKS);
    let (show, shown) = watch::channel(Shown::default());
    let keeper = Keeper::new(depot, fetching, status, events, show);
    let task = tokio::spawn(keeper.run(asked));
    (Desk { asks, shown }, task)
}

impl Desk {
    fn shown(&self) -> Shown {
        self.shown.borrow().clone()
    }

    pub(crate) fn view(&self) -> UpdateView {
        UpdateView::of(&self.shown())
    }

    /// A package of a person is on its way.
    pub(crate) async fn begin(&self) -> Result<(), Fault> {
        self.person(Wish::Begin).await
    }

    pub(crate) async fn add(&self, offset: u64, bytes: Vec<u8>) -> Result<(), Fault> {
        self.person(Wish::Add(offset, bytes)).await
    }

    pub(crate) async fn end(&self) -> Result<(), Fault> {
        self.person(Wish::End).await
    }

    pub(crate) async fn roll_back(&self) -> Result<(), Fault> {
        self.person(Wish::Rollback).await
    }

    async fn person(&self, wish: Wish) -> Result<(), Fault> {
        self.ask(|reply| Ask::Person(wish, reply)).await
    }

    async fn ask(&self, ask: impl FnOnce(Reply) -> Ask) -> Result<(), Fault> {
        let (reply, answer) = oneshot::channel();
        let sent = self.asks.send(ask(reply)).await;
        sent.map_err(|_| Fault::Unreachable)?;
        answer.await.unwrap_or(Err(Fault::Unreachable))
    }
}

#[cfg(test)]
mod tests;
