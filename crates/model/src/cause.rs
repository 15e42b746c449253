//! Why a run, a command or a sandbox ended.

use serde::{Deserialize, Serialize};

/// Why it ended. Exactly one cause is told; where several hold, the one that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The program ended by itself, with an exit code.
    Exited,
    /// A signal that SoulBox did not send ended the program.
    Signalled,
    /// The time limit was reached.
    TimedOut,
    /// The memory limit was reached and Linux killed a process of the sandbox.
    OutOfMemory,
    /// The same, at a limit below the one that was declared: it was proposed from what runs before used.
    OutOfAdaptiveMemory,
    /// The file system was full and the program failed.
    DiskFull,
    /// The output limit was reached.
    TooMuchOutput,
    /// Somebody ended it: Ctrl-C, a kill request, the server's end.
    Killed,
}

impl Cause {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfAdaptiveMemory => "out_of_adaptive_memory",
            Self::DiskFull => "disk_full",
            Self::TooMuchOutput => "too_much_output",
            Self::Killed => "killed",
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
