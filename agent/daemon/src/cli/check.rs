//! `lamplighter check`: every problem with its line, then what the configuration makes.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use lamplighter_model::{InstancePath, ObjectId, tables::VendorObject};
use lamplighter_site::boundary::{
    FailSafeOn, GroupConfig, Mode, PointConfig, PointKind, Policy, Setpoint, ThermostatConfig,
};
use serde::Serialize;

mod bearers;

use self::bearers::BearerLine;
use super::{
    args::{self, Global},
    exit::{Exit, Failure},
    screen::{self, Table},
};
use crate::config::{BusId, BusLine, Checked, Config, DeviceKind, Problem, Severity, Source};
use crate::preview::register_bytes;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    valid: bool,
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    servers: Vec<String>,
    bearers: Vec<BearerLine>,
    objects: Vec<ObjectLine>,
    buses: Vec<BusReport>,
    outputs: Vec<OutputLine>,
    rules: Vec<RuleLine>,
    /// Bytes of the list of objects in a Register.
    register_bytes: usize,
}

#[derive(Debug, Serialize)]
struct ObjectLine {
    path: String,
    name: String,
    points: Vec<String>,
}

#[derive(Debug, Serialize)]
struct BusReport {
    name: String,
    /// Time on the line when every request is made once; 0 where nobody knows the line.
    cycle_ms: f64,
    /// Share of the line's time that polls take; 1 is all of it.
    load: f64,
    requests: Vec<RequestLine>,
}

#[derive(Debug, Serialize)]
struct RequestLine {
    device: String,
    range: String,
    period_s: f64,
    line_ms: f64,
    points: Vec<String>,
}

#[derive(Debug, Serialize)]
struct OutputLine {
    name: String,
    fail_safe: String,
}

/// A schedule, photocell or thermostat.
#[derive(Debug, Serialize)]
struct RuleLine {
    name: String,
    kind: &'static str,
    does: String,
    path: String,
    /// All instances that show it.
    #[serde(skip)]
    shown: Vec<InstancePath>,
}

pub(super) fn check(
    global: &Global,
    options: &args::Check,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let Checked { config, problems } = Source::of_process(global.config()).check();
    let mut report = config.as_ref().map_or_else(Report::empty, Report::of);
    let worst = problems.iter().map(|problem| problem.severity).min();
    report.valid = !matches!(worst, Some(Severity::Account | Severity::Error));
    report.problems = problems;
    if global.json {
        let json = serde_json::to_value(&report).map_err(io::Error::from)?;
        screen::print_json(out, &json)?;
    } else {
        report.print(out)?;
    }
    Ok(match worst {
        Some(Severity::Account | Severity::Error) => Exit::Configuration,
        Some(Severity::Warning) if options.strict => Exit::Configuration,
        Some(Severity::Warning) | None => Exit::Ok,
    })
}

impl Report {
    fn empty() -> Self {
        Self {
            valid: false,
            problems: Vec::new(),
            endpoint: None,
            servers: Vec::new(),
            bearers: Vec::new(),
            objects: Vec::new(),
            buses: Vec::new(),
            outputs: Vec::new(),
            rules: Vec::new(),
            register_bytes: 0,
        }
    }

