use super::*;
use zbus::{Array, Dict, ObjectPath, Structure, Variant};

fn modem(object: Object) -> Modem {
    Modem::read("/org/freedesktop/ModemManager1/Modem/0", &object).unwrap()
}

fn structure(fields: Vec<Variant<'static>>) -> Structure<'static> {
    let mut builder = Structure::builder();
    for field in fields {
        builder.push_value(field);
    }
    builder.build().unwrap()
}

fn place(text: &str) -> Bag {
    let mut dict = Dict::new(&"u".try_into().unwrap(), &"v".try_into().unwrap());
    let value = Variant::Variant(Box::new(Variant::from(text.to_owned())));
    dict.append(Variant::U32(1), value).unwrap();
    Bag::from([("Location", Variant::Dict(dict))])
}

fn registered(technologies: u32, registration: u32) -> Object {
    let quality = structure(vec![Variant::U32(54), Variant::Bool(true)]);
    let modem = Bag::from([
        ("State", Variant::I32(8)),
        ("UnlockRequired", Variant::U32(1)),
        ("AccessTechnologies", Variant::U32(technologies)),
        ("SignalQuality", Variant::Structure(quality)),
    ]);
    let network = Bag::from([
        ("RegistrationState", Variant::U32(registration)),
        ("OperatorCode", Variant::from("21401")),
        ("OperatorName", Variant::from("vodafone ES")),
    ]);
    let location = place("214,01,0,83F7CD,31C5");
    Object::from([
        (MODEM.into(), modem),
        (MODEM_3GPP.into(), network),
        (LOCATION.into(), location),
    ])
}

#[test]
fn a_registered_modem_tells_its_network() {
    let modem = modem(registered(1 << 14, 5));
    let expected = Place {
        cell: Some(0x83_f7cd),
        area: Some(0x31c5),
    };
    assert_eq!(modem.place, Some(expected));
    let expected = Meta {
        registered: Some(true),
        roaming: Some(true),
        // +CSQ: 17 is 54 %, and -79 dBm.
        signal: Some(-79),
        operator: Some("21401".into()),
        operator_name: Some("vodafone ES".into()),
        cell: Some(0x83_f7cd),
        area: Some(0x31c5),
        technology: Some(6),
        ..Meta::default()
    };
    assert_eq!(modem.meta(modem.place), expected);
}

#[test]
fn nothing_of_a_network_that_was_lost_is_told() {
    let modem = modem(registered(1 << 14, 2));
    let expected = Meta {
        registered: Some(false),
        ..Meta::default()
    };
    assert_eq!(modem.meta(modem.place), expected);
}

#[test]
fn every_technology_has_its_code_of_object_4() {
    for (bits, code) in [
        (0, None),
        (1 << 1, Some(0)),
        (1 << 4, Some(0)),
        (1 << 5, Some(2)),
        (1 << 8 | 1 << 4, Some(2)),
        (1 << 12, Some(3)),
        (1 << 14, Some(6)),
        (1 << 15, Some(9)),
        // Not stand-alone: what is measured is LTE's.
        (1 << 15 | 1 << 14, Some(6)),
        (1 << 16, Some(6)),
        (1 << 17, Some(7)),
        (u32::MAX, Some(6)),
        (1 << 31, None),
    ] {
        assert_eq!(technology(bits), code, "{bits:#x}");
    }
}

#[test]
fn what_is_measured_goes_before_what_is_estimated() {
    let mut object = registered(1 << 14, 1);
    let mut lte = Dict::new(&"s".try_into().unwrap(), &"v".try_into().unwrap());
    for (name, value) in [
        ("rsrp", -101.4),
        ("rsrq", -11.0),
        ("snr", 7.6),
        ("rssi", -70.0),
    ] {
        let value = Variant::Variant(Box::new(Variant::F64(value)));
        lte.append(Variant::from(name), value).unwrap();
    }
    object.insert(SIGNAL.into(), Bag::from([("Lte", Variant::Dict(lte))]));
    let meta = modem(object).meta(None);
    assert_eq!(
        (meta.signal, meta.quality, meta.snr),
        (Some(-101), Some(-11), Some(8))
    );
}

#[test]
fn levels_out_of_this_world_are_none() {
    let mut object = registered(1 << 5, 1);
    let mut umts = Dict::new(&"s".try_into().unwrap(), &"v".try_into().unwrap());
    let value = Variant::Variant(Box::new(Variant::F64(-f64::MAX)));
    umts.append(Variant::from("rscp"), value).unwrap();
    object.insert(SIGNAL.into(), Bag::from([("Umts", Variant::Dict(umts))]));
    // What is left is the estimate.
    assert_eq!(modem(object).meta(None).signal, Some(-79));
}

#[test]
fn a_place_is_read_with_gaps() {
    let read = |text, technologies| Place::read(&place(text), technologies);
    let at = |cell, area| Some(Place { cell, area });
    assert_eq!(
        read("214,01,1A2B,00FF,0", 1 << 1),
        at(Some(0xff), Some(0x1a2b))
    );
    assert_eq!(
        read("214,01,FFFE,00FF,31C5", 1 << 14),
        at(Some(0xff), Some(0x31c5))
    );
    assert_eq!(read("214,01,FFFE,0,0", 1 << 14), None);
    assert_eq!(
        read("214,01,0,FFFFFFFFFFFFFFFF,7", 1 << 15),
        at(None, Some(7))
    );
    assert_eq!(read("214", 0), None);
    assert_eq!(read(",,,,,,,,", 0), None);
    assert_eq!(read("a,b,x,-1,ü", 0), None);
}

#[test]
fn a_modem_says_what_it_lacks() {
    let trouble = |state: i32, reason: u32, lock: u32| {
        let bag = Bag::from([
            ("State", Variant::I32(state)),
            ("StateFailedReason", Variant::U32(reason)),
            ("UnlockRequired", Variant::U32(lock)),
        ]);
        let modem = modem(Object::from([(MODEM.into(), bag)]));
        let meta = modem.meta(None);
        (meta.registered, meta.trouble)
    };
    let says = |text: &str| (Some(false), Some(text.to_owned()));
    assert_eq!(trouble(-1, 2, 0), says("there is no SIM"));
    assert_eq!(trouble(2, 0, 2), says("the SIM wants its PIN"));
    assert_eq!(trouble(2, 0, 4), says("the SIM wants its PUK"));
    assert_eq!(trouble(3, 0, 1), says("the modem is not enabled"));
    assert_eq!(trouble(8, 0, 1), (None, None));
    assert_eq!(trouble(11, 0, 1), (Some(true), None));
    assert_eq!(trouble(99, 0, 1).0, None);
}

#[test]
fn a_connection_tells_its_access_point_and_name_servers() {
    let mut config = Dict::new(&"s".try_into().unwrap(), &"v".try_into().unwrap());
    let mut put = |name: &'static str, value: Variant<'static>| {
        let value = Variant::Variant(Box::new(value));
        config.append(Variant::from(name), value).unwrap();
    };
    put("method", Variant::U32(2));
    put("address", Variant::from("10.64.64.2"));
    put("prefix", Variant::U32(30));
    put("gateway", Variant::from("10.64.64.1"));
    put("dns1", Variant::from("192.0.2.53"));
    put("dns2", Variant::from("nonsense"));
    put("dns3", Variant::from("0.0.0.0"));
    let mut wanted = Dict::new(&"s".try_into().unwrap(), &"v".try_into().unwrap());
    let apn = Variant::Variant(Box::new(Variant::from("iot.example")));
    wanted.append(Variant::from("apn"), apn).unwrap();
    let bag = Bag::from([
        ("Connected", Variant::Bool(true)),
        ("Interface", Variant::from("wwan0")),
        ("Properties", Variant::Dict(wanted)),
        ("Ip4Config", Variant::Dict(config)),
    ]);
    let connection = Connection::read("/b", &bag);
    assert_eq!(connection.v4.prefix, Some(30));
    assert_eq!(connection.v4.method, 2);
    let mut modem = modem(registered(1 << 14, 1));
    modem.bearers = vec![Connection::default(), connection];
    let meta = modem.meta(None);
    assert_eq!(meta.apn.as_deref(), Some("iot.example"));
    assert_eq!(meta.name_servers, ["192.0.2.53".parse::<IpAddr>().unwrap()]);
}

#[test]
fn ports_that_carry_packets_are_told_from_the_others() {
    let port = |name: &str, kind: u32| {
        let fields = vec![Variant::from(name.to_owned()), Variant::U32(kind)];
        Variant::Structure(structure(fields))
    };
    let mut ports = Array::new(&"(su)".try_into().unwrap());
    for port in [port("cdc-wdm0", 6), port("wwan0", 2), port("ttyUSB2", 3)] {
        ports.append(port).unwrap();
    }
    let bearers = vec![ObjectPath::try_from("/b/1").unwrap(); 100];
    let bag = Bag::from([
        ("Ports", Variant::Array(ports)),
        ("Bearers", Variant::from(bearers)),
    ]);
    let modem = modem(Object::from([(MODEM.into(), bag)]));
    assert_eq!(modem.interfaces, ["wwan0"]);
    assert_eq!(modem.bearer_paths.len(), BEARERS_MAX);
}

#[test]
fn what_is_no_modem_is_left_alone() {
    assert_eq!(Modem::read("/x", &Object::new()), None);
    let nothing = modem(Object::from([(MODEM.into(), Bag::default())]));
    assert_eq!(nothing.state, State::Unknown);
    assert_eq!(nothing.registered(), None);
}
