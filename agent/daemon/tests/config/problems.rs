//! Broken configurations: every problem is found, at its line, with what to do.

use lamplighter::config::{Problem, Severity};

use crate::{SERVER, check};

/// Text behind [`SERVER`], and the problems it has: line within that text, words of the problem.
pub(crate) type Case = (&'static str, &'static [(usize, &'static str)]);

/// Lines are counted from the first line of the case.
pub(crate) fn found(name: &str, text: &str) -> Vec<(usize, String)> {
    let before = SERVER.lines().count();
    let checked = check(name, &format!("{SERVER}{text}"));
    let place = |problem: &Problem| problem.place.line.unwrap_or(0).saturating_sub(before);
    checked
        .problems
        .iter()
        .map(|problem| (place(problem), problem.to_string()))
        .collect()
}

pub(crate) fn assert_cases(name: &str, cases: &[Case]) {
    for (number, (text, expected)) in cases.iter().enumerate() {
        let found = found(&format!("{name}-{number}"), text);
        let fits = found.len() == expected.len()
            && expected.iter().all(|(line, words)| {
                found
                    .iter()
                    .any(|(at, problem)| at == line && problem.contains(words))
            });
        assert!(fits, "\n{text}\nexpected {expected:#?}\nfound {found:#?}");
    }
}

#[test]
fn wrong_keys_and_types_are_all_found_with_their_lines() {
    assert_cases(
        "types",
        &[
            (
                "[cleint]\nendpoint = \"a\"\n[web]\nlisten = 8080\nlistne = \"x\"\n",
                &[
                    (1, "unknown key `cleint` (did you mean `client`?)"),
                    (4, "expected a text in quotes, found the number 8080"),
                    (5, "unknown key `listne` (did you mean `listen`?)"),
                ],
            ),
            (
                "[bus.a]\nkind = \"serial\"\ndevice = \"/dev/a\"\nrs485 = \"sometimes\"\ngap_ms = -1\nreopen = 5\necho = \"yes\"\n",
                &[
                    (1, "no device uses this bus"),
                    (
                        4,
                        "unknown value `sometimes` (known: `adapter`, `auto`, `kernel`, `rts_high`)",
                    ),
                    (5, "-1 is not within 0 to"),
                    (6, "expected a table, found the number 5"),
                    (7, "expected true or false, found the text \"yes\""),
                ],
            ),
            (
                "[bus.a]\nkind = \"cereal\"\n",
                &[(2, "unknown value `cereal` (did you mean `serial`?)")],
            ),
            (
                "[bus.a]\ndevice = \"/dev/a\"\n",
                &[(
                    1,
                    "the key `kind` is missing (one of `rtu_over_tcp`, `serial`, `tcp`)",
                )],
            ),
            (
                "[device.a]\nadapter = 5\n",
                &[(
                    2,
                    "expected one of `dlms`, `gpio`, `gpsd`, `iec62056`, `mbus`, `modbus`, `mqtt`, `nmea`, `p1`, `remote`, `s0`, `sim`, `sml`, `system`, `w1`, found the number 5",
                )],
            ),
            (
                "[device.a]\nadapter = \"sim\"\n[device.a.point.\"x y\"]\nresource = \"/3303/0/5700\"\n",
                &[(3, "`x y` cannot be a name")],
            ),
        ],
    );
}

#[test]
fn a_file_that_is_not_toml_is_reported_with_its_line() {
    let problems = check(
        "syntax",
        "[client]\nendpoint = \"a\"\n[server.main\nuri = 1\n",
    )
    .problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].place.line, Some(3), "{problems:?}");
}

#[test]
fn servers_are_checked() {
    for (text, words) in [
        ("[server.a]\n", "1: error: the key `uri` is missing"),
        ("[server.a]\n", "1: error: the key `short_id` is missing"),
        ("[server.a]\n", "1: error: the key `security` is missing"),
        (
            "[server.a]\nuri = \"coaps+tcp://a\"\n",
            "2: error: `coaps+tcp://a`: coaps+tcp:// is not available in this version",
        ),
        (
            "[server.a]\nuri = \"http//a\"\n",
            "2: error: `http//a`: a server's address looks like",
        ),
        (
            "[server.a]\nshort_id = 0\n",
            "2: error: `short_id = 0` is not within 1 to 65534",
        ),
        (
            "[server.a]\nlifetime_s = 1\n",
            "2: error: `lifetime_s = 1` is not within",
        ),
        (
            "[server.a]\n[server.a.coap]\nack_timeout_s = 0\n",
            "3: error: `ack_timeout_s = 0` is not within 0.1 to 60",
        ),
        (
            "[server.a]\nobject_versions = { 3416 = \"one\" }\n",
            "2: error: `one` is not a version",
        ),
        (
            "[server.a]\nregister_parameters = { lt = \"5\" }\n",
            "2: error: `lt` is a parameter of the standard",
        ),
        (
            "[server.a]\nregister_parameters = { \"a b\" = \"5\" }\n",
            "2: error: `a b` is no name of a parameter",
        ),
        (
            "[server.a]\nregister_parameters = { imei = \"5&lt=1\" }\n",
            "2: error: the value has a control character or `&`",
        ),
        (
            "[server.a]\nsecurity = { mode = \"none\" }\n",
            "2: error: nothing protects this connection",
        ),
        (
            "[server.a]\nsecurity = { mode = \"rpk\" }\n",
            "2: error: `mode = \"rpk\"`: not available in this version",
        ),
        (
            "[server.a.registration]\nretry_count = 0\n",
            "2: error: `retry_count = 0` is not within 1 to 100",
        ),
        (
            "[server.a.registration]\nretry_timer_s = 100000\n",
            "2: error: `retry_timer_s = 100000` is not within 1 to 86400",
        ),
        (
            "[server.a]\nshort_id = 7\n[server.b]\nshort_id = 7\n",
            "4: error: short_id 7 is also that of [server.a]",
        ),
        ("[web]\n", "1: warning: no server is configured"),
    ] {
        assert_found("server", text, words);
    }
}

#[test]
fn who_may_do_what_is_said_where_there_are_several_servers() {
    for (text, words) in [
        (
            "[server.a]\n[server.b]\n",
            "2: error: two servers and no rights: say who may write (`owner = true` in the server",
        ),
        (
            "[server.a]\nowner = true\n[server.b]\n",
            "3: warning: this server has no rights but on its own account",
        ),
        (
            "[server.a]\nowner = true\n[server.b]\nowner = true\n",
            "4: error: [server.a] owns the box already (one server is the owner",
        ),
        (
            "[server.a]\nrights = { \"/3416\" = \"RWX\" }\n",
            "2: error: `RWX`: `X` is not a right (R read, W write,",
        ),
        (
            "[server.a.rights]\n\"*\" = \"R\"\n\"/3416/1/5850\" = \"R\"\n",
            "3: error: `/3416/1/5850`: rights are given to objects and instances (an object",
        ),
        (
            "[server.a]\nrights = { lamps = \"R\" }\n",
            "2: error: `lamps`: this is neither a path nor `*`",
        ),
        (
            "[server.a]\nrights = { \"/2\" = \"RW\" }\n",
            "2: error: nothing can be granted on object 2",
        ),
        (
            "[server.a]\nrights = { \"/9999\" = \"R\" }\n",
            "2: warning: no definition of object 9999 is known",
        ),
    ] {
        assert_found("rights", text, words);
    }
}

/// One of the problems begins with the words, behind the name of the file.
fn assert_found(name: &str, text: &str, words: &str) {
    let problems = check(name, text).problems;
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        texts
            .iter()
            .any(|found| found.contains(&format!("lamplighter.toml:{words}"))),
        "{text}{texts:#?}"
    );
}

