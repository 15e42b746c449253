//! Whether somebody waits for a sandbox just now.
//!
//! One process makes all sandboxes, one after the other. A refill that began when a pool gave
//! something out would make whoever took it wait for the whole of the refill. So refills wait for
//! calm, within limits: a pool that never refilled would be of no use under load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A refill that has waited this often as long as the rest goes ahead all the same.
const PATIENCE: u32 = 20;

/// Who waits, and when somebody last did.
#[derive(Debug)]
pub(crate) struct Calm {
    rest: Duration,
    waiting: AtomicUsize,
    /// When the last one stopped waiting; `None` while somebody waits.
    since: watch::Sender<Option<Instant>>,
}

/// Somebody waits while this lives.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Calm);

impl Calm {
    /// Calm is when nobody has waited for `rest`.
    pub(crate) fn new(rest: Duration) -> Self {
        Self {
            rest,
            waiting: AtomicUsize::new(0),
            since: watch::Sender::new(Some(Instant::now())),
        }
    }

    /// Somebody waits from now on.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.since.send_replace(None);
        Waits(self)
    }

    /// Waits until it is calm, or for as long as a refill can.
    pub(crate) async fn come(&self) {
        let patience = Instant::now() + self.rest * PATIENCE;
        let mut since = self.since.subscribe();
        let calm = async {
            loop {
                let Ok(Some(ended)) = since.wait_for(Option::is_some).await.map(|since| *since)
                else {
                    return;
                };
                sleep_until(ended + self.rest).await;
                if *since.borrow_and_update() == Some(ended) {
                    return;
                }
            }
        };
        // That it is not calm by then is no reason to refill never.
        let _ = timeout_at(patience, calm).await;
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.since.send_replace(Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn calm_comes_a_rest_after_the_last_one_waited() {
        let calm = Calm::new(REST);
        let begin = Instant::now();
        let waits = calm.wait();
        let later = async {
            tokio::time::sleep(REST * 3).await;
            drop(waits);
        };
        tokio::join!(calm.come(), later);
        assert_eq!(begin.elapsed(), REST * 4);
        calm.come().await;
        assert_eq!(begin.elapsed(), REST * 4, "it is calm already");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refill_does_not_wait_for_ever() {
        let calm = Calm::new(REST);
        let begin = Instant::now();
        let _waits = calm.wait();
        calm.come().await;
        assert_eq!(begin.elapsed(), REST * PATIENCE);
    }
}
