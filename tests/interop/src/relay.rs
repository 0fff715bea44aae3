//! The network between the agent and a server, which a test cuts and mends; nobody needs to be root.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How long a thread waits before it looks whether its test has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Larger than any datagram.
const DATAGRAM: usize = 65_536;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// From the agent to the server.
    Up,
    Down,
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    /// Datagrams that came, whether they went on or not.
    up: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Shared {
    front: UdpSocket,
    back: UdpSocket,
    server: SocketAddr,
    agent: Mutex<Option<SocketAddr>>,
    state: Mutex<State>,
    ended: AtomicBool,
}

/// Passes datagrams between one agent and one server.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// `server` is `coap://127.0.0.1:PORT`.
    pub fn start(server: &str) -> Self {
        let server = server.trim_start_matches("coap://").parse().unwrap();
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            socket
        };
        let shared = Arc::new(Shared {
            front: socket(),
            back: socket(),
            server,
            agent: Mutex::new(None),
            state: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        for way in [Way::Up, Way::Down] {
            let shared = shared.clone();
            thread::spawn(move || shared.pass(way));
        }
        Self { shared }
    }

    /// Where the agent finds its server.
    pub fn uri(&self) -> String {
        format!("coap://{}", self.shared.front.local_addr().unwrap())
    }

    /// Nothing passes any more, in either direction.
    pub fn cut(&self) {
        locked(&self.shared.state).cut = true;
    }

    pub fn mend(&self) {
        locked(&self.shared.state).cut = false;
    }

    /// How many datagrams the agent has sent.
    pub fn sent(&self) -> usize {
        locked(&self.shared.state).up.len()
    }

    /// The datagrams that the agent sent from this one on.
    pub fn sent_since(&self, first: usize) -> Vec<Vec<u8>> {
        locked(&self.shared.state).up[first..].to_vec()
    }
}

impl Shared {
    fn pass(&self, way: Way) {
        let mut bytes = vec![0; DATAGRAM];
        while !self.ended.load(Ordering::Relaxed) {
            let from = match way {
                Way::Up => &self.front,
                Way::Down => &self.back,
            };
            let Ok((length, sender)) = from.recv_from(&mut bytes) else {
                continue;
            };
            let passes = self.note(way, &bytes[..length]);
            let to = match way {
                Way::Up => {
                    *locked(&self.agent) = Some(sender);
                    Some(self.server)
                }
                Way::Down => *locked(&self.agent),
            };
            let socket = match way {
                Way::Up => &self.back,
                Way::Down => &self.front,
            };
            if let Some(to) = to.filter(|_| passes) {
                // Refused while the other side has no socket: lost, as on a real network.
                let _ = socket.send_to(&bytes[..length], to);
            }
        }
    }

    /// Whether it goes on.
    fn note(&self, way: Way, datagram: &[u8]) -> bool {
        let mut state = locked(&self.state);
        if way == Way::Up {
            state.up.push(datagram.to_vec());
        }
        !state.cut
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}
