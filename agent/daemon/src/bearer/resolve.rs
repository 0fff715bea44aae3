//! Names of servers through one bearer: a stub resolver whose questions leave by its device.
//!
//! 1. Addresses as text and the hosts file go first, as everywhere else.
//! 2. The name servers of the bearer are asked, else those of the system, one after another without
//!    giving the former up; both families at once.
//! 3. Where the network has IPv6 only, what has an address of IPv4 is reached through its translator.
//!
//! Nothing takes longer than [`PATIENCE`], and no answer is larger than [`MAX_ANSWER`].

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use lamplighter_updater::knock::unforeseen;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Reason,
    way::{self, Way},
};

mod message;
mod nat64;

use message::{Answer, Kind, MAX_ALIASES, Name};
use nat64::{IPV4_ONLY, Prefix};

/// Where names are looked up.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    pub(crate) hosts: PathBuf,
    pub(crate) resolv_conf: PathBuf,
    /// Of a system whose `resolv_conf` names a server on this box only: the servers that this asks.
    pub(crate) uplinks: PathBuf,
    /// Of name servers.
    pub(crate) port: u16,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoAddress {
    /// None of a family that the bearer carries.
    Family,
    /// The name servers know no such name.
    Name,
    /// There is no name server that the bearer carries.
    NoNameServer,
    /// No name server has answered in time, or none could.
    Silence,
}

impl NoAddress {
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Family => Reason::NoAddress,
            Self::Name | Self::NoNameServer | Self::Silence => Reason::Dns,
        }
    }
}

/// Of a look-up altogether.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The next server is asked after this time, too.
const STAGGER: Duration = Duration::from_secs(1);
/// Questions of one look-up for one kind of address.
const MAX_TRIES: u64 = 5;
/// RFC 8305, 3: how long the other family is waited for once one is known.
const OTHER_FAMILY: Duration = Duration::from_millis(50);
const MAX_SERVERS: usize = 4;
const MAX_ADDRESSES: usize = 16;
/// Bytes of an answer over TCP; what is needed stands at its beginning.
const MAX_ANSWER: usize = 8192;
/// RFC 1035, 4.2.1, and what servers send all the same.
const MAX_DATAGRAM: usize = 1500;
/// Bytes of a file that are looked at.
const MAX_FILE: u64 = 1 << 20;

impl Default for Resolver {
    fn default() -> Self {
        Self {
            hosts: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            uplinks: PathBuf::from("/run/systemd/resolve/resolv.conf"),
            port: 53,
        }
    }
}

impl Resolver {
    /// Addresses that the way carries, those of IPv6 first; at least one.
    pub(crate) async fn addresses(&self, host: &str, way: &Way) -> Result<Vec<IpAddr>, NoAddress> {
        let looked_up = timeout(PATIENCE, self.look_up(host, way)).await;
        let mut addresses = looked_up.unwrap_or(Err(NoAddress::Silence))?;
        addresses.sort_by_key(|address| !address.is_ipv6());
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }

    async fn look_up(&self, host: &str, way: &Way) -> Result<Vec<IpAddr>, NoAddress> {
        let known = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.known(host),
        };
        if !known.is_empty() {
            let usable = usable(&known, way);
            if !usable.is_empty() {
                return Ok(usable);
            }
            return self.translated(&known, way).await;
        }
        let name = Name::new(host).ok_or(NoAddress::Name)?;
        let found = match (way.v4, way.v6) {
            (true, true) => self.both(&name, way).await?,
            (true, false) => self.ask(&name, Kind::A, way).await?,
            (false, true) => self.ask(&name, Kind::Aaaa, way).await?,
            (false, false) => return Err(NoAddress::Family),
        };
        if !found.is_empty() {
            return Ok(found);
        }
        if !way.nat64 {
            return Err(NoAddress::Name);
        }
        let found = self.ask(&name, Kind::A, way).await?;
        if found.is_empty() {
            return Err(NoAddress::Name);
        }
        self.translated(&found, way).await
    }

    /// By the hosts file.
    fn known(&self, host: &str) -> Vec<IpAddr> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let text = read(&self.hosts).unwrap_or_default();
        let known = hosts(&text, host);
        // RFC 6761, 6.3.
        if known.is_empty() && host.eq_ignore_ascii_case("localhost") {
            return vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        }
        known
    }

    /// Servers of IPv4 through the translator of the network.
    async fn translated(&self, known: &[IpAddr], way: &Way) -> Result<Vec<IpAddr>, NoAddress> {
        if !way.nat64 {
            return Err(NoAddress::Family);
        }
        let name = Name::new(IPV4_ONLY).ok_or(NoAddress::Name)?;
        let made = self.ask(&name, Kind::Aaaa, way).await?;
        let prefix = made.into_iter().find_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Prefix::of(address),
        });
        let prefix = prefix.ok_or(NoAddress::Family)?;
        let translated = known.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(prefix.join(*address).into()),
            IpAddr::V6(_) => None,
        });
        let translated: Vec<IpAddr> = translated.collect();
        if translated.is_empty() {
            return Err(NoAddress::Family);
        }
        Ok(translated)
    }

    async fn both(&self, name: &Name, way: &Way) -> Result<Vec<IpAddr>, NoAddress> {
        let (v6, v4) = (
            self.ask(name, Kind::Aaaa, way),
            self.ask(name, Kind::A, way),
        );
        tokio::pin!(v6, v4);
        // Whether the other is waited for depends on what the first has said.
        let (first, second) = tokio::select! {
            first = &mut v6 => {
                let patience = patience(&first);
                (first, timeout(patience, v4).await)
            }
            first = &mut v4 => {
                let patience = patience(&first);
                (first, timeout(patience, v6).await)
            }
        };
        match (first, second.unwrap_or(Err(NoAddress::Silence))) {
            (Ok(first), Ok(second)) => Ok([first, second].concat()),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
            (Err(why), Err(_)) => Err(why),
        }
    }

    /// None where the name has no address of the kind.
    async fn ask(&self, name: &Name, kind: Kind, way: &Way) -> Result<Vec<IpAddr>, NoAddress> {
        let servers = self.servers(way);
        if servers.is_empty() {
            return Err(NoAddress::NoNameServer);
        }
        let mut name = name.clone();
        for _ in 0..MAX_ALIASES {
            match ask_all(&servers, &name, kind, way).await? {
                Answer::Addresses(addresses) => return Ok(addresses),
                Answer::Alias(next) => name = next,
                Answer::Cut | Answer::Failed(_) => return Err(NoAddress::Silence),
                Answer::Nothing => return Ok(Vec::new()),
            }
        }
        Ok(Vec::new())
    }

    fn servers(&self, way: &Way) -> Vec<SocketAddr> {
        let mut servers = way.name_servers.clone();
        if servers.is_empty() {
            servers = name_servers(&read(&self.resolv_conf).unwrap_or_default());
            if servers.iter().all(IpAddr::is_loopback) {
                let text = read(&self.uplinks).unwrap_or_default();
                servers.splice(0..0, name_servers(&text));
            }
        }
        let servers = servers.into_iter().map(|server| (server, self.port).into());
        servers
            .filter(|server: &SocketAddr| way.carries(server.ip()) || way::is_here(*server))
            .take(MAX_SERVERS)
            .collect()
    }
}

