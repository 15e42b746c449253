//! The time of a sandbox: pauses, resumes, and its one end.

use crate::control::{Control, end_event, event};
use crate::error::ControlError;
use crate::live::Live;
use soulbox_model::{
    EndCause, EventKind, Moment, OnTimeout, SandboxEnd, SandboxRecord, SandboxState,
};
use soulbox_node::{Deadline, End, HowEnded, Then};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The longest sleep at once: a clock of the host that is set forward is noticed by then.
const LOOK: Duration = Duration::from_secs(60);

/// How much later than the server the spawner acts: it is there for when the server is not.
const GRACE: Duration = Duration::from_millis(500);

/// Follows a sandbox until it has ended.
pub(crate) async fn follow(
    control: Weak<Control>,
    live: Arc<Live>,
    end: impl Future<Output = End> + Send,
) {
    tokio::pin!(end);
    loop {
        let left = time_left(&live);
        let over = async {
            match left {
                Some(left) => tokio::time::sleep(left.min(LOOK)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = &mut end => {
                if let Some(control) = control.upgrade() {
                    control.ended(&live, end).await;
                }
                return;
            }
            () = over => {}
            () = live.time_changed.notified() => {}
        }
        if time_left(&live) == Some(Duration::ZERO)
            && let Some(control) = control.upgrade()
        {
            control.time_is_over(&live).await;
        }
    }
}

/// How much of its time is left; nothing while that does not matter.
fn time_left(live: &Live) -> Option<Duration> {
    let record = live.lock();
    let runs = record.state == SandboxState::Running;
    runs.then(|| record.end_at.since(Moment::now()))
}

impl Control {
    /// Does what was wanted for the end of a sandbox's time.
    async fn time_is_over(self: &Arc<Self>, live: &Arc<Live>) {
        let on_timeout = live.lock().lifecycle.on_timeout;
        if on_timeout == OnTimeout::Pause {
            match self.pause(live, "its time was over").await {
                Ok(()) | Err(ControlError::State { .. }) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(sandbox = %live.id(), error, "it is ended, as it cannot be paused");
                }
            }
        }
        self.end(live, EndCause::Expired, "its time was over").await;
    }

    /// Ends a sandbox and waits until all of it is given back. Goes on when the caller goes away.
    pub(crate) async fn end(self: &Arc<Self>, live: &Arc<Live>, cause: EndCause, detail: &str) {
        let (control, live, detail) = (Arc::clone(self), Arc::clone(live), detail.to_owned());
        let ending = tokio::spawn(async move {
            let _turn = live.turn.lock().await;
            control.finish(&live, cause, detail).await;
        });
        let _ = ending.await;
    }

    /// A sandbox ended, whoever brought it about.
    async fn ended(self: &Arc<Self>, live: &Arc<Live>, end: End) {
        let memory_kill = match live.sandbox().await {
            Some(sandbox) => sandbox.memory_kill(),
            None => None,
        };
        let (cause, detail) = match (cause_of(end.how), memory_kill) {
            ((EndCause::OutOfMemory, _), Some(kill)) => {
                let held = kill.held;
                let detail = format!("Linux killed {}, which held {held}", kill.process);
                (EndCause::OutOfMemory, detail)
            }
            (told, _) => told,
        };
        self.end(live, cause, &detail).await;
    }

    async fn finish(&self, live: &Live, cause: EndCause, detail: String) {
        let end = SandboxEnd {
            cause,
            at: Moment::now(),
            detail,
        };
        let event = end_event(&end);
        let record = {
            let mut record = live.lock();
            if !record.is_live() {
                return;
            }
            record.end(end);
            record.clone()
        };
        self.forget(&record.id);
        live.tell_over();
        let created = live.take_unkept();
        let destroy = async {
            if let Some(sandbox) = live.take().await {
                sandbox.destroy().await;
            }
        };
        let ((), kept) = tokio::join!(destroy, self.records.end(&record, created, &event));
        if let Some(end) = &record.ended {
            self.end_commands(&record.id, end);
        }
        self.log().over(&record.id);
        // It is ended all the same: a full disk must not keep anything alive.
        if let Err(error) = kept {
            let error = &error as &dyn std::error::Error;
            tracing::error!(sandbox = %record.id, error, "the end of a sandbox was not recorded");
        }
    }

    /// Tells the spawner, which keeps a sandbox's time while there is no server.
    pub(crate) async fn keep_time(&self, live: &Live) {
        let deadline = {
            let record = live.lock();
            let runs = record.state == SandboxState::Running;
            runs.then(|| deadline(&record))
        };
        let Some(sandbox) = live.sandbox().await else {
            return;
        };
        if let Err(error) = sandbox.set_deadline(deadline).await {
            let error = &error as &dyn std::error::Error;
            // One that has ended needs none.
            tracing::debug!(sandbox = %live.id(), error, "its deadline was not set");
        }
    }

    /// Pauses a sandbox. From here on, traffic does not reach it.
    pub(crate) async fn pause(
        self: &Arc<Self>,
        live: &Arc<Live>,
        why: &str,
    ) -> Result<(), ControlError> {
        let (control, live, why) = (Arc::clone(self), Arc::clone(live), why.to_owned());
        let pausing = tokio::spawn(async move {
            let _turn = live.turn.lock().await;
            live.lock()
                .go(SandboxState::Running, SandboxState::Paused)?;
            if let Err(error) = freeze(&live).await {
                // It may have ended meanwhile.
                let _ = live.lock().go(SandboxState::Paused, SandboxState::Running);
                return Err(error);
            }
            control.keep_time(&live).await;
            control.keep(&live, event(EventKind::Paused, &why)).await
        });
        pausing.await.unwrap_or(Err(ControlError::Stopping))
    }

    /// Resumes a sandbox and gives it `timeout` from now; false if it was not paused.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        live: &Arc<Live>,
        timeout: Duration,
        why: &str,
    ) -> Result<bool, ControlError> {
        let (control, live, why) = (Arc::clone(self), Arc::clone(live), why.to_owned());
        let resuming = tokio::spawn(async move {
            let _turn = live.turn.lock().await;
            if live.lock().state == SandboxState::Running {
                return Ok(false);
            }
            thaw(&live).await?;
            {
                let mut record = live.lock();
                record.go(SandboxState::Paused, SandboxState::Running)?;
                record.set_timeout(Moment::now(), timeout);
            }
            live.time_changed.notify_one();
            control.keep_time(&live).await;
            let resumed = event(EventKind::Resumed, &why);
            control.keep(&live, resumed).await.map(|()| true)
        });
        resuming.await.unwrap_or(Err(ControlError::Stopping))
    }

    /// A sandbox that takes traffic: a paused one is resumed if its owner wanted that.
    ///
    /// # Errors
    /// [`ControlError::State`] when it is paused and stays so; as a resume.
    pub async fn wake(self: &Arc<Self>, live: &Arc<Live>) -> Result<(), ControlError> {
        let (state, wakes, timeout) = {
            let record = live.lock();
            (record.state, record.lifecycle.auto_resume, record.timeout)
        };
        match state {
            SandboxState::Running => Ok(()),
            SandboxState::Paused if wakes => {
                self.resume(live, timeout, "a request came for it").await?;
                Ok(())
            }
            state => Err(ControlError::State {
                id: live.id(),
                state,
            }),
        }
    }
}

