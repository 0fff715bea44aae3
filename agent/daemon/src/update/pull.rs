//! Packages that are fetched from where 5/0/1 says.
//!
//! 1. Over the bearer that is in use, where it may carry that much; else it waits for another.
//! 2. What breaks off goes on where it was, over whatever bearer there is then, as long as the server
//!    still has the same version (ETag); else from the start.
//! 3. What the server refuses, or what is too large, ends it.

mod coap;
mod http;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::lookup_host,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{
    depot::{Depot, Origin},
    keeper::Fetching,
    machine::Outcome,
};
use crate::bearer::{BearerId, resolve::Resolver, way::Way};

/// Why it will not come, and in words.
pub(super) type Failed = (Outcome, String);

/// What became of one attempt.
#[derive(Debug)]
enum Attempt {
    Whole,
    /// To be gone on with, not before this time where the server has said one.
    Broken(String, Option<Duration>),
    Failed(Failed),
}

/// Where a package is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    protocol: Protocol,
    /// A name or an address, without brackets.
    host: String,
    port: u16,
    /// Path and query, with the slash.
    path: String,
}

/// 5/0/8
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Coap,
    Coaps,
    Http,
    Https,
}

/// One attempt: where to, by which way, and what is there already.
struct Course<'a> {
    depot: &'a Arc<Depot>,
    fetching: &'a Fetching,
    place: &'a Place,
    way: Option<Way>,
    origin: Origin,
    offset: u64,
}

/// Pauses between attempts of which nothing came.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Without a byte for so long, while there was a way, it is given up.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// For an answer, or for more of one.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);
/// Of one name.
const MAX_ADDRESSES: usize = 4;
const MAX_URI: usize = 255;

