//! `[device.NAME]` of meters that may share a line with others of their kind.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_adapters::{
    dlms::{DlmsConfig, Framing, Key as CipherKey, Link, Secret, Security, Wanted},
    mbus::{self, Address, Function, MbusConfig, SelectBy, Selector, Timing, quantities},
    meter::{self, Register},
};
use lamplighter_model::device::AdapterId;
use lamplighter_site::boundary::PointConfig;

use super::{
    Checker, below, key,
    meter::Made,
    point::{Carries, Common, Writable},
    suggestion,
};
use crate::config::{
    checked::{BusId, BusLine, Meter, MeterKind, MeterPoint},
    layer::Key,
    not_built::NOT_AVAILABLE,
    schema,
    secret::decode_hex,
};

/// What the way to a meter takes that stands behind a converter on the network.
const NETWORK_DELAY: Duration = Duration::from_millis(300);
/// Keys of a `[bus.NAME]` that mean something to meters which share it.
const LINE_KEYS: [&str; 8] = [
    "address",
    "connect_pause_ms",
    "device",
    "echo",
    "kind",
    "line",
    "reopen",
    "rs485",
];

/// What points of all such meters have.
struct Written<'a> {
    resource: Option<&'a String>,
    unit: Option<&'a String>,
    valid: Option<&'a Vec<f64>>,
    monotonic: Option<bool>,
}

