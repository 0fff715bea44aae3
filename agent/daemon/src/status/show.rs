//! From the model to what is printed.

use std::collections::BTreeMap;

use lamplighter_model::{
    DataType, Now, Quality, ResourceAddress, Stamp, Value, device::LinkState, object::ResourceDef,
};

use crate::advice;

use super::{
    BootstrapView, ClockView, Device, DeviceEntry, DeviceView, GroupEntry, GroupState, GroupView,
    Key, KindView, Latest, LinkFacts, Model, PointEntry, PointKind, PointView, ProblemView,
    ReadView, RuleView, Server, ServerEntry, ServerState, ServerView, StatusView, WearSource,
    json_of,
    time::{rfc3339, text_of},
};

impl Model {
    pub(super) fn view(&self, now: Now) -> StatusView {
        let uptime = now.mono.saturating_sub(self.started.mono);
        StatusView {
            servers: self.server_views(now),
            bearers: self.bearer_views(now),
            bearer_choice: self.choice_view(now),
            devices: self.device_views(now),
            groups: self
                .index
                .catalogue
                .groups
                .iter()
                .map(|group| self.group_view(group))
                .collect(),
            rules: self.rule_views(),
            problems: self.problem_views(now),
            endpoint: self.index.catalogue.endpoint.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: now.unix.map(rfc3339),
            clock: ClockView::of(now, self.clock),
            uptime_s: uptime.as_secs(),
            uptime_ms: uptime.as_millis() as u64,
            bootstrap: self.bootstrap_view(now),
            demo: self.demo,
        }
    }

    fn bootstrap_view(&self, now: Now) -> Option<BootstrapView> {
        let bootstrap = self.bootstrap.as_ref()?;
        Some(BootstrapView {
            uri: bootstrap.uri.clone()?,
            state: bootstrap.state.as_str().to_owned(),
            since: text_of(bootstrap.since, now),
            since_s: age(bootstrap.since, now),
            last_error: bootstrap.last_error.clone(),
            hint: bootstrap.cause.map(|cause| advice::on(cause).to_owned()),
        })
    }

    pub(super) fn server_views(&self, now: Now) -> Vec<ServerView> {
        self.index
            .catalogue
            .servers
            .iter()
            .filter_map(|entry| self.server_view(entry, now))
            .collect()
    }

    fn server_view(&self, entry: &ServerEntry, now: Now) -> Option<ServerView> {
        let server = self.servers.get(&entry.ssid)?;
        Some(ServerView {
            name: entry.name.clone(),
            state: server.state,
            since: text_of(server.since, now),
            since_s: age(server.since, now),
            uri: entry.uri.clone(),
            short_id: entry.ssid.0,
            version: server.version.map(str::to_owned),
            last_error: server.last_error.clone(),
            retry_in_s: server
                .retry_at
                .map(|at| at.saturating_sub(now.mono).as_secs_f64()),
            asleep: server.asleep,
            owner: self.owns(entry),
            rights: self.rights(entry),
            queued: server.queued,
            dropped: server.dropped,
            intrusions: server.intrusions.total(),
        })
    }

    /// Nobody else is there to own anything.
    fn is_alone(&self) -> bool {
        self.index.catalogue.servers.len() == 1
    }

    fn owns(&self, entry: &ServerEntry) -> bool {
        entry.rights.owner || self.is_alone()
    }

    /// An owner may do everything, whatever is said besides.
    fn rights(&self, entry: &ServerEntry) -> BTreeMap<String, String> {
        if self.owns(entry) {
            return BTreeMap::from([("*".to_owned(), "RWEDC".to_owned())]);
        }
        let rights = entry.rights.rights.iter();
        rights
            .map(|(pattern, rights)| (pattern.to_string(), rights.to_string()))
            .collect()
    }

    pub(super) fn device_views(&self, now: Now) -> Vec<DeviceView> {
        self.index
            .catalogue
            .devices
            .iter()
            .filter_map(|entry| self.device_view(entry, now))
            .collect()
    }

    fn device_view(&self, entry: &DeviceEntry, now: Now) -> Option<DeviceView> {
        let device = self.devices.get(&entry.id)?;
        let points = self.index.points_of(entry.id);
        let good = points
            .iter()
            .filter(|address| self.quality_of((**address, None), now) == Some(Quality::Good));
        let wear = self
            .wear
            .get(&entry.id)
            .map(WearSource::now)
            .unwrap_or_default();
        Some(DeviceView {
            errors: wear.errors,
            notes: wear.notes,
            round_trip_ms: wear.round_trip_ms,
            name: entry.name.clone(),
            adapter: entry.adapter.clone(),
            state: device.state,
            since: text_of(device.since, now),
            since_s: age(device.since, now),
            detail: device.detail.clone(),
            points: points.len(),
            points_good: good.count(),
            samples: device.samples,
            link_changes: device.changes,
        })
    }

