//! Observations that are due, oldest first. One place each: what is told is read when it leaves, so
//! a newer value takes the place of an older one.

use std::collections::{BTreeSet, VecDeque};

use lamplighter_coap::Token;

#[derive(Clone, Debug, Default)]
pub(super) struct Due {
    order: VecDeque<Token>,
    waiting: BTreeSet<Token>,
}

impl Due {
    pub(super) fn push(&mut self, token: Token) {
        if self.waiting.insert(token) {
            self.order.push_back(token);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Token> {
        loop {
            let token = self.order.pop_front()?;
            if self.waiting.remove(&token) {
                return Some(token);
            }
        }
    }

    pub(super) fn remove(&mut self, token: Token) {
        if self.waiting.remove(&token) {
            self.order.retain(|waiting| *waiting != token);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
