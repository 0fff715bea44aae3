//! Use case b4: a provider keeps a thousand boxes of two priorities, and suspends the less important
//! ones when it has to: some for five minutes, some for two hours.
#![expect(clippy::print_stdout, reason = "the figures are for people")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{Command, LocalAnswer, LocalOperation, LocalRequest, RequestId},
    format::{Content, ContentFormat},
    server::ServerState,
};
use lamplighter_model::{Path, Value};
use lamplighter_sim::server::{Operation, ServerOptions, WriteMode};
use lamplighter_sim_tests::{
    cabinet::Settings,
    chance::Chance,
    devices::TEMPERATURE,
    host::WINDOW,
    network::Weather,
    world::{BoxId, ServerId, World},
};

const BOXES: usize = 1_000;
const MAIN: ServerId = ServerId(0);
const MINUTE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(5 * 60);
const LONG: Duration = Duration::from_secs(2 * 3600);

/// A provider with its boxes, each of which measures something once a minute.
struct Town {
    world: World,
    /// The second of the minute in which each box measures.
    seconds: BTreeMap<u64, Vec<BoxId>>,
    /// Numbers that the server was told, by box.
    told: BTreeMap<BoxId, BTreeSet<u32>>,
    /// The first that each box had to tell.
    first: BTreeMap<BoxId, u32>,
}

impl Town {
    fn new() -> Self {
        let mut world = World::new(4);
        world.add_server(ServerOptions::default());
        world.host_mut(MAIN).watched = vec![Path::Resource(TEMPERATURE.path)];
        let mut chance = Chance::new(4);
        let mut seconds: BTreeMap<u64, Vec<BoxId>> = BTreeMap::new();
        // They were not all switched on at once.
        for _ in 0..BOXES {
            let id = world.add_box(Settings::default(), Weather::FAIR);
            seconds.entry(chance.below(60)).or_default().push(id);
            world.wait(Duration::from_millis(chance.below(600)));
        }
        Self {
            world,
            seconds,
            told: BTreeMap::new(),
            first: BTreeMap::new(),
        }
    }

    /// A minute in which every box measures once.
    fn minute(&mut self) {
        for second in 0..60 {
            for of in self.seconds.get(&second).cloned().unwrap_or_default() {
                self.world.sample(of, TEMPERATURE);
            }
            self.world.wait(Duration::from_secs(1));
        }
        for told in std::mem::take(&mut self.world.host_mut(MAIN).told) {
            let numbers = told.nodes.iter().filter_map(|node| match &node.content {
                Content::Single(value) => value.as_f64(),
                Content::Multiple(_) => None,
            });
            let known = self.told.entry(told.by).or_default();
            known.extend(numbers.map(|number| number as u32));
        }
        assert_eq!(self.world.verdict(), None);
    }

    fn minutes(&mut self, count: u64) {
        (0..count).for_each(|_| self.minute());
    }

    /// Suspends boxes, fifty each second.
    fn suspend(&mut self, boxes: impl Iterator<Item = BoxId>, time: Duration) {
        for of in boxes {
            let timeout = "/1/0/5".parse().unwrap();
            let seconds = Value::Integer(i64::try_from(time.as_secs()).unwrap());
            let format = ContentFormat::SenmlCbor;
            let write = Operation::write_value(timeout, seconds, format, WriteMode::Replace);
            assert!(self.world.request(MAIN, of, &write.unwrap()).is_ok());
            let asked = self.world.now;
            let disable = Operation::Execute("/1/0/4".parse().unwrap(), String::new());
            assert!(self.world.request(MAIN, of, &disable).is_ok());
            self.world.silence(of, MAIN, asked + time);
            self.world.wait(Duration::from_millis(20));
        }
    }

    fn is_everybody_back(&self) -> bool {
        self.world.boxes().all(|of| {
            self.world.is_registered(MAIN, of)
                && self.world.cabinet(of).state(MAIN) == Some(ServerState::Registered)
        })
    }

    /// Datagrams to the server in each window from one time to another.
    fn load(&self, from: Duration, to: Duration) -> Vec<u32> {
        let window = |at: Duration| (at.as_secs() / WINDOW.as_secs()) as usize;
        let load = &self.world.host(MAIN).load;
        load[window(from) + 1..window(to).min(load.len())].to_vec()
    }
}

fn mean(load: &[u32]) -> f64 {
    load.iter().sum::<u32>() as f64 / load.len().max(1) as f64
}

fn low(remainder: usize) -> impl Iterator<Item = BoxId> {
    // Every other box is of low priority.
    (0..BOXES).filter(move |n| n % 4 == remainder).map(BoxId)
}

/// What people at the box read while no server may be told.
fn works_locally(town: &mut Town, of: BoxId) {
    let request = LocalRequest {
        user: "anna".to_owned(),
        operation: LocalOperation::Read(Path::Resource(TEMPERATURE.path)),
    };
    town.world
        .command(of, Command::Local(RequestId(1), request));
    town.world.wait(Duration::from_millis(10));
    let cabinet = town.world.cabinet(of);
    let Some((_, Ok(LocalAnswer::Samples(samples)))) = cabinet.answers.back() else {
        panic!("{:?}", cabinet.answers)
    };
    let last = f64::from(cabinet.devices.last);
    assert_eq!(samples[0].value.as_f64(), Some(last));
}

#[test]
fn suspended_boxes_are_silent_store_and_return_without_a_rush() {
    let mut town = Town::new();
    town.minutes(6);
    assert!(town.is_everybody_back());
    for of in town.world.boxes() {
        let last = town.world.cabinet(of).devices.last;
        town.first.insert(of, last);
    }

    let begin = town.world.now;
    town.minutes(10);
    let steady = mean(&town.load(begin, town.world.now));

    town.suspend(low(1), SHORT);
    town.suspend(low(3), LONG);
    town.minute();
    let begin = town.world.now;
    town.minutes(3);
    let suspended = mean(&town.load(begin, town.world.now));
    assert!(suspended < steady * 0.6, "{suspended} of {steady}");
    for of in low(1).chain(low(3)) {
        let state = town.world.cabinet(of).state(MAIN);
        assert_eq!(state, Some(ServerState::Disabled), "{of:?}");
    }
    works_locally(&mut town, BoxId(3));
    let waiting = town.world.cabinet(BoxId(3)).store.size().1;
    assert!(waiting >= 3, "{waiting} samples are kept");

    town.minutes(6);
    assert!(low(1).all(|of| town.world.is_registered(MAIN, of)));
    assert!(!low(3).any(|of| town.world.is_registered(MAIN, of)));
    // Two hours, and a quarter of that at most.
    town.minutes(145);
    assert!(town.is_everybody_back());
    let busiest = town.load(begin, town.world.now).into_iter().max().unwrap();
    assert!(f64::from(busiest) <= 2.0 * steady, "{busiest} of {steady}");
    // What was measured last is on its way.
    town.world.wait(MINUTE);
    town.minute();

    let mut samples = 0;
    for of in town.world.boxes() {
        let last = town.world.cabinet(of).devices.last;
        let demanded = town.first[&of]..last;
        samples += demanded.len();
        let told = &town.told[&of];
        let missing: Vec<u32> = demanded.filter(|number| !told.contains(number)).collect();
        assert!(missing.is_empty(), "{of:?} never told {missing:?}");
    }
    println!(
        "{BOXES} boxes: {steady:.0} datagrams in 10 s before, {suspended:.0} while half of them are \
         suspended, {busiest} in the busiest window after; {samples} samples measured, all arrived"
    );
}
