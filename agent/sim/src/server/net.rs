//! The server behind a UDP socket: one task that owns both, and handles that ask it.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use lamplighter_lwm2m::format::ContentFormat;
use lamplighter_model::{Path, Value};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Answer, CancelMode, ClientInfo, Exchange, LwServer, Misbehaviour, Operation, RequestError,
    RequestId, ServerEvent, ServerOptions, WriteMode,
};

/// Wishes that wait for the task.
const COMMANDS: usize = 64;

/// Notifications that wait for whoever observes; more are lost to it, as between two looks.
const NOTIFICATIONS: usize = 64;

/// UDP carries no more.
const MAX_DATAGRAM: usize = 65_535;

type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

/// Asks a running server, which ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct LwServerHandle {
    local: SocketAddr,
    commands: mpsc::Sender<Command>,
    registrations: watch::Receiver<u64>,
}

/// An observation that a client has accepted, or its refusal: then no notification ever comes.
#[derive(Debug)]
pub struct Observation {
    pub id: RequestId,
    pub first: Answer,
    /// Ends when the observation does. Dropping it resets the next notification.
    pub notifications: mpsc::Receiver<Answer>,
}

#[derive(Debug)]
enum Command {
    Cancel(RequestId, CancelMode, Reply<Option<Answer>>),
    Clients(oneshot::Sender<Vec<ClientInfo>>),
    Forget(String, oneshot::Sender<bool>),
    Log(u64, oneshot::Sender<Vec<Exchange>>),
    Misbehave(Misbehaviour),
    Observe(String, Operation, Reply<Observation>),
    Request(String, Operation, Reply<Answer>),
}

/// Starts a server; port 0 lets the system choose. Must be called inside a tokio runtime.
///
/// # Errors
/// Whatever the system says when the address cannot be listened on.
pub async fn start(listen: SocketAddr, options: ServerOptions) -> io::Result<LwServerHandle> {
    let socket = UdpSocket::bind(listen).await?;
    let local = socket.local_addr()?;
    let (commands, wishes) = mpsc::channel(COMMANDS);
    let (told, registrations) = watch::channel(0);
    let task = Task {
        socket,
        server: LwServer::new(options),
        origin: Instant::now(),
        told,
        waiting: BTreeMap::new(),
        cancelling: BTreeMap::new(),
        beginning: BTreeMap::new(),
        observers: BTreeMap::new(),
    };
    tokio::spawn(task.run(wishes));
    Ok(LwServerHandle {
        local,
        commands,
        registrations,
    })
}

impl LwServerHandle {
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Who is registered, by name; nobody once the server has ended.
    pub async fn clients(&self) -> Vec<ClientInfo> {
        self.ask(Command::Clients).await.unwrap_or_default()
    }

    /// Waits until a client of this name, or any at all, is registered.
    ///
    /// # Errors
    /// [`RequestError::Stopped`].
    pub async fn registered(&self, endpoint: Option<&str>) -> Result<ClientInfo, RequestError> {
        let mut registrations = self.registrations.clone();
        loop {
            registrations.mark_unchanged();
            let clients = self.ask(Command::Clients).await?;
            let wanted =
                |client: &ClientInfo| endpoint.is_none_or(|name| *client.endpoint == *name);
            if let Some(client) = clients.into_iter().find(wanted) {
                return Ok(client);
            }
            registrations
                .changed()
                .await
                .map_err(|_| RequestError::Stopped)?;
        }
    }

    /// Counts whatever becomes of registrations: Register, Update, De-register, expiry.
    pub fn registrations(&self) -> watch::Receiver<u64> {
        self.registrations.clone()
    }

    /// The last exchanges with a number above `after`, oldest first.
    pub async fn log(&self, after: u64) -> Vec<Exchange> {
        self.ask(|reply| Command::Log(after, reply))
            .await
            .unwrap_or_default()
    }

    /// Any operation but Observe, which [`Self::observe`] has.
    ///
    /// # Errors
    /// [`RequestError`] where no answer came.
    pub async fn request(
        &self,
        endpoint: &str,
        operation: Operation,
    ) -> Result<Answer, RequestError> {
        let endpoint = endpoint.to_owned();
        self.ask(|reply| Command::Request(endpoint, operation, reply))
            .await?
    }

