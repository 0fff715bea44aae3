//! Object 1: what a server may change of its own account, and how that is registered.
//!
//! What is shown depends on the version that is spoken with the server (lwm2m/10, 17): 1.0 ends at
//! resource 8; in 1.1 resources 13 to 20 carry no operation, as only a bootstrap server sees them;
//! 1.2 shows all.

use std::time::Duration;

use lamplighter_model::{ResourceId, Ssid, Value, object::Version};

use super::{Effect, number};
use crate::{
    client::{RegistrationConfig, RetryConfig, ServerConfig},
    format::Content,
    registration::{Enabler, MAX_ABSENCE, RetryPolicy},
    reject::Reject,
    saved::{SavedAccount, SavedSequence},
    tree::Held,
};

mod binding;

pub(crate) use binding::BINDING;

/// One instance of object 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Account {
    /// The last alert that the server has sent to us.
    pub(crate) alert: Option<u8>,
    /// When this box was bootstrapped, in seconds since 1970.
    pub(crate) bootstrapped: Option<i64>,
    /// There is a bootstrap server that could be asked.
    pub(crate) can_bootstrap: bool,
    /// Notifications are confirmable where nothing else is said.
    pub(crate) confirms: bool,
    pub(crate) disable_timeout: Duration,
    /// The server has asked for silence, and it lasts.
    pub(crate) is_disabled: bool,
    /// Zero: it never ends (1.2).
    pub(crate) lifetime: Duration,
    pub(crate) mute_send: bool,
    /// Default maximum period in seconds; 0 for none.
    pub(crate) pmax: u32,
    /// Default minimum period in seconds.
    pub(crate) pmin: u32,
    preferred_transport: Option<char>,
    pub(crate) queue_mode: bool,
    /// Resources 13 to 20; what is `None` is absent.
    pub(crate) registration: RegistrationConfig,
    pub(crate) spoken: Spoken,
    pub(crate) store_notifications: bool,
}

/// What the server was told of versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) enabler: Enabler,
    /// Of object 1.
    pub(crate) object: Version,
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
    pub(super) const BOOTSTRAP: u16 = 9;
    pub(super) const ALERT: u16 = 11;
    pub(super) const LAST_BOOTSTRAPPED: u16 = 12;
    pub(super) const PRIORITY: u16 = 13;
    pub(super) const INITIAL_DELAY: u16 = 14;
    pub(super) const FAILURE_BLOCK: u16 = 15;
    pub(super) const BOOTSTRAP_ON_FAILURE: u16 = 16;
    pub(super) const RETRY_COUNT: u16 = 17;
    pub(super) const RETRY_TIMER: u16 = 18;
    pub(super) const SEQUENCE_DELAY: u16 = 19;
    pub(super) const SEQUENCES: u16 = 20;
    pub(super) const PREFERRED_TRANSPORT: u16 = 22;
    pub(super) const MUTE_SEND: u16 = 23;
    pub(super) const NOTIFICATION_MODE: u16 = 26;
}

pub(super) const ALERT: u16 = id::ALERT;
pub(super) const LAST_BOOTSTRAPPED: u16 = id::LAST_BOOTSTRAPPED;

/// All that is supported, in order.
pub(super) const RESOURCES: [u16; 23] = [
    id::SSID,
    id::LIFETIME,
    id::PMIN,
    id::PMAX,
    id::DISABLE,
    id::DISABLE_TIMEOUT,
    id::STORE,
    id::BINDING,
    id::TRIGGER,
    id::BOOTSTRAP,
    id::ALERT,
    id::LAST_BOOTSTRAPPED,
    id::PRIORITY,
    id::INITIAL_DELAY,
    id::FAILURE_BLOCK,
    id::BOOTSTRAP_ON_FAILURE,
    id::RETRY_COUNT,
    id::RETRY_TIMER,
    id::SEQUENCE_DELAY,
    id::SEQUENCES,
    id::PREFERRED_TRANSPORT,
    id::MUTE_SEND,
    id::NOTIFICATION_MODE,
];

