//! The resources of one instance: few, in order, in as much memory as they need. A box has thousands
//! of instances with one to a dozen of them.

use lamplighter_model::ResourceId;

use super::Resource;

#[derive(Clone, Debug, Default)]
pub(super) struct Resources(Vec<(ResourceId, Resource)>);

impl Resources {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn get(&self, id: ResourceId) -> Option<&Resource> {
        let at = self.find(id).ok()?;
        Some(&self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, id: ResourceId) -> Option<&mut Resource> {
        let at = self.find(id).ok()?;
        Some(&mut self.0[at].1)
    }

    /// The resource of this id, which is made where it is not there.
    pub(super) fn get_or_insert(
        &mut self,
        id: ResourceId,
        make: impl FnOnce() -> Resource,
    ) -> &mut Resource {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (id, make()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(super) fn remove(&mut self, id: ResourceId) {
        if let Ok(at) = self.find(id) {
            self.0.remove(at);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ResourceId, &Resource)> {
        self.0.iter().map(|(id, resource)| (*id, resource))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ResourceId, &mut Resource)> {
        self.0.iter_mut().map(|(id, resource)| (*id, resource))
    }

    fn find(&self, id: ResourceId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

impl FromIterator<(ResourceId, Resource)> for Resources {
    fn from_iter<T: IntoIterator<Item = (ResourceId, Resource)>>(all: T) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(id, _)| *id);
        all.dedup_by_key(|(id, _)| *id);
        all.shrink_to_fit();
        Self(all)
    }
}
