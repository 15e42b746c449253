//! Signals in words, as the end event of a process names them.

/// Names of signals 1 to 31 on Linux (the words of Go's `syscall.Signal`, which clients know).
const NAMES: [&str; 31] = [
    "hangup",
    "interrupt",
    "quit",
    "illegal instruction",
    "trace/breakpoint trap",
    "aborted",
    "bus error",
    "floating point exception",
    "killed",
    "user defined signal 1",
    "segmentation fault",
    "user defined signal 2",
    "broken pipe",
    "alarm clock",
    "terminated",
    "stack fault",
    "child exited",
    "continued",
    "stopped (signal)",
    "stopped",
    "stopped (tty input)",
    "stopped (tty output)",
    "urgent I/O condition",
    "CPU time limit exceeded",
    "file size limit exceeded",
    "virtual timer expired",
    "profiling timer expired",
    "window changed",
    "I/O possible",
    "power failure",
    "bad system call",
];

/// The status of a process that a signal ended: `signal: killed`.
pub fn status(signal: i32, core_dumped: bool) -> String {
    let index = usize::try_from(signal).unwrap_or(0).wrapping_sub(1);
    let core = if core_dumped { " (core dumped)" } else { "" };
    match NAMES.get(index) {
        Some(name) => format!("signal: {name}{core}"),
        None => format!("signal: signal {signal}{core}"),
    }
}

/// The signal that a status names; `None` when it names none.
pub fn number(status: &str) -> Option<i32> {
    let name = status.strip_prefix("signal: ")?;
    let name = name.strip_suffix(" (core dumped)").unwrap_or(name);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).ok();
    }
    name.strip_prefix("signal ")?
        .parse()
        .ok()
        .filter(|number| (1..=64).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back() {
        for signal in 1..=64 {
            for core in [false, true] {
                assert_eq!(number(&status(signal, core)), Some(signal));
            }
        }
        assert_eq!(status(9, false), "signal: killed");
        assert_eq!(status(34, false), "signal: signal 34");
        for wrong in [
            "exit status 9",
            "signal: ",
            "signal: signal 65",
            "signal: signal x",
        ] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
