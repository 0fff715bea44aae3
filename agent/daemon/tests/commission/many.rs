//! A box of a hundred devices with two thousand points.

use std::{fmt::Write as _, fs};

use lamplighter_sim::modbus::{Framing, Obedient, Units, serve_tcp};

use crate::{Place, TRIES};

const DEVICES: u8 = 100;
const POINTS: u16 = 20;
/// Unoptimised; 15 MB with the program's own pages is what the design gives a release.
const MOST_KB: u64 = 12_500;

/// `RssAnon` of a process: what it has taken for itself.
fn anonymous_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let words = line.unwrap().trim().strip_suffix(" kB").unwrap();
    words.parse().unwrap()
}

#[test]
fn two_thousand_points_fit_into_a_small_box() {
    let place = Place::new();
    let units = Units::default();
    for unit in 1..=DEVICES {
        let registers = (0..POINTS).map(|at| (at, at + u16::from(unit)));
        units.with(unit, |bank| bank.holding.extend(registers));
    }
    let (bound, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            bound.send(listener.local_addr().unwrap().port()).unwrap();
            // Ends with the test.
            serve_tcp(listener, Framing::Tcp, units, Obedient).await
        })
    });
    let mut text = format!(
        "[client]\nendpoint = \"cab-17\"\n[bus.net]\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\n",
        port.recv().unwrap()
    );
    for unit in 1..=DEVICES {
        let head = "adapter = \"modbus\"\nbus = \"net\"\n";
        write!(
            text,
            "[device.d{unit}]\n{head}unit = {unit}\n[device.d{unit}.point]\n"
        )
        .unwrap();
        for at in 0..POINTS {
            let instance = u16::from(unit) * POINTS + at;
            writeln!(
                text,
                "p{at} = {{ resource = \"/3303/{instance}/5700\", read = {{ table = \"holding\", at = {at} }}, unit = \"Cel\", poll_s = 10 }}"
            )
            .unwrap();
        }
    }
    place.configure(&text);
    let last = format!("d{DEVICES}.p{}", POINTS - 1);
    let agent = place.agent(&last);
    let all_are_known = || {
        let points = place.json(&["points"]);
        let points = points.as_array().unwrap();
        let mut all = points.iter().filter(|point| point["name"].is_string());
        points.len() == 2000 && all.all(|point| !point["value"].is_null())
    };
    assert!(
        (0..TRIES).any(|_| all_are_known()),
        "points without a value"
    );
    let taken = anonymous_kb(agent.0.id());
    assert!(taken < MOST_KB, "{taken} kB");
}
