//! What survives a restart, as versioned values. The store writes them; there is no file here.
//!
//! A new meaning of a field is a new variant. Paths are kept as text, times as a stamp of the
//! machine's start and, where the date was known, as wall time.

use std::{collections::BTreeMap, fmt, time::Duration};

use lamplighter_model::{Now, ResourceId, Ssid, Stamp, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{
    format::Content,
    observe::Attributes,
    registration::Enabler,
    security::{Secret, SecurityAccount},
};

/// A value for the store. A later record of the same [`Record::key`] replaces the earlier.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Record {
    /// What servers changed of the rights on an instance, by its path; `None` removes it.
    Access(String, Option<SavedAccess>),
    /// Which instances of object 2 are about which blocks of instances: object and block, in the
    /// order of the numbers.
    AccessNumbers(Vec<(u16, u16)>),
    /// What a server wrote into its instance of object 1; `None` removes it.
    Account(Ssid, Option<SavedAccount>),
    /// Attributes that a server attached to a path; `None` removes them.
    Attributes(Ssid, String, Option<Attributes>),
    /// The last date that was certain.
    Date(UnixTime),
    /// What servers wrote into object 3.
    Device(SavedDevice),
    /// What comes back unless one of the accounts that were given takes us; `None` where nothing is
    /// on trial.
    Fallback(Option<Box<SavedFallback>>),
    /// How much of the time on trial is over; `None` where nothing is on trial.
    FallbackTime(Option<SavedTime>),
    /// Accounts that a bootstrap server gave; `None`: those of the configuration count.
    Given(Option<Box<SavedGiven>>),
    /// An instance that a server made, by its path; `None` removes it.
    Instance(String, Option<SavedInstance>),
    /// An observation by its token; `None` removes it.
    Observation(Ssid, Vec<u8>, Option<SavedObservation>),
    /// What the store holds for a server. Made by the store when it loads, never by the core.
    Queue(Ssid, SavedQueue),
    /// How far the queue of a server was read, where something was passed by; `None` where nothing
    /// was.
    Reading(Ssid, Option<SavedReading>),
    /// Where a server was left; `None` removes it.
    Registration(Ssid, Option<SavedRegistration>),
    /// What the session with a server goes on with; `None` removes it.
    Session(Ssid, Option<Box<SavedSession>>),
    /// What servers wrote into object 7.
    Statistics(SavedStatistics),
    /// What comes back unless a server is reached, by its key; `None` ends the trial.
    Trial(String, Option<Box<Self>>),
}

/// Identifies what a [`Record`] is about.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordKey(String);

/// What an instance of object 2 says otherwise than the configuration. 0 is the default entry,
/// 65535 nobody.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedAccess {
    /// The server that made the instance.
    pub creator: Option<u16>,
    /// By short server id.
    pub entries: BTreeMap<u16, SavedEntry>,
    pub owner: Option<SavedOwner>,
}

/// Rights that a server wrote, as bits; `None` where there is no entry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedEntry {
    /// What the configuration said then.
    pub was: Option<u8>,
    pub is: Option<u8>,
}

/// An owner that a server wrote.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedOwner {
    /// What the configuration said then.
    pub was: u16,
    pub is: u16,
}

/// Writable values of object 1. What an older version did not write is as if never written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedAccount {
    /// 1/x/11.
    #[serde(default)]
    pub alert: Option<u8>,
    /// 1/x/26.
    #[serde(default)]
    pub confirms: bool,
    pub disable_timeout_s: u32,
    pub lifetime_s: u32,
    pub mute_send: bool,
    pub pmax_s: u32,
    pub pmin_s: u32,
    /// 1/x/22.
    #[serde(default)]
    pub preferred_transport: Option<char>,
    #[serde(default)]
    pub queue_mode: Option<bool>,
    #[serde(default)]
    pub registration: SavedSequence,
    pub store_notifications: bool,
}

/// 1/x/14 and 1/x/17 to 1/x/20, as far as a server has written them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedSequence {
    pub initial_delay_s: Option<u32>,
    pub retry_count: Option<u32>,
    pub retry_timer_s: Option<u32>,
    pub sequence_delay_s: Option<u32>,
    pub sequences: Option<u32>,
}

