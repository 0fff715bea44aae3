//! The state machine row by row: what comes in, and every step that follows.

use lamplighter_coap::Code;
use lamplighter_model::{BootId, UnixTime};

use super::*;
use crate::client::{RetryConfig, VersionChoice};

struct Machine {
    now: Duration,
    registration: Registration,
}

const IDENTITY: &str = "cab-17 at coap://server.example:5683";

fn at(seconds: u64) -> Now {
    now(1, Duration::from_secs(seconds))
}

fn now(boot: u32, mono: Duration) -> Now {
    Now {
        boot: BootId(boot),
        mono,
        unix: Some(UnixTime(i64::try_from(mono.as_millis()).unwrap())),
    }
}

fn reply(code: Code) -> Reply {
    Reply {
        code,
        detail: String::new(),
        location: vec!["rd".to_owned(), "1".to_owned()],
        max_age: None,
    }
}

fn standard() -> RetryPolicy {
    RetryConfig::default().into()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Machine {
    fn new(choice: VersionChoice, lifetime: u64, policy: RetryPolicy) -> Self {
        let terms = Terms {
            choice,
            identity: IDENTITY.to_owned(),
            lifetime: secs(lifetime),
            margin: secs(93),
            policy,
            queue_mode: false,
            return_spread: None,
        };
        let registration = Registration::new(terms, Rng::new(1));
        Self {
            now: Duration::ZERO,
            registration,
        }
    }

    fn standard(lifetime: u64) -> Self {
        Self::new(VersionChoice::Auto, lifetime, standard())
    }

    fn registered(lifetime: u64) -> Self {
        let mut machine = Self::standard(lifetime);
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        machine.reply(Purpose::Register, reply(Code::CREATED));
        machine.steps();
        machine
    }

    fn now(&self) -> Now {
        now(1, self.now)
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.registration.poll())
            .filter(|step| !matches!(step, Step::Save(_)))
            .collect()
    }

    fn connect(&mut self) {
        self.registration.connected(self.now());
    }

    fn reply(&mut self, purpose: Purpose, reply: Reply) {
        self.registration.replied(purpose, reply, self.now());
    }

    /// The server writes its account.
    fn write(&mut self, change: impl Fn(&mut Wish)) {
        let terms = &self.registration.terms;
        let mut wish = Wish {
            lifetime: terms.lifetime,
            policy: terms.policy,
            queue_mode: terms.queue_mode,
        };
        change(&mut wish);
        let now = self.now();
        self.registration.obey(wish, now);
    }

    fn lose(&mut self, purpose: Purpose) {
        let now = self.now();
        self.registration
            .unanswered(purpose, Cause::Silence.told("no answer"), now);
    }

    /// Goes to the next deadline and handles it; how long that took.
    fn next(&mut self) -> Duration {
        let (due, _) = self.registration.timeout().expect("a deadline");
        let passed = due - self.now;
        self.now = due;
        self.registration.handle_timeout(self.now());
        passed
    }

    /// One attempt that gets no answer; the pause that follows.
    fn failed_attempt(&mut self) -> Duration {
        self.connect();
        self.lose(Purpose::Register);
        self.steps();
        self.next()
    }
}

fn update(lifetime: bool, objects: bool) -> Step {
    let location = vec!["rd".to_owned(), "1".to_owned()];
    Step::Update {
        location,
        binding: false,
        lifetime,
        objects,
    }
}

fn is_within(delay: Duration, seconds: u64) -> bool {
    delay >= secs(seconds) && delay <= secs(seconds) + secs(seconds) / 10
}

fn is_floor(delay: Duration) -> bool {
    delay >= secs(1800) && delay <= secs(5400)
}

mod leave;
mod link;
mod reply;
mod table;
mod update;
mod version;
