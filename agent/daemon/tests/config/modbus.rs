//! Broken configurations of Modbus devices and their lines.

use crate::problems::{assert_cases, found};

const MODBUS: &str = "[bus.a]\nkind = \"serial\"\ndevice = \"/dev/a\"\n[device.d]\nadapter = \"modbus\"\nbus = \"a\"\nunit = 1\n";

fn modbus(name: &str, point: &str) -> Vec<(usize, String)> {
    let before = MODBUS.lines().count() + 1;
    let found = found(name, &format!("{MODBUS}[device.d.point.p]\n{point}"));
    found
        .into_iter()
        .map(|(line, problem)| (line.saturating_sub(before), problem))
        .collect()
}

#[test]
fn modbus_devices_are_checked() {
    assert_cases(
        "modbus",
        &[
            (
                "[device.d]\nadapter = \"modbus\"\nbus = \"rs485\"\nunit = 248\nholes = [\"holding:9..1\"]\n",
                &[
                    (1, "the device has no points"),
                    (3, "there is no [bus.rs485]"),
                    (4, "`unit = 248` is not within 0 to 247"),
                    (5, "`holding:9..1` is not a range of registers"),
                ],
            ),
            (
                "[device.d]\nadapter = \"modbus\"\npoint = {}\n",
                &[(1, "`bus` is missing"), (1, "`unit` is missing")],
            ),
        ],
    );
}

#[test]
fn what_goes_to_all_devices_can_only_be_written() {
    let all = |point: &str| {
        let text = format!(
            "{}[device.d.point.p]\nresource = \"/3308/0/5900\"\nread = {{ table = \"holding\", at = 1 }}\n{point}",
            MODBUS.replace("unit = 1", "unit = 0")
        );
        found("broadcast", &text)
    };
    assert_eq!(all("write = { verify = \"answer\" }\n"), []);
    for (point, words) in [
        ("", "it can only be written"),
        ("write = {}\n", "nobody answers a write to all devices"),
        (
            "write = { function = \"read_write\", verify = \"answer\" }\n",
            "nobody answers a write to all devices",
        ),
    ] {
        let found = all(point);
        assert!(
            found.iter().any(|(_, problem)| problem.contains(words)),
            "{point}{found:#?}"
        );
    }
}

