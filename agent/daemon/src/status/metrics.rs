//! The read model as Prometheus text (exposition format 0.0.4).

use std::{collections::BTreeMap, fmt::Write};

use lamplighter_model::device::LinkState;

use super::{BearerView, ReadView, ServerState, ServerView, StatusView};

/// What is counted since the start.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Counter {
    /// Datagrams, as the loop reads and sends them.
    DatagramsReceived,
    DatagramsSent,
    /// Log-ins to the page that failed.
    LoginsRefused,
    /// Operations of servers and people that changed something.
    Obeyed,
    Refused,
    RegistrationFailures,
    Registrations,
    Samples,
    Switched,
    Updates,
}

impl Counter {
    const fn name(self) -> &'static str {
        match self {
            Self::DatagramsReceived => "datagrams_received",
            Self::DatagramsSent => "datagrams_sent",
            Self::LoginsRefused => "logins_refused",
            Self::Obeyed => "operations_obeyed",
            Self::Refused => "operations_refused",
            Self::RegistrationFailures => "registration_failures",
            Self::Registrations => "registrations",
            Self::Samples => "samples",
            Self::Switched => "outputs_switched",
            Self::Updates => "registration_updates",
        }
    }
}

pub(super) fn print(
    status: &StatusView,
    points: &[ReadView],
    counters: &BTreeMap<Counter, u64>,
) -> String {
    let mut text = Text::default();
    text.family("info", "gauge", "Version and endpoint name.");
    text.line(
        "info",
        &[("version", &status.version), ("endpoint", &status.endpoint)],
        1.0,
    );
    text.family("uptime_seconds", "gauge", "Time since the agent started.");
    text.line("uptime_seconds", &[], status.uptime_s as f64);
    text.family("registered", "gauge", "1 while registered with the server.");
    for server in &status.servers {
        text.line(
            "registered",
            &[("server", &server.name)],
            truth(server.state == ServerState::Registered),
        );
    }
    let mut per_server = |name, kind, help, figure: fn(&ServerView) -> u64| {
        text.family(name, kind, help);
        for server in &status.servers {
            text.line(name, &[("server", &server.name)], figure(server) as f64);
        }
    };
    per_server(
        "queued_samples",
        "gauge",
        "Samples that are stored for the server.",
        |server| server.queued,
    );
    per_server(
        "dropped_samples_total",
        "counter",
        "Samples that the server will not be told.",
        |server| server.dropped,
    );
    per_server(
        "intrusions_total",
        "counter",
        "Datagrams for the server's session that were not the server's.",
        |server| server.intrusions,
    );
    bearers_text(&mut text, &status.bearers);
    text.family("device_online", "gauge", "1 while the device answers.");
    for device in &status.devices {
        text.line(
            "device_online",
            &[("device", &device.name)],
            truth(device.state == LinkState::Online),
        );
    }
    text.family(
        "device_samples_total",
        "counter",
        "Values received from the device.",
    );
    for device in &status.devices {
        text.line(
            "device_samples_total",
            &[("device", &device.name)],
            device.samples as f64,
        );
    }
    text.family("problems", "gauge", "Number of present problems.");
    text.line("problems", &[], status.problems.len() as f64);
    points_text(&mut text, points);
    for (counter, total) in counters {
        let name = format!("{}_total", counter.name());
        text.family(&name, "counter", "Since the agent started.");
        text.line(&name, &[], *total as f64);
    }
    text.0
}

fn bearers_text(text: &mut Text, bearers: &[BearerView]) {
    let mut family = |name, kind, help, figure: fn(&BearerView) -> Option<f64>| {
        text.family(name, kind, help);
        for bearer in bearers {
            let labels = [("bearer", &*bearer.name), ("kind", &*bearer.kind)];
            let figure = figure(bearer);
            figure
                .into_iter()
                .for_each(|figure| text.line(name, &labels, figure));
        }
    };
    family(
        "bearer_connected",
        "gauge",
        "1 while messages can be exchanged with a server through the bearer.",
        |bearer| Some(truth(bearer.reason.is_none())),
    );
    family(
        "bearer_current",
        "gauge",
        "1 while sessions with servers go over the bearer.",
        |bearer| Some(truth(bearer.current)),
    );
    family(
        "bearer_round_trip_seconds",
        "gauge",
        "How long the last answer took.",
        |bearer| Some(bearer.round_trip_ms? / 1000.0),
    );
    family(
        "bearer_signal_dbm",
        "gauge",
        "Signal of the bearer's radio.",
        |bearer| bearer.signal_dbm.map(f64::from),
    );
    family(
        "bearer_bytes_today",
        "gauge",
        "Bytes over the bearer's interface today, both ways.",
        |bearer| Some(bearer.bytes_today as f64),
    );
    family(
        "bearer_bytes_month",
        "gauge",
        "Bytes over the bearer's interface this month, both ways.",
        |bearer| Some(bearer.bytes_month as f64),
    );
    family(
        "bearer_flaps_total",
        "counter",
        "How often the bearer went from connected to disconnected.",
        |bearer| Some(bearer.flaps.into()),
    );
}

fn points_text(text: &mut Text, points: &[ReadView]) {
    text.family(
        "value",
        "gauge",
        "Last value of a point; 0 and 1 for off and on.",
    );
    for point in points {
        let number = point
            .value
            .as_f64()
            .or_else(|| point.value.as_bool().map(truth));
        let Some((number, labels)) = number.zip(labels_of(point)) else {
            continue;
        };
        text.line("value", &labels, number);
    }
    text.family(
        "value_age_seconds",
        "gauge",
        "Time since the last value of a point.",
    );
    for point in points {
        let Some((age, labels)) = point.age_s.zip(labels_of(point)) else {
            continue;
        };
        text.line("value_age_seconds", &labels, age);
    }
}

fn labels_of(point: &ReadView) -> Option<[(&'static str, &str); 2]> {
    Some([("point", point.name.as_deref()?), ("path", &point.path)])
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!(
            "# HELP lamplighter_{name} {help}\n# TYPE lamplighter_{name} {kind}\n"
        ));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, text)| format!("{key}=\"{}\"", escaped(text)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        self.write(format_args!("lamplighter_{name}{labels} {value}\n"));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0
            .write_fmt(text)
            .expect("writing to a string cannot fail");
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
