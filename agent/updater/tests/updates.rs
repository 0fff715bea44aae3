//! The program at work, with programs of the system that only pretend, and that cut its power.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use lamplighter_updater::{
    files,
    handover::{self, Phase, Reason, Report, Request, Wish},
    signer::Signer,
};

/// A box of its own below a temporary directory.
struct Rig {
    root: PathBuf,
    requests: u32,
}

/// What all programs that pretend begin with: the N-th call of them cuts the power of the updater,
/// before the work or after it.
const POWER: &str = r#"#!/bin/sh
root=${0%/bin/*}
echo "$(basename "$0") $*" >>"$root/calls"
count=$(wc -l <"$root/calls")
cut() { [ "$(cat "$root/cut" 2>/dev/null)" = "$1 $count" ] && kill -9 $PPID; return 0; }
cut before
"#;

const DPKG: &str = r#"
case $1 in
--print-architecture) echo testarch; exit ;;
--compare-versions)
	[ ! -e "$root/cannot-compare" ] || exit 2
	exec /usr/bin/dpkg "$@"
	;;
esac
for file; do :; done
version=$(dpkg-deb -f "$file" Version)
[ ! -e "$root/refuses-$version" ] || { echo "dpkg: error: it does not want to" >&2; exit 1; }
echo "$version" >"$root/installed"
cut after
"#;

const DPKG_QUERY: &str = r#"
case $1 in
-W) echo "installed $(cat "$root/installed")" | tr -d '\n' ;;
-s) printf 'Package: lamplighter\nStatus: install ok installed\nMaintainer: nobody <n@example.org>\nArchitecture: testarch\nVersion: %s\nDescription: a test\n' "$(cat "$root/installed")" ;;
-L) printf '/.\n%s\n' "$root/program" ;;
--control-list) ;;
esac
cut after
"#;

/// Says how it is, by the version that is installed.
const LAMPLIGHTER: &str = r#"
state=$(cat "$root/health-$(cat "$root/installed")")
cut after
[ "$state" != mute ] || exit 4
printf '{"servers": [{"name": "main", "state": "%s", "uri": "coap://127.0.0.1:1"}], "devices": [{"name": "lamps", "state": "%s"}], "problems": []}' ${state}
"#;

const COMMENT: &str = "a test";

impl Rig {
    fn new(name: &str) -> Self {
        let root = format!("updater-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(root);
        let _ = fs::remove_dir_all(&root);
        for directory in ["bin", "conf.d", "state/update", "own"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let rig = Self { root, requests: 0 };
        let programs = [
            ("dpkg", DPKG),
            ("dpkg-query", DPKG_QUERY),
            ("lamplighter", LAMPLIGHTER),
        ];
        for (name, text) in programs {
            let path = format!("bin/{name}");
            rig.put(&path, &format!("{POWER}{text}"));
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(rig.root.join(path), mode).unwrap();
        }
        rig.put("program", "a program");
        rig.put("update.pub", &Signer::new(1).public_key());
        rig.configure("prove_s = 0\n");
        rig.is("1.0", "registered online");
        rig.put("installed", "1.0\n");
        rig
    }

    fn put(&self, path: &str, content: &str) {
        files::replace(&self.root.join(path), content.as_bytes(), 0o644).unwrap();
    }

    fn configure(&self, more: &str) {
        let key = self.root.join("update.pub");
        let text = format!("[update]\nkey = {:?}\n{more}", key);
        self.put("lamplighter.toml", &text);
    }

    /// How a version is once it is installed.
    fn is(&self, version: &str, state: &str) {
        self.put(&format!("health-{version}"), state);
    }

    /// A package as dpkg-deb makes it.
    fn package(&self, name: &str, version: &str, architecture: &str) -> Vec<u8> {
        let tree = self.root.join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
             Maintainer: nobody <n@example.org>\nDescription: a test\n"
        );
        self.put("tree/DEBIAN/control", &control);
        let to = self.root.join("made.deb");
        let made = Command::new("dpkg-deb")
            .arg("--build")
            .args([&tree, &to])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::read(to).unwrap()
    }

    fn offer(&self, container: &[u8]) {
        let to = self.root.join("state/update/package");
        files::copy(&mut &*container, &to, u64::MAX, 0o644).unwrap();
    }

    fn offer_version(&self, version: &str, comment: &str) {
        let package = self.package("lamplighter", version, "testarch");
        self.offer(&Signer::new(1).pack("lamplighter.deb", &package, comment));
    }

    fn request(&mut self, wish: Wish) {
        self.requests += 1;
        let id = self.requests.to_string();
        let directory = handover::directory(&self.root.join("state"));
        handover::put_request(&directory, &Request { id, wish }).unwrap();
    }

    fn run(&self) -> ExitStatus {
        let path = format!("{}:/usr/bin:/bin", self.root.join("bin").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lamplighter-updater"));
        command.env("PATH", path);
        for (option, place) in [
            ("--config", "lamplighter.toml"),
            ("--state-dir", "state"),
            ("--own-dir", "own"),
        ] {
            command.arg(option).arg(self.root.join(place));
        }
        command.status().unwrap()
    }

    /// What becomes of a request.
    fn update(&mut self, wish: Wish) -> Report {
        self.request(wish);
        assert!(self.run().success());
        self.report()
    }

    fn report(&self) -> Report {
        let report = handover::report(&self.root.join("own")).unwrap();
        assert_eq!(report.id, self.requests.to_string());
        report
    }

    fn installed(&self) -> String {
        let version = fs::read_to_string(self.root.join("installed")).unwrap();
        version.trim().to_owned()
    }

    fn calls(&self) -> usize {
        let calls = fs::read_to_string(self.root.join("calls")).unwrap_or_default();
        calls.lines().count()
    }

    /// Neither a transaction nor a package that is not needed.
    fn is_tidy(&self) -> bool {
        let left = ["transaction", "new.deb", "updater", "before.tree"];
        left.iter()
            .all(|name| !self.root.join("own").join(name).exists())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[test]
fn a_version_that_is_well_stays() {
    let mut rig = Rig::new("well");
    rig.configure("prove_s = 1\n");
    rig.is("1.1", "registered online");
    rig.offer_version("1.1", COMMENT);
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Installed);
    assert_eq!(report.from.as_deref(), Some("1.0"));
    assert_eq!(report.to.as_deref(), Some("1.1"));
    assert_eq!(rig.installed(), "1.1");
    assert!(rig.is_tidy());
    let calls = rig.calls();
    assert!(rig.run().success());
    assert_eq!(rig.calls(), calls, "what was done is not done again");

    // People may go back and forth.
    let report = rig.update(Wish::Rollback);
    assert_eq!(
        (report.phase, rig.installed()),
        (Phase::Installed, "1.0".to_owned())
    );
    let report = rig.update(Wish::Rollback);
    assert_eq!(
        (report.phase, rig.installed()),
        (Phase::Installed, "1.1".to_owned())
    );
}

#[test]
fn a_version_that_is_not_well_goes() {
    for (state, why) in [
        ("mute", "does not run"),
        ("registered offline", "the device lamps"),
    ] {
        let mut rig = Rig::new("ill");
        rig.is("1.1", state);
        rig.offer_version("1.1", COMMENT);
        let report = rig.update(Wish::Install);
        assert_eq!(report.phase, Phase::RolledBack);
        assert!(report.words.contains(why), "{}", report.words);
        assert_eq!(rig.installed(), "1.0");
        assert!(rig.is_tidy());
    }
    // Nobody answers at the server's address: that is not its fault.
    let mut rig = Rig::new("alone");
    rig.is("1.1", "offline online");
    rig.offer_version("1.1", COMMENT);
    assert_eq!(rig.update(Wish::Install).phase, Phase::Installed);
    // What cannot be installed goes as well.
    rig.put("refuses-1.2", "");
    rig.offer_version("1.2", COMMENT);
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::RolledBack);
    assert!(
        report.words.contains("does not want to"),
        "{}",
        report.words
    );
    assert_eq!(rig.installed(), "1.1");
}

#[test]
fn what_is_not_right_is_refused_before_anything_happens() {
    let mut rig = Rig::new("refused");
    let package = rig.package("lamplighter", "1.1", "testarch");
    let mut damaged = Signer::new(1).pack("a.deb", &package, COMMENT);
    damaged[600] ^= 1;
    let pack = |package: &[u8]| Signer::new(1).pack("a.deb", package, COMMENT);
    let other_key = Signer::new(2).pack("a.deb", &package, COMMENT);
    let other_name = pack(&rig.package("lamplight", "1.1", "testarch"));
    let other_machine = pack(&rig.package("lamplighter", "1.1", "sparc"));
    let older = pack(&rig.package("lamplighter", "0.9", "testarch"));
    let no_package = pack(b"signed, but no package");
    for (container, reason) in [
        (damaged, Reason::Integrity),
        (other_key, Reason::Integrity),
        (other_name, Reason::Unsupported),
        (other_machine, Reason::Unsupported),
        (older, Reason::Downgrade),
        (no_package, Reason::Unsupported),
        (package, Reason::Unsupported),
        (Vec::new(), Reason::Unsupported),
    ] {
        rig.offer(&container);
        let report = rig.update(Wish::Install);
        assert_eq!(report.phase, Phase::Refused(reason), "{}", report.words);
        assert!(!report.words.is_empty());
        assert_eq!(rig.installed(), "1.0");
        assert!(rig.is_tidy());
    }
    rig.configure("max_size = \"1KiB\"\n");
    rig.offer_version("1.1", COMMENT);
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Refused(Reason::NoSpace));
    rig.configure("prove_s = 0\n");
    let report = rig.update(Wish::Rollback);
    assert_eq!(report.phase, Phase::Failed, "nothing was there before");
}

#[test]
fn an_older_version_replaces_only_the_one_it_is_signed_for() {
    let mut rig = Rig::new("older");
    rig.is("0.9", "registered online");
    rig.offer_version("0.9", "downgrade-from:1.1 and others");
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Refused(Reason::Downgrade));
    rig.offer_version("0.9", "downgrade-from:1.0");
    let report = rig.update(Wish::Install);
    assert_eq!(
        (report.phase, rig.installed()),
        (Phase::Installed, "0.9".to_owned())
    );
}

#[test]
fn what_cannot_be_compared_is_not_installed() {
    let mut rig = Rig::new("compare");
    rig.is("0.9", "registered online");
    rig.put("cannot-compare", "");
    rig.offer_version("0.9", COMMENT);
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Refused(Reason::Integrity));
    assert_eq!(rig.installed(), "1.0");
}

#[test]
fn a_broken_configuration_does_not_prevent_the_way_back() {
    let mut rig = Rig::new("broken");
    rig.is("1.1", "mute");
    rig.offer_version("1.1", COMMENT);
    rig.request(Wish::Install);
    rig.put("cut", &format!("before {}", dry_calls("broken-dry")));
    assert!(!rig.run().success());
    assert_eq!(rig.report().phase, Phase::Proving);
    rig.put("lamplighter.toml", "[update");
    assert!(rig.run().success());
    assert_eq!(rig.report().phase, Phase::RolledBack);
    assert_eq!(rig.installed(), "1.0");
    assert!(rig.is_tidy());
}

#[test]
fn a_way_back_that_fails_is_told_and_tried_again() {
    let mut rig = Rig::new("back");
    rig.is("1.1", "mute");
    rig.put("refuses-1.0", "");
    rig.offer_version("1.1", COMMENT);
    rig.request(Wish::Install);
    for _ in 0..5 {
        assert!(!rig.run().success());
        let Report { phase, words, .. } = rig.report();
        assert_eq!(phase, Phase::GoingBack);
        assert!(words.contains("does not run"), "{words}");
        assert!(words.contains("does not want to"), "{words}");
    }
    files::remove(&rig.root.join("refuses-1.0")).unwrap();
    assert!(rig.run().success());
    assert_eq!(rig.report().phase, Phase::RolledBack);
    assert_eq!(rig.installed(), "1.0");
}

#[test]
fn what_cannot_be_begun_is_told() {
    let mut rig = Rig::new("begin");
    rig.is("1.1", "registered online");
    rig.offer_version("1.1", COMMENT);
    // The transaction cannot be written.
    let obstacle = rig.root.join("own/transaction.new");
    fs::create_dir(&obstacle).unwrap();
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Failed);
    assert!(!report.words.is_empty());
    assert!(rig.is_tidy());
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(rig.update(Wish::Install).phase, Phase::Installed);
}

#[test]
fn what_is_too_long_prevents_nothing() {
    let mut rig = Rig::new("long");
    // 200 kB of what the agent says of itself.
    let state = format!(
        "registered online\"}},{{\"name\":\"{}\",\"state\":\"offline",
        "x".repeat(200_000)
    );
    rig.put("health-1.0", &state);
    rig.put("health-1.1", &state);
    rig.offer_version("1.1", COMMENT);
    assert_eq!(rig.update(Wish::Install).phase, Phase::Installed);
    let directory = handover::directory(&rig.root.join("state"));
    let request = Request {
        id: "1".repeat(65),
        wish: Wish::Install,
    };
    handover::put_request(&directory, &request).unwrap();
    assert!(rig.run().success());
    assert_eq!(rig.report().phase, Phase::Installed, "it is not taken up");
}

#[test]
fn nobody_else_can_hold_the_lock() {
    let rig = Rig::new("lock");
    let lock = rig.root.join("own/lock");
    rig.put("own/lock", "");
    assert!(rig.run().success());
    assert_eq!(
        fs::metadata(lock).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn links_of_the_agent_lead_nowhere() {
    let mut rig = Rig::new("links");
    rig.offer_version("1.1", COMMENT);
    let package = rig.root.join("state/update/package");
    fs::rename(&package, rig.root.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(rig.root.join("elsewhere"), &package).unwrap();
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Refused(Reason::Integrity));
}

#[test]
fn nothing_happens_without_a_key() {
    let mut rig = Rig::new("no-key");
    rig.put("lamplighter.toml", "");
    rig.offer_version("1.1", COMMENT);
    rig.request(Wish::Install);
    assert!(!rig.run().success());
    assert_eq!(rig.installed(), "1.0");
}

/// The power goes at every call of another program, before its work and after it.
#[test]
fn a_power_cut_at_any_moment_ends_in_one_version_or_the_other() {
    for (state, installed, phase) in [
        ("registered online", "1.1", Phase::Installed),
        ("mute", "1.0", Phase::RolledBack),
    ] {
        let mut cuts = 0;
        for when in ["before", "after"] {
            for call in 1.. {
                let mut rig = Rig::new(&format!("cut-{}", &installed[2..]));
                rig.is("1.1", state);
                rig.offer_version("1.1", COMMENT);
                rig.put("cut", &format!("{when} {call}"));
                rig.request(Wish::Install);
                let was_cut = !rig.run().success();
                if !was_cut && rig.calls() < call || call > 40 {
                    break;
                }
                if was_cut {
                    cuts += 1;
                    rig.put("cut", "");
                    assert!(rig.run().success(), "{when} call {call}");
                }
                let report = rig.report();
                assert_eq!(report.phase, phase, "{when} call {call}: {}", report.words);
                assert_eq!(rig.installed(), installed, "{when} call {call}");
                assert!(rig.is_tidy(), "{when} call {call}");
            }
        }
        assert!(cuts > 12, "the power was cut {cuts} times only");
    }
}

#[test]
fn a_version_that_takes_the_machine_down_goes() {
    let mut rig = Rig::new("down");
    rig.is("1.1", "mute");
    rig.offer_version("1.1", COMMENT);
    rig.request(Wish::Install);
    // Each time while it should prove itself.
    let mut runs = 0;
    loop {
        let asked = fs::read_to_string(rig.root.join("calls")).unwrap_or_default();
        let is_installed = rig.installed() == "1.1";
        let next = asked.lines().count() + 1;
        if is_installed {
            rig.put("cut", &format!("before {next}"));
        } else if runs == 0 {
            let calls = dry_calls("dry");
            rig.put("cut", &format!("before {calls}"));
        }
        runs += 1;
        if rig.run().success() {
            break;
        }
        assert!(runs < 10, "it goes on for ever");
    }
    assert!(runs > 3, "it was given {runs} chances");
    assert_eq!(rig.report().phase, Phase::RolledBack);
    assert_eq!(rig.installed(), "1.0");
}

/// Which call is the first after the installation.
fn dry_calls(name: &str) -> usize {
    let mut rig = Rig::new(name);
    rig.is("1.1", "registered online");
    rig.offer_version("1.1", COMMENT);
    rig.update(Wish::Install);
    let calls = fs::read_to_string(rig.root.join("calls")).unwrap();
    let installation = calls.lines().position(|call| call.contains(" -i "));
    installation.unwrap() + 2
}

#[test]
fn a_script_may_install_images() {
    let mut rig = Rig::new("script");
    let script = rig.root.join("bin/image");
    let body = "case $1 in install) cp \"$2\" \"$root/image\"; echo 2 >\"$root/installed\" ;; rollback) echo 1.0 >\"$root/installed\" ;; esac\n";
    rig.put("bin/image", &format!("{POWER}{body}"));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let more = format!("prove_s = 0\ninstaller = \"script\"\ncommand = [{script:?}]\n");
    rig.configure(&more);
    let sign = |comment: &str| Signer::new(1).pack("image.raw", b"an image", comment);
    rig.offer(&sign("version:2"));
    let report = rig.update(Wish::Install);
    assert_eq!(report.phase, Phase::Refused(Reason::Unsupported));
    for (state, phase) in [
        ("registered online", Phase::Installed),
        ("mute", Phase::RolledBack),
    ] {
        rig.is("2", state);
        rig.offer(&sign("version:2 architecture:testarch"));
        let report = rig.update(Wish::Install);
        assert_eq!(report.phase, phase, "{}", report.words);
    }
    assert_eq!(fs::read(rig.root.join("image")).unwrap(), b"an image");
    let calls = fs::read_to_string(rig.root.join("calls")).unwrap();
    let of_script = |line: &&str| line.starts_with("image ");
    let verbs: Vec<_> = calls.lines().filter(of_script).collect();
    let verbs: Vec<_> = verbs
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(verbs, ["install", "good", "install", "rollback"]);
}
