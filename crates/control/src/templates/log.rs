//! What builds tell: a file for each, `<data directory>/build-logs/<build id>`, a line of JSON for each entry.
//!
//! A client asks for the entries from a number on, several times in a second while a build runs: then their places
//! in the file are known.

use serde::{Deserialize, Serialize};
use soulbox_model::{BuildId, Moment};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The directory below the data directory.
const DIRECTORY: &str = "build-logs";
/// The longest message, in bytes.
const LONGEST: usize = 4096;
/// The most bytes of entries that one answer holds.
const ANSWER: usize = 4 << 20;

/// How much an entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For those who look closely.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLine {
    /// When.
    pub at: Moment,
    /// How much it matters.
    pub level: Level,
    /// What.
    pub message: String,
    /// The step it is about: `base`, its number, or `finalize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery {
    /// How many are passed over.
    pub offset: usize,
    /// How many at most.
    pub limit: usize,
    /// The least level; the others do not count.
    pub level: Level,
}

/// The logs of all builds.
#[derive(Debug, Clone)]
pub(crate) struct BuildLogs {
    directory: PathBuf,
    /// The most bytes of one.
    most: u64,
}

impl BuildLogs {
    pub(crate) fn new(data_dir: &Path, most: u64) -> Self {
        Self {
            directory: data_dir.join(DIRECTORY),
            most,
        }
    }

    /// Begins the log of a build.
    pub(crate) fn begin(&self, build: &BuildId) -> io::Result<BuildLog> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(build))?;
        Ok(BuildLog {
            most: self.most,
            written: Mutex::new(Written {
                file,
                ends: Vec::new(),
                cut: false,
            }),
        })
    }

    /// Entries of a build that is over; none when nothing is kept of it.
    pub(crate) fn read(&self, build: &BuildId, query: LogQuery) -> io::Result<Vec<BuildLine>> {
        match File::open(self.path(build)) {
            Ok(file) => chosen(BufReader::new(file), query),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The builds that there are logs of.
    pub(crate) fn builds(&self) -> io::Result<Vec<BuildId>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut builds = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            builds.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        Ok(builds)
    }

    /// Removes the log of a build.
    pub(crate) fn remove(&self, build: &BuildId) -> io::Result<()> {
        match fs::remove_file(self.path(build)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, build: &BuildId) -> PathBuf {
        self.directory.join(build.as_str())
    }
}

/// The log of a build that runs.
#[derive(Debug)]
pub(crate) struct BuildLog {
    most: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: File,
    /// Where each entry ends in the file.
    ends: Vec<u64>,
    /// Whether it was told that no more is kept.
    cut: bool,
}

impl BuildLog {
    /// Writes an entry. What does not fit is left out, errors excepted.
    pub(crate) fn tell(&self, level: Level, step: Option<String>, message: &str) {
        let line = BuildLine {
            at: Moment::now(),
            level,
            message: cut(message),
            step,
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let at = written.ends.last().copied().unwrap_or_default();
        let full = at >= self.most && level != Level::Error;
        let text = match (full, written.cut) {
            (false, _) => text_of(&line),
            (true, true) => return,
            (true, false) => {
                written.cut = true;
                text_of(&BuildLine {
                    level: Level::Warn,
                    message: "what follows is not kept (setting template.log)".to_owned(),
                    ..line
                })
            }
        };
        // A disk that is full makes a log shorter, and does not fail the build.
        if written.file.write_all_at(&text, at).is_ok() {
            written.ends.push(at + text.len() as u64);
        }
    }

    /// Entries.
    pub(crate) fn read(&self, query: LogQuery) -> io::Result<Vec<BuildLine>> {
        let (file, from, to, query) = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let ends = &written.ends;
            let end_of = |number: usize| match number {
                0 => 0,
                number => ends.get(number - 1).or(ends.last()).copied().unwrap_or(0),
            };
            let file = written.file.try_clone()?;
            match query.level {
                // All count: their places are known.
                Level::Debug => {
                    let last = query.offset.saturating_add(query.limit);
                    let rest = LogQuery { offset: 0, ..query };
                    (file, end_of(query.offset), end_of(last), rest)
                }
                _ => (file, 0, end_of(usize::MAX), query),
            }
        };
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, from)?;
        chosen(&bytes[..], query)
    }
}

