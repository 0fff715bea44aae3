//! Makes the checked configuration from the text and collects every problem on the way.
//!
//! Nothing here opens a device or a socket; files are looked at only where a secret is referenced.

mod bearer;
mod bootstrap;
mod bus;
mod creation;
mod device;
mod files;
mod lamp;
mod limits;
mod line_meter;
mod location;
mod meter;
mod modbus;
mod mqtt;
mod parameter;
mod point;
mod receiver;
mod register;
mod registration;
mod remote;
mod rights;
mod rule;
mod s0;
mod safety;
mod schedule;
mod security;
mod server;
mod site;
mod standstill;
mod store;
mod units;
mod update;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::PathBuf,
    sync::Arc,
};

use lamplighter_model::{ObjectId, ResourceAddress, UnixTime, object::Definitions, tables};

use super::{
    checked::{Bus, BusId, BusLine, Config, Endpoint, Names, Web},
    extract::{self, Misfit},
    hardware::Hardware,
    layer::{Key, Layers, Texts},
    not_built,
    problem::{Place, Problem, Severity},
    schema,
    secret::Shelf,
    template::{self, Expanded},
};

pub use security::UNSECURED;

/// Vendor objects begin here by default.
pub(crate) const VENDOR_OBJECT_BASE: u16 = 42800;
const NAME_LENGTH: usize = 40;

/// What the check needs to know of the world.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// Objects that only `objects/*.xml` defines.
    pub(super) added: BTreeSet<ObjectId>,
    pub(super) definitions: Definitions,
    pub(super) hardware: Hardware,
    pub(super) now: Option<UnixTime>,
    pub(super) shelf: Shelf,
    /// Where templates are looked for.
    pub(super) templates: Vec<PathBuf>,
}

/// The outcome: `config` stands if there is no error among the problems.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    pub config: Option<Config>,
    /// In the order of files and lines.
    pub problems: Vec<Problem>,
}

/// Checks texts as a whole. `unread`: what went wrong when they were read.
pub(super) fn check(texts: &Texts, unread: Vec<Problem>, surroundings: &Surroundings) -> Checked {
    let (layers, mut problems) = Layers::merge(texts);
    problems.extend(unread);
    // Whatever stands in a file that is not TOML would be reported as missing everywhere else.
    let is_whole = problems.is_empty();
    let Expanded {
        layers,
        used,
        misfits: unmade,
        problems: faults,
    } = template::expand(layers, &texts.templates, &surroundings.templates);
    problems.extend(faults);
    let layers = layers.settled();
    let (refused, mut hidden) = not_built::refused(&layers);
    hidden.extend(used);
    let (root, misfits) = extract::extract(&layers, hidden);
    let mut checker = Checker::new(&layers, surroundings, problems);
    for misfit in unmade.into_iter().chain(refused).chain(misfits) {
        checker.misfit(misfit);
    }
    let config = if is_whole { checker.root(&root) } else { None };
    let mut problems = checker.problems;
    problems.sort_by(|a, b| (&a.place, a.severity, &a.what).cmp(&(&b.place, b.severity, &b.what)));
    problems.dedup();
    let has_errors = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    Checked {
        config: config.filter(|_| !has_errors),
        problems,
    }
}

struct Checker<'a> {
    layers: &'a Layers,
    surroundings: &'a Surroundings,
    problems: Vec<Problem>,
    vendor_object_base: u16,
    buses: Vec<Bus>,
    /// Who declares a resource.
    owners: BTreeMap<ResourceAddress, Key>,
    names: Names,
    /// Something looks at the sun.
    is_position_used: bool,
}

impl<'a> Checker<'a> {
    fn new(layers: &'a Layers, surroundings: &'a Surroundings, problems: Vec<Problem>) -> Self {
        Self {
            layers,
            surroundings,
            problems,
            vendor_object_base: VENDOR_OBJECT_BASE,
            buses: Vec::new(),
            owners: BTreeMap::new(),
            names: Names::default(),
            is_position_used: false,
        }
    }

    fn root(&mut self, root: &schema::Root) -> Option<Config> {
        let endpoint = self.endpoint(&root.client);
        let definitions = self.vendor_objects(&root.client);
        let bootstrap = root.bootstrap.as_ref();
        let bootstrap = bootstrap.map(|bootstrap| self.bootstrap(bootstrap));
        let servers = self.servers(&root.server, root.bootstrap.is_some());
        let limits = self.limits(&root.client.limits);
        let servers = servers.into_iter().map(|server| limits.of_server(server));
        let servers = servers.collect();
        let bearers = self.bearers(&root.bearer);
        self.buses(&root.bus);
        let devices = self.devices(&root.device);
        let site = self.site(&root.site, &devices, &definitions);
        let location = self.location(root);
        let mqtt = self.mqtt(root, endpoint.as_ref());
        let creation = self.creation(&root.client, &site);
        let store = self.store(&root.store);
        let update = root.update.as_ref().map(|update| self.update(update));
        let web = root.web.as_ref().map(|web| self.web(web));
        Some(Config {
            bootstrap: bootstrap
                .flatten()
                .map(|account| limits.of_bootstrap(account)),
            endpoint: endpoint?,
            creation,
            location,
            power_sources: root.client.power_sources.clone().unwrap_or_default(),
            servers,
            bearers,
            buses: std::mem::take(&mut self.buses),
            devices: devices.into_iter().map(|device| device.device).collect(),
            mqtt,
            site,
            names: std::mem::take(&mut self.names),
            store,
            update: update.flatten(),
            web: web.flatten(),
            definitions,
        })
    }

