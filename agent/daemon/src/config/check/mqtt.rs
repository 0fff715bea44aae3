//! `[mqtt]` and devices that speak through the broker.

use std::time::Duration;

use lamplighter_adapters::mqtt::{self, Form, MqttCommand, MqttConfig, MqttPoint};
use lamplighter_dtls as dtls;
use lamplighter_model::{DataType, Decimal, device::AdapterId};
use lamplighter_site::boundary::{BootState, PointConfig, PointKind};

use super::{
    Checker, below, key,
    point::{Carries, Common, Writable},
};
use crate::config::{
    checked::{Broker, Endpoint, Mqtt},
    layer::Key,
    problem::Severity,
    schema,
    secret::{self, Reference, Secret},
};

/// Longest topic.
const TOPIC_MAX: usize = 256;

const CA: &str = "the certificate of who signed that of the broker; of all public ones \
                  \"/etc/ssl/certs/ca-certificates.crt\"";

impl Checker<'_> {
    /// The broker, and that there is one where devices need it.
    pub(super) fn mqtt(
        &mut self,
        root: &schema::Root,
        endpoint: Option<&Endpoint>,
    ) -> Option<Broker> {
        if let Some(mqtt) = &root.mqtt {
            let name = endpoint.map(|endpoint| endpoint.name.clone());
            return self.broker(mqtt, name.unwrap_or_default());
        }
        for (name, device) in &root.device {
            if matches!(device, schema::Device::Mqtt(_)) {
                let at = key(&["device", name, "adapter"]);
                let hint = "[mqtt] with url = \"mqtts://HOST\"";
                self.error(&at, "there is no [mqtt]: no broker to speak through", hint);
            }
        }
        None
    }

    fn broker(&mut self, mqtt: &schema::Mqtt, client_id: String) -> Option<Broker> {
        let at = key(&["mqtt"]);
        let url = self.required(&at, "url", mqtt.url.as_ref());
        let keep_alive = mqtt.keep_alive_s.unwrap_or(30);
        let keep_alive = self.within(&below(&at, "keep_alive_s"), keep_alive, 5, 3600);
        let (is_secured, host, port) = self.broker_url(&below(&at, "url"), url?)?;
        let mut unusable = None;
        let ca = is_secured.then(|| self.broker_ca(&at, mqtt, &mut unusable));
        if !is_secured && mqtt.ca.is_some() {
            self.error(&below(&at, "ca"), "only mqtts:// has certificates", "");
        }
        if !is_secured && mqtt.password.is_some() && !is_here(&host) {
            let what = "the password goes over the network for everybody to read";
            self.warning(&below(&at, "url"), what, "mqtts://");
        }
        let user = self.broker_user(&at, mqtt, &mut unusable);
        Some(Broker {
            host,
            port,
            user,
            ca,
            client_id: mqtt.client_id.clone().unwrap_or(client_id),
            keep_alive: Duration::from_secs(keep_alive),
            unusable,
        })
    }

    fn broker_url(&mut self, at: &Key, url: &str) -> Option<(bool, String, u16)> {
        let found = split(url);
        if found.is_none() {
            let what = format!("`{url}` is not the address of a broker");
            self.error(at, what, "mqtts://HOST[:PORT] or mqtt://HOST[:PORT]");
        }
        found
    }

    fn broker_ca(
        &mut self,
        at: &Key,
        mqtt: &schema::Mqtt,
        unusable: &mut Option<String>,
    ) -> Vec<Vec<u8>> {
        let Some(text) = &mqtt.ca else {
            self.missing(at, "ca", CA);
            return Vec::new();
        };
        let at = below(at, "ca");
        let Ok(reference) = Reference::parse(text) else {
            self.error(&at, "this is no absolute path", CA);
            return Vec::new();
        };
        let content = secret::read_authorities(&reference, &self.surroundings.shelf);
        let found = content.map_err(|why| why.to_string()).and_then(|content| {
            let found = dtls::certificates(&content).unwrap_or_default();
            let why = || "holds no certificate that can be read".to_owned();
            Some(found)
                .filter(|found| !found.is_empty())
                .ok_or_else(why)
        });
        found.unwrap_or_else(|why| {
            let path = reference.path(&self.surroundings.shelf);
            self.broker_unusable(&at, format!("{} {why}", path.display()), CA, unusable);
            Vec::new()
        })
    }

    fn broker_user(
        &mut self,
        at: &Key,
        mqtt: &schema::Mqtt,
        unusable: &mut Option<String>,
    ) -> Option<(String, Secret)> {
        let hint = "\"credential:NAME\", or an absolute path";
        let (user, text) = match (&mqtt.user, &mqtt.password) {
            (Some(user), Some(password)) => (user, password),
            (None, None) => return None,
            (Some(_), None) => {
                self.missing(at, "password", hint);
                return None;
            }
            (None, Some(_)) => {
                self.missing(at, "user", "");
                return None;
            }
        };
        let at = below(at, "password");
        let reference = match Reference::parse(text) {
            Ok(reference) => reference,
            Err(why) => {
                self.error(&at, why.to_string(), hint);
                return None;
            }
        };
        match secret::read(&reference, &self.surroundings.shelf) {
            Ok(password) => Some((user.clone(), password)),
            Err(why) => {
                let path = reference.path(&self.surroundings.shelf);
                let what = format!("{} {why}", path.display());
                self.broker_unusable(&at, what, why.hint(), unusable);
                None
            }
        }
    }

    /// What only costs the devices that speak through the broker.
    fn broker_unusable(
        &mut self,
        at: &Key,
        what: String,
        hint: &str,
        unusable: &mut Option<String>,
    ) {
        self.report(Severity::Account, at, what.clone(), hint.to_owned());
        *unusable = Some(what);
    }

    pub(super) fn mqtt_device(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::MqttDevice,
    ) -> (Mqtt, Vec<PointConfig>) {
        let mut config = MqttConfig {
            availability: self.availability(at, device.availability.as_ref()),
            query: self.query(at, device.query.as_ref()),
            stale_after: self.stale_after(at, device.stale_after_s),
            points: Vec::new(),
        };
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let writable = if point.command.is_some() {
                Writable::Yes
            } else {
                Writable::No
            };
            let common = common(point);
            let checked = self.point(&at, id, common, Carries::Anything, writable);
            let topic = self.topic(&at, point.topic.as_ref());
            let data_type = checked.as_ref().map(|(checked, _)| checked.data_type);
            let form = self.form(&at, point, data_type.unwrap_or(DataType::Float));
            let kind = checked.as_ref().map(|(checked, _)| checked.kind);
            let command = point.command.as_ref();
            let command = command.and_then(|command| self.command(&at, command, kind));
            let (Some((checked, point_config)), Some(topic)) = (checked, topic) else {
                continue;
            };
            config.points.push(MqttPoint {
                address: checked.address,
                topic,
                form,
                command,
            });
            points.push(checked);
            configs.push(point_config);
        }
        (Mqtt { config, points }, configs)
    }

    fn availability(
        &mut self,
        device: &Key,
        availability: Option<&schema::Availability>,
    ) -> Option<mqtt::Availability> {
        let will = availability?;
        let at = below(device, "availability");
        let topic = self.topic(&at, will.topic.as_ref());
        Some(mqtt::Availability {
            field: self.pointer(&at, will.field.as_ref()),
            online: word(will.online.as_ref(), "online"),
            offline: word(will.offline.as_ref(), "offline"),
            topic: topic?,
        })
    }

    fn query(&mut self, device: &Key, query: Option<&schema::Query>) -> Option<mqtt::Query> {
        let query = query?;
        let topic = self.topic(&below(device, "query"), query.topic.as_ref())?;
        let payload = query.payload.clone().unwrap_or_default();
        Some(mqtt::Query { topic, payload })
    }

    fn form(&mut self, at: &Key, point: &schema::MqttPoint, data_type: DataType) -> Form {
        let form = Form {
            field: self.pointer(at, point.field.as_ref()),
            data_type,
            on: word(point.on.as_ref(), "ON"),
            off: word(point.off.as_ref(), "OFF"),
            scale: self.factor(at, point.scale),
        };
        if form.on == form.off {
            self.error(&below(at, "on"), "on and off are the same word", "");
        }
        for (name, given) in [("on", &point.on), ("off", &point.off)] {
            if given.is_some() && data_type != DataType::Boolean {
                self.error(&below(at, name), "only a Boolean has such words", "");
            }
        }
        form
    }

    /// A factor as its digits say it.
    pub(super) fn factor(&mut self, at: &Key, scale: Option<f64>) -> Decimal {
        let scale = scale.unwrap_or(1.0);
        let decimal = scale.to_string().parse::<Decimal>().ok();
        decimal
            .filter(|decimal| decimal.mantissa != 0)
            .unwrap_or_else(|| {
                let what = format!("`scale = {scale}` is no factor");
                self.error(&below(at, "scale"), what, "");
                Decimal::from(1)
            })
    }

    fn command(
        &mut self,
        point: &Key,
        command: &schema::Command,
        kind: Option<PointKind>,
    ) -> Option<MqttCommand> {
        let at = below(point, "command");
        let retain = command.retain.unwrap_or(false);
        let is_switched = kind.is_some_and(|kind| kind != PointKind::Value);
        if retain && is_switched {
            let what = "an output would be switched by an old command when its device comes back";
            self.error(&below(&at, "retain"), what, "only set points are kept");
        }
        let payload = word(command.payload.as_ref(), "{value}");
        if !payload.contains("{value}") {
            let what = "the value is not in it";
            self.error(&below(&at, "payload"), what, "{value} stands for the value");
        }
        let within = command.within_ms.unwrap_or(2000);
        let within = self.within(&below(&at, "within_ms"), within, 100, 3400);
        let tolerance = command.tolerance.unwrap_or(0.0);
        let tolerance = self.within(&below(&at, "tolerance"), tolerance, 0.0, 1e9);
        Some(MqttCommand {
            topic: self.topic(&at, command.topic.as_ref())?,
            payload,
            retain,
            within: Duration::from_millis(within),
            tolerance,
        })
    }

    /// A topic of its own: no wildcards. // MQTT 3.1.1, 4.7
    fn topic(&mut self, table: &Key, topic: Option<&String>) -> Option<String> {
        let topic = self.required(table, "topic", topic)?;
        let fits = !topic.is_empty()
            && topic.len() <= TOPIC_MAX
            && !topic.contains(['+', '#'])
            && !topic.contains(char::is_control);
        if !fits {
            let what = format!("`{topic}` is not one topic");
            self.error(&below(table, "topic"), what, "without + and #");
        }
        fits.then(|| topic.clone())
    }

    fn pointer(&mut self, table: &Key, field: Option<&String>) -> String {
        let field = field.cloned().unwrap_or_default();
        if !field.is_empty() && !field.starts_with('/') {
            let what = format!("`{field}` does not begin with a slash");
            self.error(
                &below(table, "field"),
                what,
                "for example \"/ENERGY/Power\"",
            );
        }
        field
    }
}

fn common(point: &schema::MqttPoint) -> Common<'_> {
    Common {
        resource: point.resource.as_ref(),
        instance: point.instance.as_ref(),
        unit: point.unit.as_ref(),
        limit: point.limit.as_ref(),
        guard: point.guard.as_ref(),
        fail_safe: point.fail_safe.as_ref(),
        min_switch_s: point.min_switch_s,
        power_return_spread_s: point.power_return_spread_s,
        dims: false,
        boot: BootState::Adopt,
    }
}

fn word(given: Option<&String>, usual: &str) -> String {
    given.cloned().unwrap_or_else(|| usual.to_owned())
}

/// Whether it is secured, host, port.
fn split(url: &str) -> Option<(bool, String, u16)> {
    let secured = url.strip_prefix("mqtts://").map(|rest| (true, rest, 8883));
    let plain = || url.strip_prefix("mqtt://").map(|rest| (false, rest, 1883));
    let (is_secured, rest, usual) = secured.or_else(plain)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, port.parse().ok()?),
        Some(_) | None => (rest, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let fits = !host.is_empty() && !host.contains(['/', '@', '?', ' ']) && port > 0;
    fits.then(|| (is_secured, host.to_owned(), port))
}

fn is_here(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
