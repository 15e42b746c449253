//! Gives layers back on a thread of its own: that may wait for the disk, and nobody who ends a
//! sandbox should.

use super::{Layer, Storage};
use crate::lease::Lease;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the storage is asked at the most to have room come free: each time, it writes what
/// has changed.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

enum Job {
    /// Give a layer back, then its slot's number: ids come again only when their files are gone.
    Remove(Layer, Lease),
    Stop,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Way(Sender<Job>);

impl Way {
    /// Has `layer` given back, and `lease` after it.
    pub fn remove(&self, layer: Layer, lease: Lease) {
        // When the thread has ended, both come back in the error and are given back here.
        let _ = self.0.send(Job::Remove(layer, lease));
    }
}

/// The thread that gives layers back.
pub struct Remover {
    way: Way,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Remover {
    /// Starts the thread.
    ///
    /// # Errors
    /// Linux's own.
    pub fn start(storage: Arc<dyn Storage>) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("remover".to_owned())
            .spawn(move || serve(&jobs, storage.as_ref()))?;
        Ok(Self {
            way: Way(sender),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The way to the thread.
    pub fn way(&self) -> Way {
        self.way.clone()
    }

    /// Waits until all that was handed in is given back. May wait for the disk.
    pub fn stop(&self) {
        let _ = self.way.0.send(Job::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn serve(jobs: &Receiver<Job>, storage: &dyn Storage) {
    let mut unsettled = false;
    let mut last = Instant::now();
    loop {
        let wait = SETTLE_EVERY.saturating_sub(last.elapsed());
        let job = match unsettled {
            true => jobs.recv_timeout(wait),
            false => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match job {
            Ok(Job::Remove(layer, lease)) => {
                drop(layer);
                drop(lease);
                unsettled = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => {
                storage.settle();
                return;
            }
        }
        if unsettled && last.elapsed() >= SETTLE_EVERY {
            unsettled = storage.settle();
            last = Instant::now();
        }
    }
}