    fn endpoint(&mut self, client: &schema::Client) -> Option<Endpoint> {
        let table = key(&["client"]);
        let Some(name) = &client.endpoint else {
            if let Some((name, source)) = self.surroundings.hardware.endpoint() {
                return Some(Endpoint { name, source });
            }
            self.missing(
                &table,
                "endpoint",
                "this board has no serial number and no permanent MAC address to make a name from",
            );
            return None;
        };
        // Core 1.2, 6.2.1: the name goes into a query of at most 255 bytes, servers keep less.
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            self.error(
                &below(&table, "endpoint"),
                "an endpoint name has 1 to 64 bytes and no control characters",
                "",
            );
            return None;
        }
        Some(Endpoint {
            name: name.clone(),
            source: "client.endpoint".to_owned(),
        })
    }

    /// All definitions, with our own objects where the configuration puts them.
    fn vendor_objects(&mut self, client: &schema::Client) -> Arc<Definitions> {
        if let Some(base) = client.vendor_object_base {
            let at = key(&["client", "vendor_object_base"]);
            self.vendor_object_base =
                self.within(&at, base, 26_241, u16::MAX - tables::VENDOR_OBJECTS - 1);
        }
        let mut definitions = self.surroundings.definitions.clone();
        tables::vendor(self.vendor_object_base)
            .into_iter()
            .for_each(|object| definitions.insert(object));
        Arc::new(definitions)
    }

    fn web(&mut self, web: &schema::Web) -> Option<Web> {
        let at = key(&["web"]);
        let listen = web.listen.as_deref().unwrap_or("127.0.0.1:8080");
        let Ok(listen) = listen.parse() else {
            let what = format!("`{listen}` is not an address with a port");
            self.error(
                &below(&at, "listen"),
                what,
                "for example 127.0.0.1:8080, or [::]:8080 for everybody",
            );
            return None;
        };
        Some(Web { listen })
    }

    fn bus_named(&self, name: &str) -> Option<(BusId, &Bus)> {
        let position = self.buses.iter().position(|bus| bus.name == name)?;
        Some((BusId(u16::try_from(position).ok()?), &self.buses[position]))
    }

    /// The bus that a device names.
    fn bus_of(&mut self, device: &Key, name: Option<&String>) -> Option<BusId> {
        let name = self.required(device, "bus", name)?;
        if let Some((id, _)) = self.bus_named(name) {
            return Some(id);
        }
        if self.layers.find(&key(&["bus", name])).is_none() {
            let known: Vec<&str> = self.buses.iter().map(|bus| bus.name.as_str()).collect();
            let hint = suggestion(name, &known);
            self.error(
                &below(device, "bus"),
                format!("there is no [bus.{name}]"),
                hint,
            );
        }
        None
    }

    fn is_serial(&self, bus: BusId) -> bool {
        self.buses
            .get(usize::from(bus.0))
            .is_some_and(|bus| matches!(bus.line, BusLine::Serial(_)))
    }

    /// Names stand in dotted names, in variables of the environment and in URLs.
    fn name(&mut self, at: &Key) {
        let name = at.last().map_or("", String::as_str);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > NAME_LENGTH || !name.bytes().all(fits) {
            let what = format!("`{name}` cannot be a name");
            self.error(
                at,
                what,
                format!("letters, digits, - and _ only, at most {NAME_LENGTH}"),
            );
        }
    }

    fn required<T>(&mut self, table: &Key, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.missing(table, name, "");
        }
        value
    }

    /// Reports a missing key, unless something stands there that was already reported.
    fn missing(&mut self, table: &Key, name: &str, hint: impl Into<String>) {
        if self.layers.find(&below(table, name)).is_none() {
            self.error(
                table,
                format!("the key `{name}` is missing in [{}]", table.join(".")),
                hint,
            );
        }
    }

    /// The value, pulled into its range, so that checking can go on.
    fn within<T: PartialOrd + Copy + Display>(
        &mut self,
        at: &Key,
        value: T,
        lowest: T,
        highest: T,
    ) -> T {
        if value < lowest || value > highest {
            let name = at.last().map_or("", String::as_str);
            self.error(
                at,
                format!("`{name} = {value}` is not within {lowest} to {highest}"),
                "",
            );
        }
        if value < lowest {
            return lowest;
        }
        if value > highest { highest } else { value }
    }

    fn misfit(&mut self, misfit: Misfit) {
        self.error(&misfit.key, misfit.what, misfit.hint.unwrap_or_default());
    }

    fn error(&mut self, at: &Key, what: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Error, at, what.into(), hint.into());
    }

    fn warning(&mut self, at: &Key, what: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Warning, at, what.into(), hint.into());
    }

    fn report(&mut self, severity: Severity, at: &Key, what: String, hint: String) {
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        let place = self.place(at);
        let what = match self.layers.user_of(&place, at) {
            Some(user) => format!("{what}, in [device.{}] at {user}", at[1]),
            None => what,
        };
        self.problems.push(Problem {
            severity,
            place,
            key: at.join("."),
            what,
            hint,
        });
    }

    fn place(&self, at: &Key) -> Place {
        self.layers.place(at)
    }
}

fn key(parts: &[&str]) -> Key {
    parts.iter().map(|&part| part.to_owned()).collect()
}

fn below(table: &Key, name: &str) -> Key {
    let mut key = table.clone();
    key.push(name.to_owned());
    key
}

/// "did you mean", or what there is.
fn suggestion(wrong: &str, known: &[&str]) -> String {
    match super::problem::nearest(wrong, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => String::new(),
        None => format!("there is {}", known.join(", ")),
    }
}
