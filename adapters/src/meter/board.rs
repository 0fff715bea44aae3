//! What a meter's adapter shows of itself, and how people ask it for a readout.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use super::{Counters, Readout};

/// A handle; all handles of a meter are the same board.
#[derive(Clone)]
pub struct Board(Arc<Shared>);

struct Shared {
    view: watch::Sender<View>,
    wanted: Notify,
}

/// A meter as it was last seen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Readouts that came to an end, well or not.
    pub ended: u64,
    /// Of them those that brought something.
    pub good: u64,
    /// Failures by their kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// Why the last one failed; `None` where it did not.
    pub failure: Option<String>,
    pub last: Option<Arc<Readout>>,
    /// How long the last good one took; of meters that send by themselves the time between two.
    pub took: Option<Duration>,
    /// What is wrong with what was read, as lines for people.
    pub remarks: Vec<String>,
    /// What is to survive a restart.
    pub counters: Counters,
    pub progress: Progress,
}

/// How far the readout is that goes on now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// What is being done; empty while nothing is.
    pub stage: String,
    pub bytes: u64,
    started: Option<Instant>,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Shared {
            view: watch::Sender::default(),
            wanted: Notify::new(),
        }))
    }
}

impl Board {
    pub fn view(&self) -> View {
        self.0.view.borrow().clone()
    }

    /// Changes with each readout.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.0.view.subscribe()
    }

    /// The next readout that ends; a meter that is read on request is read at once.
    ///
    /// # Errors
    /// Why it failed, or that nothing came in time.
    pub async fn readout(&self, patience: Duration) -> Result<Arc<Readout>, String> {
        let mut view = self.watch();
        let before = self.ask();
        let ended = timeout(patience, view.wait_for(|view| view.ended > before)).await;
        let Ok(Ok(view)) = ended else {
            return Err("the meter told nothing in time".to_owned());
        };
        match (&view.failure, &view.last) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(readout)) => Ok(Arc::clone(readout)),
            (None, None) => Err("the meter told nothing".to_owned()),
        }
    }

    /// Asks for a readout, and says how many have ended so far.
    pub fn ask(&self) -> u64 {
        let ended = self.0.view.borrow().ended;
        self.0.wanted.notify_one();
        ended
    }

    /// Somebody asks for a readout. May be dropped at will.
    pub async fn wanted(&self) {
        self.0.wanted.notified().await;
    }

    /// A readout has come to its next stage: `signing on`, `reading at 9600 Bd`.
    pub fn stage(&self, stage: impl Into<String>) {
        let stage = stage.into();
        self.0.view.send_modify(|view| {
            view.progress.stage = stage;
            view.progress.started.get_or_insert_with(Instant::now);
        });
    }

    /// Bytes of the readout that goes on.
    pub fn heard(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.view.send_modify(|view| {
            view.progress.bytes = view.progress.bytes.saturating_add(bytes);
            view.progress.started.get_or_insert_with(Instant::now);
        });
    }

    /// A readout has ended well.
    pub fn done(&self, readout: Readout, remarks: Vec<String>, counters: &Counters) {
        self.0.view.send_modify(|view| {
            let progress = std::mem::take(&mut view.progress);
            view.took = progress.started.map(|started| started.elapsed());
            view.last = Some(Arc::new(readout));
            view.failure = None;
            view.remarks = remarks;
            if view.counters != *counters {
                view.counters.clone_from(counters);
            }
            view.good += 1;
            view.ended += 1;
        });
    }

    /// A readout has failed.
    pub fn failed(&self, kind: &'static str, words: String) {
        self.0.view.send_modify(|view| {
            view.progress = Progress::default();
            *view.errors.entry(kind).or_default() += 1;
            view.failure = Some(words);
            view.ended += 1;
        });
    }

    /// Counts what is no end of a readout: a telegram that was damaged, while others are not.
    pub fn count(&self, kind: &'static str) {
        self.0
            .view
            .send_modify(|view| *view.errors.entry(kind).or_default() += 1);
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Board")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_gets_the_next_readout_or_why_there_is_none() {
        let board = Board::default();
        let patience = Duration::from_secs(5);
        let (asked, ()) = tokio::join!(board.readout(patience), async {
            board.wanted().await;
            board.stage("reading");
            board.heard(7);
            assert_eq!(board.view().progress.bytes, 7);
            tokio::time::sleep(Duration::from_secs(2)).await;
            let readout = Readout {
                meter: "/ABC".into(),
                ..Readout::default()
            };
            board.done(readout, Vec::new(), &Counters::default());
        });
        assert_eq!(asked.unwrap().meter, "/ABC");
        assert_eq!(board.view().took, Some(Duration::from_secs(2)));
        let (asked, ()) = tokio::join!(board.readout(patience), async {
            board.wanted().await;
            board.failed("silent", "the meter does not answer".into());
        });
        assert_eq!(asked.unwrap_err(), "the meter does not answer");
        assert_eq!(
            board.readout(patience).await.unwrap_err(),
            "the meter told nothing in time"
        );
    }
}
