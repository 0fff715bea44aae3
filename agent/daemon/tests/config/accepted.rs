//! What the checked form says of a configuration without problems.

use std::time::Duration;

use lamplighter::config::{BusLine, Config, DeviceKind, Direction, Rs485};
use lamplighter_adapters::modbus::{DateLayout, RegisterType, Table, WriteFunction};
use lamplighter_lwm2m::client::{Limits, VersionChoice};
use lamplighter_model::{DataType, Decimal, Path};
use lamplighter_site::boundary::{OnViolation, PointKind};

use crate::{SERVER, check};

const SITE: &str = r#"
[bus.line]
kind = "serial"
device = "/dev/serial/by-id/x"
line = "19200-8N2"
rs485 = "kernel"
connect_pause_ms = 200
[bus.net]
kind = "tcp"
address = "192.0.2.20:502"
close_after_ms = 500
[device.ahu]
adapter = "modbus"
bus = "line"
unit = 17
addressing = "one_based"
[device.ahu.point.setpoint]
resource = "/3308/0/5900"
read = { table = "holding", at = 6, type = "i16" }
write = { verify = "read_back", tolerance = 0.05 }
scale = 0.1
unit = "Cel"
poll_s = 15
limit = { min = 16, max = 28.0 }
[device.ahu.point.fan]
resource = "/3306/1/5850"
read = { table = "holding", at = 9, bit = 3 }
write = { function = "mask_write" }
[device.ahu.point.level]
resource = "/3306/1/5851"
read = { table = "holding", at = 9, bits = [4, 10] }
write = {}
[device.ahu.point.serviced]
resource = "/3308/0/5518"
read = { table = "input", at = 20, type = "date_words" }
[device.ahu.point.compressor]
resource = "/3306/0/5850"
read = { table = "coil", at = 15 }
write = {}
guard = { min_off_s = 300 }
[device.lamps]
adapter = "gpio"
backend = "sim"
defaults = { active_low = true }
[device.lamps.point]
l1 = { line = "GPIO5", instance = "/3416/1" }
l2 = { line = "GPIO6", instance = "/3416/2", active_low = false }
hand = { line = "GPIO22", resource = "/3342/9/5500", debounce_ms = 20 }
[device.net]
adapter = "modbus"
bus = "net"
unit = 255
point.power = { resource = "/3305/0/5800", read = { table = "input", at = 1, type = "f32" } }
[site.group.main_street]
members = ["lamps.l1", "/3416/2", "ahu.compressor"]
instance = "/3416/60000"
[web]
"#;

fn config() -> Config {
    let checked = check("accepted", &format!("{SERVER}{SITE}"));
    assert_eq!(checked.problems, []);
    checked.config.unwrap()
}

#[test]
fn defaults_are_filled_in() {
    let config = config();
    assert_eq!(config.endpoint.name, "lamplighter-10000000deadbeef");
    assert_eq!(config.endpoint.source, "the board's serial number");
    let server = &config.servers[0];
    assert_eq!(
        (server.name.as_str(), server.ssid.0, server.lifetime),
        ("main", 101, Duration::from_secs(3600))
    );
    assert_eq!(
        (server.uri.port, server.version, server.store_notifications),
        (5684, VersionChoice::Auto, true)
    );
    assert_eq!(config.web.unwrap().listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.site.vendor_object_base, 42800);
    assert!(
        config
            .definitions
            .object(lamplighter_model::ObjectId(42801))
            .is_some()
    );
}

#[test]
fn several_servers_share_the_box_by_their_rights() {
    let other = "owner = true\n[server.city]\nuri = \"coaps://192.0.2.6\"\nshort_id = 102\n\
        security = { mode = \"psk\", identity = \"cab\", key = \"credential:main-psk\" }\n\
        rights = { \"*\" = \"R\", \"/3416\" = \"EWR\", \"/3/0\" = \"\", \"/42801\" = \"RW\" }\n";
    let checked = check("rights", &format!("{SERVER}{other}"));
    assert_eq!(checked.problems, []);
    let servers = checked.config.unwrap().servers;
    let granted: Vec<(bool, Vec<u8>)> = servers
        .iter()
        .map(|server| {
            let bits = server.rights.rights.values().map(|rights| rights.bits());
            (server.rights.owner, bits.collect())
        })
        .collect();
    // In the order of the names; a longer pattern stands behind a shorter.
    assert_eq!(granted, [(false, vec![1, 7, 3, 0]), (true, vec![])]);
}

