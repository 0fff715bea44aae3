//! A ModemManager of our own with one modem, on a bus of its own: its names, methods and properties are
//! those of ModemManager 1.20, what its network is like a test says. For what the real one cannot show
//! without a modem: connections that carry packets, networks that refuse them, modems that hang.

mod objects;

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::modem::Bus;

/// How long a bus may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The network that the modem is in, and its interface.
pub trait Air: Send + 'static {
    /// The interface carries packets from now on, where the network takes it.
    fn connect(&mut self, wanted: &Wanted) -> Result<Lease, Refusal>;
    /// It does not any more. Also told where it never did.
    fn disconnect(&mut self);
}

/// What a connection is asked for with. // ModemManager, Modem.Simple.Connect
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    pub apn: String,
    pub user: Option<String>,
    pub password: Option<String>,
    /// MMBearerIpFamily
    pub families: u32,
}

/// What the network tells of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub gateway: Ipv4Addr,
    pub name_server: Ipv4Addr,
}

/// Why the network does not connect it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The modem itself does not work.
    Stuck,
    UnknownApn,
    WrongPassword,
}

/// What the modem was told to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    Enable(bool),
    /// MMModemPowerState
    Power(u32),
    Connect(Wanted),
    Disconnect,
    Reset,
}

/// A running manager; ends when it is dropped.
#[derive(Debug)]
pub struct Manager {
    /// Of the bus.
    pub address: String,
    modem: Arc<Modem>,
    /// Ends with it.
    hang_ups: Option<UnboundedSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The modem, as all its objects see it.
struct Modem {
    interface: String,
    state: Mutex<State>,
    air: Mutex<Box<dyn Air>>,
}

#[derive(Debug)]
struct State {
    /// MMModemState
    modem: i32,
    /// MMModemPowerState
    power: u32,
    /// Others come after a reset, and for each other connection.
    number: u32,
    bearers: u32,
    bearer: Option<Bearer>,
    calls: Vec<(Instant, Call)>,
    /// Nothing but a reset makes it connect.
    is_stuck: bool,
}

/// The connection that was asked for last.
#[derive(Clone, Debug)]
struct Bearer {
    wanted: Wanted,
    lease: Option<Lease>,
    refusal: Option<Refusal>,
}

impl Manager {
    /// One whose modem has this network interface. It is disabled first, as after the start of a
    /// machine.
    pub fn start(directory: &Path, interface: &str, air: impl Air) -> Self {
        let modem = Arc::new(Modem {
            interface: interface.to_owned(),
            state: Mutex::new(State {
                modem: objects::DISABLED,
                power: objects::POWER_ON,
                number: 0,
                bearers: 0,
                bearer: None,
                calls: Vec::new(),
                is_stuck: false,
            }),
            air: Mutex::new(Box::new(air)),
        });
        let (hang_ups, mut hang_up) = unbounded_channel();
        let (ready, started) = channel();
        let (ours, directory) = (Arc::clone(&modem), directory.to_owned());
        // A runtime of its own: it goes on whatever a test does with its clock.
        let thread = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async move {
                let bus = Bus::start(&directory).await;
                let connection = objects::serve(&bus, &ours).await;
                let _ = ready.send(bus.address.clone());
                while hang_up.recv().await.is_some() {
                    ours.lose(&connection).await.unwrap();
                }
            });
        });
        Self {
            address: started.recv_timeout(START).expect("the bus starts"),
            modem,
            hang_ups: Some(hang_ups),
            thread: Some(thread),
        }
    }

    /// The network takes the connection away.
    pub fn hang_up(&self) {
        let hang_ups = self.hang_ups.as_ref();
        let said = hang_ups.and_then(|it| it.send(()).ok());
        said.expect("it runs");
    }

    /// The modem does not connect any more, until it is reset.
    pub fn stick(&self) {
        self.modem.state().is_stuck = true;
        self.hang_up();
    }

    /// What the modem was told so far, and when.
    pub fn calls(&self) -> Vec<(Instant, Call)> {
        self.modem.state().calls.clone()
    }

    /// When the modem was last told this.
    pub fn called(&self, call: &Call) -> Option<Instant> {
        let state = self.modem.state();
        let mut calls = state.calls.iter().rev();
        calls.find(|(_, known)| known == call).map(|(at, _)| *at)
    }

    /// The access points that were asked for, one after the other.
    pub fn access_points(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        let asked = calls.filter_map(|(_, call)| match call {
            Call::Connect(wanted) => Some(wanted.apn),
            Call::Enable(_) | Call::Power(_) | Call::Disconnect | Call::Reset => None,
        });
        asked.collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.hang_ups = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Modem {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn air(&self) -> MutexGuard<'_, Box<dyn Air>> {
        self.air.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a program beside the agent lives in real time"
    )]
    fn note(&self, call: Call) {
        self.state().calls.push((Instant::now(), call));
    }
}

impl std::fmt::Debug for Modem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modem")
            .field("interface", &self.interface)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
