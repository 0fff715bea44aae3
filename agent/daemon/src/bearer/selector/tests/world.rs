//! Bearers that break and heal at random, with the truth about each at hand.

use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::*;
use crate::{bearer::Meta, config};

/// Longest time that a bearer may have to wait until it is used again.
const HOLD_MAX: f64 = 1800.0;

/// What happens to the world.
#[derive(Clone, Debug)]
enum Step {
    /// Nothing comes through, nobody says so.
    BlackHole(u16),
    Choose(Choice),
    /// An exchange is given up.
    Fail(Reason),
    Heal(u16),
    LinkDown(u16),
    LinkUp(u16),
    /// The sessions' mapping is lost until their sockets are opened anew.
    NatLost,
    Quiet(bool),
    Registered(u16, Option<bool>),
    Renumber(u16),
    Replug(u16),
    Slow(u16, f64),
    Usage(u16, u64),
    Wait(f64),
}

struct World {
    rig: Rig,
    bearers: Vec<Bearer>,
    links: Vec<Option<LinkFacts>>,
    registered: Vec<Option<bool>>,
    usage: Vec<u64>,
    choices: (Option<BearerId>, Vec<u8>),
    /// Servers were silent on a good path: they are asked less often then.
    was_silent: bool,
    /// Seen of the actions.
    current: Option<u16>,
    switches: usize,
    checked: usize,
}

impl World {
    fn new(bearers: Vec<Bearer>) -> Self {
        let rig = Rig::new(&bearers);
        let count = bearers.len();
        let mut world = Self {
            rig,
            bearers,
            links: vec![None; count],
            registered: vec![None; count],
            usage: vec![0; count],
            choices: (None, Vec::new()),
            was_silent: false,
            current: None,
            switches: 0,
            checked: 0,
        };
        for id in world.ids() {
            world.step(&Step::LinkUp(id));
        }
        world
    }

    fn ids(&self) -> std::ops::Range<u16> {
        0..self.bearers.len() as u16
    }

    fn step(&mut self, step: &Step) {
        let count = self.bearers.len();
        let slot = |id: u16| usize::from(id) % count;
        match step {
            Step::BlackHole(id) => {
                self.rig.paths[slot(*id)] = None;
                let is_current = self.current == Some(slot(*id) as u16);
                let is_lost = |event: &BearerEvent| {
                    let is_heard = is_current && matches!(event, BearerEvent::Heard(_));
                    let is_probe = |of: &BearerId| usize::from(of.0) == slot(*id);
                    is_heard || matches!(event, BearerEvent::Probed(of, _) if is_probe(of))
                };
                self.rig.due.retain(|(_, event)| !is_lost(event));
            }
            Step::Choose(choice) => {
                match choice {
                    Choice::Auto => self.choices.0 = None,
                    Choice::Use(id) => self.choices.0 = Some(*id),
                    Choice::Prefer(codes) => self.choices.1.clone_from(codes),
                    Choice::Offline(_) | Choice::Online => {}
                }
                self.rig.handle(BearerEvent::Choose(choice.clone()));
            }
            Step::Fail(reason) => self.rig.handle(BearerEvent::Failed(*reason)),
            Step::Heal(id) => self.rig.paths[slot(*id)] = Some(s(0.05)),
            Step::LinkDown(id) => self.set_link(slot(*id), None),
            Step::LinkUp(id) => {
                let at = slot(*id);
                let link = self.links[at].clone();
                self.set_link(at, Some(link.unwrap_or_else(|| facts(at as u32 + 1))));
            }
            Step::NatLost => {
                self.rig.is_mapped = false;
                self.was_silent = true;
            }
            Step::Quiet(is_quiet) => self.rig.handle(BearerEvent::Quiet(*is_quiet)),
            Step::Registered(id, registered) => {
                let at = slot(*id);
                self.registered[at] = *registered;
                let meta = Meta {
                    registered: *registered,
                    ..Meta::default()
                };
                self.rig
                    .handle(BearerEvent::Meta(BearerId(at as u16), meta));
            }
            Step::Renumber(id) => self.change_link(slot(*id), |link| {
                let octets = link.v4[0].octets();
                link.v4[0] = Ipv4Addr::new(10, 0, octets[1], octets[3].wrapping_add(1));
            }),
            Step::Replug(id) => self.change_link(slot(*id), |link| link.index += 100),
            Step::Slow(id, seconds) => {
                if let Some(path) = &mut self.rig.paths[slot(*id)] {
                    *path = s(*seconds);
                }
            }
            Step::Usage(id, bytes) => {
                let at = slot(*id);
                self.usage[at] = *bytes;
                let id = BearerId(at as u16);
                self.rig.handle(BearerEvent::Usage(id, *bytes, *bytes));
            }
            Step::Wait(seconds) => self.run(*seconds),
        }
        self.check();
    }

    fn set_link(&mut self, at: usize, link: Option<LinkFacts>) {
        self.links[at].clone_from(&link);
        self.rig.link(at as u16, link);
    }