    fn of(config: &Config) -> Self {
        let objects = objects(config);
        let server = |server: &lamplighter_lwm2m::client::ServerConfig| {
            let (name, uri, ssid) = (&server.name, &server.uri, server.ssid);
            let mode = server.security.mode;
            format!("{name}: {uri}, security {mode}, short id {ssid}")
        };
        Self {
            endpoint: Some(format!(
                "{} (from {})",
                config.endpoint.name, config.endpoint.source
            )),
            servers: config.servers.iter().map(server).collect(),
            bearers: bearers::of(config),
            buses: buses(config),
            outputs: outputs(config),
            rules: rules(config),
            register_bytes: register_bytes(config),
            objects,
            ..Self::empty()
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for problem in &self.problems {
            writeln!(out, "{problem}")?;
        }
        let count = |severity| {
            self.problems
                .iter()
                .filter(|problem| problem.severity == severity)
                .count()
        };
        let errors = count(Severity::Error) + count(Severity::Account);
        let warnings = count(Severity::Warning);
        let verdict = if self.valid {
            "the configuration is valid"
        } else {
            "the configuration is invalid"
        };
        writeln!(out, "{verdict}: {errors} errors, {warnings} warnings")?;
        let Some(endpoint) = &self.endpoint else {
            return Ok(());
        };
        writeln!(out, "\nendpoint  {endpoint}")?;
        for server in &self.servers {
            writeln!(out, "server    {server}")?;
        }
        writeln!(out, "Register  {} bytes of objects\n", self.register_bytes)?;
        let mut objects = Table::head(["INSTANCE", "OBJECT", "POINTS"]);
        for object in &self.objects {
            objects.row([
                object.path.clone(),
                object.name.clone(),
                object.points.join(", "),
            ]);
        }
        objects.print(out, "")?;
        bearers::print(&self.bearers, out)?;
        for bus in &self.buses {
            bus.print(out)?;
        }
        if !self.rules.is_empty() {
            writeln!(out)?;
            let mut rules = Table::head(["RULE", "KIND", "DOES"]);
            for rule in &self.rules {
                rules.row([rule.name.clone(), rule.kind.to_owned(), rule.does.clone()]);
            }
            rules.print(out, "")?;
        }
        if self.outputs.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut outputs = Table::head(["OUTPUT", "FAIL-SAFE"]);
        for output in &self.outputs {
            outputs.row([output.name.clone(), output.fail_safe.clone()]);
        }
        outputs.print(out, "")
    }
}

impl BusReport {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let count = self.requests.len();
        let requests = if count == 1 { "request" } else { "requests" };
        write!(out, "\nbus {}: {count} {requests} per cycle", self.name)?;
        if self.cycle_ms > 0.0 {
            let (cycle, load) = (self.cycle_ms, self.load * 100.0);
            write!(
                out,
                ", {cycle:.1} ms on the line; polls take {load:.1} % of the line's time"
            )?;
        }
        writeln!(out)?;
        let mut requests = Table::head(["DEVICE", "READS", "EVERY", "LINE TIME", "POINTS"]);
        for request in &self.requests {
            let line_time = if request.line_ms > 0.0 {
                format!("{:.1} ms", request.line_ms)
            } else {
                String::new()
            };
            requests.row([
                request.device.clone(),
                request.range.clone(),
                format!("{} s", request.period_s),
                line_time,
                request.points.join(", "),
            ]);
        }
        requests.print(out, "  ")
    }
}

fn objects(config: &Config) -> Vec<ObjectLine> {
    let mut instances: BTreeMap<InstancePath, Vec<String>> = BTreeMap::new();
    for point in config.points() {
        instances
            .entry(point.address.path.instance)
            .or_default()
            .push(point.name.clone());
    }
    for (number, group) in (0u16..).zip(&config.site.groups) {
        let vendor = VendorObject::Group.id(config.site.vendor_object_base).0;
        let group_instances = group.standard_instance.map(|instance| instance.path);
        for instance in std::iter::once(InstancePath::new(vendor, number)).chain(group_instances) {
            instances
                .entry(instance)
                .or_default()
                .push(group.name.clone());
        }
    }
    for rule in rules(config) {
        for instance in rule.shown {
            instances
                .entry(instance)
                .or_default()
                .push(rule.name.clone());
        }
    }
    let name = |object: ObjectId| {
        config
            .definitions
            .object(object)
            .map_or_else(String::new, |object| object.name.clone())
    };
    instances
        .into_iter()
        .map(|(instance, points)| ObjectLine {
            path: instance.to_string(),
            name: name(instance.object),
            points,
        })
        .collect()
}

/// In the order of their instances.
fn rules(config: &Config) -> Vec<RuleLine> {
    let object = VendorObject::SiteRule.id(config.site.vendor_object_base);
    let groups = config.site.groups.iter().filter_map(group_rule);
    let thermostats = config.site.thermostats.iter().map(thermostat_rule);
    let rules = groups.chain(thermostats).zip(0u16..);
    rules
        .map(|(mut rule, number)| {
            let own = InstancePath::new(object.0, number);
            rule.path = own.to_string();
            rule.shown.push(own);
            rule
        })
        .collect()
}

