//! What a sandbox's log has of its commands: that they were started and how they ended, whoever asked. Of what was
//! started there is the program's name alone: arguments and variables may hold secrets.
//!
//! It lies in `commands/<sandbox>/log` below the data directory, one JSON object in each line, beside the output of
//! recorded commands, and is forgotten with it. It is no record: nothing waits until it is on disk, and when the
//! machine stops at once the last lines may be missing. When it has half of its room
//! (`commands.log`), it becomes `log.old` in place of the one before.
//!
//! One thread writes. What comes faster than it writes is left out: a log holds nobody up.

use serde::{Deserialize, Serialize};
use soulbox_model::{CommandEnd, Moment, SandboxId};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait for the writer.
const WAITING: usize = 8192;
/// Lines that are written at once.
const AT_ONCE: usize = 512;
/// The longest name of a program, in characters.
const NAME: usize = 80;
/// Sandboxes whose running commands are remembered; of others they are read anew.
const REMEMBERED: usize = 4096;
/// Commands of a sandbox that are remembered until they end.
const OPEN: usize = 4096;

/// A command was started, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Moment,
    /// The program's name, without its directory.
    pub program: String,
    /// Its process id inside.
    pub pid: u32,
    /// How it ended; none: it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<LogEnd>,
}

/// How a command ended; neither of both: nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

impl From<&CommandEnd> for LogEnd {
    fn from(end: &CommandEnd) -> Self {
        let (exit_code, signal) = match end {
            CommandEnd::Exited(code) => (Some(*code), None),
            CommandEnd::Killed(signal) => (None, *signal),
            CommandEnd::Lost => (None, None),
        };
        Self { exit_code, signal }
    }
}

/// Where commands are told to.
#[derive(Debug, Clone)]
pub struct CommandLog(mpsc::Sender<Told>);

#[derive(Debug)]
enum Told {
    Started(SandboxId, Moment, u32, String),
    Ended(SandboxId, Moment, u32, LogEnd),
    /// The sandbox has ended, and its commands with it.
    Over(SandboxId),
    Read(SandboxId, oneshot::Sender<Vec<LogLine>>),
}

