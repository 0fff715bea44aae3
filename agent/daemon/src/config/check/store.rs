//! `[store]`.

use std::time::Duration;

use super::{Checker, below, key};
use crate::{
    config::{layer::Key, schema},
    store::StoreConfig,
};

const MIB: u64 = 1024 * 1024;
/// Less would not even hold what one server gets in an hour.
const MIN_SIZE: u64 = MIB;
const MAX_SIZE: u64 = 1024 * 1024 * MIB;

impl Checker<'_> {
    pub(super) fn store(&mut self, store: &schema::Store) -> StoreConfig {
        let at = key(&["store"]);
        let default = StoreConfig::default();
        let flush = store.flush_s.map(|seconds| {
            let seconds = self.within(&below(&at, "flush_s"), seconds, 1, 3600);
            Duration::from_secs(u64::from(seconds))
        });
        let queue_max = store.queue_max.as_deref();
        let queue_max = queue_max.and_then(|text| self.size(&below(&at, "queue_max"), text));
        let events_max = store.events_max.as_deref();
        let events_max = events_max.and_then(|text| self.size(&below(&at, "events_max"), text));
        let history_max = store.history_max.as_deref();
        let history_max = history_max.and_then(|text| match text {
            "0" => Some(0),
            text => self.size(&below(&at, "history_max"), text),
        });
        StoreConfig {
            history_max: history_max.unwrap_or(default.history_max),
            events_max: events_max.unwrap_or(default.events_max),
            flush: flush.unwrap_or(default.flush),
            queue_max: queue_max.unwrap_or(default.queue_max),
            ..default
        }
    }

    /// `256MiB` in bytes.
    pub(super) fn size(&mut self, at: &Key, text: &str) -> Option<u64> {
        let Some(size) = parse(text) else {
            let what = format!("`{text}` is not a size");
            self.error(at, what, "a whole number with KiB, MiB or GiB: \"256MiB\"");
            return None;
        };
        if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
            let what = format!("`{text}` is out of range");
            self.error(at, what, "from 1MiB to 1024GiB");
            return None;
        }
        Some(size)
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim_start() {
        "KiB" => 1024,
        "MiB" => MIB,
        "GiB" => 1024 * MIB,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(parse("256MiB"), Some(256 * MIB));
        assert_eq!(parse("4 GiB"), Some(4096 * MIB));
        assert_eq!(parse("512KiB"), Some(512 * 1024));
        for wrong in [
            "",
            "256",
            "MiB",
            "1.5MiB",
            "-1MiB",
            "256MB",
            "99999999999999999999MiB",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
