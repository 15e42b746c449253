//! An ordinary user of the machine, for the length of a test.

use soulbox_tests::{Ended, Soulbox, end, program};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below this no test takes ids; above it Linux distributions give none out, and SoulBox itself
/// neither.
const FIRST: u32 = 0x6000_0000;

/// The first of the subordinate ids that people with a range have.
pub(super) const RANGE: u32 = 0x6800_0000;

/// A user with a home of the user's own. Nobody else on the machine learns of it: its entries in
/// `/etc` are laid over the host's in a mount namespace of the test's own.
pub(super) struct Person {
    soulbox: Soulbox,
    pub(super) uid: u32,
    has_range: bool,
}

impl Person {
    /// Somebody without subordinate ids.
    pub(super) fn with_one_id() -> Self {
        Self::new(false)
    }

    /// Somebody with 65,536 subordinate ids.
    pub(super) fn with_a_range() -> Self {
        Self::new(true)
    }

    fn new(has_range: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let uid = FIRST + std::process::id() % 100_000 * 100 + number;
        let soulbox = Soulbox::new();
        // What is tested may lie where others may not go.
        std::fs::copy(program(), soulbox.home().join("soulbox")).expect("a copy");
        if has_range {
            let line = |file: &str, line: String| {
                let host = std::fs::read_to_string(format!("/etc/{file}")).unwrap_or_default();
                soulbox.file(&format!("etc/{file}"), format!("{host}{line}\n"));
            };
            let home = soulbox.home().display();
            line("passwd", format!("person:x:{uid}:{uid}::{home}:/bin/sh"));
            line("subuid", format!("person:{RANGE}:65536"));
            line("subgid", format!("person:{RANGE}:65536"));
        }
        let person = Self {
            soulbox,
            uid,
            has_range,
        };
        person.own("");
        person
    }

    pub(super) fn home(&self) -> &Path {
        self.soulbox.home()
    }

    /// Gives the person an entry of the home.
    fn own(&self, name: &str) {
        let path = self.home().join(name);
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.uid)).expect("chown");
    }

    /// Makes a directory of the person's.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        std::fs::create_dir(self.home().join(name)).expect("a directory");
        self.own(name);
        self.home().join(name)
    }

    /// Makes a file of the person's.
    pub(super) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.soulbox.file(name, content);
        self.own(name);
        path
    }

    /// The program as this person starts it; `enter` is a shell command that comes before, as root.
    pub(super) fn command_after<A: AsRef<OsStr>>(
        &self,
        enter: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let over = match self.has_range {
            true => "mount -t overlay person -o lowerdir=$PWD/etc:/etc /etc",
            false => "true",
        };
        let script = format!(
            "set -e; {over}; {enter}; exec setpriv --reuid {uid} --regid {uid} --clear-groups \
             ./soulbox \"$@\"",
            uid = self.uid
        );
        let ours = self.soulbox.command(arguments);
        #[allow(clippy::disallowed_methods)] // a black-box test starts the program
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .args(ours.get_args())
            .env_clear()
            .envs(
                ours.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("SOULBOX_MACHINE_DIR", self.home().join("run/machine"))
            .current_dir(self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program as this person to its end.
    pub(super) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        let mut command = self.command_after("true", arguments);
        end(command.spawn().expect("the program starts"))
    }

    /// Runs a script of bash in a sandbox of this person's.
    pub(super) fn bash(&self, script: &str, more: &[&str]) -> Ended {
        let first = ["run", "-l", "bash", "-c", script];
        self.run(first.iter().chain(more))
    }
}
