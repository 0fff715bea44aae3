//! What holds for all observations of one server: how many there may be, which of them tells what,
//! how it is told, and what becomes of those that the server has forgotten.

use std::{sync::Arc, time::Duration};

use lamplighter_coap::{Reliability, Token};
use lamplighter_model::{
    Address, BootId, DeviceId, Now, Path, ResourceAddress, ResourceInstanceId, Sample, Scope, Ssid,
    Value,
    device::{Declaration, Declared},
    object::Operations,
    tables,
};

use super::*;
use crate::{
    catalogue::Catalogue,
    config::{Creation, DeviceDescription, Limits},
    format::{ContentFormat, Node},
    object::{CoreObjects, Device},
    tree::Tree,
};

const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const SWITCH: ResourceAddress = ResourceAddress::gateway(3342, 0, 5500);

/// The observations of a server that is told everything at once.
struct Bench {
    attributes: AttributeStore,
    core: CoreObjects,
    creation: Creation,
    defaults: Defaults,
    now: Duration,
    observations: Observations,
    tree: Tree,
}

fn token(number: usize) -> Token {
    Token::new(&number.to_be_bytes()).unwrap()
}

fn address(path: &str) -> Address {
    Address::gateway(path.parse::<Path>().unwrap())
}

fn subscription(format: ContentFormat, targets: Targets) -> Subscription {
    Subscription {
        attributes: None,
        format,
        number: format.number(),
        targets,
    }
}

fn single(path: &str) -> Subscription {
    subscription(ContentFormat::SenmlCbor, Targets::Single(address(path)))
}

/// So many temperatures, from this instance on.
fn composite(first: u16, count: u16) -> Subscription {
    let address = |instance| ResourceAddress::gateway(3303, instance, 5700).into();
    let addresses = (first..first + count).map(address).collect();
    subscription(ContentFormat::SenmlCbor, Targets::Composite(addresses))
}

impl Bench {
    fn new() -> Self {
        let mut tree = Tree::new(Arc::new(tables::standard()));
        let declaration = |address| Declaration {
            address,
            operations: Operations::R,
        };
        let declared = Declared {
            added: [TEMPERATURE, SWITCH].map(declaration).to_vec(),
            removed: Vec::new(),
        };
        assert!(tree.declare(&declared).is_empty());
        let mut bench = Self {
            attributes: AttributeStore::new(100),
            core: CoreObjects::new(Device::new(DeviceDescription::default()), None),
            creation: Creation::default(),
            defaults: Defaults::default(),
            now: Duration::from_secs(1000),
            observations: Observations::new(LIMITS),
            tree,
        };
        bench.sampled(TEMPERATURE, Value::Float(20.0));
        bench.sampled(SWITCH, Value::Boolean(false));
        bench
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Observations, Rules<'_>) -> T) -> T {
        let now = Now {
            boot: BootId(1),
            mono: self.now,
            unix: None,
        };
        let rules = Rules {
            attributes: &self.attributes,
            catalogue: Catalogue {
                core: &self.core,
                creation: &self.creation,
                now,
                tree: &self.tree,
            },
            defaults: self.defaults,
            ssid: Ssid(1),
        };
        act(&mut self.observations, rules)
    }

    fn sampled(&mut self, address: ResourceAddress, value: Value) {
        let at = Now {
            boot: BootId(1),
            mono: self.now,
            unix: None,
        };
        let sample = Sample::good(address, value, at.stamp());
        assert_eq!(self.tree.record(&[sample]), 0);
        self.act(|observations, rules| observations.changed(address, None, rules));
    }

    /// The first answer tells what there is.
    fn observe(&mut self, number: usize, subscription: Subscription) -> bool {
        self.act(|observations, rules| {
            let nodes = nodes(&subscription.targets, rules);
            let sent = Sent {
                is_stored: false,
                nodes: &nodes,
                reliability: Reliability::NonConfirmable,
                revision: rules.catalogue.tree.revision(),
            };
            observations.begin(token(number), subscription, sent, rules)
        })
    }