/// Whoever knows something has the other family waited for a moment only.
const fn patience(first: &Result<Vec<IpAddr>, NoAddress>) -> Duration {
    match first {
        Ok(found) if !found.is_empty() => OTHER_FAMILY,
        Ok(_) | Err(_) => PATIENCE,
    }
}

fn usable(known: &[IpAddr], way: &Way) -> Vec<IpAddr> {
    let all = known.iter().copied();
    all.filter(|address| way.carries(*address) || way::is_here((*address, 0).into()))
        .collect()
}

/// The first that makes sense of all answers.
async fn ask_all(
    servers: &[SocketAddr],
    name: &Name,
    kind: Kind,
    way: &Way,
) -> Result<Answer, NoAddress> {
    let shared = Arc::new((name.clone(), way.clone()));
    let mut tries = JoinSet::new();
    let turns = (0..MAX_TRIES).zip(servers.iter().copied().cycle());
    for (turn, server) in turns {
        let shared = Arc::clone(&shared);
        tries.spawn(async move {
            sleep(STAGGER * u32::try_from(turn).unwrap_or(u32::MAX)).await;
            let (name, way) = &*shared;
            ask_one(server, name, kind, way).await
        });
    }
    let mut failed = 0;
    while let Some(answered) = tries.join_next().await {
        match answered {
            Ok(Ok(answer @ (Answer::Addresses(_) | Answer::Alias(_) | Answer::Nothing))) => {
                return Ok(answer);
            }
            Ok(Ok(Answer::Cut | Answer::Failed(_)) | Err(_)) | Err(_) => failed += 1,
        }
        // Each of them has said that it cannot.
        if failed >= servers.len() {
            break;
        }
    }
    Err(NoAddress::Silence)
}

async fn ask_one(server: SocketAddr, name: &Name, kind: Kind, way: &Way) -> io::Result<Answer> {
    let id = unforeseen() as u16;
    let socket = UdpSocket::from_std(way::udp(Some(way), server)?)?;
    let question = message::question(id, name, kind);
    socket.send(&question).await?;
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match message::answer(&buffer[..length], id, name, kind) {
            Ok(Answer::Cut) => break,
            Ok(answer) => return Ok(answer),
            // Somebody else may guess; the true one may still come.
            Err(message::Unfit) => {}
        }
    }
    let answer = ask_at_length(server, &question, way).await?;
    message::answer(&answer, id, name, kind)
        .map_err(|message::Unfit| io::Error::from(io::ErrorKind::InvalidData))
}

/// RFC 7766, 5: over TCP.
async fn ask_at_length(server: SocketAddr, question: &[u8], way: &Way) -> io::Result<Vec<u8>> {
    let socket = TcpSocket::from_std_stream(way::tcp(Some(way), server)?.into());
    let mut stream = socket.connect(server).await?;
    // A question has less than 300 bytes.
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), question].concat())
        .await?;
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn read(path: &PathBuf) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Addresses of a name in a hosts file.
fn hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words
                .any(|word| word.eq_ignore_ascii_case(host))
                .then_some(address)
        })
        .collect()
}

/// Those of a `resolv.conf`.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let words = text.lines().map(str::split_whitespace);
    words
        .filter_map(|mut words| {
            let is_server = words.next()? == "nameserver";
            is_server.then(|| words.next()?.parse().ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests;
