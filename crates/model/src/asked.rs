//! Limits that somebody asks for.

use crate::limits::{LimitError, Limits};
use crate::size::ByteSize;
use serde::{Deserialize, Serialize};

/// What a sandbox is to be limited to; of what is absent, what is usual. A field that is not known is refused: a
/// limit that is misspelt must not be taken for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AskedLimits {
    /// As [`Limits::cpu_millis`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// As [`Limits::cpu_weight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u32>,
    /// As [`Limits::memory`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// As [`Limits::memory_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<u64>,
    /// As [`Limits::pids`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// As [`Limits::open_files`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
    /// As [`Limits::io_read`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_read_bytes: Option<u64>,
    /// As [`Limits::io_write`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_write_bytes: Option<u64>,
    /// As [`Limits::disk`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

impl AskedLimits {
    /// These limits over `usual`. Who asks for other memory and names no most gets as much and no more.
    ///
    /// # Errors
    /// [`LimitError`]: one is out of its range.
    pub fn over(&self, usual: Limits) -> Result<Limits, LimitError> {
        let size = |asked: Option<u64>, usual| asked.map_or(usual, ByteSize);
        let memory = size(self.memory_bytes, usual.memory);
        let memory_max = match (self.memory_bytes, self.memory_max_bytes) {
            (_, Some(most)) => ByteSize(most),
            (Some(_), None) => memory,
            (None, None) => usual.memory_max,
        };
        let limits = Limits {
            cpu_millis: self.cpu_millis.unwrap_or(usual.cpu_millis),
            cpu_weight: self.cpu_weight.unwrap_or(usual.cpu_weight),
            memory,
            memory_max,
            pids: self.pids.unwrap_or(usual.pids),
            open_files: self.open_files.unwrap_or(usual.open_files),
            io_read: size(self.io_read_bytes, usual.io_read),
            io_write: size(self.io_write_bytes, usual.io_write),
            disk: size(self.disk_bytes, usual.disk),
        };
        limits.check()?;
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_held_to_their_ranges() {
        let usual = Limits::usual(2000, ByteSize::mib(1024), 1024, ByteSize::gib(10));
        let ask = |text: &str| {
            let asked: AskedLimits = serde_json::from_str(text).unwrap();
            asked.over(usual).map_err(|error| error.to_string())
        };
        assert_eq!(ask("{}").unwrap(), usual);
        let small = ask(r#"{"memoryBytes":67108864}"#).unwrap();
        assert_eq!(
            (small.memory, small.memory_max),
            (ByteSize::mib(64), ByteSize::mib(64))
        );
        for (bad, name) in [
            (r#"{"memoryBytes":1}"#, "memory"),
            (r#"{"pids":0}"#, "pids"),
            (r#"{"memoryMaxBytes":67108864}"#, "memory max"),
            (r#"{"diskBytes":18446744073709551615}"#, "disk"),
        ] {
            let message = ask(bad).unwrap_err();
            assert!(message.contains(name), "{message}");
        }
    }
}
