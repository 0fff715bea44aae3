//! What can be dimmed: GPIO points with pulses, registers that are numbers.

use lamplighter_site::boundary::PointKind;

use crate::{SERVER, check};

fn found(point: &str, backend: &str) -> Vec<String> {
    let text = format!(
        "{SERVER}[device.lamps]\nadapter = \"gpio\"\nbackend = \"{backend}\"\n[device.lamps.point]\np = {{ line = \"GPIO18\", {point} }}\n"
    );
    let problems = check("dimmed", &text).problems;
    problems.into_iter().map(|problem| problem.what).collect()
}

#[test]
fn only_an_output_with_a_level_can_be_dimmed_and_only_by_a_backend_that_can() {
    assert_eq!(
        found("instance = \"/3311/1\", pwm_hz = 200", "sim"),
        Vec::<String>::new()
    );
    for (point, backend, expected) in [
        (
            "instance = \"/3416/1\", pwm_hz = 200",
            "cdev",
            "the kernel's character device cannot dim",
        ),
        (
            "instance = \"/3306/1\", pwm_hz = 200",
            "sim",
            "only an `instance` of 3311, 3312 or 3416 can be dimmed",
        ),
        (
            "resource = \"/3342/1/5500\", pwm_hz = 200",
            "sim",
            "only an `instance` of 3311, 3312 or 3416 can be dimmed",
        ),
        (
            "instance = \"/3416/1\", pwm_hz = 5",
            "sim",
            "`pwm_hz = 5` is not within 20 to 2000",
        ),
    ] {
        let found = found(point, backend);
        assert!(
            found.iter().any(|what| what == expected),
            "{point} {found:?}"
        );
    }
}

#[test]
fn a_limit_is_for_levels_and_what_the_configuration_wants_obeys_it() {
    let dimmed = "instance = \"/3416/1\", pwm_hz = 200, limit = { min = 10, max = 80 }";
    assert_eq!(found(dimmed, "sim"), Vec::<String>::new());
    let switched = "instance = \"/3416/1\", limit = { max = 80 }";
    assert_eq!(
        found(switched, "sim"),
        ["a limit is for numbers that may be written"]
    );
    for (value, expected) in [
        (
            "90",
            Some("90 is above the highest value that `limit` permits"),
        ),
        (
            "5",
            Some("5 is below the lowest value that `limit` permits"),
        ),
        ("0", None),
        ("50", None),
    ] {
        let safe = format!("{dimmed}, fail_safe = {{ on = \"server_lost\", value = {value} }}");
        assert_eq!(found(&safe, "sim").first().map(String::as_str), expected);
    }
}

#[test]
fn a_register_that_is_a_number_is_the_level_of_a_lamp() {
    let point = |instance: &str, read: &str| {
        let text = format!(
            "{SERVER}[bus.b]\nkind = \"tcp\"\naddress = \"192.0.2.1:502\"\n\
             [device.d]\nadapter = \"modbus\"\nbus = \"b\"\nunit = 1\n[device.d.point.l]\n\
             instance = \"{instance}\"\nread = {read}\nwrite = {{}}\n"
        );
        check("register", &text)
    };
    let number = "{ table = \"holding\", at = 4, type = \"u16\" }";
    let dimmed = point("/3416/1", number);
    assert_eq!(dimmed.problems, []);
    let points = dimmed.config.expect("nothing is wrong").site.points;
    assert_eq!(points[0].kind, PointKind::Dimmer);
    let relay = point("/3306/1", number).problems;
    assert_eq!(
        relay[0].what,
        "a lamp or relay is switched by a line, a coil or a bit"
    );
    let coil = point("/3416/1", "{ table = \"coil\", at = 4 }");
    let points = coil.config.expect("nothing is wrong").site.points;
    assert_eq!(points[0].kind, PointKind::Lamp);
}

#[test]
fn one_pin_is_one_line_whichever_way_it_is_written() {
    let found = |backends: [&str; 2]| {
        let [a, b] = backends;
        let text = format!(
            "{SERVER}[device.a]\nadapter = \"gpio\"\nbackend = \"{a}\"\npoint.p = {{ line = \"GPIO17\", instance = \"/3311/1\" }}\n\
             [device.b]\nadapter = \"gpio\"\nbackend = \"{b}\"\npoint.p = {{ line = \"17\", instance = \"/3311/2\" }}\n"
        );
        let problems = check("pins", &text).problems;
        let mut whats = problems.into_iter().map(|problem| problem.what);
        whats.any(|what| what.starts_with("line 17 is also that of `a.p`"))
    };
    assert!(found(["rppal", "rppal"]) && found(["cdev", "rppal"]));
    assert!(!found(["sim", "rppal"]), "a simulated line is another");
}