#[test]
fn what_may_be_false_or_usual_is_accepted_where_only_the_rest_is_not_built() {
    let text = "queue_mode = true\nmute_send = true\nexpose = \"flat\"\nversion = \"1.2\"\nstore_notifications = true\n";
    assert_eq!(found("usual", text), []);
}

#[test]
fn keys_that_are_not_built_are_refused_by_name() {
    for (text, name) in [
        (
            "[bootstrap]\nuri = \"coaps://a\"\nsecurity = { mode = \"est\" }\n",
            "`mode = \"est\"`",
        ),
        ("[bus.a]\nkind = \"udp\"\n", "`kind = \"udp\"`"),
        (
            "[server.main.coap]\nprobing_rate_bytes_s = 1\n",
            "`probing_rate_bytes_s`",
        ),
        (
            "[server.main.coap]\ndefault_leisure_s = 5\n",
            "`default_leisure_s`",
        ),
    ] {
        let found = found("not-built", text);
        let fits = |(_, problem): &&(usize, String)| {
            problem.contains(&format!("{name}: not available in this version"))
        };
        assert!(found.iter().any(|found| fits(&found)), "{text}{found:#?}");
        assert!(
            !found.iter().any(|(_, problem)| problem.contains("unknown")),
            "{text}{found:#?}"
        );
    }
}

