//! Puts the agent together: configuration, state, devices, core, site, local API, page; then runs it
//! until it is stopped, and starts it anew after a reboot or factory reset was asked for.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use lamplighter_lwm2m::{
    boundary::{ClientId, Input},
    client::{Client, ClientConfig, DeviceDescription, ServerConfig},
    saved::Record,
    security::{SecurityAccount, SecurityMode},
    tree::Tree,
};
use lamplighter_model::{Now, ObjectId, Ssid};
use lamplighter_site::{Site, boundary::SiteConfig};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use tokio::task::JoinHandle;

use crate::{
    apart::apart,
    api::{Api, DemoServer, control::ControlSocket},
    ask::Asker,
    bearer::dbus::{Managers, Place, Tried},
    catalogue::{catalogue, companions},
    clock::{self, Clock},
    config::{Checked, Config, Hardware, Loaded, Problem, Severity, Source, UNSECURED},
    devices::{self, Kept},
    events::{self, Class, EventLog, Increments, LoadedLog, News},
    history::Recorder,
    link::Links,
    run::{Agent, Bearers, Check, Commanded, Ended, LAST_GOOD_RUNS, Signals, THE_BOX, Waiting},
    socket::SocketError,
    status::Status,
    store::{self, Store},
    system, systemd,
    update::{self, Desk, Fetching},
    web::{self, Page, WebConfig},
};

/// Objects that tell of a device around the box: the one that it is built into (16), its extension
/// (3410), its satellite receiver (3430). 3/0/22 names their instances.
const PORTFOLIO: u16 = 16;
const DEVICE_EXTENSION: u16 = 3410;
const SATELLITES: u16 = 3430;

/// Problems of the files that `status` lists; there must be room for those of devices.
const TOLD: usize = 64;

/// Questions of people that may wait for the loop.
const ASKS: usize = 64;

/// Where the agent finds and puts its files.
#[derive(Clone, Debug)]
pub struct Places {
    pub config: PathBuf,
    pub state_dir: PathBuf,
    pub run_dir: PathBuf,
}

/// What the demo adds to an agent.
#[derive(Debug, Default)]
pub struct Extras {
    /// Told once the page can be opened, with a link that needs no password.
    pub announce: Option<Announce>,
    pub demo: Option<Arc<dyn DemoServer>>,
    pub follow: Option<Follow>,
}

/// What to do with the link to the page.
pub struct Announce(Box<dyn FnOnce(&str) + Send>);

/// A task beside the agent that sees what people see; it ends with the agent.
pub struct Follow(Box<dyn FnOnce(Status, Clock) -> Task + Send>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Announce {
    pub fn new(tell: impl FnOnce(&str) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl Follow {
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        task: impl FnOnce(Status, Clock) -> F + Send + 'static,
    ) -> Self {
        Self(Box::new(|status, clock| Box::pin(task(status, clock))))
    }
}

impl fmt::Debug for Announce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Announce")
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follow")
    }
}

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has errors")]
    Configuration(Vec<Problem>),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("another agent uses the state directory {0}")]
    StateInUse(String),
    #[error("{what} {path}: {error}")]
    Io {
        what: &'static str,
        path: String,
        error: io::Error,
    },
}

/// What was loaded, before anything runs.
#[derive(Debug)]
pub struct Prepared {
    pub config: Config,
    /// The problems of files that are not used, where the last good configuration runs.
    pub last_good: Vec<Problem>,
    hardware: Hardware,
}

/// Reads and checks the configuration. With `strict`, or where nothing was accepted before, errors
/// in the files end it.
pub fn prepare(places: &Places, strict: bool) -> Result<Prepared, StartError> {
    for directory in [&places.state_dir, &places.run_dir] {
        make(directory)?;
    }
    let source = Source::of_process(places.config.clone());
    let hardware = source.hardware.clone();
    let loaded = apart(|| source.load(&places.state_dir), Loaded::apart);
    let (config, last_good) = match loaded {
        Loaded::Good { config, problems } => {
            log(&problems);
            (config, Vec::new())
        }
        Loaded::LastGood { config, problems } if !strict => {
            log(&problems);
            tracing::error!("The configuration has errors, the last good one runs");
            (config, problems)
        }
        Loaded::LastGood { problems, .. } | Loaded::None { problems } => {
            return Err(StartError::Configuration(problems));
        }
    };
    Ok(Prepared {
        config: *config,
        last_good,
        hardware,
    })
}

