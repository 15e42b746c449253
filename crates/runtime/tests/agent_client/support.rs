//! Starting the embedded agent.

use rustix::process::{Pid, Signal};
use soulbox_runtime::programs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The agent expects its socket as descriptor 3 and its ready pipe as descriptor 4.
const LAUNCH: &str = "exec 3<&0 4>&1 0</dev/null 1>/dev/null; exec \"$@\"";

/// A running agent and a directory for files.
pub(crate) struct Agent {
    directory: TempDir,
    child: Child,
}

impl Agent {
    /// Starts an agent.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let program = directory.path().join("agent");
        std::fs::write(&program, programs::AGENT).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(directory.path().join("agent.sock")).unwrap();
        let (mut ready, writer) = std::io::pipe().unwrap();
        #[allow(
            clippy::disallowed_methods,
            reason = "the test starts the program itself"
        )]
        let mut launch = Command::new("/bin/sh");
        launch.args(["-c", LAUNCH, "sh"]).arg(&program);
        launch
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        launch
            .stdin(OwnedFd::from(listener))
            .stdout(OwnedFd::from(writer));
        let child = launch.stderr(Stdio::inherit()).spawn().unwrap();
        // The command holds its copy of the pipe's write end.
        drop(launch);
        let mut byte = Vec::new();
        ready.read_to_end(&mut byte).unwrap();
        assert_eq!(byte, b"1", "the agent tells that it accepts connections");
        Self { directory, child }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// A path in a directory that this agent's tests have to themselves, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// The agent's own process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The user that runs the tests.
pub(crate) fn me() -> String {
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    line.unwrap().split(':').next().unwrap().to_owned()
}
