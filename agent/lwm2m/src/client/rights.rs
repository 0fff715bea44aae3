//! What follows for object 2 where instances or accounts come and go.

use lamplighter_model::{Address, Now, ObjectLink, Path, ResourceAddress, Scope};

use super::Client;
use crate::{
    catalogue::Catalogue,
    object::{self, ACCESS_CONTROL},
    perform::{News, Turn},
    tree::Tree,
};

impl Client {
    /// Tells servers that the list of instances is another, and gives numbers to what is new.
    pub(super) fn relist(&mut self, tree: &mut Tree, now: Now) {
        if !self.accounts_changed && self.listed == tree.listed() {
            return;
        }
        self.accounts_changed = false;
        self.listed = tree.listed();
        self.number(tree, now);
        self.link(tree);
        for server in self.servers.values_mut() {
            server.registration.objects_changed(now);
        }
        if !self.shared.core.access.is_enabled() {
            return;
        }
        let turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        let rights = Address::gateway(Path::Object(ACCESS_CONTROL));
        self.servers
            .values_mut()
            .for_each(|server| server.object_changed(rights, &turn));
    }

    /// 3/0/22 names what tells of devices around the box.
    fn link(&mut self, tree: &Tree) {
        let device = &mut self.shared.core.device;
        let objects = device.described_by().to_vec();
        let instances = objects
            .into_iter()
            .flat_map(|object| tree.instances_of(Scope::Gateway, object));
        let links = instances.map(|path| ObjectLink {
            object: path.object.0,
            instance: path.instance.0,
        });
        if device.set_links(links) {
            let links = ResourceAddress::gateway(3, 0, object::device::LINKS);
            self.shared.news.push(News::Sampled(links, None));
        }
    }

    /// Every instance gets its number in object 2.
    fn number(&mut self, tree: &Tree, now: Now) {
        let catalogue = Catalogue {
            core: &self.shared.core,
            creation: &self.shared.creation,
            now,
            tree,
        };
        let existing: Vec<_> = catalogue.spoken_of(Scope::Gateway).collect();
        if let Some(record) = self.shared.core.access.reserve(existing.into_iter()) {
            self.shared.out.commit(record);
        }
    }

    /// Servers without an account have no rights and own nothing; what nobody else has a right on
    /// goes with them. Not while they may come back.
    pub(super) fn disinherit(&mut self) {
        if self.accounts.fallback().is_some() {
            return;
        }
        let (orphans, records) = self.shared.core.access.disinherit();
        self.disinherited.extend(records);
        self.orphans.extend(orphans);
    }

    /// Removes what nobody has a right on any more, and keeps who owns the rest.
    pub(super) fn drop_orphans(&mut self, tree: &mut Tree, now: Now) {
        let mut records = std::mem::take(&mut self.disinherited);
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        for path in self.orphans.drain(..) {
            records.extend(turn.discard(path));
        }
        turn.shared.out.commit_all(records);
    }
}
