//! LogDataIncremental (20/x/4016): what object 20 collects goes to the servers by itself, where one
//! of them has asked for it by an interval (20/x/4017; lwm2m/70).
//!
//! Each server is sent the lines that it was not sent yet, no more often than the interval says. What
//! it does not take twice is given up, and whatever else keeps it from taking them only delays it:
//! the lines wait in the collection, as long as they have room there.

use std::{collections::BTreeMap, fmt, time::Duration};

use lamplighter_coap::Code;
use lamplighter_lwm2m::{boundary::LocalAnswer, reject::Reject};
use lamplighter_model::{ResourceAddress, Sample, Value};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{EventLog, INCREMENT, INSTANCES, OBJECT};
use crate::{
    api::NowSource,
    ask::{Asker, Unanswered},
    status::{ServerState, Status},
};

/// Until a server that has not taken it is tried again.
const PAUSE: Duration = Duration::from_secs(60);
/// A registration that has come back by an Update is no event, so it is looked for.
const LOOK: Duration = Duration::from_secs(30);
const FAR: Duration = Duration::from_secs(3600);
/// So often a server refuses before it is not told: the first time it may only have forgotten us.
const REFUSALS: u32 = 2;

/// Sends what is due; a task of its own.
pub(crate) struct Increments {
    pub(crate) asker: Asker,
    pub(crate) clock: NowSource,
    pub(crate) log: EventLog,
    pub(crate) status: Status,
}

/// An instance of object 20, and the server that it is sent to.
type Target = (String, u16);

#[derive(Debug, Default)]
struct Turn {
    not_before: Option<Instant>,
    is_under_way: bool,
    refusals: u32,
}

struct Done {
    target: Target,
    last: u64,
    result: Result<Result<LocalAnswer, Reject>, Unanswered>,
}

impl Increments {
    /// Until the agent ends.
    pub(crate) async fn run(self) {
        let mut revisions = self.log.revisions();
        let mut turns: BTreeMap<Target, Turn> = BTreeMap::new();
        let mut under_way = JoinSet::new();
        loop {
            let next = self.begin(&mut turns, &mut under_way);
            tokio::select! {
                changed = revisions.changed() => if changed.is_err() {
                    return;
                },
                () = sleep_until(next) => {}
                Some(Ok(done)) = under_way.join_next() => self.end(done, &mut turns),
            }
        }
    }

    /// Sends what is due, and says when to look again.
    fn begin(&self, turns: &mut BTreeMap<Target, Turn>, under_way: &mut JoinSet<Done>) -> Instant {
        let now = Instant::now();
        let mut next = now + FAR;
        if !self.log.has_increments() {
            return next;
        }
        let servers = self.status.servers((self.clock)());
        turns.retain(|(name, _), _| servers.iter().any(|server| server.name == *name));
        for server in servers {
            if server.state != ServerState::Registered {
                next = next.min(now + LOOK);
                continue;
            }
            for instance in 0..INSTANCES {
                let target = (server.name.clone(), instance);
                let turn = turns.entry(target.clone()).or_default();
                if turn.is_under_way {
                    continue;
                }
                let Some(increment) = self.log.increment(instance, &server.name) else {
                    continue;
                };
                if let Some(until) = turn.not_before.filter(|until| *until > now) {
                    next = next.min(until);
                    continue;
                }
                turn.is_under_way = true;
                turn.not_before = Some(now + increment.every);
                let samples = vec![self.sample(instance, increment.data)];
                under_way.spawn(send(self.asker.clone(), target, samples, increment.last));
            }
        }
        next
    }

    fn end(&self, done: Done, turns: &mut BTreeMap<Target, Turn>) {
        let (target, last) = (done.target, done.last);
        let Some(turn) = turns.get_mut(&target) else {
            return;
        };
        let (server, instance) = target;
        turn.is_under_way = false;
        let pause = match done.result {
            Ok(Ok(_)) => {
                turn.refusals = 0;
                self.log.was_sent(instance, &server, last);
                return;
            }
            Ok(Err(reject)) => {
                tracing::debug!(server, %reject, "The log was not sent");
                if is_refused(reject.code) {
                    turn.refusals += 1;
                }
                reject.max_age.unwrap_or(PAUSE)
            }
            Err(_) => PAUSE,
        };
        if turn.refusals >= REFUSALS {
            turn.refusals = 0;
            tracing::warn!(server, "The server refuses lines of the log");
            self.log.was_sent(instance, &server, last);
        }
        turn.not_before = turn.not_before.max(Some(Instant::now() + pause));
    }

