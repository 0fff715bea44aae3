//! Object 4, Connectivity Monitoring: which way packets take now.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path};

use lamplighter_model::{
    InstancePath, Quality, ResourceInstanceId, Sample, Stamp, Value, device::Fault,
};
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

use super::at;

pub(super) const INSTANCE: InstancePath = InstancePath::new(4, 0);

/// Mandatory resources of object 4 and the routers.
const BEARER: u16 = 0;
const AVAILABLE: u16 = 1;
const SIGNAL: u16 = 2;
const ADDRESSES: u16 = 4;
const ROUTERS: u16 = 5;
pub(super) const RESOURCES: [u16; 5] = [BEARER, AVAILABLE, SIGNAL, ADDRESSES, ROUTERS];

/// No more entries of each list than a person reads; a container host has hundreds of addresses.
const MAX_LIST: usize = 16;

/// Values of 4/0/0 (lwm2m/70: 0–20 cellular, 21–40 wireless, 41–50 wired).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Bearer {
    Lte = 6,
    Wlan = 21,
    Bluetooth = 22,
    Ethernet = 41,
}

/// What there is now.
pub(super) fn look(stamp: Stamp) -> Result<Vec<Sample>, Fault> {
    let (mut addresses, mut bearers) = (BTreeSet::new(), BTreeSet::new());
    let interfaces =
        getifaddrs().map_err(|error| Fault::Device(format!("cannot list interfaces: {error}")))?;
    for interface in interfaces {
        let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        if !interface.flags.contains(up) || interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
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
    let sample = |resource, index: Option<usize>, value| Sample {
        address: at(INSTANCE, resource),
        index: index
            .and_then(|index| u16::try_from(index).ok())
            .map(ResourceInstanceId),
        value,
        at: stamp,
        source_time: None,
        quality: Quality::Good,
    };
    let list = |resource, values: Vec<Value>| -> Vec<Sample> {
        let numbered = values.into_iter().take(MAX_LIST).enumerate();
        numbered
            .map(|(index, value)| sample(resource, Some(index), value))
            .collect()
    };
    let number = |bearer: Bearer| Value::Integer(bearer as i64);
    let text = |ip: &IpAddr| Value::String(ip.to_string());
    let mut samples = vec![
        sample(BEARER, None, number(current)),
        // Mandatory, and 0 where there is no radio.
        sample(SIGNAL, None, Value::Integer(0)),
    ];
    samples.extend(list(AVAILABLE, bearers.into_iter().map(number).collect()));
    if addresses.is_empty() {
        addresses.insert(IpAddr::from([127, 0, 0, 1]));
    }
    samples.extend(list(ADDRESSES, addresses.iter().map(text).collect()));
    samples.extend(list(ROUTERS, routers.iter().map(text).collect()));
    Ok(samples)
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

    #[test]
    fn every_mandatory_resource_has_a_value() {
        let samples = look(Stamp::default()).unwrap();
        for resource in [BEARER, AVAILABLE, SIGNAL, ADDRESSES] {
            let address = at(INSTANCE, resource);
            let is_told = samples.iter().any(|sample| sample.address == address);
            assert!(is_told, "{address}");
        }
    }
}
