//! Observations by what they watch.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_coap::Token;
use lamplighter_model::{Address, Path, ResourceAddress, ResourceInstanceId};

use crate::work;

/// Finds the observations that a change concerns. Costs a few look-ups per change, whatever the
/// number of observations of other things.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    by_target: BTreeMap<Address, BTreeSet<Token>>,
}

impl Index {
    pub(super) fn insert(&mut self, target: Address, token: Token) {
        self.by_target.entry(target).or_default().insert(token);
    }

    pub(super) fn remove(&mut self, target: Address, token: Token) {
        let Some(tokens) = self.by_target.get_mut(&target) else {
            return;
        };
        tokens.remove(&token);
        if tokens.is_empty() {
            self.by_target.remove(&target);
        }
    }

    /// Who watches the resource, its instance or its object; the instances of the resource too,
    /// where the change names one or may concern any.
    pub(super) fn concerned(
        &self,
        changed: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> Vec<Token> {
        if self.by_target.is_empty() {
            return Vec::new();
        }
        let resource = Address::from(changed);
        let (low, high) = match index {
            Some(index) => (index, index),
            None => (ResourceInstanceId(0), ResourceInstanceId(u16::MAX)),
        };
        let below = |index| Address {
            path: Path::ResourceInstance(changed.path, index),
            ..resource
        };
        let mut tokens: Vec<Token> = self
            .by_target
            .range(below(low)..=below(high))
            .inspect(|_| work::visit())
            .flat_map(|(_, tokens)| tokens.iter().copied())
            .collect();
        let mut level = resource;
        while level.path != Path::Root {
            work::visit();
            tokens.extend(self.by_target.get(&level).into_iter().flatten());
            level.path = level.path.parent();
        }
        tokens
    }

    /// Who watches anything of an object, or the object itself.
    pub(super) fn of_object(&self, object: Address) -> Vec<Token> {
        let from = self.by_target.range(object..);
        let all = from.inspect(|_| work::visit()).take_while(|(target, _)| {
            target.scope == object.scope && object.path.contains(target.path)
        });
        all.flat_map(|(_, tokens)| tokens.iter().copied()).collect()
    }
}
