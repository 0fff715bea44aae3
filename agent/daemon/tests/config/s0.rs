//! `adapter = "s0"`.

use lamplighter::config::DeviceKind;
use lamplighter_adapters::s0::Quantity;

use crate::{SERVER, check, problems::assert_cases};

#[test]
fn a_meter_counts_in_its_unit_and_tells_in_that_of_the_point() {
    let text = format!(
        "{SERVER}[device.pump]\nadapter = \"s0\"\nline = \"GPIO27\"\npulses_per_unit = 375\n\
         counter_start = \"12345.6\"\n\
         point.energy = {{ resource = \"/3331/0/5700\", quantity = \"counter\", unit = \"Wh\" }}\n\
         point.power = {{ resource = \"/3305/0/5800\", quantity = \"power\", unit = \"W\" }}\n\
         [device.water]\nadapter = \"s0\"\nline = \"GPIO22\"\npulses_per_unit = 10\nunit = \"m3\"\n\
         point.volume = {{ resource = \"/3424/0/1\", quantity = \"counter\" }}\n"
    );
    let checked = check("s0", &text);
    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    let DeviceKind::S0(pump) = &config.devices[0].kind else {
        panic!("{:?}", config.devices[0].kind);
    };
    assert_eq!(pump.start.to_string(), "12345.6");
    assert_eq!(pump.scale.pulses_per_unit, 375);
    assert!(pump.active_low);
    let quantities: Vec<Quantity> = pump.points.iter().map(|point| point.quantity).collect();
    assert_eq!(
        quantities,
        [Quantity::Counter("Wh".parse().unwrap()), Quantity::Power(3)]
    );
}

#[test]
fn what_cannot_be_counted_is_found() {
    assert_cases(
        "s0",
        &[
            (
                "[device.a]\nadapter = \"s0\"\nunit = \"miles\"\ncounter_start = -1\ndebounce_ms = 30\nevery_s = 0\n\
                 point.e = { resource = \"/3331/0/5700\" }\n",
                &[
                    (1, "the key `line` is missing"),
                    (1, "the key `pulses_per_unit` is missing"),
                    (3, "this is no unit of a counter"),
                    (4, "`-1` is not what a meter shows"),
                    (5, "`debounce_ms = 30` is not within 0 to 25"),
                    (6, "`every_s = 0` is not within 1 to 3600"),
                    (7, "the key `quantity` is missing"),
                ],
            ),
            (
                "[device.a]\nadapter = \"s0\"\nline = \"GPIO1\"\npulses_per_unit = 0\n\
                 point.e = { resource = \"/3331/0/5700\", quantity = \"counter\", unit = \"V\" }\n\
                 [device.b]\nadapter = \"gpio\"\npoint.x = { line = \"GPIO1\", resource = \"/3342/0/5500\" }\n",
                &[
                    (4, "`pulses_per_unit = 0` is not within 1 to"),
                    (5, "what pulses of kWh tell is not in V"),
                    (8, "line GPIO1 is also that of"),
                ],
            ),
        ],
    );
}
