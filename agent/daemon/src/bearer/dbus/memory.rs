//! What survives a restart: what servers wrote about bearers, which goes with a factory reset, and
//! PINs that were found wrong, which must not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    config::{Apn, secret::Secret},
    store::{StateDir, snapshot},
};

/// What servers wrote.
pub(crate) const FILE: &str = "managers.cbor";
const FORMAT: &str = "lamplighter managers";
const PIN_FILE: &str = "pins.cbor";
const PIN_FORMAT: &str = "lamplighter pins";
const VERSION: u32 = 1;
const PIN_VERSION: u32 = 2;
/// PINs that were found wrong; the oldest is forgotten, after as many cards.
const PINS_MAX: usize = 32;

/// A handle; all see the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    saved: Arc<Mutex<Saved>>,
    pins: Arc<Mutex<Pins>>,
    /// One writer at a time, so that the last change is the last one written.
    writing: Arc<tokio::sync::Mutex<()>>,
    directory: Option<PathBuf>,
}

/// PINs that were tried.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Pins(Vec<Suspect>);

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Suspect {
    /// A hash of card and PIN together, so that another PIN is tried.
    both: String,
    /// How many tries the card had left before, as long as nobody knows what it has said; `None`: the
    /// PIN is wrong, or nobody will ever know.
    tries: Option<i64>,
    /// By this process; the card may not have counted it yet.
    #[serde(skip)]
    is_of_now: bool,
}

impl Suspect {
    /// A card that has as many tries left as before has not seen a wrong PIN: the power was cut before,
    /// or the PIN was right.
    fn is_wrong(&self, tries: Option<i64>) -> bool {
        let is_uncounted = self
            .tries
            .zip(tries)
            .is_some_and(|(before, now)| now >= before);
        self.is_of_now || !is_uncounted
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Saved {
    /// By the names of bearers.
    #[serde(default)]
    access: BTreeMap<String, SavedAccess>,
    /// Bearers that a server has switched off (11/x/3).
    #[serde(default)]
    pub(super) disabled: BTreeSet<String>,
    /// 10/0/1
    #[serde(default)]
    pub(super) radio_off: Option<RadioOff>,
    /// 13/0/0
    #[serde(default)]
    pub(super) preferred: Vec<u8>,
    /// What was preferred before, as long as that is on trial.
    #[serde(default)]
    pub(super) preferred_before: Option<Vec<u8>>,
    /// 13/0/1 to 13/0/4 and 13/0/10, by their numbers.
    #[serde(default)]
    pub(super) levels: BTreeMap<u16, i32>,
}

/// How long the radio is to be off.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct RadioOff {
    /// Seconds since 1970, where the date was known.
    pub(super) until: Option<i64>,
    pub(super) seconds: u64,
}

impl RadioOff {
    /// What is left of it now, in seconds since 1970. Where the date is not known, it begins anew: a
    /// box without a clock is off for longer, but never for more than was asked for each time.
    pub(super) fn left(self, unix: Option<i64>) -> u64 {
        match (self.until, unix) {
            (Some(until), Some(now)) => {
                let left = until.saturating_sub(now).max(0);
                u64::try_from(left).unwrap_or_default().min(self.seconds)
            }
            (None, _) | (_, None) => self.seconds,
        }
    }
}

/// An access point that a server has chosen, and that has shown that it works.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct SavedAccess {
    name: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<Vec<u8>>,
    /// What the file said then: who edits it, wins.
    #[serde(default)]
    configured: Option<String>,
}

impl Memory {
    /// Without a directory nothing survives.
    pub(super) fn open(directory: Option<&Path>) -> Self {
        Self {
            saved: Arc::new(Mutex::new(read(directory, FILE, FORMAT, VERSION))),
            pins: Arc::new(Mutex::new(read(
                directory,
                PIN_FILE,
                PIN_FORMAT,
                PIN_VERSION,
            ))),
            writing: Arc::default(),
            directory: directory.map(Path::to_owned),
        }
    }

    pub(super) fn look<T>(&self, read: impl FnOnce(&Saved) -> T) -> T {
        read(&locked(&self.saved))
    }

    /// On the disk, where there is one, when it returns.
    pub(super) async fn change(&self, change: impl FnOnce(&mut Saved) + Send) {
        let _turn = self.writing.lock().await;
        let saved = changed(&self.saved, change);
        self.write(FILE, FORMAT, VERSION, saved).await;
    }

