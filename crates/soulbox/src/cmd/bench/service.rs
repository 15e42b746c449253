//! All processes of a server: what they hold, and how much of the processors they took.
//!
//! What Linux itself keeps for them (page tables, sockets, files in memory) belongs to no process: it is in what their
//! groups hold ([`group`]) and not in what they hold themselves.

pub(super) mod group;

use super::memory::pss_kib;
use group::Group;
use std::fs;
use std::time::Duration;

/// A server and everything that descends from it: what makes sandboxes, zygotes, sandboxes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pid: u32,
}

impl Service {
    /// The one whose first process has this id.
    pub(super) fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Its first process.
    pub(super) fn pid(self) -> u32 {
        self.pid
    }

    /// Its processes.
    fn processes(self) -> Vec<u32> {
        let mut all = vec![self.pid];
        let mut at = 0;
        while let Some(pid) = all.get(at).copied() {
            all.extend(children(pid));
            at += 1;
        }
        all
    }

    /// KiB that they hold, shared pages divided among those who share them.
    pub(super) fn memory_kib(self) -> u64 {
        self.processes().into_iter().filter_map(pss_kib).sum()
    }

    /// KiB that their groups hold.
    pub(super) fn group_kib(self, group: &Group) -> u64 {
        group.memory_kib(&self.processes())
    }

    /// The processor time that they took, and that those took which they waited for.
    pub(super) fn cpu(self) -> Duration {
        let line = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let lines = self.processes().into_iter().filter_map(line);
        Duration::from_millis(lines.map(|line| ticks(&line) * 10).sum())
    }
}

/// Fields 14 to 17 of a process's line, in hundredths of a second (proc_pid_stat(5); Linux tells them in `USER_HZ`,
/// which is 100 on every architecture that we run on): its own time, and that of its children that ended.
fn ticks(line: &str) -> u64 {
    let fields = line.rsplit(')').next().unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(4);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// The processor time that the whole machine has taken, for whomever.
pub(super) fn machine_cpu() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    Duration::from_millis(busy(&text) * 10)
}

/// What of the first line is work, in hundredths of a second (proc_stat(5)): user, nice, system, irq, softirq.
fn busy(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
    let fields = line.unwrap_or_default().split_whitespace();
    let fields: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    let at = |at: usize| fields.get(at).copied().unwrap_or(0);
    [0, 1, 2, 5, 6].map(at).iter().sum()
}

/// The children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| -> Vec<u32> {
        let words = list.split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    lists.flat_map(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_time_whatever_its_name() {
        let line = "7 (a) b) c) S 1 7 7 0 -1 4194560 99 98 97 96 3 4 50 600 20 0 1 0";
        assert_eq!(ticks(line), 657);
        assert_eq!(ticks(""), 0);
    }

    #[test]
    fn what_waits_is_no_work() {
        let text = "cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9\ncpu0 5 5 5\n";
        assert_eq!(busy(text), 7_600_321);
        assert_eq!(busy(""), 0);
    }

    #[test]
    fn this_process_holds_memory() {
        assert!(Service::of(std::process::id()).memory_kib() > 100);
    }
}
