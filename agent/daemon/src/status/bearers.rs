//! Bearers as they are printed.

use std::time::Duration;

use lamplighter_model::Now;

use super::{
    Model, bounded,
    show::age,
    time::text_of,
    view::{BearerView, ChoiceView},
};
use crate::bearer::{BearerFacts, Choice, Reason, Status};

impl Model {
    pub(super) fn bearer_views(&self, now: Now) -> Vec<BearerView> {
        let known = self.bearers.known();
        known.map(|facts| view(facts, now)).collect()
    }

    pub(super) fn choice_view(&self, now: Now) -> ChoiceView {
        let chosen = self.bearers.chosen();
        let left = |until: Duration| until.saturating_sub(now.mono).as_secs_f64();
        let trial_left_s = chosen.trial_until.map(left);
        let (mode, bearer, ends_in_s) = match &chosen.choice {
            Choice::Auto | Choice::Online => ("auto", None, None),
            Choice::Offline(until) => ("offline", None, until.map(left)),
            Choice::Prefer(_) => ("prefer", None, None),
            Choice::Use(id) => ("use", self.bearers.name(*id), None),
        };
        ChoiceView {
            configured: self.bearers.is_configured(),
            mode: mode.to_owned(),
            bearer: bearer.map(str::to_owned),
            ends_in_s,
            trial_left_s,
        }
    }
}

fn view(facts: &BearerFacts, now: Now) -> BearerView {
    let meta = &facts.meta;
    let reason = match facts.status {
        Status::Connected => None,
        Status::Disconnected => Some(facts.reason.unwrap_or_default()),
    };
    let operator = meta.operator_name.as_ref().or(meta.operator.as_ref());
    BearerView {
        name: facts.name.clone(),
        kind: facts.kind.as_str().to_owned(),
        interface: facts.interface.clone(),
        status: facts.status.as_str().to_owned(),
        reason: reason.map(Reason::as_str).map(str::to_owned),
        since: text_of(facts.since, now),
        since_s: age(facts.since, now),
        current: facts.is_current,
        last_exchange: facts.last_exchange.and_then(|stamp| text_of(stamp, now)),
        last_exchange_s: facts.last_exchange.map(|stamp| age(stamp, now)),
        round_trip_ms: facts.round_trip.map(milliseconds),
        address: facts.address.map(|address| address.to_string()),
        metered: facts.is_metered,
        urgent_only: facts.is_urgent_only,
        bytes_today: facts.bytes_today,
        bytes_month: facts.bytes_month,
        flaps: facts.flaps,
        signal_dbm: meta.signal,
        quality: meta.quality,
        snr_db: meta.snr,
        operator: operator.map(|name| bounded(name)),
        roaming: meta.roaming,
        apn: meta.apn.as_deref().map(bounded),
        trouble: meta.trouble.as_deref().map(bounded),
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