    /// Tells one, in this way.
    fn tell(&mut self, number: usize, reliability: Reliability, is_stored: bool) {
        self.act(|observations, rules| {
            let relation = observations.get(token(number)).unwrap();
            let nodes = nodes(&relation.subscription.targets, rules);
            let sent = Sent {
                is_stored,
                nodes: &nodes,
                reliability,
                revision: rules.catalogue.tree.revision(),
            };
            observations.sent(token(number), sent, rules);
        });
    }

    /// Which are to be told now, in order.
    fn due(&mut self) -> Vec<Token> {
        self.act(Observations::handle_timeout);
        std::iter::from_fn(|| self.observations.next()).collect()
    }

    fn reliability(&mut self, number: usize) -> Reliability {
        self.act(|observations, rules| {
            let relation = observations.get(token(number)).unwrap();
            relation.reliability(rules)
        })
    }

    fn attach(&mut self, path: &str, queries: &[&str]) {
        let changes: Vec<Attribute> = queries
            .iter()
            .map(|query| Attribute::parse(query, crate::registration::Enabler::V1_2).unwrap())
            .collect();
        self.attributes.change(address(path), &changes).unwrap();
        self.act(|observations, rules| observations.attributes_changed(address(path), rules));
    }
}

fn nodes(targets: &Targets, rules: Rules<'_>) -> Vec<Node> {
    let addresses = targets.addresses().iter();
    addresses
        .flat_map(|address| rules.catalogue.latest(*address))
        .collect()
}

/// Fewer than those of the configuration would hold up the tests.
const SOME: usize = 20;
const LIMITS: Limits = Limits {
    attribute_paths: 100,
    observations: SOME,
    observed_paths: 8192,
};

#[test]
fn a_server_may_observe_by_so_many_requests_and_no_more() {
    let mut bench = Bench::new();
    for number in 0..SOME {
        assert!(!bench.observations.is_full());
        assert!(bench.observe(number, single("/3303/0/5700")));
    }
    assert!(bench.observations.is_full());
    assert!(!bench.observe(SOME, single("/3303/0/5700")));
    assert_eq!(bench.observations.len(), SOME);
    assert!(bench.observe(7, single("/3342")), "one that is there");
    assert!(bench.observations.end(token(8)).is_some());
    assert!(bench.observations.end(token(8)).is_none());
    assert!(bench.observe(SOME, single("/3303/0/5700")));
}

#[test]
fn the_paths_of_all_observations_of_a_server_are_bounded() {
    let mut bench = Bench::new();
    for number in 0..7 {
        assert!(bench.observe(number, composite(0, 1000)));
    }
    assert!(!bench.observe(7, composite(0, 1193)), "one too many");
    assert!(!bench.observe(7, composite(0, 5000)));
    assert!(bench.observe(7, composite(0, 1192)));
    assert!(!bench.observe(8, single("/3342")), "8,192 are named");
    bench.observations.end(token(3));
    assert!(bench.observe(3, composite(0, 999)));
    assert!(bench.observe(8, single("/3342")));
    assert!(!bench.observe(9, single("/3342")));
}

#[test]
fn what_is_cancelled_is_told_no_more_and_the_others_are() {
    let mut bench = Bench::new();
    for number in 0..3 {
        assert!(bench.observe(number, single("/3303/0/5700")));
    }
    bench.sampled(TEMPERATURE, Value::Float(21.0));
    bench.act(Observations::handle_timeout);
    assert!(bench.observations.has_waiting());
    bench.observations.end(token(1));
    assert_eq!(bench.due(), [token(0), token(2)]);
    assert!(!bench.observations.has_waiting());
    let part = (TEMPERATURE, None);
    assert!(bench.observations.is_wanted(part));
    bench.observations.end(token(0));
    bench.observations.end(token(2));
    assert!(!bench.observations.is_wanted(part));
    assert_eq!(bench.observations.timeout(), None);
}

