//! Bounds of what an agent may answer.

use soulbox_settings::Agent;
use std::time::Duration;

/// Bounds of a client's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLimits {
    /// Until a connection stands. Default 5 s: accepting one takes an agent microseconds.
    pub connect: Duration,
    /// From the request to the answer's head. Default 30 s.
    pub header: Duration,
    /// From the answer's head to the end of a short answer. Default 30 s.
    pub unary: Duration,
    /// Without any byte of a file, in either direction. Default 60 s.
    pub stall: Duration,
    /// Bytes of a short answer. Default 1 MiB.
    pub answer_bytes: usize,
    /// Bytes of a directory's listing. Default 64 MiB, about 200,000 entries.
    pub listing_bytes: usize,
    /// Bytes of one event of a command. Default 256 KiB; an agent of ours sends at most
    /// 44 KiB (32 KiB of output in base64).
    pub event_bytes: usize,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            header: Duration::from_secs(30),
            unary: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            answer_bytes: 1024 * 1024,
            listing_bytes: 64 * 1024 * 1024,
            event_bytes: 256 * 1024,
        }
    }
}

impl From<&Agent> for AgentLimits {
    fn from(settings: &Agent) -> Self {
        let bytes =
            |size: soulbox_model::ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        Self {
            connect: settings.connect_timeout,
            header: settings.head_timeout,
            unary: settings.answer_timeout,
            stall: settings.idle_timeout,
            answer_bytes: bytes(settings.answer),
            listing_bytes: bytes(settings.listing),
            event_bytes: bytes(settings.event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_settings() {
        let settings = soulbox_settings::Settings::with(&[]).unwrap();
        assert_eq!(AgentLimits::from(&settings.agent), AgentLimits::default());
    }
}
