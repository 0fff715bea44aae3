//! What the page, the command line and bridges ask of the event loop.
//!
//! The loop never waits for them: the queue is bounded, a full one is refused at once, and an
//! answer that nobody waits for any more is dropped.

use std::{collections::BTreeSet, fmt, time::Duration};

use lamplighter_lwm2m::{
    boundary::{LocalAnswer, LocalRequest},
    reject::Reject,
};
use lamplighter_model::{Path, Sample, device::Fault};
use lamplighter_site::boundary::{LockRequest, Why};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// A device answers within 4 s and a server's exchange within its own time; longer is a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// One question; the loop sends the answer, or drops the sender.
#[derive(Debug)]
pub enum Ask {
    /// Error codes of 3/0/11 of which those that hold are named; nobody waits for an answer.
    DeviceErrors {
        known: &'static [u8],
        holding: BTreeSet<u8>,
    },
    /// The zone of the machine has changed; nobody waits for an answer.
    DeviceZone {
        /// `Europe/Paris`
        timezone: String,
        /// `+02:00`
        utc_offset: String,
    },
    /// Which bearer is used, if any.
    Bearers {
        what: BearerAsk,
        /// Who wants it, for the event log.
        user: String,
        /// `Ok` as soon as it is begun; what becomes of it stands on the board.
        reply: oneshot::Sender<Result<(), Reject>>,
    },
    /// Ask the bootstrap server for accounts.
    Bootstrap {
        /// Who wants it, for the event log.
        user: String,
        /// `Ok` as soon as the core was told; what becomes of it stands in the status.
        reply: oneshot::Sender<Result<(), Reject>>,
    },
    /// A maintenance lock is set or taken away; answered when that is on the disk.
    Lock(LockRequest, oneshot::Sender<Result<(), Fault>>),
    /// Goes to the core as `Command::Local`.
    Local(LocalRequest, oneshot::Sender<Result<LocalAnswer, Reject>>),
    /// Take up the configuration anew.
    Reload {
        /// Who wants it, for the event log.
        user: String,
        /// `Ok` where the files are in order; else what is wrong, for people.
        reply: oneshot::Sender<Result<(), String>>,
    },
    Server {
        /// Name of the `[server.NAME]` table.
        name: String,
        action: ServerAction,
        /// Who wants it, for the event log.
        user: String,
        /// `Ok` as soon as the core was told; what becomes of it stands in the status.
        reply: oneshot::Sender<Result<(), Reject>>,
    },
    /// Goes to the core as `Command::Send`; answered when the servers have confirmed it.
    Send {
        paths: Vec<Path>,
        /// Name of the `[server.NAME]` table; all servers, where none is named.
        server: Option<String>,
        /// Who wants it, for the event log.
        user: String,
        reply: oneshot::Sender<Result<LocalAnswer, Reject>>,
    },
    /// Values of what is told by Send only, for one server; nobody wants it but the box itself.
    Tell {
        samples: Vec<Sample>,
        server: String,
        reply: oneshot::Sender<Result<LocalAnswer, Reject>>,
    },
    /// Who commands the output of this name; `None` where no output has it.
    Why(String, oneshot::Sender<Option<Why>>),
}

/// Longest time that a person may have the box silent for: whoever wants more has forgotten it.
pub(crate) const LONGEST_OFFLINE: Duration = Duration::from_secs(7 * 86_400);

/// What a person wants of the bearers. // design, 5
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BearerAsk {
    /// The agent chooses again.
    Auto,
    /// None is used, for this time or until [`BearerAsk::Online`].
    Offline(Option<Duration>),
    Online,
    /// The one of this name, on commit-confirm.
    Use(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerAction {
    Deregister,
    /// Send an Update now.
    Refresh,
    Register,
}

impl ServerAction {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Deregister => "deregister",
            Self::Refresh => "refresh",
            Self::Register => "register",
        }
    }
}

