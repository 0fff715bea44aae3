//! Network namespaces of one test process: they go when it does, however it ends.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    io::Write as _,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, OnceLock},
};

use lamplighter_interop::agent::within;

/// What the names of all namespaces of these tests begin with; the number of the process follows.
const PREFIX: &str = "lamp";

/// Runs beside the test process, and removes its namespaces when that has ended.
const REAPER: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
for name in $(ip netns list | cut -d' ' -f1 | grep "^$0-"); do
    for process in $(ip netns pids "$name"); do kill -KILL "$process"; done
    ip netns del "$name"
done
"#;

/// A namespace that is removed, with all that runs in it, with the last handle to it.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: Arc<Made>,
}

#[derive(Debug)]
struct Made(String);

impl Namespace {
    /// A new one. `role` makes the name unique within this process.
    pub fn new(role: &str) -> Self {
        static BEGUN: OnceLock<Child> = OnceLock::new();
        BEGUN.get_or_init(|| {
            needs();
            remove_leftovers();
            reaper()
        });
        let name = format!("{}-{role}", own());
        said(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self {
            name: Arc::new(Made(name)),
        };
        // Nobody else is there to have the same address: do not wait a second to find out.
        namespace.sysctl(&[
            ("net.ipv6.conf.default.accept_dad", "0"),
            ("net.ipv6.conf.default.dad_transmits", "0"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
        ]);
        namespace.ip("link set lo up");
        namespace
    }

    pub fn name(&self) -> &str {
        &self.name.0
    }

    /// A program that will run in here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        within(self.name(), program)
    }

    /// Runs a program to its end; it must succeed.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        said(self.command(program).args(arguments))
    }

    /// As [`Self::run`], where it does not matter whether it succeeds.
    pub fn attempt(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.command(program).args(arguments).output();
        output.expect("`ip` can be started")
    }

    /// Lines of `ip`, without its name, all at once.
    #[track_caller]
    pub fn ip(&self, lines: &str) {
        fed(
            Command::new("ip").args(["-netns", self.name(), "-batch", "-"]),
            lines,
        );
    }

    /// Lines of `nft`, all at once or not at all.
    #[track_caller]
    pub fn nft(&self, lines: &str) {
        fed(self.command("nft").args(["-f", "-"]), lines);
    }

    #[track_caller]
    pub fn sysctl(&self, settings: &[(&str, &str)]) {
        let mut arguments = "-qw".to_owned();
        for (name, value) in settings {
            let _ = write!(arguments, " {name}={value}");
        }
        let arguments: Vec<&str> = arguments.split(' ').collect();
        self.run("sysctl", &arguments);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn own() -> String {
    format!("{PREFIX}-{}", std::process::id())
}

fn needs() {
    let is_root = Path::new("/proc/self").metadata().unwrap().uid() == 0;
    assert!(
        is_root,
        "network namespaces need root: `make namespaces` (it asks sudo), or in a container with \
         --privileged"
    );
    for (tool, package) in [
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("conntrack", "conntrack"),
        ("sysctl", "procps"),
        ("dnsmasq", "dnsmasq-base"),
        ("tayga", "tayga"),
        ("dbus-daemon", "dbus-daemon"),
        ("NetworkManager", "network-manager"),
    ] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .output();
        assert!(
            found.is_ok_and(|output| output.status.success()),
            "`{tool}` is missing: tests/install namespaces managers (Debian's package {package})"
        );
    }
}

/// Those of a process that was killed together with what should have cleaned up after it.
fn remove_leftovers() {
    let list = said(Command::new("ip").args(["netns", "list"]));
    for line in list.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            continue;
        }
        let process = parts.next().and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|number| !Path::new(&format!("/proc/{number}")).exists()) {
            remove(name);
        }
    }
}

/// Processes keep a namespace alive beyond its name.
fn remove(name: &str) {
    let mut list = Command::new("ip");
    let inside = list.args(["netns", "pids", name]).output();
    let inside = inside.map(|output| output.stdout).unwrap_or_default();
    for process in String::from_utf8_lossy(&inside).lines() {
        let _ = Command::new("kill").args(["-KILL", process]).output();
    }
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

/// Its standard input ends with this process. In a group of its own: a Ctrl-C is not for it.
fn reaper() -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", REAPER, &own()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().expect("`sh` can be started")
}

/// What a command prints; it must succeed.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().expect("the command can be started");
    checked(command, &output)
}

#[track_caller]
fn fed(command: &mut Command, lines: &str) {
    let output = feed(command, lines);
    let words = checked(command, &output);
    debug_assert!(words.is_empty(), "{words}");
}

fn feed(command: &mut Command, lines: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    let mut input = child.stdin.take().expect("stdin is piped");
    // A program that ends early says why on its standard error.
    let _ = input.write_all(lines.as_bytes());
    drop(input);
    child.wait_with_output().expect("the command ends")
}

#[track_caller]
fn checked(command: &Command, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