    pub(super) fn link_facts(&self, now: Now) -> Vec<LinkFacts> {
        let facts = |entry: &DeviceEntry| {
            let device = self.devices.get(&entry.id)?;
            let points = self.index.points_of(entry.id).iter();
            Some(LinkFacts {
                id: entry.id,
                name: entry.name.clone(),
                adapter: entry.adapter.clone(),
                state: device.state,
                since: device.since,
                last_good: device.last_good,
                detail: device.detail.clone(),
                qualities: points
                    .filter_map(|address| self.quality_of((*address, None), now))
                    .collect(),
            })
        };
        let devices = self.index.catalogue.devices.iter();
        devices.filter_map(facts).collect()
    }

    fn group_view(&self, group: &GroupEntry) -> GroupView {
        let points = group
            .members
            .iter()
            .map(|address| self.index.by_address.get(address));
        let states: Option<Vec<bool>> = points.clone().map(|point| self.is_on(point?)).collect();
        let state = match states.as_deref() {
            None | Some([]) => GroupState::Unknown,
            Some(states) if states.iter().all(|on| *on) => GroupState::On,
            Some(states) if states.iter().all(|on| !*on) => GroupState::Off,
            Some(_) => GroupState::Mixed,
        };
        GroupView {
            name: group.name.clone(),
            path: group.command.path.to_string(),
            state,
            members: points
                .flatten()
                .map(|point| point.name.to_string())
                .collect(),
            failed: self.groups_failed.get(&group.name).copied().unwrap_or(0),
        }
    }

