//! Object 1: what a server may change of its own account.

use std::time::Duration;

use lamplighter_model::{ResourceId, Ssid, Value};

use super::{Effect, number};
use crate::{
    client::ServerConfig,
    registration::{MAX_ABSENCE, RetryPolicy},
    reject::Reject,
    saved::SavedAccount,
};

/// The resources that are there.
pub(crate) const RESOURCES: [u16; 10] = [
    id::SSID,
    id::LIFETIME,
    id::PMIN,
    id::PMAX,
    id::DISABLE,
    id::DISABLE_TIMEOUT,
    id::STORE,
    id::BINDING,
    id::TRIGGER,
    id::MUTE_SEND,
];

/// One instance of object 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) disable_timeout: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) mute_send: bool,
    /// Default maximum period in seconds; 0 for none.
    pub(crate) pmax: u32,
    /// Default minimum period in seconds.
    pub(crate) pmin: u32,
    /// Resources 17 to 20, which nobody may write yet.
    pub(crate) retry: RetryPolicy,
    pub(crate) store_notifications: bool,
}

mod id {
    pub(super) const SSID: u16 = 0;
    pub(super) const LIFETIME: u16 = 1;
    pub(super) const PMIN: u16 = 2;
    pub(super) const PMAX: u16 = 3;
    pub(super) const DISABLE: u16 = 4;
    pub(super) const DISABLE_TIMEOUT: u16 = 5;
    pub(super) const STORE: u16 = 6;
    pub(super) const BINDING: u16 = 7;
    pub(super) const TRIGGER: u16 = 8;
    pub(super) const MUTE_SEND: u16 = 23;
}

/// The only transport there is.
pub(crate) const BINDING: &str = "U";

impl Account {
    pub(crate) const fn new(config: &ServerConfig) -> Self {
        Self {
            disable_timeout: MAX_ABSENCE,
            lifetime: config.lifetime,
            mute_send: true,
            pmax: 0,
            pmin: 0,
            retry: RetryPolicy::STANDARD,
            store_notifications: config.store_notifications,
        }
    }

    /// What the server had written before the restart wins over the configuration.
    pub(crate) fn restore(&mut self, saved: SavedAccount) {
        self.disable_timeout = Duration::from_secs(saved.disable_timeout_s.into());
        self.lifetime = Duration::from_secs(saved.lifetime_s.into());
        self.mute_send = saved.mute_send;
        self.pmax = saved.pmax_s;
        self.pmin = saved.pmin_s;
        self.store_notifications = saved.store_notifications;
    }

    pub(crate) fn saved(&self) -> SavedAccount {
        SavedAccount {
            disable_timeout_s: seconds(self.disable_timeout),
            lifetime_s: seconds(self.lifetime),
            mute_send: self.mute_send,
            pmax_s: self.pmax,
            pmin_s: self.pmin,
            store_notifications: self.store_notifications,
        }
    }

    pub(super) fn read(&self, ssid: Ssid, resource: ResourceId) -> Option<Value> {
        Some(match resource.0 {
            id::SSID => Value::Integer(ssid.0.into()),
            id::LIFETIME => Value::Integer(seconds(self.lifetime).into()),
            id::PMIN => Value::Integer(self.pmin.into()),
            id::PMAX => Value::Integer(self.pmax.into()),
            id::DISABLE_TIMEOUT => Value::Integer(seconds(self.disable_timeout).into()),
            id::STORE => Value::Boolean(self.store_notifications),
            id::BINDING => Value::String(BINDING.to_owned()),
            id::MUTE_SEND => Value::Boolean(self.mute_send),
            _ => return None,
        })
    }

    pub(super) fn write(&mut self, resource: ResourceId, value: &Value) -> Result<(), Reject> {
        match resource.0 {
            // 0 means "for ever" since 1.2 only; older servers expire it at once.
            id::LIFETIME => {
                self.lifetime = Duration::from_secs(number(value, 1..=u32::MAX)?.into())
            }
            id::PMIN => self.pmin = number(value, 0..=u32::MAX)?,
            id::PMAX => self.pmax = number(value, 0..=u32::MAX)?,
            id::DISABLE_TIMEOUT => {
                let longest = seconds(MAX_ABSENCE);
                self.disable_timeout = Duration::from_secs(number(value, 0..=longest)?.into());
            }
            id::STORE => self.store_notifications = boolean(value)?,
            id::BINDING if *value == Value::String(BINDING.to_owned()) => {}
            id::BINDING => {
                return Err(Reject::bad_request(
                    "the only binding available in this version is U",
                ));
            }
            id::MUTE_SEND => self.mute_send = boolean(value)?,
            _ => return Err(Reject::method_not_allowed("the resource cannot be written")),
        }
        Ok(())
    }

    /// Optional resources that a Replace leaves out go back to their defaults.
    pub(super) const fn reset(&mut self, resource: ResourceId) {
        match resource.0 {
            id::PMIN => self.pmin = 0,
            id::PMAX => self.pmax = 0,
            id::DISABLE_TIMEOUT => self.disable_timeout = MAX_ABSENCE,
            id::MUTE_SEND => self.mute_send = true,
            _ => {}
        }
    }

    pub(super) const fn execute(ssid: Ssid, resource: ResourceId) -> Option<Effect> {
        match resource.0 {
            id::DISABLE => Some(Effect::Disable(ssid)),
            id::TRIGGER => Some(Effect::Update(ssid)),
            _ => None,
        }
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn boolean(value: &Value) -> Result<bool, Reject> {
    let Value::Boolean(value) = value else {
        return Err(Reject::bad_request("a boolean is wanted"));
    };
    Ok(*value)
}
