//! The engine against a simple reference of the trigger algorithm (lwm2m/30, 4): random values,
//! times and attributes; both must tell the same values at the same moments.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lamplighter_coap::{Reliability, Token};
use lamplighter_model::{
    Address, BootId, DataType, Now, ObjectId, Path, ResourceAddress, ResourceId, Sample, Ssid,
    Value,
    device::{Declaration, Declared},
    object::{Definitions, Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    catalogue::Catalogue,
    config::{Creation, DeviceDescription},
    format::ContentFormat,
    object::{CoreObjects, Device},
    tree::Tree,
};

/// Half a second.
type Tick = u32;

const TEMPERATURES: ObjectId = ObjectId(3303);
const NUMBERS: [ResourceAddress; 2] = [
    ResourceAddress::gateway(3303, 0, 5700),
    ResourceAddress::gateway(3303, 1, 5700),
];
const SWITCH: ResourceAddress = ResourceAddress::gateway(3342, 0, 5500);

/// What happens in one moment.
#[derive(Clone, Debug)]
enum Step {
    Attach(Address, Attributes),
    Number(usize, i32),
    Pass(Tick),
    Switch(bool),
}

/// What the server was told, and when.
type Told = Vec<(Duration, Vec<(ResourceAddress, Value)>)>;

fn addresses() -> [Address; 4] {
    let object = Address::gateway(Path::Object(TEMPERATURES));
    [NUMBERS[0].into(), NUMBERS[1].into(), SWITCH.into(), object]
}

fn targets() -> impl Strategy<Value = Targets> {
    let single = select(addresses().to_vec()).prop_map(Targets::Single);
    let composite = proptest::sample::subsequence(addresses().to_vec(), 1..=4);
    prop_oneof![single, composite.prop_map(Targets::Composite)]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let seconds = || option::weighted(0.3, select(vec![0_u32, 1, 2, 3, 7]));
    let number = || option::weighted(0.3, (0..12_i32).prop_map(f64::from));
    let times = (seconds(), seconds(), seconds(), seconds());
    let values = (
        number(),
        number(),
        number(),
        option::weighted(0.5, any::<bool>()),
    );
    (times, values).prop_map(
        |((pmin, pmax, epmin, epmax), (gt, lt, st, edge))| Attributes {
            edge,
            epmax,
            epmin,
            gt,
            lt,
            pmax,
            pmin,
            st: st.map(|st| st / 4.0),
            ..Attributes::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let attach = (select(addresses().to_vec()), attributes());
    prop_oneof![
        1 => attach.prop_map(|(address, attributes)| Step::Attach(address, attributes)),
        6 => (0..2_usize, 0..12_i32).prop_map(|(which, value)| Step::Number(which, value)),
        6 => (1..6_u32).prop_map(Step::Pass),
        3 => any::<bool>().prop_map(Step::Switch),
    ]
}

/// The engine, with nothing between it and the server.
struct Engine {
    attributes: AttributeStore,
    core: CoreObjects,
    creation: Creation,
    defaults: Defaults,
    now: Duration,
    observations: Observations,
    told: Told,
    tree: Tree,
}

impl Engine {
    fn new(targets: &Targets, defaults: Defaults) -> Self {
        let mut tree = Tree::new(definitions());
        let declaration = |address| Declaration {
            address,
            operations: Operations::R,
        };
        let all = NUMBERS.into_iter().chain([SWITCH]);
        let added = all.map(declaration).collect();
        let removed = Vec::new();
        assert!(tree.declare(&Declared { added, removed }).is_empty());
        let mut engine = Self {
            attributes: AttributeStore::new(4096),
            core: CoreObjects::new(Device::new(DeviceDescription::default()), None),
            creation: Creation::default(),
            defaults,
            now: Duration::ZERO,
            observations: Observations::default(),
            told: Told::new(),
            tree,
        };
        for address in NUMBERS {
            engine.record(address, Value::Float(0.0));
        }
        engine.record(SWITCH, Value::Boolean(false));
        let subscription = Subscription {
            attributes: None,
            format: ContentFormat::SenmlCbor,
            number: ContentFormat::SenmlCbor.number(),
            targets: targets.clone(),
        };
        let nodes = engine.nodes(targets);
        engine.act(|observations, rules| {
            let sent = sent(&nodes, rules);
            assert!(observations.begin(Token::default(), subscription, sent, rules));
        });
        engine
    }

    fn act(&mut self, act: impl FnOnce(&mut Observations, Rules<'_>)) {
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
        act(&mut self.observations, rules);
    }

    fn record(&mut self, address: ResourceAddress, value: Value) {
        let at = Now {
            boot: BootId(1),
            mono: self.now,
            unix: None,
        };
        let sample = Sample::good(address, value, at.stamp());
        assert_eq!(self.tree.record(&[sample]), 0);
    }

    fn nodes(&self, targets: &Targets) -> Vec<crate::format::Node> {
        let now = Now {
            boot: BootId(1),
            mono: self.now,
            unix: None,
        };
        let catalogue = Catalogue {
            core: &self.core,
            creation: &self.creation,
            now,
            tree: &self.tree,
        };
        let addresses = targets.addresses().iter();
        addresses
            .flat_map(|address| catalogue.latest(*address))
            .collect()
    }

    fn sampled(&mut self, address: ResourceAddress, value: Value) {
        self.record(address, value);
        self.act(|observations, rules| observations.changed(address, None, rules));
    }

    fn tell(&mut self, targets: &Targets) {
        loop {
            self.act(Observations::handle_timeout);
            let Some(token) = self.observations.next() else {
                return;
            };
            let nodes = self.nodes(targets);
            self.told.push((self.now, values(&nodes)));
            self.act(|observations, rules| {
                let sent = sent(&nodes, rules);
                observations.sent(token, sent, rules);
            });
        }
    }

    fn run(mut self, targets: &Targets, steps: &[Step]) -> Told {
        for step in steps {
            match step {
                Step::Attach(address, attributes) => {
                    self.attributes.remove_below(*address);
                    self.attributes.restore(*address, *attributes);
                    let address = *address;
                    self.act(|observations, rules| {
                        observations.attributes_changed(address, rules);
                    });
                }
                Step::Number(which, value) => {
                    self.sampled(NUMBERS[*which], Value::Float((*value).into()));
                }
                Step::Pass(ticks) => {
                    let end = self.now + HALF * *ticks;
                    while let Some(due) = self.observations.timeout().filter(|due| *due <= end) {
                        self.now = due;
                        self.tell(targets);
                    }
                    self.now = end;
                }
                Step::Switch(on) => self.sampled(SWITCH, Value::Boolean(*on)),
            }
            self.tell(targets);
        }
        self.told
    }
}

const HALF: Duration = Duration::from_millis(500);

fn sent<'a>(nodes: &'a [crate::format::Node], rules: Rules<'_>) -> Sent<'a> {
    Sent {
        is_stored: false,
        nodes,
        reliability: Reliability::NonConfirmable,
        revision: rules.catalogue.tree.revision(),
    }
}

fn values(nodes: &[crate::format::Node]) -> Vec<(ResourceAddress, Value)> {
    let mut values = Vec::new();
    for node in nodes {
        if let crate::format::Content::Single(value) = &node.content {
            let address = ResourceAddress {
                scope: lamplighter_model::Scope::Gateway,
                path: node.path,
            };
            values.push((address, value.clone()));
        }
    }
    values
}

/// The algorithm as the digest writes it down, tick by tick.
struct Reference {
    attached: BTreeMap<Address, Attributes>,
    defaults: Defaults,
    last_sent: Tick,
    members: Vec<ReferenceMember>,
    now: Tick,
    told: Told,
    values: BTreeMap<ResourceAddress, f64>,
}

struct ReferenceMember {
    evaluated: Tick,
    level: f64,
    pending: bool,
    target: Address,
    told: BTreeMap<ResourceAddress, f64>,
    touched: bool,
}

impl Reference {
    fn new(targets: &Targets, defaults: Defaults) -> Self {
        let all = NUMBERS.into_iter().chain([SWITCH]);
        let values: BTreeMap<_, _> = all.map(|address| (address, 0.0)).collect();
        let member = |target: &Address| ReferenceMember {
            evaluated: 0,
            level: 0.0,
            pending: false,
            target: *target,
            told: values.clone(),
            touched: false,
        };
        Self {
            attached: BTreeMap::new(),
            defaults,
            last_sent: 0,
            members: targets.addresses().iter().map(member).collect(),
            now: 0,
            told: Told::new(),
            values,
        }
    }

    /// Attributes of a member: its own, those of the object, the defaults.
    fn attributes(&self, target: Address) -> Attributes {
        let at = |address| self.attached.get(&address).copied().unwrap_or_default();
        let own = at(target);
        let object = target.path.object().expect("an object");
        let above = at(Address {
            path: Path::Object(object),
            ..target
        });
        let mut all = Attributes {
            con: None,
            edge: own.edge.or(above.edge),
            epmax: own.epmax.or(above.epmax),
            epmin: own.epmin.or(above.epmin),
            gt: own.gt.or(above.gt),
            hqmax: None,
            lt: own.lt.or(above.lt),
            pmax: own.pmax.or(above.pmax).or(Some(self.defaults.pmax)),
            pmin: own.pmin.or(above.pmin).or(Some(self.defaults.pmin)),
            st: own.st.or(above.st),
        };
        if all.epmin.is_some() && all.epmax.is_some() && all.epmin >= all.epmax {
            (all.epmin, all.epmax) = (None, None);
        }
        if let (Some(gt), Some(lt)) = (all.gt, all.lt)
            && lt + 2.0 * all.st.unwrap_or(0.0) >= gt
        {
            (all.gt, all.lt, all.st) = (None, None, None);
        }
        if matches!(target.path, Path::Object(_)) {
            // A whole object is told at most once a second.
            all.pmin = all.pmin.max(Some(1));
        }
        all
    }

    fn sampled(&mut self, address: ResourceAddress, value: f64) {
        let differs = self.values.insert(address, value) != Some(value);
        for member in &mut self.members {
            if member.target.path.contains(address.path.into()) {
                let wide = matches!(member.target.path, Path::Object(_));
                member.touched |= differs || !wide;
            }
        }
    }

    /// Evaluates and sends what is due at this tick.
    fn settle(&mut self) {
        for index in 0..self.members.len() {
            self.evaluate(index);
        }
        let passed = self.now - self.last_sent;
        let due = self.members.iter().any(|member| {
            let attributes = self.attributes(member.target);
            let pmin = 2 * attributes.pmin.unwrap_or(0);
            let pmax = 2 * attributes.pmax.unwrap_or(0);
            (pmax > 0 && pmax >= pmin && passed >= pmax) || (member.pending && passed >= pmin)
        });
        if due {
            self.send();
        }
    }

    fn evaluate(&mut self, index: usize) {
        let attributes = self.attributes(self.members[index].target);
        let member = &mut self.members[index];
        let passed = self.now - member.evaluated;
        let wide = matches!(member.target.path, Path::Object(_));
        let by_epmax = !wide
            && attributes
                .epmax
                .is_some_and(|epmax| epmax > 0 && passed >= 2 * epmax);
        let by_change = member.touched && passed >= 2 * attributes.epmin.unwrap_or(0);
        if !by_epmax && !by_change {
            return;
        }
        member.evaluated = self.now;
        let touched = std::mem::take(&mut member.touched);
        let Path::Resource(path) = member.target.path else {
            member.pending |= touched;
            return;
        };
        let address = ResourceAddress {
            scope: member.target.scope,
            path,
        };
        let (last, new) = (member.told[&address], self.values[&address]);
        let before = std::mem::replace(&mut member.level, new);
        let conditions = [attributes.gt, attributes.lt, attributes.st];
        let crossed = |limit: f64| (last <= limit && new > limit) || (last >= limit && new < limit);
        member.pending |= if conditions.iter().any(Option::is_some) {
            attributes.gt.is_some_and(crossed)
                || attributes.lt.is_some_and(crossed)
                || attributes.st.is_some_and(|st| (new - last).abs() >= st)
        } else if let (Some(edge), true) = (attributes.edge, address == SWITCH) {
            before != new && (new == 1.0) == edge
        } else {
            last != new
        };
    }

    fn send(&mut self) {
        let value = |address: ResourceAddress| match address {
            SWITCH => Value::Boolean(self.values[&address] == 1.0),
            _ => Value::Float(self.values[&address]),
        };
        let mut told = Vec::new();
        for member in &self.members {
            let below = self.values.keys().copied();
            let below = below.filter(|address| member.target.path.contains(address.path.into()));
            told.extend(below.map(|address| (address, value(address))));
        }
        self.told.push((HALF * self.now, told));
        self.last_sent = self.now;
        for member in &mut self.members {
            member.told.clone_from(&self.values);
            member.evaluated = self.now;
            member.pending = false;
            member.touched = false;
            if let Path::Resource(path) = member.target.path {
                let scope = member.target.scope;
                member.level = self.values[&ResourceAddress { scope, path }];
            }
        }
    }

    fn run(mut self, steps: &[Step]) -> Told {
        for step in steps {
            match step {
                Step::Attach(address, attributes) => {
                    if let Path::Object(object) = address.path {
                        self.attached
                            .retain(|below, _| below.path.object() != Some(object));
                    }
                    self.attached.insert(*address, *attributes);
                }
                Step::Number(which, value) => self.sampled(NUMBERS[*which], (*value).into()),
                Step::Pass(ticks) => {
                    for _ in 0..*ticks {
                        self.now += 1;
                        self.settle();
                    }
                }
                Step::Switch(on) => self.sampled(SWITCH, f64::from(u8::from(*on))),
            }
            self.settle();
        }
        self.told
    }
}

fn definitions() -> Arc<Definitions> {
    let mut definitions = Definitions::default();
    for (object, resource, data_type) in [
        (TEMPERATURES, 5700, DataType::Float),
        (ObjectId(3342), 5500, DataType::Boolean),
    ] {
        let resource = ResourceDef {
            id: ResourceId(resource),
            name: "value".to_owned(),
            operations: Operations::R,
            multiplicity: Multiplicity::Single,
            mandatory: true,
            data_type,
            range: None,
            unit: String::new(),
        };
        definitions.insert(ObjectDef {
            id: object,
            name: "object".to_owned(),
            version: Version::V1_0,
            multiplicity: Multiplicity::Multiple,
            mandatory: false,
            resources: [(resource.id, resource)].into(),
        });
    }
    Arc::new(definitions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_engine_tells_what_the_reference_tells(
        targets in targets(),
        defaults in (select(vec![0_u32, 0, 2]), select(vec![0_u32, 0, 6])),
        steps in vec(step(), 1..60),
    ) {
        let defaults = Defaults { con: false, pmin: defaults.0, pmax: defaults.1 };
        let told = Engine::new(&targets, defaults).run(&targets, &steps);
        prop_assert_eq!(told, Reference::new(&targets, defaults).run(&steps));
    }
}
