//! Ctrl-C and its kin.

use crate::exit::Exit;
use crate::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells when somebody asked the program to end. The second time it ends at once: what is left
/// then is reclaimed by the next start.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for Ctrl-C, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let signals = kinds.map(signal);
        let (sender, receiver) = watch::channel(false);
        for listened in signals {
            let mut listened = listened.map_err(|error| {
                Failure::new(Exit::INTERNAL, "cannot listen for signals").because(&error)
            })?;
            let sender = sender.clone();
            tokio::spawn(async move { relay(&mut listened, &sender).await });
        }
        Ok(Self(receiver))
    }

    /// Waits until it is asked for.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn relay(signals: &mut Signal, sender: &watch::Sender<bool>) {
    while signals.recv().await.is_some() {
        if sender.send_replace(true) {
            std::process::exit(Exit::KILLED.code().into());
        }
    }
}
