//! What a slot holds of the engine.

use crate::lease::Lease;
use crate::storage::Layer as WritableLayer;
use crate::storage::remover::Way;
use soulbox_runtime::native::driver;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The writable layer of a slot, once it has one.
pub(super) type Layer = Arc<Mutex<Option<WritableLayer>>>;

/// What a slot holds of the engine until all of it is given back.
pub(super) struct Keep {
    pub(super) socket: PathBuf,
    pub(super) layer: Layer,
    pub(super) remover: Option<Way>,
    /// Given back last: the number is free when nothing of it is left.
    pub(super) lease: Option<Lease>,
}

impl driver::Kept for Keep {
    fn give_back(mut self: Box<Self>, clean: bool) {
        // A slot that never had a sandbox has no socket.
        let _ = std::fs::remove_file(&self.socket);
        let mut layer = self.layer.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = layer.take_if(|layer| layer.lasts());
        drop(layer);
        let Some(lease) = self.lease.take() else {
            return;
        };
        if !clean {
            // Whoever removes what is left frees it then.
            lease.leave();
        } else if let (Some(remover), Some(layer)) = (&self.remover, lasts) {
            remover.remove(layer, lease);
        }
    }

    fn leave(mut self: Box<Self>) {
        // The next engine takes all of it over.
        let mut layer = self.layer.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(layer.take());
        if let Some(lease) = self.lease.take() {
            lease.leave();
        }
    }
}
