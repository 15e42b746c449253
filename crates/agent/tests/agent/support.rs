//! Starting the real agent.

use rustix::process::{Pid, Signal};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The agent expects its socket as descriptor 3 and its ready pipe as descriptor 4.
const LAUNCH: &str = "exec 3<&0 4>&1 0</dev/null 1>/dev/null; exec \"$@\"";

/// A running agent and a directory for files.
pub(crate) struct Agent {
    directory: TempDir,
    child: Child,
    /// The one that serves: the child, or its own child.
    pid: Pid,
}

impl Agent {
    /// Starts an agent whose default user is the one that runs the tests.
    pub(crate) fn start() -> Self {
        Self::launch(&[], None)
    }

    /// Starts an agent as PID 1 of a pid namespace; `None` where that is not allowed.
    pub(crate) fn start_as_init() -> Option<Self> {
        let namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
        let possible = command("unshare")
            .args(&namespace[1..])
            .arg("true")
            .output();
        if !possible.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no pid namespace can be made here");
            return None;
        }
        Some(Self::launch(&namespace, None))
    }

    /// Starts an agent that is not root; `None` when the tests are not root themselves.
    pub(crate) fn start_as(uid: u32) -> Option<Self> {
        rustix::process::geteuid()
            .is_root()
            .then(|| Self::launch(&[], Some(uid)))
    }

    /// Starts an agent as PID 1 of a pid namespace, with the directory `kernels` where a template
    /// has its kernels; `None` where that is not allowed.
    pub(crate) fn start_with_kernels(kernels: &Path) -> Option<Self> {
        // Two read-only layers: the directory need not be there.
        let mount = "mount -t overlay overlay -o lowerdir=\"$0\":/usr/lib /usr/lib && exec \"$@\"";
        let namespaces = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ];
        let wrapper = [
            &namespaces[..],
            &["/bin/sh", "-c", mount, kernels.to_str()?],
        ]
        .concat();
        let possible = command(wrapper[0]).args(&wrapper[1..]).arg("true").output();
        if !possible.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no namespaces with mounts can be made here");
            return None;
        }
        Some(Self::launch(&wrapper, None))
    }

    fn launch(wrapper: &[&str], uid: Option<u32>) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("agent.sock")).unwrap();
        let (mut ready, writer) = std::io::pipe().unwrap();
        let mut launch = command("/bin/sh");
        launch
            .args(["-c", LAUNCH, "sh"])
            .args(wrapper)
            .arg(env!("CARGO_BIN_EXE_soulbox-agent"));
        launch
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        launch
            .stdin(OwnedFd::from(listener))
            .stdout(OwnedFd::from(writer))
            .stderr(Stdio::inherit());
        if let Some(uid) = uid {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(uid)).unwrap();
            launch.uid(uid).gid(uid);
        }
        let child = launch.spawn().unwrap();
        // The command holds its copy of the pipe's write end.
        drop(launch);
        // Not to its end: a wrapper keeps its copy of the pipe for as long as the agent lives.
        let mut byte = [0];
        ready
            .read_exact(&mut byte)
            .expect("the agent tells that it accepts connections");
        let pid = Pid::from_child(&child);
        Self {
            directory,
            child,
            pid,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// A directory that this agent's tests have to themselves.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in that directory, as text.
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
        self.pid
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Outside a pid namespace what it started would outlive it.
        let started = children_of(self.pid);
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = self.child.wait();
        for leader in started {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The processes whose parent is `pid`.
fn children_of(pid: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |number: &u32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        stat.rsplit_once(')')?
            .1
            .split_ascii_whitespace()
            .nth(1)?
            .parse()
            .ok()
    };
    let children = numbers.filter(|number| parent(number) == Some(pid.as_raw_nonzero().get()));
    children
        .filter_map(|number| Pid::from_raw(number.cast_signed()))
        .collect()
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

/// What the agent says when it is started without its descriptors.
pub(crate) fn run_without_descriptors() -> std::process::Output {
    let mut launch = command("/bin/sh");
    launch.args([
        "-c",
        "exec \"$0\" 3<&- 4<&-",
        env!("CARGO_BIN_EXE_soulbox-agent"),
    ]);
    launch
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    launch.output().unwrap()
}

#[allow(
    clippy::disallowed_methods,
    reason = "tests start the program under test"
)]
fn command(program: &str) -> Command {
    Command::new(program)
}
