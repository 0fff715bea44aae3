mod edge;
mod slow_disk;

use lamplighter_lwm2m::{
    client::{ClientConfig, Creation, DeviceDescription},
    saved::{GivenAccount, GivenBootstrap, Record, SavedGiven, SavedInstance},
    security::{SecurityAccount, SecurityMode},
};
use lamplighter_model::{ResourceAddress, Sample, Value};
use lamplighter_site::saved::{SavedChange, SavedPart};

use super::*;
use crate::{
    catalogue::catalogue,
    config::{Place, Problem, Severity},
    events::LoadedLog,
    store::StoreConfig,
};

const OUTPUT: &str = r#"
[client]
endpoint = "cab-17"
[device.lamps]
adapter = "gpio"
backend = "sim"
[device.lamps.point]
l1 = { line = "GPIO5", instance = "/3416/1" }
"#;

const SERVER: &str = r#"
[server.main]
uri = "coap://127.0.0.1:9"
short_id = 101
security = { mode = "none" }
allow_unsecured = true
"#;

pub(super) use crate::fake::configured as config;

/// An agent whose adapters have not said anything yet.
pub(super) fn agent(text: &str) -> Agent {
    let directory = crate::fake::directory("run");
    let config = config(text);
    let clock = Clock::start(&directory);
    let now = clock.now();
    let client = ClientConfig {
        bootstrap: None,
        creation: Creation::default(),
        definitions: config.definitions.clone(),
        device: DeviceDescription::default(),
        endpoint: config.endpoint.name.clone(),
        seed: 1,
        servers: config.servers.clone(),
    };
    let (_, asks) = crate::ask::Asker::new(1);
    Agent {
        account_warnings: BTreeMap::new(),
        adapters: Handles::default(),
        asks,
        bearers: None,
        check: Check::new(Vec::new),
        clients: [(ClientId(0), Client::new(client, Vec::new(), now))].into(),
        clock,
        clock_watch: clock::Watch::default(),
        companions: crate::catalogue::companions(&config),
        events: EventLog::new(move || clock.now(), LoadedLog::default(), None),
        history: Recorder::new(std::iter::empty(), 0),
        links: Links::default(),
        names: events::Names::default(),
        server_names: BTreeMap::new(),
        signals: None,
        site: Site::new(config.site.clone(), None, now),
        status: Status::new(catalogue(&config), now),
        store: Store::open(&directory, StoreConfig::default(), clock).0,
        tree: Tree::new(config.definitions.clone()),
        waiting: Waiting::default(),
    }
}

#[tokio::test]
async fn without_an_answer_servers_count_as_lost_from_the_start() {
    let mut agent = agent(&format!("{OUTPUT}{SERVER}"));
    assert_eq!(agent.site.poll_timeout(), None);
    agent.drain();
    assert_eq!(agent.waiting.contact, Some(false));
    let (due, _) = agent.site.poll_timeout().unwrap();
    assert!(due > agent.clock.now().mono + Duration::from_secs(4 * 3600 - 60));
    assert_eq!(
        agent.status.servers(agent.clock.now())[0].state,
        crate::status::ServerState::Registering
    );
}

#[tokio::test]
async fn where_there_is_no_server_none_is_lost() {
    let mut agent = agent(OUTPUT);
    agent.drain();
    assert_eq!(agent.site.poll_timeout(), None);
}