#[test]
fn meters_that_send_by_themselves_are_accepted_with_their_counters() {
    let text = "[bus.ir]\nkind = \"serial\"\ndevice = \"/dev/ir\"\nline = \"9600-8N1\"\n\
        [device.pv]\nadapter = \"sml\"\nbus = \"ir\"\nserver_id = \"0a01454d480000abcdef\"\n\
        [device.pv.point.energy]\nresource = \"/3331/1/5700\"\nobis = \"1-0:1.8.0*255\"\n\
        unit = \"Wh\"\nmonotonic = true\nvalid = [0, 1e12]\n\
        [bus.p1]\nkind = \"serial\"\ndevice = \"/dev/p1\"\nline = \"115200-8N1\"\n\
        [device.grid]\nadapter = \"p1\"\nbus = \"p1\"\n\
        [device.grid.point.gas]\nresource = \"/3423/0/1\"\nobis = \"0-1:24.2.1\"\n";
    let checked = check("meters", &format!("{SERVER}{text}"));
    let Some(config) = checked.config else {
        panic!("{:?}", checked.problems);
    };
    let meters: Vec<(&str, bool)> = config
        .devices
        .iter()
        .map(|device| {
            let DeviceKind::Meter(meter) = &device.kind else {
                panic!("{:?}", device.kind);
            };
            (meter.adapter(), meter.points[0].config.monotonic)
        })
        .collect();
    assert_eq!(meters, [("p1", false), ("sml", true)]);
}

#[test]
fn meters_that_share_a_line_are_accepted() {
    let text = "[bus.heat]\nkind = \"serial\"\ndevice = \"/dev/heat\"\nline = \"2400-8E1\"\necho = true\n\
        [device.one]\nadapter = \"mbus\"\nbus = \"heat\"\naddress = 1\n\
        [device.one.point.energy]\nresource = \"/3331/0/5700\"\nunit = \"Wh\"\n\
        record = { quantity = \"energy\" }\n\
        [device.two]\nadapter = \"mbus\"\nbus = \"heat\"\nsecondary = \"26718590\"\ntimeout_factor = 2\n\
        [device.two.point.energy]\nresource = \"/3331/1/5700\"\nunit = \"Wh\"\n\
        record = { header = \"0C 06\", number = 2 }\n\
        [bus.net]\nkind = \"rtu_over_tcp\"\naddress = \"192.0.2.1:4059\"\n\
        [device.three]\nadapter = \"dlms\"\nbus = \"net\"\nphysical = 17\n\
        security = { mode = \"password\", password = \"credential:main-psk\" }\n\
        [device.three.point.energy]\nresource = \"/3331/2/5700\"\nobis = \"1-0:1.8.0*255\"\nunit = \"Wh\"\n";
    let checked = check("line-meters", &format!("{SERVER}{text}"));
    assert_eq!(checked.problems, []);
    let devices = checked.config.unwrap().devices;
    let registers: Vec<String> = devices
        .iter()
        .map(|device| {
            let DeviceKind::Meter(meter) = &device.kind else {
                panic!("{:?}", device.kind);
            };
            meter.points[0].config.register.to_string()
        })
        .collect();
    assert_eq!(registers, ["energy", "1-0:1.8.0", "0C 06, number 2"]);
}

#[test]
fn order_and_retries_of_a_registration_are_configurable() {
    let text = "queue_mode = true\n[server.main.registration]\npriority = 2\nfailure_block = true\n\
        retry_count = 3\nsequence_count = 4\nreturn_spread_s = 0\n";
    let checked = check("registration", &format!("{SERVER}{text}"));
    assert_eq!(checked.problems, []);
    let server = &checked.config.unwrap().servers[0];
    let own = server.registration;
    assert!(server.queue_mode);
    assert_eq!((own.priority, own.failure_block), (Some(2), Some(true)));
    assert_eq!((own.retry.count, own.retry.sequences), (Some(3), Some(4)));
    assert_eq!((own.retry.timer_s, own.initial_delay_s), (None, None));
    assert_eq!(own.return_spread, Some(Duration::ZERO));
}