fn text_of(line: &BuildLine) -> Vec<u8> {
    let mut text = crate::records::json(line);
    text.push(b'\n');
    text
}

/// A message without what could make it look like something else, and not too long.
fn cut(message: &str) -> String {
    let plain = message
        .trim_end()
        .chars()
        .map(|c| if c.is_control() && c != '\t' { ' ' } else { c });
    let mut text = String::new();
    for letter in plain {
        if text.len() + letter.len_utf8() > LONGEST {
            text.push('…');
            break;
        }
        text.push(letter);
    }
    text
}

fn chosen(lines: impl io::BufRead, query: LogQuery) -> io::Result<Vec<BuildLine>> {
    let mut found = Vec::new();
    let (mut passed, mut bytes) = (0, 0);
    for line in lines.lines() {
        if found.len() == query.limit || bytes > ANSWER {
            break;
        }
        let line = line?;
        // One that was cut off by the end of a server is none.
        let Ok(entry) = serde_json::from_str::<BuildLine>(line.trim()) else {
            continue;
        };
        if entry.level < query.level {
            continue;
        }
        passed += 1;
        if passed > query.offset {
            bytes += line.len();
            found.push(entry);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(offset: usize, limit: usize, level: Level) -> LogQuery {
        LogQuery {
            offset,
            limit,
            level,
        }
    }

    fn messages(lines: &[BuildLine]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn entries_are_read_from_a_number_on_while_it_runs_and_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let logs = BuildLogs::new(directory.path(), 1 << 20);
        let build = BuildId::from_random([1; 16]);
        let log = logs.begin(&build).unwrap();
        for number in 0..5 {
            let level = [Level::Info, Level::Debug][number % 2];
            log.tell(level, Some("1".into()), &format!("line {number}\n"));
        }
        for (offset, limit, level, wanted) in [
            (0, 2, Level::Debug, vec!["line 0", "line 1"]),
            (3, 9, Level::Debug, vec!["line 3", "line 4"]),
            (5, 9, Level::Debug, vec![]),
            (9, 9, Level::Debug, vec![]),
            (1, 9, Level::Info, vec!["line 2", "line 4"]),
            (0, 9, Level::Error, vec![]),
        ] {
            let asked = query(offset, limit, level);
            let live = log.read(asked).unwrap();
            assert_eq!(messages(&live), wanted, "{asked:?}");
            assert_eq!(logs.read(&build, asked).unwrap(), live, "{asked:?}");
        }
        assert_eq!(logs.builds().unwrap(), std::slice::from_ref(&build));
        logs.remove(&build).unwrap();
        logs.remove(&build).unwrap();
        let nothing = logs.read(&build, query(0, 9, Level::Debug)).unwrap();
        assert!(nothing.is_empty());
    }

    #[test]
    fn a_log_that_is_full_says_so_once_and_takes_errors() {
        let directory = tempfile::tempdir().unwrap();
        let logs = BuildLogs::new(directory.path(), 1000);
        let log = logs.begin(&BuildId::from_random([1; 16])).unwrap();
        for number in 0..1000 {
            log.tell(Level::Info, None, &format!("line {number}"));
        }
        log.tell(Level::Error, None, "it failed");
        let all = log.read(query(0, 10_000, Level::Debug)).unwrap();
        assert!(all.len() < 50, "{}", all.len());
        let texts = messages(&all);
        let (end, before) = (texts[texts.len() - 1], texts[texts.len() - 2]);
        assert_eq!(end, "it failed");
        assert!(before.contains("not kept"), "{before}");
        let cuts = texts.iter().filter(|text| text.contains("not kept"));
        assert_eq!(cuts.count(), 1);
    }

    #[test]
    fn messages_are_plain_and_not_too_long() {
        assert_eq!(cut("a\x1b[31mb\r\n"), "a [31mb");
        assert!(cut(&"ä".repeat(LONGEST)).len() < LONGEST + 4);
    }
}
