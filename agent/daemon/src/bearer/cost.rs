//! What it costs to watch a bearer.
//!
//! Bytes with the headers of IP and UDP, without those of the link, both ways, to one server, with
//! DTLS 1.2 and AES-CCM-8; without security it is less. Lost datagrams and their repetitions are not
//! counted.

use std::time::Duration;

use super::AddressFamily;
use crate::config::{Bearer, Tier, Timing};

/// Of IP and UDP.
const HEADERS_V4: u64 = 28;
const HEADERS_V6: u64 = 48;
/// Record (13), identifier of the server (8), nonce (8), empty message and its type filled up to
/// 16, tag (8). // RFC 9146, 4; RFC 6655, 3
const PING: u64 = 13 + 8 + 8 + 16 + 8;
/// Our identifier is empty: record (13), nonce (8), reset (4), tag (8).
const RESET: u64 = 13 + 8 + 4 + 8;
/// As measured with the suites of a shared key; more suites are two bytes each.
const CLIENT_HELLO: u64 = 96;
/// With a cookie of 32 bytes. // RFC 6347, 4.2.1
const HELLO_VERIFY: u64 = 60;

/// 30 days.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Bytes in 30 days in which nothing else is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cost {
    /// As the bearer in use: pings in the session.
    pub active: u64,
    /// As a stand-by that is connected: throw-away exchanges.
    pub standby: u64,
}

impl Cost {
    pub fn of(bearer: &Bearer, family: AddressFamily) -> Self {
        let cost = Self::of_timing(&bearer.timing, family);
        match bearer.tier {
            Some(Tier::Backup) => Self { standby: 0, ..cost },
            Some(Tier::Never) => Self {
                active: 0,
                standby: 0,
            },
            Some(Tier::Primary | Tier::Secondary) | None => cost,
        }
    }

    fn of_timing(timing: &Timing, family: AddressFamily) -> Self {
        Self {
            active: times(timing.active) * ping(family),
            standby: times(timing.standby) * probe(family),
        }
    }
}

/// Bytes of one ping in a session and its answer.
pub const fn ping(family: AddressFamily) -> u64 {
    PING + RESET + 2 * headers(family)
}

/// Bytes of one throw-away exchange.
pub const fn probe(family: AddressFamily) -> u64 {
    CLIENT_HELLO + HELLO_VERIFY + 2 * headers(family)
}

const fn headers(family: AddressFamily) -> u64 {
    match family {
        AddressFamily::V4 => HEADERS_V4,
        AddressFamily::V6 => HEADERS_V6,
    }
}

/// How often in a month.
fn times(period: Duration) -> u64 {
    let times = MONTH.as_millis() / period.as_millis().max(1);
    u64::try_from(times).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BearerKind;

    #[test]
    fn the_classes_cost_what_the_handbook_says() {
        let cost = |kind: BearerKind, family| Cost::of_timing(&kind.timing(), family);
        let megabytes = |bytes: u64| (bytes as f64 / 100_000.0).round() / 10.0;
        let table = [
            BearerKind::Ethernet,
            BearerKind::TetherUsb,
            BearerKind::TetherBluetooth,
            BearerKind::Cellular,
        ]
        .map(|kind| {
            let (v4, v6) = (cost(kind, AddressFamily::V4), cost(kind, AddressFamily::V6));
            [v4.active, v4.standby, v6.active, v6.standby].map(megabytes)
        });
        assert_eq!(
            table,
            [
                [122.7, 9.2, 157.2, 10.9],
                [12.3, 9.2, 15.7, 10.9],
                [6.1, 1.8, 7.9, 2.2],
                [6.1, 0.6, 7.9, 0.7],
            ]
        );
    }
}