    fn change_link(&mut self, at: usize, change: impl Fn(&mut LinkFacts)) {
        let mut link = self.links[at].clone();
        link.iter_mut().for_each(change);
        self.set_link(at, link);
    }

    /// In small steps, so that each switch is seen together with the facts of its time.
    fn run(&mut self, seconds: f64) {
        let end = self.rig.now + s(seconds);
        while self.rig.now < end {
            let next = self.rig.next().map_or(end, |next| next.min(end));
            let span = next.saturating_sub(self.rig.now);
            self.rig.run(span.as_secs_f64());
            self.rig.now = next;
            self.check();
        }
    }

    /// What must hold after each event.
    fn check(&mut self) {
        for position in self.checked..self.rig.actions.len() {
            let (at, action) = self.rig.actions[position].clone();
            match action {
                Action::Switch(switch) => self.check_switch(at, &switch),
                Action::Probe(id, wait) => {
                    assert!(wait > Duration::ZERO);
                    assert!(self.rig.facts(id.0).link.is_some(), "{id:?} has no link");
                }
                Action::Ping => assert!(self.current.is_some()),
                Action::Show(_) => {}
            }
        }
        self.checked = self.rig.actions.len();
        assert_eq!(self.rig.selector.current().map(|id| id.0), self.current);
        let shown = self.ids().filter(|id| self.rig.facts(*id).is_current);
        assert_eq!(shown.collect::<Vec<_>>(), Vec::from_iter(self.current));
    }

    fn check_switch(&mut self, at: f64, switch: &Switch) {
        let to = switch.to.map(|id| id.0);
        self.switches += 1;
        if switch.why == Want::Renew {
            assert_eq!(to, self.current);
        } else {
            assert_ne!(to, self.current, "{switch:?}");
        }
        self.current = to;
        let Some(to) = to else {
            return;
        };
        let facts = self.rig.facts(to);
        if matches!(switch.why, Want::FailBack | Want::Command) {
            assert_eq!(facts.status, Status::Connected, "{switch:?}");
        }
        if switch.why == Want::FailBack {
            let hold = self.bearers[usize::from(to)].timing.hold.as_secs_f64();
            let since = (facts.since.mono - START).as_secs_f64();
            assert!(at + 1e-6 >= since + hold, "{at} {since} {hold}");
        }
    }

    fn works(&self, id: u16) -> bool {
        let at = usize::from(id);
        let bearer = &self.bearers[at];
        self.links[at].is_some()
            && self.registered[at] != Some(false)
            && self.rig.paths[at].is_some_and(|path| path < bearer.timing.timeout)
            && bearer.tier != Some(Tier::Never)
            && !(self.is_over(at) && self.at_cap(at) == Some(AtCap::Block))
    }

    fn at_cap(&self, at: usize) -> Option<AtCap> {
        self.bearers[at].cap.map(|cap| cap.at_cap)
    }

    fn is_over(&self, at: usize) -> bool {
        let cap = self.bearers[at].cap.and_then(|cap| cap.day);
        cap.is_some_and(|cap| self.usage[at] >= cap)
    }

    /// By the text of the rules.
    fn best(&self) -> Option<u16> {
        let key = |id: &u16| {
            let at = usize::from(*id);
            let bearer = &self.bearers[at];
            let is_used = self.choices.0 == Some(BearerId(*id));
            let is_demoted =
                self.is_over(at) && matches!(self.at_cap(at), Some(AtCap::Demote | AtCap::Urgent));
            let usual = [Tier::Primary, Tier::Secondary][usize::from(bearer.kind.is_metered())];
            let tier = bearer.tier.unwrap_or(usual);
            let listed = self.choices.1.iter().position(|code| match bearer.kind {
                BearerKind::Cellular => [0, 3].contains(code),
                BearerKind::Wifi | BearerKind::TetherWifi => [0, 7].contains(code),
                BearerKind::Ethernet | BearerKind::TetherUsb => [0, 8].contains(code),
                BearerKind::TetherBluetooth => [0, 10].contains(code),
            });
            let listed = listed.unwrap_or(usize::MAX);
            (!is_used, is_demoted, listed, tier, bearer.priority, *id)
        };
        self.ids().filter(|id| self.works(*id)).min_by_key(key)
    }

    /// How long a world at rest may take to be reached again, and to be at its best.
    fn bounds(&self) -> (f64, f64) {
        let timings = self.bearers.iter().map(|bearer| bearer.timing);
        let longest = |of: &dyn Fn(config::Timing) -> Duration| {
            let all = timings.clone().map(of);
            all.max().unwrap_or_default().as_secs_f64()
        };
        let missed = longest(&|timing| timing.timeout * u32::from(timing.down));
        let asked = longest(&|timing| timing.standby).max(60.0);
        let blind = match self.was_silent {
            true => asked,
            false => longest(&|timing| timing.active),
        };
        // The one in use, and each stand-by that died unseen; then the longest pause.
        let reached = blind + missed * self.bearers.len() as f64 + 60.0;
        (reached, reached + asked + missed + HOLD_MAX)
    }

