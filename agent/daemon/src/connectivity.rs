//! Object 4, Connectivity Monitoring: which way packets take now; and the memory of object 3. An
//! adapter like any other, so that the core needs no special path for it.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_adapters::{Adapter, Clock, Wake};
use lamplighter_model::{
    InstanceAddress, InstancePath, Quality, ResourceAddress, ResourceId, ResourceInstanceId,
    Sample, Scope, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use tokio::time::{Instant, sleep_until};

use crate::memory;

/// How often the addresses and the memory are looked at.
pub(crate) const PERIOD: Duration = Duration::from_secs(30);

/// How it is called among the adapters.
pub(crate) const ADAPTER: &str = "system";

const INSTANCE: InstancePath = InstancePath::new(4, 0);

/// Mandatory resources of object 4 and the routers.
const BEARER: u16 = 0;
const AVAILABLE: u16 = 1;
const SIGNAL: u16 = 2;
const ADDRESSES: u16 = 4;
const ROUTERS: u16 = 5;
const RESOURCES: [u16; 5] = [BEARER, AVAILABLE, SIGNAL, ADDRESSES, ROUTERS];

/// No more entries of each list than a person reads; a container host has hundreds of addresses.
const MAX_LIST: usize = 16;

/// Watches the interfaces and the memory of this machine.
#[derive(Debug)]
pub(crate) struct Connectivity {
    clock: Clock,
    due: Instant,
    /// The memory is to be looked at after the interfaces.
    memory_due: bool,
    state_dir: PathBuf,
}

/// Values of 4/0/0 (lwm2m/70: 0–20 cellular, 21–40 wireless, 41–50 wired).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Bearer {
    Lte = 6,
    Wlan = 21,
    Bluetooth = 22,
    Ethernet = 41,
}

impl Connectivity {
    pub(crate) fn new(clock: Clock, state_dir: PathBuf) -> Self {
        Self {
            clock,
            due: Instant::now(),
            memory_due: false,
            state_dir,
        }
    }

    fn sample(&self, resource: u16, index: Option<usize>, value: Value) -> Sample {
        Sample {
            address: address(resource),
            index: index
                .and_then(|index| u16::try_from(index).ok())
                .map(ResourceInstanceId),
            value,
            at: self.clock.stamp(),
            source_time: None,
            quality: Quality::Good,
        }
    }

    fn list(&self, resource: u16, values: impl Iterator<Item = Value>) -> Vec<Sample> {
        let numbered = values.take(MAX_LIST).enumerate();
        numbered
            .map(|(index, value)| self.sample(resource, Some(index), value))
            .collect()
    }

    fn memory(&self) -> Result<Vec<Sample>, Fault> {
        let sample = |(resource, value)| {
            let address = at(memory::INSTANCE, resource);
            Sample::good(address, value, self.clock.stamp())
        };
        Ok(memory::look(&self.state_dir)?.map(sample).to_vec())
    }

    fn look(&self) -> Result<Vec<Sample>, Fault> {
        let (mut addresses, mut bearers) = (BTreeSet::new(), BTreeSet::new());
        let interfaces = getifaddrs()
            .map_err(|error| Fault::Device(format!("cannot list interfaces: {error}")))?;
        for interface in interfaces {
            let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
            if !interface.flags.contains(up)
                || interface.flags.contains(InterfaceFlags::IFF_LOOPBACK)
            {
                continue;
            }
            let ip = interface.address.and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            });
            if let Some(ip) = ip {
                addresses.insert(ip);
                bearers.insert(bearer_of(&interface.interface_name));
            }
        }
        let (route, routers) = default_route();
        let current = route
            .as_deref()
            .map(bearer_of)
            .or_else(|| bearers.first().copied());
        // Without any interface the box still talks to itself, as in the demo: that is a wire.
        let current = current.unwrap_or(Bearer::Ethernet);
        bearers.insert(current);
        let number = |bearer: Bearer| Value::Integer(bearer as i64);
        let text = |ip: &IpAddr| Value::String(ip.to_string());
        let mut samples = vec![
            self.sample(BEARER, None, number(current)),
            // Mandatory, and 0 where there is no radio.
            self.sample(SIGNAL, None, Value::Integer(0)),
        ];
        samples.extend(self.list(AVAILABLE, bearers.into_iter().map(number)));
        if addresses.is_empty() {
            addresses.insert(IpAddr::from([127, 0, 0, 1]));
        }
        samples.extend(self.list(ADDRESSES, addresses.iter().map(text)));
        samples.extend(self.list(ROUTERS, routers.iter().map(text)));
        Ok(samples)
    }
}

impl Adapter for Connectivity {
    fn declared(&self) -> Vec<Declaration> {
        declarations()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        wanted: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        let mut samples = if instance.path == memory::INSTANCE {
            self.memory()?
        } else {
            self.look()?
        };
        samples.retain(|sample| wanted.contains(&sample.address.path.resource));
        Ok(samples)
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        if std::mem::take(&mut self.memory_due) {
            return Ok(due(memory::INSTANCE, &memory::RESOURCES));
        }
        sleep_until(self.due).await;
        self.due = Instant::now() + PERIOD;
        self.memory_due = true;
        Ok(due(INSTANCE, &RESOURCES))
    }
}

