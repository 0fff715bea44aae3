//! Object 11, APN Connection Profile (lwm2m/70): one instance for each cellular bearer, by its number.

use lamplighter_model::{
    InstancePath, UnixTime, Value,
    device::{Assignment, Fault},
    object::Operations,
};

use super::{PROFILE, Told, bad, list};
use crate::{
    bearer::dbus::{ApnChange, Controls, Profile},
    config::{Apn, secret::Secret},
};

const NAME: u16 = 0;
const APN: u16 = 1;
const ENABLED: u16 = 3;
const AUTHENTICATION: u16 = 4;
const USER: u16 = 5;
pub(super) const SECRET: u16 = 6;
const TIMES: u16 = 9;
const RESULTS: u16 = 10;
const ENDS: u16 = 12;
const SENT: u16 = 13;
const RECEIVED: u16 = 14;
const ADDRESS: u16 = 15;
const PREFIX: u16 = 16;
const GATEWAY: u16 = 18;
const FIRST_DNS: u16 = 19;
const SECOND_DNS: u16 = 20;
const PDN_TYPE: u16 = 24;
const TECHNOLOGIES: u16 = 30;
pub(super) const RESOURCES: [u16; 18] = [
    NAME,
    APN,
    ENABLED,
    AUTHENTICATION,
    USER,
    SECRET,
    TIMES,
    RESULTS,
    ENDS,
    SENT,
    RECEIVED,
    ADDRESS,
    PREFIX,
    GATEWAY,
    FIRST_DNS,
    SECOND_DNS,
    PDN_TYPE,
    TECHNOLOGIES,
];

/// Of a name or a secret; no network asks for more.
const TEXT_MAX: usize = 127;

/// Bits of MMBearerAllowedAuth.
const AUTH_NONE: u32 = 1;
const AUTH_PAP: u32 = 2;
const AUTH_CHAP: u32 = 4;

/// What a server wants of a profile.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    apn: ApnChange,
    is_enabled: Option<bool>,
}

pub(super) fn look(profile: &Profile) -> Vec<Told> {
    let instance = InstancePath::new(PROFILE, profile.bearer);
    let text = |text: &str| Value::String(text.to_owned());
    let one = |resource, value: Option<Value>| value.map(|value| (instance, resource, None, value));
    let count = |bytes: u64| Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX));
    let sent = profile.bytes.map(|(_, sent)| count(sent));
    let received = profile.bytes.map(|(received, _)| count(received));
    let user = profile.user.as_deref().map(text);
    let single = [
        one(NAME, Some(text(&profile.name))),
        one(APN, Some(text(profile.apn.as_deref().unwrap_or_default()))),
        one(ENABLED, Some(Value::Boolean(profile.is_enabled))),
        one(
            AUTHENTICATION,
            Some(Value::Integer(authentication(profile))),
        ),
        one(USER, user),
        one(SENT, sent),
        one(RECEIVED, received),
        one(PDN_TYPE, profile.ip_type.and_then(pdn_type)),
    ];
    let mut told: Vec<Told> = single.into_iter().flatten().collect();
    told.extend(attempts(instance, profile));
    told.extend(addresses(instance, profile));
    told.extend(list(instance, TECHNOLOGIES, technologies(profile.modes)));
    told
}

pub(super) fn operations(resource: u16, is_ours: bool) -> Operations {
    match resource {
        SECRET => Operations::W,
        APN | ENABLED | USER if is_ours => Operations::RW,
        _ => Operations::R,
    }
}

/// The newest first. What was before the date was known is left out.
fn attempts(instance: InstancePath, profile: &Profile) -> Vec<Told> {
    let time = |at: UnixTime| Value::Time(at.seconds());
    let dated = profile.attempts.iter().rev();
    let dated = dated.filter_map(|attempt| Some((attempt.at?, attempt)));
    let mut told = Vec::new();
    for (index, (at, attempt)) in (0..).zip(dated) {
        let result = i64::from(!attempt.has_worked);
        told.push((instance, TIMES, Some(index), time(at)));
        told.push((instance, RESULTS, Some(index), Value::Integer(result)));
        let end = attempt
            .end
            .map(|end| (instance, ENDS, Some(index), time(end)));
        told.extend(end);
    }
    told
}

