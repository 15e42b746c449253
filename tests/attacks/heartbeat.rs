//! Whether the host answers while it is attacked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it beats.
const BEAT: Duration = Duration::from_millis(5);
/// The longest pause that still counts as answering. Far above what was seen (see
/// docs/threat-model.md), for other tests share the machine.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// A thread of the host that beats, and how late it was at worst.
pub(crate) struct Heartbeat {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Duration>>,
}

impl Heartbeat {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                std::thread::sleep(BEAT);
                // A scheduler that answers is not all: files have to be opened too.
                let _ = std::fs::read("/proc/loadavg");
                worst = worst.max(begin.elapsed().saturating_sub(BEAT));
            }
            worst
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Stops it; gives the longest pause.
    pub(crate) fn stop(mut self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or(Duration::MAX, |thread| {
            thread.join().unwrap_or(Duration::MAX)
        })
    }
}
