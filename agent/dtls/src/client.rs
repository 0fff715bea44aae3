//! An association as a client makes it of an account.

use std::{ffi::CString, time::Duration};

use crate::{
    closed::Closed,
    codes::End,
    engine::{Certificates, Endpoint, Engine},
    security::{Certificate, Matching, Name, Peer, Security, Unusable, Usage},
    verify::{Clock, Judge, Untrusted, Validity},
};

/// How far a handshake is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Done,
    Failed(Closed),
    Waiting,
}

/// What was in the datagrams.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Read {
    Ended(Closed),
    Message(Vec<u8>),
    Nothing,
}

/// At the beginning of its handshake; `memory` is what [`Engine::memory`] has given.
pub(crate) fn begin(peer: &Peer, clock: Clock, memory: Option<&[u8]>) -> Result<Engine, Unusable> {
    let mut engine = configured(peer, clock)?;
    if let Some(memory) = memory {
        engine.offer(memory);
    }
    Ok(engine)
}

/// In the middle of the association that [`Engine::freeze`] has saved.
pub(crate) fn thaw(peer: &Peer, frozen: &[u8]) -> Option<Engine> {
    let mut engine = configured(peer, Clock::default()).ok()?;
    engine.load(frozen).then_some(engine)
}

/// Carries the handshake on with what came, and repeats a flight whose time is over.
pub(crate) fn shake(engine: &mut Engine, now: Duration) -> Step {
    match engine.handshake(now) {
        Ok(true) => match unverified(engine) {
            Some(why) => Step::Failed(Closed::Untrusted(why)),
            None => {
                // Messages are as long as CoAP makes them.
                engine.set_mtu(0);
                Step::Done
            }
        },
        Ok(false) => Step::Waiting,
        Err(end) => Step::Failed(end.reason()),
    }
}

pub(crate) fn read(engine: &mut Engine, now: Duration) -> Read {
    match engine.read(now) {
        Ok(Some(message)) => Read::Message(message),
        Ok(None) => Read::Nothing,
        Err(end) => Read::Ended(End::reason(&end)),
    }
}

/// A full handshake with certificates cannot end without a verdict; if it did, it counts for
/// nothing.
fn unverified(engine: &Engine) -> Option<Untrusted> {
    let judge = engine.judge()?;
    match judge.verdict {
        Some(verdict) => verdict.err(),
        None if engine.is_resumed() => None,
        None => Some(Untrusted::Unreadable),
    }
}

fn configured(peer: &Peer, clock: Clock) -> Result<Engine, Unusable> {
    let mut engine = Engine::new(Endpoint::Client, &peer.offer())?;
    engine.set_timers(peer.timers.first, peer.timers.last);
    match &peer.security {
        Security::Psk(psk) => engine.share(&psk.identity, psk.key.expose())?,
        Security::Certificate(certificate) => {
            engine.present(&certificate.chain, certificate.key.expose())?;
            engine.trust(
                anchors(certificate, clock)?,
                Some(judge(certificate, peer, clock)?),
            );
        }
    }
    // An address is never sent as a name; the judge compares it. // RFC 6066, 3
    let name = match peer.name()? {
        Name::Address(_) => None,
        Name::Dns(name) => Some(CString::new(name).map_err(|_| Unusable::Host)?),
    };
    // One of our own is not needed: what comes to us knows its way. // RFC 9146, 3
    let connection_id = peer.connection_id.then_some(&[][..]);
    engine.set_up(connection_id)?;
    engine.set_name(name.as_deref())?;
    Ok(engine)
}

/// What the engine builds chains to. Where the account knows its anchor by a hash only, or the
/// very certificate of the server, there is nothing: the judge knows better.
fn anchors(rules: &Certificate, clock: Clock) -> Result<Certificates, Unusable> {
    let mut anchors = Certificates::new();
    if rules.usage == Usage::TrustAnchorAssertion && !rules.server.is_empty() {
        if rules.matching == Matching::Exact {
            anchors
                .add(&rules.server)
                .ok_or(Unusable::ServerUnreadable)?;
        }
        return Ok(anchors);
    }
    // The engine takes the first that fits: an authority's new certificate goes before its old one.
    let (mut now, mut then) = (Vec::new(), Vec::new());
    for der in &rules.trust_store {
        let mut one = Certificates::new();
        one.add(der).ok_or(Unusable::TrustStoreUnreadable)?;
        let (begins, ends) = one.validity();
        let validity = Validity { begins, ends };
        let is_valid = clock.check(validity, rules.strict_time).is_ok();
        (if is_valid { &mut now } else { &mut then }).push(der);
    }
    for der in now.into_iter().chain(then) {
        anchors.add(der).ok_or(Unusable::TrustStoreUnreadable)?;
    }
    Ok(anchors)
}

fn judge(rules: &Certificate, peer: &Peer, clock: Clock) -> Result<Judge, Unusable> {
    let address = match peer.name()? {
        Name::Address(address) => Some(address),
        Name::Dns(_) => None,
    };
    Ok(Judge::new(rules.clone(), address, clock))
}

/// Whether everything in an account can be used, also what only the judge looks at.
pub(crate) fn check(peer: &Peer) -> Result<(), Unusable> {
    if let Security::Certificate(certificate) = &peer.security
        && certificate.matching == Matching::Exact
        && !certificate.server.is_empty()
    {
        let mut list = Certificates::new();
        list.add(&certificate.server)
            .ok_or(Unusable::ServerUnreadable)?;
    }
    begin(peer, Clock::default(), None).map(drop)
}