/// Runs the agent in the foreground.
pub fn run(places: &Places, strict: bool) -> Result<(), StartError> {
    lives(places, strict).inspect_err(|error| systemd::status(error))
}

/// One after the other.
fn lives(places: &Places, strict: bool) -> Result<(), StartError> {
    let mut going_on = GoingOn::default();
    let mut is_first = true;
    loop {
        // What runs is not given up for an error that somebody makes later.
        let prepared = prepare(places, strict && is_first)?;
        is_first = false;
        let life = life(places, prepared, Extras::default(), going_on);
        let (ended, left) = runtime()?.block_on(life)?;
        going_on = match ended {
            Ended::FactoryReset | Ended::Reboot | Ended::Stopped => GoingOn {
                signals: left.signals,
                ..GoingOn::default()
            },
            Ended::Reload => left,
        };
        match ended {
            Ended::FactoryReset => reset(&places.state_dir),
            // Restarting the host needs a hook of the operator; until then the agent restarts.
            Ended::Reboot | Ended::Reload => tracing::info!("Starting anew"),
            Ended::Stopped => return Ok(()),
        }
    }
}

/// From one life to the next.
#[derive(Default)]
struct GoingOn {
    devices: Kept,
    commanded: Commanded,
    signals: Option<Signals>,
}

/// One thread is enough: the disk, devices and the system's name look-up have their own, and managers
/// of bearers are asked without waiting.
pub fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|error| StartError::Io {
        what: "cannot start",
        path: "the runtime".to_owned(),
        error,
    })
}

/// One life of the agent, until something ends it.
pub async fn agent(
    places: &Places,
    prepared: Prepared,
    extras: Extras,
) -> Result<Ended, StartError> {
    let (ended, _) = life(places, prepared, extras, GoingOn::default()).await?;
    Ok(ended)
}

/// As [`agent`], with what goes on from the life before, and what may in the next.
async fn life(
    places: &Places,
    Prepared {
        config,
        last_good,
        hardware,
    }: Prepared,
    extras: Extras,
    before: GoingOn,
) -> Result<(Ended, GoingOn), StartError> {
    let control = ControlSocket::bind(&places.run_dir)?;
    let _ours = claim(&places.state_dir)?;
    let clock = Clock::start(&places.state_dir);
    let (now, seed) = (clock.now(), clock::seed());
    let is_moved = is_moved(&places.state_dir, &hardware);
    let (store, loaded) = Store::open(&places.state_dir, config.store, clock);
    let status = read_model(&config, now);
    let mut tree = Tree::new(Arc::clone(&config.definitions));
    let identity = client_config(&config, &hardware, seed);
    let mut client = Client::new(identity, records_of(THE_BOX, loaded.records), now);
    let account_warnings = tell_problems(&last_good, &config, &extras, &status, now);
    if !last_good.is_empty() {
        client.handle(Input::Command(LAST_GOOD_RUNS), &mut tree, now);
    }
    let events = event_log(&store, loaded.events, places, clock);
    tell_start(&last_good, is_moved, &events);
    let (asker, asks) = Asker::new(ASKS);
    let managers = managers(&config, places, before.commanded.tried());
    let mut system = system_parts(places, &events, &asker, &status);
    system.controls = (!config.bearers.is_empty()).then(|| managers.controls());
    let (update, keeper) = updates(&config, places, &status, &events, seed).unzip();
    system.update.clone_from(&update);
    let (run_dir, beat) = (&places.run_dir, clock.for_adapters());
    let mut devices = devices::start(
        &config,
        &status,
        system,
        run_dir,
        beat,
        seed,
        before.devices,
    );
    let site = Site::new(with_seed(&config.site, seed), loaded.site, now);

    let api = Api {
        asker,
        clock: Arc::new(move || clock.now()),
        commission: Arc::clone(&devices.commission),
        demo: extras.demo,
        events: events.clone(),
        history: (config.store.history_max > 0).then(|| store.history()),
        status: status.clone(),
        update,
    };
    let mut served = serve(control, keeper, &api, extras.follow, clock);
    let listen = config.web.as_ref().map(|web| web.listen);
    served.page(listen, places, api, extras.announce).await?;

    let (links, bearers) = ways(&config, places, &status, managers, before.commanded, clock)?;
    let agent = Agent {
        account_warnings,
        adapters: std::mem::take(&mut devices.handles),
        asks,
        bearers,
        check: check(places),
        clients: [(THE_BOX, client)].into(),
        clock,
        clock_watch: clock::Watch::begin(now),
        companions: companions(&config),
        events,
        history: recorder(&config, loaded.history_next),
        links,
        names: events_names(&config),
        server_names: server_names(&config),
        signals: before.signals,
        site,
        status,
        store,
        tree,
        waiting: Waiting::default(),
    };
    log_start(config);
    let left = agent.run().await.map_err(no_signals)?;
    drop(served);
    let going_on = GoingOn {
        devices: devices.keep(left.adapters),
        commanded: left.commanded,
        signals: Some(left.signals),
    };
    Ok((left.ended, going_on))
}

