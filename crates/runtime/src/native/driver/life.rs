//! How the driver ends: with everything, or leaving what runs to the next engine.

use super::NativeDriver;
use soulbox_wire::spawner::Request;
use std::sync::PoisonError;

impl NativeDriver {
    /// Whether the spawner is lost.
    pub fn is_lost(&self) -> bool {
        *self.shared.lost.borrow()
    }

    /// Waits until the spawner is lost.
    pub async fn lost(&self) {
        let mut lost = self.shared.lost.subscribe();
        // The sender lives as long as this driver.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Makes sure that a lost spawner has ended, and collects it.
    pub async fn bury(&self) {
        let process = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(process) = process {
            let _ = tokio::task::spawn_blocking(move || process.kill()).await;
        }
    }

    /// Ends every sandbox and the spawner, and waits until all is given back; false when the spawner
    /// was lost before that.
    pub async fn stop(&self) -> bool {
        for slot in self.shared.slots().entries.keys() {
            let _ = self
                .shared
                .requests
                .send((Request::Destroy { slot: *slot }, Vec::new()));
        }
        loop {
            let empty = self.shared.empty.notified();
            let slots = self.shared.slots().entries.len();
            if slots == 0 {
                break;
            }
            empty.await;
        }
        let lost = self.is_lost();
        if self.lasting {
            // Another one ends when the channel closes.
            let _ = self.shared.requests.send((Request::End, Vec::new()));
            self.shared.wait_until_parted().await;
        }
        self.task.abort();
        let process = self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(process) = process {
            // With the task the socket is closed, at which the spawner ends.
            let _ = tokio::task::spawn_blocking(move || process.wait()).await;
        }
        !lost
    }

    /// Leaves everything that somebody was given to the next engine: for a spawner that lasts.
    /// What was asked for before is done; slots that are dropped from now on go on.
    pub async fn leave(&self) {
        self.abandon();
        self.shared.wait_until_parted().await;
    }

    /// Begins to leave, as [`NativeDriver::leave`], and waits for nothing.
    pub fn abandon(&self) {
        let mut slots = self.shared.slots();
        if !std::mem::replace(&mut slots.left, true) {
            slots.closed = true;
            let _ = self.shared.requests.send((Request::Leave, Vec::new()));
        }
    }
}

impl Drop for NativeDriver {
    fn drop(&mut self) {
        // The spawner ends when the socket closes, unless it lasts; whoever wants to wait for that
        // calls `stop`.
        self.task.abort();
        let mut slots = self.shared.slots();
        slots.closed = true;
        let entries = std::mem::take(&mut slots.entries);
        drop(slots);
        for entry in entries.into_values() {
            match self.lasting {
                true => {
                    entry.kept.leave();
                    // Whoever waits for its end is not told that it came.
                    std::mem::forget(entry.gone);
                }
                false => entry.kept.give_back(false),
            }
        }
    }
}
