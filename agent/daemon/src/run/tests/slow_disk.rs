//! What comes of it when the disk takes its time.

use lamplighter_adapters::supervise::Port;
use lamplighter_model::{
    device::{Answer, Assignment, Declaration, Declared, DeviceRequest, Origin},
    object::Operations,
};

use super::*;

const RELAYS: AdapterId = AdapterId(0);
const LAMP: ResourceAddress = ResourceAddress::gateway(3416, 1, 1);

fn relays() -> (Agent, Port) {
    let mut agent = agent(OUTPUT);
    let (handle, port) = Port::pair();
    agent.adapters.insert(RELAYS, handle);
    agent.drain();
    (agent, port)
}

/// The lamp is there, and told to be off.
fn declare(agent: &mut Agent) {
    let added = vec![Declaration {
        address: LAMP,
        operations: Operations::RW,
    }];
    let removed = Vec::new();
    let declared = Declared { added, removed };
    agent.on_adapter(RELAYS, AdapterEvent::Declared(declared));
    agent.drain();
}

/// The same, and it has obeyed.
fn ready() -> (Agent, Port) {
    let (mut agent, mut port) = relays();
    declare(&mut agent);
    saved(&mut agent, false);
    let off = port.requests.try_recv().unwrap();
    agent.on_adapter(RELAYS, AdapterEvent::Done(off.op, Ok(Answer::default())));
    agent.drain();
    saved(&mut agent, false);
    (agent, port)
}

/// The disk has taken everything; `late`: after an age.
fn saved(agent: &mut Agent, late: bool) {
    while let Some(behind) = agent.waiting.behind_saves.front_mut() {
        if late {
            behind
                .iter_mut()
                .for_each(|(since, _)| *since = Duration::ZERO);
        }
        agent.on_stored(Stored::SiteSaved);
    }
}

fn switch_on(agent: &mut Agent) {
    let values = vec![Assignment {
        address: LAMP,
        index: None,
        value: Value::Integer(100),
    }];
    let action = Action::Write { values, hold: None };
    let origin = Origin::Server(Ssid(101));
    let request = DeviceRequest { origin, action };
    let now = agent.clock.now();
    agent
        .site
        .handle(SiteInput::Request(OpId(77), request), now);
    agent.drain_site();
}

#[tokio::test]
async fn a_command_that_waited_too_long_for_the_disk_is_refused_and_not_executed() {
    let (mut agent, mut port) = ready();
    switch_on(&mut agent);
    saved(&mut agent, true);
    assert!(port.requests.try_recv().is_err(), "never begun");
    let refused: Vec<_> = agent.waiting.bounced.iter().collect();
    assert!(
        matches!(
            refused[..],
            [(RELAYS, AdapterEvent::Done(_, Err(Fault::Busy)))]
        ),
        "{refused:?}"
    );
    agent.drain_site();
    let why = agent.site.why("lamps.l1", agent.clock.now()).unwrap();
    assert_eq!(why.slots[0].slot, lamplighter_site::boundary::Slot::Default);
}

#[tokio::test]
async fn a_command_that_the_disk_takes_in_time_is_executed() {
    let (mut agent, mut port) = ready();
    switch_on(&mut agent);
    assert!(port.requests.try_recv().is_err(), "kept first");
    saved(&mut agent, false);
    assert!(port.requests.try_recv().is_ok());
}

/// A relay that shall be off does not stay on because a disk is slow.
#[tokio::test]
async fn what_nobody_waits_for_is_done_however_late_it_is() {
    let (mut agent, mut port) = relays();
    agent.waiting.behind_saves.push_back(VecDeque::new());
    declare(&mut agent);
    assert!(port.requests.try_recv().is_err(), "behind the save");
    saved(&mut agent, true);
    assert!(port.requests.try_recv().is_ok());
}
