//! Who may wait for a sandbox, and how long: a burst of creates waits its turn, and what is beyond
//! that is told when to come again instead of waiting without end.

use crate::error::ControlError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When to come again after a refusal.
const RETRY: Duration = Duration::from_secs(1);

/// The queue of creates, or of runs.
#[derive(Debug)]
pub struct Admission {
    /// The section of its settings.
    section: &'static str,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
    longest_wait: Duration,
}

/// Counts somebody who waits.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// A queue in which `at_once` are served, `most_waiting` wait, and nobody longer than
    /// `longest_wait`. `section` is the one of its settings, for messages.
    pub fn new(
        section: &'static str,
        at_once: usize,
        most_waiting: usize,
        longest_wait: Duration,
    ) -> Self {
        Self {
            section,
            places: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            most_waiting,
            longest_wait,
        }
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for one's turn.
    ///
    /// # Errors
    /// [`ControlError::Busy`] when too many wait, or it took too long; [`ControlError::Stopping`]
    /// after [`Admission::close`].
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, ControlError> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiter = Waiter(&self.waiting);
        if before >= self.most_waiting {
            return Err(ControlError::Busy {
                reason: format!("{before} wait already (setting {}.queue)", self.section),
                retry: RETRY,
            });
        }
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.longest_wait, place).await {
            Ok(permit) => permit.map_err(|_| ControlError::Stopping),
            Err(_) => Err(ControlError::Busy {
                reason: format!(
                    "it waited {:?} (setting {}.queue_wait)",
                    self.longest_wait, self.section
                ),
                retry: RETRY,
            }),
        }
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_and_what_is_beyond_is_refused() {
        let admission = Admission::new("server", 1, 1, Duration::from_secs(5));
        let first = admission.enter().await.unwrap();
        let second = admission.enter();
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is one place only"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(admission.waiting(), 1);
        assert!(matches!(
            admission.enter().await,
            Err(ControlError::Busy { .. })
        ));
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let admission = Admission::new("server", 1, 8, Duration::from_secs(5));
        let _first = admission.enter().await.unwrap();
        assert!(matches!(
            admission.enter().await,
            Err(ControlError::Busy { .. })
        ));
        admission.close();
        assert!(matches!(
            admission.enter().await,
            Err(ControlError::Stopping)
        ));
    }
}