impl Account {
    pub(crate) const fn new(config: &ServerConfig) -> Self {
        Self {
            alert: None,
            bootstrapped: None,
            can_bootstrap: false,
            confirms: false,
            disable_timeout: MAX_ABSENCE,
            is_disabled: false,
            lifetime: config.lifetime,
            mute_send: config.mute_send,
            pmax: 0,
            pmin: 0,
            preferred_transport: None,
            queue_mode: config.queue_mode,
            registration: config.registration,
            spoken: Spoken {
                enabler: Enabler::V1_2,
                object: Version::new(1, 2),
            },
            store_notifications: config.store_notifications,
        }
    }

    /// What the server had written before the restart wins over the configuration.
    pub(crate) fn restore(&mut self, saved: SavedAccount) {
        self.alert = saved.alert;
        self.confirms = saved.confirms;
        self.disable_timeout = Duration::from_secs(saved.disable_timeout_s.into());
        self.lifetime = Duration::from_secs(saved.lifetime_s.into());
        self.mute_send = saved.mute_send;
        self.pmax = saved.pmax_s;
        self.pmin = saved.pmin_s;
        self.preferred_transport = saved.preferred_transport;
        self.queue_mode = saved.queue_mode.unwrap_or(self.queue_mode);
        self.store_notifications = saved.store_notifications;
        let (own, saved) = (&mut self.registration, saved.registration);
        own.initial_delay_s = saved.initial_delay_s.or(own.initial_delay_s);
        own.retry = RetryConfig {
            count: saved.retry_count.or(own.retry.count),
            sequence_delay_s: saved.sequence_delay_s.or(own.retry.sequence_delay_s),
            sequences: saved.sequences.or(own.retry.sequences),
            timer_s: saved.retry_timer_s.or(own.retry.timer_s),
        };
    }

    pub(crate) fn saved(&self) -> SavedAccount {
        let RegistrationConfig {
            initial_delay_s,
            retry,
            ..
        } = self.registration;
        SavedAccount {
            alert: self.alert,
            confirms: self.confirms,
            disable_timeout_s: seconds(self.disable_timeout),
            lifetime_s: seconds(self.lifetime),
            mute_send: self.mute_send,
            pmax_s: self.pmax,
            pmin_s: self.pmin,
            preferred_transport: self.preferred_transport,
            queue_mode: Some(self.queue_mode),
            registration: SavedSequence {
                initial_delay_s,
                retry_count: retry.count,
                retry_timer_s: retry.timer_s,
                sequence_delay_s: retry.sequence_delay_s,
                sequences: retry.sequences,
            },
            store_notifications: self.store_notifications,
        }
    }

    /// When to try again, with the standard's values for what is absent.
    pub(crate) fn retry(&self) -> RetryPolicy {
        RetryPolicy::from(self.registration.retry)
    }

