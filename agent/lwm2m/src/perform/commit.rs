//! Makes checked changes of what the core holds true: kept first, then told.

use std::collections::BTreeMap;

use lamplighter_model::{InstancePath, Path, ResourcePath, device::Origin};

use super::{News, Reply, Turn};
use crate::{
    confirm,
    object::CoreObjects,
    operation::{self, Deletion, Edit, gateway, gateway_resource},
    reject::Reject,
    saved::{Record, SavedInstance},
    tree::Held,
};

impl Turn<'_> {
    pub(super) fn commit(&mut self, edits: &[Edit], by: &Origin) -> Result<(), Reject> {
        if edits.is_empty() {
            return Ok(());
        }
        let draft = operation::apply(edits, self.catalogue())?;
        let mut records = Vec::new();
        for (path, held) in &draft.stored {
            records.push(self.store(*path, held)?);
        }
        if let Some(core) = draft.core {
            records.extend(self.try_out(&core, by));
            let changes = self.shared.core.commit(core);
            records.extend(changes.records);
            let news = &mut self.shared.news;
            news.extend(changes.resources.into_iter().map(sampled));
            news.extend(changes.accounts.into_iter().map(News::Account));
        }
        self.shared.out.commit_all(records);
        Ok(())
    }

    pub(super) fn create(
        &mut self,
        by: &Origin,
        instances: &BTreeMap<InstancePath, Held>,
    ) -> Result<Reply, Reject> {
        let mut records = Vec::new();
        for (path, held) in instances {
            records.push(self.store(*path, held)?);
            if let Origin::Server(ssid) = by {
                records.push(self.shared.core.access.created(*ssid, *path));
            }
        }
        self.shared.out.commit_all(records);
        let (first, _) = instances
            .first_key_value()
            .ok_or_else(|| Reject::bad_request("no instance is named"))?;
        self.shared.news.push(News::Listed(first.object));
        Ok(Reply::Created(*first))
    }

    pub(super) fn delete(&mut self, deletion: Deletion, by: &Origin) -> Result<Reply, Reject> {
        match deletion {
            Deletion::Instance(path) => {
                let records = self.discard(path);
                self.shared.out.commit_all(records);
            }
            Deletion::ResourceInstance(path, index) => {
                self.commit(&[Edit::Delete(path, index)], by)?;
                let gone = Path::ResourceInstance(path, index);
                self.shared.news.push(News::Removed(gone));
            }
        }
        Ok(Reply::Deleted)
    }

    /// Puts on trial what of a change could cut the box off; the answer is to be kept.
    fn try_out(&mut self, core: &CoreObjects, by: &Origin) -> Vec<Record> {
        let risky = confirm::risky(&self.shared.core, core, by);
        if !risky.is_empty() {
            self.shared.news.push(News::Tried);
        }
        let now = self.now;
        let trials = &mut self.shared.trials;
        risky
            .into_iter()
            .filter_map(|before| trials.begin(before, now))
            .collect()
    }

    /// Removes an instance that servers made, and what was said of it; the answer is to be kept.
    pub(crate) fn discard(&mut self, path: InstancePath) -> Vec<Record> {
        if !self.tree.discard(gateway(path)) {
            return Vec::new();
        }
        self.shared.news.push(News::Removed(path.into()));
        self.shared.news.push(News::Listed(path.object));
        let rights = self.shared.core.access.deleted(path);
        let instance = Record::Instance(path.to_string(), None);
        rights.into_iter().chain([instance]).collect()
    }

    /// Gives an instance that servers made its values; the answer is to be kept.
    pub(crate) fn store(&mut self, path: InstancePath, held: &Held) -> Result<Record, Reject> {
        let changed = self
            .tree
            .store(gateway(path), held, self.now.stamp())
            .map_err(|why| Reject::method_not_allowed(why.to_string()))?;
        let saved = SavedInstance {
            resources: held.clone().into_iter().collect(),
        };
        let changed = changed.into_iter().map(|resource| ResourcePath {
            instance: path,
            resource,
        });
        self.shared.news.extend(changed.map(sampled));
        Ok(Record::Instance(path.to_string(), Some(saved)))
    }
}

const fn sampled(path: ResourcePath) -> News {
    News::Sampled(gateway_resource(path), None)
}