    /// As the site shows them in our object Site rule.
    fn rule_views(&self) -> Vec<RuleView> {
        let Some(object) = self.index.catalogue.rules else {
            return Vec::new();
        };
        let value = |instance: u16, resource: u16| {
            let address = ResourceAddress::gateway(object.0, instance, resource);
            self.values
                .get(&(address, None))
                .map(|latest| &latest.value)
        };
        let text = |instance, resource| match value(instance, resource) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) | None => None,
        };
        let rules = (0..).map_while(|instance| {
            Some(RuleView {
                name: text(instance, 0)?,
                kind: text(instance, 1).unwrap_or_default(),
                enabled: value(instance, 2) != Some(&Value::Boolean(false)),
                path: format!("/{object}/{instance}"),
                state: text(instance, 6).unwrap_or_default(),
            })
        });
        rules.collect()
    }

    /// What is wrong now: stated problems, then servers and devices that are not there.
    fn problem_views(&self, now: Now) -> Vec<ProblemView> {
        let problem = |about: String, text: String, hint: Option<&str>, since| ProblemView {
            about,
            text,
            hint: hint.map(str::to_owned),
            since: text_of(since, now),
            since_s: age(since, now),
        };
        let stated = self.problems.iter().map(|(about, stated)| {
            let hint = advice::about(about, &stated.text);
            problem(about.clone(), stated.text.clone(), hint, stated.since)
        });
        let servers = self.index.catalogue.servers.iter().filter_map(|entry| {
            let server = self.servers.get(&entry.ssid)?;
            let text = server_trouble(server)?;
            Some(problem(
                format!("server {}", entry.name),
                text,
                server.cause.map(advice::on),
                server.since,
            ))
        });
        let devices = self.index.catalogue.devices.iter().filter_map(|entry| {
            let device = self.devices.get(&entry.id)?;
            let text = device_trouble(device)?;
            Some(problem(
                format!("device {}", entry.name),
                text,
                Some(advice::DEVICE),
                device.since,
            ))
        });
        stated.chain(servers).chain(devices).collect()
    }

    /// The newest value known; of a configured point also while nothing was read.
    pub(super) fn read_view(&self, key: Key, now: Now) -> ReadView {
        self.describe(key, self.values.get(&key), now)
    }

    pub(super) fn describe(&self, key: Key, latest: Option<&Latest>, now: Now) -> ReadView {
        let (address, index) = key;
        let definitions = &self.index.catalogue.definitions;
        let definition = definitions.resource(address.path.object(), address.path.resource);
        let point = self
            .index
            .by_address
            .get(&address)
            .filter(|_| index.is_none());
        let unit = point
            .and_then(|point| point.unit.as_deref().map(str::to_owned))
            .or_else(|| definition.map(|def| def.unit.clone()));
        ReadView {
            path: index.map_or_else(
                || address.path.to_string(),
                |index| format!("{}/{index}", address.path),
            ),
            name: point.map(|point| point.name.to_string()),
            value: latest.map_or(serde_json::Value::Null, |latest| json_of(&latest.value)),
            unit: unit.filter(|unit| !unit.is_empty()),
            time: latest.and_then(|latest| {
                latest
                    .source_time
                    .map(rfc3339)
                    .or_else(|| text_of(latest.at, now))
            }),
            quality: latest.map(|latest| self.quality(latest, point, now)),
            device: point.map(|point| point.device.to_string()),
            age_s: latest.map(|latest| age(latest.at, now)),
            object: definitions
                .object(address.path.object())
                .map(|object| object.name.clone()),
            resource: definition.map(|def| def.name.clone()),
            point: point.map(|point| self.point_view(point, definition)),
            error: None,
        }
    }

    fn point_view(&self, point: &PointEntry, definition: Option<&ResourceDef>) -> PointView {
        let range = definition
            .filter(|def| is_number(def.data_type))
            .and_then(|def| def.range);
        PointView {
            kind: match point.kind {
                PointKind::Dimmer | PointKind::Lamp => KindView::Lamp,
                PointKind::Output => KindView::Output,
                PointKind::Value => KindView::Value,
            },
            data_type: definition
                .map_or("", |def| type_name(def.data_type))
                .to_owned(),
            writable: point.writable,
            min: point
                .limit
                .and_then(|limit| limit.min)
                .or_else(|| range.map(|(min, _)| min)),
            max: point
                .limit
                .and_then(|limit| limit.max)
                .or_else(|| range.map(|(_, max)| max)),
            on: self.is_on(point),
        }
    }

    /// The measured state of what can be switched, or of a boolean.
    fn is_on(&self, point: &PointEntry) -> Option<bool> {
        let measured = point
            .feedback
            .and_then(|address| self.values.get(&(address, None)));
        let latest = measured.or_else(|| self.values.get(&(point.address, None)))?;
        match (point.kind, &latest.value) {
            (_, Value::Boolean(on)) => Some(*on),
            (PointKind::Value, _) => None,
            (PointKind::Dimmer | PointKind::Lamp | PointKind::Output, value) => {
                Some(value.as_f64()? > 0.0)
            }
        }
    }

    fn quality_of(&self, key: Key, now: Now) -> Option<Quality> {
        let latest = self.values.get(&key)?;
        Some(self.quality(latest, self.index.by_address.get(&key.0), now))
    }

    /// A value of a lost device, or one that is too old, is stale whatever it was when it came.
    fn quality(&self, latest: &Latest, point: Option<&PointEntry>, now: Now) -> Quality {
        let (Quality::Good | Quality::Unchecked) = latest.quality else {
            return latest.quality;
        };
        let Some(point) = point else {
            return latest.quality;
        };
        let old = point
            .max_age
            .is_some_and(|max| now.mono.saturating_sub(latest.at.mono) > max);
        let device = self
            .index
            .device_ids
            .get(&*point.device)
            .and_then(|id| self.devices.get(id));
        let lost = device.is_some_and(|device| device.state == LinkState::Offline);
        if old || lost || latest.at.boot != now.boot {
            Quality::Stale
        } else {
            latest.quality
        }
    }
}

fn server_trouble(server: &Server) -> Option<String> {
    match server.state {
        ServerState::Disabled => None,
        ServerState::Offline => Some(
            server
                .last_error
                .clone()
                .unwrap_or_else(|| "not registered".to_owned()),
        ),
        ServerState::Registered | ServerState::Registering => server.last_error.clone(),
    }
}

fn device_trouble(device: &Device) -> Option<String> {
    let state = match device.state {
        LinkState::Starting | LinkState::Online => return None,
        LinkState::Suspect => "missed an answer",
        LinkState::Offline => "does not answer",
    };
    Some(if device.detail.is_empty() {
        state.to_owned()
    } else {
        device.detail.clone()
    })
}

pub(super) fn age(since: Stamp, now: Now) -> f64 {
    let age = now.mono.saturating_sub(since.mono);
    // Milliseconds are enough, and do not print as 0.30000000000000004.
    age.as_millis() as f64 / 1000.0
}

fn is_number(data_type: DataType) -> bool {
    match data_type {
        DataType::Float | DataType::Integer | DataType::Unsigned => true,
        DataType::Boolean
        | DataType::Corelnk
        | DataType::None
        | DataType::Objlnk
        | DataType::Opaque
        | DataType::String
        | DataType::Time => false,
    }
}

fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Corelnk => "links",
        DataType::Float => "float",
        DataType::Integer => "integer",
        DataType::None => "none",
        DataType::Objlnk => "link",
        DataType::Opaque => "opaque",
        DataType::String => "text",
        DataType::Time => "time",
        DataType::Unsigned => "unsigned",
    }
}