fn due(instance: InstancePath, resources: &[u16]) -> Wake {
    let address = InstanceAddress {
        scope: Scope::Gateway,
        path: instance,
    };
    let resources = resources.iter().copied().map(ResourceId);
    Wake::Due(address, resources.collect())
}

/// What every box has of objects 3 and 4.
pub(crate) fn declarations() -> Vec<Declaration> {
    let memory = memory::RESOURCES.map(|resource| at(memory::INSTANCE, resource));
    let addresses = RESOURCES.map(address).into_iter().chain(memory);
    addresses
        .map(|address| Declaration {
            address,
            operations: Operations::R,
        })
        .collect()
}

fn address(resource: u16) -> ResourceAddress {
    at(INSTANCE, resource)
}

fn at(instance: InstancePath, resource: u16) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path: instance.resource(resource),
    }
}

/// What kind of interface this is, by what the kernel says of it.
fn bearer_of(interface: &str) -> Bearer {
    let device = Path::new("/sys/class/net").join(interface);
    let event = fs::read_to_string(device.join("uevent")).unwrap_or_default();
    if event.contains("DEVTYPE=wwan")
        || interface.starts_with("wwan")
        || interface.starts_with("ppp")
    {
        Bearer::Lte
    } else if event.contains("DEVTYPE=wlan") || device.join("wireless").exists() {
        Bearer::Wlan
    } else if event.contains("DEVTYPE=bluetooth") || interface.starts_with("bnep") {
        Bearer::Bluetooth
    } else {
        Bearer::Ethernet
    }
}

/// Interface and gateways of the IPv4 default routes, best first, as /proc/net/route tells them.
fn default_route() -> (Option<String>, Vec<IpAddr>) {
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mut routes: Vec<_> = table.lines().skip(1).filter_map(parse_default).collect();
    routes.sort();
    let interface = routes.first().map(|(_, interface, _)| interface.clone());
    (
        interface,
        routes
            .into_iter()
            .filter_map(|(_, _, router)| router)
            .collect(),
    )
}

/// Metric, interface and gateway of a line that is a default route.
fn parse_default(line: &str) -> Option<(u32, String, Option<IpAddr>)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [interface, destination, gateway, _, _, _, metric, mask, ..] = fields[..] else {
        return None;
    };
    if destination != "00000000" || mask != "00000000" {
        return None;
    }
    // The kernel prints the bytes of an address in the order of the machine.
    let gateway = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
    let router = (gateway != [0; 4]).then(|| IpAddr::from(gateway));
    Some((metric.parse().ok()?, interface.to_owned(), router))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_told_from_the_others() {
        let line = "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let (metric, interface, router) = parse_default(line).unwrap();
        assert_eq!((metric, interface.as_str()), (100, "eth0"));
        let expected = u32::from_str_radix("0102A8C0", 16).unwrap().to_ne_bytes();
        assert_eq!(router, Some(IpAddr::from(expected)));
        assert_eq!(
            parse_default("eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"),
            None
        );
        assert_eq!(parse_default("Iface Destination"), None);
    }

    #[tokio::test]
    async fn every_mandatory_resource_has_a_value() {
        let clock = Clock::new(lamplighter_model::Stamp::default);
        let mut connectivity = Connectivity::new(clock, "/".into());
        let Wake::Due(instance, due) = connectivity.wait().await.unwrap() else {
            panic!("not due at start")
        };
        let samples = connectivity.read(instance, &due).await.unwrap();
        for resource in [BEARER, AVAILABLE, SIGNAL, ADDRESSES] {
            assert!(
                samples
                    .iter()
                    .any(|sample| sample.address == address(resource)),
                "/4/0/{resource}"
            );
        }
    }
    #[tokio::test]
    async fn the_memory_is_told_in_kilobytes_after_the_interfaces() {
        let clock = Clock::new(lamplighter_model::Stamp::default);
        let mut connectivity = Connectivity::new(clock, "/".into());
        connectivity.wait().await.unwrap();
        let Wake::Due(instance, due) = connectivity.wait().await.unwrap() else {
            panic!("not due after the interfaces")
        };
        assert_eq!(instance.path, memory::INSTANCE);
        let samples = connectivity.read(instance, &due).await.unwrap();
        let [Value::Integer(free), Value::Integer(total)] = [&samples[0].value, &samples[1].value]
        else {
            panic!("{samples:?}")
        };
        assert!(
            *free >= 0 && free % 1000 == 0 && free <= total,
            "{samples:?}"
        );
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_memory() {
        let nowhere = Path::new("/nowhere/at/all");
        assert!(matches!(memory::look(nowhere), Err(Fault::Device(_))));
    }
}
