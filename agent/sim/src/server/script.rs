//! What the server is told to do wrong.

use std::{collections::VecDeque, time::Duration};

use lamplighter_coap::{Code, Response};

/// One act of misbehaviour; acts of one kind happen in the order they were asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Misbehaviour {
    /// The next answer, of whatever kind, leaves twice.
    AnswerTwice,
    /// The next De-register is answered with this code and has no effect.
    Deregister(Refusal),
    /// The next datagrams, from whomever, are not heard.
    Mute(u32),
    /// From now on every Register, Update and Send gets 5.03 with this Max-Age; `None` ends it.
    Overload(Option<u32>),
    /// The next Register is answered with this code and has no effect.
    Register(Refusal),
    /// The next Register has its effect at once, its answer leaves this much later.
    RegisterLate(Duration),
    /// The next Send is answered with this code, and its values are not taken.
    Send(Refusal),
    /// The next Update is answered with this code and has no effect.
    Update(Refusal),
}

/// An answer that is not deserved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    pub code: Code,
    /// Max-Age in seconds, as overloaded servers send it with 5.03.
    pub max_age: Option<u32>,
}

impl Refusal {
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            max_age: None,
        }
    }

    pub(super) fn response(self) -> Response {
        Response {
            max_age: self.max_age,
            ..Response::new(self.code)
        }
    }
}

/// The misbehaviour that is still to come.
#[derive(Debug, Default)]
pub(super) struct Script {
    mute: u32,
    twice: u32,
    register: VecDeque<Refusal>,
    update: VecDeque<Refusal>,
    deregister: VecDeque<Refusal>,
    send: VecDeque<Refusal>,
    overload: Option<Refusal>,
    late: VecDeque<Duration>,
}

impl Script {
    pub(super) fn add(&mut self, act: Misbehaviour) {
        match act {
            Misbehaviour::AnswerTwice => self.twice += 1,
            Misbehaviour::Deregister(refusal) => self.deregister.push_back(refusal),
            Misbehaviour::Mute(messages) => self.mute = self.mute.saturating_add(messages),
            Misbehaviour::Overload(max_age) => {
                self.overload = max_age.map(|seconds| Refusal {
                    code: Code::SERVICE_UNAVAILABLE,
                    max_age: Some(seconds),
                });
            }
            Misbehaviour::Register(refusal) => self.register.push_back(refusal),
            Misbehaviour::RegisterLate(delay) => self.late.push_back(delay),
            Misbehaviour::Send(refusal) => self.send.push_back(refusal),
            Misbehaviour::Update(refusal) => self.update.push_back(refusal),
        }
    }

    pub(super) fn is_mute(&mut self) -> bool {
        take_one(&mut self.mute)
    }

    pub(super) fn answers_twice(&mut self) -> bool {
        take_one(&mut self.twice)
    }

    pub(super) fn refuses_register(&mut self) -> Option<Refusal> {
        self.register.pop_front().or(self.overload)
    }

    pub(super) fn refuses_update(&mut self) -> Option<Refusal> {
        self.update.pop_front().or(self.overload)
    }

    pub(super) fn refuses_send(&mut self) -> Option<Refusal> {
        self.send.pop_front().or(self.overload)
    }

    pub(super) fn refuses_deregister(&mut self) -> Option<Refusal> {
        self.deregister.pop_front()
    }

    pub(super) fn delays_register(&mut self) -> Option<Duration> {
        self.late.pop_front()
    }
}

fn take_one(left: &mut u32) -> bool {
    let is_some = *left > 0;
    *left = left.saturating_sub(1);
    is_some
}
