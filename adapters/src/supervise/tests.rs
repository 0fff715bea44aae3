use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use lamplighter_model::{
    BootId, InstanceAddress, Quality, ResourceId, Sample, Stamp, Value,
    device::{Action, Answer, Assignment, Declaration, LinkState, OpId},
    object::Operations,
};
use tokio::{task::JoinHandle, time::sleep};

use super::*;

const TEMPERATURE: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const UNITS: ResourceAddress = ResourceAddress::gateway(3303, 0, 5701);
const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
const READ_WRITE: Operations = Operations {
    read: true,
    write: true,
    execute: false,
};

type Behaviour = Arc<Mutex<(Duration, Result<f64, Fault>)>>;

/// A device whose next answers a test chooses.
struct Fake {
    behaviour: Behaviour,
    calls: Arc<Mutex<Vec<&'static str>>>,
    reads: Arc<AtomicUsize>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    clock: Clock,
    flood: bool,
    panics: bool,
}

struct Rig {
    behaviour: Behaviour,
    calls: Arc<Mutex<Vec<&'static str>>>,
    reads: Arc<AtomicUsize>,
    wakes: mpsc::UnboundedSender<Wake>,
    handle: AdapterHandle,
    task: JoinHandle<Ended>,
    clock: Clock,
}

impl Adapter for Fake {
    fn declared(&self) -> Vec<Declaration> {
        [TEMPERATURE, UNITS, SETPOINT]
            .map(|address| Declaration {
                address,
                operations: READ_WRITE,
            })
            .into()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.calls.lock().unwrap().push("read");
        let (delay, result) = self.behaviour.lock().unwrap().clone();
        pause(delay).await;
        let value = result?;
        let sample = |resource: &ResourceId| {
            let address = ResourceAddress {
                scope: instance.scope,
                path: instance.path.resource(resource.0),
            };
            Sample::good(address, Value::Float(value), self.clock.stamp())
        };
        Ok(resources.iter().map(sample).collect())
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        assert!(!self.panics, "the fake broke");
        self.calls.lock().unwrap().push("write");
        let (delay, result) = self.behaviour.lock().unwrap().clone();
        pause(delay).await;
        result.map(|_| ())
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        if self.flood {
            return Ok(Wake::News(vec![Sample::good(
                TEMPERATURE,
                Value::Float(1.0),
                self.clock.stamp(),
            )]));
        }
        match self.wakes.recv().await {
            Some(wake) => Ok(wake),
            None => std::future::pending().await,
        }
    }
}

async fn pause(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

fn rig(limits: Limits, change: impl FnOnce(&mut Fake)) -> Rig {
    let start = Instant::now();
    let clock = Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    });
    let behaviour = Arc::new(Mutex::new((Duration::from_millis(10), Ok(21.5))));
    let (wakes, receiver) = mpsc::unbounded_channel();
    let mut fake = Fake {
        behaviour: behaviour.clone(),
        calls: Arc::default(),
        reads: Arc::default(),
        wakes: receiver,
        clock: clock.clone(),
        flood: false,
        panics: false,
    };
    change(&mut fake);
    let (calls, reads) = (fake.calls.clone(), fake.reads.clone());
    let (handle, port) = Port::with_capacity(4, 8);
    let task = tokio::spawn(supervise(fake, port, clock.clone(), limits));
    Rig {
        behaviour,
        calls,
        reads,
        wakes,
        handle,
        task,
        clock,
    }
}

impl Rig {
    fn read(&self, op: u64, address: ResourceAddress) {
        self.handle
            .try_send(AdapterRequest {
                op: OpId(op),
                action: Action::Read(vec![address]),
            })
            .unwrap();
    }

    fn write(&self, op: u64, value: f64) {
        let values = vec![Assignment {
            address: SETPOINT,
            index: None,
            value: Value::Float(value),
        }];
        let action = Action::Write { values, hold: None };
        self.handle
            .try_send(AdapterRequest {
                op: OpId(op),
                action,
            })
            .unwrap();
    }