fn event_log(store: &Store, known: LoadedLog, places: &Places, clock: Clock) -> EventLog {
    let sink = (store.event_sink(), places.state_dir.clone());
    EventLog::new(move || clock.now(), known, Some(sink))
}

/// What is wrong with the files, before they are taken up anew.
fn check(places: &Places) -> Check {
    let main = places.config.clone();
    Check::new(move || {
        let wrong = || {
            let Checked { config, problems } = Source::of_process(main.clone()).check();
            let is_error = |problem: &Problem| match problem.severity {
                Severity::Account | Severity::Error => true,
                Severity::Warning => false,
            };
            let wrong = problems.into_iter().filter(|_| config.is_none());
            wrong.filter(is_error).collect()
        };
        apart(wrong, Vec::clone)
    })
}

fn managers(config: &Config, places: &Places, tried: Tried) -> Managers {
    let place = Place {
        bus: None,
        state_dir: Some(places.state_dir.clone()),
    };
    Managers::start(&config.bearers, &place, tried)
}

/// Who takes packages in, where a key is configured.
fn updates(
    config: &Config,
    places: &Places,
    status: &Status,
    events: &EventLog,
    seed: u64,
) -> Option<(Desk, JoinHandle<()>)> {
    let settings = config.update.as_ref()?;
    let fetching = Fetching {
        board: status.board(),
        bearers: config.bearers.clone(),
        servers: config.servers.clone(),
        metered: settings.metered,
        authorities: settings.ca.clone(),
        seed,
        pause: update::FIRST_PAUSE,
    };
    let (status, events) = (status.clone(), events.clone());
    Some(update::start(
        settings,
        &places.state_dir,
        fetching,
        status,
        events,
    ))
}

/// Sockets, and who chooses the bearers that they leave by.
fn ways(
    config: &Config,
    places: &Places,
    status: &Status,
    managers: Managers,
    commanded: Commanded,
    clock: Clock,
) -> Result<(Links, Option<Bearers>), StartError> {
    let mut links = Links::default();
    let (state_dir, board) = (&places.state_dir, status.board());
    let bearers = Bearers::start(config, state_dir, board, managers, commanded, clock);
    let bearers = bearers.map_err(no_bearers)?;
    if let Some(bearers) = &bearers {
        links.require_way();
        if bearers.is_offline() {
            links.set_way(None);
        }
    }
    Ok((links, bearers))
}

fn read_model(config: &Config, now: Now) -> Status {
    let status = Status::new(catalogue(config), now);
    status.board().configure(&config.bearers, now);
    status
}

fn no_signals(error: io::Error) -> StartError {
    StartError::Io {
        what: "cannot listen to",
        path: "signals".to_owned(),
        error,
    }
}

fn no_bearers(error: io::Error) -> StartError {
    StartError::Io {
        what: "cannot watch",
        path: "the network interfaces".to_owned(),
        error,
    }
}

fn with_seed(site: &SiteConfig, seed: u64) -> SiteConfig {
    SiteConfig {
        seed,
        ..site.clone()
    }
}

/// What always runs beside the loop.
fn serve(
    control: ControlSocket,
    keeper: Option<JoinHandle<()>>,
    api: &Api,
    follow: Option<Follow>,
    clock: Clock,
) -> Served {
    if api.demo.is_some() {
        api.status.mark_demo();
    }
    let follow = follow.map(|Follow(follow)| follow(api.status.clone(), clock));
    let of_api = api.clone();
    let increments = Increments {
        asker: of_api.asker,
        clock: of_api.clock,
        log: of_api.events,
        status: of_api.status,
    };
    let always = [
        tokio::spawn(control.serve(api.clone())),
        tokio::spawn(increments.run()),
    ];
    let follow = follow.map(tokio::spawn);
    Served(always.into_iter().chain(follow).chain(keeper).collect())
}

