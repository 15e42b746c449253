//! Places of the machine that are lacking: what only waits gives way to who asks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// For how long after somebody lacked a place nothing is made that would only wait: it would take the
/// place that was just made, and have to give way again.
const REST: Duration = Duration::from_secs(5);

/// Who lacked a place last, and whether something is being made that will wait.
#[derive(Debug)]
pub(crate) struct Places {
    lacking_until: Mutex<Option<Instant>>,
    making: watch::Sender<usize>,
}

/// Something that will wait is being made while this lives.
#[derive(Debug)]
pub(crate) struct Making<'a>(&'a Places);

impl Default for Places {
    fn default() -> Self {
        Self {
            lacking_until: Mutex::default(),
            making: watch::Sender::new(0),
        }
    }
}

impl Places {
    /// Somebody who asks finds no place.
    pub(crate) fn lack(&self) {
        *self.lock() = Some(Instant::now() + REST);
    }

    /// Whether somebody lacked a place lately.
    pub(crate) fn are_lacking(&self) -> bool {
        self.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until nobody has lacked a place for a while.
    pub(crate) async fn come(&self) {
        loop {
            let until = *self.lock();
            match until.filter(|until| Instant::now() < *until) {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    /// Something is made that will wait.
    pub(crate) fn begin(&self) -> Making<'_> {
        self.making.send_modify(|making| *making += 1);
        Making(self)
    }

    /// Waits until nothing is being made that will wait; false if nothing was.
    pub(crate) async fn settled(&self) -> bool {
        let mut making = self.making.subscribe();
        if *making.borrow_and_update() == 0 {
            return false;
        }
        let _ = making.wait_for(|making| *making == 0).await;
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        let lacking = self.lacking_until.lock();
        lacking.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.making.send_modify(|making| *making -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_that_waits_is_made_while_places_are_lacking() {
        let places = Places::default();
        let begin = Instant::now();
        places.come().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert!(!places.settled().await, "nothing is being made");
        places.lack();
        assert!(places.are_lacking());
        places.come().await;
        assert!(begin.elapsed() >= REST);
        assert!(!places.are_lacking());
    }

    #[tokio::test]
    async fn who_asks_hears_of_the_end_of_what_is_being_made() {
        let places = std::sync::Arc::new(Places::default());
        let (both, making) = (std::sync::Arc::clone(&places), places.begin());
        let waits = tokio::spawn(async move { both.settled().await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(making);
        assert!(waits.await.is_ok_and(|was| was));
    }
}
