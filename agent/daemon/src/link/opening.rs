//! How a link over a bearer comes up: by the name of its server.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use lamplighter_lwm2m::server::ServerUri;
use nix::errno::Errno;
use tokio::{sync::mpsc, time::sleep};

use super::{LinkKey, Socket, connect_to};
use crate::bearer::{
    Reason, Way,
    resolve::{NoAddress, Resolver},
};

/// What happens beside the loop.
#[derive(Debug)]
pub(super) enum News {
    /// A name was looked up for a link that is open already.
    Found(LinkKey, Found),
    Opened(LinkKey, Result<(Socket, Option<Origin>), Failure>),
}

/// Addresses of a server over a bearer; at least one.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) host: String,
    pub(super) interface: String,
    /// Made by this network, and of no use in another.
    pub(super) is_translated: bool,
}

/// Where a link leads.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) address: IpAddr,
    pub(super) host: String,
    pub(super) interface: String,
    /// Something has come from there.
    pub(super) is_heard: bool,
}

/// Why there is no link.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) words: String,
}

/// Who has said nothing by then over a link that was opened by a known address may have moved.
const FIRST_WORD: Duration = Duration::from_secs(10);

impl Failure {
    pub(super) fn no_bearer() -> Self {
        Self {
            reason: Reason::NoLink,
            words: "no bearer is connected".to_owned(),
        }
    }

    fn of_name(why: NoAddress, host: &str, way: &Way) -> Self {
        let words = match why {
            NoAddress::Family => format!("{host} has no address that {} carries", way.interface),
            NoAddress::Name => format!("the name {host} is not known"),
            NoAddress::NoNameServer => format!("no name server to ask over {}", way.interface),
            NoAddress::Silence => format!("no name server says where {host} is"),
        };
        Self {
            reason: why.reason(),
            words,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let reason = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENODEV | Errno::ENETDOWN) => Reason::NoLink,
            Some(Errno::EADDRNOTAVAIL) => Reason::NoAddress,
            Some(_) => Reason::NoRoute,
            None if error.kind() == io::ErrorKind::NetworkUnreachable => Reason::NoAddress,
            None => Reason::Dns,
        };
        Self {
            reason,
            words: error.to_string(),
        }
    }
}

/// Looks the name up, and opens the link where it is not open yet.
pub(super) async fn look_up(
    id: LinkKey,
    uri: ServerUri,
    way: Way,
    resolver: Arc<Resolver>,
    news: mpsc::UnboundedSender<News>,
    is_open: bool,
) {
    let found = resolver.addresses(&uri.host, &way).await;
    if is_open {
        // Names may lead to another server each time: who answers is not given up for that.
        sleep(FIRST_WORD).await;
    }
    let opened = match &found {
        _ if is_open => None,
        Ok(addresses) => Some(connect(&uri, addresses, &way)),
        Err(why) => Some(Err(Failure::of_name(*why, &uri.host, &way))),
    };
    if let Ok(addresses) = found {
        let is_translated = way.nat64 && is_translated(&uri.host, &addresses);
        let found = Found {
            addresses,
            host: uri.host,
            interface: way.interface,
            is_translated,
        };
        // The receiver is gone only when the agent ends.
        let _ = news.send(News::Found(id, found));
    }
    if let Some(opened) = opened {
        let _ = news.send(News::Opened(id, opened));
    }
}

/// Whether it may be so: nobody can tell from the addresses alone, so what may have been made is
/// not taken elsewhere.
fn is_translated(host: &str, addresses: &[IpAddr]) -> bool {
    !addresses.iter().any(|address| Ok(*address) == host.parse())
}

/// A fresh socket to the first of these that one can be connected to.
pub(super) fn connect(
    uri: &ServerUri,
    addresses: &[IpAddr],
    way: &Way,
) -> Result<(Socket, Option<Origin>), Failure> {
    let mut last = Failure::of_name(NoAddress::Family, &uri.host, way);
    for address in addresses {
        match connect_to(Some(way), (*address, uri.port).into()) {
            Ok(socket) => {
                let origin = Origin {
                    address: *address,
                    host: uri.host.clone(),
                    interface: way.interface.clone(),
                    is_heard: false,
                };
                return Ok((socket, Some(origin)));
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
