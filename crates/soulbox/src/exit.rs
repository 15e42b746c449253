//! What the exit codes of `soulbox` mean.

use soulbox_model::Cause;
use std::process::ExitCode;

/// An exit code of `soulbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u8);

/// The codes that are not the code's own, for `--help` and for a test that they are documented.
pub(crate) const HELP: &str = "\
Exit codes:
  0 to 239  the code's own; 128+N when signal N ended it
  240       wrong usage, or a setting out of its range
  241       something that was named does not exist: template, file, program, language
  242       the host lacks a permission or a feature (see: soulbox doctor)
  243       the sandbox could not be made
  244       the time limit was reached
  245       the memory limit was reached
  246       the disk was full
  247       the output limit was reached
  248       ended on request: Ctrl-C, SIGTERM, SIGHUP
  249       a fault in SoulBox
  250       no server answers, or it refuses the key or fails
The code's own exit code passes through whatever it is; --json tells the cause apart.
Verbs other than run, shell and exec exit with 1 when their answer is no.";

impl Exit {
    /// Everything went well.
    pub(crate) const SUCCESS: Self = Self(0);
    /// The verb did its work and the answer is no: `doctor` found something missing.
    pub(crate) const NO: Self = Self(1);
    /// Whoever read our output went away: 128 + SIGPIPE, as for any program in a pipe.
    pub(crate) const READER_GONE: Self = Self(141);
    /// Wrong usage, or a setting out of its range.
    pub(crate) const USAGE: Self = Self(240);
    /// Something that was named does not exist.
    pub(crate) const NOT_FOUND: Self = Self(241);
    /// The host lacks a permission or a feature.
    pub(crate) const HOST: Self = Self(242);
    /// The sandbox could not be made.
    pub(crate) const CREATE: Self = Self(243);
    /// The time limit was reached.
    pub(crate) const TIMED_OUT: Self = Self(244);
    /// The memory limit was reached.
    pub(crate) const OUT_OF_MEMORY: Self = Self(245);
    /// The disk was full.
    pub(crate) const DISK_FULL: Self = Self(246);
    /// The output limit was reached.
    pub(crate) const TOO_MUCH_OUTPUT: Self = Self(247);
    /// Ended on request.
    pub(crate) const KILLED: Self = Self(248);
    /// A fault in SoulBox.
    pub(crate) const INTERNAL: Self = Self(249);
    /// No server answers, or it refuses the key or fails.
    pub(crate) const SERVER: Self = Self(250);

    /// The exit of a run that ended for `cause`, with the code's own `exit_code` or `signal`.
    pub(crate) fn of_run(cause: Cause, exit_code: Option<i32>, signal: Option<i32>) -> Self {
        match cause {
            Cause::Exited => Self(
                exit_code
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(255),
            ),
            Cause::Signalled => {
                let number = signal
                    .and_then(|signal| u8::try_from(signal).ok())
                    .unwrap_or(0);
                Self(128_u8.saturating_add(number))
            }
            Cause::TimedOut => Self::TIMED_OUT,
            Cause::OutOfMemory | Cause::OutOfAdaptiveMemory => Self::OUT_OF_MEMORY,
            Cause::DiskFull => Self::DISK_FULL,
            Cause::TooMuchOutput => Self::TOO_MUCH_OUTPUT,
            Cause::Killed => Self::KILLED,
        }
    }

    /// The code as a number.
    pub(crate) const fn code(self) -> u8 {
        self.0
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_own_exit_passes_through() {
        for code in [0, 1, 42, 255] {
            let exit = Exit::of_run(Cause::Exited, Some(code), None);
            assert_eq!(i32::from(exit.code()), code);
        }
        assert_eq!(Exit::of_run(Cause::Signalled, None, Some(11)).code(), 139);
        assert_eq!(Exit::of_run(Cause::Exited, Some(-1), None).code(), 255);
    }

    #[test]
    fn every_code_of_ours_is_documented() {
        for exit in [
            Exit::USAGE,
            Exit::NOT_FOUND,
            Exit::HOST,
            Exit::CREATE,
            Exit::TIMED_OUT,
            Exit::OUT_OF_MEMORY,
            Exit::DISK_FULL,
            Exit::TOO_MUCH_OUTPUT,
            Exit::KILLED,
            Exit::INTERNAL,
            Exit::SERVER,
        ] {
            let line = format!("\n  {}       ", exit.code());
            assert!(HELP.contains(&line), "{}", exit.code());
        }
    }
}