fn recorder(config: &Config, next: u64) -> Recorder {
    let is_kept = config.store.history_max > 0;
    let points = config.points().filter(|_| is_kept);
    Recorder::new(points.map(|point| point.address), next)
}

fn records_of(client: ClientId, records: Vec<(ClientId, Record)>) -> Vec<Record> {
    let mine = records.into_iter().filter(|(owner, _)| *owner == client);
    mine.map(|(_, record)| record).collect()
}

fn server_names(config: &Config) -> BTreeMap<String, (ClientId, Ssid)> {
    let named = |server: &ServerConfig| (server.name.clone(), (THE_BOX, server.ssid));
    config.servers.iter().map(named).collect()
}

fn events_names(config: &Config) -> events::Names {
    let named = |server: &ServerConfig| (server.ssid, server.name.clone());
    events::Names::new(config.servers.iter().map(named))
}

fn system_parts(
    places: &Places,
    events: &EventLog,
    asker: &Asker,
    status: &Status,
) -> system::Parts {
    let (errors, zone) = (asker.clone(), asker.clone());
    system::Parts {
        controls: None,
        state_dir: places.state_dir.clone(),
        log: events.clone(),
        status: status.clone(),
        update: None,
        on_errors: Box::new(move |holding| errors.device_errors(&system::CODES, holding.clone())),
        on_zone: Box::new(move |told| zone.device_zone(told.name.clone(), told.utc_offset.clone())),
    }
}

/// Whether the state was made on another board, whose registrations and sessions are gone then.
fn is_moved(state_dir: &Path, hardware: &Hardware) -> bool {
    let serial = hardware.serial.as_ref().map(|(serial, _)| serial.as_str());
    store::recognise(state_dir, serial).unwrap_or_else(|error| {
        tracing::error!(%error, "Cannot keep which board the state is of");
        false
    })
}

/// The first lines of this run in the log.
fn tell_start(last_good: &[Problem], is_moved: bool, events: &EventLog) {
    let version = env!("CARGO_PKG_VERSION");
    events.tell(News::new(Class::System, "started").text(format!("lamplighter {version}")));
    if is_moved {
        let text = "the state is of another board: registrations and sessions are dropped";
        events.tell(News::new(Class::System, "other_board").text(text));
    }
    if !last_good.is_empty() {
        let count = last_good.len();
        let text = format!("the files have {count} problems");
        events.tell(News::new(Class::System, "last_good_configuration").text(text));
    }
}

/// Two agents on one state would overwrite each other's. Freed by the kernel however we end; where
/// the file system has no locks, nobody can tell.
fn claim(state_dir: &Path) -> Result<Option<Flock<fs::File>>, StartError> {
    let path = state_dir.display().to_string();
    let directory = fs::File::open(state_dir).map_err(|error| StartError::Io {
        what: "cannot open the directory",
        path: path.clone(),
        error,
    })?;
    match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Err(StartError::StateInUse(path)),
        Err((_, error)) => {
            tracing::warn!(path, %error, "Cannot lock the state directory");
            Ok(None)
        }
    }
}

/// What was wrong before anything ran. The answer is what people shall know of the accounts.
fn tell_problems(
    last_good: &[Problem],
    config: &Config,
    extras: &Extras,
    status: &Status,
    now: Now,
) -> BTreeMap<String, String> {
    if !last_good.is_empty() {
        let count = last_good.len();
        let text = format!(
            "the files have {count} problems, the last good configuration runs: lamplighter check"
        );
        status.problem("configuration", &text, now);
    }
    // Several may stand in one line; whoever has more than fit asks `check`.
    for (number, problem) in (1..=TOLD).zip(last_good) {
        let about = format!("configuration {number}");
        status.problem(&about, &problem.to_string(), now);
    }
    if config.servers.is_empty() && config.bootstrap.is_none() {
        status.problem("servers", "not configured: lamplighter setup", now);
    }
    // The demo's own server listens on the loopback interface.
    let warnings = match extras.demo {
        Some(_) => BTreeMap::new(),
        None => warnings(config),
    };
    for (account, text) in &warnings {
        tracing::warn!(account, text, "Account");
        status.problem(account, text, now);
    }
    warnings
}

