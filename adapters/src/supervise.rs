//! What stands in front of every adapter: written once, generic over the device family.
//!
//! 1. Requests come in by a bounded queue; commands go before reads, reads that were asked for go
//!    before those that are due. Each request has one deadline from its arrival and gets exactly one
//!    [`AdapterEvent::Done`].
//! 2. A read is answered from the last sample where that is young enough; several reads of one
//!    instance share one read of the device.
//! 3. While nothing is to be done the adapter waits for news; a request drops that wait.
//! 4. Events go out by a bounded queue. While it is full, samples are merged (the newest of each
//!    resource wins) and requests are left in their queue, so that nothing grows.
//! 5. An owner that is followed by another hands the adapter over as it stands: the heir hears
//!    again what there is, and nothing of what the former owner asked for.
//! 6. Missed answers make the link Suspect, then Offline with growing pauses; values are then
//!    marked stale, once.

mod desk;
mod health;
mod link;
mod outbox;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    collections::BTreeMap,
    future::{Future, poll_fn},
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use lamplighter_model::{
    ResourceAddress,
    device::{AdapterEvent, AdapterId, AdapterRequest, Declared, Fault},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use self::desk::{Desk, Work};
pub use self::health::Health;
use crate::{Adapter, Clock, Wake};

/// How a supervised adapter behaves; the defaults fit a device that answers within a second.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the arrival of a request to its answer. Below the 4 s after which the core gives up.
    pub deadline: Duration,
    /// Longest single read of the device. Longer than `deadline` only for slow meters: a request
    /// then ends in [`Fault::Timeout`], the read goes on and its samples are kept.
    pub operation: Duration,
    /// A read is answered from a sample up to this age without asking the device.
    pub max_age: Duration,
    /// The same for single resources, usually 2 × the poll period.
    pub max_age_of: BTreeMap<ResourceAddress, Duration>,
    /// A value that was not refreshed for this time is marked stale; `None`: only when the device
    /// is offline (values that are told on change only).
    pub stale_after: Option<Duration>,
    /// Missed answers in a row until the device is given up for now.
    pub offline_after: u32,
    /// Pause after the first missed answer; it doubles with each further one.
    pub retry_first: Duration,
    /// Longest pause between two attempts.
    pub retry_max: Duration,
    /// Most requests in work; more are answered with [`Fault::Busy`].
    pub queue: usize,
    /// Who wants to know how the device answers.
    pub health: Option<watch::Sender<Health>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(3500),
            operation: Duration::from_millis(3500),
            max_age: Duration::from_secs(10),
            max_age_of: BTreeMap::new(),
            stale_after: None,
            offline_after: 3,
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            queue: 64,
            health: None,
        }
    }
}

/// The supervisor's end of the queues.
#[derive(Debug)]
pub struct Port {
    pub requests: mpsc::Receiver<AdapterRequest>,
    pub events: mpsc::Sender<AdapterEvent>,
    heir: Heir,
}

/// The daemon's end of the queues.
#[derive(Debug)]
pub struct AdapterHandle {
    pub requests: mpsc::Sender<AdapterRequest>,
    pub events: mpsc::Receiver<AdapterEvent>,
    heir: Heir,
}

/// Whose the adapter is once nobody holds the other ends of the present queues.
type Heir = Arc<Mutex<Option<(mpsc::Receiver<AdapterRequest>, mpsc::Sender<AdapterEvent>)>>>;

impl Port {
    /// Requests waiting in front of one adapter. As many as a server asks for in one go of all that
    /// a device has; most are answered from samples as soon as it is their turn.
    pub const REQUESTS: usize = 256;
    /// Events waiting behind one adapter.
    pub const EVENTS: usize = 64;

    /// Both ends, with queues of the usual length.
    pub fn pair() -> (AdapterHandle, Self) {
        Self::with_capacity(Self::REQUESTS, Self::EVENTS)
    }

