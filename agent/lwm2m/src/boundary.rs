//! The whole surface of the core on one page.
//!
//! Contract: one `Client::handle`, then `Client::poll` until `None`, then `Client::poll_timeout`.
//! Outputs are performed in order; those behind a [`Output::Commit`] of this client wait until the
//! store says [`Input::Committed`]. That order is the argument for crash safety.

use std::time::Duration;

use lamplighter_model::{
    Path, Sample, Ssid, Value,
    device::{DeviceEvent, DeviceRequest, OpId},
};

use crate::{
    client::Change,
    reject::Reject,
    saved::Record,
    server::{Cause, Intrusions, ServerUri},
};

/// One LwM2M endpoint of this box. The shell names it with everything that it passes between a
/// client and the rest; a client does not know its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub u16);

/// A datagram path to one server over one bearer; numbered by the core when it asks for one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u64);

impl LinkId {
    /// A link that the shell opens by itself ([`LinkEvent::Replacement`]), the `number`th: never one
    /// that the core has numbered.
    pub const fn of_shell(number: u64) -> Self {
        Self(number | 1 << 63)
    }
}

/// A commit that outputs wait for; numbered by the core, in order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CommitId(pub u64);

/// A wish of a person (command line, page), answered by [`Output::Answer`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// A sample that a server is still to be told; numbered per server, rising by one.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub number: u64,
    /// `source_time` is set where the date was known when the sample was kept, so that a
    /// repetition tells the same time. Where it is not and the stamp is of another start of the
    /// machine, whose date became known later, the store sets it when it answers
    /// [`Output::Fetch`].
    pub sample: Sample,
}

impl Kept {
    /// Whether it is a sample of one of these paths, or of what lies below.
    pub fn is_below(&self, paths: &[Path]) -> bool {
        let path = Path::Resource(self.sample.address.path);
        paths.iter().any(|above| above.contains(path))
    }
}

/// What the core is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Whether the date can be believed: at the start, when that changes, and once a day.
    Clock(ClockTrust),
    Command(Command),
    Committed(CommitId),
    Configure(Change),
    Device(DeviceEvent),
    /// Answers [`Output::Fetch`], in order of the numbers. Nothing: there is nothing left at or
    /// behind the number that was asked for.
    Kept(Ssid, Vec<Kept>),
    /// The queue of the server exceeded its bound: the first number that is still there, and how
    /// many samples went.
    KeptDropped(Ssid, u64, u64),
    /// So many samples that were still to be told went by [`Output::Erase`].
    KeptErased(Ssid, u64),
    Link(LinkId, LinkEvent),
    /// There is a way to servers where there was none, or another: whoever waits for the next
    /// attempt because nobody answered, or because there was no link, tries at once.
    PathUp,
    Received(LinkId, Vec<u8>),
    Timeout,
    /// Whether only what is urgent may leave: registration, answers, changes of states and alarms.
    /// What is measured is stored meanwhile.
    UrgentOnly(bool),
}

/// Who vouches for the date of [`lamplighter_model::Now`], where there is one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClockTrust {
    /// Nobody: it may be right, or that of the last shut-down.
    #[default]
    Estimated,
    /// NTP, a real-time clock, GNSS or the modem.
    Trusted,
}

/// What people and the daemon want.
#[derive(Clone, Debug)]
pub enum Command {
    /// Ask the bootstrap server for accounts; without effect where there is none.
    Bootstrap,
    /// De-register from one server, or from all, and stay away until [`Command::Register`].
    Deregister(Option<Ssid>),
    /// Shows or removes an error code of object 3 (3/0/11), e.g. 16 for a configuration that does
    /// not load.
    DeviceError { code: u8, present: bool },
    /// The zone of the machine (3/0/15) and its offset now (3/0/14), which servers may write over.
    DeviceZone {
        timezone: String,
        utc_offset: String,
    },
    /// A read, write, execute or discover with the same checks as a server's.
    Local(RequestId, LocalRequest),
    /// Asks each registered server to which nothing is under way whether it is there (CoAP ping).
    /// An answer shows in `Client::heard`; that there is none changes nothing here.
    Ping,
    /// Register at once, whatever timer runs.
    Register(Ssid),
    /// Tells servers values without being asked (Send), answered when they have confirmed it.
    Send(RequestId, SendRequest),
    /// De-register everywhere; [`Event::Stopped`] follows when that is done or has timed out.
    Stop,
    /// Send an Update at once.
    Update(Ssid),
}

/// What is sent, to whom, and who wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct SendRequest {
    /// Of which the current values are sent.
    pub paths: Vec<Path>,
    /// Values of resources that are told by Send only, so that no current value is held of them.
    pub samples: Vec<Sample>,
    /// Every server that takes a Send, where none is named.
    pub ssid: Option<Ssid>,
    /// Name for the event log, e.g. `anna (page)`; where the box sends by itself there is none, and
    /// nothing is logged.
    pub user: Option<String>,
}

