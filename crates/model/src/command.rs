//! A command in a sandbox as its users see it, and how it ends.
//!
//! ```text
//!   Starting ──▶ Running ──▶ Exited (a code) | Killed (a signal)
//!       └────────────┴─────▶ Lost (nobody knows, and why)
//! ```

use crate::id::{IdError, SandboxId, check};
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The id of a command: `c`, then 1 to 39 characters of `[a-z0-9]`. Ids that were given later come
/// later in the order of texts, to the millisecond.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandId(String);

/// The digits of ids, in the order of texts.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Digits for the time of an id: enough until the year 5188.
const TIME: usize = 9;

impl CommandId {
    /// The longest id, in characters.
    pub const MAX: usize = 40;

    /// Makes an id of a moment and 11 random characters (about 57 bits): two of the same
    /// millisecond differ.
    pub fn new(at: Moment, random: [u8; 11]) -> Self {
        let mut millis = at.as_millis();
        let mut time = [b'0'; TIME];
        for digit in time.iter_mut().rev() {
            *digit = digit_of(millis % 36);
            millis /= 36;
        }
        let random = random.map(|byte| digit_of(u64::from(byte) % 36));
        let digits = time.into_iter().chain(random).map(char::from);
        Self(std::iter::once('c').chain(digits).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn digit_of(value: u64) -> u8 {
    let index = usize::try_from(value).unwrap_or(0);
    DIGITS.get(index).copied().unwrap_or(b'0')
}

impl FromStr for CommandId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const ALPHABET: &str = "a-z and 0-9, after a c";
        check("command id", text, Self::MAX, ALPHABET, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit()
        })?;
        match text.starts_with('c') {
            true => Ok(Self(text.to_owned())),
            false => Err(IdError::Alphabet {
                noun: "command id",
                text: text.to_owned(),
                alphabet: ALPHABET,
            }),
        }
    }
}

impl TryFrom<String> for CommandId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<CommandId> for String {
    fn from(id: CommandId) -> Self {
        id.0
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// It is being started.
    Starting,
    /// It runs, or its output is not over.
    Running,
    /// It ended by itself, with an exit code.
    Exited,
    /// A signal ended it.
    Killed,
    /// Nobody knows what became of it.
    Lost,
}

impl CommandState {
    /// The word on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::Lost => "lost",
        }
    }

    /// Whether it stays so.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Exited | Self::Killed | Self::Lost)
    }
}

/// How much a command wrote to one of its outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSize {
    /// Bytes that are kept: the first ones.
    pub kept: u64,
    /// All bytes.
    pub total: u64,
}

impl OutputSize {
    /// Whether some of it was not kept.
    pub const fn is_cut(self) -> bool {
        self.total > self.kept
    }
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// Everything that is kept about a command. Its variables are not: they hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its id.
    pub id: CommandId,
    /// Where it runs.
    pub sandbox: SandboxId,
    /// The program and its arguments, as far as they are kept.
    pub cmd: Vec<String>,
    /// Its working directory, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Who runs it, if somebody was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it takes input.
    #[serde(default)]
    pub stdin: bool,
    /// Its terminal, if it has one; everything that it writes is its standard output then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// After which it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Where it stands.
    pub state: CommandState,
    /// Its process id inside the sandbox, once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether its time limit ended it.
    #[serde(default)]
    pub timed_out: bool,
    /// What there is to say about its end beyond that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// When it was asked for.
    pub started_at: Moment,
    /// When its end was noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Moment>,
    /// Its standard output, or what its terminal showed.
    #[serde(default)]
    pub stdout: OutputSize,
    /// Its standard error.
    #[serde(default)]
    pub stderr: OutputSize,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEnd {
    /// By itself.
    Exited(i32),
    /// By a signal, with its number if that is known.
    Killed(Option<i32>),
    /// Nobody knows.
    Lost,
}

impl CommandRecord {
    /// It runs, under this process id.
    pub fn run(&mut self, pid: u32) {
        if self.state == CommandState::Starting {
            self.state = CommandState::Running;
        }
        if !self.state.is_over() {
            self.pid = Some(pid);
        }
    }

    /// Ends it, once: the first end is kept. Says whether this was it.
    pub fn end(&mut self, end: &CommandEnd, at: Moment, detail: &str) -> bool {
        if self.state.is_over() {
            return false;
        }
        (self.state, self.exit_code, self.signal) = match end {
            CommandEnd::Exited(code) => (CommandState::Exited, Some(*code), None),
            CommandEnd::Killed(signal) => (CommandState::Killed, None, *signal),
            CommandEnd::Lost => (CommandState::Lost, None, None),
        };
        self.ended_at = Some(at);
        detail.clone_into(&mut self.detail);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CommandRecord {
        let started_at = Moment::from_millis(1_790_000_000_123);
        CommandRecord {
            id: CommandId::new(started_at, [1; 11]),
            sandbox: SandboxId::from_random([1; 20]),
            cmd: vec!["true".to_owned()],
            cwd: None,
            user: None,
            stdin: false,
            terminal: None,
            timeout: None,
            state: CommandState::Starting,
            pid: None,
            exit_code: None,
            signal: None,
            timed_out: false,
            detail: String::new(),
            started_at,
            ended_at: None,
            stdout: OutputSize::default(),
            stderr: OutputSize::default(),
        }
    }

    #[test]
    fn ids_are_in_the_order_of_time() {
        let id = |millis, random| CommandId::new(Moment::from_millis(millis), [random; 11]);
        assert!(id(1_790_000_000_123, 255) < id(1_790_000_000_124, 0));
        assert_ne!(id(5, 1), id(5, 2));
        let text = id(1_790_000_000_123, 7).to_string();
        assert_eq!(text.len(), 21);
        assert_eq!(text.parse::<CommandId>().unwrap().as_str(), text);
        for wrong in ["", "x1", "C1", "c/1", "c..", &"c".repeat(41)] {
            assert!(wrong.parse::<CommandId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_end_is_kept() {
        let mut record = record();
        record.run(5);
        let at = Moment::from_millis(9);
        assert!(record.end(&CommandEnd::Exited(3), at, ""));
        assert!(!record.end(&CommandEnd::Lost, at, "x"));
        record.run(6);
        let state = (record.state, record.exit_code, record.pid);
        assert_eq!(state, (CommandState::Exited, Some(3), Some(5)));
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<CommandRecord>(&json).unwrap(),
            record
        );
    }
}