#[test]
fn a_position_is_on_earth_and_told_by_one() {
    assert_cases(
        "position",
        &[
            (
                "[client]\nlocation = true\n",
                &[(2, "there is no `site.position` to tell")],
            ),
            (
                "[client]\nlocation = true\n[site]\nposition = { lat = 90.5, lon = nan, altitude_m = 1e9 }\n",
                &[
                    (4, "`lat = 90.5` is not within -90 to 90"),
                    (4, "expected a number, found the number NaN"),
                    (4, "`altitude_m = 1000000000` is not within -500 to 10000"),
                ],
            ),
            (
                "[client]\nlocation = true\n[site]\nposition = { lat = 52.5 }\n",
                &[(4, "the key `lon` is missing in [site.position]")],
            ),
            (
                "[site]\nposition = { lat = 52.5, lon = 13.4 }\n",
                &[(2, "nothing here uses the position")],
            ),
            (
                "[client]\nlocation = true\n[site]\nposition = { lat = 52.5, lon = 13.4 }\n\
                 [device.gnss]\nadapter = \"sim\"\npoint.lat = { resource = \"/6/0/0\" }\n",
                &[(2, "`device.gnss.point.lat` tells where the box is")],
            ),
        ],
    );
    let device = "[device.gnss]\nadapter = \"sim\"\npoint.lat = { resource = \"/6/0/0\" }\n";
    assert_eq!(found("position-of-device", device), []);
}

#[test]
fn devices_tell_what_feeds_the_box_and_nothing_else_of_the_agent() {
    assert_cases(
        "power",
        &[
            (
                "[client]\npower_sources = [\"ac\", \"wind\"]\n",
                &[(2, "unknown value `wind`")],
            ),
            (
                "[device.ups]\nadapter = \"sim\"\npoint.a = { resource = \"/3/0/11\" }\n\
                 point.b = { resource = \"/20/0/4014\" }\npoint.c = { resource = \"/3/1/7\" }\n",
                &[
                    (3, "object 3 belongs to the agent itself"),
                    (4, "object 20 belongs to the agent itself"),
                    (5, "object 3 belongs to the agent itself"),
                ],
            ),
        ],
    );
    let ups = "[client]\npower_sources = [\"ac\"]\n[device.ups]\nadapter = \"sim\"\n\
        point.voltage = { resource = \"/3/0/7\" }\npoint.level = { resource = \"/3/0/9\" }\n";
    assert_eq!(found("power-of-device", ups), []);
}