/// An operation of a person at the box.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalRequest {
    /// Name for the event log, e.g. `anna (page)`.
    pub user: String,
    pub operation: LocalOperation,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LocalOperation {
    Discover(Path),
    Execute {
        path: Path,
        args: Vec<u8>,
    },
    Read(Path),
    /// `hold`: how long the command holds against the rules of the site.
    Write {
        path: Path,
        value: Value,
        hold: Option<Duration>,
    },
}

/// The answer to a [`LocalRequest`].
#[derive(Clone, Debug, PartialEq)]
pub enum LocalAnswer {
    /// Execute or Write was done.
    Done,
    /// CoRE links, as a server would see them.
    Links(String),
    Samples(Vec<Sample>),
}

/// What became of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkEvent {
    /// The path is gone, with the reason for people.
    Down(String),
    /// The path carries packets of no more than this many bytes, with the headers of IP and UDP.
    MtuShrunk(u16),
    /// The peer's host refused (port unreachable).
    Refused,
    /// A better path stands ready, its socket open: Update over it, and close this one when that is
    /// answered. Where nobody owns this link (any more) the new one is closed.
    Replacement(LinkId),
    /// The socket exists; datagrams can be sent.
    Up,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    Udp,
}

/// What the core wants done.
#[derive(Clone, Debug)]
pub enum Output {
    Answer(RequestId, Result<LocalAnswer, Reject>),
    Close(LinkId),
    /// To be durable, all of them or none, before any later output of this client is performed.
    Commit(CommitId, Vec<Record>),
    Device(OpId, DeviceRequest),
    /// For people and bridges, never needed by the protocol.
    Event(Event),
    /// What is stored for a server of these paths, and of all below, is to leave the disk without a
    /// trace, and so is what is delivered already; answered by [`Input::KeptErased`]. With the root,
    /// nothing is kept of the queue.
    Erase(Ssid, Vec<Path>),
    /// Wants the samples of a server's queue from this number on, at most so many; answered by
    /// [`Input::Kept`].
    Fetch(Ssid, u64, usize),
    /// The samples of a server's queue up to and including this number are delivered or
    /// discarded.
    Forget(Ssid, u64),
    /// Reboot or factory reset of the host (3/0/4, 3/0/5), after the answers have left.
    Host(HostRequest),
    /// To be kept, batched, with a bounded loss.
    Journal(Record),
    /// To be appended to the queue of the server: with the operating system at once, on the disk
    /// within the flush time of the store.
    Keep(Ssid, Vec<Kept>),
    Open(LinkId, ServerUri, Transport),
    Transmit(LinkId, Vec<u8>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostRequest {
    FactoryReset,
    Reboot,
}

/// What happens between this box and its bootstrap server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BootstrapEvent {
    /// The account of the bootstrap server has had its time (0/x/12).
    AccountEnded,
    /// The bootstrap server will be asked, and why.
    Begun(&'static str),
    /// A server took us with an account that was given: those before are gone.
    Confirmed(Ssid),
    Failed {
        cause: Cause,
        reason: String,
        /// `None`: not again.
        retry_in: Option<Duration>,
    },
    /// All accounts are kept; these are to be registered with.
    Finished(Vec<Ssid>),
    /// The bootstrap server thinks that it has finished, and it does not hold together.
    Inconsistent(String),
    Obeyed {
        operation: &'static str,
        path: Path,
    },
    Refused {
        operation: &'static str,
        path: Path,
        code: String,
    },
    /// None of the servers that were given has taken us in time: the accounts before count again.
    RolledBack,
}

/// Something that people are told. Fixed words; numbers and names as fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A server that was [`Event::Unanswered`] says something again.
    Answered(Ssid),
    Bootstrap(BootstrapEvent),
    /// The server cannot be registered with, which would be a case for a bootstrap server (1/x/16),
    /// and there is none.
    BootstrapWanted(Ssid),
    Deregistered(Ssid),
    /// Stored samples that the server will not be told, and why.
    Discarded {
        ssid: Ssid,
        samples: u64,
        reason: &'static str,
    },
    /// Datagrams came to the session of a server that are not that server's; they are dropped.
    Intruded {
        ssid: Ssid,
        /// All since the start.
        intrusions: Intrusions,
        /// There are twice as many as when it last was.
        is_news: bool,
    },
    /// A server, or a person at the box, did something that changes the world.
    Obeyed {
        by: lamplighter_model::device::Origin,
        operation: &'static str,
        path: Path,
        detail: String,
    },
    /// The server finds the list of objects too long; it is told objects with many instances without
    /// these, and can discover them.
    ListShortened(Ssid),
    /// Register or Update did not succeed; `retry_in` until the next attempt.
    RegistrationFailed {
        cause: Cause,
        ssid: Ssid,
        reason: String,
        retry_in: Duration,
    },
    Registered {
        ssid: Ssid,
        version: &'static str,
    },
    Refused {
        by: lamplighter_model::device::Origin,
        operation: &'static str,
        path: Path,
        code: String,
    },
    /// Everything is de-registered; the daemon may end.
    Stopped,
    /// What a server changed about an instance is undone: no server was reached since.
    TakenBack(Path),
    /// Register or Update was sent and has no answer yet; the server is asked on. Told once per
    /// attempt and reason.
    Unanswered {
        ssid: Ssid,
        reason: &'static str,
    },
    Updated(Ssid),
}
