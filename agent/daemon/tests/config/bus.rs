//! Lines: each has one owner, whichever way it is written.

use std::{fs, os::unix::fs::symlink};

use crate::{SERVER, check};

fn found(buses: [&str; 2]) -> Vec<String> {
    let [a, b] = buses;
    let text = format!("{SERVER}[bus.a]\n{a}\n[bus.b]\n{b}\n");
    let problems = check("lines", &text).problems;
    let whats = problems.into_iter().map(|problem| problem.what);
    whats
        .filter(|what| what.contains("is also the line"))
        .collect()
}

#[test]
fn two_buses_on_one_line_are_an_error_whichever_way_it_is_written() {
    let tcp = |address: &str| format!("kind = \"tcp\"\naddress = \"{address}\"");
    for (one, other) in [
        ("plc:502", "plc:502"),
        ("plc:502", "PLC.:0502"),
        ("127.0.0.1:502", "localhost:502"),
        ("[::1]:502", "[0:0:0:0:0:0:0:1]:502"),
        ("192.0.2.1:502", "[::ffff:192.0.2.1]:502"),
    ] {
        let what = format!("{other} is also the line of [bus.a]");
        assert_eq!(found([&tcp(one), &tcp(other)]), [what], "{one}");
    }
    let gateway = "kind = \"rtu_over_tcp\"\naddress = \"plc:502\"";
    assert_eq!(found([gateway, &tcp("plc:502")]).len(), 1);
    assert_eq!(found([&tcp("plc:502"), &tcp("plc:503")]).len(), 0);

    let directory = std::env::temp_dir().join(format!("lamplighter-lines-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (port, link) = (directory.join("port"), directory.join("link"));
    fs::File::create(&port).unwrap();
    symlink(&port, &link).unwrap();
    let serial =
        |path: &std::path::Path| format!("kind = \"serial\"\ndevice = \"{}\"", path.display());
    assert_eq!(found([&serial(&port), &serial(&link)]).len(), 1);
    let (one, other) = ("/dev/nothing/a".as_ref(), "/dev//nothing/./a".as_ref());
    assert_eq!(found([&serial(one), &serial(other)]).len(), 1);
    fs::remove_dir_all(directory).unwrap();
}
