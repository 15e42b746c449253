//! Other tools, measured in the same run: what a figure is worth shows beside them.

use super::report::Times;
use crate::failure::Failure;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A way to run a program without SoulBox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Baseline {
    /// What it is called in tables.
    pub(super) name: &'static str,
    /// What comes before the program on the command line.
    before: &'static [&'static str],
}

/// Every baseline.
const ALL: [Baseline; 3] = [
    Baseline {
        name: "fork+exec",
        before: &[],
    },
    Baseline {
        name: "unshare",
        before: &[
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--net",
            "--ipc",
            "--uts",
            "--cgroup",
        ],
    },
    Baseline {
        name: "bwrap",
        before: &[
            "bwrap",
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/tmp",
        ],
    },
];

impl Baseline {
    /// Those that this machine has.
    pub(super) fn there() -> Vec<Self> {
        let works = |baseline: &Self| baseline.run(&["/bin/true"]);
        ALL.into_iter().filter(works).collect()
    }

    /// Runs a program to its end; whether it succeeded.
    #[allow(clippy::disallowed_methods)] // the tools that are compared are programs of the host
    pub(super) fn run(&self, words: &[&str]) -> bool {
        let all: Vec<_> = self.before.iter().chain(words).collect();
        let Some((program, arguments)) = all.split_first() else {
            return false;
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Runs a program `count` times, one after the other.
    pub(super) fn measure(self, words: &[&str], count: u32, times: &mut Times) {
        for _ in 0..count {
            let begin = Instant::now();
            if self.run(words) {
                times.add(begin.elapsed());
            }
        }
    }

    /// Runs a program `count` times, `at_once` side by side.
    pub(super) fn measure_at_once(
        self,
        words: &[&str],
        count: u32,
        at_once: u32,
    ) -> Result<Times, Failure> {
        let mut all = Times::of(format!("{}, {at_once} at once", self.name))?;
        let begin = Instant::now();
        let each = count / at_once;
        let measured = std::thread::scope(|scope| {
            let one = || {
                let times = (0..each).map(|_| {
                    let begin = Instant::now();
                    self.run(words).then(|| begin.elapsed())
                });
                times.collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .flatten()
                .collect::<Vec<_>>()
        });
        all.took(begin.elapsed());
        measured
            .into_iter()
            .flatten()
            .for_each(|time| all.add(time));
        Ok(all)
    }
}