    fn settle(&mut self) {
        self.step(&Step::Quiet(false));
        self.step(&Step::Choose(Choice::Online));
        let (reached, best) = self.bounds();
        self.run(reached);
        let current = self.current;
        let is_reached = current.is_some_and(|id| self.works(id));
        assert_eq!(
            is_reached,
            self.best().is_some(),
            "after {reached} s: {current:?}"
        );
        self.run(best - reached);
        assert_eq!(self.current, self.best());
        for id in self.ids() {
            let facts = self.rig.facts(id);
            let is_connected = facts.status == Status::Connected;
            if !self.works(id) {
                assert!(!is_connected, "{id} does not work: {facts:?}");
            }
            assert_eq!(facts.reason.is_none(), is_connected);
        }
    }
}

fn a_bearer() -> impl Strategy<Value = Bearer> {
    let kinds = [
        BearerKind::Cellular,
        BearerKind::Ethernet,
        BearerKind::TetherBluetooth,
        BearerKind::TetherUsb,
        BearerKind::Wifi,
    ];
    let tiers = [
        None,
        None,
        None,
        Some(Tier::Primary),
        Some(Tier::Secondary),
        Some(Tier::Backup),
        Some(Tier::Never),
    ];
    let caps = [
        None,
        None,
        Some(AtCap::Warn),
        Some(AtCap::Block),
        Some(AtCap::Demote),
        Some(AtCap::Urgent),
    ];
    let parts = (
        prop::sample::select(kinds.to_vec()),
        prop::sample::select(tiers.to_vec()),
        prop::sample::select(caps.to_vec()),
        0..3_u16,
        (1..4_u8, 1..4_u8),
    );
    parts.prop_map(|(kind, tier, at_cap, priority, (down, up))| {
        let mut bearer = bearer("any", kind);
        bearer.tier = tier;
        bearer.priority = priority;
        bearer.cap = at_cap.map(|at_cap| Cap {
            day: Some(1000),
            month: None,
            at_cap,
        });
        bearer.timing.down = down;
        bearer.timing.up = up;
        bearer
    })
}

fn a_choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Auto),
        (0..4_u16).prop_map(|id| Choice::Use(BearerId(id))),
        vec(prop::sample::select(&[0_u8, 3, 7, 8, 10][..]), 0..3).prop_map(Choice::Prefer),
        (0.0..200.0_f64).prop_map(|after| Choice::Offline(Some(START + s(after)))),
        Just(Choice::Offline(None)),
        Just(Choice::Online),
        Just(Choice::Online),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    let id = 0..4_u16;
    let reasons = [Reason::Timeout, Reason::Dtls, Reason::Refused, Reason::Dns];
    prop_oneof![
        2 => id.clone().prop_map(Step::BlackHole),
        1 => a_choice().prop_map(Step::Choose),
        1 => prop::sample::select(reasons.to_vec()).prop_map(Step::Fail),
        3 => id.clone().prop_map(Step::Heal),
        2 => id.clone().prop_map(Step::LinkDown),
        3 => id.clone().prop_map(Step::LinkUp),
        1 => Just(Step::NatLost),
        1 => any::<bool>().prop_map(Step::Quiet),
        1 => (id.clone(), any::<Option<bool>>()).prop_map(|(id, is)| Step::Registered(id, is)),
        1 => id.clone().prop_map(Step::Renumber),
        1 => id.clone().prop_map(Step::Replug),
        1 => (id.clone(), 0.01..1.4_f64).prop_map(|(id, time)| Step::Slow(id, time)),
        1 => (id, 0..1500_u64).prop_map(|(id, bytes)| Step::Usage(id, bytes)),
        6 => (0.0..5.0_f64).prop_map(Step::Wait),
        3 => (0.0..200.0_f64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_world_at_rest_ends_on_the_best_bearer_that_works(
        bearers in vec(a_bearer(), 1..5),
        steps in vec(a_step(), 0..60),
    ) {
        let mut world = World::new(bearers);
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}

/// Two hours of rest after each hundred steps.
#[test]
fn a_thousand_switches_end_on_the_best_bearer_each_time() {
    let mut runner = TestRunner::deterministic();
    let bearers = vec![
        bearer("cable", BearerKind::Ethernet),
        bearer("cell", BearerKind::Cellular),
        bearer("phone", BearerKind::TetherUsb),
        bearer("wlan", BearerKind::Wifi),
    ];
    let mut world = World::new(bearers);
    let steps = vec(a_step(), 100);
    while world.switches < 1000 {
        for step in steps.new_tree(&mut runner).unwrap().current() {
            world.step(&step);
        }
        world.settle();
        world.rig.actions.clear();
        world.checked = 0;
    }
}
