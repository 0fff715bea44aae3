//! Which bearer is preferred, of those that work equally well.

use std::time::Duration;

use super::watch::Watch;
use crate::{
    bearer::BearerId,
    config::{BearerKind, Tier},
};

/// What people and servers wish.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub(super) used: Option<BearerId>,
    /// Values of 13/0/0 in their order.
    pub(super) preferred: Vec<u8>,
    /// A wish that just came is followed at once, until this time of the monotonic clock; after it
    /// like a bearer that came back.
    pub(super) fresh_until: Option<Duration>,
}

/// Lower is better.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank {
    is_other_than_used: bool,
    /// Behind its cap, or weaker than a server accepts (13/0).
    is_demoted: bool,
    preferred: usize,
    tier: Tier,
    priority: u16,
    /// In the order of the names.
    id: BearerId,
}

impl Wish {
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        self.fresh_until.is_some_and(|until| now <= until)
    }

    pub(super) fn rank(&self, id: BearerId, watch: &Watch) -> Rank {
        let kind = watch.config.kind;
        let preferred = self.preferred.iter().position(|code| is_of(*code, kind));
        Rank {
            is_other_than_used: self.used != Some(id),
            is_demoted: watch.is_demoted() || watch.meta.is_weak,
            preferred: preferred.unwrap_or(usize::MAX),
            tier: watch.tier(),
            priority: watch.config.priority,
            id,
        }
    }
}

/// Whether a value of 13/0/0 means this kind. A phone at the USB port is an Ethernet to this box,
/// its hotspot a wireless LAN.
const fn is_of(code: u8, kind: BearerKind) -> bool {
    match code {
        0 => true,                                               // auto connect
        1..=5 | 12..=16 => matches!(kind, BearerKind::Cellular), // 2G to 5G
        7 => matches!(kind, BearerKind::Wifi | BearerKind::TetherWifi),
        8 => matches!(kind, BearerKind::Ethernet | BearerKind::TetherUsb),
        10 => matches!(kind, BearerKind::TetherBluetooth),
        _ => false, // voice, DSL, power line, reserved
    }
}
