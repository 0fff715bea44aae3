//! Where adapters work that go on over a reload: a runtime that outlasts the lives of the agent, on a
//! thread of its own. Everything else ends with the runtime of its life.

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Closed with it: what works there has ended then.
#[derive(Debug)]
pub(super) struct Workshop {
    handle: Handle,
    /// Of the thread, which ends when the other end is gone.
    open: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workshop {
    pub(super) fn open() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("devices".to_owned());
        let thread = thread.spawn(move || drop(runtime.block_on(closed)))?;
        Ok(Self {
            handle,
            open: Some(open),
            thread: Some(thread),
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        drop(self.open.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The thread of the devices has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outputs have their last values when the program ends.
    #[test]
    fn what_works_there_has_ended_when_it_is_closed() {
        struct Told(std::sync::mpsc::Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let workshop = Workshop::open().unwrap();
        let (sender, told) = std::sync::mpsc::channel();
        let last_value = Told(sender);
        workshop.handle().spawn(async move {
            std::future::pending::<()>().await;
            drop(last_value);
        });
        assert!(told.try_recv().is_err());
        drop(workshop);
        told.try_recv().unwrap();
    }
}
