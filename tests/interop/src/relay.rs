//! The network between the agent and a server, which a test cuts and mends; nobody needs to be root.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
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

#[derive(Debug)]
struct State {
    agent: Option<SocketAddr>,
    /// Where the server sees the agent.
    back: Arc<UdpSocket>,
    cut: bool,
    /// How many of a hundred are lost on either way, by chance, and when that happened last.
    losing: Option<(u32, u64)>,
    lost: Option<Instant>,
    /// What the server sent since it is held back.
    held: Option<Vec<Vec<u8>>>,
    /// So many more pass from the server until it is cut.
    left: Option<usize>,
    server: SocketAddr,
    /// Datagrams that came, and when, whether they went on or not.
    up: Vec<(Instant, Vec<u8>)>,
    /// Those of the server.
    down: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Shared {
    front: UdpSocket,
    scheme: String,
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
    /// `server` is `coap://127.0.0.1:PORT`, or `coaps://`.
    pub fn start(server: &str) -> Self {
        let shared = Arc::new(Shared {
            front: socket(),
            scheme: parts(server).0.to_owned(),
            state: Mutex::new(State {
                agent: None,
                back: Arc::new(socket()),
                cut: false,
                losing: None,
                lost: None,
                held: None,
                left: None,
                server: address(server),
                up: Vec::new(),
                down: Vec::new(),
            }),
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
        let address = self.shared.front.local_addr().unwrap();
        format!("{}://{address}", self.shared.scheme)
    }

    /// Nothing passes any more, in either direction.
    pub fn cut(&self) {
        locked(&self.shared.state).cut = true;
    }

    /// Lets so many datagrams of the server through, then nothing more in either direction.
    pub fn cut_after(&self, datagrams: usize) {
        locked(&self.shared.state).left = Some(datagrams);
    }

    pub fn mend(&self) {
        let mut state = locked(&self.shared.state);
        (state.cut, state.left, state.losing) = (false, None, None);
    }

    /// So many of a hundred datagrams are lost from now on, the same ones in every run.
    pub fn lose(&self, percent: u32) {
        locked(&self.shared.state).losing = Some((percent, 1));
    }

    /// When a datagram was lost last.
    pub fn lost_at(&self) -> Option<Instant> {
        locked(&self.shared.state).lost
    }

    /// What the server sends waits on its way from now on.
    pub fn hold(&self) {
        locked(&self.shared.state).held = Some(Vec::new());
    }

    /// How many datagrams wait.
    pub fn held(&self) -> usize {
        let state = locked(&self.shared.state);
        state.held.as_ref().map_or(0, Vec::len)
    }

    /// What waits arrives, late and in its order.
    pub fn release(&self) {
        let mut state = locked(&self.shared.state);
        let (held, agent) = (state.held.take(), state.agent.unwrap());
        for datagram in held.unwrap_or_default() {
            self.shared.front.send_to(&datagram, agent).unwrap();
        }
    }

    /// The server sees the agent at another port from now on, as behind a router that forgot it.
    pub fn move_agent(&self) {
        locked(&self.shared.state).back = Arc::new(socket());
    }

    /// The agent's datagrams go to another server from now on.
    pub fn redirect(&self, server: &str) {
        locked(&self.shared.state).server = address(server);
    }

    /// How many datagrams the agent has sent.
    pub fn sent(&self) -> usize {
        locked(&self.shared.state).up.len()
    }

    /// The datagrams that the agent sent from this one on.
    pub fn sent_since(&self, first: usize) -> Vec<Vec<u8>> {
        let state = locked(&self.shared.state);
        let datagrams = state.up[first..].iter();
        datagrams.map(|(_, datagram)| datagram.clone()).collect()
    }

    /// When the agent sent this datagram.
    pub fn sent_at(&self, number: usize) -> Instant {
        locked(&self.shared.state).up[number].0
    }

    /// How many datagrams the server has sent.
    pub fn answered(&self) -> usize {
        locked(&self.shared.state).down.len()
    }

    /// The datagrams that the server sent from this one on.
    pub fn answered_since(&self, first: usize) -> Vec<Vec<u8>> {
        locked(&self.shared.state).down[first..].to_vec()
    }

    /// Sends to the agent what another host would: from an address of its own.
    pub fn forge_down_from_elsewhere(&self, datagram: &[u8]) {
        let agent = locked(&self.shared.state).agent.unwrap();
        socket().send_to(datagram, agent).unwrap();
    }

    /// Sends to the agent what an attacker on the path would: from the server's address.
    pub fn forge_down(&self, datagram: &[u8]) {
        let agent = locked(&self.shared.state).agent.unwrap();
        self.shared.front.send_to(datagram, agent).unwrap();
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LOOK)).unwrap();
    socket
}

fn address(uri: &str) -> SocketAddr {
    parts(uri).1.parse().unwrap()
}

/// Scheme and address.
fn parts(uri: &str) -> (&str, &str) {
    uri.split_once("://").unwrap()
}

impl Shared {
    fn pass(&self, way: Way) {
        let mut bytes = vec![0; DATAGRAM];
        while !self.ended.load(Ordering::Relaxed) {
            let came = match way {
                Way::Up => self.front.recv_from(&mut bytes),
                Way::Down => self.back().recv_from(&mut bytes),
            };
            let Ok((length, sender)) = came else {
                continue;
            };
            let datagram = &bytes[..length];
            let Some(receiver) = self.receiver(way, sender, datagram) else {
                continue;
            };
            // Refused while the other side has no socket: lost, as on a real network.
            let _ = match way {
                Way::Up => self.back().send_to(datagram, receiver),
                Way::Down => self.front.send_to(datagram, receiver),
            };
        }
    }

    fn back(&self) -> Arc<UdpSocket> {
        locked(&self.state).back.clone()
    }

    /// To whom it goes on; `None` where it is lost.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real server measures in real time"
    )]
    fn receiver(&self, way: Way, sender: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        let came = Instant::now();
        let mut state = locked(&self.state);
        match way {
            Way::Up => {
                state.up.push((came, datagram.to_vec()));
                state.agent = Some(sender);
            }
            Way::Down => {
                let left = state.left;
                state.cut |= left == Some(0);
                state.left = left.map(|left| left.saturating_sub(1));
                state.down.push(datagram.to_vec());
                if let Some(held) = &mut state.held {
                    held.push(datagram.to_vec());
                    return None;
                }
            }
        }
        let receiver = match way {
            Way::Up => Some(state.server),
            Way::Down => state.agent,
        };
        receiver.filter(|_| !state.cut && !state.loses(came))
    }
}

impl State {
    fn loses(&mut self, now: Instant) -> bool {
        let Some((percent, chance)) = &mut self.losing else {
            return false;
        };
        // Knuth's MMIX; its upper bits are good enough for this.
        *chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let is_lost = (*chance >> 33) % 100 < u64::from(*percent);
        if is_lost {
            self.lost = Some(now);
        }
        is_lost
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}