    /// # Errors
    /// As [`Self::request`].
    pub async fn read(
        &self,
        endpoint: &str,
        path: Path,
        accept: Option<ContentFormat>,
    ) -> Result<Answer, RequestError> {
        self.request(endpoint, Operation::Read(path, accept)).await
    }

    /// Writes one value to a resource or resource instance.
    ///
    /// # Errors
    /// As [`Self::request`]; [`RequestError::NotAResource`] for other paths.
    pub async fn write(
        &self,
        endpoint: &str,
        path: Path,
        value: Value,
        format: ContentFormat,
        mode: WriteMode,
    ) -> Result<Answer, RequestError> {
        let write = Operation::write_value(path, value, format, mode)?;
        self.request(endpoint, write).await
    }

    /// # Errors
    /// As [`Self::request`].
    pub async fn execute(
        &self,
        endpoint: &str,
        path: Path,
        arguments: &str,
    ) -> Result<Answer, RequestError> {
        self.request(endpoint, Operation::Execute(path, arguments.to_owned()))
            .await
    }

    /// # Errors
    /// As [`Self::request`].
    pub async fn discover(&self, endpoint: &str, path: Path) -> Result<Answer, RequestError> {
        self.request(endpoint, Operation::Discover(path)).await
    }

    /// # Errors
    /// As [`Self::request`].
    pub async fn write_attributes(
        &self,
        endpoint: &str,
        path: Path,
        attributes: Vec<String>,
    ) -> Result<Answer, RequestError> {
        self.request(endpoint, Operation::WriteAttributes(path, attributes))
            .await
    }

    /// # Errors
    /// As [`Self::request`].
    pub async fn observe(
        &self,
        endpoint: &str,
        path: Path,
        accept: Option<ContentFormat>,
    ) -> Result<Observation, RequestError> {
        let endpoint = endpoint.to_owned();
        let observe = Operation::Observe(path, accept);
        self.ask(|reply| Command::Observe(endpoint, observe, reply))
            .await?
    }

    /// Ends an observation; an answer comes only where it is asked for.
    ///
    /// # Errors
    /// As [`Self::request`]; [`RequestError::NoSuchObservation`].
    pub async fn cancel(
        &self,
        observation: RequestId,
        mode: CancelMode,
    ) -> Result<Option<Answer>, RequestError> {
        self.ask(|reply| Command::Cancel(observation, mode, reply))
            .await?
    }

    /// Writes a resource of the client that registered under the first name, in the format that it
    /// prefers: the line of the log that tells it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_to_first(&self, path: Path, value: Value) -> Result<Exchange, RequestError> {
        let clients = self.ask(Command::Clients).await?;
        let client = clients.first().ok_or(RequestError::NoSuchClient)?;
        let format = client.preferred_format();
        let answer = self
            .write(&client.endpoint, path, value, format, WriteMode::Replace)
            .await?;
        let lines = self.log(answer.number.saturating_sub(1)).await;
        let line = lines.into_iter().find(|line| line.number == answer.number);
        line.ok_or(RequestError::Stopped)
    }

    /// # Errors
    /// [`RequestError::Stopped`].
    pub async fn misbehave(&self, act: Misbehaviour) -> Result<(), RequestError> {
        let sent = self.commands.send(Command::Misbehave(act)).await;
        sent.map_err(|_| RequestError::Stopped)
    }

    /// Loses a registration as by a restart. Whether there was one.
    ///
    /// # Errors
    /// [`RequestError::Stopped`].
    pub async fn forget(&self, endpoint: &str) -> Result<bool, RequestError> {
        let endpoint = endpoint.to_owned();
        self.ask(|reply| Command::Forget(endpoint, reply)).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| RequestError::Stopped)?;
        answer.await.map_err(|_| RequestError::Stopped)
    }
}

/// Owns the socket and the server.
#[derive(Debug)]
struct Task {
    socket: UdpSocket,
    server: LwServer,
    origin: Instant,
    told: watch::Sender<u64>,
    waiting: BTreeMap<RequestId, Reply<Answer>>,
    cancelling: BTreeMap<RequestId, Reply<Option<Answer>>>,
    beginning: BTreeMap<RequestId, Reply<Observation>>,
    observers: BTreeMap<RequestId, mpsc::Sender<Answer>>,
}