/// Fetches a package as a whole.
pub(super) async fn pull(
    depot: Arc<Depot>,
    fetching: Arc<Fetching>,
    uri: String,
) -> Result<(), Failed> {
    let place = Place::parse(&uri)?;
    let mut pause = fetching.pause;
    let mut patience = Instant::now() + PATIENCE;
    let mut known = 0;
    loop {
        let (bearer, way) = fetching.way().await;
        let (origin, offset) = at_depot(&depot, {
            let uri = uri.clone();
            move |depot| match depot.go_on(&uri) {
                Some(there) => Ok(there),
                None => {
                    let origin = Origin { uri, etag: None };
                    depot.begin(&origin).map(|()| (origin, 0))
                }
            }
        })
        .await
        .map_err(|error| (Outcome::NoSpace, error.to_string()))?;
        if offset > known {
            (pause, patience) = (fetching.pause, Instant::now() + PATIENCE);
        }
        known = offset;
        let course = Course {
            depot: &depot,
            fetching: &fetching,
            place: &place,
            way,
            origin,
            offset,
        };
        let attempt = tokio::select! {
            attempt = course.follow() => attempt,
            () = fetching.other_than(bearer) => {
                Attempt::Broken("another bearer is used".to_owned(), Some(Duration::ZERO))
            }
        };
        let (words, wait) = match attempt {
            Attempt::Whole => return Ok(()),
            Attempt::Failed(failed) => return Err(failed),
            Attempt::Broken(words, wait) => (words, wait),
        };
        tracing::debug!(words, "A download has broken off");
        if Instant::now() >= patience {
            return Err((Outcome::ConnectionLost, words));
        }
        tokio::select! {
            () = sleep(wait.unwrap_or(pause)) => {}
            () = fetching.other_than(bearer) => {}
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

impl Fetching {
    /// The bearer that is used, where it may carry a package; waited for as long as it takes. By
    /// itself the kernel chooses the way where no bearer is configured.
    async fn way(&self) -> (Option<BearerId>, Option<Way>) {
        let mut revisions = self.board.revisions();
        loop {
            revisions.mark_unchanged();
            if let Some(found) = self.way_now() {
                return found;
            }
            if revisions.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn way_now(&self) -> Option<(Option<BearerId>, Option<Way>)> {
        let current = self.board.current();
        if !self.board.is_configured() {
            let is_dear = current.is_some_and(|facts| facts.is_metered);
            return (!is_dear || self.metered).then_some((None, None));
        }
        let facts = current.filter(|facts| !facts.is_metered || self.metered)?;
        if facts.is_urgent_only {
            return None;
        }
        let bearer = self.bearers.get(usize::from(facts.id.0));
        let servers = bearer.map_or(&[][..], |bearer| &bearer.dns);
        let way = Way::new(&facts.link?, servers.to_vec());
        Some((Some(facts.id), Some(way)))
    }

    /// Waits until this is not the bearer any more that may be used.
    async fn other_than(&self, bearer: Option<BearerId>) {
        let mut revisions = self.board.revisions();
        loop {
            revisions.mark_unchanged();
            let now = self.way_now();
            if now.is_none_or(|(now, _)| now != bearer) {
                return;
            }
            if revisions.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Course<'_> {
    async fn follow(self) -> Attempt {
        match self.place.protocol {
            Protocol::Coap | Protocol::Coaps => coap::fetch(self).await,
            Protocol::Http | Protocol::Https => http::fetch(self).await,
        }
    }

    /// Where to, the preferred first.
    async fn addresses(&self, place: &Place) -> Result<Vec<SocketAddr>, String> {
        let Place { host, port, .. } = place;
        let mut addresses: Vec<SocketAddr> = match &self.way {
            None => {
                let found = timeout(CONNECT, lookup_host((host.as_str(), *port))).await;
                let found = found.map_err(|_| "the name is not answered".to_owned())?;
                found.map_err(|error| error.to_string())?.collect()
            }
            Some(way) => {
                let found = Resolver::default().addresses(host, way).await;
                let found = found.map_err(|why| format!("no address: {why:?}"))?;
                let found = found.into_iter();
                found.map(|address| (address, *port).into()).collect()
            }
        };
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err("the name has no address".to_owned());
        }
        Ok(addresses)
    }

    /// What comes is of this version: what does not belong to it goes.
    async fn is_of(&mut self, etag: Option<Vec<u8>>, offset: u64) -> Result<(), Attempt> {
        if offset > 0 && self.origin.etag == etag {
            return Ok(());
        }
        self.origin.etag = etag;
        self.offset = 0;
        let origin = self.origin.clone();
        at_depot(self.depot, move |depot| depot.begin(&origin))
            .await
            .map_err(no_space)
    }

    async fn add(&mut self, bytes: Vec<u8>) -> Result<(), Attempt> {
        let (offset, length) = (self.offset, bytes.len() as u64);
        at_depot(self.depot, move |depot| depot.add(offset, &bytes))
            .await
            .map_err(no_space)?;
        self.offset += length;
        Ok(())
    }

    /// The server says how much it will be.
    fn check_length(&self, length: u64) -> Result<(), Attempt> {
        if length <= self.depot.max_size() {
            return Ok(());
        }
        let words = format!("the package has {length} bytes, which is too large");
        Err(Attempt::Failed((Outcome::NoSpace, words)))
    }
}

fn no_space(error: io::Error) -> Attempt {
    let words = if error.kind() == io::ErrorKind::FileTooLarge {
        "the package is too large".to_owned()
    } else {
        error.to_string()
    };
    Attempt::Failed((Outcome::NoSpace, words))
}

fn broken(error: impl std::fmt::Display) -> Attempt {
    Attempt::Broken(error.to_string(), None)
}

async fn at_depot<T: Send + 'static>(
    depot: &Arc<Depot>,
    work: impl FnOnce(&Depot) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let depot = Arc::clone(depot);
    let done = spawn_blocking(move || work(&depot)).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

impl Place {
    fn parse(uri: &str) -> Result<Self, Failed> {
        let invalid = |why: &str| (Outcome::InvalidUri, format!("{why} in the URI"));
        if uri.len() > MAX_URI || uri.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(invalid("something that does not belong there is"));
        }
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| invalid("there is no scheme"))?;
        let (protocol, port) = match scheme.to_ascii_lowercase().as_str() {
            "coap" => (Protocol::Coap, 5683),
            "coaps" => (Protocol::Coaps, 5684),
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            other => {
                let words = format!("{other} is not spoken");
                return Err((Outcome::Protocol, words));
            }
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, given) = match authority.strip_prefix('[') {
            Some(literal) => {
                let (host, rest) = literal
                    .split_once(']')
                    .ok_or_else(|| invalid("a bracket is missing"))?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match given {
            None | Some("") => port,
            Some(text) => text.parse().map_err(|_| invalid("the port is wrong"))?,
        };
        if host.is_empty() || host.contains('@') || port == 0 {
            return Err(invalid("there is no host"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            protocol,
            host: host.to_owned(),
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// As it stands in a Host field.
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests;
