//! GPIO points: what can be dimmed.

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