    /// At once; on the disk soon. Within a runtime.
    pub(super) fn change_soon(&self, change: impl FnOnce(&mut Saved)) {
        changed(&self.saved, change);
        let memory = self.clone();
        tokio::spawn(async move { memory.change(|_| ()).await });
    }

    /// `tries`: that the card has left.
    pub(super) fn is_wrong(&self, card: &str, pin: &Secret, tries: Option<i64>) -> bool {
        let both = both(card, pin);
        let pins = locked(&self.pins);
        let mut known = pins.0.iter().filter(|suspect| suspect.both == both);
        known.any(|suspect| suspect.is_wrong(tries))
    }

    /// Told before a PIN is tried, so that a power cut does not try it again.
    pub(super) async fn suspect(&self, card: &str, pin: &Secret, tries: Option<i64>) {
        let suspect = Suspect {
            both: both(card, pin),
            tries,
            is_of_now: true,
        };
        self.change_pins(|pins| {
            pins.retain(|known| known.both != suspect.both);
            pins.push(suspect);
            let surplus = pins.len().saturating_sub(PINS_MAX);
            pins.drain(..surplus);
        })
        .await;
    }

    pub(super) async fn acquit(&self, card: &str, pin: &Secret) {
        let both = both(card, pin);
        self.change_pins(|pins| pins.retain(|known| known.both != both))
            .await;
    }

    /// The card has said so: whatever it counts from now on.
    pub(super) async fn convict(&self, card: &str, pin: &Secret) {
        let both = both(card, pin);
        self.change_pins(|pins| {
            let found = pins.iter_mut().filter(|known| known.both == both);
            found.for_each(|known| known.tries = None);
        })
        .await;
    }

    async fn change_pins(&self, change: impl FnOnce(&mut Vec<Suspect>) + Send) {
        let _turn = self.writing.lock().await;
        let pins = changed(&self.pins, |pins| change(&mut pins.0));
        self.write(PIN_FILE, PIN_FORMAT, PIN_VERSION, pins).await;
    }

    async fn write<T: Serialize + Send + 'static>(
        &self,
        file: &'static str,
        format: &'static str,
        version: u32,
        body: T,
    ) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        let write = move || {
            let mut disk = StateDir::new(&directory);
            snapshot::write(&mut disk, file, format, version, &body)
        };
        let written = tokio::task::spawn_blocking(write).await;
        let written = written.map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|result| result) {
            tracing::warn!(%error, file, "Cannot keep what is known of the bearers");
        }
    }
}

fn read<T: Default + DeserializeOwned>(
    directory: Option<&Path>,
    file: &str,
    format: &str,
    version: u32,
) -> T {
    let Some(directory) = directory else {
        return T::default();
    };
    let found = snapshot::read(&mut StateDir::new(directory), file, format, version);
    found.map(|found| found.body).unwrap_or_default()
}

fn changed<T: Clone>(body: &Mutex<T>, change: impl FnOnce(&mut T)) -> T {
    let mut body = locked(body);
    change(&mut body);
    body.clone()
}

fn locked<T>(body: &Mutex<T>) -> MutexGuard<'_, T> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Saved {
    /// The access point of a bearer: that of a server, else that of the file.
    pub(super) fn apn(&self, bearer: &str, configured: Option<&Apn>) -> Option<Apn> {
        let name = configured.map(|apn| apn.name.clone());
        let saved = self.access.get(bearer);
        let Some(saved) = saved.filter(|saved| saved.configured == name) else {
            return configured.cloned();
        };
        (!saved.name.is_empty()).then(|| Apn {
            name: saved.name.clone(),
            user: saved.user.clone(),
            password: saved.password.clone().map(Secret::from),
        })
    }

    pub(super) fn keep_apn(&mut self, bearer: &str, apn: Option<&Apn>, configured: Option<&Apn>) {
        let saved = SavedAccess {
            name: apn.map(|apn| apn.name.clone()).unwrap_or_default(),
            user: apn.and_then(|apn| apn.user.clone()),
            password: apn
                .and_then(|apn| apn.password.as_ref())
                .map(|secret| secret.bytes().to_vec()),
            configured: configured.map(|apn| apn.name.clone()),
        };
        self.access.insert(bearer.to_owned(), saved);
    }
}

