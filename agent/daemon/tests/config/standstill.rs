//! `[site.standstill.NAME]`.

use crate::{SERVER, check, problems::assert_cases};

/// Lines 1 to 6.
const CAR: &str = "[device.gps]\nadapter = \"gpsd\"\n[device.car]\nadapter = \"sim\"\n\
                   point.engine = { instance = \"/3306/0\" }\npoint.horn = { instance = \"/3306/1\" }\n";

#[test]
fn an_engine_waits_for_standstill_by_its_receiver() {
    let rule = "[site.standstill.engine]\noutputs = [\"car.engine\"]\nspeed = \"gps.speed\"\n";
    let checked = check("standstill", &format!("{SERVER}{CAR}{rule}"));
    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    let [rule] = config.site.standstills.as_slice() else {
        panic!("{:?}", config.site.standstills);
    };
    assert_eq!(
        (rule.on, rule.below, rule.lasts.as_secs()),
        (false, 0.5, 10)
    );
    assert_eq!(rule.speed.path.to_string(), "/6/0/6");
}

#[test]
fn a_speed_that_is_told_too_seldom_or_never_stale_is_refused() {
    let rule = "[device.car]\nadapter = \"sim\"\npoint.engine = { instance = \"/3306/0\" }\n\
                [site.standstill.a]\noutputs = [\"car.engine\"]\nspeed = \"gps.speed\"\n";
    // The speed is in the sixth line of the rule.
    let case =
        |device: &str| -> &'static str { Box::leak(format!("{rule}{device}").into_boxed_str()) };
    let point = "resource = \"/3346/0/5700\"";
    let remote = |rest: &str| {
        format!("[device.gps]\nadapter = \"remote\"\n{rest}point.speed = {{ {point} }}\n")
    };
    let bus = "[bus.can]\nkind = \"tcp\"\naddress = \"192.0.2.7:502\"\n[device.gps]\n\
               adapter = \"modbus\"\nbus = \"can\"\nunit = 1\n";
    let modbus = |poll: u64| {
        format!(
            "{bus}point.speed = {{ {point}, poll_s = {poll}, read = {{ table = \"input\", at = 5, type = \"u16\" }} }}\n"
        )
    };
    assert_cases(
        "standstill-told",
        &[
            (
                case("[device.gps]\nadapter = \"gpsd\"\nevery_s = 10\n"),
                &[(6, "[device.gps] tells it every 10 s only")],
            ),
            (case("[device.gps]\nadapter = \"gpsd\"\nevery_s = 9\n"), &[]),
            (
                case(&modbus(60)),
                &[(6, "[device.gps] tells it every 60 s only")],
            ),
            (case(&modbus(2)), &[]),
            (
                case(&remote("")),
                &[(6, "[device.gps] has no `stale_after_s`")],
            ),
            (case(&remote("stale_after_s = 5\n")), &[]),
        ],
    );
}

#[test]
fn what_else_would_switch_in_motion_is_found() {
    let case = |rest: &str| -> &'static str { Box::leak(format!("{CAR}{rest}").into_boxed_str()) };
    assert_cases(
        "standstill",
        &[
            (
                case("[site.standstill.a]\nfor_s = 0\nbelow = -1.0\n"),
                &[
                    (7, "the key `outputs` is missing"),
                    (7, "the key `speed` is missing"),
                    (8, "`for_s = 0` is not within 1 to 3600"),
                    (9, "`below = -1` is not within 0 to 1000"),
                ],
            ),
            (
                case("[site.standstill.a]\noutputs = [\"gps.speed\"]\nspeed = \"car.engine\"\n"),
                &[(8, "cannot be switched"), (9, "is not a measured number")],
            ),
            (
                case(
                    "[site.group.g]\nmembers = [\"car.engine\", \"car.horn\"]\n\
                     [site.standstill.a]\noutputs = [\"car.engine\"]\nspeed = \"gps.speed\"\n",
                ),
                &[(10, "the group g would switch car.engine in motion")],
            ),
            (
                case(
                    "[device.car.point.pump]\ninstance = \"/3306/2\"\n\
                     fail_safe = { on = \"server_lost\", value = false }\n\
                     [device.relay]\nadapter = \"gpio\"\n\
                     point.fuel = { line = \"GPIO24\", instance = \"/3306/3\" }\n\
                     [site.standstill.a]\noutputs = [\"car.pump\", \"relay.fuel\"]\nspeed = \"gps.speed\"\n\
                     [site.standstill.b]\noutputs = [\"car.pump\"]\nspeed = \"gps.speed\"\nstate = \"on\"\n",
                ),
                &[
                    (14, "`fail_safe` would switch car.pump in motion"),
                    (14, "relay.fuel is put into that state at start"),
                    (17, "waits for [site.standstill.a] already"),
                ],
            ),
        ],
    );
}
