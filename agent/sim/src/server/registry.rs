//! Registrations: what a Register or Update says, and who is registered. Core 1.2, 6.2.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use lamplighter_coap::{Code, Request, Response};
use lamplighter_lwm2m::format::{
    ContentFormat,
    link::{self, Link},
};
use lamplighter_model::{ObjectId, Path};

use super::operation::RequestId;

/// Where registrations are found: `rd/<this>`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Location(pub(super) u64);

/// A client as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientInfo {
    pub endpoint: Arc<str>,
    /// Where its last Register or Update came from.
    pub address: SocketAddr,
    /// LwM2M version, `1.1`.
    pub version: String,
    /// Zero is forever.
    pub lifetime: Duration,
    /// As registered: `U`, `UQ`.
    pub binding: String,
    pub is_queue_mode: bool,
    /// The last segment of its location.
    pub location: String,
    pub links: Vec<Link>,
    /// Alternative root without slashes at its ends, mostly empty.
    pub root: String,
    /// Since the origin of the server's time.
    pub registered_at: Duration,
    pub updated_at: Duration,
    /// Updates since the last Register.
    pub updates: u64,
}

impl ClientInfo {
    /// The objects and instances it has registered, its root taken off.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.links
            .iter()
            .filter_map(|link| path_below(&self.root, &link.target))
    }

    /// Whether it listens for a while only after it has said something.
    pub fn is_sleepy(&self) -> bool {
        // LwM2M 1.0 says so in the binding, later versions by a parameter of its own.
        self.is_queue_mode || self.binding.contains('Q')
    }

    /// A structured format that this client must understand.
    pub fn preferred_format(&self) -> ContentFormat {
        // Core 1.2, 7.4: TLV is mandatory in 1.0; later versions list what else they know.
        let listed: Vec<u16> = self
            .links
            .iter()
            .find_map(|link| link.attribute("ct"))
            .map(|numbers| {
                let numbers = numbers.split_ascii_whitespace();
                numbers.filter_map(|number| number.parse().ok()).collect()
            })
            .unwrap_or_default();
        let modern = [ContentFormat::SenmlCbor, ContentFormat::SenmlJson];
        modern
            .into_iter()
            .find(|format| self.version != "1.0" && listed.contains(&format.number()))
            .unwrap_or(ContentFormat::Tlv)
    }
}

/// A registration with what belongs to it.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) client: ClientInfo,
    /// When its last message came.
    pub(super) heard: Duration,
    /// Requests and observations of ours that end with it.
    pub(super) requests: BTreeSet<RequestId>,
}

/// Who is registered, by location and by name.
#[derive(Debug, Default)]
pub(super) struct Registry {
    registrations: BTreeMap<Location, Registration>,
    names: BTreeMap<Arc<str>, Location>,
}

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn insert(&mut self, location: Location, client: ClientInfo) {
        self.names.insert(client.endpoint.clone(), location);
        let registration = Registration {
            heard: client.registered_at,
            client,
            requests: BTreeSet::new(),
        };
        self.registrations.insert(location, registration);
    }

    /// The location that stands in a path, if somebody is registered there.
    pub(super) fn find(&self, segment: &str) -> Option<Location> {
        let location = Location(u64::from_str_radix(segment, 16).ok()?);
        let is_known = self.registrations.contains_key(&location);
        (is_known && location.to_string() == segment).then_some(location)
    }

    pub(super) fn remove(&mut self, location: Location) -> Option<Registration> {
        let registration = self.registrations.remove(&location)?;
        self.names.remove(&registration.client.endpoint);
        Some(registration)
    }

    pub(super) fn locations(&self) -> impl Iterator<Item = Location> {
        self.registrations.keys().copied()
    }

    pub(super) fn location(&self, endpoint: &str) -> Option<Location> {
        self.names.get(endpoint).copied()
    }

    pub(super) fn at(&mut self, location: Location) -> Option<&mut Registration> {
        self.registrations.get_mut(&location)
    }

    pub(super) fn named(&mut self, endpoint: &str) -> Option<&mut Registration> {
        let location = self.location(endpoint)?;
        self.at(location)
    }

    pub(super) fn client(&self, endpoint: &str) -> Option<&ClientInfo> {
        let registration = self.registrations.get(&self.location(endpoint)?)?;
        Some(&registration.client)
    }

    /// By name.
    pub(super) fn clients(&self) -> impl Iterator<Item = &ClientInfo> {
        self.names
            .values()
            .filter_map(|location| self.registrations.get(location))
            .map(|registration| &registration.client)
    }
}

/// The parameters of a Register or Update that the request has. Core 1.2, 6.2.1.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) endpoint: Option<String>,
    pub(super) lifetime: Option<Duration>,
    pub(super) version: Option<String>,
    pub(super) binding: Option<String>,
    pub(super) is_queue_mode: bool,
    pub(super) list: Option<ObjectList>,
}