    pub fn with_capacity(requests: usize, events: usize) -> (AdapterHandle, Self) {
        let (request_in, request_out) = mpsc::channel(requests);
        let (event_in, event_out) = mpsc::channel(events);
        let heir = Heir::default();
        (
            AdapterHandle {
                requests: request_in,
                events: event_out,
                heir: Arc::clone(&heir),
            },
            Self {
                requests: request_out,
                events: event_in,
                heir,
            },
        )
    }
}

impl AdapterHandle {
    /// For another owner, who knows nothing: it hears again what is declared, how the link stands,
    /// and the last samples. Answers to what was asked for before are dropped; the device is not
    /// touched.
    #[must_use]
    pub fn handed_over(self) -> Self {
        let (
            handle,
            Port {
                requests, events, ..
            },
        ) = Port::pair();
        *self.heir.lock().unwrap_or_else(PoisonError::into_inner) = Some((requests, events));
        // Only now are the present queues let go.
        let Self { heir, .. } = self;
        Self { heir, ..handle }
    }

    /// Never waits: a full queue is [`Fault::Busy`], an adapter that ended [`Fault::Unreachable`].
    /// After an error no `Done` follows.
    pub fn try_send(&self, request: AdapterRequest) -> Result<(), Fault> {
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Fault::Busy,
                mpsc::error::TrySendError::Closed(_) => Fault::Unreachable,
            })
    }
}

/// All adapters as the event loop sees them: one place to send to, one to receive from.
#[derive(Debug, Default)]
pub struct Handles {
    all: BTreeMap<AdapterId, AdapterHandle>,
    /// Heard last; the next look begins behind it so that no adapter drowns the others.
    last: Option<AdapterId>,
}

impl Handles {
    /// Puts an adapter in, in place of the one that had this id.
    pub fn insert(&mut self, id: AdapterId, handle: AdapterHandle) {
        self.all.insert(id, handle);
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Taking a handle out ends its supervisor.
    pub fn remove(&mut self, id: AdapterId) -> Option<AdapterHandle> {
        self.all.remove(&id)
    }

    /// As [`AdapterHandle::try_send`]; an unknown adapter is [`Fault::Unreachable`].
    pub fn try_send(&self, id: AdapterId, request: AdapterRequest) -> Result<(), Fault> {
        self.all
            .get(&id)
            .map_or(Err(Fault::Unreachable), |handle| handle.try_send(request))
    }

    /// The next event of any adapter; `None` in place of an event when that adapter has ended,
    /// whose handle is then gone. Waits for ever while there is no adapter. May be dropped at will.
    pub async fn recv(&mut self) -> (AdapterId, Option<AdapterEvent>) {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Self::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<(AdapterId, Option<AdapterEvent>)> {
        let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = self.last.map_or(Bound::Unbounded, Bound::Included);
        for range in [(behind, Bound::Unbounded), (Bound::Unbounded, upto)] {
            for (id, handle) in self.all.range_mut(range) {
                let id = *id;
                let Poll::Ready(event) = handle.events.poll_recv(cx) else {
                    continue;
                };
                self.last = Some(id);
                if event.is_none() {
                    self.all.remove(&id);
                }
                return Poll::Ready((id, event));
            }
        }
        Poll::Pending
    }
}

/// Why a supervisor came back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ended {
    /// The daemon dropped its handle.
    Closed,
    /// The adapter broke one of its own rules, with the panic's words. All open requests were
    /// answered and the link reported Offline; whether to start it again is the daemon's choice.
    Panicked(String),
}

/// Runs an adapter until the daemon drops its handle.
pub async fn supervise<A: Adapter>(
    mut adapter: A,
    port: Port,
    clock: Clock,
    params: Limits,
) -> Ended {
    let Port {
        requests,
        events,
        heir,
    } = port;
    let mut counter = Counter {
        requests,
        events,
        heir,
        desk: Desk::new(clock, params),
    };
    let outcome = catch(counter.serve(&mut adapter)).await;
    let Err(panic) = outcome else {
        return Ended::Closed;
    };
    let words = panic_words(&*panic);
    tracing::error!(%words, "Adapter stopped by a fault of its own");
    counter.close(&words).await;
    Ended::Panicked(words)
}

/// The queues and what is known; everything but the adapter itself, so that a future of the
/// adapter can run while requests are taken in.
struct Counter {
    requests: mpsc::Receiver<AdapterRequest>,
    events: mpsc::Sender<AdapterEvent>,
    heir: Heir,
    desk: Desk,
}

/// The daemon's ends of the queues are gone.
struct Gone;

/// How work on the device ended.
enum Outcome<T> {
    Finished(T),
    Interrupted,
    Late,
}

impl Counter {
    async fn serve<A: Adapter>(&mut self, adapter: &mut A) {
        self.desk.declare(Declared {
            added: adapter.declared(),
            removed: Vec::new(),
        });
        loop {
            while self.turn(adapter).await.is_ok() {}
            if !self.is_inherited() {
                return;
            }
        }
    }

