//! Makes checked changes of what the core holds true: kept first, then told.

use std::collections::BTreeMap;

use lamplighter_model::{InstancePath, Path, ResourcePath, device::Origin};

use super::{News, Reply, Turn};
use crate::{
    operation::{self, Deletion, Edit, gateway, gateway_resource},
    reject::Reject,
    saved::{Record, SavedInstance},
    tree::Held,
};

impl Turn<'_> {
    pub(super) fn commit(&mut self, edits: &[Edit]) -> Result<(), Reject> {
        if edits.is_empty() {
            return Ok(());
        }
        let draft = operation::apply(edits, self.catalogue())?;
        for (path, held) in &draft.stored {
            self.store(*path, held)?;
        }
        let Some(core) = draft.core else {
            return Ok(());
        };
        let changes = self.shared.core.commit(core);
        for record in changes.records {
            self.shared.out.commit(record);
        }
        self.shared
            .news
            .extend(changes.resources.into_iter().map(sampled));
        self.shared
            .news
            .extend(changes.accounts.into_iter().map(News::Account));
        Ok(())
    }

    pub(super) fn create(
        &mut self,
        by: &Origin,
        instances: &BTreeMap<InstancePath, Held>,
    ) -> Result<Reply, Reject> {
        for (path, held) in instances {
            self.store(*path, held)?;
            if let Origin::Server(ssid) = by {
                let owned = self.shared.core.access.created(*ssid, *path);
                self.shared.out.commit(owned);
            }
        }
        let (first, _) = instances
            .first_key_value()
            .ok_or_else(|| Reject::bad_request("no instance is named"))?;
        self.shared.news.push(News::Listed(first.object));
        Ok(Reply::Created(*first))
    }

    pub(super) fn delete(&mut self, deletion: Deletion) -> Result<Reply, Reject> {
        match deletion {
            Deletion::Instance(path) => {
                self.discard(path);
            }
            Deletion::ResourceInstance(path, index) => {
                self.commit(&[Edit::Delete(path, index)])?;
                let gone = Path::ResourceInstance(path, index);
                self.shared.news.push(News::Removed(gone));
            }
        }
        Ok(Reply::Deleted)
    }

    /// Removes an instance that servers made, and what was said of it.
    pub(crate) fn discard(&mut self, path: InstancePath) {
        if !self.tree.discard(gateway(path)) {
            return;
        }
        let record = Record::Instance(path.to_string(), None);
        self.shared.out.commit(record);
        if let Some(record) = self.shared.core.access.deleted(path) {
            self.shared.out.commit(record);
        }
        self.shared.news.push(News::Removed(path.into()));
        self.shared.news.push(News::Listed(path.object));
    }

    /// Gives an instance that servers made its values, and keeps them.
    fn store(&mut self, path: InstancePath, held: &Held) -> Result<(), Reject> {
        let changed = self
            .tree
            .store(gateway(path), held, self.now.stamp())
            .map_err(|why| Reject::method_not_allowed(why.to_string()))?;
        let saved = SavedInstance {
            resources: held.clone().into_iter().collect(),
        };
        self.shared
            .out
            .commit(Record::Instance(path.to_string(), Some(saved)));
        let changed = changed.into_iter().map(|resource| ResourcePath {
            instance: path,
            resource,
        });
        self.shared.news.extend(changed.map(sampled));
        Ok(())
    }
}

const fn sampled(path: ResourcePath) -> News {
    News::Sampled(gateway_resource(path), None)
}
