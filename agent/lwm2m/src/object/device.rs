//! Object 3: what this box says of itself. Power, battery and memory come from the tree, where
//! somebody declares them.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{
    Now, ObjectId, ObjectLink, ResourceId, ResourceInstanceId, UnixTime, Value,
};

use super::{Effect, server::BINDING};
use crate::{client::DeviceDescription, format::Content, reject::Reject, saved::SavedDevice};

/// The resources that the core always answers for.
pub(crate) const RESOURCES: [u16; 15] = [0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 19];

/// The only instance of object 3.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Device {
    clock: Clock,
    description: DeviceDescription,
    /// Codes by the resource instance that shows them; no code twice.
    errors: BTreeMap<u16, u8>,
    /// Instances that tell of devices around the box (3/0/22); `None` until there is one.
    links: Option<Vec<ObjectLink>>,
    written: SavedDevice,
}

/// What 3/0/13 shows. A write of it changes this view and nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Clock {
    System,
    Written { at: Duration, unix: UnixTime },
}

mod id {
    pub(super) const MANUFACTURER: u16 = 0;
    pub(super) const MODEL: u16 = 1;
    pub(super) const SERIAL: u16 = 2;
    pub(super) const FIRMWARE: u16 = 3;
    pub(super) const REBOOT: u16 = 4;
    pub(super) const FACTORY_RESET: u16 = 5;
    pub(super) const ERRORS: u16 = 11;
    pub(super) const RESET_ERRORS: u16 = 12;
    pub(super) const TIME: u16 = 13;
    pub(super) const UTC_OFFSET: u16 = 14;
    pub(super) const TIMEZONE: u16 = 15;
    pub(super) const BINDING: u16 = 16;
    pub(super) const DEVICE_TYPE: u16 = 17;
    pub(super) const HARDWARE: u16 = 18;
    pub(super) const SOFTWARE: u16 = 19;
    pub(super) const LINKS: u16 = 22;
}

/// There where it has something to say.
pub(crate) const LINKS: u16 = id::LINKS;

/// More instances are not named: nobody follows more links from one resource.
const MAX_LINKS: usize = 64;

/// Longest accepted name of a time zone.
const MAX_TIMEZONE: usize = 64;

impl Device {
    pub(crate) const fn new(description: DeviceDescription) -> Self {
        let written = SavedDevice {
            timezone: None,
            utc_offset: None,
        };
        Self {
            clock: Clock::System,
            description,
            errors: BTreeMap::new(),
            links: None,
            written,
        }
    }

    pub(crate) fn restore(&mut self, saved: SavedDevice) {
        self.written = saved;
    }

    pub(crate) fn saved(&self) -> SavedDevice {
        self.written.clone()
    }

