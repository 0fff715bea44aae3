//! Rules of our own, where a default route stands in a table to which sockets of its interface are not
//! led: the kernel takes every server for a neighbour there, and nobody answers.
//!
//! A rule says: what leaves by this interface goes by that table. It needs the capability
//! `CAP_NET_ADMIN`; without it nothing is done, and `doctor` names the command. All are taken back at
//! the end; one that a kill has left behind does no harm, and is taken for somebody else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::errno::Errno;

use super::{
    picture::Picture,
    socket::{self, Blocking},
    wire::{self, Content, Rule, Way},
};
use crate::bearer::AddressFamily;

#[derive(Debug, Default)]
pub(super) struct Rules {
    made: BTreeSet<Rule>,
    /// Not needed, or refused: not tried again as long as the route is there.
    left: BTreeSet<Rule>,
    is_forbidden: bool,
}

impl Rules {
    /// Makes those that these interfaces need, and takes back what is needed no more.
    pub(super) fn follow(&mut self, picture: &Picture, interfaces: &BTreeSet<u32>) {
        if self.is_forbidden {
            return;
        }
        let needed = picture.private_routes(interfaces);
        self.left.retain(|rule| needed.contains_key(rule));
        let stale = self.made.iter().any(|rule| !needed.contains_key(rule));
        let is_known = |rule| self.made.contains(rule) || self.left.contains(rule);
        if !stale && needed.keys().all(is_known) {
            return;
        }
        if let Err(error) = self.change(&needed) {
            tracing::debug!(%error, "Rules of routing stay as they are");
        }
    }

    fn change(&mut self, needed: &BTreeMap<Rule, u32>) -> io::Result<()> {
        let mut kernel = Kernel::open()?;
        for rule in self.made.iter().filter(|rule| !needed.contains_key(rule)) {
            kernel.perform(&wire::remove_rule(rule))?;
        }
        self.made.retain(|rule| needed.contains_key(rule));
        for (rule, index) in needed {
            if self.made.contains(rule) || self.left.contains(rule) {
                continue;
            }
            if !kernel.is_lost(rule.family, *index) {
                self.left.insert(rule.clone());
                continue;
            }
            let (interface, table) = (&rule.interface, rule.table);
            match kernel.perform(&wire::make_rule(rule))? {
                None => {
                    tracing::info!(
                        interface,
                        table,
                        "Its sockets are led to the table of its route"
                    );
                    self.made.insert(rule.clone());
                }
                Some(Errno::EPERM) => {
                    self.is_forbidden = true;
                    return Ok(());
                }
                Some(error) => {
                    tracing::debug!(interface, table, %error, "No rule of routing");
                    self.left.insert(rule.clone());
                }
            }
        }
        Ok(())
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let Ok(mut kernel) = Kernel::open() else {
            return;
        };
        for rule in &self.made {
            // Whoever took it away before us has done it.
            let _ = kernel.perform(&wire::remove_rule(rule));
        }
    }
}

/// Asked and answered at once: rtnetlink works while it is being sent to.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: Blocking,
    buffer: Vec<u8>,
}

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            socket: Blocking::open()?,
            buffer: socket::buffer(),
        })
    }

    pub(super) fn ask(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.socket.send(request)?;
        self.more()
    }

    /// The next datagram of an answer.
    pub(super) fn more(&mut self) -> io::Result<&[u8]> {
        let length = self.socket.receive(&mut self.buffer)?;
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// Whether a socket on this interface would not find its default route.
    pub(super) fn is_lost(&mut self, family: AddressFamily, index: u32) -> bool {
        // Far away, and nobody's. // RFC 5737, RFC 3849
        let far: IpAddr = match family {
            AddressFamily::V4 => Ipv4Addr::new(198, 51, 100, 1).into(),
            AddressFamily::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1).into(),
        };
        let answer = self.ask(&wire::way_request(far, index));
        match (family, answer.ok().and_then(wire::way)) {
            (_, Some(Way::Gateway)) => false,
            (_, None) | (AddressFamily::V4, Some(Way::Neighbour)) => true,
            // IPv6 knows no neighbours without a route that says so.
            (AddressFamily::V6, Some(Way::Neighbour)) => false,
        }
    }

    /// Why it was refused; `None`: it is done.
    pub(super) fn perform(&mut self, request: &[u8]) -> io::Result<Option<Errno>> {
        let answer = self.ask(request)?;
        let code = wire::messages(answer).find_map(|message| match message.content {
            Content::Failed(errno) => Some(errno),
            Content::Address(_)
            | Content::AddressGone(_)
            | Content::Done
            | Content::Link(_)
            | Content::LinkGone(_)
            | Content::Other
            | Content::Overrun
            | Content::Routes { .. }
            | Content::RoutesGone(_) => None,
        });
        match code {
            Some(0) => Ok(None),
            Some(errno) => Ok(Some(Errno::from_raw(errno))),
            None => Err(io::Error::other("the kernel did not answer")),
        }
    }
}
