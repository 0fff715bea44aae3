//! What befalls boxes and servers: weather, lost bearers, new addresses, power cuts, restarts.

use std::time::Duration;

use lamplighter_lwm2m::boundary::{Input, LinkEvent, LinkId};

use super::{BoxId, Loss, RESTART_TAKES, ServerId, World};
use crate::network::Weather;

impl World {
    /// The network of a box is so from now on.
    pub fn set_weather(&mut self, of: BoxId, weather: Weather) {
        self.network.set_weather(of, weather);
    }

    /// Servers see the box under another address from its next datagram on.
    pub fn rebind(&mut self, of: BoxId) {
        self.network.rebind(of);
    }

    pub fn lose_bearer(&mut self, of: BoxId, loss: Loss) {
        self.network.set_up(of, false);
        self.losses.insert(of, loss);
        if loss == Loss::Told {
            let links: Vec<LinkId> = self.boxes[of.0].links.keys().copied().collect();
            for link in links {
                let down = LinkEvent::Down("no carrier".to_owned());
                self.later(of, Duration::ZERO, Input::Link(link, down));
            }
        }
    }

    pub fn restore_bearer(&mut self, of: BoxId) {
        self.network.set_up(of, true);
        self.losses.remove(&of);
    }

    pub fn has_bearer(&self, of: BoxId) -> bool {
        self.network.is_up(of)
    }

    /// A new socket stands ready in the place of every link of the box.
    pub fn roam(&mut self, of: BoxId) {
        let cabinet = &self.boxes[of.0];
        let newest = cabinet.newest.iter();
        let open = newest.filter(|(_, link)| cabinet.up.contains(link));
        let open: Vec<(ServerId, LinkId)> = open.map(|(server, link)| (*server, *link)).collect();
        for (server, link) in open {
            self.delays += 1;
            let new = LinkId::of_shell(self.delays);
            let cabinet = &mut self.boxes[of.0];
            cabinet.links.insert(new, server);
            cabinet.newest.insert(server, new);
            cabinet.up.insert(new);
            self.input(of, Input::Link(link, LinkEvent::Replacement(new)));
        }
    }

    /// The server starts anew and knows nobody.
    pub fn reboot_server(&mut self, id: ServerId) {
        let now = self.now;
        self.servers[id.0].restart(now);
        self.serve(id);
    }

    /// The agent is killed, and started again by the system.
    pub fn kill(&mut self, id: BoxId) {
        let cabinet = &mut self.boxes[id.0];
        if !cabinet.is_on() {
            return;
        }
        cabinet.store.kill();
        self.stop(id);
        self.later_start(id, RESTART_TAKES);
    }

    /// The power of a box fails now; it comes back after this time.
    pub fn cut_power(&mut self, id: BoxId, off: Duration) {
        let now = self.now;
        let cabinet = &mut self.boxes[id.0];
        if !cabinet.is_on() {
            return;
        }
        let lost = cabinet.store.cut(&mut self.chance, now);
        cabinet.cut_off.extend(lost);
        self.stop(id);
        self.boxes[id.0].boot(now + off);
        self.later_start(id, off);
    }

    /// The power of a box fails after so many outputs of its core, for this long.
    pub fn light_fuse(&mut self, id: BoxId, outputs: u32, off: Duration) {
        self.boxes[id.0].fuse = Some((outputs, off));
    }

    /// The power does not fail after all.
    pub fn put_out_fuse(&mut self, id: BoxId) {
        self.boxes[id.0].fuse = None;
    }

    /// A server may not hear this box before `until`, once the link between them is closed.
    pub fn silence(&mut self, id: BoxId, server: ServerId, until: Duration) {
        if self.boxes[id.0].links.values().any(|of| *of == server) {
            self.leaving.insert((id, server), until);
        } else {
            self.silences.insert((id, server), until);
        }
    }

    /// A person has ordered otherwise.
    pub fn end_silence(&mut self, id: BoxId, server: ServerId) {
        self.silences.remove(&(id, server));
        self.leaving.remove(&(id, server));
    }

    pub fn silent_until(&self, id: BoxId, server: ServerId) -> Option<Duration> {
        self.silences.get(&(id, server)).copied()
    }
}