fn group_rule(group: &GroupConfig) -> Option<RuleLine> {
    let schedule = group.schedule.as_ref().map(ToString::to_string);
    let photocell = group.photocell.as_ref();
    let light = photocell.map(|photocell| {
        let input = photocell.input.path;
        let word = match (&schedule, photocell.policy) {
            (None, _) => "when it is",
            (Some(_), Policy::And) => "and only when it is",
            (Some(_), Policy::Or) => "or when it is",
        };
        format!("{word} dark by {input}")
    });
    let kind = if schedule.is_some() {
        "schedule"
    } else {
        "photocell"
    };
    let parts: Vec<String> = schedule.into_iter().chain(light).collect();
    if parts.is_empty() {
        return None;
    }
    let shown = photocell.and_then(|photocell| photocell.instance);
    Some(RuleLine {
        name: group.name.clone(),
        kind,
        does: parts.join(" "),
        path: String::new(),
        shown: shown.into_iter().map(|shown| shown.path).collect(),
    })
}

fn thermostat_rule(thermostat: &ThermostatConfig) -> RuleLine {
    let (verb, above, below) = match thermostat.mode {
        Mode::Cool => ("cools", "above", "below"),
        Mode::Heat => ("heats", "below", "above"),
    };
    let setpoint = match thermostat.setpoint {
        Setpoint::Fixed(number) => number.to_string(),
        Setpoint::Point(address) => address.path.to_string(),
    };
    let (on, off) = (thermostat.on_threshold, thermostat.off_threshold);
    RuleLine {
        name: thermostat.name.clone(),
        kind: "thermostat",
        does: format!(
            "{verb} by {}: on {on} {above} {setpoint}, off {off} {below}",
            thermostat.output.path
        ),
        path: String::new(),
        shown: thermostat
            .instance
            .into_iter()
            .map(|shown| shown.path)
            .collect(),
    }
}

fn buses(config: &Config) -> Vec<BusReport> {
    let mut reports = Vec::new();
    for (id, bus) in (0u16..).zip(&config.buses) {
        let settings = bus.modbus_settings();
        let mut report = BusReport {
            name: bus.name.clone(),
            cycle_ms: 0.0,
            load: 0.0,
            requests: Vec::new(),
        };
        for device in &config.devices {
            match &device.kind {
                DeviceKind::Modbus(modbus) if modbus.bus == BusId(id) => {
                    let plan = modbus.config.plan(&settings);
                    if matches!(bus.line, BusLine::Serial(_)) {
                        report.load += plan.load();
                        report.cycle_ms += plan.line_time().as_secs_f64() * 1000.0;
                    }
                    report.requests.extend(plan.requests.iter().map(|request| {
                        RequestLine {
                            device: device.name.clone(),
                            range: request.range.to_string(),
                            period_s: request.period.as_secs_f64(),
                            line_ms: request.line_time.as_secs_f64() * 1000.0,
                            points: request
                                .points
                                .iter()
                                .filter_map(|at| Some(modbus.points.get(*at)?.name.clone()))
                                .collect(),
                        }
                    }));
                }
                DeviceKind::Meter(meter) if meter.bus == BusId(id) => {
                    let readout = |period| readout(&device.name, period, &device.points());
                    report.requests.extend(meter.period().map(readout));
                }
                DeviceKind::Gpio(_)
                | DeviceKind::Location(_)
                | DeviceKind::Meter(_)
                | DeviceKind::Modbus(_)
                | DeviceKind::Mqtt(_)
                | DeviceKind::Remote(_)
                | DeviceKind::S0(_)
                | DeviceKind::Sim(_)
                | DeviceKind::System(_)
                | DeviceKind::W1(_) => (),
            }
        }
        reports.push(report);
    }
    reports
}

/// A meter sends everything it has; how long that takes is known only when it has answered.
fn readout(device: &str, period: Duration, points: &[&crate::config::Point]) -> RequestLine {
    RequestLine {
        device: device.to_owned(),
        range: "readout".to_owned(),
        period_s: period.as_secs_f64(),
        line_ms: 0.0,
        points: points.iter().map(|point| point.name.clone()).collect(),
    }
}

fn outputs(config: &Config) -> Vec<OutputLine> {
    let outputs = config
        .site
        .points
        .iter()
        .filter(|point| point.kind != PointKind::Value);
    outputs
        .map(|point| OutputLine {
            name: point.name.clone(),
            fail_safe: fail_safe(point),
        })
        .collect()
}

fn fail_safe(point: &PointConfig) -> String {
    let Some(fail_safe) = &point.fail_safe else {
        return "none: what was commanded stays".to_owned();
    };
    let lost = match fail_safe.on {
        FailSafeOn::DeviceLost => "its device",
        FailSafeOn::ServerLost => "every server",
    };
    let after = screen::duration(fail_safe.after.as_secs_f64());
    format!("{} when {lost} is lost for {after}", fail_safe.value)
}
