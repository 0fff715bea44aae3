//! Operations that wait for devices, each with a deadline. A device that answers later speaks to
//! nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_coap::{RequestKey, Token};
use lamplighter_model::{
    Address, ResourceAddress, Ssid,
    device::{Answer, Fault, OpId},
};

use crate::{
    boundary::RequestId,
    observe::Attributes,
    operation::{Caller, Then, Watch},
};

/// All waiting operations of one client.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    deadlines: BTreeSet<(Duration, Ticket)>,
    next_op: u64,
    next_ticket: u64,
    open: BTreeMap<OpId, Ticket>,
    tickets: BTreeMap<Ticket, (Pending, Duration)>,
}

/// Who gets the answer.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    Local(RequestId),
    Server {
        ask: Ask,
        key: RequestKey,
        ssid: Ssid,
    },
}

/// How a server wants its answer, and whether it wants more of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) accept: Option<u16>,
    /// Of an Observe.
    pub(crate) attributes: Option<Attributes>,
    pub(crate) token: Token,
    pub(crate) watch: Watch,
}

/// An operation, and what came for it so far.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) address: Address,
    pub(crate) asker: Asker,
    pub(crate) caller: Caller,
    /// For people: what was done, where it changes the world.
    pub(crate) command: Option<(&'static str, String)>,
    pub(crate) failed: Vec<(ResourceAddress, Fault)>,
    /// Why a request as a whole came to nothing.
    pub(crate) fault: Option<Fault>,
    pub(crate) then: Then,
    open: usize,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Ticket(u64);

/// Time for a device to answer (design: single output within 4 s).
const DEADLINE: Duration = Duration::from_secs(4);
/// Operations that may wait at once.
const MAX_WAITING: usize = 256;

impl Pending {
    pub(crate) const fn new(
        address: Address,
        asker: Asker,
        caller: Caller,
        command: Option<(&'static str, String)>,
        then: Then,
    ) -> Self {
        Self {
            address,
            asker,
            caller,
            command,
            failed: Vec::new(),
            fault: None,
            then,
            open: 0,
        }
    }
}

impl Waiting {
    pub(crate) fn is_full(&self) -> bool {
        self.tickets.len() >= MAX_WAITING
    }

    /// Lets an operation wait for `requests` device requests, whose ids are returned.
    pub(crate) fn add(
        &mut self,
        mut pending: Pending,
        requests: usize,
        now: Duration,
    ) -> Vec<OpId> {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        pending.open = requests;
        let deadline = now + DEADLINE;
        self.deadlines.insert((deadline, ticket));
        self.tickets.insert(ticket, (pending, deadline));
        let ops: Vec<OpId> = (self.next_op..).map(OpId).take(requests).collect();
        self.next_op += requests as u64;
        self.open.extend(ops.iter().map(|op| (*op, ticket)));
        ops
    }

    /// A device has done its part. The operation, where it waits for no other.
    pub(crate) fn done(&mut self, op: OpId, result: Result<&Answer, Fault>) -> Option<Pending> {
        let Some(ticket) = self.open.remove(&op) else {
            tracing::debug!(op = op.0, "A device answered too late");
            return None;
        };
        let (pending, _) = self.tickets.get_mut(&ticket)?;
        match result {
            Ok(answer) => pending.failed.extend(answer.failed.iter().cloned()),
            Err(fault) => pending.fault = Some(fault),
        }
        pending.open -= 1;
        if pending.open > 0 {
            return None;
        }
        self.remove(ticket)
    }

    /// An operation whose time is over.
    pub(crate) fn expired(&mut self, now: Duration) -> Option<Pending> {
        let (deadline, ticket) = self.deadlines.first().copied()?;
        if deadline > now {
            return None;
        }
        let mut pending = self.remove(ticket)?;
        pending.fault = Some(Fault::Timeout);
        Some(pending)
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Pending> {
        let (pending, deadline) = self.tickets.remove(&ticket)?;
        self.deadlines.remove(&(deadline, ticket));
        self.open.retain(|_, of| *of != ticket);
        Some(pending)
    }
}