    pub(crate) fn binding(&self) -> &'static str {
        binding::text(self.queue_mode, self.spoken.enabler)
    }

    /// The resources that the server may know of.
    pub(super) fn resources(&self) -> impl Iterator<Item = u16> + use<> {
        let version = self.spoken.object;
        let (can_bootstrap, bootstrapped) = (self.can_bootstrap, self.bootstrapped);
        let alert = self.alert;
        RESOURCES.into_iter().filter(move |id| match *id {
            id::BOOTSTRAP => can_bootstrap,
            id::ALERT => alert.is_some() && version >= Version::new(1, 1),
            id::LAST_BOOTSTRAPPED => bootstrapped.is_some() && version >= Version::new(1, 1),
            id::PRIORITY..=id::SEQUENCES | id::NOTIFICATION_MODE => version >= Version::new(1, 2),
            id::PREFERRED_TRANSPORT | id::MUTE_SEND => version >= Version::new(1, 1),
            _ => true,
        })
    }

    pub(super) fn read(&self, ssid: Ssid, resource: ResourceId) -> Option<Value> {
        let RegistrationConfig {
            bootstrap_on_failure,
            failure_block,
            initial_delay_s,
            priority,
            retry,
            ..
        } = self.registration;
        let unsigned = |number: Option<u32>| number.map(|number| Value::Unsigned(number.into()));
        match resource.0 {
            id::SSID => Some(Value::Integer(ssid.0.into())),
            id::LIFETIME => Some(Value::Integer(seconds(self.lifetime).into())),
            id::PMIN => Some(Value::Integer(self.pmin.into())),
            id::PMAX => Some(Value::Integer(self.pmax.into())),
            id::DISABLE_TIMEOUT => Some(Value::Integer(seconds(self.disable_timeout).into())),
            id::STORE => Some(Value::Boolean(self.store_notifications)),
            id::BINDING => Some(Value::String(self.binding().to_owned())),
            id::ALERT => self.alert.map(|alert| Value::Unsigned(alert.into())),
            id::LAST_BOOTSTRAPPED => self.bootstrapped.map(Value::Time),
            id::PRIORITY => unsigned(priority),
            id::INITIAL_DELAY => unsigned(initial_delay_s),
            id::FAILURE_BLOCK => failure_block.map(Value::Boolean),
            id::BOOTSTRAP_ON_FAILURE => bootstrap_on_failure.map(Value::Boolean),
            id::RETRY_COUNT => unsigned(retry.count),
            id::RETRY_TIMER => unsigned(retry.timer_s),
            id::SEQUENCE_DELAY => unsigned(retry.sequence_delay_s),
            id::SEQUENCES => unsigned(retry.sequences),
            id::PREFERRED_TRANSPORT => self
                .preferred_transport
                .map(|letter| Value::String(letter.to_string())),
            id::MUTE_SEND => Some(Value::Boolean(self.mute_send)),
            id::NOTIFICATION_MODE => Some(Value::Integer(self.confirms.into())),
            _ => None,
        }
    }

    pub(super) fn write(&mut self, resource: ResourceId, value: &Value) -> Result<(), Reject> {
        let any = |value| number(value, 0..=u32::MAX);
        let own = &mut self.registration;
        match resource.0 {
            id::LIFETIME => {
                // lwm2m/10, 2: 0 means "for ever" since 1.2 only; older servers expire it at once.
                let least = u32::from(self.spoken.enabler < Enabler::V1_2);
                self.lifetime = Duration::from_secs(number(value, least..=u32::MAX)?.into());
            }
            id::PMIN => self.pmin = any(value)?,
            id::PMAX => self.pmax = any(value)?,
            id::DISABLE_TIMEOUT => {
                let longest = seconds(MAX_ABSENCE);
                self.disable_timeout = Duration::from_secs(number(value, 0..=longest)?.into());
            }
            id::STORE => self.store_notifications = boolean(value)?,
            id::BINDING => {
                let queue_mode = binding::written(text(value)?, self.spoken.enabler)?;
                self.queue_mode = queue_mode.unwrap_or(self.queue_mode);
            }
            id::INITIAL_DELAY => own.initial_delay_s = Some(any(value)?),
            id::RETRY_COUNT => own.retry.count = Some(any(value)?),
            id::RETRY_TIMER => own.retry.timer_s = Some(any(value)?),
            id::SEQUENCE_DELAY => own.retry.sequence_delay_s = Some(any(value)?),
            id::SEQUENCES => own.retry.sequences = Some(any(value)?),
            id::PREFERRED_TRANSPORT => {
                self.preferred_transport = Some(binding::transport(text(value)?)?);
            }
            id::MUTE_SEND => self.mute_send = boolean(value)?,
            id::NOTIFICATION_MODE => self.confirms = number(value, 0..=1)? == 1,
            _ => return Err(Reject::method_not_allowed("the resource cannot be written")),
        }
        Ok(())
    }

    /// Takes what a bootstrap server gives, whatever a server may write. What means nothing to us is
    /// passed over.
    ///
    /// # Errors
    /// 4.00 for what the resource cannot hold.
    pub(crate) fn give(&mut self, resource: ResourceId, content: &Content) -> Result<(), Reject> {
        let Content::Single(value) = content else {
            return Ok(());
        };
        let own = &mut self.registration;
        match resource.0 {
            id::BINDING => {
                let queue_mode = binding::given(text(value)?)?;
                self.queue_mode |= queue_mode;
                Ok(())
            }
            id::PRIORITY => {
                own.priority = Some(number(value, 0..=u32::MAX)?);
                Ok(())
            }
            id::FAILURE_BLOCK => {
                own.failure_block = Some(boolean(value)?);
                Ok(())
            }
            id::BOOTSTRAP_ON_FAILURE => {
                own.bootstrap_on_failure = Some(boolean(value)?);
                Ok(())
            }
            id::PREFERRED_TRANSPORT => {
                self.preferred_transport = binding::transport(text(value)?).ok();
                Ok(())
            }
            id::LIFETIME
            | id::PMIN
            | id::PMAX
            | id::DISABLE_TIMEOUT
            | id::STORE
            | id::INITIAL_DELAY
            | id::RETRY_COUNT
            | id::RETRY_TIMER
            | id::SEQUENCE_DELAY
            | id::SEQUENCES
            | id::MUTE_SEND
            | id::NOTIFICATION_MODE => self.write(resource, value),
            _ => Ok(()),
        }
    }

    /// All that there is a value of, as a bootstrap server sees it.
    pub(crate) fn held(&self, ssid: Ssid) -> Held {
        let values = RESOURCES.into_iter().map(ResourceId);
        values
            .filter_map(|id| Some((id, Content::Single(self.read(ssid, id)?))))
            .collect()
    }

    /// Optional resources that a Replace leaves out go back to their defaults.
    pub(super) const fn reset(&mut self, resource: ResourceId) {
        let own = &mut self.registration;
        match resource.0 {
            id::PMIN => self.pmin = 0,
            id::PMAX => self.pmax = 0,
            id::DISABLE_TIMEOUT => self.disable_timeout = MAX_ABSENCE,
            id::INITIAL_DELAY => own.initial_delay_s = None,
            id::RETRY_COUNT => own.retry.count = None,
            id::RETRY_TIMER => own.retry.timer_s = None,
            id::SEQUENCE_DELAY => own.retry.sequence_delay_s = None,
            id::SEQUENCES => own.retry.sequences = None,
            id::PREFERRED_TRANSPORT => self.preferred_transport = None,
            id::MUTE_SEND => self.mute_send = true,
            id::NOTIFICATION_MODE => self.confirms = false,
            _ => {}
        }
    }

    /// # Errors
    /// 4.00 where the arguments mean nothing, 4.05 where the resource is not executable.
    pub(super) fn execute(
        &self,
        ssid: Ssid,
        resource: ResourceId,
        args: &[u8],
    ) -> Result<Effect, Reject> {
        match resource.0 {
            id::DISABLE => Ok(Effect::Disable(ssid)),
            id::BOOTSTRAP if self.can_bootstrap => Ok(Effect::Bootstrap),
            // lwm2m/10, 6: nothing is sent to it before its time.
            id::TRIGGER if self.is_disabled => Err(Reject::bad_request("this server is disabled")),
            id::TRIGGER => binding::check_trigger(args).map(|()| Effect::Update(ssid)),
            _ => Err(Reject::method_not_allowed(
                "the resource cannot be executed",
            )),
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

fn text(value: &Value) -> Result<&str, Reject> {
    let Value::String(text) = value else {
        return Err(Reject::bad_request("a text is wanted"));
    };
    Ok(text)
}