/// What the server has forgotten by a new registration (lwm2m/30, 7) may be observed again: until
/// then it is known what it wanted to hear of.
#[test]
fn an_observation_that_the_server_has_forgotten_stays_until_a_new_one_takes_its_place() {
    let mut bench = Bench::new();
    let tiny = ContentFormat::SenmlCbor;
    let pair = Targets::Composite(vec![address("/3303/0/5700"), address("/3342/0/5500")]);
    assert!(bench.observe(0, single("/3303/0/5700")));
    assert!(bench.observe(1, single("/3342/0")));
    assert!(bench.observe(2, subscription(tiny, pair.clone())));
    assert_eq!(bench.observations.orphan_all(), [0, 1, 2].map(token));
    assert_eq!(bench.observations.len(), 0, "the server observes nothing");
    assert!(bench.observe(3, single("/3342/0/5500")));
    assert_eq!(bench.observations.len(), 1);
    assert_eq!(bench.observations.orphans(), [0, 1, 2].map(token));
    assert!(bench.observations.is_wanted((TEMPERATURE, None)));
    assert!(bench.observations.covering(TEMPERATURE, None).is_none());
    let within = |path: &str| {
        let targets = Targets::Single(address(path));
        bench.observations.orphans_in(&targets)
    };
    assert_eq!(within("/3303"), [token(0)]);
    assert_eq!(within("/3342/0/5500"), [], "the orphan is wider");
    assert_eq!(within("/3342"), [token(1)]);
    assert_eq!(within("/"), [0, 1, 2].map(token));
    assert_eq!(bench.observations.orphans_in(&pair), [0, 2].map(token));
    let elsewhere = Targets::Single(Address {
        scope: Scope::Device(DeviceId(1)),
        path: Path::Root,
    });
    assert_eq!(bench.observations.orphans_in(&elsewhere), []);
}

#[test]
fn a_stored_sample_is_told_by_the_nearest_observation_that_can_carry_its_time() {
    let mut bench = Bench::new();
    let by = |bench: &Bench| {
        let covering = bench.observations.covering(TEMPERATURE, None);
        covering.map(|(token, _)| token)
    };
    assert_eq!(by(&bench), None);
    let tlv = |path| subscription(ContentFormat::Tlv, Targets::Single(address(path)));
    assert!(bench.observe(0, tlv("/3303/0/5700")));
    assert_eq!(by(&bench), Some(token(0)), "better than none");
    assert!(bench.observe(1, single("/3303")));
    assert_eq!(by(&bench), Some(token(1)), "it carries times");
    assert!(bench.observe(2, single("/3303/0")));
    assert_eq!(by(&bench), Some(token(2)), "it is nearer");
    bench.observations.orphan(token(2));
    assert_eq!(by(&bench), Some(token(1)), "it is still known");
    let other = ResourceAddress::gateway(3303, 1, 5700);
    assert!(bench.observations.covering(other, None).is_some());
    assert!(bench.observations.covering(SWITCH, None).is_none());
}

#[test]
fn an_instance_of_a_resource_is_covered_by_those_that_name_it_or_more() {
    let mut bench = Bench::new();
    assert!(bench.observe(0, single("/3/0/11/1")));
    let resource = ResourceAddress::gateway(3, 0, 11);
    let index = |index| Some(ResourceInstanceId(index));
    assert!(bench.observations.is_wanted((resource, index(1))));
    assert!(!bench.observations.is_wanted((resource, index(2))));
    assert!(!bench.observations.is_wanted((resource, None)));
    let elsewhere = ResourceAddress {
        scope: Scope::Device(DeviceId(1)),
        ..resource
    };
    assert!(!bench.observations.is_wanted((elsewhere, index(1))));
    assert!(bench.observe(1, single("/3/0/11")));
    assert!(bench.observations.is_wanted((resource, index(2))));
}