impl Checker<'_> {
    pub(super) fn mbus(&mut self, at: &Key, id: AdapterId, device: &schema::MbusDevice) -> Made {
        let bus = self.bus_of(at, device.bus.as_ref());
        let timing = bus.and_then(|bus| self.mbus_line(bus));
        let address = self.mbus_address(at, device);
        let (mut selected, mut points, mut configs) = (Vec::new(), Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let record = self.required(&at, "record", point.record.as_ref());
            let selector = record.and_then(|record| self.selector(&below(&at, "record"), record));
            let written = Written {
                resource: point.resource.as_ref(),
                unit: point.unit.as_ref(),
                valid: point.valid.as_ref(),
                monotonic: point.monotonic,
            };
            let name = selector
                .as_ref()
                .map_or_else(String::new, ToString::to_string);
            let made = self.line_point(&at, id, &written, Register::Record(name));
            if let (Some(selector), Some((point, config))) = (selector, made) {
                selected.push((selector, point.config.clone()));
                points.push(point);
                configs.push(config);
            }
        }
        let factor = device.timeout_factor.unwrap_or(1);
        let factor = self.within(&below(at, "timeout_factor"), factor, 1, 20);
        let retries = self.within(&below(at, "retries"), device.retries.unwrap_or(2), 0, 5);
        let (read_every, stale_after) = self.periods(at, device.read_s, device.stale_after_s);
        let meter = bus
            .zip(timing)
            .zip(address)
            .map(|((bus, timing), address)| Meter {
                bus,
                kind: MeterKind::Mbus(MbusConfig {
                    address,
                    retries,
                    timing: Timing { factor, ..timing },
                    read_every,
                    points: selected,
                }),
                stale_after,
                points,
            });
        (meter, configs)
    }

    pub(super) fn dlms(&mut self, at: &Key, id: AdapterId, device: &schema::DlmsDevice) -> Made {
        let bus = self.bus_of(at, device.bus.as_ref());
        let framing = bus.and_then(|bus| self.dlms_line(at, bus, device));
        let (security, counter_at) = self.dlms_security(&below(at, "security"), &device.security);
        let (mut wanted, mut points, mut configs) = (Vec::new(), Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let obis = self.required(&at, "obis", point.obis.as_ref());
            let obis = obis.and_then(|obis| self.obis(&below(&at, "obis"), obis));
            let attribute = point.attribute.unwrap_or(2);
            let attribute = self.within(&below(&at, "attribute"), attribute, 1, 127);
            let register = obis.map(|obis| Wanted {
                attribute,
                ..Wanted::value(point.class.unwrap_or(3), &obis)
            });
            let written = Written {
                resource: point.resource.as_ref(),
                unit: point.unit.as_ref(),
                valid: point.valid.as_ref(),
                monotonic: point.monotonic,
            };
            let name = register.map_or_else(String::new, |register| register.to_string());
            let made = self.line_point(&at, id, &written, Register::Record(name));
            if let (Some(register), Some((point, config))) = (register, made) {
                wanted.push((register, point.config.clone()));
                points.push(point);
                configs.push(config);
            }
        }
        let client = self.within(&below(at, "client"), device.client.unwrap_or(16), 1, 127);
        let server = self.within(&below(at, "server"), device.server.unwrap_or(1), 1, 16_383);
        let timeout = device.timeout_ms.unwrap_or(2000);
        let timeout = self.within(&below(at, "timeout_ms"), timeout, 100, 30_000);
        let retries = self.within(&below(at, "retries"), device.retries.unwrap_or(1), 0, 5);
        let (read_every, stale_after) = self.periods(at, device.read_s, device.stale_after_s);
        let meter = bus
            .zip(framing)
            .zip(security)
            .map(|((bus, framing), security)| Meter {
                bus,
                kind: MeterKind::Dlms(DlmsConfig {
                    link: Link {
                        framing,
                        server,
                        timeout: Duration::from_millis(timeout),
                    },
                    client,
                    security,
                    counter_at,
                    retries,
                    read_every,
                    points: wanted,
                }),
                stale_after,
                points,
            });
        (meter, configs)
    }

    fn line_point(
        &mut self,
        at: &Key,
        id: AdapterId,
        written: &Written<'_>,
        register: Register,
    ) -> Option<(MeterPoint, PointConfig)> {
        let common = Common {
            resource: written.resource,
            unit: written.unit,
            ..Common::default()
        };
        let (point, config) = self.point(at, id, common, Carries::Anything, Writable::No)?;
        let unit = self.meter_unit(at, &point);
        let valid = written.valid;
        let valid = valid.and_then(|valid| self.valid(&below(at, "valid"), valid));
        let measured = meter::MeterPoint {
            unit,
            valid,
            monotonic: written.monotonic.unwrap_or(false),
            ..meter::MeterPoint::new(point.address, register, point.data_type)
        };
        let point = MeterPoint {
            point,
            config: measured,
        };
        Some((point, config))
    }

    fn periods(
        &mut self,
        at: &Key,
        read_s: Option<u64>,
        stale_after_s: Option<u64>,
    ) -> (Duration, Duration) {
        let period = self.within(&below(at, "read_s"), read_s.unwrap_or(900), 5, 86_400);
        let period = Duration::from_secs(period);
        let stale_after = self.stale_after(at, stale_after_s);
        (period, stale_after.unwrap_or(2 * period))
    }

    /// The times of the line that an M-Bus stands on.
    fn mbus_line(&mut self, bus: BusId) -> Option<Timing> {
        self.line_keys(bus);
        let bus = self.buses.get(usize::from(bus.0))?;
        let timing = Timing {
            line: mbus::USUAL_LINE,
            delay: NETWORK_DELAY,
            echo: false,
            factor: 1,
        };
        let (name, line) = (bus.name.clone(), bus.line.clone());
        let BusLine::Serial(line) = line else {
            return Some(timing);
        };
        let settings = line.settings.to_string();
        if !settings.ends_with("-8E1") || line.settings.baud > 9600 {
            let what =
                format!("meters of this bus have 300 to 9600 Bd and 8E1, this line has {settings}");
            self.warning(&key(&["bus", &name, "line"]), what, "line = \"2400-8E1\"");
        }
        Some(Timing {
            line: line.settings,
            delay: Duration::ZERO,
            echo: line.echo,
            ..timing
        })
    }

    fn dlms_line(&mut self, at: &Key, bus: BusId, device: &schema::DlmsDevice) -> Option<Framing> {
        self.line_keys(bus);
        let line = self.buses.get(usize::from(bus.0))?.line.clone();
        let char_time = match &line {
            BusLine::Serial(line) => line.settings.char_time(),
            BusLine::RtuOverTcp(_) => Duration::ZERO,
            BusLine::Tcp(_) => {
                for (name, is_there) in [
                    ("physical", device.physical.is_some()),
                    ("address_bytes", device.address_bytes.is_some()),
                ] {
                    if is_there {
                        let what = "the wrapper on TCP has no such address";
                        self.error(
                            &below(at, name),
                            what,
                            "leave it out, or kind = \"rtu_over_tcp\"",
                        );
                    }
                }
                return Some(Framing::Wrapper);
            }
        };
        let physical = device
            .physical
            .map(|physical| self.within(&below(at, "physical"), physical, 0, 16_383));
        if device
            .address_bytes
            .is_some_and(|bytes| ![1, 2, 4].contains(&bytes))
        {
            self.error(
                &below(at, "address_bytes"),
                "an address has 1, 2 or 4 bytes",
                "",
            );
        }
        Some(Framing::Hdlc {
            physical,
            length: device.address_bytes,
            char_time,
        })
    }

    /// What is set for the line that meters do not mind is refused, never ignored.
    fn line_keys(&mut self, bus: BusId) {
        let Some(bus) = self.buses.get(usize::from(bus.0)) else {
            return;
        };
        let at = key(&["bus", &bus.name]);
        let Some(figment::value::Value::Dict(_, keys)) = self.layers.find(&at) else {
            return;
        };
        let others: Vec<String> = keys
            .keys()
            .filter(|key| !LINE_KEYS.contains(&key.as_str()))
            .cloned()
            .collect();
        for name in others {
            let what = format!("`{name}` with meters that share a line: {NOT_AVAILABLE}");
            self.error(&below(&at, &name), what, "");
        }
    }

    fn mbus_address(&mut self, at: &Key, device: &schema::MbusDevice) -> Option<Address> {
        match (device.address, &device.secondary) {
            (Some(number), None) => {
                let name = below(at, "address");
                if number != mbus::ALONE {
                    self.within(&name, number, 0, 250);
                }
                Some(Address::Primary(number))
            }
            (None, Some(text)) => match text.parse() {
                Ok(secondary) => Some(Address::Secondary(secondary)),
                Err(_) => {
                    let what = format!("`{text}` is not a secondary address");
                    let hint =
                        "eight digits as on the plate, or sixteen with maker, version and medium";
                    self.error(&below(at, "secondary"), what, hint);
                    None
                }
            },
            (Some(_), Some(_)) => {
                let what = "`address` and `secondary` exclude each other";
                self.error(&below(at, "secondary"), what, "leave one of them out");
                None
            }
            (None, None) => {
                self.missing(at, "address", "or `secondary`, as on the plate");
                None
            }
        }
    }

    fn selector(&mut self, at: &Key, record: &schema::MbusRecord) -> Option<Selector> {
        if record.number == Some(0) {
            self.error(&below(at, "number"), "records are counted from 1", "");
        }
        let by = match (&record.quantity, &record.header) {
            (None, Some(header)) => {
                self.only_header(at, record);
                let bytes = decode_hex(&header.replace(' ', ""));
                let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
                    let what = format!("`{header}` is not a row of bytes");
                    self.error(&below(at, "header"), what, "for example 0C 06");
                    return None;
                };
                SelectBy::Header(bytes)
            }
            (Some(quantity), None) => {
                self.quantity(&below(at, "quantity"), quantity);
                SelectBy::Meaning {
                    quantity: quantity.clone(),
                    function: function_of(record.function),
                    storage: record.storage.unwrap_or(0),
                    tariff: record.tariff.unwrap_or(0),
                    subunit: record.subunit.unwrap_or(0),
                    qualifier: record.qualifier.clone(),
                }
            }
            (Some(_), Some(_)) => {
                let what = "`quantity` and `header` exclude each other";
                self.error(&below(at, "header"), what, "leave one of them out");
                return None;
            }
            (None, None) => {
                self.missing(at, "quantity", "as `lamplighter meter read` prints it");
                return None;
            }
        };
        Some(Selector {
            by,
            number: record.number,
        })
    }

    fn only_header(&mut self, at: &Key, record: &schema::MbusRecord) {
        for (name, is_there) in [
            ("function", record.function.is_some()),
            ("storage", record.storage.is_some()),
            ("tariff", record.tariff.is_some()),
            ("subunit", record.subunit.is_some()),
            ("qualifier", record.qualifier.is_some()),
        ] {
            if is_there {
                self.error(
                    &below(at, name),
                    "the header says this already",
                    "leave it out",
                );
            }
        }
    }

    /// Some meters have quantities of their own, in their own words.
    fn quantity(&mut self, at: &Key, quantity: &str) {
        let known: Vec<&str> = quantities().collect();
        if !known.contains(&quantity) {
            let what = format!("`{quantity}` is no quantity of the standard");
            self.warning(at, what, suggestion(quantity, &known));
        }
    }

    fn dlms_security(
        &mut self,
        at: &Key,
        security: &schema::DlmsSecurity,
    ) -> (Option<Security>, Option<[u8; 6]>) {
        let mode = security.mode.unwrap_or(schema::DlmsMode::None);
        self.only_of_mode(at, mode, security);
        match mode {
            schema::DlmsMode::None => (Some(Security::None), None),
            schema::DlmsMode::Password => {
                let secret = self.secret(at, "password", security.password.as_ref());
                let Some(secret) = secret else {
                    return (None, None);
                };
                let password = Secret::new(secret.bytes());
                if password.is_none() {
                    let what = format!("a password has 1 to {} bytes", Secret::MAX);
                    self.error(&below(at, "password"), what, "");
                }
                (password.map(Security::Password), None)
            }
            schema::DlmsMode::Gmac => self.gmac(at, security),
        }
    }

    fn gmac(
        &mut self,
        at: &Key,
        security: &schema::DlmsSecurity,
    ) -> (Option<Security>, Option<[u8; 6]>) {
        let encryption_key =
            self.cipher_key(at, "encryption_key", security.encryption_key.as_ref());
        let authentication_key = self.cipher_key(
            at,
            "authentication_key",
            security.authentication_key.as_ref(),
        );
        let title = self.required(at, "system_title", security.system_title.as_ref());
        let system_title = title.and_then(|title| {
            let bytes = match title.len() {
                8 => Some(title.as_bytes().to_vec()),
                _ => decode_hex(title),
            };
            let title = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            if title.is_none() {
                let what = "a system title has eight bytes";
                let hint = "eight letters and digits, or sixteen hexadecimal digits";
                self.error(&below(at, "system_title"), what, hint);
            }
            title
        });
        // Only the meter knows what was used when a file is lost or put back from a copy.
        let counter = self.required(at, "counter", security.counter.as_ref());
        let counter = counter.and_then(|counter| self.obis(&below(at, "counter"), counter));
        let security = encryption_key
            .zip(authentication_key)
            .zip(system_title)
            .map(
                |((encryption_key, authentication_key), system_title)| Security::Gmac {
                    encryption_key,
                    authentication_key,
                    system_title,
                },
            );
        (security, counter.map(|counter| counter.to_bytes()))
    }

    fn cipher_key(
        &mut self,
        at: &Key,
        name: &str,
        reference: Option<&String>,
    ) -> Option<CipherKey> {
        let secret = self.secret(at, name, reference)?;
        let key = CipherKey::new(secret.bytes());
        if key.is_none() {
            self.error(&below(at, name), "a key of this suite has 16 bytes", "");
        }
        key
    }

    fn only_of_mode(&mut self, at: &Key, mode: schema::DlmsMode, security: &schema::DlmsSecurity) {
        let of_gmac = [
            ("encryption_key", security.encryption_key.is_some()),
            ("authentication_key", security.authentication_key.is_some()),
            ("system_title", security.system_title.is_some()),
            ("counter", security.counter.is_some()),
        ];
        let of_password = [("password", security.password.is_some())];
        let others = match mode {
            schema::DlmsMode::Gmac => of_password.to_vec(),
            schema::DlmsMode::None => [&of_gmac[..], &of_password].concat(),
            schema::DlmsMode::Password => of_gmac.to_vec(),
        };
        for (name, is_there) in others {
            if is_there {
                let what = "it has no meaning with this mode";
                self.error(&below(at, name), what, "leave it out, or change `mode`");
            }
        }
    }

    /// Two devices that are one meter would read it twice, and mix up its counters.
    pub(super) fn same_meter_twice<'m>(
        &mut self,
        meters: impl Iterator<Item = (&'m str, &'m Meter)>,
    ) {
        let mut seen: BTreeMap<(BusId, String), &str> = BTreeMap::new();
        let mut spaces: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
        for (name, meter) in meters {
            let address = match &meter.kind {
                MeterKind::Dlms(config) => {
                    format!("{:?}", (config.link.framing, config.link.server))
                }
                MeterKind::Mbus(config) => config.address.to_string(),
                MeterKind::Iec62056(_)
                | MeterKind::ModeD
                | MeterKind::P1
                | MeterKind::Sml { .. } => {
                    continue;
                }
            };
            if let MeterKind::Dlms(config) = &meter.kind
                && let Some(space) = config.security.number_space()
                && let Some(other) = spaces.insert(space.to_vec(), name)
            {
                // The numbers of messages would be the same: that gives the key away.
                let what = format!("it has the key and the system title of [device.{other}]");
                let hint = "give each meter a title of its own; one that was ever used stays used";
                self.error(&key(&["device", name, "security"]), what, hint);
            }
            if let Some(other) = seen.insert((meter.bus, address), name) {
                let what = format!("it is the same meter as [device.{other}]");
                let hint = "one device reads a meter, for all its points";
                self.error(&key(&["device", name]), what, hint);
            }
        }
    }
}

fn function_of(function: Option<schema::MbusFunction>) -> Function {
    match function {
        None | Some(schema::MbusFunction::Instantaneous) => Function::Instantaneous,
        Some(schema::MbusFunction::DuringError) => Function::DuringError,
        Some(schema::MbusFunction::Maximum) => Function::Maximum,
        Some(schema::MbusFunction::Minimum) => Function::Minimum,
    }
}