/// Writable values of object 3.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedDevice {
    pub timezone: Option<String>,
    pub utc_offset: Option<String>,
}

/// What a bootstrap server has made of the accounts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedGiven {
    /// When it had finished last.
    pub at: Option<Moment>,
    pub bootstrap: GivenBootstrap,
    /// Whoever was alone before, and so may do everything where nobody says anything else.
    #[serde(default)]
    pub owner: Option<Ssid>,
    /// Accounts of the configuration that do not count any more.
    pub removed: Vec<Ssid>,
    pub servers: Vec<GivenAccount>,
}

/// Whose account of a bootstrap server counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub enum GivenBootstrap {
    #[default]
    Configured,
    Given {
        account: Box<SecurityAccount>,
        /// Of object 0.
        instance: u16,
    },
    /// None, as long as the configuration says what it said then.
    Gone { of: u64 },
}

/// An account that a bootstrap server gave, with the instances of objects 0 and 1 that hold it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct GivenAccount {
    pub security: (u16, SecurityAccount),
    pub server: (u16, SavedInstance),
    pub ssid: Ssid,
}

/// The accounts before a bootstrap, while those after it are on trial.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedFallback {
    pub began: Moment,
    /// The servers one of which has to take us; empty: any.
    #[serde(default)]
    pub awaited: Vec<Ssid>,
    /// Ids that mean another server now, each with the number from which on what is stored is for
    /// it: what was stored before is the former's.
    #[serde(default)]
    pub parted: Vec<(Ssid, u64)>,
    /// What brings them back.
    pub records: Vec<Record>,
}

/// Time that is over, as far as it could be told.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedTime {
    /// Until then.
    pub at: Moment,
    pub used: Duration,
}

/// What an instance that a server made holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SavedInstance {
    pub resources: Vec<(ResourceId, Content)>,
}

/// A relation that the server believes to exist.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedObservation {
    /// Those that came with the Observe.
    #[serde(default)]
    pub attributes: Option<Attributes>,
    /// The paths of an Observe-Composite.
    #[serde(default)]
    pub composite: Option<Vec<String>>,
    /// Content-Format of its first answer.
    pub format: u16,
    /// The server does not know it any more, and what it would be told is stored for a while.
    #[serde(default)]
    pub is_orphan: bool,
    /// As the server wrote it.
    pub path: String,
}

/// The samples that a server is still to be told, by their numbers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedQueue {
    /// Samples that were dropped because of the bound, ever.
    pub dropped: u64,
    /// Number of the oldest that is there; equal to `next` where none is.
    pub first: u64,
    /// Number that the next one gets. Never a number that was given before.
    pub next: u64,
}

/// Samples that had no way to the server when their turn came.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedParked {
    pub count: u64,
    pub first: u64,
    pub last: u64,
    pub path: String,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedReading {
    /// All before it were delivered, or are parked.
    pub cursor: u64,
    pub parked: Vec<SavedParked>,
}

/// Where a server was left.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SavedRegistration {
    /// No packet to it before the end, which includes the spread of the return.
    Disabled {
        began: Moment,
        lasts: Duration,
        #[serde(default)]
        version: Option<Enabler>,
        #[serde(default)]
        refused: Option<Moment>,
    },
    /// Not registered; the version that it was last spoken to in.
    None {
        version: Enabler,
        #[serde(default)]
        refused: Option<Moment>,
    },
    Registered {
        at: Moment,
        /// Our name, and where the server is.
        identity: String,
        lifetime: Duration,
        location: Vec<String>,
        version: Enabler,
        /// When the server did not take a higher version.
        #[serde(default)]
        refused: Option<Moment>,
    },
}

/// A session on its way over a restart. It holds keys.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedSession {
    pub bytes: Secret,
    /// Set for one that may be used once only.
    pub mark: Option<[u8; 16]>,
}

/// Writable values of object 7.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedStatistics {
    /// 7/0/8, seconds.
    pub period_s: u32,
}

/// A time that can be compared after a restart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Moment {
    stamp: Stamp,
    unix: Option<UnixTime>,
}

