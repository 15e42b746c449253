//! What a sandbox uses now.

use crate::storage::gauge::Filling;
use soulbox_model::ByteSize;
use soulbox_wire::spawner;
use std::time::Duration;

/// What a sandbox uses now, told by Linux from outside; `None` where nothing counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Processor time of all its processes so far. Two looks tell how busy it is.
    pub cpu: Option<Duration>,
    /// The most processor time it may have, in thousandths of a CPU.
    pub cpu_millis: u32,
    /// Memory, page cache and files in memory included.
    pub memory: Option<ByteSize>,
    /// What of it is page cache that Linux takes back when it is needed.
    pub cache: Option<ByteSize>,
    /// The most memory it may have.
    pub memory_limit: ByteSize,
    /// What it has written, template not included.
    pub disk: Option<ByteSize>,
    /// The most it may write.
    pub disk_limit: Option<ByteSize>,
    /// Processes and threads, its first one included.
    pub pids: Option<u64>,
}

impl Metrics {
    pub(crate) fn new(
        counted: spawner::Metrics,
        filling: Option<Filling>,
        limits: &soulbox_model::Limits,
    ) -> Self {
        Self {
            cpu: counted.cpu_us.map(Duration::from_micros),
            cpu_millis: limits.cpu_millis,
            memory: counted.memory.map(ByteSize),
            cache: counted.cache.map(ByteSize),
            memory_limit: limits.memory_max,
            disk: filling.map(|filling| ByteSize(filling.used)),
            disk_limit: filling.map(|filling| ByteSize(filling.total)),
            pids: counted.pids,
        }
    }
}
