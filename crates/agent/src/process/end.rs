//! How a process ended.

use rustix::process::WaitStatus;
use soulbox_wire::envd::process::EndEvent;
use soulbox_wire::envd::signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with an exit code.
    Exited(i32),
    /// By a signal.
    Signalled { signal: i32, core_dumped: bool },
}

impl End {
    /// From what waiting told; `None` when the process only stopped or went on.
    pub(crate) fn from_status(status: WaitStatus) -> Option<Self> {
        /// The bit of a wait status that tells of a core file (`WCOREFLAG`).
        const CORE: i32 = 0x80;
        if let Some(code) = status.exit_status() {
            return Some(Self::Exited(code));
        }
        let signal = status.terminating_signal()?;
        Some(Self::Signalled {
            signal,
            core_dumped: status.as_raw() & CORE != 0,
        })
    }

    /// As the protocol tells it.
    pub(crate) fn event(self) -> EndEvent {
        match self {
            Self::Exited(code) => {
                let status = format!("exit status {code}");
                let error = (code != 0).then(|| status.clone());
                EndEvent {
                    exit_code: code,
                    exited: true,
                    status,
                    error,
                }
            }
            Self::Signalled {
                signal,
                core_dumped,
            } => {
                let status = signal::status(signal, core_dumped);
                let error = Some(status.clone());
                EndEvent {
                    exit_code: -1,
                    exited: false,
                    status,
                    error,
                }
            }
        }
    }
}
