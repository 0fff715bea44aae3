//! A line that several devices use in turns: one conversation at a time, first come first served.
//!
//! The port is opened by whoever's turn it is; after a failure with growing pauses, during which
//! nobody waits for it. A conversation that was dropped in the middle leaves a mark, so that the next
//! one knows that bytes of it may still come.

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::{Instant, sleep},
};

use super::{Backoff, Opener};

/// How a line is opened again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SharedSettings {
    /// Stands in the log.
    pub name: String,
    pub reopen_first: Duration,
    pub reopen_max: Duration,
    /// Pause between opening the port and the first use of it.
    pub connect_pause: Duration,
}

/// State of a line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LineState {
    pub is_open: bool,
    /// Why it is not open.
    pub reason: String,
    /// What the port cannot do that its settings ask for; empty where nothing is amiss.
    pub notice: String,
}

/// The line; clones are the same line.
pub struct SharedLine<O: Opener>(Arc<Shared<O>>);

struct Shared<O: Opener> {
    settings: SharedSettings,
    owned: Mutex<Owned<O>>,
    state: watch::Sender<LineState>,
}

struct Owned<O: Opener> {
    opener: O,
    port: Option<O::Port>,
    backoff: Backoff,
    /// Not to be opened before.
    retry: Instant,
    was_present: bool,
    /// Something was received since it was opened.
    is_proved: bool,
    /// The last conversation was not brought to its end.
    is_cut: bool,
    /// When the last byte was sent or received, as far as those who had their turn have said.
    last_byte: Instant,
}

/// The line is ours until this is dropped.
pub struct Turn<'a, O: Opener> {
    owned: MutexGuard<'a, Owned<O>>,
    shared: &'a Shared<O>,
    is_cut: bool,
}

impl<O: Opener> SharedLine<O> {
    /// A line that is opened when it is needed. Must be called inside a tokio runtime.
    pub fn new(opener: O, settings: SharedSettings, seed: u64) -> Self {
        let owned = Owned {
            opener,
            port: None,
            backoff: Backoff::new(settings.reopen_first, settings.reopen_max, seed),
            retry: Instant::now(),
            was_present: true,
            is_proved: false,
            is_cut: false,
            last_byte: Instant::now(),
        };
        Self(Arc::new(Shared {
            settings,
            owned: Mutex::new(owned),
            state: watch::Sender::new(LineState::default()),
        }))
    }

    /// The state of the line and its changes.
    pub fn state(&self) -> watch::Receiver<LineState> {
        self.0.state.subscribe()
    }

    /// Waits until the line is free, and opens it where it is not.
    ///
    /// # Errors
    /// It cannot be opened, or not so soon again.
    pub async fn turn(&self) -> io::Result<Turn<'_, O>> {
        let mut owned = self.0.owned.lock().await;
        if owned.port.is_none() {
            owned.open(&self.0).await?;
        }
        let is_cut = std::mem::replace(&mut owned.is_cut, true);
        Ok(Turn {
            owned,
            shared: &self.0,
            is_cut,
        })
    }
}

impl<O: Opener> Owned<O> {
    async fn open(&mut self, shared: &Shared<O>) -> io::Result<()> {
        let now = Instant::now();
        let is_present = self.opener.is_present();
        let appeared = !std::mem::replace(&mut self.was_present, is_present) && is_present;
        if appeared {
            self.backoff.reset();
        } else if now < self.retry {
            let reason = shared.state.borrow().reason.clone();
            return Err(io::Error::new(io::ErrorKind::NotConnected, reason));
        }
        match self.opener.open().await {
            Ok(port) => {
                self.on_open(port, shared);
                sleep(shared.settings.connect_pause).await;
                Ok(())
            }
            Err(error) => {
                self.retry = now + self.backoff.next_pause();
                shared.tell_closed(&error);
                Err(error)
            }
        }
    }

    fn on_open(&mut self, port: O::Port, shared: &Shared<O>) {
        use super::Port as _;
        let notice = port.notice();
        let name = &shared.settings.name;
        tracing::info!(bus = name, "Line is open");
        if !notice.is_empty() && notice != shared.state.borrow().notice {
            tracing::warn!(bus = name, notice, "Line works with a restriction");
        }
        self.port = Some(port);
        self.is_proved = false;
        self.is_cut = false;
        self.last_byte = Instant::now();
        shared.state.send_replace(LineState {
            is_open: true,
            reason: String::new(),
            notice,
        });
    }
}

impl<O: Opener> Shared<O> {
    /// Tells people once, then only that the reason has changed.
    fn tell_closed(&self, error: &io::Error) {
        let reason = error.to_string();
        self.state.send_if_modified(|state| {
            if !state.is_open && state.reason == reason {
                return false;
            }
            tracing::warn!(bus = self.settings.name, reason, "Line is down");
            state.is_open = false;
            state.reason = reason;
            true
        });
    }
}

impl<O: Opener> Turn<'_, O> {
    /// The open port.
    ///
    /// # Errors
    /// It was lost in this turn.
    pub fn port(&mut self) -> io::Result<&mut O::Port> {
        let port = self.owned.port.as_mut();
        port.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether bytes of an earlier conversation may still come.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub fn last_byte(&self) -> Instant {
        self.owned.last_byte
    }

    /// The last byte of what was sent has gone out by then.
    pub fn sent(&mut self, at: Instant) {
        self.owned.last_byte = at;
    }

    /// A byte was received. Were the port lost now, it would be opened again at once.
    pub fn heard(&mut self) {
        self.owned.last_byte = Instant::now();
        self.owned.is_proved = true;
    }

    /// The conversation has ended; nothing of it is to come.
    pub fn finish(mut self) {
        self.owned.is_cut = false;
    }

    /// The conversation has ended, and the port is closed until it is needed again.
    pub fn rest(mut self) {
        self.owned.is_cut = false;
        self.owned.port = None;
        self.owned.retry = Instant::now();
    }

    /// The port is of no use any more.
    pub fn lost(mut self, error: &io::Error) {
        let owned = &mut *self.owned;
        owned.port = None;
        owned.retry = Instant::now();
        if owned.is_proved {
            owned.backoff.reset();
        } else {
            owned.retry += owned.backoff.next_pause();
        }
        self.shared.tell_closed(error);
    }
}

impl<O: Opener> Clone for SharedLine<O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<O: Opener> fmt::Debug for SharedLine<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedLine")
            .field(&self.0.settings.name)
            .finish()
    }
}

impl<O: Opener> fmt::Debug for Turn<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("is_cut", &self.is_cut)
            .finish()
    }
}
