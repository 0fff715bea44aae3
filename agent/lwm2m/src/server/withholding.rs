//! A right to read was taken: nothing of it leaves any more, neither what is on its way nor what is
//! stored (Core 1.2, 6.4.4 and 8.2; design, section 6).

use lamplighter_coap::{NotificationId, Reliability};
use lamplighter_model::{InstancePath, Path, device::Origin};

use super::Server;
use crate::{
    access,
    boundary::Output,
    observe::Relation,
    outbox::Loss,
    perform::{Shared, Turn},
};

impl Server {
    /// Somebody may do something else to an instance than before, perhaps this server.
    pub(crate) fn rights_changed(&mut self, instance: InstancePath, turn: &mut Turn<'_>) {
        let (path, reader) = (Path::from(instance), Origin::Server(self.config.ssid));
        if access::may_read(&reader, path, &turn.shared.core) {
            return;
        }
        self.withdraw_notifications(path, turn);
        self.abandon_tellings(turn);
        self.abandon_flight();
        self.endpoint.forget_content();
        self.erase(vec![path], turn.shared);
    }

    /// What a power cut has left of the above.
    pub(crate) fn withhold_stored(&mut self, shared: &mut Shared) {
        if self.outbox.is_empty() {
            return;
        }
        let withheld = shared.core.access.withheld(self.config.ssid);
        let withheld: Vec<Path> = withheld.map(Path::from).collect();
        if !withheld.is_empty() {
            self.erase(withheld, shared);
        }
    }

    /// The store has erased so many that were still to be told.
    pub(crate) fn erased(&mut self, count: u64) {
        self.outbox.erased(count);
        self.lose(Loss::Unauthorized, count);
    }

    fn erase(&mut self, paths: Vec<Path>, shared: &mut Shared) {
        if self.outbox.next() == 0 {
            return;
        }
        paths.iter().for_each(|path| self.outbox.erase(*path));
        shared.out.push(Output::Erase(self.config.ssid, paths));
    }

    /// Observations stay, and tell what may still be told.
    fn withdraw_notifications(&mut self, path: Path, turn: &Turn<'_>) {
        let is_of = |relation: &Relation| {
            let mut targets = relation.subscription.targets.addresses().iter();
            targets.any(|target| target.path.contains(path) || path.contains(target.path))
        };
        let told = self.notifications.iter();
        let told: Vec<NotificationId> = told
            .filter(|(_, (_, reliability))| *reliability == Reliability::Confirmable)
            .filter(|(_, (token, _))| self.observations.get(*token).is_some_and(is_of))
            .map(|(id, _)| *id)
            .collect();
        for id in &told {
            self.endpoint.withdraw(*id);
            self.forget_mark(*id);
            if let Some((token, _)) = self.notifications.remove(id) {
                self.delivered(token, false, turn);
            }
        }
        if !told.is_empty() {
            self.doubt();
        }
    }
}
