//! Slows down who tries passwords: each address for itself, and all together.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

const MAX_PEERS: usize = 256;
/// Typing errors that cost nothing.
const FREE: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// An address is forgotten after this time.
const FORGET: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
/// Attempts of all addresses in one minute.
const MAX_PER_MINUTE: u32 = 30;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    peers: BTreeMap<IpAddr, Tries>,
    minute_began: Duration,
    in_minute: u32,
}

#[derive(Debug)]
struct Tries {
    failed: u32,
    last: Duration,
    not_before: Duration,
}

impl Throttle {
    /// Lets an attempt happen, counted as failed until [`Throttle::succeeded`], or says how long to
    /// wait.
    pub(super) fn attempt(&mut self, ip: IpAddr, now: Duration) -> Result<(), Duration> {
        if now.saturating_sub(self.minute_began) >= MINUTE {
            (self.minute_began, self.in_minute) = (now, 0);
        }
        let key = network(ip);
        self.peers
            .retain(|_, tries| now.saturating_sub(tries.last) < FORGET);
        if let Some(tries) = self.peers.get(&key).filter(|tries| tries.not_before > now) {
            return Err(tries.not_before.saturating_sub(now));
        }
        if self.in_minute >= MAX_PER_MINUTE {
            return Err((self.minute_began + MINUTE).saturating_sub(now));
        }
        self.in_minute += 1;
        self.make_room();
        let tries = self.peers.entry(key).or_insert(Tries {
            failed: 0,
            last: now,
            not_before: now,
        });
        tries.failed = tries.failed.saturating_add(1);
        tries.last = now;
        tries.not_before = now + wait_after(tries.failed);
        Ok(())
    }

    pub(super) fn succeeded(&mut self, ip: IpAddr) {
        self.peers.remove(&network(ip));
    }

    fn make_room(&mut self) {
        if self.peers.len() < MAX_PEERS {
            return;
        }
        let oldest = self
            .peers
            .iter()
            .min_by_key(|(_, tries)| tries.last)
            .map(|(ip, _)| *ip);
        oldest.map(|ip| self.peers.remove(&ip));
    }
}

fn wait_after(failed: u32) -> Duration {
    match failed.checked_sub(FREE) {
        None | Some(0) => Duration::ZERO,
        Some(more) => Duration::from_secs(1 << (more - 1).min(6)).min(LONGEST_WAIT),
    }
}

/// One host has a whole /64 of IPv6 addresses for itself.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn waits_grow_with_each_failure_and_end_with_a_success() {
        let mut throttle = Throttle::default();
        let now = Duration::from_secs(100);
        for _ in 0..4 {
            assert_eq!(throttle.attempt(ip(1), now), Ok(()));
        }
        assert_eq!(throttle.attempt(ip(1), now), Err(Duration::from_secs(1)));
        let later = now + Duration::from_secs(1);
        assert_eq!(throttle.attempt(ip(1), later), Ok(()));
        assert_eq!(throttle.attempt(ip(1), later), Err(Duration::from_secs(2)));
        assert_eq!(throttle.attempt(ip(2), later), Ok(()));
        throttle.succeeded(ip(1));
        assert_eq!(throttle.attempt(ip(1), later), Ok(()));
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn many_addresses_are_slowed_together_and_cost_bounded_memory() {
        let mut throttle = Throttle::default();
        let many = |throttle: &mut Throttle, now| {
            (0..100)
                .filter(|last| throttle.attempt(ip(*last), now).is_ok())
                .count()
        };
        assert_eq!(many(&mut throttle, Duration::from_secs(100)), 30);
        for minute in 3..60 {
            let now = MINUTE * minute;
            for host in 0..30u32 {
                let _ = throttle.attempt(IpAddr::V4((minute * 1000 + host).into()), now);
            }
        }
        assert!(throttle.peers.len() <= MAX_PEERS);
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let a: IpAddr = "2001:db8::1".parse().unwrap();
        let b: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), ip(1));
    }
}
