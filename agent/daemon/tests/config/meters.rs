//! Broken configurations of meters.

use crate::problems::{assert_cases, found};

#[test]
fn meters_are_checked() {
    assert_cases(
        "meter",
        &[
            (
                "[bus.b]\nkind = \"serial\"\ndevice = \"/dev/b\"\nline = \"300-7E1\"\n\
             [device.m]\nadapter = \"iec62056\"\nbus = \"b\"\nmax_baud = 9601\n\
             [device.m.point.e]\nresource = \"/3331/0/5700\"\nobis = \"energy\"\n\
             [device.m.point.t]\nresource = \"/3303/0/5700\"\nobis = \"1.8.0\"\nunit = \"lx\"\n\
             [device.x]\nadapter = \"modbus\"\nbus = \"b\"\nunit = 1\n",
                &[
                    (7, "[device.m] shares its line with [device.x]"),
                    (8, "9601 is not a speed"),
                    (11, "`energy` is not an OBIS code"),
                    (15, "readings cannot be converted to lx"),
                    (16, "the device has no points"),
                ],
            ),
            (
                "[bus.b]\nkind = \"tcp\"\naddress = \"a:1\"\n[device.m]\nadapter = \"iec62056\"\nbus = \"b\"\npoint = {}\n",
                &[(6, "[bus.b] is not serial")],
            ),
            (
                "[bus.b]\nkind = \"serial\"\ndevice = \"/dev/b\"\nline = \"300-7E1\"\n\
             [device.m]\nadapter = \"sml\"\nbus = \"b\"\nserver_id = \"0A0\"\nstale_after_s = 1\n\
             [device.m.point.e]\nresource = \"/3331/0/5700\"\nobis = \"1.8.0\"\nvalid = [2.0, 1.0]\n",
                &[
                    (4, "most SML meters have 9600-8N1, this line has 300-7E1"),
                    (8, "a server id is written in hexadecimal"),
                    (9, "is not within 5 to 3600"),
                    (13, "`valid` is the lowest and the highest"),
                ],
            ),
            (
                "[bus.b]\nkind = \"serial\"\ndevice = \"/dev/b\"\nline = \"2400-7E1\"\n\
             [device.m]\nadapter = \"iec62056\"\nbus = \"b\"\nmode = \"D\"\nread_s = 60\npoint = {}\n",
                &[(9, "in mode D the meter sends by itself")],
            ),
        ],
    );
}

#[test]
fn meters_that_share_a_line_are_checked() {
    assert_cases(
        "line-meter",
        &[
            (
                "[bus.b]\nkind = \"serial\"\ndevice = \"/dev/b\"\nline = \"9600-8N1\"\ngap_ms = 5\n\
             [device.a]\nadapter = \"mbus\"\nbus = \"b\"\naddress = 251\nretries = 9\n\
             [device.a.point.e]\nresource = \"/3331/0/5700\"\nrecord = { quantity = \"enregy\", number = 0 }\n\
             [device.a.point.f]\nresource = \"/3331/1/5700\"\nrecord = { header = \"xy\" }\n\
             [device.a.point.g]\nresource = \"/3331/2/5700\"\n\
             [device.c]\nadapter = \"mbus\"\nbus = \"b\"\nsecondary = \"1234\"\npoint = {}\n\
             [device.d]\nadapter = \"mbus\"\nbus = \"b\"\npoint = {}\n\
             [device.e]\nadapter = \"dlms\"\nbus = \"b\"\npoint = {}\n",
                &[
                    (
                        4,
                        "meters of this bus have 300 to 9600 Bd and 8E1, this line has 9600-8N1",
                    ),
                    (5, "`gap_ms` with meters that share a line: not available"),
                    (9, "`address = 251` is not within 0 to 250"),
                    (10, "`retries = 9` is not within 0 to 5"),
                    (13, "`enregy` is no quantity of the standard"),
                    (13, "records are counted from 1"),
                    (16, "`xy` is not a row of bytes"),
                    (17, "the key `record` is missing"),
                    (22, "`1234` is not a secondary address"),
                    (24, "the key `address` is missing"),
                    (30, "it speaks dlms, [device.a] on the same line mbus"),
                ],
            ),
            (
                "[bus.b]\nkind = \"tcp\"\naddress = \"a:1\"\n\
             [device.a]\nadapter = \"dlms\"\nbus = \"b\"\nphysical = 17\npoint = {}\n\
             security = { mode = \"gmac\", system_title = \"short\", password = \"credential:none\" }\n\
             [device.c]\nadapter = \"dlms\"\nbus = \"b\"\nclient = 0\n\
             [device.c.point.e]\nresource = \"/3331/0/5700\"\nobis = \"1.8.0\"\nattribute = 0\n\
             [device.d]\nadapter = \"dlms\"\nbus = \"b\"\npoint = {}\n\
             security = { mode = \"password\", password = \"swordfish\" }\n",
                &[
                    (7, "the wrapper on TCP has no such address"),
                    (9, "it has no meaning with this mode"),
                    (9, "the key `authentication_key` is missing"),
                    (9, "the key `counter` is missing"),
                    (9, "the key `encryption_key` is missing"),
                    (9, "a system title has eight bytes"),
                    (13, "`client = 0` is not within 1 to 127"),
                    (17, "`attribute = 0` is not within 1 to 127"),
                    (22, "a secret does not stand in the configuration itself"),
                ],
            ),
            (
                "[bus.b]\nkind = \"tcp\"\naddress = \"a:1\"\n\
             [device.a]\nadapter = \"mbus\"\nbus = \"b\"\naddress = 1\npoint = {}\n\
             [device.c]\nadapter = \"mbus\"\nbus = \"b\"\naddress = 1\npoint = {}\n",
                &[(9, "it is the same meter as [device.a]")],
            ),
        ],
    );
}

#[test]
fn the_numbers_of_a_key_belong_to_one_meter() {
    let meter = |name: &str, title: &str| {
        format!(
            "[device.{name}]\nadapter = \"dlms\"\nbus = \"{name}\"\nclient = 1\npoint = {{}}\n\
             [device.{name}.security]\nmode = \"gmac\"\ncounter = \"0-0:43.1.0\"\n\
             encryption_key = \"credential:main-psk\"\nauthentication_key = \"credential:main-psk\"\n\
             system_title = \"{title}\"\n\
             [bus.{name}]\nkind = \"tcp\"\naddress = \"{name}:4059\"\n"
        )
    };
    let problems = |title: &str| {
        let text = meter("a", "LMPcab17") + &meter("c", title);
        found("title", &text)
    };
    let same = problems("LMPcab17");
    let words = "it has the key and the system title of [device.a]";
    assert!(
        same.iter().any(|(_, problem)| problem.contains(words)),
        "{same:#?}"
    );
    let other = problems("LMPcab18");
    assert!(
        !other.iter().any(|(_, problem)| problem.contains(words)),
        "{other:#?}"
    );
}