/// What people shall know of the accounts as long as it is so: which tables have credentials that
/// cannot be used, and which have none at all.
fn warnings(config: &Config) -> BTreeMap<String, String> {
    let servers = config.servers.iter();
    let servers = servers.map(|server| (format!("server.{}", server.name), &server.security));
    let bootstrap = config.bootstrap.iter();
    let bootstrap = bootstrap.map(|account| ("bootstrap".to_owned(), &account.security));
    let warning = |(table, account): (String, &SecurityAccount)| {
        let text = match (&account.unreadable, account.mode) {
            (Some(why), _) => format!("this account cannot be used: {why}"),
            (None, SecurityMode::NoSec) => UNSECURED.to_owned(),
            (
                None,
                SecurityMode::Est
                | SecurityMode::Psk
                | SecurityMode::RawPublicKey
                | SecurityMode::X509,
            ) => return None,
        };
        Some((format!("[{table}]"), text))
    };
    bootstrap.chain(servers).filter_map(warning).collect()
}

/// The tasks that answer people; they end with it.
#[derive(Debug)]
struct Served(Vec<JoinHandle<()>>);

impl Served {
    /// Nothing where no address is configured. A port in use is told and never fatal, but for
    /// somebody who waits for the link.
    async fn page(
        &mut self,
        listen: Option<SocketAddr>,
        places: &Places,
        api: Api,
        announce: Option<Announce>,
    ) -> Result<(), StartError> {
        let Some(listen) = listen else {
            return Ok(());
        };
        let config = WebConfig {
            hosts: Vec::new(),
            listen,
            state_dir: places.state_dir.clone(),
        };
        let Some(Announce(announce)) = announce else {
            self.0.push(tokio::spawn(web::keep_serving(config, api)));
            return Ok(());
        };
        let failed = |error| StartError::Io {
            what: "cannot serve the page on",
            path: listen.to_string(),
            error,
        };
        let page = Page::bind(&config, api).await.map_err(failed)?;
        announce(&page.one_time_link().map_err(failed)?);
        self.0.push(tokio::spawn(page.serve()));
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) fn client_config(config: &Config, hardware: &Hardware, seed: u64) -> ClientConfig {
    ClientConfig {
        bootstrap: config.bootstrap.clone(),
        creation: config.creation.clone(),
        definitions: Arc::clone(&config.definitions),
        device: describe(hardware),
        endpoint: config.endpoint.name.clone(),
        seed,
        servers: config.servers.clone(),
    }
}

/// What object 3 says: the maker is the board's, the software is ours.
fn describe(hardware: &Hardware) -> DeviceDescription {
    let model = hardware
        .model
        .clone()
        .unwrap_or_else(|| "generic".to_owned());
    DeviceDescription {
        described_by: [PORTFOLIO, DEVICE_EXTENSION, SATELLITES]
            .map(ObjectId)
            .to_vec(),
        device_type: "gateway".to_owned(),
        firmware: kernel(),
        hardware: model.clone(),
        manufacturer: hardware
            .manufacturer
            .clone()
            .unwrap_or_else(|| "Lamplighter".to_owned()),
        model,
        serial: hardware
            .serial
            .as_ref()
            .map(|(serial, _)| serial.clone())
            .unwrap_or_default(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        // The adapter of the box itself tells them, and again when they change.
        timezone: String::new(),
        utc_offset: String::new(),
    }
}

/// The firmware of a Linux box is its kernel.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// Forgets what servers changed and who commands what; the configuration of the operator stays.
fn reset(state_dir: &Path) {
    tracing::warn!("Factory reset: the agent's state is deleted");
    if let Err(error) = store::erase(state_dir) {
        tracing::error!(directory = %state_dir.display(), %error, "Cannot delete");
    }
}

fn make(directory: &Path) -> Result<(), StartError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory);
    let path = directory.display().to_string();
    made.map_err(|error| StartError::Io {
        what: "cannot make the directory",
        path,
        error,
    })
}

/// The last look at the configuration: whoever needs something of it has it.
fn log_start(config: Config) {
    tracing::info!(
        endpoint = config.endpoint.name,
        devices = config.devices.len(),
        "Started"
    );
}

fn log(problems: &[Problem]) {
    for problem in problems {
        tracing::warn!(%problem, "Configuration");
    }
}
