//! Which resources are there now, where some come and go: an instance of a resource can only go with
//! all of them, so the resource is taken back and declared anew.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{ResourceAddress, ResourceInstanceId, Sample, device::Declared};

use super::read_only;

#[derive(Debug, Default)]
pub(super) struct Fed(BTreeMap<ResourceAddress, BTreeSet<Option<ResourceInstanceId>>>);

impl Fed {
    /// These are declared already.
    pub(super) fn with(declared: impl IntoIterator<Item = ResourceAddress>) -> Self {
        let none = |address| (address, BTreeSet::new());
        Self(declared.into_iter().map(none).collect())
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = ResourceAddress> {
        self.0.keys().copied()
    }

    /// What is to be declared so that exactly what has a sample is there; `None`: nothing.
    pub(super) fn follow(&mut self, samples: &[Sample]) -> Option<Declared> {
        let mut there: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for sample in samples {
            let instances = there.entry(sample.address).or_default();
            instances.insert(sample.index);
        }
        let has_lost = |(address, before): &(&ResourceAddress, &BTreeSet<_>)| {
            let now = there.get(*address);
            now.is_none_or(|now| !before.is_subset(now))
        };
        let removed: Vec<_> = self.0.iter().filter(has_lost).map(|(at, _)| *at).collect();
        let is_new = |at: &&ResourceAddress| removed.contains(at) || !self.0.contains_key(at);
        let added: Vec<_> = there.keys().filter(is_new).copied().collect();
        self.0 = there;
        let is_nothing = removed.is_empty() && added.is_empty();
        (!is_nothing).then(|| Declared {
            added: added.into_iter().map(read_only).collect(),
            removed,
        })
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_model::{Stamp, Value};

    use super::*;

    fn sample(resource: u16, index: Option<u16>) -> Sample {
        let address = ResourceAddress::gateway(4, 0, resource);
        Sample {
            index: index.map(ResourceInstanceId),
            ..Sample::good(address, Value::Integer(1), Stamp::default())
        }
    }

    #[test]
    fn only_what_comes_or_goes_is_declared() {
        let address = |resource| ResourceAddress::gateway(4, 0, resource);
        let mut fed = Fed::with([address(0), address(4)]);
        let two = [sample(0, None), sample(4, Some(0)), sample(4, Some(1))];
        assert_eq!(fed.follow(&two), None, "more instances need no declaration");
        let cellular = [sample(0, None), sample(4, Some(0)), sample(8, None)];
        let changed = fed.follow(&cellular).unwrap();
        assert_eq!(changed.removed, [address(4)]);
        let added: Vec<_> = changed.added.iter().map(|one| one.address).collect();
        assert_eq!(added, [address(4), address(8)]);
        let changed = fed.follow(&cellular[..2]).unwrap();
        assert_eq!((changed.removed, changed.added), (vec![address(8)], vec![]));
    }
}
