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

    /// Who watches the resource, its instance, its object or everything, and by which target; the
    /// instances of the resource too, where the change names one or may concern any.
    pub(super) fn concerned(
        &self,
        changed: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> Vec<(Token, Address)> {
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
        let mut found: Vec<_> = self
            .by_target
            .range(below(low)..=below(high))
            .inspect(|_| work::visit())
            .flat_map(pairs)
            .collect();
        found.extend(self.upward(resource));
        found
    }

    /// Who watches the address or anything below it.
    pub(super) fn below(&self, address: Address) -> Vec<(Token, Address)> {
        let at = |path| Address { path, ..address };
        let ranges = address.path.subtree().map(|paths| {
            let (first, last) = paths.into_inner();
            self.by_target.range(at(first)..=at(last))
        });
        let all = ranges.flatten().inspect(|_| work::visit());
        all.flat_map(pairs).collect()
    }

    /// Who watches the address, something that it belongs to, or anything below it.
    pub(super) fn around(&self, address: Address) -> Vec<(Token, Address)> {
        let mut found = self.below(address);
        if address.path != Path::Root {
            let parent = Address {
                path: address.path.parent(),
                ..address
            };
            found.extend(self.upward(parent));
        }
        found
    }

    fn upward(&self, address: Address) -> Vec<(Token, Address)> {
        let mut found = Vec::new();
        let mut level = address;
        loop {
            work::visit();
            found.extend(
                self.by_target
                    .get_key_value(&level)
                    .into_iter()
                    .flat_map(pairs),
            );
            if level.path == Path::Root {
                return found;
            }
            level.path = level.path.parent();
        }
    }
}

fn pairs<'a>(
    (target, tokens): (&'a Address, &'a BTreeSet<Token>),
) -> impl Iterator<Item = (Token, Address)> + use<'a> {
    tokens.iter().map(|token| (*token, *target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &str) -> Address {
        Address::gateway(path.parse::<Path>().unwrap())
    }

    fn token(number: u8) -> Token {
        Token::new(&[number]).unwrap()
    }

    #[test]
    fn each_is_found_once_around_an_address() {
        let mut index = Index::default();
        let targets = ["/", "/3303", "/3303/0", "/3303/0/5700", "/3303/1"].map(address);
        for (number, target) in (0..).zip(targets) {
            index.insert(target, token(number));
        }
        let [root, object, instance, resource, _] = targets;
        let expected = [
            (token(2), instance),
            (token(3), resource),
            (token(1), object),
            (token(0), root),
        ];
        assert_eq!(index.around(instance), expected);
    }

    #[test]
    fn nothing_is_left_of_what_is_removed() {
        let mut index = Index::default();
        let target = address("/3303/0");
        index.insert(target, token(1));
        index.insert(target, token(2));
        index.remove(target, token(1));
        assert_eq!(index.below(target), [(token(2), target)]);
        index.remove(target, token(2));
        assert!(index.by_target.is_empty());
    }
}