/// Whoever made an account without security: people are told of it as long as it is so.
#[tokio::test]
async fn an_account_without_security_that_was_given_is_a_warning() {
    let mut agent = agent(OUTPUT);
    let given = || {
        let mode = SecurityMode::NoSec;
        let account = |uri: &str| SecurityAccount {
            mode,
            uri: uri.to_owned(),
            ..SecurityAccount::default()
        };
        let bootstrap = GivenBootstrap::Given {
            account: Box::new(account("coap://bs.example")),
            instance: 0,
        };
        Record::Given(Some(Box::new(SavedGiven {
            bootstrap,
            servers: vec![GivenAccount {
                from: 0,
                security: (1, account("coap://b.example")),
                server: (0, SavedInstance::default()),
                ssid: Ssid(102),
            }],
            ..SavedGiven::default()
        })))
    };
    let told = |agent: &Agent| -> Vec<String> {
        let problems = agent.status.view(agent.clock.now()).problems;
        let about = problems
            .into_iter()
            .filter(|problem| problem.text.contains("encrypted"));
        about.map(|problem| problem.about).collect()
    };
    let restart = |agent: &mut Agent, saved: Vec<Record>| {
        let config = ClientConfig {
            bootstrap: None,
            creation: Creation::default(),
            definitions: agent.status.definitions(),
            device: DeviceDescription::default(),
            endpoint: "cab-17".to_owned(),
            seed: 1,
            servers: Vec::new(),
        };
        let client = Client::new(config, saved, agent.clock.now());
        agent.clients.insert(ClientId(0), client);
        agent.know_servers();
    };
    restart(&mut agent, vec![given()]);
    assert_eq!(told(&agent), ["account bootstrap", "account server-102"]);
    restart(&mut agent, Vec::new());
    assert_eq!(told(&agent), [""; 0]);
}

#[test]
fn a_server_that_was_suspended_on_purpose_is_not_lost() {
    use ServerState::{Disabled, Left, Offline, Registered, Registering};
    let lost = |states: &[ServerState]| {
        let states: Vec<_> = states.iter().map(|state| (Ssid(1), *state)).collect();
        telling::contact(&states).map(|contact| !contact)
    };
    assert_eq!(lost(&[]), None);
    assert_eq!(lost(&[Registered]), Some(false));
    assert_eq!(lost(&[Disabled]), Some(false));
    assert_eq!(lost(&[Disabled, Offline]), Some(false));
    assert_eq!(lost(&[Left]), Some(false), "by a person");
    assert_eq!(lost(&[Offline, Registering]), Some(true));
}

#[tokio::test]
async fn while_the_disk_is_slow_values_are_told_and_commands_wait() {
    let mut agent = agent(OUTPUT);
    agent.drain();
    agent.waiting.behind_saves.push_back(VecDeque::new());
    let address = ResourceAddress::gateway(3303, 0, 5700);
    let sample = Sample::good(address, Value::Float(21.5), agent.clock.now().stamp());
    let command = AdapterRequest {
        op: OpId(7),
        action: Action::Write {
            values: Vec::new(),
            hold: None,
        },
    };
    agent.perform_site(SiteOutput::Adapter(AdapterId(0), command));
    agent.perform_site(SiteOutput::Core(DeviceEvent::Changed(vec![sample])));
    agent.perform_site(SiteOutput::Core(DeviceEvent::Done(
        OpId(1),
        Err(Fault::Busy),
    )));
    assert_eq!(held(&agent), [2]);
    let seen = agent
        .status
        .last_known(lamplighter_model::Path::Root, agent.clock.now());
    assert!(seen.iter().any(|view| view.path == "/3303/0/5700"));
    // No adapter runs in this test, so the command that was let go comes back as a fault.
    agent.on_stored(Stored::SiteSaved);
    assert_eq!(held(&agent), [0; 0]);
    assert_eq!(agent.waiting.bounced.len(), 1);
}

/// How much waits behind each save.
fn held(agent: &Agent) -> Vec<usize> {
    let behind = agent.waiting.behind_saves.iter();
    behind.map(VecDeque::len).collect()
}

#[tokio::test]
async fn what_is_to_be_saved_does_not_wait_for_the_save_before_and_each_lets_go_what_is_behind_it()
{
    let mut agent = agent(OUTPUT);
    agent.drain();
    let command = |op| {
        let action = Action::Write {
            values: Vec::new(),
            hold: None,
        };
        SiteOutput::Adapter(AdapterId(0), AdapterRequest { op, action })
    };
    let save = || SiteOutput::Save(SavedChange::Part(SavedPart::default()));
    for output in [
        save(),
        command(OpId(1)),
        save(),
        command(OpId(2)),
        command(OpId(3)),
    ] {
        agent.perform_site(output);
    }
    assert_eq!(held(&agent), [1, 2]);
    agent.on_stored(Stored::SiteSaved);
    assert_eq!(agent.waiting.bounced.len(), 1);
    assert_eq!(held(&agent), [2]);
    agent.on_stored(Stored::SiteSaved);
    assert_eq!(agent.waiting.bounced.len(), 3);
    assert_eq!(held(&agent), [0; 0]);
}