/// A card and a PIN. Who may read this may read the PIN itself where it stands.
fn both(card: &str, pin: &Secret) -> String {
    let mut hash = Sha256::new();
    hash.update(card.as_bytes());
    hash.update([0]);
    hash.update(pin.bytes());
    let mut text = String::new();
    for byte in hash.finalize() {
        // Nothing fails that writes into a text.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(text: &str) -> Secret {
        Secret::from(text.as_bytes().to_vec())
    }

    fn apn(name: &str) -> Apn {
        Apn {
            name: name.into(),
            user: Some("u".into()),
            password: Some(pin("p")),
        }
    }

    #[tokio::test]
    async fn a_pin_that_was_tried_is_not_tried_again_after_a_restart() {
        let directory = crate::fake::directory("managers");
        let memory = Memory::open(Some(&directory));
        memory.suspect("8934", &pin("1234"), None).await;
        crate::store::erase(&directory).unwrap();
        let again = Memory::open(Some(&directory));
        assert!(
            again.is_wrong("8934", &pin("1234"), Some(3)),
            "not even after a factory reset"
        );
        // Another PIN, another card.
        assert!(!again.is_wrong("8934", &pin("4321"), Some(3)));
        assert!(!again.is_wrong("8935", &pin("1234"), Some(3)));
        again.acquit("8934", &pin("1234")).await;
        assert!(!Memory::open(Some(&directory)).is_wrong("8934", &pin("1234"), None));
    }

    #[tokio::test]
    async fn a_pin_whose_try_was_cut_short_is_judged_by_what_the_card_counts() {
        let directory = crate::fake::directory("managers");
        let memory = Memory::open(Some(&directory));
        memory.suspect("8934", &pin("1234"), Some(3)).await;
        let wrong = |memory: &Memory, tries| memory.is_wrong("8934", &pin("1234"), tries);
        assert!(wrong(&memory, Some(3)), "it may not have counted yet");
        let again = Memory::open(Some(&directory));
        assert!(!wrong(&again, Some(3)));
        assert!(wrong(&again, Some(2)));
        assert!(wrong(&again, None), "nobody can say");
        // A person has entered another one since, and the card counts anew.
        again.convict("8934", &pin("1234")).await;
        assert!(wrong(&Memory::open(Some(&directory)), Some(3)));
    }

    #[tokio::test]
    async fn what_a_server_wrote_survives_a_restart_and_goes_with_a_reset() {
        let directory = crate::fake::directory("managers");
        let memory = Memory::open(Some(&directory));
        memory.change(|saved| saved.preferred = vec![8, 1]).await;
        let again = Memory::open(Some(&directory));
        assert_eq!(again.look(|saved| saved.preferred.clone()), [8, 1]);
        crate::store::erase(&directory).unwrap();
        let reset = Memory::open(Some(&directory));
        assert_eq!(reset.look(|saved| saved.preferred.clone()), [] as [u8; 0]);
    }

    #[tokio::test]
    async fn wrong_pins_are_few() {
        let memory = Memory::open(None);
        for card in 0..1000 {
            memory.suspect(&card.to_string(), &pin("1234"), None).await;
        }
        assert_eq!(locked(&memory.pins).0.len(), PINS_MAX);
        assert!(memory.is_wrong("999", &pin("1234"), None));
    }

    #[test]
    fn the_time_without_radio_is_what_is_left_of_it() {
        let off = RadioOff {
            until: Some(10_000),
            seconds: 600,
        };
        assert_eq!(off.left(Some(9_900)), 100);
        assert_eq!(off.left(Some(10_001)), 0);
        // A clock that was wrong does not make it longer.
        assert_eq!(off.left(Some(0)), 600);
        assert_eq!(off.left(None), 600);
        assert_eq!(RadioOff { until: None, ..off }.left(Some(1)), 600);
    }

    #[test]
    fn the_access_point_of_a_server_holds_until_the_file_is_edited() {
        let mut saved = Saved::default();
        let file = apn("file");
        assert_eq!(saved.apn("cell", Some(&file)), Some(file.clone()));
        saved.keep_apn("cell", Some(&apn("server")), Some(&file));
        assert_eq!(saved.apn("cell", Some(&file)), Some(apn("server")));
        assert_eq!(saved.apn("other", Some(&file)), Some(file.clone()));
        let edited = apn("edited");
        assert_eq!(saved.apn("cell", Some(&edited)), Some(edited));
        assert_eq!(saved.apn("cell", None), None);
        // That of the SIM.
        saved.keep_apn("cell", None, Some(&file));
        assert_eq!(saved.apn("cell", Some(&file)), None);
    }
}
