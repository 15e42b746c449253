//! Pools of things that are slow to make and the same for everybody.
//!
//! An empty pool is slower, never an error: [`Pool::take`] gives what is there, and whoever gets
//! nothing makes one himself. Refilling happens in the background, one at a time, so that it
//! never takes more than one of the machine's processors from those who wait.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a refill that failed waits before the next, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Things that wait, and how many are wanted.
pub struct Pool<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    ready: VecDeque<T>,
    wanted: usize,
}

impl<T: Send + 'static> Pool<T> {
    /// An empty pool that is to hold `wanted` things.
    pub fn new(wanted: usize) -> Self {
        let state = State {
            ready: VecDeque::new(),
            wanted,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one, if there is one, and lets another be made.
    pub fn take(&self) -> Option<T> {
        let taken = self.state().ready.pop_front();
        self.changed.notify_waiters();
        taken
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.state().ready.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wants nothing more and gives out what there is.
    pub fn close(&self) -> Vec<T> {
        let mut state = self.state();
        state.wanted = 0;
        let ready = state.ready.drain(..).collect();
        drop(state);
        self.changed.notify_waiters();
        ready
    }

    /// Waits until as many wait as are wanted.
    pub async fn filled(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.ready.len() >= state.wanted {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Refills the pool for ever with what `make` makes.
    pub async fn refill<E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
        self: Arc<Self>,
        make: impl Fn() -> F,
    ) {
        let mut retry = RETRY.0;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let lacks = {
                let state = self.state();
                state.ready.len() < state.wanted
            };
            if !lacks {
                changed.await;
                continue;
            }
            match make().await {
                Ok(thing) => {
                    retry = RETRY.0;
                    self.state().ready.push_back(thing);
                    self.changed.notify_waiters();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot refill a pool");
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_pool_refills_what_was_taken_and_survives_failures() {
        let pool = Arc::new(Pool::new(3));
        let made = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&made);
        let task = tokio::spawn(Arc::clone(&pool).refill(move || {
            let n = counter.fetch_add(1, Ordering::Relaxed);
            async move { if n == 1 { Err("no") } else { Ok(n) } }
        }));
        pool.filled().await;
        assert_eq!(pool.len(), 3);
        assert_eq!(pool.take(), Some(0));
        pool.filled().await;
        assert_eq!(made.load(Ordering::Relaxed), 5);
        assert_eq!(pool.close().len(), 3);
        assert_eq!(pool.take(), None);
        task.abort();
    }
}