/// As the command line says it.
impl fmt::Display for BearerAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Offline(None) => f.write_str("offline"),
            Self::Offline(Some(time)) => write!(f, "offline for {} s", time.as_secs()),
            Self::Online => f.write_str("online"),
            Self::Use(name) => write!(f, "use {name}"),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unanswered {
    #[error("the agent is busy, try again")]
    Busy,
    #[error("the agent did not answer in time")]
    Late,
    #[error("the agent is stopping")]
    Stopped,
}

/// The asking end. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Ask>);

impl Asker {
    /// The two ends of a queue for `limit` questions.
    pub fn new(limit: usize) -> (Self, mpsc::Receiver<Ask>) {
        let (sender, receiver) = mpsc::channel(limit);
        (Self(sender), receiver)
    }

    pub async fn bearers(
        &self,
        what: BearerAsk,
        user: String,
    ) -> Result<Result<(), Reject>, Unanswered> {
        self.ask(|reply| Ask::Bearers { what, user, reply }).await
    }

    pub async fn bootstrap(&self, user: String) -> Result<Result<(), Reject>, Unanswered> {
        self.ask(|reply| Ask::Bootstrap { user, reply }).await
    }

    pub async fn lock(&self, request: LockRequest) -> Result<Result<(), Fault>, Unanswered> {
        self.ask(|reply| Ask::Lock(request, reply)).await
    }

    pub async fn local(
        &self,
        request: LocalRequest,
    ) -> Result<Result<LocalAnswer, Reject>, Unanswered> {
        self.ask(|reply| Ask::Local(request, reply)).await
    }

    pub async fn reload(&self, user: String) -> Result<Result<(), String>, Unanswered> {
        self.ask(|reply| Ask::Reload { user, reply }).await
    }

    pub async fn server(
        &self,
        name: String,
        action: ServerAction,
        user: String,
    ) -> Result<Result<(), Reject>, Unanswered> {
        self.ask(|reply| Ask::Server {
            name,
            action,
            user,
            reply,
        })
        .await
    }

    pub async fn send(
        &self,
        paths: Vec<Path>,
        server: Option<String>,
        user: String,
    ) -> Result<Result<LocalAnswer, Reject>, Unanswered> {
        self.ask(|reply| Ask::Send {
            paths,
            server,
            user,
            reply,
        })
        .await
    }

    /// Answered when the server has confirmed it.
    pub async fn tell(
        &self,
        samples: Vec<Sample>,
        server: String,
    ) -> Result<Result<LocalAnswer, Reject>, Unanswered> {
        self.ask(|reply| Ask::Tell {
            samples,
            server,
            reply,
        })
        .await
    }

    /// Tells which of the known error codes hold; false where the loop is too busy to hear it.
    pub fn device_errors(&self, known: &'static [u8], holding: BTreeSet<u8>) -> bool {
        let errors = Ask::DeviceErrors { known, holding };
        self.0.try_send(errors).is_ok()
    }

    /// Tells the zone of the machine; false where the loop is too busy to hear it.
    pub fn device_zone(&self, timezone: String, utc_offset: String) -> bool {
        let zone = Ask::DeviceZone {
            timezone,
            utc_offset,
        };
        self.0.try_send(zone).is_ok()
    }

    pub async fn why(&self, name: String) -> Result<Option<Why>, Unanswered> {
        self.ask(|reply| Ask::Why(name, reply)).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.0
            .try_send(question(reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
                mpsc::error::TrySendError::Closed(_) => Unanswered::Stopped,
            })?;
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unanswered::Stopped),
            Err(_) => Err(Unanswered::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_refused_at_once() {
        let (asker, _receiver) = Asker::new(1);
        let waiting = tokio::spawn({
            let asker = asker.clone();
            async move { asker.why("a".to_owned()).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(asker.why("b".to_owned()).await, Err(Unanswered::Busy));
        waiting.abort();
    }

    #[tokio::test]
    async fn a_stopped_loop_answers_nobody() {
        let (asker, receiver) = Asker::new(1);
        drop(receiver);
        assert_eq!(asker.why("a".to_owned()).await, Err(Unanswered::Stopped));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_ends_the_wait() {
        let (asker, _receiver) = Asker::new(1);
        assert_eq!(asker.why("a".to_owned()).await, Err(Unanswered::Late));
    }
}