impl Record {
    pub fn key(&self) -> RecordKey {
        RecordKey(match self {
            Self::Access(path, _) => format!("access{path}"),
            Self::AccessNumbers(_) => "access".to_owned(),
            Self::Account(ssid, _) => format!("account/{ssid}"),
            Self::Attributes(ssid, path, _) => format!("attributes/{ssid}{path}"),
            Self::Date(_) => "date".to_owned(),
            Self::Device(_) => "device".to_owned(),
            Self::Fallback(_) => "fallback".to_owned(),
            Self::FallbackTime(_) => "fallback-time".to_owned(),
            Self::Given(_) => "given".to_owned(),
            Self::Instance(path, _) => format!("instance{path}"),
            Self::Observation(ssid, token, _) => {
                let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("observation/{ssid}/{token}")
            }
            Self::Queue(ssid, _) => format!("queue/{ssid}"),
            Self::Reading(ssid, _) => format!("reading/{ssid}"),
            Self::Registration(ssid, _) => format!("registration/{ssid}"),
            Self::Session(ssid, _) => format!("session/{ssid}"),
            Self::Statistics(_) => "statistics".to_owned(),
            Self::Trial(key, _) => format!("trial/{key}"),
        })
    }

    /// What is to be kept instead where the state comes to another board: a registration, its
    /// observations and its session stay with the board that made them. `None`: the record itself.
    pub fn on_another_board(&self) -> Option<Self> {
        match self {
            Self::Fallback(Some(fallback)) => {
                let mut fallback = fallback.clone();
                let mut is_changed = false;
                for record in &mut fallback.records {
                    if let Some(other) = record.on_another_board() {
                        *record = other;
                        is_changed = true;
                    }
                }
                is_changed.then_some(Self::Fallback(Some(fallback)))
            }
            Self::Observation(ssid, token, Some(_)) => {
                Some(Self::Observation(*ssid, token.clone(), None))
            }
            Self::Registration(
                ssid,
                Some(SavedRegistration::Registered {
                    version, refused, ..
                }),
            ) => {
                let left = SavedRegistration::None {
                    version: *version,
                    refused: *refused,
                };
                Some(Self::Registration(*ssid, Some(left)))
            }
            Self::Session(ssid, Some(_)) => Some(Self::Session(*ssid, None)),
            Self::Trial(key, Some(record)) => {
                let other = record.on_another_board()?;
                Some(Self::Trial(key.clone(), Some(Box::new(other))))
            }
            Self::Access(..)
            | Self::AccessNumbers(_)
            | Self::Account(..)
            | Self::Attributes(..)
            | Self::Date(_)
            | Self::Device(_)
            | Self::Fallback(None)
            | Self::FallbackTime(_)
            | Self::Given(_)
            | Self::Instance(..)
            | Self::Observation(_, _, None)
            | Self::Queue(..)
            | Self::Reading(..)
            | Self::Registration(
                _,
                Some(SavedRegistration::Disabled { .. } | SavedRegistration::None { .. }) | None,
            )
            | Self::Session(_, None)
            | Self::Statistics(_)
            | Self::Trial(_, None) => None,
        }
    }

    /// Whether the store may delete what it has under the key instead of keeping this.
    pub const fn is_removal(&self) -> bool {
        match self {
            Self::Access(_, None)
            | Self::Account(_, None)
            | Self::Attributes(_, _, None)
            | Self::Fallback(None)
            | Self::FallbackTime(None)
            | Self::Given(None)
            | Self::Instance(_, None)
            | Self::Observation(_, _, None)
            | Self::Reading(_, None)
            | Self::Registration(_, None)
            | Self::Session(_, None)
            | Self::Trial(_, None) => true,
            Self::Access(_, Some(_))
            | Self::AccessNumbers(_)
            | Self::Account(_, Some(_))
            | Self::Attributes(_, _, Some(_))
            | Self::Date(_)
            | Self::Device(_)
            | Self::Fallback(Some(_))
            | Self::FallbackTime(Some(_))
            | Self::Given(Some(_))
            | Self::Instance(_, Some(_))
            | Self::Observation(_, _, Some(_))
            | Self::Queue(..)
            | Self::Reading(_, Some(_))
            | Self::Registration(_, Some(_))
            | Self::Session(_, Some(_))
            | Self::Statistics(_)
            | Self::Trial(_, Some(_)) => false,
        }
    }