/// RFC 7641, 4.5; the 93 s are MAX_TRANSMIT_WAIT (RFC 7252, 4.8.2).
#[test]
fn a_measurement_is_confirmed_once_a_day_early_enough_for_all_repetitions() {
    let mut bench = Bench::new();
    assert!(bench.observe(0, single("/3303/0/5700")));
    let early = Duration::from_secs(24 * 3600 - 93);
    bench.now += early - Duration::from_secs(1);
    assert_eq!(bench.reliability(0), Reliability::NonConfirmable);
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.reliability(0), Reliability::Confirmable);
    bench.act(|observations, rules| observations.delivered(token(0), true, rules));
    assert_eq!(bench.reliability(0), Reliability::NonConfirmable);
}

#[test]
fn a_state_is_confirmed_and_a_server_can_ask_for_the_one_or_the_other() {
    let mut bench = Bench::new();
    assert!(bench.observe(0, single("/3342/0/5500")));
    assert!(bench.observe(1, composite(0, 2)));
    assert!(bench.observe(2, single("/3342")));
    bench.sampled(SWITCH, Value::Boolean(true));
    bench.sampled(TEMPERATURE, Value::Float(21.0));
    assert_eq!(bench.due().len(), 2, "a whole object waits a second");
    assert_eq!(bench.reliability(0), Reliability::Confirmable);
    assert_eq!(bench.reliability(1), Reliability::NonConfirmable);
    assert_eq!(bench.reliability(2), Reliability::Confirmable);
    bench.attach("/3342/0/5500", &["con=0"]);
    assert_eq!(bench.reliability(0), Reliability::NonConfirmable);
    // Core 1.2, 7.3: confirmable if any part asks for it.
    bench.attach("/3303/1/5700", &["con=1"]);
    assert_eq!(bench.reliability(1), Reliability::Confirmable);
    bench.defaults.con = true;
    assert_eq!(bench.reliability(2), Reliability::Confirmable);
    assert_eq!(bench.reliability(0), Reliability::NonConfirmable);
}

#[test]
fn what_is_wide_is_told_once_a_second() {
    for (paths, at_once) in [(64, true), (65, false)] {
        let mut bench = Bench::new();
        assert!(bench.observe(0, composite(0, paths)));
        bench.sampled(TEMPERATURE, Value::Float(21.0));
        assert_eq!(!bench.due().is_empty(), at_once, "{paths}");
        if !at_once {
            bench.now += Duration::from_secs(1);
            assert_eq!(bench.due(), [token(0)]);
        }
    }
    for (path, at_once) in [("/3303", false), ("/3303/0", true)] {
        let mut bench = Bench::new();
        assert!(bench.observe(0, single(path)));
        bench.sampled(TEMPERATURE, Value::Float(21.0));
        assert_eq!(!bench.due().is_empty(), at_once, "{path}");
    }
}

#[test]
fn newer_values_wait_for_the_end_of_a_confirmable_notification() {
    let mut bench = Bench::new();
    assert!(bench.observe(0, single("/3342/0/5500")));
    let end = |bench: &mut Bench, arrived| {
        bench.act(|observations, rules| observations.delivered(token(0), arrived, rules));
    };
    bench.tell(0, Reliability::Confirmable, false);
    bench.sampled(SWITCH, Value::Boolean(true));
    assert_eq!(bench.due(), []);
    end(&mut bench, true);
    assert_eq!(bench.due(), [token(0)]);
    bench.tell(0, Reliability::Confirmable, false);
    end(&mut bench, false);
    assert_eq!(bench.due(), [token(0)], "what did not arrive");
    // Its samples are stored, and told again by the one who stored them.
    bench.tell(0, Reliability::Confirmable, true);
    end(&mut bench, false);
    assert_eq!(bench.due(), []);
    bench.sampled(SWITCH, Value::Boolean(false));
    assert_eq!(bench.due(), [token(0)], "newer ones need not wait");
    bench.tell(0, Reliability::NonConfirmable, false);
    bench.sampled(SWITCH, Value::Boolean(true));
    assert_eq!(bench.due(), [token(0)]);
}

