//! What lies between boxes and servers: it delays, loses, repeats and reorders datagrams, hides the
//! boxes behind addresses of its own, and forgets those.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use lamplighter_lwm2m::boundary::LinkId;

use crate::{chance::Chance, world::BoxId, world::ServerId};

/// What the way of one box does to datagrams, in both directions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weather {
    pub latency: Duration,
    /// At most this much later, evenly spread; more than the pause between two datagrams reorders.
    pub jitter: Duration,
    /// Of a thousand datagrams.
    pub lost: u32,
    /// Of a thousand datagrams, how many begin a burst in which all are lost.
    pub bursts: u32,
    pub burst: Duration,
    /// Of a thousand datagrams.
    pub doubled: u32,
    /// Longer datagrams are lost.
    pub mtu: usize,
    /// After this much silence the address that a server sees is another; zero for never.
    pub nat_idle: Duration,
}

impl Weather {
    /// A way that does nothing but take its time.
    pub const FAIR: Self = Self {
        latency: Duration::from_millis(40),
        jitter: Duration::ZERO,
        lost: 0,
        bursts: 0,
        burst: Duration::ZERO,
        doubled: 0,
        mtu: 1280,
        nat_idle: Duration::ZERO,
    };

    /// Mobile radio on a bad day.
    pub const FOUL: Self = Self {
        latency: Duration::from_millis(250),
        jitter: Duration::from_millis(400),
        lost: 150,
        bursts: 10,
        burst: Duration::from_secs(8),
        doubled: 50,
        mtu: 1280,
        nat_idle: Duration::ZERO,
    };
}

/// One socket of one run of a box.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Socket {
    pub(crate) of: BoxId,
    pub(crate) run: u32,
    pub(crate) link: LinkId,
}

/// A datagram that arrives.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    AtBox(Socket, Vec<u8>),
    AtServer(ServerId, SocketAddr, Vec<u8>),
}

/// The way of one box.
#[derive(Clone, Copy, Debug)]
struct Way {
    weather: Weather,
    is_up: bool,
    burst_until: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    address: SocketAddr,
    used: Duration,
}

/// Counts of all datagrams.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Carried {
    pub delivered: u64,
    pub lost: u64,
}

#[derive(Debug)]
pub(crate) struct Network {
    chance: Chance,
    ways: Vec<Way>,
    flying: BTreeMap<(Duration, u64), Arrival>,
    flown: u64,
    mappings: BTreeMap<Socket, Mapping>,
    sockets: BTreeMap<SocketAddr, Socket>,
    addresses: u32,
    pub(crate) carried: Carried,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            ways: Vec::new(),
            flying: BTreeMap::new(),
            flown: 0,
            mappings: BTreeMap::new(),
            sockets: BTreeMap::new(),
            addresses: 0,
            carried: Carried::default(),
        }
    }

    pub(crate) fn add(&mut self, weather: Weather) {
        self.ways.push(Way {
            weather,
            is_up: true,
            burst_until: Duration::ZERO,
        });
    }

    pub(crate) fn set_weather(&mut self, of: BoxId, weather: Weather) {
        self.ways[of.0].weather = weather;
    }

    /// Whether anything passes.
    pub(crate) fn set_up(&mut self, of: BoxId, is_up: bool) {
        self.ways[of.0].is_up = is_up;
    }

    pub(crate) fn is_up(&self, of: BoxId) -> bool {
        self.ways[of.0].is_up
    }

    /// Servers see this box under new addresses from its next datagram on.
    pub(crate) fn rebind(&mut self, of: BoxId) {
        let sockets = self.mappings.keys().filter(|socket| socket.of == of);
        let sockets: Vec<Socket> = sockets.copied().collect();
        for socket in sockets {
            self.forget(socket);
        }
    }

    pub(crate) fn forget(&mut self, socket: Socket) {
        if let Some(mapping) = self.mappings.remove(&socket) {
            self.sockets.remove(&mapping.address);
        }
    }

    pub(crate) fn leave_box(
        &mut self,
        socket: Socket,
        to: ServerId,
        datagram: Vec<u8>,
        now: Duration,
    ) {
        let address = self.address(socket, now);
        self.fly(socket.of, Arrival::AtServer(to, address, datagram), now);
    }

    pub(crate) fn leave_server(&mut self, to: SocketAddr, datagram: Vec<u8>, now: Duration) {
        let Some(socket) = self.sockets.get(&to).copied() else {
            self.carried.lost += 1;
            return;
        };
        let idle = self.ways[socket.of.0].weather.nat_idle;
        let used = self.mappings.get(&socket).map(|mapping| mapping.used);
        if !idle.is_zero() && used.is_none_or(|used| used + idle < now) {
            self.carried.lost += 1;
            return;
        }
        self.fly(socket.of, Arrival::AtBox(socket, datagram), now);
    }

    /// Whether datagrams to this address find a socket.
    pub(crate) fn is_mapped(&self, address: SocketAddr) -> bool {
        self.sockets.contains_key(&address)
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn arrived(&mut self, now: Duration) -> Option<Arrival> {
        let entry = self.flying.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        self.carried.delivered += 1;
        Some(entry.remove())
    }

    fn address(&mut self, socket: Socket, now: Duration) -> SocketAddr {
        let idle = self.ways[socket.of.0].weather.nat_idle;
        if let Some(mapping) = self.mappings.get_mut(&socket) {
            if idle.is_zero() || mapping.used + idle >= now {
                mapping.used = now;
                return mapping.address;
            }
            self.forget(socket);
        }
        self.addresses += 1;
        let host = Ipv4Addr::from_bits(0x0a00_0001 + self.addresses / 50_000);
        let port = u16::try_from(10_000 + self.addresses % 50_000).unwrap_or(u16::MAX);
        let address = SocketAddr::from((host, port));
        self.mappings.insert(socket, Mapping { address, used: now });
        self.sockets.insert(address, socket);
        address
    }

    fn fly(&mut self, of: BoxId, arrival: Arrival, now: Duration) {
        let length = match &arrival {
            Arrival::AtBox(_, datagram) | Arrival::AtServer(_, _, datagram) => datagram.len(),
        };
        let way = &mut self.ways[of.0];
        let weather = way.weather;
        if self.chance.permille(weather.bursts) {
            way.burst_until = now + weather.burst;
        }
        let lost = !way.is_up
            || way.burst_until > now
            || length > weather.mtu
            || self.chance.permille(weather.lost);
        if lost {
            self.carried.lost += 1;
            return;
        }
        let copies = 1 + usize::from(self.chance.permille(weather.doubled));
        for _ in 0..copies {
            self.flown += 1;
            let at = now + weather.latency + self.chance.up_to(weather.jitter);
            self.flying.insert((at, self.flown), arrival.clone());
        }
    }
}