#[test]
fn the_parameters_of_coap_are_configurable() {
    let text = "[server.main.coap]\nack_timeout_s = 5\nack_random_factor = 2.0\nmax_retransmit = 2\nnstart = 4\n";
    let checked = check("coap", &format!("{SERVER}{text}"));
    let coap = &checked.config.unwrap().servers[0].coap;
    assert_eq!(
        (coap.ack_timeout, coap.max_retransmit, coap.nstart),
        (Duration::from_secs(5), 2, 4)
    );
    assert_eq!(coap.max_transmit_wait(), Duration::from_secs(70));
    assert_eq!(
        config().servers[0].coap,
        lamplighter_coap::Params::default()
    );
}

#[test]
fn modbus_devices_are_ready_for_their_adapter() {
    let config = config();
    let DeviceKind::Modbus(ahu) = &config.devices[0].kind else {
        panic!("{:?}", config.devices[0])
    };
    let bus = config.bus(ahu.bus).unwrap();
    assert!(matches!(&bus.line, BusLine::Serial(line) if line.settings.baud == 19_200));
    assert_eq!(ahu.config.problems(&bus.modbus_settings()), []);
    assert!(matches!(&bus.line, BusLine::Serial(line) if line.rs485 == Rs485::Kernel));
    assert_eq!(bus.connect_pause, Duration::from_millis(200));
    assert_eq!(
        config.buses[1].close_after,
        Some(Duration::from_millis(500))
    );
    let [compressor, fan, level, serviced, setpoint] = ahu.config.points.as_slice() else {
        panic!("{ahu:?}")
    };
    assert_eq!(fan.codec.kind, RegisterType::Bit(3));
    assert_eq!(fan.write.unwrap().function, WriteFunction::Mask);
    assert_eq!(level.codec.kind, RegisterType::Bits(4, 7));
    assert_eq!(
        (serviced.codec.kind, serviced.codec.data_type),
        (RegisterType::Date(DateLayout::Words), DataType::Time)
    );
    assert_eq!(compressor.codec.kind, RegisterType::Bool);
    let read = setpoint.read.unwrap();
    assert_eq!(
        (
            read.table,
            ahu.config.addressing.resolve(read.table, read.at)
        ),
        (Table::Holding, Some(5))
    );
    assert_eq!(setpoint.codec.scaling.scale, Decimal::new(1, -1));
    assert_eq!(setpoint.codec.data_type, DataType::Float);
    let write = setpoint.write.unwrap();
    assert_eq!(
        (write.function, write.verify.unwrap().tolerance),
        (WriteFunction::Auto, Some(Decimal::new(5, -2)))
    );
    assert_eq!(setpoint.poll, Duration::from_secs(15));
    assert_eq!(config.bus(ahu.bus).unwrap().name, "line");
}

#[test]
fn points_know_what_the_site_makes_of_them() {
    let config = config();
    let point = |name: &str| {
        config
            .site
            .points
            .iter()
            .find(|point| point.name == name)
            .unwrap()
    };
    assert_eq!(point("lamps.l1").kind, PointKind::Lamp);
    assert_eq!(point("lamps.l1").address.to_string(), "/3416/1/1");
    assert_eq!(point("lamps.hand").kind, PointKind::Value);
    assert_eq!(point("ahu.compressor").kind, PointKind::Output);
    assert_eq!(
        point("ahu.compressor").guard.unwrap().min_off,
        Duration::from_secs(300)
    );
    let limit = point("ahu.setpoint").limit.unwrap();
    assert_eq!(
        (limit.min, limit.max, limit.on_violation),
        (Some(16.0), Some(28.0), OnViolation::Reject)
    );
    let group = &config.site.groups[0];
    assert_eq!(
        (group.members.len(), group.stagger),
        (3, Duration::from_millis(300))
    );
    assert_eq!(
        group.standard_instance.unwrap().path.to_string(),
        "/3416/60000"
    );
}