    fn sample(&self, instance: u16, data: Vec<u8>) -> Sample {
        let address = ResourceAddress::gateway(OBJECT, instance, INCREMENT);
        Sample::good(address, Value::Opaque(data), (self.clock)().stamp())
    }
}

async fn send(asker: Asker, target: Target, samples: Vec<Sample>, last: u64) -> Done {
    let result = asker.tell(samples, target.0.clone()).await;
    Done {
        target,
        last,
        result,
    }
}

/// Whether it is the server that does not take it (lwm2m/30, 7): the box itself says other codes
/// where it may not send.
fn is_refused(code: Code) -> bool {
    matches!(
        code,
        Code::BAD_REQUEST
            | Code::NOT_FOUND
            | Code::REQUEST_ENTITY_TOO_LARGE
            | Code::UNSUPPORTED_CONTENT_FORMAT
    )
}

impl fmt::Debug for Increments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Increments").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::Ssid;

    use super::*;
    use crate::{
        events::{Class, News},
        fake::{Site, now_at},
    };

    /// A log of which servers are sent the refusals every `seconds`, and that holds one.
    async fn sending(seconds: u64) -> Site {
        let site = Site::start();
        register(&site, true);
        let set = |collection: &mut super::super::Collection| collection.set_interval(seconds);
        site.events.change(0, set).await.unwrap();
        site.events.tell(News::new(Class::Security, "refused"));
        let api = site.api();
        let increments = Increments {
            asker: api.asker,
            clock: api.clock,
            log: api.events,
            status: api.status,
        };
        tokio::spawn(increments.run());
        site
    }

    fn register(site: &Site, is_registered: bool) {
        let state = match is_registered {
            true => ServerState::Registered,
            false => ServerState::Offline,
        };
        site.status.on_server_state(Ssid(101), state, now_at(1));
    }

    /// How often the server was told after so many seconds.
    async fn told(site: &Site, seconds: u64) -> usize {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let told = site.server_actions();
        assert!(
            told.iter().all(|told| told == "Tell main /20/0/4016"),
            "{told:?}"
        );
        told.len()
    }

    fn refuse(code: Code) -> Reject {
        Reject::new(code, "no")
    }

    #[tokio::test(start_paused = true)]
    async fn new_lines_are_sent_no_more_often_than_the_interval_says() {
        let site = sending(60).await;
        assert_eq!(told(&site, 1).await, 1, "what was there at once");
        for _ in 0..10 {
            site.events.tell(News::new(Class::Security, "refused"));
        }
        assert_eq!(told(&site, 50).await, 1);
        assert_eq!(told(&site, 10).await, 2, "all ten together");
        assert_eq!(told(&site, 600).await, 2, "nothing is new");
        site.events.tell(News::new(Class::System, "started"));
        assert_eq!(told(&site, 600).await, 2, "of another class");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_nothing_is_sent() {
        let site = sending(0).await;
        assert_eq!(told(&site, 600).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_is_sent_the_lines_when_it_is_back() {
        let site = sending(10).await;
        assert_eq!(told(&site, 1).await, 1);
        register(&site, false);
        site.events.tell(News::new(Class::Security, "refused"));
        assert_eq!(told(&site, 600).await, 1);
        register(&site, true);
        assert_eq!(told(&site, 30).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_wait_while_the_box_may_not_send() {
        let site = sending(10).await;
        site.reject(refuse(Code::METHOD_NOT_ALLOWED));
        assert_eq!(told(&site, 1 + 10 * 60).await, 11, "muted: once a minute");
        let increment = site.events.increment(0, "main");
        assert!(increment.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_refuses_twice_it_is_not_told() {
        let site = sending(10).await;
        site.reject(refuse(Code::BAD_REQUEST));
        assert_eq!(told(&site, 600).await, 2);
        assert_eq!(site.events.increment(0, "main"), None);
    }
}
