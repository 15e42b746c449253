//! The server's process: started with its data in a directory of its own, looked at, ended.

use super::super::memory::{field, pss_kib};
use super::super::service::children;
use super::client::Address;
use super::failed;
use crate::cli::Global;
use crate::cmd::serve::Credentials;
use crate::exit::Exit;
use crate::failure::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The room that a server takes from the host's disk, where no setting says how much.
const DISK: &str = "2G";

/// What the server keeps ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pools {
    /// What one keeps that is told nothing.
    Filled,
    /// No sandboxes, and no slots for them.
    Empty,
}

/// A directory that is removed with everything in it.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Beside the templates: on the file system that a server's data would be on.
    fn make(data_dir: &Path) -> Result<Self, Failure> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = data_dir.join(format!("bench-{}-{number}", std::process::id()));
        let made = fs::create_dir_all(&path);
        made.map_err(|error| {
            Failure::new(Exit::HOST, format!("cannot make {}", path.display())).because(&error)
        })?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Links a template's files into it: no byte of them is copied.
    fn link(&self, data_dir: &Path, template: &str) -> Result<(), Failure> {
        let (from, to) = (data_dir.join("templates"), self.0.join("templates"));
        if template == "host" {
            return Ok(());
        }
        let made = fs::create_dir(&to);
        made.map_err(|error| failed("cannot make a directory").because(&error))?;
        #[allow(clippy::disallowed_methods, reason = "a program of the host, once")]
        let mut copy = Command::new("cp");
        let status = copy.arg("-al").arg(from.join(template)).arg(&to).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Failure::new(
                Exit::NOT_FOUND,
                format!("cannot link template {template} of {}", from.display()),
            )
            .help(format!("soulbox template build {template}"))),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that says where it listens, and is ended with this.
pub(super) struct Process {
    child: Child,
    /// Kept open, so that it can go on telling.
    _told: BufReader<std::process::ChildStdout>,
    /// What it said first.
    pub(super) said: String,
}

impl Process {
    /// Starts this program with other words, and waits for its first line.
    pub(super) fn start(words: &[String], variables: &[(&str, String)]) -> Result<Self, Failure> {
        let program = std::env::current_exe();
        let program = program.map_err(|error| failed("there is no program").because(&error))?;
        #[allow(
            clippy::disallowed_methods,
            reason = "what is measured is a process of its own"
        )]
        let mut command = Command::new(program);
        command
            .args(words)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.map_err(|error| failed("cannot start").because(&error))?;
        let stdout = child.stdout.take();
        let mut told = BufReader::new(stdout.ok_or_else(|| failed("it says nothing"))?);
        let mut said = String::new();
        let read = told.read_line(&mut said);
        let process = Self {
            child,
            _told: told,
            said: said.trim().to_owned(),
        };
        match read {
            Ok(bytes) if bytes > 0 => Ok(process),
            _ => Err(failed("the server that is measured did not start")),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// The server.
pub(super) struct Server {
    process: Process,
    address: Address,
    /// Removed last.
    directory: Directory,
}

impl Server {
    pub(super) fn start(global: &Global, template: &str, pools: Pools) -> Result<Self, Failure> {
        let settings = global.settings(Vec::new())?;
        let data_dir = &settings.paths.data_dir;
        let directory = Directory::make(data_dir)?;
        directory.link(data_dir, template)?;
        let words = ["serve", "--end-on-stop", "--listen", "127.0.0.1:0"];
        let mut words: Vec<String> = words.map(str::to_owned).into();
        words.push("--data-dir".to_owned());
        words.push(directory.path().display().to_string());
        if let Some(config) = &global.config {
            words.extend(["--config".to_owned(), config.display().to_string()]);
        }
        if template == "host" {
            words.push("--allow-host-template".to_owned());
        }
        let mut variables = Vec::new();
        if settings.storage.size.bytes() == 0 {
            variables.push(("SOULBOX_STORAGE_SIZE", DISK.to_owned()));
        }
        if pools == Pools::Empty {
            let none = ["SOULBOX_POOL_PARKED", "SOULBOX_POOL_SLOTS"];
            variables.extend(none.map(|name| (name, "0".to_owned())));
        }
        let process = Process::start(&words, &variables)?;
        let credentials = Credentials::read(directory.path())?;
        let credentials = credentials.ok_or_else(|| failed("the server wrote no credentials"))?;
        let key = credentials.api_key.unwrap_or_default();
        Ok(Self {
            address: Address::new(&credentials.url, &key),
            process,
            directory,
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// KiB that its own processes hold, shared pages divided among those who share them: the server, and the
    /// process that makes sandboxes.
    pub(super) fn memory_kib(&self) -> u64 {
        let own = [self.process.id()].into_iter();
        let all = own.chain(children(self.process.id()));
        all.filter_map(pss_kib).sum()
    }

    /// KiB that the first processes of its sandboxes hold.
    pub(super) fn agents_kib(&self) -> u64 {
        let spawners = children(self.process.id()).into_iter();
        spawners.flat_map(children).filter_map(pss_kib).sum()
    }

    /// Lets Linux forget how much memory it held at most so far.
    pub(super) fn forget_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5");
    }

    /// KiB that the server's process had at most since, and has now.
    pub(super) fn peak_kib(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let text = text.unwrap_or_default();
        let of = |key| field(&text, key).unwrap_or(0);
        (of("VmHWM:"), of("VmRSS:"))
    }

    /// How many descriptors the server has open.
    pub(super) fn descriptors(&self) -> u64 {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.process.id()));
        entries.into_iter().flatten().count() as u64
    }
}
