use super::*;
use crate::bearer::dbus::bus::Object;
use zbus::{Array, Dict, ObjectPath, Structure, Variant};

fn path(path: &'static str) -> Variant<'static> {
    Variant::ObjectPath(ObjectPath::try_from(path).unwrap())
}

fn reason(reason: u32) -> Variant<'static> {
    let mut builder = Structure::builder();
    builder.push_value(Variant::U32(0));
    builder.push_value(Variant::U32(reason));
    Variant::Structure(builder.build().unwrap())
}

fn one(properties: Bag) -> Objects {
    Objects::from([(
        "/d".to_owned(),
        Object::from([(DEVICE.to_owned(), properties)]),
    )])
}

#[test]
fn a_device_tells_whether_it_costs_money() {
    for (value, metered) in [
        (0, None),
        (1, Some(true)),
        (2, Some(false)),
        (3, Some(true)),
        (4, Some(false)),
        (77, None),
    ] {
        let objects = one(Bag::from([
            ("Interface", Variant::from("usb0")),
            ("Metered", Variant::U32(value)),
        ]));
        let [device] = &devices(&objects)[..] else {
            panic!("one device");
        };
        assert_eq!(device.meta().metered, metered, "{value}");
    }
}

#[test]
fn name_servers_and_access_point_names_are_those_of_the_device() {
    let mut server = Dict::new(&"s".try_into().unwrap(), &"v".try_into().unwrap());
    let address = Variant::Variant(Box::new(Variant::from("192.0.2.53")));
    server.append(Variant::from("address"), address).unwrap();
    let mut servers = Array::new(&"a{sv}".try_into().unwrap());
    servers.append(Variant::Dict(server)).unwrap();
    let six: [u8; 16] = "2001:db8::53".parse::<Ipv6Addr>().unwrap().octets();
    let sixes = Variant::from(vec![six.to_vec(), vec![1, 2, 3]]);
    let mut objects = one(Bag::from([
        ("Interface", Variant::from("cdc-wdm0")),
        ("IpInterface", Variant::from("wwan0")),
        ("DeviceType", Variant::U32(8)),
        ("State", Variant::U32(100)),
        ("Ip4Config", path("/4")),
        ("Ip6Config", path("/6")),
        ("ActiveConnection", path("/a")),
    ]));
    let active = Bag::from([("Connection", path("/c"))]);
    let four = Bag::from([("NameserverData", Variant::Array(servers))]);
    let six = Bag::from([("Nameservers", sixes)]);
    for (path, interface, bag) in [("/4", V4, four), ("/6", V6, six), ("/a", ACTIVE, active)] {
        objects.insert(path.into(), Object::from([(interface.into(), bag)]));
    }
    let [device] = &devices(&objects)[..] else {
        panic!("one device");
    };
    assert_eq!(device.interface, "wwan0");
    assert!(device.is_modem);
    assert_eq!(device.profile.as_deref(), Some("/c"));
    let meta = device.meta();
    let expected: Vec<IpAddr> = ["192.0.2.53", "2001:db8::53"]
        .map(|a| a.parse().unwrap())
        .into();
    assert_eq!(meta.name_servers, expected);
    assert_eq!(meta.trouble, None);
}

#[test]
fn a_device_says_why_it_is_not_connected() {
    let trouble = |state: u32, why: u32| {
        let objects = one(Bag::from([
            ("Interface", Variant::from("eth0")),
            ("State", Variant::U32(state)),
            ("StateReason", reason(why)),
        ]));
        devices(&objects)[0].meta().trouble
    };
    let dhcp = Some("NetworkManager gets no address by DHCP".to_owned());
    assert_eq!(trouble(120, 5), dhcp);
    assert_eq!(trouble(30, 17), dhcp);
    assert_eq!(trouble(30, 39), None);
    assert_eq!(
        trouble(120, 999),
        Some("NetworkManager could not connect it".into())
    );
    assert_eq!(trouble(100, 5), None);
    assert_eq!(trouble(10, 5), None);
}

#[test]
fn a_device_says_where_it_is_on_its_way() {
    let on_its_way = |state: u32| {
        let objects = one(Bag::from([
            ("Interface", Variant::from("eth0")),
            ("State", Variant::U32(state)),
        ]));
        devices(&objects)[0].on_its_way()
    };
    assert_eq!(
        on_its_way(50),
        Some("NetworkManager does not get it connected")
    );
    assert_eq!(
        on_its_way(60),
        Some("NetworkManager has no password for it")
    );
    for state in [70, 80, 90] {
        assert_eq!(
            on_its_way(state),
            Some("NetworkManager gets no address for it")
        );
    }
    for state in [0, 10, 20, 30, 100, 110, 120, 7777] {
        assert_eq!(on_its_way(state), None, "{state}");
    }
}

#[test]
fn what_points_nowhere_is_as_if_it_was_not_there() {
    let objects = one(Bag::from([
        ("Interface", Variant::from("eth0")),
        ("Ip4Config", path("/nowhere")),
        ("ActiveConnection", path("/d")),
        ("StateReason", Variant::from("nonsense")),
    ]));
    let device = &devices(&objects)[0];
    assert_eq!(device.profile, None);
    assert_eq!(device.meta(), Meta::default());
    assert!(devices(&one(Bag::default())).is_empty());
}