    /// Goes over to the next owner, where there is one.
    fn is_inherited(&mut self) -> bool {
        let mut heir = self.heir.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((requests, events)) = heir.take() else {
            return false;
        };
        (self.requests, self.events) = (requests, events);
        self.desk.introduce();
        true
    }

    /// What the device is asked stands in memory of its own while it lasts: there are hundreds of
    /// adapters, and each would keep room for the largest of it.
    async fn turn<A: Adapter>(&mut self, adapter: &mut A) -> Result<(), Gone> {
        self.take_waiting().await?;
        match self.desk.next(Instant::now()) {
            Work::Execute {
                op,
                resource,
                args,
                deadline,
            } => {
                let result = self
                    .attend(Box::pin(adapter.execute(resource, &args)), deadline)
                    .await?
                    .in_time();
                self.desk.on_executed(op, result, Instant::now());
            }
            Work::Read(flight) => {
                let deadline = Instant::now() + self.desk.limits().operation;
                let read = Box::pin(adapter.read(flight.instance, &flight.resources));
                let result = self.attend(read, deadline).await?.in_time();
                self.desk.on_read(&flight, result, Instant::now());
                self.desk.on_notes(adapter.take_notes());
            }
            Work::Write {
                op,
                values,
                deadline,
            } => {
                let result = self
                    .attend(Box::pin(adapter.write(&values)), deadline)
                    .await?
                    .in_time();
                let read_back = adapter.take_read_back();
                self.desk
                    .on_written(op, &values, result, read_back, Instant::now());
            }
            Work::WritePart { op, part, deadline } => {
                let result = self
                    .attend(Box::pin(adapter.write_part(&part)), deadline)
                    .await?
                    .in_time();
                self.desk.on_executed(op, result, Instant::now());
            }
            Work::Rest { until } => {
                let _ = self.idle(std::future::pending::<()>(), Some(until)).await?;
            }
            Work::Settle => {
                let result = self
                    .idle(Box::pin(adapter.wait()), Some(Instant::now()))
                    .await?;
                self.on_waited(result);
            }
            Work::Wait => {
                let result = self.idle(Box::pin(adapter.wait()), None).await?;
                self.on_waited(result);
                self.desk.on_notes(adapter.take_notes());
            }
        }
        tokio::task::consume_budget().await;
        Ok(())
    }

