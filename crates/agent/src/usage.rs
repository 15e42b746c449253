//! `GET /metrics`: what the sandbox uses, as it can see that itself.

use crate::reply::{Reply, json};
use crate::state::Agent;
use hyper::StatusCode;
use soulbox_wire::envd::http::Metrics;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Processor time up to a moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct CpuSample {
    at: Option<Instant>,
    /// Microseconds of all CPUs together.
    used: u64,
}

const MIB: u64 = 1024 * 1024;

pub(crate) fn metrics(agent: &Agent) -> Reply {
    let cpu_count = cpu_count();
    let (mem_total, mem_used, mem_cache) = memory();
    let (disk_total, disk_used) = disk();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let metrics = Metrics {
        ts: i64::try_from(now.as_secs()).unwrap_or(0),
        cpu_count,
        cpu_used_pct: cpu_used(agent, cpu_count),
        mem_total,
        mem_used,
        mem_cache,
        mem_total_mib: mem_total / MIB,
        mem_used_mib: mem_used / MIB,
        disk_total,
        disk_used,
    };
    json(StatusCode::OK, &metrics)
}

fn cpu_count() -> u32 {
    let allowed = rustix::thread::sched_getaffinity(None);
    allowed.map_or(1, |set| set.count()).max(1)
}

/// Percent since the last call; since the sandbox's start, or the machine's, at the first one.
fn cpu_used(agent: &Agent, cpus: u32) -> f32 {
    let now = CpuSample {
        at: Some(Instant::now()),
        used: cpu_time(),
    };
    let before = agent.cpu.replace(now);
    let Some(elapsed) = before.at.map(|at| at.elapsed()) else {
        return 0.0;
    };
    let used = now.used.saturating_sub(before.used);
    #[allow(clippy::cast_precision_loss)] // A percentage needs no more than a float has.
    let share = used as f32 / (elapsed.as_micros().max(1) as f32 * cpus as f32);
    (share * 100.0).clamp(0.0, 100.0)
}

/// Microseconds of CPU time: of the sandbox where its cgroup is visible, else of the machine.
fn cpu_time() -> u64 {
    let from_v2 = || {
        let text = read("/sys/fs/cgroup/cpu.stat")?;
        text.lines()
            .find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok())
    };
    let from_v1 = || Some(number("/sys/fs/cgroup/cpuacct/cpuacct.usage")? / 1000);
    let from_machine = || {
        let text = read("/proc/stat")?;
        let fields = text.lines().next()?.split_ascii_whitespace().skip(1);
        let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        // User, nice, system, idle, waiting, interrupts, soft interrupts: all but 4 and 5 are
        // work. A tick is 10 ms to user space.
        let work = ticks
            .iter()
            .enumerate()
            .take(7)
            .filter(|(index, _)| !matches!(index, 3 | 4));
        Some(work.map(|(_, ticks)| ticks).sum::<u64>() * 10_000)
    };
    from_v2()
        .or_else(from_v1)
        .or_else(from_machine)
        .unwrap_or(0)
}

/// Total, used and cache, in bytes.
fn memory() -> (u64, u64, u64) {
    let text = read("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .unwrap_or(0)
            .saturating_mul(1024)
    };
    let machine = field("MemTotal");
    let of_cgroup = |limit: &str, usage: &str, statistics: &str, cache: &str| {
        let used = number(usage)?;
        let limit = number(limit).unwrap_or(machine).min(machine);
        let text = read(statistics)?;
        let cache = text
            .lines()
            .find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
        let cache = cache.unwrap_or(0);
        Some((limit, used.saturating_sub(cache), cache))
    };
    let v2 = || {
        let root = "/sys/fs/cgroup";
        of_cgroup(
            &format!("{root}/memory.max"),
            &format!("{root}/memory.current"),
            &format!("{root}/memory.stat"),
            "file ",
        )
    };
    let v1 = || {
        let root = "/sys/fs/cgroup/memory";
        of_cgroup(
            &format!("{root}/memory.limit_in_bytes"),
            &format!("{root}/memory.usage_in_bytes"),
            &format!("{root}/memory.stat"),
            "total_cache ",
        )
    };
    let used = machine.saturating_sub(field("MemAvailable"));
    v2().or_else(v1).unwrap_or((machine, used, field("Cached")))
}

/// Total and used bytes of the root file system.
fn disk() -> (u64, u64) {
    let Ok(known) = rustix::fs::statvfs("/") else {
        return (0, 0);
    };
    let blocks = |count: u64| count.saturating_mul(known.f_frsize);
    (
        blocks(known.f_blocks),
        blocks(known.f_blocks.saturating_sub(known.f_bfree)),
    )
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn number(path: &str) -> Option<u64> {
    read(path)?.trim().parse().ok()
}