    fn behave(&self, delay_ms: u64, result: Result<f64, Fault>) {
        *self.behaviour.lock().unwrap() = (Duration::from_millis(delay_ms), result);
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    async fn done(&mut self, op: u64) -> Result<Answer, Fault> {
        loop {
            let event = self.handle.events.recv().await.unwrap();
            if let AdapterEvent::Done(OpId(done), result) = event {
                assert_eq!(done, op, "answers come once and in order");
                return result;
            }
        }
    }

    async fn link(&mut self) -> (LinkState, String) {
        loop {
            if let AdapterEvent::Link(state, words) = self.handle.events.recv().await.unwrap() {
                return (state, words);
            }
        }
    }

    async fn changed(&mut self) -> Vec<Sample> {
        loop {
            if let AdapterEvent::Changed(samples) = self.handle.events.recv().await.unwrap() {
                return samples;
            }
        }
    }

    /// Everything told within a time.
    async fn told(&mut self, within: Duration) -> Vec<AdapterEvent> {
        let end = Instant::now() + within;
        let mut events = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout_at(end, self.handle.events.recv()).await {
            events.push(event);
        }
        events
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_answered_by_the_device_then_from_the_young_sample() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.read(1, TEMPERATURE);
    assert_eq!(
        rig.done(1).await.unwrap().samples[0].value,
        Value::Float(21.5)
    );
    sleep(Duration::from_secs(9)).await;
    rig.read(2, TEMPERATURE);
    rig.done(2).await.unwrap();
    assert_eq!(rig.reads(), 1, "9 s is younger than 10 s");
    sleep(Duration::from_secs(2)).await;
    rig.read(3, TEMPERATURE);
    rig.done(3).await.unwrap();
    assert_eq!(rig.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_reads_of_an_instance_share_one_read_of_the_device() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.behave(500, Ok(1.0));
    rig.read(1, TEMPERATURE);
    sleep(Duration::from_millis(100)).await;
    rig.read(2, TEMPERATURE);
    rig.read(3, TEMPERATURE);
    for op in 1..=3 {
        assert_eq!(rig.done(op).await.unwrap().samples.len(), 1);
    }
    assert_eq!(rig.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_of_two_resources_that_wait_together_make_one_read() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.behave(500, Ok(1.0));
    rig.read(1, SETPOINT);
    sleep(Duration::from_millis(100)).await;
    rig.read(2, TEMPERATURE);
    rig.read(3, UNITS);
    for op in 1..=3 {
        rig.done(op).await.unwrap();
    }
    assert_eq!(rig.reads(), 2, "one per instance");
}

#[tokio::test(start_paused = true)]
async fn a_mute_device_is_answered_for_within_the_deadline() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.behave(3_600_000, Ok(1.0));
    let start = Instant::now();
    rig.read(1, TEMPERATURE);
    assert_eq!(rig.done(1).await, Err(Fault::Timeout));
    assert!(start.elapsed() < Duration::from_secs(4));
    rig.behave(3_600_000, Ok(1.0));
    rig.write(2, 20.0);
    assert_eq!(
        rig.done(2).await,
        Err(Fault::Timeout),
        "deadline in the middle of a write"
    );
    rig.behave(1, Ok(2.0));
    rig.read(3, TEMPERATURE);
    assert_eq!(
        rig.done(3).await.unwrap().samples[0].value,
        Value::Float(2.0),
        "and it recovers"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_goes_on_after_its_request_was_answered() {
    let limits = Limits {
        operation: Duration::from_secs(120),
        ..Limits::default()
    };
    let mut rig = rig(limits, |_| ());
    rig.behave(60_000, Ok(7.0));
    rig.read(1, TEMPERATURE);
    assert_eq!(rig.done(1).await, Err(Fault::Timeout));
    assert_eq!(rig.changed().await[0].value, Value::Float(7.0));
    rig.read(2, TEMPERATURE);
    rig.done(2).await.unwrap();
    assert_eq!(rig.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn writes_go_before_reads_and_a_late_write_is_never_executed() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.behave(3_000, Ok(1.0));
    rig.read(1, TEMPERATURE);
    sleep(Duration::from_millis(1)).await;
    rig.read(2, SETPOINT);
    rig.write(3, 20.0);
    rig.write(4, 21.0);
    rig.done(1).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let calls = rig.calls.lock().unwrap().clone();
    assert_eq!(calls[..2], ["read", "write"]);
    assert_eq!(
        calls.iter().filter(|call| **call == "write").count(),
        1,
        "the second had no time left"
    );
    let mut ops = Vec::new();
    for event in rig.told(Duration::from_secs(1)).await {
        if let AdapterEvent::Done(OpId(op), result) = event {
            assert_eq!(result.unwrap_err(), Fault::Timeout);
            ops.push(op);
        }
    }
    ops.sort_unstable();
    assert_eq!(ops, [2, 3, 4], "each exactly once");
}

#[tokio::test(start_paused = true)]
async fn a_written_resource_is_read_again() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.read(1, SETPOINT);
    rig.done(1).await.unwrap();
    rig.behave(10, Ok(20.0));
    rig.write(2, 20.0);
    rig.done(2).await.unwrap();
    assert_eq!(rig.changed().await[0].value, Value::Float(20.0));
    rig.read(3, SETPOINT);
    assert_eq!(
        rig.done(3).await.unwrap().samples[0].value,
        Value::Float(20.0)
    );
    assert_eq!(rig.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn news_of_what_was_written_saves_the_read() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.wakes
        .send(Wake::News(vec![Sample::good(
            SETPOINT,
            Value::Float(20.0),
            rig.clock.stamp(),
        )]))
        .unwrap();
    rig.write(1, 20.0);
    rig.done(1).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.reads(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_said_to_be_gone_is_offline_with_these_words_until_it_is_there_again() {
    let mut rig = rig(Limits::default(), |_| ());
    assert_eq!(rig.link().await.0, LinkState::Starting);
    rig.wakes.send(Wake::Alive).unwrap();
    assert_eq!(rig.link().await.0, LinkState::Online);
    let words = "its program has gone".to_owned();
    rig.wakes.send(Wake::Lost(words.clone())).unwrap();
    assert_eq!(rig.link().await, (LinkState::Offline, words));
    *rig.behaviour.lock().unwrap() = (Duration::ZERO, Err(Fault::Unreachable));
    rig.read(1, TEMPERATURE);
    assert_eq!(rig.done(1).await, Err(Fault::Unreachable));
    rig.wakes.send(Wake::Alive).unwrap();
    assert_eq!(rig.link().await.0, LinkState::Online);
}

#[tokio::test(start_paused = true)]
async fn what_an_adapter_has_kept_says_nothing_of_the_link_and_is_as_old_as_it_was() {
    let limits = Limits {
        stale_after: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let mut rig = rig(limits, |_| ());
    let taken = rig.clock.stamp();
    let sample = Sample::good(TEMPERATURE, Value::Float(20.0), taken);
    let kept = Sample {
        quality: Quality::Stale,
        ..sample.clone()
    };
    rig.wakes.send(Wake::News(vec![kept])).unwrap();
    assert_eq!(rig.link().await.0, LinkState::Starting);
    assert_eq!(rig.changed().await[0].quality, Quality::Stale);
    sleep(Duration::from_secs(8)).await;
    rig.wakes.send(Wake::News(vec![sample])).unwrap();
    assert_eq!(rig.link().await.0, LinkState::Online);
    assert_eq!(rig.changed().await[0].quality, Quality::Good);
    let before = Instant::now();
    assert_eq!(rig.changed().await[0].quality, Quality::Stale);
    assert_eq!(before.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn the_link_goes_offline_and_values_are_stale_once() {
    let mut rig = rig(Limits::default(), |_| ());
    assert_eq!(rig.link().await.0, LinkState::Starting);
    rig.read(1, TEMPERATURE);
    assert_eq!(rig.link().await.0, LinkState::Online);
    rig.done(1).await.unwrap();
    rig.behave(0, Err(Fault::Unreachable));
    let due = || Wake::Due(TEMPERATURE.instance(), vec![TEMPERATURE.path.resource]);
    for _ in 0..4 {
        rig.wakes.send(due()).unwrap();
    }
    let told = rig.told(Duration::from_secs(20)).await;
    let words = Fault::Unreachable.to_string();
    let stale: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            AdapterEvent::Changed(samples) => Some(samples[0].quality),
            AdapterEvent::Link(..)
            | AdapterEvent::Declared(_)
            | AdapterEvent::Done(..)
            | AdapterEvent::Note(_) => None,
        })
        .collect();
    assert_eq!(stale, [Quality::Stale]);
    let links: Vec<_> = told
        .iter()
        .filter(|event| matches!(event, AdapterEvent::Link(..)))
        .cloned()
        .collect();
    assert_eq!(
        links,
        [
            AdapterEvent::Link(LinkState::Suspect, words.clone()),
            AdapterEvent::Link(LinkState::Offline, words)
        ]
    );
    assert_eq!(rig.reads(), 5, "1 + 2 + 4 + 8 s of pauses");
}

#[tokio::test(start_paused = true)]
async fn an_offline_device_refuses_reads_at_once_and_recovers_after_its_pause() {
    let limits = Limits {
        offline_after: 1,
        retry_first: Duration::from_secs(5),
        ..Limits::default()
    };
    let mut rig = rig(limits, |_| ());
    rig.behave(0, Err(Fault::Unreachable));
    rig.read(1, TEMPERATURE);
    assert_eq!(rig.done(1).await, Err(Fault::Unreachable));
    rig.read(2, TEMPERATURE);
    assert_eq!(rig.done(2).await, Err(Fault::Unreachable));
    assert_eq!(rig.reads(), 1);
    rig.behave(0, Ok(3.0));
    sleep(Duration::from_secs(5)).await;
    rig.read(3, TEMPERATURE);
    rig.done(3).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_device_that_only_answers_with_errors_is_suspect_and_not_hammered() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.link().await;
    rig.behave(0, Err(Fault::Device("wrong checksum".into())));
    for _ in 0..30 {
        rig.wakes
            .send(Wake::Due(
                TEMPERATURE.instance(),
                vec![TEMPERATURE.path.resource],
            ))
            .unwrap();
    }
    assert_eq!(
        rig.link().await,
        (LinkState::Suspect, "wrong checksum".into())
    );
    sleep(Duration::from_secs(60)).await;
    assert!(rig.reads() < 12);
}

#[tokio::test(start_paused = true)]
async fn requests_that_a_device_refuses_do_not_touch_its_link() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.wakes
        .send(Wake::News(vec![Sample::good(
            TEMPERATURE,
            Value::Float(1.0),
            rig.clock.stamp(),
        )]))
        .unwrap();
    while rig.link().await.0 != LinkState::Online {}
    rig.behave(0, Err(Fault::Device("illegal address".into())));
    for op in 1..=5 {
        rig.read(op, SETPOINT);
        assert!(rig.done(op).await.is_err());
    }
    let told = rig.told(Duration::from_secs(60)).await;
    assert_eq!(told, [], "no change of the link");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_declared_is_forgotten() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.read(1, TEMPERATURE);
    rig.done(1).await.unwrap();
    let removed = vec![TEMPERATURE];
    rig.wakes
        .send(Wake::Declared(Declared {
            added: Vec::new(),
            removed: removed.clone(),
        }))
        .unwrap();
    let told = rig.told(Duration::from_millis(1)).await;
    assert!(matches!(&told[..], [AdapterEvent::Declared(declared)] if declared.removed == removed));
    rig.read(2, TEMPERATURE);
    assert_eq!(rig.done(2).await, Err(Fault::Unsupported));
}

#[tokio::test(start_paused = true)]
async fn values_that_are_not_refreshed_turn_stale_by_themselves() {
    let limits = Limits {
        stale_after: Some(Duration::from_secs(30)),
        ..Limits::default()
    };
    let mut rig = rig(limits, |_| ());
    rig.read(1, TEMPERATURE);
    rig.done(1).await.unwrap();
    let told = rig.told(Duration::from_secs(29)).await;
    assert_eq!(told, []);
    assert_eq!(rig.changed().await[0].quality, Quality::Stale);
    assert_eq!(rig.told(Duration::from_secs(100)).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_news_merges_and_requests_are_still_answered() {
    let mut rig = rig(Limits::default(), |fake| fake.flood = true);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(rig.handle.events.len() <= 8);
    rig.read(1, SETPOINT);
    assert_eq!(rig.done(1).await.unwrap().samples[0].address, SETPOINT);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_busy_and_nothing_is_lost() {
    let limits = Limits {
        queue: 2,
        ..Limits::default()
    };
    let mut rig = rig(limits, |_| ());
    rig.behave(1_000, Ok(1.0));
    rig.write(1, 1.0);
    sleep(Duration::from_millis(1)).await;
    for op in 2..=5 {
        rig.write(op, 1.0);
    }
    let request = AdapterRequest {
        op: OpId(6),
        action: Action::Read(vec![SETPOINT]),
    };
    assert_eq!(
        rig.handle.try_send(request),
        Err(Fault::Busy),
        "no turn was given to the supervisor"
    );
    let mut busy = 0;
    let mut done = 0;
    for event in rig.told(Duration::from_secs(60)).await {
        if let AdapterEvent::Done(_, result) = event {
            done += 1;
            busy += usize::from(result == Err(Fault::Busy));
        }
    }
    assert_eq!((done, busy), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_declared_is_unsupported() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.read(1, ResourceAddress::gateway(1, 0, 0));
    assert_eq!(rig.done(1).await, Err(Fault::Unsupported));
    let execute = Action::Execute {
        resource: SETPOINT,
        args: Vec::new(),
    };
    rig.handle
        .try_send(AdapterRequest {
            op: OpId(2),
            action: execute,
        })
        .unwrap();
    assert_eq!(rig.done(2).await, Err(Fault::Unsupported));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_adapter_fails_alone_and_with_words() {
    let mut broken = rig(Limits::default(), |fake| fake.panics = true);
    let mut healthy = rig(Limits::default(), |_| ());
    broken.link().await;
    broken.write(1, 1.0);
    broken.read(2, SETPOINT);
    assert_eq!(
        broken.link().await,
        (
            LinkState::Offline,
            "the adapter stopped: the fake broke".into()
        )
    );
    assert_eq!(
        broken.task.await.unwrap(),
        Ended::Panicked("the fake broke".into())
    );
    healthy.read(1, SETPOINT);
    healthy.done(1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_ends_the_supervisor() {
    let Rig { handle, task, .. } = rig(Limits::default(), |_| ());
    drop(handle);
    assert_eq!(task.await.unwrap(), Ended::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_daemon_hears_all_adapters_in_turn() {
    let (noisy, quiet) = (
        rig(Limits::default(), |fake| fake.flood = true),
        rig(Limits::default(), |_| ()),
    );
    let mut handles = Handles::default();
    quiet.behave(0, Ok(1.0)); // paused time stands still while the flood runs
    handles.insert(AdapterId(0), noisy.handle);
    handles.insert(AdapterId(1), quiet.handle);
    let request = AdapterRequest {
        op: OpId(1),
        action: Action::Read(vec![SETPOINT]),
    };
    handles.try_send(AdapterId(1), request.clone()).unwrap();
    assert_eq!(
        handles.try_send(AdapterId(7), request),
        Err(Fault::Unreachable)
    );
    loop {
        if let (AdapterId(1), Some(AdapterEvent::Done(OpId(1), result))) = handles.recv().await {
            result.unwrap();
            break;
        }
    }
}

/// Everything that is known, as an heir hears it first.
async fn introduction(rig: &mut Rig) -> (Vec<ResourceAddress>, LinkState, Vec<Sample>) {
    let (state, _) = rig.link().await;
    let Some(AdapterEvent::Declared(declared)) = rig.handle.events.recv().await else {
        panic!("what is declared follows");
    };
    let addresses = declared.added.iter().map(|added| added.address).collect();
    (addresses, state, rig.changed().await)
}

#[tokio::test(start_paused = true)]
async fn an_heir_hears_all_that_is_known_and_nothing_of_what_another_asked_for() {
    let mut rig = rig(Limits::default(), |_| ());
    rig.read(1, TEMPERATURE);
    rig.done(1).await.unwrap();
    // One is at the device, another waits for it.
    rig.behave(1000, Ok(22.5));
    rig.write(2, 20.0);
    rig.read(3, SETPOINT);
    sleep(Duration::from_millis(100)).await;
    rig.handle = rig.handle.handed_over();
    let (addresses, state, samples) = introduction(&mut rig).await;
    assert_eq!(addresses, [TEMPERATURE, UNITS, SETPOINT]);
    assert_eq!(state, LinkState::Online);
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].value, Value::Float(21.5));
    assert_eq!(rig.reads(), 1, "known without asking the device");
    assert_eq!(rig.told(Duration::from_secs(5)).await, []);
    rig.behave(10, Ok(23.5));
    rig.read(1, SETPOINT);
    let answer = rig.done(1).await.unwrap();
    assert_eq!(answer.samples[0].value, Value::Float(23.5));
    let Rig { handle, task, .. } = rig;
    drop(handle);
    assert_eq!(task.await.unwrap(), Ended::Closed);
}