#[test]
fn buses_are_checked() {
    assert_cases(
        "bus",
        &[
            (
                "[bus.a]\nkind = \"serial\"\nline = \"9601-8E1\"\n[bus.b]\nkind = \"tcp\"\naddress = \"a:0\"\n",
                &[
                    (1, "the key `device` is missing"),
                    (3, "`9601-8E1` is not a line setting"),
                    (6, "`a:0` is not HOST:PORT"),
                ],
            ),
            (
                "[bus.a]\nkind = \"serial\"\ndevice = \"/dev/ttyUSB0\"\nreopen = { first_ms = 900, max_ms = 800 }\n",
                &[
                    (1, "no device uses this bus"),
                    (3, "the number of /dev/ttyUSB0 changes"),
                    (4, "`max_ms = 800` is not within 900 to"),
                ],
            ),
            (
                "[bus.a]\nkind = \"tcp\"\naddress = \"a:502\"\n[bus.b]\nkind = \"tcp\"\naddress = \"a:502\"\n",
                &[
                    (1, "no device uses this bus"),
                    (4, "a:502 is also the line of [bus.a]"),
                    (4, "no device uses this bus"),
                ],
            ),
        ],
    );
}

#[test]
fn a_resource_and_a_line_have_one_owner() {
    assert_cases(
        "owner",
        &[
            (
                "[device.d]\nadapter = \"gpio\"\n[device.d.point]\na = { line = \"GPIO1\", resource = \"/3342/0/5500\" }\n\
             b = { line = \"GPIO1\", resource = \"/3342/0/5500\" }\n",
                &[
                    (5, "line GPIO1 is also that of `d.a` ("),
                    (5, "/3342/0/5500 is also declared by `d.a` ("),
                ],
            ),
            (
                "[device.d]\nadapter = \"gpio\"\n[device.d.point]\na = { line = \"GPIO1\", instance = \"/3416/1\" }\n\
             b = { line = \"GPIO2\", resource = \"/3416/1/5\" }\nc = { line = \"GPIO3\", instance = \"/3416/1\" }\n",
                &[(6, "/3416/1/1 is also declared by `d.a` (")],
            ),
        ],
    );
}

#[test]
fn gpio_points_are_checked() {
    assert_cases(
        "gpio",
        &[(
            "[device.d]\nadapter = \"gpio\"\nchip = \"/dev/gpiochip0\"\n[device.d.point]\n\
         a = { resource = \"/3342/0/5500\" }\n\
         b = { line = \"G2\", resource = \"/3342/1/5500\", boot = \"on\" }\n\
         c = { line = \"G3\", instance = \"/3416/1\", debounce_ms = 5 }\n",
            &[
                (3, "`/dev/gpiochip0` is not the label of a chip"),
                (5, "the key `line` is missing"),
                (6, "only an output has a first value"),
                (7, "only an input is debounced"),
            ],
        )],
    );
}

