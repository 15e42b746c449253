//! Running the programs that write firewall rules.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::path::PathBuf;
use std::process::Stdio;

/// Where distributions put the programs. Not `PATH`: root's may hold anything.
const DIRECTORIES: [&str; 5] = [
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/usr/local/sbin",
    "/run/current-system/sw/bin",
];

/// A program that takes longer is killed. `nft` takes some 20 ms.
const SECONDS: i64 = 20;

/// Output beyond this is not read. A thousand rules of others are some 500 KiB of JSON.
const OUTPUT: usize = 8 * 1024 * 1024;

/// Why a program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Not installed.
    #[error(
        "cannot find the program {program}, which sandboxes with network `internet` need: \
         install the package `{package}` (for example: apt-get install {package}), or use \
         network `none`"
    )]
    Missing {
        /// Its name.
        program: &'static str,
        /// The package that has it, on Debian, Ubuntu, Fedora, Arch and Alpine alike.
        package: &'static str,
    },
    /// It could not be run.
    #[error("cannot run {program}")]
    Run {
        /// Its name.
        program: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It took too long.
    #[error("{0} did not end within {SECONDS} s and was killed")]
    TooLong(&'static str),
    /// It refused.
    #[error("{program} refused: {said}")]
    Refused {
        /// Its name.
        program: &'static str,
        /// The first lines of what it said.
        said: String,
    },
    /// What it printed cannot be read.
    #[error("cannot read what {program} printed")]
    Printed {
        /// Its name.
        program: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// A program and the package that has it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    name: &'static str,
    package: &'static str,
}

/// The program for nf_tables.
pub const NFT: Program = Program {
    name: "nft",
    package: "nftables",
};
/// The program for the tables that Linux had before nf_tables.
pub const IPTABLES_LEGACY: Program = Program {
    name: "iptables-legacy",
    package: "iptables",
};

impl Program {
    /// Where it is.
    ///
    /// # Errors
    /// [`ProgramError::Missing`] when it is nowhere.
    pub fn find(&self) -> Result<PathBuf, ProgramError> {
        DIRECTORIES
            .iter()
            .map(|directory| PathBuf::from(directory).join(self.name))
            .find(|path| path.is_file())
            .ok_or(ProgramError::Missing {
                program: self.name,
                package: self.package,
            })
    }

    /// Runs it with `arguments`, `input` on its standard input and an empty environment; gives
    /// back what it printed.
    ///
    /// # Errors
    /// It is missing, cannot be run, takes too long or does not end with 0.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String, ProgramError> {
        let path = self.find()?;
        let program = self.name;
        let run = |source: std::io::Error| ProgramError::Run { program, source };
        // Files in memory instead of pipes: neither side ever waits for the other.
        let [stdin, stdout, stderr] = [file(input)?, file("")?, file("")?];
        #[allow(
            clippy::disallowed_methods,
            reason = "a program of the host that writes its rules"
        )]
        let mut child = std::process::Command::new(path)
            .args(arguments)
            .env_clear()
            .stdin(duplicate(&stdin)?)
            .stdout(duplicate(&stdout)?)
            .stderr(duplicate(&stderr)?)
            .spawn()
            .map_err(run)?;
        if !ended_in_time(child.id()).map_err(|errno| run(errno.into()))? {
            let _ = child.kill();
            let _ = child.wait();
            return Err(ProgramError::TooLong(program));
        }
        let status = child.wait().map_err(run)?;
        if status.success() {
            return contents(&stdout).map_err(|errno| run(errno.into()));
        }
        let said = contents(&stderr).map_err(|errno| run(errno.into()))?;
        Err(ProgramError::Refused {
            program,
            said: first_lines(&said, &status.to_string()),
        })
    }

    /// Makes the error for output that is not as expected.
    pub(super) fn printed(self, source: serde_json::Error) -> ProgramError {
        ProgramError::Printed {
            program: self.name,
            source,
        }
    }
}

fn file(content: &str) -> Result<OwnedFd, ProgramError> {
    let make = || -> Result<OwnedFd, Errno> {
        let fd = rustix::fs::memfd_create("soulbox-rules", MemfdFlags::CLOEXEC)?;
        let mut rest = content.as_bytes();
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(&fd, rest)?..];
        }
        rustix::fs::seek(&fd, SeekFrom::Start(0))?;
        Ok(fd)
    };
    make().map_err(|errno| ProgramError::Run {
        program: "memfd_create",
        source: errno.into(),
    })
}

fn duplicate(fd: &OwnedFd) -> Result<Stdio, ProgramError> {
    fd.try_clone()
        .map(Stdio::from)
        .map_err(|source| ProgramError::Run {
            program: "dup",
            source,
        })
}

/// Waits for the child; false when the time is over.
fn ended_in_time(pid: u32) -> Result<bool, Errno> {
    let pid = Pid::from_raw(pid.cast_signed()).ok_or(Errno::SRCH)?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let time = Timespec {
        tv_sec: SECONDS,
        tv_nsec: 0,
    };
    let mut watched = [PollFd::new(&pidfd, PollFlags::IN)];
    match poll(&mut watched, Some(&time)) {
        Ok(0) => Ok(false),
        Err(Errno::INTR) => ended_in_time_again(pid),
        Ok(_) => Ok(true),
        Err(errno) => {
            let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            Err(errno)
        }
    }
}

/// A signal that came while waiting is no reason to give up; the time begins anew.
fn ended_in_time_again(pid: Pid) -> Result<bool, Errno> {
    ended_in_time(pid.as_raw_nonzero().get().cast_unsigned())
}

fn contents(fd: &OwnedFd) -> Result<String, Errno> {
    rustix::fs::seek(fd, SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = rustix::io::read(fd, &mut piece)?;
        if length == 0 || bytes.len() >= OUTPUT {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        bytes.extend_from_slice(&piece[..length]);
    }
}

/// The first lines of an error's text in one line, or `otherwise` when there are none.
fn first_lines(said: &str, otherwise: &str) -> String {
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    if lines.is_empty() {
        return otherwise.to_owned();
    }
    lines.join("; ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_its_package() {
        let program = Program {
            name: "soulbox-has-no-such-program",
            package: "nowhere",
        };
        let error = program.run(&[], "").unwrap_err();
        assert!(matches!(error, ProgramError::Missing { .. }));
        assert!(
            error.to_string().contains("apt-get install nowhere"),
            "{error}"
        );
    }

    #[test]
    fn output_comes_back_and_refusal_is_told_in_its_own_words() {
        let cat = Program {
            name: "cat",
            package: "coreutils",
        };
        let long = "x".repeat(300_000);
        assert_eq!(cat.run(&[], &long).unwrap(), long);
        let error = cat.run(&["/nonexistent"], "").unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }
}
