//! A sandbox as its users see it, and how it changes.
//!
//! ```text
//!   Starting ──▶ Running ◀──▶ Pausing/Resuming ◀──▶ Paused
//!      │            │                                 │
//!      └────────────┴───────────────┬─────────────────┘
//!                                   ▼
//!                                 Ended (with a cause)
//! ```

use crate::event::EndCause;
use crate::id::{SandboxId, TeamId, TemplateName};
use crate::limits::Limits;
use crate::spec::{Isolation, NetworkMode};
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a sandbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxState {
    /// It is being made.
    Starting,
    /// It runs.
    Running,
    /// It is stopped with everything in memory.
    Paused,
    /// It is over.
    Ended,
}

impl SandboxState {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// What happens when a sandbox's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It ends.
    #[default]
    Kill,
    /// It is paused.
    Pause,
}

impl OnTimeout {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
        }
    }
}

/// What becomes of a sandbox without anybody asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lifecycle {
    /// What happens when its time is over.
    pub on_timeout: OnTimeout,
    /// Whether a request to a paused sandbox resumes it.
    pub auto_resume: bool,
}

/// Everything that is kept about a sandbox. Tokens are not: they are derived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// Its id.
    pub id: SandboxId,
    /// Whose it is.
    pub team: TeamId,
    /// What it was made from.
    pub template: TemplateName,
    /// Where it stands.
    pub state: SandboxState,
    /// When it was asked for.
    pub started_at: Moment,
    /// When its time is over.
    pub end_at: Moment,
    /// How long its time was when it was last set: a resume by traffic gives that again.
    pub timeout: Duration,
    /// What becomes of it by itself.
    pub lifecycle: Lifecycle,
    /// What its owner noted about it.
    pub metadata: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// What it reaches.
    pub network: NetworkMode,
    /// The rules for its network as they were given; kept and told, see `network`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_rules: Option<serde_json::Value>,
    /// Whether requests to it need its token.
    pub secure: bool,
    /// Whether requests to its own ports need its traffic token.
    #[serde(default)]
    pub private_traffic: bool,
    /// What its own ports are told as the host's name, with `${PORT}` for the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_host: Option<String>,
    /// The level of isolation that it has.
    pub isolation: Isolation,
    /// How and when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<SandboxEnd>,
}

/// How and when a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxEnd {
    /// Why.
    pub cause: EndCause,
    /// When.
    pub at: Moment,
    /// What there is to say beyond the cause: which process, which signal, whose request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A change that a sandbox's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sandbox {id} is {}", .state.as_str())]
pub struct StateError {
    /// The sandbox.
    pub id: SandboxId,
    /// Where it stands.
    pub state: SandboxState,
}

impl SandboxRecord {
    /// Gives it `timeout` from `now`, which may be less than it had.
    pub fn set_timeout(&mut self, now: Moment, timeout: Duration) {
        self.end_at = now.plus(timeout);
        self.timeout = timeout;
    }

    /// Gives it `timeout` from `now` if that is more than it has; says whether it was.
    pub fn extend(&mut self, now: Moment, timeout: Duration) -> bool {
        let longer = now.plus(timeout) > self.end_at;
        if longer {
            self.set_timeout(now, timeout);
        }
        longer
    }

    /// Goes from one state to another.
    ///
    /// # Errors
    /// [`StateError`] when it is not in `from`.
    pub fn go(&mut self, from: SandboxState, to: SandboxState) -> Result<(), StateError> {
        if self.state != from {
            return Err(StateError {
                id: self.id.clone(),
                state: self.state,
            });
        }
        self.state = to;
        Ok(())
    }

    /// Ends it, once: the first cause is kept.
    pub fn end(&mut self, end: SandboxEnd) {
        if self.state != SandboxState::Ended {
            self.state = SandboxState::Ended;
            self.ended = Some(end);
        }
    }

    /// Whether it lives: runs, is paused, or is about to.
    pub fn is_live(&self) -> bool {
        self.state != SandboxState::Ended
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::size::ByteSize;

    pub(crate) fn record(now: Moment) -> SandboxRecord {
        SandboxRecord {
            id: SandboxId::from_random([1; 20]),
            team: TeamId::default_team(),
            template: TemplateName::host(),
            state: SandboxState::Running,
            started_at: now,
            end_at: now.plus(Duration::from_secs(60)),
            timeout: Duration::from_secs(60),
            lifecycle: Lifecycle::default(),
            metadata: BTreeMap::new(),
            limits: Limits::usual(1000, ByteSize::mib(512), 64, ByteSize::gib(1)),
            network: NetworkMode::None,
            network_rules: None,
            secure: true,
            private_traffic: false,
            mask_host: None,
            isolation: Isolation::Namespace,
            ended: None,
        }
    }

    #[test]
    fn extending_never_shortens() {
        let now = Moment::from_millis(1_000);
        let mut record = record(now);
        let before = record.end_at;
        assert!(!record.extend(now, Duration::from_secs(10)));
        assert_eq!(record.end_at, before);
        assert!(record.extend(now, Duration::from_secs(100)));
        assert_eq!(record.end_at, now.plus(Duration::from_secs(100)));
        record.set_timeout(now, Duration::ZERO);
        assert_eq!(record.end_at, now);
    }

    #[test]
    fn the_first_cause_of_an_end_is_kept() {
        let mut record = record(Moment::from_millis(5));
        let end = |cause| SandboxEnd {
            cause,
            at: Moment::from_millis(9),
            detail: String::new(),
        };
        record.end(end(EndCause::Expired));
        record.end(end(EndCause::Killed));
        assert_eq!(record.ended.map(|end| end.cause), Some(EndCause::Expired));
    }

    #[test]
    fn states_are_left_only_by_their_own_ways() {
        let mut record = record(Moment::from_millis(5));
        assert!(
            record
                .go(SandboxState::Running, SandboxState::Paused)
                .is_ok()
        );
        assert!(
            record
                .go(SandboxState::Running, SandboxState::Paused)
                .is_err()
        );
    }
}
