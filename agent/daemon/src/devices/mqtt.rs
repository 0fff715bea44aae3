//! Devices that speak through the broker: one connection for all of them.

use lamplighter_adapters::mqtt::{Broker, BrokerConfig, BrokerHandle, MqttDevice};

use super::Starter;
use crate::{
    config::{self, Config, Device, DeviceKind},
    status::{Wear, WearSource},
};

/// The connection, before it is begun.
pub(super) struct Way {
    broker: Broker,
    handle: BrokerHandle,
}

/// The way to the broker, where a device needs it; the words of why there is none.
pub(super) fn way(config: &Config) -> Option<Result<Way, String>> {
    let mut devices = config.devices.iter();
    devices.find(|device| matches!(device.kind, DeviceKind::Mqtt(_)))?;
    let Some(broker) = &config.mqtt else {
        return Some(Err("there is no broker".to_owned()));
    };
    if let Some(why) = &broker.unusable {
        return Some(Err(why.clone()));
    }
    let user = broker.user.as_ref().map(|(user, password)| {
        let password = String::from_utf8_lossy(password.bytes());
        (user.clone(), password.into_owned())
    });
    let made = Broker::new(BrokerConfig {
        host: broker.host.clone(),
        port: broker.port,
        client_id: broker.client_id.clone(),
        user,
        ca: broker.ca.clone(),
        keep_alive: broker.keep_alive,
    });
    Some(made.map(|(broker, handle)| Way { broker, handle }))
}

impl Starter<'_> {
    pub(super) fn mqtt(&mut self, device: &Device, mqtt: &config::Mqtt) -> Result<(), String> {
        let way = match &mut self.broker {
            Some(Ok(way)) => way,
            Some(Err(why)) => return Err(why.clone()),
            None => return Err("there is no broker".to_owned()),
        };
        let inbox = way.broker.subscribe(mqtt.config.topics());
        let (config, handle) = (mqtt.config.clone(), way.handle.clone());
        let limits = config.limits();
        let adapter = MqttDevice::new(config, handle, inbox, self.clock.clone());
        let stats = adapter.stats();
        let wear = WearSource::new(move || {
            let stats = stats.borrow();
            let errors = stats.iter().map(|(kind, n)| ((*kind).to_owned(), *n));
            Wear {
                errors: errors.collect(),
                ..Wear::default()
            }
        });
        self.wear.insert(device.id, wear);
        self.supervise(device.id, adapter, limits);
        Ok(())
    }

    /// Connects once it is known what all devices want to hear.
    pub(super) fn connect_to_broker(&mut self) {
        if let Some(Ok(way)) = self.broker.take() {
            self.task(way.broker.run());
        }
    }
}