/// The objects of a client.
#[derive(Debug, Default)]
pub(super) struct ObjectList {
    pub(super) links: Vec<Link>,
    pub(super) root: String,
}

/// Why a request is refused, for the answer's diagnostic payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refused {
    pub(super) code: Code,
    pub(super) reason: &'static str,
}

impl Refused {
    pub(super) const fn bad(reason: &'static str) -> Self {
        Self {
            code: Code::BAD_REQUEST,
            reason,
        }
    }

    pub(super) const UNKNOWN: Self = Self {
        code: Code::NOT_FOUND,
        reason: "not registered",
    };

    pub(super) fn response(&self) -> Response {
        Response {
            payload: self.reason.as_bytes().to_vec(),
            ..Response::new(self.code)
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Parameters {
    pub(super) fn read(request: &Request) -> Result<Self, Refused> {
        let mut parameters = Self::default();
        for query in &request.queries {
            parameters.take(query)?;
        }
        if !request.payload.is_empty() {
            if request.content_format != Some(ContentFormat::Link.number()) {
                return Err(Refused::bad("the object list is not in link format"));
            }
            parameters.list = Some(ObjectList::read(&request.payload)?);
        }
        Ok(parameters)
    }

    fn take(&mut self, query: &str) -> Result<(), Refused> {
        let (name, value) = match query.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (query, None),
        };
        match (name, value) {
            ("ep", Some(name)) if !name.is_empty() => put(&mut self.endpoint, name.to_owned()),
            ("lt", Some(seconds)) => put(&mut self.lifetime, lifetime(seconds)?),
            ("lwm2m", Some(version)) if is_version(version) => {
                put(&mut self.version, version.to_owned())
            }
            ("b", Some(binding)) if is_binding(binding) => {
                put(&mut self.binding, binding.to_owned())
            }
            ("Q", None) => {
                self.is_queue_mode = true;
                Ok(())
            }
            ("ep" | "lwm2m" | "b" | "Q" | "lt", _) => {
                Err(Refused::bad("a parameter has no legal value"))
            }
            // Also `sms` and `pid`, which this server has no use for.
            _ => Ok(()),
        }
    }
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), Refused> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refused::bad("a parameter stands twice")),
    }
}

fn lifetime(seconds: &str) -> Result<Duration, Refused> {
    let is_decimal = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u32 = is_decimal
        .then(|| seconds.parse().ok())
        .flatten()
        .ok_or(Refused::bad("the lifetime is not a number of seconds"))?;
    Ok(Duration::from_secs(seconds.into()))
}

fn is_version(version: &str) -> bool {
    let is_number = |text: &str| {
        (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    version
        .split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// Letters of bindings, each once; Q where version 1.0 marks queue mode.
fn is_binding(binding: &str) -> bool {
    let letters: BTreeSet<char> = binding.chars().collect();
    !binding.is_empty()
        && letters.len() == binding.len()
        && letters.iter().all(|letter| "UTSHMNQ".contains(*letter))
}

impl ObjectList {
    fn read(payload: &[u8]) -> Result<Self, Refused> {
        let links =
            link::parse(payload).map_err(|_| Refused::bad("the object list cannot be read"))?;
        let root = links
            .iter()
            .find(|link| link.attribute("rt") == Some("oma.lwm2m"))
            .map(|link| link.target.trim_matches('/').to_owned())
            .unwrap_or_default();
        let mut objects = 0;
        for link in &links {
            match path_below(&root, &link.target) {
                // Core 1.2, 6.2.1: neither keys nor anything below instances is listed.
                Some(Path::Object(object)) if !is_secret(object) => objects += 1,
                Some(Path::Instance(instance)) if !is_secret(instance.object) => objects += 1,
                Some(Path::Root) | None => {}
                Some(
                    Path::Object(_)
                    | Path::Instance(_)
                    | Path::Resource(_)
                    | Path::ResourceInstance(..),
                ) => return Err(Refused::bad("the object list holds what may not be listed")),
            }
        }
        if objects == 0 {
            return Err(Refused::bad("the object list names no object"));
        }
        Ok(Self { links, root })
    }
}

/// Security, OSCORE and COSE.
fn is_secret(object: ObjectId) -> bool {
    matches!(object.0, 0 | 21 | 23)
}

/// What a link's target is once the root is taken off; `None` where it is no path below it.
fn path_below(root: &str, target: &str) -> Option<Path> {
    let below = target.trim_start_matches('/').strip_prefix(root)?;
    match below.trim_end_matches('/') {
        "" => Some(Path::Root),
        path if path.starts_with('/') => path.parse().ok(),
        path if root.is_empty() => format!("/{path}").parse().ok(),
        _ => None,
    }
}