#[test]
fn groups_are_checked() {
    let devices = "[device.d]\nadapter = \"sim\"\n[device.d.point]\na = { instance = \"/3416/1\" }\n\
                   t = { resource = \"/3303/0/5700\" }\nw = { instance = \"/3416/x\" }\n";
    let text = format!(
        "{devices}[site.group.g]\nmembers = [\"d.a\", \"/3416/1\", \"d.b\", \"d.t\", \"d.w\"]\ninstance = \"/3416/5\"\n\
         [site.group.h]\nmembers = []\nstagger_ms = 99999\n[site.group.i]\n"
    );
    let problems = found("groups", &text);
    let expected = [
        (6, "`/3416/x` does not name an instance"),
        (8, "`/3416/1` is a member twice"),
        (8, "there is no point `d.b` (did you mean `d.a`?)"),
        (8, "`d.t` cannot be switched"),
        (9, "`/3416/5` cannot show a group"),
        (11, "a group has at least one member"),
        (12, "`stagger_ms = 99999` is not within"),
        (13, "the key `members` is missing"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (line, words) in expected {
        assert!(
            problems
                .iter()
                .any(|(at, found)| *at == line && found.contains(words)),
            "{line} {words} {problems:#?}"
        );
    }
}

#[test]
fn a_board_without_serial_must_be_named() {
    let directory = crate::directory("nameless");
    crate::put(&directory, "lamplighter.toml", SERVER);
    let mut source = crate::source(&directory);
    source.hardware.serial = None;
    let problems = source.check().problems;
    assert!(
        problems[0]
            .to_string()
            .contains("the key `endpoint` is missing in [client]"),
        "{problems:?}"
    );
    assert_eq!(problems[0].severity, Severity::Error);
}

#[test]
fn nonsense_of_any_kind_is_a_problem_and_never_a_panic() {
    for (number, text) in [
        "\0",
        "[[server]]",
        "server = 5",
        "[device]\na = \"x\"",
        "[device.a.point]\nadapter = 1",
        "a.b.c.d.e = 1",
        "[site.group.a.members]",
        "[bus.a]\nkind = {}",
        "client.endpoint = []",
        "[client]\nendpoint = \"\"",
        "[client]\nvendor_object_base = 1",
        "web = 1979-05-27",
        "[web]\nlisten = \"everywhere\"",
    ]
    .into_iter()
    .enumerate()
    {
        let checked = check(&format!("nonsense-{number}"), text);
        assert!(
            checked.config.is_none() && !checked.problems.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_resource_hides_no_other_key_of_its_point() {
    let text = "[bus.b]\nkind = \"tcp\"\naddress = \"192.0.2.9:502\"\n[device.d]\nadapter = \"modbus\"\nbus = \"b\"\nunit = 1\n[device.d.point.p]\nresource = \"/9999/0/1\"\nread = { table = \"holding\", at = 70000 }\npoll_s = -1\nlimit = { min = 5, max = 1 }\n";
    for text in [text.to_owned(), text.replace("70000", "1")] {
        let problems = check("hidden", &text).problems;
        let lines: Vec<_> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .filter_map(|problem| problem.place.line)
            .collect();
        let expected: &[usize] = if text.contains("70000") {
            &[9, 10, 11, 12]
        } else {
            &[9, 11, 12]
        };
        assert_eq!(lines, expected, "{problems:#?}");
    }
}

#[test]
fn a_server_that_is_no_table_is_not_also_missing() {
    let problems = check("server-number", "server = 5\n").problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].severity, Severity::Error);
}

#[test]
fn what_programs_may_serve_is_granted_once_and_is_nothing_of_the_agents_own() {
    let device =
        |name: &str, keys: &str| format!("[device.{name}]\nadapter = \"remote\"\n{keys}\n");
    let cases = [
        (
            device("a", "objects = [\"/3/0\"]"),
            "object 3 belongs to the agent itself",
        ),
        (device("a", "objects = [\"/\"]"), "`/` is no object"),
        (device("a", "objects = [\"heat\"]"), "`heat` is not a path"),
        (
            device("a", "objects = [\"/40123\"]"),
            "no definition of object 40123 is known",
        ),
        (
            device("a", "objects = [\"/3303\"]") + &device("b", "objects = [\"/3303/7\"]"),
            "/3303/7 is also granted to [device.a], as /3303",
        ),
        (
            device("a", "objects = [\"/3303\"]\nuser = \"\""),
            "it names nobody",
        ),
        (
            device("a", "objects = [\"/3303\"]\nanswer_ms = 5000"),
            "`answer_ms = 5000` is not within 100 to 3400",
        ),
        (device("a", ""), "the device has no points"),
    ];
    for (text, words) in cases {
        let found = found("remote", &text);
        assert!(
            found.iter().any(|(_, problem)| problem.contains(words)),
            "{text}{found:#?}"
        );
    }
    let text = device("a", "objects = [\"/3303\"]");
    assert_eq!(found("remote-alone", &text), []);
}
