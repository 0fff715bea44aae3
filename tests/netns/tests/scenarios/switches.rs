//! Many switches, one after the other.

use std::time::Duration;

use lamplighter_netns::{
    scene::{Scene, Setup},
    site::Uplink,
    wait::{SOON, pass},
};

use super::{TOLD, link::settled};

/// A generator of the same numbers for the same seed (Numerical Recipes, 7.1).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn current(scene: &Scene) -> Option<Uplink> {
    let list = scene.agent.json(&["bearer", "list"]);
    let current = list
        .as_array()?
        .iter()
        .find(|bearer| bearer["current"] == true)?;
    Uplink::ALL
        .into_iter()
        .find(|uplink| current["name"] == uplink.name())
}

/// The bearer in use goes; the next best one is used; at random the former comes back before or after.
fn switches(name: &'static str, count: u32) {
    let mut scene = Setup::new(name).start();
    settled(&scene);
    let mut random = Random(1);
    let mark = scene.mark();
    for _ in 0..count {
        let used = current(&scene).expect("some bearer is used");
        let loss = scene.mark();
        match random.below(3) {
            0 => scene.site.carrier_lost(used),
            1 => scene.site.link_down(used),
            _ => scene.site.unplug(used),
        }
        scene.recovered("next number", loss, TOLD);
        scene.shows(used, "disconnected", &["no-link"], TOLD);
        scene.site.restore(used);
        // Sometimes it is found good again before the next one goes, sometimes not.
        pass(Duration::from_millis(random.below(1000)));
        scene.any_connected(SOON);
    }
    assert_eq!(scene.agreed_since(mark), 0, "messages of handshakes");
    scene.complete();
}

#[test]
fn ten_switches_lose_nothing_and_cost_no_handshake() {
    switches("switches-10", 10);
}

#[test]
#[ignore = "takes minutes: NAMESPACES=--ignored make namespaces"]
fn a_hundred_switches_lose_nothing_and_cost_no_handshake() {
    switches("switches-100", 100);
}
