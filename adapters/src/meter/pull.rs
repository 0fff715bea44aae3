//! A meter that is read on request: when it is read, what becomes of a readout and of a failure, the
//! same for all families.

use std::{fmt, future::Future, time::Duration};

use lamplighter_model::{
    InstanceAddress, ResourceAddress, ResourceId, Sample,
    device::{Assignment, Declaration, Fault, Note},
};
use tokio::time::{Instant, sleep_until};

use super::{Board, Ledger, Readout};
use crate::{Adapter, Clock, Limits, Wake};

/// Pause after a failed readout, where the period is not shorter.
const RETRY: Duration = Duration::from_secs(30);
/// The longest pause while nobody answers.
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Readouts that nobody answers until a meter is asked only once, so that it does not take the time of
/// others on its line.
const OFFLINE_AFTER: u32 = 3;
/// The longest readout of a meter that shares its line, from its turn on.
pub(crate) const READOUT_MAX: Duration = Duration::from_secs(120);
/// And with the wait for its turn, behind many others of which some are dead.
const WITH_TURN: Duration = Duration::from_secs(3600);

/// How a family reads its meter out.
pub trait Pull: Send + 'static {
    type Failure: Trouble;

    /// One readout, and what people should know of it. `is_lost`: nobody has answered for some time,
    /// so that repetitions would only take time. Dropped at its deadline.
    fn read_out(
        &mut self,
        board: &Board,
        is_lost: bool,
    ) -> impl Future<Output = Result<(Readout, Vec<String>), Self::Failure>> + Send;
}

/// Why a readout failed.
pub trait Trouble:
    Clone + fmt::Debug + fmt::Display + Into<Fault> + PartialEq + Send + Sync
{
    /// By which it is counted.
    fn kind(&self) -> &'static str;

    /// Whether nobody was there to fail.
    fn is_silence(&self) -> bool;
}

/// The adapter of a meter that is read on request.
pub struct PullDevice<P: Pull> {
    pub(crate) meter: P,
    ledger: Ledger,
    board: Board,
    clock: Clock,
    read_every: Duration,
    due: Option<Instant>,
    /// Readouts in a row that nobody answered.
    silent: u32,
    /// Told once.
    failure: Option<P::Failure>,
}

/// The limits of a meter that shares its line: a Read is answered from the last readout up to twice
/// its period.
pub(crate) fn shared_limits(read_every: Duration) -> Limits {
    Limits {
        operation: WITH_TURN,
        max_age: read_every.saturating_mul(2),
        stale_after: Some(read_every.saturating_mul(3)),
        offline_after: OFFLINE_AFTER,
        retry_first: RETRY.min(read_every),
        retry_max: RETRY_MAX,
        ..Limits::default()
    }
}

impl<P: Pull> PullDevice<P> {
    pub(crate) fn with(meter: P, ledger: Ledger, read_every: Duration, clock: Clock) -> Self {
        Self {
            meter,
            ledger,
            board: Board::default(),
            clock,
            read_every,
            due: None,
            silent: 0,
            failure: None,
        }
    }

    pub fn board(&self) -> Board {
        self.board.clone()
    }

    fn retry_at(&self) -> Instant {
        Instant::now() + RETRY.min(self.read_every)
    }

    fn fail(&mut self, failure: P::Failure) -> Fault {
        self.silent = if failure.is_silence() {
            self.silent.saturating_add(1)
        } else {
            0
        };
        self.board.failed(failure.kind(), failure.to_string());
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%failure, "Meter cannot be read");
            self.failure = Some(failure.clone());
        }
        failure.into()
    }
}

impl<P: Pull> Adapter for PullDevice<P> {
    fn declared(&self) -> Vec<Declaration> {
        self.ledger.declared()
    }

    /// One readout, whatever was asked for: the samples of all points.
    async fn read(&mut self, _: InstanceAddress, _: &[ResourceId]) -> Result<Vec<Sample>, Fault> {
        self.due = Some(self.retry_at());
        let is_lost = self.silent >= OFFLINE_AFTER;
        let (readout, mut remarks) = match self.meter.read_out(&self.board, is_lost).await {
            Ok(told) => told,
            Err(failure) => return Err(self.fail(failure)),
        };
        self.failure = None;
        self.silent = 0;
        self.due = Some(Instant::now() + self.read_every);
        let samples = self.ledger.take(&readout, self.clock.stamp());
        remarks.extend(self.ledger.remarks());
        self.board.done(readout, remarks, self.ledger.counters());
        samples
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        let Some((instance, resources)) = self.ledger.due() else {
            return std::future::pending().await;
        };
        if let Some(due) = self.due {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.board.wanted() => {}
            }
        }
        self.due = Some(self.retry_at());
        Ok(Wake::Due(instance, resources))
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.ledger.take_notes()
    }
}

impl<P: Pull> fmt::Debug for PullDevice<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullDevice")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}