impl Task {
    async fn run(mut self, mut wishes: mpsc::Receiver<Command>) {
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            let due = self.server.poll_timeout().map(|at| self.origin + at);
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, from)) => {
                        let now = self.now();
                        self.server.handle_datagram(from, &datagram[..length], now);
                    }
                    // What a peer's host refuses concerns one peer, the others go on.
                    Err(error) => tracing::debug!(%error, "receive"),
                },
                wish = wishes.recv() => match wish {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                () = sleep_until(due) => {}
            }
            self.server.handle_timeout(self.now());
            self.on_events();
            self.transmit().await;
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn transmit(&mut self) {
        while let Some((to, datagram)) = self.server.poll_transmit() {
            // A datagram that does not leave is one that the network lost.
            if let Err(error) = self.socket.send_to(&datagram, to).await {
                tracing::debug!(%error, %to, "send");
            }
        }
    }

    // A reply whose receiver is gone is for nobody: results of `send` are of no interest here.
    fn on_command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Cancel(observation, mode, reply) => {
                match self.server.cancel(observation, mode, now) {
                    Ok(Some(id)) => drop(self.cancelling.insert(id, reply)),
                    Ok(None) => drop(reply.send(Ok(None))),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::Clients(reply) => {
                drop(reply.send(self.server.clients().cloned().collect()));
            }
            Command::Forget(endpoint, reply) => {
                let _ = reply.send(self.server.forget(&endpoint, now));
                self.told.send_modify(|count| *count += 1);
            }
            Command::Log(after, reply) => drop(reply.send(self.server.log(after))),
            Command::Misbehave(act) => self.server.misbehave(act),
            Command::Observe(endpoint, operation, reply) => {
                match self.server.request(&endpoint, &operation, now) {
                    Ok(id) => drop(self.beginning.insert(id, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::Request(endpoint, operation, reply) => {
                match self.server.request(&endpoint, &operation, now) {
                    Ok(id) => drop(self.waiting.insert(id, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
        }
    }

    fn on_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                ServerEvent::Answered(id, _, answer) => self.on_answer(id, answer),
                ServerEvent::Failed(id, _, error) => self.on_failed(id, error),
                ServerEvent::Notified(id, _, answer) => self.on_notification(id, answer),
                ServerEvent::ObservationEnded(id, ..) => drop(self.observers.remove(&id)),
                ServerEvent::Deregistered(_)
                | ServerEvent::Expired(_)
                | ServerEvent::Registered(_)
                | ServerEvent::Sent(..)
                | ServerEvent::Updated(_) => self.told.send_modify(|count| *count += 1),
            }
        }
    }

    fn on_answer(&mut self, id: RequestId, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&id) {
            drop(reply.send(Ok(answer)));
        } else if let Some(reply) = self.cancelling.remove(&id) {
            drop(reply.send(Ok(Some(answer))));
        } else if let Some(reply) = self.beginning.remove(&id) {
            let (sender, notifications) = mpsc::channel(NOTIFICATIONS);
            if answer.is_observed() {
                self.observers.insert(id, sender);
            }
            drop(reply.send(Ok(Observation {
                id,
                first: answer,
                notifications,
            })));
        }
    }

    fn on_failed(&mut self, id: RequestId, error: RequestError) {
        if let Some(reply) = self.waiting.remove(&id) {
            drop(reply.send(Err(error)));
        } else if let Some(reply) = self.cancelling.remove(&id) {
            drop(reply.send(Err(error)));
        } else if let Some(reply) = self.beginning.remove(&id) {
            drop(reply.send(Err(error)));
        }
    }

    fn on_notification(&mut self, id: RequestId, answer: Answer) {
        let is_wanted = self.observers.get(&id).is_some_and(|observer| {
            let told = observer.try_send(answer);
            !matches!(told, Err(mpsc::error::TrySendError::Closed(_)))
        });
        if !is_wanted {
            // An error means that it ended by this very notification.
            let _ = self
                .server
                .cancel(id, CancelMode::Reset, self.origin.elapsed());
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