impl CommandLog {
    /// A log in `directory`, with at most `room` bytes for each sandbox. Its thread ends with the last copy of it.
    ///
    /// # Errors
    /// There can be no more threads.
    pub(crate) fn start(directory: &Path, room: u64) -> io::Result<Self> {
        let (sender, told) = mpsc::channel(WAITING);
        let writer = Writer {
            files: Files {
                directory: directory.to_owned(),
                room,
            },
            open: HashMap::new(),
            pending: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("command-log".to_owned());
        thread.spawn(move || writer.run(told))?;
        Ok(Self(sender))
    }

    /// A command was started; `program` is what was asked for.
    pub fn started(&self, sandbox: &SandboxId, pid: u32, program: &str) {
        let told = Told::Started(sandbox.clone(), Moment::now(), pid, name(program));
        self.tell(told);
    }

    /// A command has ended. It is told once, and only of one whose start was.
    pub fn ended(&self, sandbox: &SandboxId, pid: u32, end: LogEnd) {
        self.tell(Told::Ended(sandbox.clone(), Moment::now(), pid, end));
    }

    /// A sandbox has ended.
    pub(crate) fn over(&self, sandbox: &SandboxId) {
        self.tell(Told::Over(sandbox.clone()));
    }

    fn tell(&self, told: Told) {
        if let Err(error) = self.0.try_send(told) {
            tracing::debug!(%error, "the log of commands cannot keep up; a line is left out");
        }
    }

    /// The lines of a sandbox, the oldest first, with all that was told before.
    pub(crate) async fn read(&self, sandbox: &SandboxId) -> Vec<LogLine> {
        let (sender, lines) = oneshot::channel();
        match self.0.send(Told::Read(sandbox.clone(), sender)).await {
            Ok(()) => lines.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

/// A program's name: without its directory, cut, and without what a terminal would obey.
fn name(program: &str) -> String {
    let last = program.rsplit('/').find(|part| !part.is_empty());
    let name = last.unwrap_or(program).chars().take(NAME);
    name.map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

/// The one who writes.
struct Writer {
    files: Files,
    /// The programs that run in each sandbox, by process id.
    open: HashMap<SandboxId, BTreeMap<u32, String>>,
    /// Lines that are not in their files yet.
    pending: BTreeMap<SandboxId, Vec<u8>>,
}

impl Writer {
    fn run(mut self, mut told: mpsc::Receiver<Told>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while told.blocking_recv_many(&mut batch, AT_ONCE) > 0 {
            for one in batch.drain(..) {
                self.take(one);
            }
            self.write();
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Started(sandbox, at, pid, program) => {
                let open = self.open(&sandbox);
                if open.len() < OPEN {
                    open.insert(pid, program.clone());
                }
                self.put(
                    sandbox,
                    &LogLine {
                        at,
                        program,
                        pid,
                        end: None,
                    },
                );
            }
            Told::Ended(sandbox, at, pid, end) => {
                if let Some(program) = self.open(&sandbox).remove(&pid) {
                    let end = Some(end);
                    self.put(
                        sandbox,
                        &LogLine {
                            at,
                            program,
                            pid,
                            end,
                        },
                    );
                }
            }
            Told::Over(sandbox) => {
                self.open.remove(&sandbox);
            }
            Told::Read(sandbox, asked) => {
                self.write();
                // Whoever asked may have gone.
                let _ = asked.send(self.files.read(&sandbox));
            }
        }
    }

    /// What runs in a sandbox as far as its log says.
    fn open(&mut self, sandbox: &SandboxId) -> &mut BTreeMap<u32, String> {
        if !self.open.contains_key(sandbox) {
            if self.open.len() >= REMEMBERED {
                self.write();
                self.open.clear();
            }
            let mut open = BTreeMap::new();
            for line in self.files.read(sandbox) {
                match line.end {
                    None => open.insert(line.pid, line.program),
                    Some(_) => open.remove(&line.pid),
                };
            }
            self.open.insert(sandbox.clone(), open);
        }
        self.open.entry(sandbox.clone()).or_default()
    }

    fn put(&mut self, sandbox: SandboxId, line: &LogLine) {
        let pending = self.pending.entry(sandbox).or_default();
        // Names and numbers always serialise, and without line breaks.
        pending.extend(serde_json::to_vec(line).unwrap_or_default());
        pending.push(b'\n');
    }

    fn write(&mut self) {
        for (sandbox, lines) in std::mem::take(&mut self.pending) {
            if let Err(error) = self.files.append(&sandbox, &lines) {
                tracing::warn!(%sandbox, %error, "lines of its log were not written");
            }
        }
    }
}

/// The files of all logs.
struct Files {
    directory: PathBuf,
    /// The most bytes of one sandbox, in both of its files.
    room: u64,
}

impl Files {
    fn place(&self, sandbox: &SandboxId) -> PathBuf {
        self.directory.join(sandbox.as_str()).join("log")
    }

    fn append(&self, sandbox: &SandboxId, lines: &[u8]) -> io::Result<()> {
        let place = self.place(sandbox);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&place)?;
        let length = file.metadata()?.len();
        if length > 0 && length + lines.len() as u64 > self.room / 2 {
            fs::rename(&place, place.with_extension("old"))?;
            file = OpenOptions::new().create(true).append(true).open(&place)?;
        }
        file.write_all(lines)
    }

    fn read(&self, sandbox: &SandboxId) -> Vec<LogLine> {
        let place = self.place(sandbox);
        let mut text = Vec::new();
        for place in [place.with_extension("old"), place] {
            // One batch may be longer than half of the room.
            let most = self.room + (AT_ONCE * 1024) as u64;
            let read = File::open(place).and_then(|file| file.take(most).read_to_end(&mut text));
            if let Err(error) = read
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%sandbox, %error, "its log cannot be read");
            }
        }
        let lines = text.split(|byte| *byte == b'\n');
        // The last line may be half a line, if the machine stopped then.
        lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn sandbox() -> SandboxId {
        "i1".parse().unwrap()
    }

    fn exited(code: i32) -> LogEnd {
        LogEnd::from(&CommandEnd::Exited(code))
    }

    #[tokio::test]
    async fn an_end_is_told_once_and_with_its_program_also_by_another_server() {
        let directory = TempDir::new().unwrap();
        let log = CommandLog::start(directory.path(), 1 << 20).unwrap();
        log.started(&sandbox(), 7, "/usr/bin/python3\u{1b}");
        log.started(&sandbox(), 8, "make");
        log.ended(&sandbox(), 7, exited(3));
        log.ended(&sandbox(), 7, exited(3));
        assert_eq!(log.read(&sandbox()).await.len(), 3);
        drop(log);
        let log = CommandLog::start(directory.path(), 1 << 20).unwrap();
        log.ended(&sandbox(), 99, exited(0));
        log.ended(&sandbox(), 8, LogEnd::from(&CommandEnd::Killed(Some(9))));
        let lines = log.read(&sandbox()).await;
        let seen: Vec<_> = lines
            .iter()
            .map(|line| (line.program.as_str(), line.pid, line.end))
            .collect();
        let killed = LogEnd {
            exit_code: None,
            signal: Some(9),
        };
        let expected = [
            ("python3?", 7, None),
            ("make", 8, None),
            ("python3?", 7, Some(exited(3))),
            ("make", 8, Some(killed)),
        ];
        assert_eq!(seen, expected);
        assert!(log.read(&"i2".parse().unwrap()).await.is_empty());
    }

    #[tokio::test]
    async fn a_log_takes_no_more_than_its_room_and_keeps_the_last() {
        let directory = TempDir::new().unwrap();
        let log = CommandLog::start(directory.path(), 8192).unwrap();
        for pid in 0..1000 {
            log.started(&sandbox(), pid, "true");
            log.ended(&sandbox(), pid, exited(0));
            // Each read has what was told written: the batches are small.
            if pid % 8 == 0 {
                log.read(&sandbox()).await;
            }
        }
        let lines = log.read(&sandbox()).await;
        assert_eq!(lines.last().unwrap().pid, 999);
        let place = directory.path().join("i1");
        let length = |name| fs::metadata(place.join(name)).unwrap().len();
        assert!(length("log") + length("log.old") <= 8192 + 2048);
        assert!(lines.len() > 20);
    }

    #[test]
    fn a_name_is_short_and_of_the_program_alone() {
        assert_eq!(name("/bin/bash"), "bash");
        assert_eq!(name("/"), "/");
        assert_eq!(name(&"x".repeat(500)).len(), NAME);
    }
}