#[test]
fn the_direction_of_a_line_follows_from_its_resource() {
    let config = config();
    let DeviceKind::Gpio(lamps) = &config.devices[1].kind else {
        panic!("{:?}", config.devices[1])
    };
    let point = |name: &str| {
        lamps
            .points
            .iter()
            .find(|point| point.point.name == name)
            .unwrap()
    };
    assert_eq!(
        point("lamps.hand").direction,
        Direction::Input {
            debounce: Duration::from_millis(20)
        }
    );
    assert!(matches!(
        point("lamps.l1").direction,
        Direction::Output { .. }
    ));
    assert!(point("lamps.l1").active_low && !point("lamps.l2").active_low);
    assert_eq!(point("lamps.l1").point.data_type, DataType::Boolean);
}

#[test]
fn names_stand_for_paths_and_back() {
    let config = config();
    let names = &config.names;
    let path = |text: &str| text.parse::<Path>().unwrap();
    for (name, wanted) in [
        ("ahu.setpoint", "/3308/0/5900"),
        ("lamps.l1", "/3416/1/1"),
        ("main_street", "/42801/0/2"),
        ("/3/0", "/3/0"),
    ] {
        assert_eq!(names.resolve(name), Some(path(wanted)), "{name}");
    }
    assert_eq!(names.resolve("ahu.nothing"), None);
    assert_eq!(names.name_of(path("/3308/0/5900")), Some("ahu.setpoint"));
    assert_eq!(names.nearest("ahu.setpiont"), Some("ahu.setpoint"));
}

#[test]
fn what_is_kept_of_points_is_bounded_or_nothing() {
    let bound = |line: &str| {
        let checked = check("history", &format!("{SERVER}[store]\n{line}\n"));
        assert_eq!(checked.problems, [], "{line}");
        checked.config.unwrap().store.history_max
    };
    assert_eq!(bound(""), 256 << 20);
    assert_eq!(bound("history_max = \"16MiB\""), 16 << 20);
    assert_eq!(bound("history_max = \"0\""), 0);
    let checked = check("history", "[store]\nhistory_max = \"0MiB\"\n");
    let mut problems = checked.problems.iter().map(ToString::to_string);
    assert!(problems.any(|problem| problem.contains("out of range")));
}

#[test]
fn what_a_server_can_make_the_box_remember_is_bounded() {
    let text = concat!(
        "[client.limits]\nbody_bytes = 8192\nobservations = 10\nobserved_paths = 20\n",
        "attribute_paths = 30\n[bootstrap]\nuri = \"coap://192.0.2.1\"\n",
        "security = { mode = \"none\" }\nallow_unsecured = true\n",
    );
    let checked = check("limits", &format!("{SERVER}{text}"));
    let config = checked
        .config
        .unwrap_or_else(|| panic!("{:?}", checked.problems));
    let (server, bootstrap) = (&config.servers[0], config.bootstrap.as_ref().unwrap());
    let limits = Limits {
        attribute_paths: 30,
        observations: 10,
        observed_paths: 20,
    };
    assert_eq!((server.limits, bootstrap.limits), (limits, limits));
    for coap in [&server.coap, &bootstrap.coap] {
        assert_eq!((coap.max_body, coap.max_observers), (8192, 10));
    }
    for wrong in [
        "body_bytes = 1023",
        "observations = 0",
        "attribute_paths = 65536",
    ] {
        let checked = check("limits", &format!("{SERVER}[client.limits]\n{wrong}\n"));
        let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
        assert!(
            problems[0].contains("is not within"),
            "{wrong}: {problems:?}"
        );
    }
}

#[test]
fn what_other_devices_have_is_not_granted_to_a_program() {
    let text = r#"
[device.heating]
adapter = "remote"
objects = ["/3303", "/3416/2"]
[device.heating.point.flow]
resource = "/3303/8/5700"
[device.trial]
adapter = "sim"
[device.trial.point.room]
resource = "/3303/7/5700"
[device.trial.point.lamp]
instance = "/3416/2"
[device.trial.point.level]
resource = "/3300/7/5700"
"#;
    let checked = check("remote-taken", &format!("{SERVER}{text}"));
    let config = checked.config.unwrap();
    let DeviceKind::Remote(remote) = &config.devices[0].kind else {
        panic!("not a remote device")
    };
    let taken: Vec<String> = remote.taken.iter().map(ToString::to_string).collect();
    assert_eq!(taken[0], "/3303/7/5700");
    assert_eq!(taken[1], "/3416/2/1");
    assert!(!taken.contains(&"/3303/8/5700".to_owned()));
    assert!(!taken.contains(&"/3300/7/5700".to_owned()));
}