#[test]
fn an_observation_of_an_earlier_run_is_settled_when_a_value_was_told_or_stored() {
    let mut bench = Bench::new();
    bench.act(|observations, rules| {
        observations.restore(token(0), single("/3303/0/5700"), rules);
    });
    let is_settled = |bench: &Bench| {
        let relation = bench.observations.get(token(0)).unwrap();
        relation.is_settled()
    };
    assert_eq!(bench.due(), [token(0)], "the current value is told");
    assert!(!is_settled(&bench));
    let store = |bench: &mut Bench, nodes: &[Node]| {
        bench.act(|observations, rules| {
            let sent = Sent {
                is_stored: true,
                nodes,
                reliability: Reliability::NonConfirmable,
                revision: 1,
            };
            observations.stored(token(0), sent, rules);
        });
    };
    store(&mut bench, &[]);
    assert!(!is_settled(&bench), "there was nothing to store");
    let all = Targets::Single(address("/3303/0/5700"));
    let found = bench.act(|_, rules| nodes(&all, rules));
    store(&mut bench, &found);
    assert!(is_settled(&bench));
    store(&mut bench, &[]);
    assert!(is_settled(&bench));
}

/// Core 1.2, 7.3.1 (hqmax): of the nearest that says something.
#[test]
fn how_many_samples_are_kept_is_said_by_the_path_that_is_observed() {
    let mut bench = Bench::new();
    assert!(bench.observe(0, composite(0, 2)));
    bench.attach("/3303/1/5700", &["hqmax=7"]);
    let kept = |bench: &mut Bench, address: ResourceAddress| {
        bench.act(|observations, rules| {
            let relation = observations.get(token(0)).unwrap();
            relation.most_kept((address, None), rules)
        })
    };
    assert_eq!(kept(&mut bench, TEMPERATURE), None);
    let second = ResourceAddress::gateway(3303, 1, 5700);
    assert_eq!(kept(&mut bench, second), Some(7));
    assert_eq!(kept(&mut bench, SWITCH), None, "not observed");
    let elsewhere = ResourceAddress {
        scope: Scope::Device(DeviceId(1)),
        ..second
    };
    assert_eq!(kept(&mut bench, elsewhere), None);
}

#[test]
fn what_comes_or_goes_is_told_to_those_whose_answer_is_another_by_it() {
    let mut bench = Bench::new();
    for (number, path) in ["/3303", "/3303/0", "/3303/0/5700", "/3303/1/5700", "/3342"]
        .into_iter()
        .enumerate()
    {
        assert!(bench.observe(number, single(path)));
    }
    let changed = |bench: &mut Bench, path: &str| {
        bench.act(|observations, rules| observations.structure_changed(address(path), rules));
        bench.now += Duration::from_secs(1);
        let mut due = bench.due();
        due.sort_unstable();
        for token in &due {
            bench.act(|observations, rules| observations.skipped(*token, rules));
        }
        due
    };
    // Another resource of the instance: it is itself unharmed.
    assert_eq!(changed(&mut bench, "/3303/0/5601"), [0, 1].map(token));
    // The instance was replaced, and the resource is there again.
    assert_eq!(changed(&mut bench, "/3303/0"), [0, 1].map(token));
    // What is observed and not there may have gone just now.
    assert_eq!(changed(&mut bench, "/3303/1"), [0, 3].map(token));
}

/// 1/x/2 and 1/x/3 stand where nothing is attached (lwm2m/30, 3).
#[test]
fn defaults_of_the_account_count_at_once() {
    let mut bench = Bench::new();
    assert!(bench.observe(0, single("/3303/0/5700")));
    assert_eq!(bench.observations.timeout(), None);
    bench.defaults.pmax = 10;
    bench.act(Observations::defaults_changed);
    let due = bench.now + Duration::from_secs(10);
    assert_eq!(bench.observations.timeout(), Some(due));
    bench.defaults.pmin = 5;
    bench.act(Observations::defaults_changed);
    bench.sampled(TEMPERATURE, Value::Float(21.0));
    let due = bench.now + Duration::from_secs(5);
    assert_eq!(bench.observations.timeout(), Some(due));
    bench.defaults = Defaults::default();
    bench.act(Observations::defaults_changed);
    assert_eq!(bench.due(), [token(0)]);
}
