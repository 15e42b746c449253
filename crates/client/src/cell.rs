//! What code in a context tells.

use crate::client::ClientError;
use crate::context::KernelError;
use crate::sandbox::too_long;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use soulbox_agent_client::{AgentError, PassBody};

/// Code that runs in a context. Dropping it interrupts the code.
pub struct Cell {
    body: PassBody,
    rest: Vec<u8>,
    /// The longest line, in bytes.
    most: u64,
    over: bool,
}

/// What code tells.
#[derive(Debug, Clone, PartialEq)]
pub enum CellEvent {
    /// Which run of its context this is, from 1.
    Count(u64),
    /// It printed.
    Stdout(String),
    /// It printed on standard error.
    Stderr(String),
    /// It showed something.
    Result(CellResult),
    /// It failed.
    Error(CellFailure),
}

/// Something that code showed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct CellResult {
    /// Whether it is the value of the last expression.
    #[serde(default)]
    pub is_main_result: bool,
    /// The same thing in several forms: `text`, `html`, `png` in base64, `json`, and others.
    #[serde(flatten)]
    pub forms: Map<String, Value>,
}

impl CellResult {
    /// It as text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.forms.get("text")?.as_str()
    }
}

/// How code failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CellFailure {
    /// The kind: `NameError`.
    pub name: String,
    /// What it says.
    #[serde(default)]
    pub value: String,
    /// Where, in the language's own words.
    #[serde(default)]
    pub traceback: String,
}

/// Everything that a cell told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// What it printed.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// What it showed, in order.
    pub results: Vec<CellResult>,
    /// How it failed, if it did.
    pub error: Option<CellFailure>,
    /// Which run of its context it was.
    pub count: Option<u64>,
}

impl Told {
    /// The value of the last expression as text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let main = self.results.iter().find(|result| result.is_main_result);
        main.and_then(CellResult::text)
    }
}

/// A line.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    NumberOfExecutions {
        execution_count: u64,
    },
    Stdout {
        text: String,
    },
    Stderr {
        text: String,
    },
    Result(CellResult),
    Error(CellFailure),
    EndOfExecution,
    #[serde(other)]
    Other,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").finish_non_exhaustive()
    }
}

impl Cell {
    pub(crate) fn new(body: PassBody, most: u64) -> Self {
        Self {
            body,
            rest: Vec::new(),
            most,
            over: false,
        }
    }

    /// What it tells next; none at its end.
    ///
    /// # Errors
    /// The connection broke, or what came makes no sense.
    pub async fn next(&mut self) -> Result<Option<CellEvent>, ClientError> {
        let mut looked = 0;
        while !self.over {
            let new = self.rest.iter().enumerate().skip(looked);
            let end = new
                .map(|(at, byte)| (at, *byte))
                .find(|(_, byte)| *byte == b'\n');
            if let Some((end, _)) = end {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                looked = 0;
                match read(&line)? {
                    Read::Event(event) => return Ok(Some(event)),
                    Read::Nothing => {}
                    Read::End => self.over = true,
                }
                continue;
            }
            looked = self.rest.len();
            if looked as u64 > self.most {
                return Err(too_long("a line", self.most));
            }
            let Some(frame) = self.body.frame().await else {
                return Err(ClientError::BrokenOff);
            };
            let frame = frame.map_err(AgentError::from)?;
            if let Ok(piece) = frame.into_data() {
                self.rest.extend_from_slice(&piece);
            }
        }
        Ok(None)
    }

    /// Waits for its end and keeps what it tells, up to the longest answer that is read whole.
    ///
    /// # Errors
    /// As [`Cell::next`], and it told more.
    pub async fn wait(mut self) -> Result<Told, ClientError> {
        let mut told = Told::default();
        let mut size = 0;
        while let Some(event) = self.next().await? {
            size += size_of(&event);
            if size > self.most {
                return Err(too_long("output", self.most));
            }
            match event {
                CellEvent::Count(count) => told.count = Some(count),
                CellEvent::Stdout(text) => told.stdout.push_str(&text),
                CellEvent::Stderr(text) => told.stderr.push_str(&text),
                CellEvent::Result(result) => told.results.push(result),
                CellEvent::Error(error) => told.error = Some(error),
            }
        }
        Ok(told)
    }
}

/// What a line is.
#[derive(Debug, PartialEq)]
enum Read {
    Event(CellEvent),
    Nothing,
    End,
}

fn read(line: &[u8]) -> Result<Read, KernelError> {
    if line.trim_ascii().is_empty() {
        return Ok(Read::Nothing);
    }
    let line = serde_json::from_slice(line).map_err(KernelError::Answer)?;
    Ok(Read::Event(match line {
        Line::NumberOfExecutions { execution_count } => CellEvent::Count(execution_count),
        Line::Stdout { text } => CellEvent::Stdout(text),
        Line::Stderr { text } => CellEvent::Stderr(text),
        Line::Result(result) => CellEvent::Result(result),
        Line::Error(error) => CellEvent::Error(error),
        Line::EndOfExecution => return Ok(Read::End),
        Line::Other => return Ok(Read::Nothing),
    }))
}

/// About what is kept of an event, in bytes.
fn size_of(event: &CellEvent) -> u64 {
    let length = match event {
        CellEvent::Count(_) => 0,
        CellEvent::Stdout(text) | CellEvent::Stderr(text) => text.len(),
        CellEvent::Error(error) => error.name.len() + error.value.len() + error.traceback.len(),
        CellEvent::Result(result) => {
            let forms = result.forms.iter();
            forms
                .map(|(name, value)| name.len() + value.to_string().len())
                .sum()
        }
    };
    length as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_what_is_not_known_is_passed_over() {
        let event = |line: &str| match read(line.as_bytes()).unwrap() {
            Read::Event(event) => Some(event),
            _ => None,
        };
        let out = event(r#"{"type":"stdout","text":"a","timestamp":"2026-01-01T00:00:00Z"}"#);
        assert_eq!(out, Some(CellEvent::Stdout("a".to_owned())));
        let shown = event(r#"{"type":"result","is_main_result":true,"text":"2","png":"AA=="}"#);
        let Some(CellEvent::Result(shown)) = shown else {
            panic!("{shown:?}")
        };
        assert!(shown.is_main_result);
        assert_eq!((shown.text(), shown.forms.len()), (Some("2"), 2));
        assert_eq!(event(r#"{"type":"keepalive"}"#), None);
        assert_eq!(
            read(b"{\"type\":\"end_of_execution\"}\n").unwrap(),
            Read::End
        );
        assert!(read(b"nonsense\n").is_err());
    }
}