    /// Zone of the machine, and its offset now. Gives the resources that show something else then.
    pub(crate) fn set_zone(&mut self, timezone: String, utc_offset: String) -> Vec<u16> {
        let before = self.clone();
        self.description.timezone = timezone;
        self.description.utc_offset = utc_offset;
        let changed = [
            (id::UTC_OFFSET, self.utc_offset() != before.utc_offset()),
            (id::TIMEZONE, self.timezone() != before.timezone()),
        ];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(id, _)| id).collect()
    }

    /// Instances that 3/0/22 names; true where they are others than before. What was told once
    /// stays, if only to say that there are none.
    pub(crate) fn set_links(&mut self, links: impl Iterator<Item = ObjectLink>) -> bool {
        let links: Vec<ObjectLink> = links.take(MAX_LINKS).collect();
        let told = self.links.as_deref().unwrap_or_default();
        let is_changed = told != links;
        if is_changed {
            self.links = Some(links);
        }
        is_changed
    }

    pub(crate) const fn has_links(&self) -> bool {
        self.links.is_some()
    }

    /// Objects whose instances 3/0/22 names.
    pub(crate) fn described_by(&self) -> &[ObjectId] {
        &self.description.described_by
    }

    /// Shows or removes an error code (3/0/11). A new one takes the lowest free instance, and the
    /// others stay where they are.
    pub(crate) fn set_error(&mut self, code: u8, present: bool) {
        if !present {
            self.errors.retain(|_, shown| *shown != code);
            return;
        }
        if code == 0 || self.errors.values().any(|shown| *shown == code) {
            return;
        }
        // There are fewer codes than instances.
        if let Some(free) = (0..=u16::from(u8::MAX)).find(|id| !self.errors.contains_key(id)) {
            self.errors.insert(free, code);
        }
    }

    /// 3/0/12: the list begins anew with what still holds. Whoever showed a code removes it when its
    /// reason is gone, so all that are here hold (lwm2m/70: reset, then evaluated again).
    pub(crate) fn reset_errors(&mut self) {
        let holding = std::mem::take(&mut self.errors).into_values();
        self.errors = (0..).zip(holding).collect();
    }

    pub(super) fn read(&self, resource: ResourceId, now: Now) -> Option<Content> {
        let text = match resource.0 {
            id::ERRORS => return Some(Content::Multiple(self.error_codes())),
            id::LINKS => return self.linked(),
            id::TIME => {
                return self
                    .time(now)
                    .map(|time| Content::Single(Value::Time(time.seconds())));
            }
            id::MANUFACTURER => &self.description.manufacturer,
            id::MODEL => &self.description.model,
            id::SERIAL => &self.description.serial,
            id::FIRMWARE => &self.description.firmware,
            id::UTC_OFFSET => self.utc_offset(),
            id::TIMEZONE => self.timezone(),
            id::BINDING => BINDING,
            id::DEVICE_TYPE => &self.description.device_type,
            id::HARDWARE => &self.description.hardware,
            id::SOFTWARE => &self.description.software,
            _ => return None,
        };
        (!text.is_empty()).then(|| Content::Single(Value::String(text.to_owned())))
    }

    fn timezone(&self) -> &str {
        let written = self.written.timezone.as_deref();
        written.unwrap_or(&self.description.timezone)
    }

    /// That of the machine's zone is not told of another one.
    fn utc_offset(&self) -> &str {
        let is_own = self.timezone() == self.description.timezone;
        let own = if is_own {
            self.description.utc_offset.as_str()
        } else {
            ""
        };
        self.written.utc_offset.as_deref().unwrap_or(own)
    }

    fn linked(&self) -> Option<Content> {
        let links = self.links.as_ref()?.iter().copied().map(Value::Objlnk);
        let numbers = (0..=u16::MAX).map(ResourceInstanceId);
        Some(Content::Multiple(numbers.zip(links).collect()))
    }

    pub(crate) fn write(
        &mut self,
        resource: ResourceId,
        value: &Value,
        now: Now,
    ) -> Result<(), Reject> {
        match (resource.0, value) {
            (id::TIME, Value::Time(seconds)) => {
                self.clock = Clock::Written {
                    at: now.mono,
                    unix: UnixTime::from_seconds(*seconds),
                };
            }
            (id::UTC_OFFSET, Value::String(text)) if is_utc_offset(text) => {
                self.written.utc_offset = Some(text.clone());
            }
            (id::TIMEZONE, Value::String(text)) if is_timezone(text) => {
                self.written.timezone = Some(text.clone());
            }
            (id::TIME, _) => return Err(Reject::bad_request("a time is wanted")),
            (id::UTC_OFFSET, _) => {
                return Err(Reject::bad_request("an offset like +02:00 is wanted"));
            }
            (id::TIMEZONE, _) => {
                return Err(Reject::bad_request(
                    "a time zone like Europe/Paris is wanted",
                ));
            }
            _ => return Err(Reject::method_not_allowed("the resource cannot be written")),
        }
        Ok(())
    }

    /// Optional resources that a Replace leaves out go back to what the box knows.
    pub(super) fn reset(&mut self, resource: ResourceId) {
        match resource.0 {
            id::TIME => self.clock = Clock::System,
            id::UTC_OFFSET => self.written.utc_offset = None,
            id::TIMEZONE => self.written.timezone = None,
            _ => {}
        }
    }

    pub(super) const fn execute(resource: ResourceId) -> Option<Effect> {
        match resource.0 {
            id::REBOOT => Some(Effect::Reboot),
            id::FACTORY_RESET => Some(Effect::FactoryReset),
            id::RESET_ERRORS => Some(Effect::ResetErrors),
            _ => None,
        }
    }

    /// Resources that hold something else than in `before`. The ticking of the clock is no change.
    pub(crate) fn different(&self, before: &Self) -> impl Iterator<Item = u16> {
        let changed = [
            (id::ERRORS, self.errors != before.errors),
            (id::TIME, self.clock != before.clock),
            (id::UTC_OFFSET, self.utc_offset() != before.utc_offset()),
            (id::TIMEZONE, self.timezone() != before.timezone()),
        ];
        changed
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(id, _)| id)
    }

    /// At least one instance: 0 stands for "no error".
    fn error_codes(&self) -> Vec<(ResourceInstanceId, Value)> {
        if self.errors.is_empty() {
            return vec![(ResourceInstanceId(0), Value::Integer(0))];
        }
        let code = |(id, code): (&u16, &u8)| {
            let code = Value::Integer((*code).into());
            (ResourceInstanceId(*id), code)
        };
        self.errors.iter().map(code).collect()
    }

    fn time(&self, now: Now) -> Option<UnixTime> {
        match self.clock {
            Clock::System => now.unix,
            Clock::Written { at, unix } => {
                let since = i64::try_from(now.mono.saturating_sub(at).as_millis()).ok()?;
                Some(UnixTime(unix.0.saturating_add(since)))
            }
        }
    }
}

/// `+02:00`, `-0330`, `UTC+2`, `Z` (ISO 8601).
fn is_utc_offset(text: &str) -> bool {
    let rest = text.strip_prefix("UTC").unwrap_or(text);
    let Some(digits) = rest.strip_prefix(['+', '-']) else {
        return rest == "Z" || (rest.is_empty() && !text.is_empty());
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let within = |text: &str, limit: u8| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse().is_ok_and(|n: u8| n <= limit)
    };
    within(hours, 14) && within(minutes, 59)
}

fn is_timezone(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    (1..=MAX_TIMEZONE).contains(&text.len()) && text.bytes().all(allowed)
}
