//! The program as a user starts it, in the gateway of a site, at a real Leshan in the cloud.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use lamplighter_interop::{
    agent::{Agent, program},
    leshan::{Leshan, Version},
    scratch,
};
use serde_json::{Value, json};

use crate::{
    cloud::{Cloud, SERVER, SERVER_V6},
    figures,
    numbers::{Ledger, NUMBER, Numbers},
    site::{Site, Uplink},
    wait::{SOON, now, until},
};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// How often a number is counted.
const PACE: Duration = Duration::from_millis(200);

/// What takes so long was lost and repeated: RFC 7252, 4.8, ACK_TIMEOUT.
const REPEATED: Duration = Duration::from_millis(1_950);

/// Seconds that make a test short. A black hole is noticed after at most 1 + 2 × 0.5 s.
pub const QUICK: &str =
    "active_s = 1\nstandby_s = 2\ntimeout_s = 0.5\ndown = 2\nup = 2\nhold_s = 1\n";

/// Which addresses the server has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    V4,
    V6,
}

/// How a scene is made.
#[derive(Debug)]
pub struct Setup {
    /// Of the scenario: its endpoint, its directory, its lines among the figures.
    pub name: &'static str,
    /// Whether the box offers Connection IDs.
    pub with_cid: bool,
    /// The bearers that it is told of, best first.
    pub uplinks: Vec<Uplink>,
    /// Lines of each `[bearer.NAME.probe]`.
    pub probe: &'static str,
    /// Further tables.
    pub tables: String,
    pub family: Family,
    /// What the server is called in its URI. Default: its address.
    pub host: Option<&'static str>,
    /// Whether they cost money; none: as a manager says.
    pub metered: Option<bool>,
    /// Further lines of `[bearer.NAME]`.
    pub lines: Vec<(Uplink, String)>,
    /// Variables of the environment of the program.
    pub environment: Vec<(&'static str, String)>,
    /// As a service of its own user runs, to which the kernel allows less.
    pub without_capabilities: bool,
    pub pace: Duration,
}

impl Setup {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            with_cid: true,
            uplinks: Uplink::ALL.to_vec(),
            probe: QUICK,
            tables: String::new(),
            family: Family::V4,
            host: None,
            metered: Some(false),
            lines: Vec::new(),
            environment: Vec::new(),
            without_capabilities: false,
            pace: PACE,
        }
    }

    pub fn start(self) -> Scene {
        self.start_at(Site::new(), |_, _| ())
    }

    /// At a site that something is done to before the agent starts; told the server's port.
    pub fn start_at(self, mut site: Site, prepare: impl FnOnce(&mut Site, u16)) -> Scene {
        let directory = scratch(&format!("netns-{}", self.name));
        let leshan = self.server();
        prepare(&mut site, port(&leshan.uri));
        credential(&directory, "psk", KEY);
        let uri = self.host.map_or_else(
            || leshan.uri.clone(),
            |host| format!("coaps://{host}:{}", port(&leshan.uri)),
        );
        let file = self.configuration(&uri);
        let agent = Agent::run_by(self.program(&site), &directory, &file);
        let mut scene = Scene {
            agent,
            numbers: None,
            leshan,
            ledger: Ledger::default(),
            site,
            setup: self,
            file,
            directory,
        };
        scene.begin();
        scene
    }

    fn program(&self, site: &Site) -> Command {
        let mut command = match self.without_capabilities {
            false => site.gateway.command(program()),
            true => {
                let mut command = site.gateway.command("setpriv");
                command
                    .args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"])
                    .arg(program());
                command
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn server(&self) -> Leshan {
        Leshan::live_in(Cloud::shared().namespace.name());
        let host = match self.family {
            Family::V4 => SERVER,
            Family::V6 => SERVER_V6,
        };
        let settings = json!({"endpoints": ["coaps"], "hosts": [host]});
        let mut leshan = Leshan::start_with(Version::M18, settings);
        let psk = json!({"identity": self.name, "key": KEY});
        let answer = leshan.ask(self.name, json!({"do": "credential", "psk": psk}));
        assert!(answer["error"].is_null(), "{answer}");
        leshan
    }

    fn configuration(&self, uri: &str) -> String {
        let Self {
            name,
            with_cid,
            tables,
            ..
        } = self;
        let bearers: String = self.bearers();
        format!(
            r#"
[client]
endpoint = "{name}"
[server.main]
uri = "{uri}"
short_id = 101
lifetime_s = 3600
security = {{ mode = "psk", identity = "{name}", key = "credential:psk", connection_id = {with_cid} }}
[server.main.registration]
retry_timer_s = 1
return_spread_s = 0
[device.numbers]
adapter = "remote"
[device.numbers.point.number]
resource = "{NUMBER}"
{bearers}
{tables}
"#
        )
    }

    /// None is metered, if not asked for: what that means for pauses is for the selector's own tests.
    fn bearers(&self) -> String {
        let metered = self
            .metered
            .map_or_else(String::new, |metered| format!("metered = {metered}\n"));
        let lines = self.uplinks.iter().zip(1..).map(|(uplink, priority)| {
            let kind = match uplink {
                Uplink::Eth => "ethernet",
                Uplink::Usb => "tether-usb",
                Uplink::Wwan => "cellular",
            };
            let (name, interface) = (uplink.name(), uplink.interface());
            let own = self.lines.iter().filter(|(of, _)| of == uplink);
            let lines: String = own.map(|(_, line)| format!("{line}\n")).collect();
            format!(
                "[bearer.{name}]\nkind = \"{kind}\"\ninterface = \"{interface}\"\n\
                 priority = {priority}\n{metered}{lines}[bearer.{name}.probe]\n{}\n",
                self.probe
            )
        });
        lines.collect()
    }
}

/// A running agent that counts, and what its server was told.
#[derive(Debug)]
pub struct Scene {
    // First those that end with the agent: a scene is taken down in this order.
    pub agent: Agent,
    numbers: Option<Numbers>,
    pub leshan: Leshan,
    ledger: Ledger,
    pub site: Site,
    setup: Setup,
    /// Its configuration.
    file: String,
    pub directory: PathBuf,
}

/// A moment, and what had been counted then.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub at: Instant,
    number: u32,
    agreed: u64,
}

impl Mark {
    /// So many numbers later.
    pub const fn number_after(self, count: u32) -> u32 {
        self.number + count
    }

    pub fn elapsed(self) -> Duration {
        self.at.elapsed()
    }
}

impl Scene {
    /// Waits until the box is registered and the first number has come.
    fn begin(&mut self) {
        let is_registered = |event: &Value| event["event"] == "registered";
        self.leshan.event(SOON * 2, is_registered);
        self.numbers = Some(Numbers::start(&self.agent.run_dir, self.setup.pace));
        until("first number", SOON, || {
            let observe = json!({"do": "observe", "path": NUMBER, "format": "SENML_CBOR"});
            let answer = self.leshan.ask(self.setup.name, observe);
            (answer["code"] == 205).then_some(())
        });
        self.hears(1, SOON);
    }

    pub const fn name(&self) -> &'static str {
        self.setup.name
    }

    /// A figure for the table.
    pub fn note(&self, what: &str, figure: Duration) {
        figures::note(self.setup.name, what, figure);
    }

    /// Ends the program as a service manager does, and starts it again. What was counted has reached it
    /// before.
    pub fn restart(&mut self) {
        let last = self.numbers.as_mut().expect("it has begun").end();
        self.agent.until(&["read", NUMBER], SOON, |read| {
            read["value"].as_f64() == Some(f64::from(last))
        });
        self.agent.lines.signal("TERM");
        let program = self.setup.program(&self.site);
        self.agent = Agent::run_by(program, &self.directory, &self.file);
        let numbers = Numbers::go_on(&self.agent.run_dir, self.setup.pace, last);
        self.numbers = Some(numbers);
    }

    /// Forgets what the server said so far, but for the numbers.
    pub fn forget_events(&mut self) {
        let events = self.leshan.events();
        self.note_events(events);
    }

    /// The last number that the server has heard by now.
    pub fn newest(&mut self) -> u32 {
        self.forget_events();
        self.ledger.newest()
    }

    /// The numbers of events that the test has looked at.
    pub fn note_events(&mut self, events: Vec<Value>) {
        let concerns = events.iter().filter(|event| Ledger::concerns(event));
        concerns.for_each(|event| self.ledger.note(event));
    }

    /// From which addresses the box has updated its registration, or registered, since this was last
    /// asked, or [`Self::forget_events`].
    pub fn moves(&mut self) -> Vec<String> {
        let events = self.leshan.events();
        let moves = events.iter().filter(|event| is_told(event));
        let moves = moves.filter_map(|event| event["address"].as_str().map(str::to_owned));
        let moves = moves.collect();
        self.note_events(events);
        moves
    }

    pub fn numbers(&self) -> &Numbers {
        self.numbers.as_ref().expect("it has begun")
    }

    pub fn mark(&self) -> Mark {
        Mark {
            agreed: self.site.agreed(),
            number: self.numbers().last(),
            at: now(),
        }
    }

    /// Waits until the server has heard this number or a later one.
    #[track_caller]
    pub fn hears(&mut self, number: u32, within: Duration) {
        let deadline = now() + within;
        while self.ledger.newest() < number {
            let left = deadline.saturating_duration_since(now());
            let event = self.leshan.event(left, Ledger::concerns);
            self.ledger.note(&event);
        }
    }

    /// Waits until the server hears something that was counted after the mark, and notes how long
    /// that took.
    #[track_caller]
    pub fn recovered(&mut self, what: &str, mark: Mark, within: Duration) -> Duration {
        self.hears(mark.number + 1, within);
        let took = mark.at.elapsed();
        self.note(what, took);
        took
    }

    /// Waits until the server has taken an Update or Register that came by this uplink, and notes how
    /// long that took.
    #[track_caller]
    pub fn moved(&mut self, to: Uplink, what: &str, mark: Mark, within: Duration) -> Duration {
        let public = self.site.public(to);
        self.moved_to(&public, what, mark, within)
    }

    #[track_caller]
    pub fn moved_to(&mut self, public: &str, what: &str, mark: Mark, within: Duration) -> Duration {
        self.leshan
            .event(within, |event| is_told(event) && event["address"] == public);
        let took = mark.at.elapsed();
        self.note(what, took);
        took
    }

    /// The box tells the server where it is, as it does before its registration ends.
    pub fn refresh(&mut self) {
        let told = self.agent.cli(&["server", "refresh", "main"]);
        assert!(told.status.success(), "{told:?}");
        self.leshan.event(SOON, is_told);
    }

    /// Updates one after another until one reaches the server late: it was lost and repeated.
    #[track_caller]
    pub fn repeats_an_update(&mut self) {
        const TRIES: u32 = 40;
        for _ in 0..TRIES {
            let begin = now();
            let told = self.agent.cli(&["server", "refresh", "main"]);
            assert!(told.status.success(), "{told:?}");
            self.leshan.event(SOON, is_told);
            if begin.elapsed() >= REPEATED {
                return;
            }
        }
        panic!("none of {TRIES} Updates was lost");
    }

    /// Messages of handshakes since the mark, hellos of probes aside.
    pub fn agreed_since(&self, mark: Mark) -> u64 {
        self.site.agreed() - mark.agreed
    }

    /// Waits until `bearer list` says so.
    #[track_caller]
    pub fn shows(&self, uplink: Uplink, status: &str, reasons: &[&str], within: Duration) {
        self.listed(uplink, within, |bearer| {
            let reason = bearer["reason"].as_str();
            bearer["status"] == status && reason.is_none_or(|reason| reasons.contains(&reason))
        });
    }

    #[track_caller]
    pub fn connected(&self, uplink: Uplink) {
        self.shows(uplink, "connected", &[], SOON);
    }

    /// Waits until the server has taken the registration.
    #[track_caller]
    pub fn registered(&self) {
        self.agent.until(&["server", "list"], SOON, |servers| {
            servers[0]["state"] == "registered"
        });
    }

    /// Waits until sessions go over this one.
    #[track_caller]
    pub fn uses(&self, uplink: Uplink, within: Duration) {
        self.listed(uplink, within, |bearer| bearer["current"] == true);
    }

    /// Waits until any is good to use.
    #[track_caller]
    pub fn any_connected(&self, within: Duration) {
        self.agent.until(&["bearer", "list"], within, |bearers| {
            let mut all = bearers.as_array().into_iter().flatten();
            all.any(|bearer| bearer["current"] == true && bearer["status"] == "connected")
        });
    }

    #[track_caller]
    pub fn listed(&self, uplink: Uplink, within: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        let all = self.agent.until(&["bearer", "list"], within, |bearers| {
            bearer(bearers, uplink).is_some_and(&fits)
        });
        bearer(&all, uplink).cloned().unwrap_or_default()
    }

    /// Counts no more: every number has come, or the agent says that it dropped so many.
    #[track_caller]
    pub fn complete(mut self) {
        let last = self.ends();
        let servers = self.agent.json(&["server", "list"]);
        let dropped = servers[0]["dropped"].as_u64().unwrap();
        let missing = self.ledger.missing(last);
        assert!(
            missing.len() as u64 <= dropped,
            "{} of {last} numbers are missing, {dropped} counted as dropped: {missing:?}",
            missing.len()
        );
    }

    /// As [`Self::complete`] where single packets are lost at random: before the box has noticed, a
    /// notification that nobody confirms may be lost between two that are, and nobody knows.
    #[track_caller]
    pub fn complete_since(mut self, noticed: Mark) {
        let last = self.ends();
        let missing = self.ledger.missing(last);
        let (late, early): (Vec<u32>, Vec<u32>) =
            missing.iter().partition(|number| **number > noticed.number);
        let figure = format!("{} of {}", early.len(), noticed.number);
        figures::say(self.setup.name, "numbers lost before that", &figure);
        assert!(
            late.is_empty(),
            "noticed at {}, and still missing of {last}: {late:?}",
            noticed.number
        );
    }

    #[track_caller]
    fn ends(&mut self) -> u32 {
        let last = self.numbers.as_mut().expect("it has begun").end();
        self.hears(last, SOON * 2);
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        assert!(!log.contains("panicked"), "{log}");
        last
    }
}

/// Whether the server was told where the box is.
fn is_told(event: &Value) -> bool {
    event["event"] == "updated" || event["event"] == "registered"
}

fn bearer(bearers: &Value, uplink: Uplink) -> Option<&Value> {
    let mut all = bearers.as_array()?.iter();
    all.find(|bearer| bearer["name"] == uplink.name())
}

fn port(uri: &str) -> u16 {
    let port = uri.rsplit(':').next();
    port.and_then(|port| port.parse().ok()).unwrap()
}

fn credential(directory: &Path, name: &str, key: &str) {
    let folder = directory.join("credentials");
    fs::create_dir_all(&folder).unwrap();
    let mut options = fs::File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(folder.join(name)).unwrap();
    writeln!(file, "hex:{key}").unwrap();
}