    fn on_waited(&mut self, result: Outcome<Result<Wake, Fault>>) {
        match result {
            Outcome::Finished(Ok(Wake::Alive)) => self.desk.on_alive(),
            Outcome::Finished(Ok(Wake::Declared(declared))) => self.desk.declare(declared),
            Outcome::Finished(Ok(Wake::Due(instance, resources))) => {
                self.desk.on_due(instance, resources)
            }
            Outcome::Finished(Ok(Wake::Lost(words))) => self.desk.on_lost(&words),
            Outcome::Finished(Ok(Wake::News(samples))) => self.desk.on_news(samples),
            Outcome::Finished(Err(fault)) => self.desk.on_fault(&fault, Instant::now()),
            Outcome::Interrupted => {}
            Outcome::Late => self.desk.read_written(),
        }
    }

    /// Takes in what has arrived, also while the adapter always has news.
    async fn take_waiting(&mut self) -> Result<(), Gone> {
        self.flush()?;
        while self.desk.outbox.is_full() {
            let permit = self.events.reserve().await.map_err(|_| Gone)?;
            send_next(&mut self.desk, permit);
        }
        while self.desk.has_room() {
            match self.requests.try_recv() {
                Ok(request) => self.desk.on_request(request, Instant::now()),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(Gone),
            }
        }
        self.desk.expire(Instant::now());
        self.flush()
    }

    /// Runs work that must not be disturbed, up to its deadline, and goes on taking requests.
    async fn attend<T>(
        &mut self,
        work: impl Future<Output = T>,
        deadline: Instant,
    ) -> Result<Outcome<T>, Gone> {
        self.run(work, Some(deadline), false).await
    }

    /// Runs something that is dropped as soon as the device is wanted.
    async fn idle<T>(
        &mut self,
        work: impl Future<Output = T>,
        until: Option<Instant>,
    ) -> Result<Outcome<T>, Gone> {
        self.run(work, until, true).await
    }

    async fn run<T>(
        &mut self,
        work: impl Future<Output = T>,
        until: Option<Instant>,
        yields: bool,
    ) -> Result<Outcome<T>, Gone> {
        let mut work = pin!(work);
        loop {
            self.flush()?;
            let timer = self.desk.timer();
            // The order makes a ready result win over its deadline.
            tokio::select! {
                biased;
                result = &mut work => return Ok(Outcome::Finished(result)),
                () = at(until) => return Ok(Outcome::Late),
                request = self.requests.recv(), if self.desk.has_room() => {
                    self.desk.on_request(request.ok_or(Gone)?, Instant::now());
                }
                permit = self.events.reserve(), if self.desk.outbox.has_events() => {
                    let permit = permit.map_err(|_| Gone)?;
                    send_next(&mut self.desk, permit);
                }
                () = at(timer) => self.desk.expire(Instant::now()),
            }
            if yields && self.desk.wants_device() {
                return Ok(Outcome::Interrupted);
            }
        }
    }

    /// Hands over what the event queue takes without waiting.
    fn flush(&mut self) -> Result<(), Gone> {
        while self.desk.outbox.has_events() {
            match self.events.try_reserve() {
                Ok(permit) => send_next(&mut self.desk, permit),
                Err(mpsc::error::TrySendError::Full(())) => break,
                Err(mpsc::error::TrySendError::Closed(())) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Answers everything that is open after the adapter has panicked.
    async fn close(&mut self, words: &str) {
        self.desk.abandon(words);
        self.requests.close();
        loop {
            while let Some(event) = self.desk.outbox.pop() {
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
            let Some(request) = self.requests.recv().await else {
                return;
            };
            self.desk.refuse(request.op, Fault::Unreachable);
        }
    }
}

impl<T> Outcome<Result<T, Fault>> {
    fn in_time(self) -> Result<T, Fault> {
        match self {
            Self::Finished(result) => result,
            Self::Interrupted | Self::Late => Err(Fault::Timeout),
        }
    }
}

fn send_next(desk: &mut Desk, permit: mpsc::Permit<'_, AdapterEvent>) {
    if let Some(event) = desk.outbox.pop() {
        permit.send(event);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Runs a future and catches its panic. In builds with `panic = "abort"` the process ends instead.
async fn catch<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}

fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no words".to_owned())
}
