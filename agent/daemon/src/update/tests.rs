use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_adapters::{Adapter as _, Clock};
use lamplighter_model::{
    BootId, InstanceAddress, InstancePath, Now, ResourceAddress, ResourceId, Scope, Stamp, Value,
    device::{Assignment, Fault, Part},
};
use lamplighter_updater::{
    files,
    handover::{self, Phase, REPORT, Report, Request, Wish},
    settings::{self, Installer},
    signer::Signer,
};
use tokio::{task::JoinHandle, time::sleep};

use super::{Fetching, depot, object::Object};
use crate::{
    config::Update,
    events::{EventLog, LoadedLog},
    status::{Catalogue, Status},
};

pub(super) const COMMENT: &str = "version:1.1 architecture:all";

const NOW: Now = Now {
    boot: BootId(1),
    mono: Duration::ZERO,
    unix: None,
};

/// An agent's update without the agent.
pub(super) struct Rig {
    pub(super) root: PathBuf,
    pub(super) settings: Update,
    pub(super) status: Status,
}

struct Running {
    object: Object,
    keeper: JoinHandle<()>,
}

impl Rig {
    pub(super) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("update-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("state-updater")).unwrap();
        fs::create_dir_all(root.join("state")).unwrap();
        let key = root.join("update.pub");
        files::replace(&key, Signer::new(1).public_key().as_bytes(), 0o644).unwrap();
        let command = ["/bin/true".to_owned()];
        let settings = Update {
            key: settings::key(&key).unwrap(),
            installer: Installer::new("script", &command).unwrap(),
            max_size: 64 << 10,
            metered: false,
            ca: root.join("ca.pem"),
        };
        Self {
            root,
            settings,
            status: Status::new(Catalogue::default(), NOW),
        }
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(super) fn fetching(&self) -> Fetching {
        Fetching {
            board: self.status.board(),
            bearers: Vec::new(),
            servers: Vec::new(),
            metered: false,
            authorities: self.settings.ca.clone(),
            seed: 1,
            pause: Duration::from_millis(10),
        }
    }

    fn start(&self) -> Running {
        let events = EventLog::new(|| NOW, LoadedLog::default(), None);
        let (settings, state_dir) = (&self.settings, self.state_dir());
        let status = self.status.clone();
        let (desk, keeper) = super::start(settings, &state_dir, self.fetching(), status, events);
        let object = Object::new(Clock::new(Stamp::default), desk);
        Running { object, keeper }
    }

    fn request(&self) -> Option<Request> {
        handover::request(&handover::directory(&self.state_dir()))
    }

    fn report(&self, phase: Phase) {
        let report = Report {
            id: self.request().unwrap().id,
            phase,
            from: None,
            to: None,
            words: "words".to_owned(),
        };
        let path = depot::updater_dir(&self.state_dir()).join(REPORT);
        files::replace(&path, &serde_json::to_vec(&report).unwrap(), 0o644).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        handover::directory(&self.state_dir()).join(name).exists()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Running {
    async fn value(&mut self, resource: u16) -> Value {
        let instance = InstanceAddress {
            scope: Scope::Gateway,
            path: InstancePath::new(5, 0),
        };
        loop {
            match self.object.read(instance, &[ResourceId(resource)]).await {
                Ok(mut samples) => return samples.remove(0).value,
                Err(fault) => assert_eq!(fault, Fault::NoValue),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// 5/0/3 and 5/0/5, once they are so.
    async fn becomes(&mut self, state: i64, result: i64) {
        for _ in 0..200 {
            let is = (self.value(3).await, self.value(5).await);
            if is == (Value::Integer(state), Value::Integer(result)) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let is = (self.value(3).await, self.value(5).await);
        panic!("{is:?} should be {state} and {result}");
    }

    async fn write(&mut self, resource: u16, value: Value) -> Result<(), Fault> {
        let address = ResourceAddress::gateway(5, 0, resource);
        let assignment = Assignment {
            address,
            index: None,
            value,
        };
        self.object.write(&[assignment]).await
    }

    async fn execute(&mut self, resource: u16) -> Result<(), Fault> {
        let address = ResourceAddress::gateway(5, 0, resource);
        self.object.execute(address, b"").await
    }

    /// A push in parts.
    async fn push(&mut self, package: &[u8], size: usize) -> Result<(), Fault> {
        let mut offset = 0;
        for bytes in package.chunks(size) {
            let part = Part {
                resource: ResourceAddress::gateway(5, 0, 0),
                offset: offset as u64,
                bytes: bytes.to_vec(),
                has_more: offset + bytes.len() < package.len(),
                total: None,
            };
            self.object.write_part(&part).await?;
            offset += bytes.len();
        }
        Ok(())
    }

    async fn stop(self) {
        self.keeper.abort();
        let _ = self.keeper.await;
    }
}

fn package() -> Vec<u8> {
    Signer::new(1).pack("image", &[7; 5000], COMMENT)
}

#[tokio::test(start_paused = true)]
async fn a_pushed_package_is_handed_over_and_what_becomes_of_it_is_told() {
    let rig = Rig::new("push");
    let mut running = rig.start();
    running.becomes(0, 0).await;
    assert_eq!(running.value(9).await, Value::Integer(2));
    assert_eq!(running.execute(2).await, Err(Fault::Unsupported));
    running.push(&package(), 1024).await.unwrap();
    running.becomes(2, 0).await;
    assert_eq!(
        running.value(6).await,
        Value::String("lamplighter".to_owned())
    );
    assert_eq!(running.value(7).await, Value::String("1.1".to_owned()));
    assert_eq!(
        running.push(&package(), 1024).await,
        Err(Fault::Unsupported)
    );
    assert_eq!(rig.request(), None, "nobody has said so yet");

    running.execute(2).await.unwrap();
    running.becomes(3, 0).await;
    let request = rig.request().unwrap();
    assert_eq!(request.wish, Wish::Install);
    rig.report(Phase::Proving);
    // The agent is replaced meanwhile.
    running.stop().await;
    let mut running = rig.start();
    running.becomes(3, 0).await;
    assert_eq!(
        running.write(0, Value::Opaque(vec![0])).await,
        Err(Fault::Unsupported)
    );
    assert_eq!(rig.request(), Some(request), "it is the same one");
    rig.report(Phase::Installed);
    running.becomes(0, 1).await;
    assert!(!rig.has("package") && !rig.has("request"));
    running.stop().await;
    let mut running = rig.start();
    running.becomes(0, 1).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_come_as_a_whole_is_checked_after_a_restart() {
    let rig = Rig::new("whole");
    let running = rig.start();
    let desk = running.object.desk().clone();
    desk.begin().await.unwrap();
    desk.add(0, package()).await.unwrap();
    running.stop().await;
    // The last thing that happened before the power went.
    let directory = handover::directory(&rig.state_dir());
    fs::rename(directory.join("part"), directory.join("whole")).unwrap();
    let mut running = rig.start();
    running.becomes(3, 0).await;
    assert!(rig.has("package"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_nobody_installs_it_is_told() {
    let rig = Rig::new("nobody");
    let mut running = rig.start();
    running.push(&package(), 1024).await.unwrap();
    running.becomes(2, 0).await;
    running.execute(2).await.unwrap();
    // The request may get lost.
    let request = handover::directory(&rig.state_dir()).join(handover::REQUEST);
    fs::remove_file(&request).unwrap();
    sleep(Duration::from_secs(70)).await;
    assert_eq!(rig.request().unwrap().id, "1");
    running.becomes(3, 0).await;
    sleep(Duration::from_secs(600)).await;
    running.becomes(2, 8).await;
    assert_eq!(rig.request(), None, "and nobody does it later");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_report_is_not_taken_for_a_new_one() {
    let rig = Rig::new("old");
    let old = Report {
        id: "1".to_owned(),
        phase: Phase::Installed,
        from: None,
        to: None,
        words: String::new(),
    };
    let path = depot::updater_dir(&rig.state_dir()).join(REPORT);
    files::replace(&path, &serde_json::to_vec(&old).unwrap(), 0o644).unwrap();
    let directory = handover::directory(&rig.state_dir());
    fs::create_dir_all(&directory).unwrap();
    files::replace(&directory.join("state"), b"damaged", 0o600).unwrap();
    let mut running = rig.start();
    running.push(&package(), 1024).await.unwrap();
    running.becomes(2, 0).await;
    running.execute(2).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    running.becomes(3, 0).await;
    assert_eq!(rig.request().unwrap().id, "2");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_updater_that_is_stuck_does_not_prevent_another_try() {
    let rig = Rig::new("stuck");
    let mut running = rig.start();
    running.push(&package(), 1024).await.unwrap();
    running.becomes(2, 0).await;
    running.execute(2).await.unwrap();
    rig.report(Phase::Checking);
    sleep(Duration::from_secs(3000)).await;
    let desk = running.object.desk().clone();
    assert_eq!(desk.begin().await, Err(Fault::Unsupported));
    // It goes on: the time counts anew.
    rig.report(Phase::GoingBack);
    sleep(Duration::from_secs(3000)).await;
    assert_eq!(desk.begin().await, Err(Fault::Unsupported));
    sleep(Duration::from_secs(700)).await;
    running.becomes(3, 0).await;
    desk.begin().await.unwrap();
    desk.add(0, package()).await.unwrap();
    desk.end().await.unwrap();
    running.becomes(3, 0).await;
    assert_eq!(rig.request().unwrap().id, "2");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_that_is_not_right_is_told_by_the_result() {
    let rig = Rig::new("wrong");
    let mut running = rig.start();
    let mut damaged = package();
    damaged[700] ^= 1;
    let old = Signer::new(1).pack("image", b"image", "no version");
    for (package, result) in [
        (damaged, 5),
        (Signer::new(2).pack("image", b"image", COMMENT), 5),
        (b"no container".to_vec(), 6),
        (old, 6),
    ] {
        running.push(&package, 512).await.unwrap();
        running.becomes(0, result).await;
        assert!(!rig.has("package") && !rig.has("part"));
    }
    let large = vec![1; 80 << 10];
    assert_eq!(running.push(&large, 1024).await, Err(Fault::TooLarge));
    running.becomes(0, 2).await;

    running.push(&package(), 1 << 20).await.unwrap();
    running.becomes(2, 0).await;
    running.write(0, Value::Opaque(Vec::new())).await.unwrap();
    running.becomes(0, 0).await;
    running.push(&package()[..2048], 1024).await.unwrap();
    running.becomes(0, 6).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_stops_is_given_up_and_gaps_are_refused() {
    let rig = Rig::new("gap");
    let mut running = rig.start();
    let part = |offset, has_more| Part {
        resource: ResourceAddress::gateway(5, 0, 0),
        offset,
        bytes: vec![1; 100],
        has_more,
        total: None,
    };
    let stray = running.object.write_part(&part(100, true)).await;
    assert_eq!(stray, Err(Fault::Unsupported));
    running.object.write_part(&part(0, true)).await.unwrap();
    running.becomes(1, 0).await;
    // The same once more.
    running.object.write_part(&part(0, true)).await.unwrap();
    sleep(Duration::from_secs(700)).await;
    running.becomes(0, 4).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_belong_to_a_push_changes_nothing() {
    let rig = Rig::new("stray");
    let mut running = rig.start();
    let part = |offset, bytes: Vec<u8>, total| Part {
        resource: ResourceAddress::gateway(5, 0, 0),
        offset,
        has_more: total != Some(1),
        bytes,
        total,
    };
    // A server that is not there yet.
    let uri = Value::String("http://127.0.0.1:1/package".to_owned());
    running.write(1, uri).await.unwrap();
    for offset in [0, 1024] {
        let large = part(offset, vec![1; 1024], Some(1 << 20));
        let refused = running.object.write_part(&large).await;
        assert_eq!(refused, Err(Fault::Unsupported));
        running.becomes(1, 0).await;
    }
    let desk = running.object.desk().clone();
    assert_eq!(desk.add(0, vec![1]).await, Err(Fault::Unsupported));
    assert_eq!(desk.end().await, Err(Fault::Unsupported));
    running.becomes(1, 0).await;
    // Nothing, as the only block of a transfer.
    for bytes in [vec![], vec![0]] {
        let reset = part(0, bytes, Some(1));
        running.object.write_part(&reset).await.unwrap();
        running.becomes(0, 0).await;
        running.push(&package(), 1024).await.unwrap();
        running.becomes(2, 0).await;
    }
    running.execute(10).await.unwrap();

    // A gap: what is there is good still.
    let package = package();
    let piece = |offset: usize| part(offset as u64, package[offset..][..1024].to_vec(), None);
    running.object.write_part(&piece(0)).await.unwrap();
    let gap = running.object.write_part(&piece(2048)).await;
    assert!(matches!(gap, Err(Fault::BadValue(_))), "{gap:?}");
    running.becomes(1, 0).await;
    running.object.write_part(&piece(1024)).await.unwrap();
    // Too large from the first part on.
    let large = part(0, vec![1; 1024], Some(1 << 20));
    let refused = running.object.write_part(&large).await;
    assert_eq!(refused, Err(Fault::TooLarge));
    running.becomes(0, 2).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_who_goes_away_leaves_nothing() {
    let rig = Rig::new("away");
    let mut running = rig.start();
    let desk = running.object.desk().clone();
    desk.begin().await.unwrap();
    for offset in [0, 100] {
        sleep(Duration::from_secs(500)).await;
        desk.add(offset, vec![1; 100]).await.unwrap();
    }
    running.becomes(1, 0).await;
    sleep(Duration::from_secs(700)).await;
    running.becomes(0, 4).await;
    assert!(!rig.has("part"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_servers_may_set_is_kept() {
    let rig = Rig::new("set");
    let mut running = rig.start();
    running.write(11, Value::Integer(0)).await.unwrap();
    running.write(13, Value::Unsigned(60)).await.unwrap();
    running.write(14, Value::Boolean(true)).await.unwrap();
    let wrong = running.write(11, Value::Integer(3)).await;
    assert!(matches!(wrong, Err(Fault::BadValue(_))));
    running.stop().await;
    let mut running = rig.start();
    running.becomes(0, 0).await;
    assert_eq!(running.value(11).await, Value::Integer(0));
    assert_eq!(running.value(13).await, Value::Unsigned(60));
    running.push(&package(), 1024).await.unwrap();
    // By itself.
    running.becomes(3, 0).await;
    rig.report(Phase::RolledBack);
    running.becomes(2, 8).await;
    running.execute(10).await.unwrap();
    running.becomes(0, 10).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_leads_nowhere_is_told_by_the_result() {
    let rig = Rig::new("address");
    let mut running = rig.start();
    for (uri, result) in [
        ("ftp://example.org/package", 9),
        ("coaps://example.org/package", 9),
        ("package", 7),
        ("http://", 7),
    ] {
        let uri = Value::String(uri.to_owned());
        running.write(1, uri).await.unwrap();
        running.becomes(0, result).await;
        assert_eq!(running.value(1).await, Value::String(String::new()));
    }
    running.stop().await;
}

pub(super) fn content(state_dir: &Path, name: &str) -> Vec<u8> {
    fs::read(handover::directory(state_dir).join(name)).unwrap()
}