fn addresses(instance: InstancePath, profile: &Profile) -> Vec<Told> {
    let mut told = Vec::new();
    for (index, address) in (0..).zip(&profile.addresses) {
        let mut tell = |resource, text: Option<String>| {
            told.extend(text.map(|text| (instance, resource, Some(index), Value::String(text))));
        };
        let mut servers = address.name_servers.iter().map(ToString::to_string);
        tell(ADDRESS, Some(address.address.to_string()));
        tell(PREFIX, address.prefix.map(|prefix| prefix.to_string()));
        tell(GATEWAY, address.gateway.map(|gateway| gateway.to_string()));
        tell(FIRST_DNS, servers.next());
        tell(SECOND_DNS, servers.next());
    }
    told
}

/// 0 PAP, 1 CHAP, 2 either, 3 none.
fn authentication(profile: &Profile) -> i64 {
    let allowed = profile.auth.unwrap_or_default();
    match (allowed & AUTH_PAP != 0, allowed & AUTH_CHAP != 0) {
        (true, true) => 2,
        (true, false) => 0,
        (false, true) => 1,
        (false, false) if allowed & AUTH_NONE != 0 || profile.user.is_none() => 3,
        // Left to the modem.
        (false, false) => 2,
    }
}

/// 1 IPv4, 2 IPv6, 3 both; from MMBearerIpFamily.
fn pdn_type(family: u32) -> Option<Value> {
    let code = match family {
        1 => 1,
        2 => 2,
        4 => 3,
        _ => return None,
    };
    Some(Value::Integer(code))
}

/// As 13/0/0 counts them, from the bits of MMModemMode.
fn technologies(modes: u32) -> impl Iterator<Item = Value> {
    let known = [(1, 2), (2, 3), (3, 4), (4, 16)];
    let allowed = known
        .into_iter()
        .filter(move |(bit, _)| modes & (1 << bit) != 0);
    allowed.map(|(_, code)| Value::Unsigned(code))
}

pub(super) fn check(values: &[&Assignment]) -> Result<Wanted, Fault> {
    let mut wanted = Wanted::default();
    for value in values {
        match (value.address.path.resource.0, &value.value) {
            (APN, Value::String(name)) => wanted.apn.name = Some(apn(name)?),
            (USER, Value::String(user)) => wanted.apn.user = Some(short(user)?),
            (SECRET, Value::String(secret)) => {
                let secret = short(secret)?.into_bytes();
                wanted.apn.password = Some(Secret::from(secret));
            }
            (ENABLED, Value::Boolean(is_enabled)) => wanted.is_enabled = Some(*is_enabled),
            (APN | USER | SECRET | ENABLED, _) => {
                return Err(bad("a value of another type is wanted"));
            }
            _ => return Err(Fault::Unsupported),
        }
    }
    Ok(wanted)
}

pub(super) async fn apply(number: u16, wanted: Wanted, controls: &Controls) -> Result<(), Fault> {
    if wanted.apn != ApnChange::default() {
        controls.change_apn(number, wanted.apn)?;
    }
    if let Some(is_enabled) = wanted.is_enabled {
        controls.enable(number, is_enabled).await?;
    }
    Ok(())
}

/// Empty: that of the SIM.
fn apn(name: &str) -> Result<String, Fault> {
    let fits = name.is_empty() || Apn::is_name(name);
    fits.then(|| name.to_owned())
        .ok_or_else(|| bad("an access point has letters, digits, `-` and `.`"))
}

fn short(text: &str) -> Result<String, Fault> {
    let fits = text.len() <= TEXT_MAX && !text.contains(|c: char| c.is_control());
    fits.then(|| text.to_owned())
        .ok_or_else(|| bad("that is too long, or has control characters"))
}