async fn freeze(live: &Live) -> Result<(), ControlError> {
    let id = live.id();
    let sandbox = live.sandbox().await;
    let sandbox = sandbox.ok_or_else(|| ControlError::Ended(id.clone()))?;
    let paused = sandbox.pause().await;
    paused.map_err(|source| ControlError::Pause { id, source })
}

async fn thaw(live: &Live) -> Result<(), ControlError> {
    let id = live.id();
    let sandbox = live.sandbox().await;
    let sandbox = sandbox.ok_or_else(|| ControlError::Ended(id.clone()))?;
    let resumed = sandbox.resume().await;
    resumed.map_err(|source| ControlError::Pause { id, source })
}

/// What an end means that nobody here asked for.
pub(crate) fn cause_of(how: HowEnded) -> (EndCause, String) {
    match how {
        HowEnded::Destroyed => (EndCause::Killed, "another engine ended it".to_owned()),
        HowEnded::Expired => (EndCause::Expired, "its time was over".to_owned()),
        HowEnded::Exited(code) => {
            let detail = format!("its first process exited with code {code}");
            (EndCause::Crashed, detail)
        }
        HowEnded::Killed(signal) => {
            let detail = format!("signal {signal} ended its first process");
            (EndCause::Crashed, detail)
        }
        HowEnded::OutOfMemory => {
            let detail = "Linux killed its first process".to_owned();
            (EndCause::OutOfMemory, detail)
        }
        HowEnded::Failed => (EndCause::NotStarted, "it could not be started".to_owned()),
        HowEnded::SpawnerLost => {
            let detail = "the process that made it was lost".to_owned();
            (EndCause::SpawnerLost, detail)
        }
        HowEnded::EngineLost => (
            EndCause::Lost,
            "the engine that made it was lost".to_owned(),
        ),
        HowEnded::MachineStopped => (EndCause::Lost, "the machine was restarted".to_owned()),
    }
}
/// When the spawner ends or pauses a sandbox that runs, if nobody else does it before.
pub(crate) fn deadline(record: &SandboxRecord) -> Deadline {
    Deadline {
        left: record.end_at.since(Moment::now()) + GRACE,
        then: match record.lifecycle.on_timeout {
            OnTimeout::Kill => Then::End,
            OnTimeout::Pause => Then::Pause,
        },
    }
}