/// What a person reads of 3/0/11.
fn errors(agent: &mut Agent) -> Vec<Value> {
    let (reply, mut answer) = oneshot::channel();
    agent.on_ask(Ask::Local(
        lamplighter_lwm2m::boundary::LocalRequest {
            user: "anna".to_owned(),
            operation: lamplighter_lwm2m::boundary::LocalOperation::Read(
                "/3/0/11".parse().unwrap(),
            ),
        },
        reply,
    ));
    agent.drain();
    let Ok(Ok(LocalAnswer::Samples(samples))) = answer.try_recv() else {
        panic!("no answer");
    };
    samples.into_iter().map(|sample| sample.value).collect()
}

#[tokio::test]
async fn a_device_that_told_the_position_is_a_failure_of_the_gps_too() {
    let mut agent = agent(concat!(
        "[client]\nendpoint = \"cab-17\"\n",
        "[device.gps]\nadapter = \"sim\"\n[device.gps.point]\n",
        "lat = { resource = \"/6/0/0\", value = 52.5 }\n",
        "[device.other]\nadapter = \"sim\"\n[device.other.point]\n",
        "t = { resource = \"/3303/0/5700\", value = 20.5 }\n",
    ));
    agent.drain();
    let mut errors_after = |id, state| {
        agent.on_adapter(AdapterId(id), AdapterEvent::Link(state, String::new()));
        agent.drain();
        errors(&mut agent)
    };
    let codes = |codes: &[i64]| {
        codes
            .iter()
            .map(|code| Value::Integer(*code))
            .collect::<Vec<_>>()
    };
    assert_eq!(errors_after(1, LinkState::Offline), codes(&[8]));
    assert_eq!(errors_after(0, LinkState::Offline), codes(&[8, 3]));
    assert_eq!(errors_after(1, LinkState::Online), codes(&[8, 3]));
    assert_eq!(errors_after(0, LinkState::Online), codes(&[0]));
}

/// An answer that got lost is given again before the restart; nothing else puts that off.
#[tokio::test]
async fn a_restart_that_a_server_asks_for_leaves_time_for_its_answer() {
    let mut agent = agent(OUTPUT);
    let before = agent.clock.now().mono;
    agent.perform_core(THE_BOX, Output::Host(HostRequest::Reboot));
    let Some((Ended::Reboot, at)) = agent.waiting.ends else {
        panic!("{:?}", agent.waiting.ends);
    };
    assert!(at >= before + LAST_ANSWERS);
    agent.perform_core(THE_BOX, Output::Host(HostRequest::FactoryReset));
    assert_eq!(agent.waiting.ends, Some((Ended::Reboot, at)));
    agent.on(Happening::Signal("SIGTERM"));
    assert_eq!(
        agent.waiting.ends,
        Some((Ended::Stopped, Duration::ZERO)),
        "at once"
    );
}

fn problem() -> Problem {
    Problem {
        severity: Severity::Error,
        place: Place::default(),
        key: "bus".to_owned(),
        what: "unknown key".to_owned(),
        hint: None,
    }
}

#[tokio::test]
async fn files_with_errors_are_not_taken_up_and_everybody_is_told() {
    let mut agent = agent(OUTPUT);
    agent.check = Check::new(|| vec![problem()]);
    agent.on(Happening::Signal("SIGHUP"));
    agent.drain();
    assert_eq!(agent.waiting.ends, None);
    let problems = agent.status.view(agent.clock.now()).problems;
    let told = problems.iter().find(|problem| problem.about == "reload");
    assert!(told.unwrap().text.contains("unknown key"));
    assert_eq!(errors(&mut agent), [Value::Integer(16)]);
    agent.check = Check::new(Vec::new);
    agent.on(Happening::Signal("SIGHUP"));
    assert!(matches!(agent.waiting.ends, Some((Ended::Reload, _))));
    let problems = agent.status.view(agent.clock.now()).problems;
    assert!(!problems.iter().any(|problem| problem.about == "reload"));
}
