//! What scenarios took, for the table that `tests/run namespaces` prints at its end.

use std::{fs::File, io::Write as _, time::Duration};

use lamplighter_interop::target;

/// Below the target directory.
const FILE: &str = "namespaces.txt";

/// Notes a time.
pub fn note(scenario: &str, what: &str, figure: Duration) {
    say(scenario, what, &format!("{} ms", figure.as_millis()));
}

/// Notes any figure. Each line goes to the file at once, so that tests may run beside each other.
pub fn say(scenario: &str, what: &str, figure: &str) {
    let line = format!("{scenario:<28} {what:<34} {figure:>18}\n");
    let path = target().join(FILE);
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
