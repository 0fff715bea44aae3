//! `adapter = "gpsd"` and `"nmea"`.

use lamplighter::config::{DeviceKind, LocationSource};

use crate::{SERVER, check, problems::assert_cases, problems::found};

#[test]
fn a_receiver_tells_object_6_with_names_for_people() {
    let text =
        format!("{SERVER}[device.gps]\nadapter = \"gpsd\"\ninstances = [\"/6/0\", \"/3336/2\"]\n");
    let checked = check("gpsd", &text);
    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    let DeviceKind::Location(location) = &config.devices[0].kind else {
        panic!("{:?}", config.devices[0].kind);
    };
    let source = LocationSource::Gpsd {
        address: "127.0.0.1:2947".to_owned(),
        receiver: None,
    };
    assert_eq!(location.source, source);
    assert_eq!(location.stale_after.as_secs(), 15);
    for (name, path) in [
        ("gps.latitude", "/6/0/0"),
        ("gps.time", "/6/0/5"),
        ("gps.speed", "/6/0/6"),
        ("gps.latitude_3336_2", "/3336/2/6051"),
    ] {
        let found = config.names.resolve(name).map(|path| path.to_string());
        assert_eq!(found.as_deref(), Some(path), "{name}");
    }
    assert!(config.points().all(|point| !point.writable));
}

#[test]
fn what_tells_no_position_is_found() {
    assert_cases(
        "location",
        &[
            (
                "[device.gps]\nadapter = \"gpsd\"\naddress = \"localhost\"\nevery_s = 0\nmax_speed_kmh = 0\n",
                &[
                    (3, "`localhost` is not HOST:PORT"),
                    (4, "`every_s = 0` is not within 1 to 3600"),
                    (5, "`max_speed_kmh = 0` is not within 1 to 100000"),
                ],
            ),
            (
                "[device.gps]\nadapter = \"gpsd\"\ninstances = [\"/6/1\", \"/3303/0\", \"6\"]\n",
                &[
                    (3, "object 6 has one instance"),
                    (3, "object 3303 tells no position"),
                    (3, "`6` does not name an instance"),
                ],
            ),
            (
                "[device.gps]\nadapter = \"nmea\"\nevery_s = 10\nstale_after_s = 10\n",
                &[
                    (1, "the key `bus` is missing"),
                    (4, "the position would be stale before it is told again"),
                ],
            ),
            (
                "[bus.head]\nkind = \"serial\"\ndevice = \"/dev/serial/by-id/a\"\n\
                 [device.gps]\nadapter = \"nmea\"\nbus = \"head\"\n\
                 [device.x]\nadapter = \"nmea\"\nbus = \"head\"\ninstances = [\"/3336/0\"]\n",
                &[(6, "[device.gps] shares its line with [device.x]")],
            ),
        ],
    );
}

#[test]
fn two_receivers_cannot_both_be_object_6_and_the_place_of_the_site_is_not_told_beside_one() {
    let two = "[device.a]\nadapter = \"gpsd\"\n[device.b]\nadapter = \"gpsd\"\n";
    let problems = found("location-two", two);
    assert!(
        problems
            .iter()
            .any(|(_, what)| what.contains("is also declared by")),
        "{problems:#?}"
    );
    let beside = "[client]\nlocation = true\n[site]\nposition = { lat = 52.5, lon = 13.4 }\n\
                  [device.gps]\nadapter = \"gpsd\"\n";
    let problems = found("location-beside", beside);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].1.contains("tells where the box is"),
        "{problems:#?}"
    );
}
