//! Runs that may be asked for again: the answer of the first is kept for the others, if it is not too long.
//!
//! The key is kept before the code starts, so that it is never run twice: a run whose answer nobody knows, because the
//! server was killed meanwhile, is told as such.

use crate::control::Control;
use crate::error::ControlError;
use crate::idempotency::{Claim, Held, Made, Once};
use soulbox_model::TeamId;

/// What became of a request with a key.
pub enum RunClaim {
    /// It is the first: run it.
    First(RunTicket),
    /// It was answered with this before.
    Answered(String),
}

/// The right to run code under a key. Others with the same key wait while it is there.
pub struct RunTicket {
    held: Held,
    longest: u64,
}

impl Control {
    /// Takes the key of a request that runs code.
    ///
    /// # Errors
    /// [`ControlError::RunBegun`] when it was taken before and the answer is not kept; as other keys.
    pub async fn claim_run(&self, team: &TeamId, once: Once) -> Result<RunClaim, ControlError> {
        match self.once.claim(team, once).await? {
            Claim::First(pending) => {
                let held = pending.makes(Made::Run { answer: None });
                held.keep().await?;
                let longest = self.settings.execute.answer.bytes();
                Ok(RunClaim::First(RunTicket { held, longest }))
            }
            Claim::Made(Made::Run {
                answer: Some(answer),
            }) => Ok(RunClaim::Answered(answer)),
            Claim::Made(Made::Run { answer: None }) => Err(ControlError::RunBegun),
            Claim::Made(_) => Err(ControlError::KeyTaken),
        }
    }
}

impl RunTicket {
    /// Keeps what was answered.
    ///
    /// # Errors
    /// As the store.
    pub async fn answered(mut self, answer: &[u8]) -> Result<(), ControlError> {
        if answer.len() as u64 > self.longest {
            return Ok(());
        }
        let answer = Some(String::from_utf8_lossy(answer).into_owned());
        self.held.change(Made::Run { answer }).await
    }

    /// The code was not run: the key is free again.
    pub async fn forget(self) {
        self.held.remove().await;
    }
}