    /// What removes this from the store, where it belongs to an account alone.
    pub(crate) fn removal_of_account(&self) -> Option<(Ssid, Self)> {
        Some(match self {
            Self::Account(ssid, _) => (*ssid, Self::Account(*ssid, None)),
            Self::Attributes(ssid, path, _) => (*ssid, Self::Attributes(*ssid, path.clone(), None)),
            Self::Observation(ssid, token, _) => {
                (*ssid, Self::Observation(*ssid, token.clone(), None))
            }
            Self::Reading(ssid, _) => (*ssid, Self::Reading(*ssid, None)),
            Self::Registration(ssid, _) => (*ssid, Self::Registration(*ssid, None)),
            Self::Session(ssid, _) => (*ssid, Self::Session(*ssid, None)),
            Self::Access(..)
            | Self::AccessNumbers(_)
            | Self::Date(_)
            | Self::Device(_)
            | Self::Fallback(_)
            | Self::FallbackTime(_)
            | Self::Given(_)
            | Self::Instance(..)
            | Self::Queue(..)
            | Self::Statistics(_)
            | Self::Trial(..) => return None,
        })
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Moment {
    pub const fn of(now: Now) -> Self {
        Self {
            stamp: now.stamp(),
            unix: now.unix,
        }
    }

    /// The date, in seconds since 1970, where it was known.
    pub fn seconds(self) -> Option<i64> {
        self.unix.map(UnixTime::seconds)
    }

    /// Time since then; `None` where neither clock can tell.
    pub fn elapsed(self, now: Now) -> Option<Duration> {
        if self.stamp.boot == now.boot {
            return Some(now.mono.saturating_sub(self.stamp.mono));
        }
        let millis = now.unix?.0.checked_sub(self.unix?.0)?;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::BootId;

    use super::*;

    /// The store knows records by these names: another name for the same is a record that is lost.
    #[test]
    fn every_record_has_its_name_in_the_store() {
        let ssid = Ssid(101);
        let token = vec![0x0a, 0xff];
        for (record, key) in [
            (Record::Access("/3/0".to_owned(), None), "access/3/0"),
            (Record::AccessNumbers(Vec::new()), "access"),
            (Record::Account(ssid, None), "account/101"),
            (
                Record::Attributes(ssid, "/3303/0".to_owned(), None),
                "attributes/101/3303/0",
            ),
            (Record::Device(SavedDevice::default()), "device"),
            (Record::Fallback(None), "fallback"),
            (Record::FallbackTime(None), "fallback-time"),
            (Record::Given(None), "given"),
            (Record::Instance("/16/0".to_owned(), None), "instance/16/0"),
            (
                Record::Observation(ssid, token, None),
                "observation/101/0aff",
            ),
            (Record::Queue(ssid, SavedQueue::default()), "queue/101"),
            (Record::Reading(ssid, None), "reading/101"),
            (Record::Registration(ssid, None), "registration/101"),
            (Record::Statistics(SavedStatistics::default()), "statistics"),
            (
                Record::Trial("access/3/0".to_owned(), None),
                "trial/access/3/0",
            ),
        ] {
            assert_eq!(record.key().to_string(), key);
        }
    }

    fn at(boot: u32, mono: u64, unix: Option<i64>) -> Now {
        Now {
            boot: BootId(boot),
            mono: Duration::from_secs(mono),
            unix: unix.map(UnixTime::from_seconds),
        }
    }

    #[test]
    fn the_time_since_a_moment_is_told_by_whichever_clock_can() {
        let moment = Moment::of(at(1, 100, Some(5000)));
        let secs = |seconds| Some(Duration::from_secs(seconds));
        // The date was set meanwhile; the machine has not been started anew.
        assert_eq!(moment.elapsed(at(1, 130, Some(9000))), secs(30));
        assert_eq!(moment.elapsed(at(2, 3, Some(5040))), secs(40));
        assert_eq!(moment.elapsed(at(2, 3, Some(4000))), secs(0), "set back");
        assert_eq!(moment.elapsed(at(2, 3, None)), None);
        let undated = Moment::of(at(1, 100, None));
        assert_eq!(undated.elapsed(at(2, 3, Some(5040))), None);
        assert_eq!((moment.seconds(), undated.seconds()), (Some(5000), None));
    }
}