/// Keys of a point, and a problem they have: line within them, words of the problem.
const POINTS: &[(&str, usize, &str)] = &[
    ("", 0, "the key `read` is missing"),
    ("", 0, "the key `resource` is missing"),
    (
        "resource = \"3303/0\"\n",
        1,
        "`3303/0` does not name a resource: a path begins with a slash",
    ),
    (
        "resource = \"/3333333/0/1\"\n",
        1,
        "does not name a resource",
    ),
    (
        "resource = \"/3399/0/1\"\n",
        1,
        "no definition of object 3399 is known",
    ),
    (
        "resource = \"/3303/0/5701\"\nread = { table = \"input\", at = 1 }\n",
        0,
        "`Sensor Units` (String) needs a text or a `map`",
    ),
    (
        "resource = \"/3303/0/5709\"\n",
        1,
        "object 3303 (Temperature) has no resource 5709 (did you mean `",
    ),
    (
        "resource = \"/3/0/11\"\n",
        1,
        "object 3 belongs to the agent itself",
    ),
    (
        "resource = \"/42801/0/2\"\n",
        1,
        "object 42801 belongs to the agent itself",
    ),
    (
        "instance = \"/3303/0\"\n",
        1,
        "object 3303 is not a lamp or relay",
    ),
    (
        "instance = \"/3416/60000\"\n",
        1,
        "instances from 60000 are for groups",
    ),
    (
        "instance = \"/3416/1\"\nresource = \"/3416/1/1\"\n",
        1,
        "not both",
    ),
    (
        "instance = \"/3416/1\"\nread = { table = \"coil\", at = 1 }\n",
        1,
        "a lamp or relay must be writable",
    ),
    (
        "resource = \"/3303/0/5700\"\nread = { table = \"coil\", at = 1 }\n",
        0,
        "needs a number",
    ),
    (
        "resource = \"/3200/0/5500\"\nread = { table = \"input\", at = 1 }\n",
        0,
        "needs a line, a coil, a discrete input or a `bit`",
    ),
    (
        "read = { table = \"coil\", at = 1, type = \"u16\" }\n",
        1,
        "coils and discrete inputs are single bits",
    ),
    (
        "read = { table = \"input\", at = 65535, type = \"u32\" }\n",
        1,
        "does not fit before the end of the table",
    ),
    (
        "read = { table = \"input\", at = 1, type = \"string\" }\n",
        1,
        "the key `registers` is missing",
    ),
    (
        "read = { table = \"input\", at = 1, bit = 16 }\n",
        1,
        "`bit = 16` is not within 0 to 15",
    ),
    (
        "read = { table = \"input\", at = 1 }\nwrite = {}\n",
        2,
        "inputs cannot be written",
    ),
    (
        "read = { table = \"coil\", at = 1 }\nwrite = { function = \"write_single\" }\n",
        2,
        "cannot write this value",
    ),
    (
        "read = { table = \"holding\", at = 1 }\nscale = 0\n",
        2,
        "a scale of 0",
    ),
    (
        "read = { table = \"holding\", at = 1 }\nvalid = [1.0]\n",
        2,
        "the lowest and the highest",
    ),
    (
        "read = { table = \"holding\", at = 1 }\nmap = { a = \"x\" }\n",
        2,
        "`a` is not a whole number",
    ),
    (
        "read = { table = \"input\", at = 1, bits = [7, 4] }\n",
        1,
        "`bits` are the lowest and the highest, 0 to 15",
    ),
    (
        "read = { table = \"input\", at = 1, bits = [4, 7], bit = 1 }\n",
        1,
        "either `bit` or `bits`",
    ),
    (
        "read = { table = \"input\", at = 1, type = \"f32\", byte = \"high\" }\n",
        1,
        "`byte` is for `u8`, `i8` and `string`",
    ),
    (
        "resource = \"/3308/0/5900\"\nread = { table = \"holding\", at = 1 }\nwrite = { function = \"mask_write\" }\n",
        3,
        "this function cannot write this value",
    ),
    (
        "resource = \"/3303/0/5700\"\nread = { table = \"input\", at = 1 }\nunit = \"°C\"\n",
        3,
        "`°C` is not a SenML unit (did you mean `Cel`?)",
    ),
    (
        "resource = \"/3305/0/5800\"\nread = { table = \"input\", at = 1 }\nunit = \"kW\"\n",
        3,
        "is measured in W, not in kW",
    ),
    (
        "resource = \"/3303/0/5700\"\nread = { table = \"input\", at = 1 }\nlimit = { max = 1 }\n",
        3,
        "a limit is for numbers that may be written",
    ),
    (
        "resource = \"/3308/0/5900\"\nread = { table = \"holding\", at = 1 }\nwrite = {}\nlimit = { min = 2, max = 1 }\n",
        4,
        "min 2 is above max 1",
    ),
    (
        "resource = \"/3308/0/5900\"\nread = { table = \"holding\", at = 1 }\nwrite = {}\nguard = { min_on_s = 1 }\n",
        4,
        "a guard is for outputs",
    ),
    (
        "resource = \"/3303/0/5700\"\nread = { table = \"input\", at = 1 }\nwrite = {}\n",
        3,
        "inputs cannot be written",
    ),
    (
        "resource = \"/3303/0/5700\"\nread = { table = \"holding\", at = 1 }\nwrite = {}\n",
        0,
        "cannot be written by servers",
    ),
    (
        "resource = \"/3306/0/5850\"\nfail_safe = { on = \"server_lost\" }\n",
        2,
        "`value` is missing",
    ),
];

#[test]
fn modbus_points_are_checked() {
    for (point, line, words) in POINTS {
        let found = modbus("point", point);
        let fits = |(at, problem): &&(usize, String)| at == line && problem.contains(words);
        assert!(
            found.iter().any(|found| fits(&found)),
            "\n{point}expected {line}: {words}\n{found:#?}"
        );
    }
}

#[test]
fn a_busy_line_and_a_unit_used_twice_are_found() {
    let slow = MODBUS.replace("/dev/a\"", "/dev/a\"\nline = \"1200-8E1\"");
    let text = format!(
        "{slow}point.p = {{ resource = \"/3303/0/5700\", read = {{ table = \"input\", at = 1 }}, poll_s = 0.1 }}\n\
         [device.e]\nadapter = \"modbus\"\nbus = \"a\"\nunit = 1\n\
         point.p = {{ resource = \"/3303/1/5700\", read = {{ table = \"input\", at = 1 }}, poll_s = 0.05 }}\n"
    );
    let problems = found("busy", &text);
    for (line, words) in [
        (1, "of the line's time (at most 80 %: longer `poll_s`"),
        (1, "another bus; d 204 %, e 204 %)"),
        (13, "unit 1 is also that of [device.d] on the same bus"),
        (14, "`poll_s = 0.05` is not within 0.1"),
    ] {
        assert!(
            problems
                .iter()
                .any(|(at, found)| *at == line && found.contains(words)),
            "{line} {words} {problems:#?}"
        );
    }
}
