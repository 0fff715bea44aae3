use lamplighter_model::BootId;

use super::*;
use crate::{
    bearer::{AddressFamily, LinkFacts, dbus::Place},
    config::Config,
    run::tests::{agent, config},
};

const LAN: &str = "[bearer.lan]\nkind = \"ethernet\"\ninterface = \"none0\"\n";
const CELL: &str = concat!(
    "[bearer.cell]\nkind = \"cellular\"\ninterface = \"none1\"\nmanage = \"modemmanager\"\n",
    "cap = { month = \"1MiB\" }\n",
);
const CLIENT: &str = "[client]\nendpoint = \"cab-17\"\n";

/// Numbers of the names in their order.
const THE_CELL: BearerId = BearerId(0);

fn place(state_dir: &std::path::Path) -> Place {
    Place {
        bus: Some("unix:path=/nowhere/at/all".into()),
        state_dir: Some(state_dir.to_owned()),
    }
}

fn begin(config: &Config, board: Board, commanded: Commanded) -> Bearers {
    let state_dir = crate::fake::directory("bearers");
    let managers = Managers::start(&config.bearers, &place(&state_dir), commanded.tried());
    let clock = Clock::of(BootId(1));
    let begun = Bearers::start(config, &state_dir, board, managers, commanded, clock);
    begun.unwrap().unwrap()
}

fn link() -> LinkFacts {
    LinkFacts {
        index: 7,
        interface: "none1".to_owned(),
        is_up: true,
        v4: vec![[192, 0, 2, 7].into()],
        v6: Vec::new(),
        routes: vec![AddressFamily::V4],
        gateways: Vec::new(),
        mtu: 1500,
    }
}

/// One of whose bearers one has an interface, which nobody has tried yet.
fn with_bearers() -> Agent {
    let text = [CLIENT, LAN, CELL].concat();
    let config = config(&text);
    let mut agent = agent(&text);
    let board = agent.status.board();
    board.configure(&config.bearers, agent.clock.now());
    agent.bearers = Some(begin(&config, board, Commanded::default()));
    agent.links.require_way();
    agent.on_bearer(BearerEvent::Link(THE_CELL, Some(link())));
    agent
}

fn chosen(agent: &Agent) -> Choice {
    agent.status.board().chosen().choice
}

#[tokio::test]
async fn what_was_counted_stands_on_the_board_at_once() {
    let mut agent = with_bearers();
    agent.on_bearer(BearerEvent::Usage(THE_CELL, 5, 7));
    let cell = agent.status.board().named("cell").unwrap();
    assert_eq!((cell.bytes_today, cell.bytes_month), (5, 7));
}

#[tokio::test]
async fn people_are_told_of_a_cap_when_it_comes_near_and_not_at_every_start() {
    let mut agent = with_bearers();
    let bearers = agent.bearers.as_mut().unwrap();
    let mut told = |month| bearers.news_of_usage(THE_CELL, 0, month).len();
    assert_eq!(told((1 << 20) - 2), 0, "it was so before the start");
    assert_eq!(told((1 << 20) - 1), 0);
    assert_eq!(told(1 << 20), 1);
    assert_eq!(told((1 << 20) + 1), 0);
}

#[tokio::test]
async fn the_board_shows_who_decides_and_when_that_has_ended() {
    let mut agent = with_bearers();
    let use_cell = BearerAsk::Use("cell".to_owned());
    agent.ask_bearers(use_cell, "anna").unwrap();
    assert_eq!(chosen(&agent), Choice::Use(THE_CELL));
    assert!(agent.status.board().chosen().trial_until.is_some());
    let time = Duration::from_secs(300);
    let offline = BearerAsk::Offline(Some(time));
    agent.ask_bearers(offline, "anna").unwrap();
    assert!(matches!(chosen(&agent), Choice::Offline(Some(_))));
    let trial_until = |agent: &Agent| agent.status.board().chosen().trial_until;
    let until = trial_until(&agent).unwrap();
    assert!(
        until > agent.clock.now().mono + time,
        "it goes on afterwards"
    );
    let now = agent.clock.now();
    let later = Now {
        mono: now.mono + time,
        ..now
    };
    let bearers = agent.bearers.as_mut().unwrap();
    bearers.selector.handle(BearerEvent::Timeout, later);
    agent.on_bearer(BearerEvent::Timeout);
    assert_eq!(chosen(&agent), Choice::Use(THE_CELL));
    agent.ask_bearers(BearerAsk::Online, "anna").unwrap();
    assert!(trial_until(&agent).unwrap() < until, "from now on");
    agent.ask_bearers(BearerAsk::Auto, "anna").unwrap();
    assert_eq!(chosen(&agent), Choice::Auto);
}

#[tokio::test]
async fn where_nobody_may_be_spoken_to_no_probe_goes_on() {
    let mut agent = with_bearers();
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive();
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri: ServerUri = format!("coap://{}", mute.local_addr().unwrap())
        .parse()
        .unwrap();
    for silence in [
        BearerEvent::Quiet(true),
        BearerEvent::Choose(Choice::Offline(None)),
    ] {
        let bearers = agent.bearers.as_mut().unwrap();
        let way = bearers.way(THE_CELL).unwrap();
        let patience = Duration::from_secs(3600);
        bearers
            .prober
            .start(THE_CELL, way, vec![uri.clone()], patience);
        assert!(alive() > before);
        agent.on_bearer(silence);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(alive(), before);
        agent.on_bearer(BearerEvent::Quiet(false));
    }
}

#[tokio::test]
async fn a_reload_takes_nothing_back_of_what_was_commanded() {
    let mut agent = with_bearers();
    let use_cell = BearerAsk::Use("cell".to_owned());
    agent.ask_bearers(use_cell.clone(), "anna").unwrap();
    let offline = BearerAsk::Offline(Some(Duration::from_secs(300)));
    agent.ask_bearers(offline, "anna").unwrap();
    let bearers = agent.bearers.as_mut().unwrap();
    let offline = bearers.selector.choice();
    // Its trial goes on until then.
    let until = Duration::from_secs(1_000_000);
    bearers.trial = Some(Trial {
        until,
        bearer: THE_CELL,
        ask: use_cell,
    });
    let commanded = bearers.commanded();
    // Another bearer stands before it now.
    let config = config(&[CLIENT, "[bearer.a]\nkind = \"wifi\"\n", CELL].concat());
    let board = agent.status.board();
    let mut again = begin(&config, board.clone(), commanded);
    assert!(again.is_offline());
    assert_eq!(board.chosen().choice, offline);
    assert_eq!(again.trial.as_ref().map(|trial| trial.until), Some(until));
    let now = agent.clock.now();
    again
        .selector
        .handle(BearerEvent::Choose(Choice::Online), now);
    assert_eq!(again.selector.choice(), Choice::Use(BearerId(1)));
    // Who is not there any more cannot be used.
    let config = self::config(&[CLIENT, LAN].concat());
    let alone = begin(&config, board, again.commanded());
    assert_eq!(alone.selector.choice(), Choice::Auto);
    assert!(alone.trial.is_none());
}
