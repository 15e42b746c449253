//! Reading the journal of a spawner that has ended.

use super::{End, FILES, Head, LINE, Line, VERSION};
use crate::native::identity::Identity;
use soulbox_wire::spawner::{Failure, Network};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that is read: 4,095 slots with the longest note each, and the growth.
const LONGEST: u64 = 64 * 1024 * 1024;

/// A journal that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the spawner's journal {path:?}")]
pub struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// Linux's error.
    #[source]
    pub source: std::io::Error,
}

/// What a journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who wrote it, and when.
    pub head: Head,
    /// The slots that were not given back.
    pub held: BTreeMap<u32, Held>,
    /// Sandboxes that ended and whose slots were given back, the latest last.
    pub past: Vec<Past>,
    /// How many lines were none that this version knows.
    pub unreadable: u32,
}

/// A slot that was not given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it reaches.
    pub network: Network,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at: u64,
    /// PID 1 of its sandbox, once there was one.
    pub process: Option<Identity>,
    /// Whether its agent accepted connections.
    pub ran: bool,
    /// What the engine said that it is.
    pub note: Option<String>,
    /// How its sandbox ended, when that was known.
    pub end: Option<End>,
}

/// A sandbox that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The slot that it had.
    pub slot: u32,
    /// What the engine said that it is.
    pub note: Option<String>,
    /// How it ended.
    pub end: End,
    /// What could not be given back.
    pub problems: Vec<Failure>,
}

/// Reads a journal; none when neither file was ever begun, or both are of another version.
///
/// # Errors
/// [`JournalError`] when a file is there and Linux does not let it be read.
pub fn read(files: &[PathBuf; FILES]) -> Result<Option<Found>, JournalError> {
    let mut best = None::<Found>;
    for path in files {
        let text = read_bounded(path).map_err(|source| JournalError {
            path: path.clone(),
            source,
        })?;
        let Some(found) = parse(&text) else { continue };
        if best
            .as_ref()
            .is_none_or(|best| best.head.turn < found.head.turn)
        {
            best = Some(found);
        }
    }
    Ok(best)
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(LONGEST).read_to_end(&mut text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(text)
}

/// What one file tells; none when it does not begin with a head or is not complete.
pub(crate) fn parse(text: &[u8]) -> Option<Found> {
    let mut complete = false;
    let mut found = None::<Found>;
    // What follows the last line's end was cut short.
    let whole = text.iter().rposition(|byte| *byte == b'\n')?;
    for line in text.get(..whole)?.split(|byte| *byte == b'\n') {
        let line = if line.len() <= LINE {
            serde_json::from_slice(line).ok()
        } else {
            None
        };
        match (found.as_mut(), line) {
            (None, Some(Line::Head(head))) if head.version == VERSION => {
                found = Some(Found {
                    head,
                    held: BTreeMap::new(),
                    past: Vec::new(),
                    unreadable: 0,
                });
            }
            (None, _) => return None,
            (Some(_), Some(Line::Complete)) => complete = true,
            (Some(found), Some(line)) => found.add(line),
            (Some(found), None) => found.unreadable = found.unreadable.saturating_add(1),
        }
    }
    found.filter(|_| complete)
}

impl Found {
    fn add(&mut self, line: Line) {
        match line {
            Line::Head(_) | Line::Complete => self.unreadable = self.unreadable.saturating_add(1),
            Line::Taken { slot, network, at } => {
                let held = Held {
                    network,
                    taken_at: at,
                    process: None,
                    ran: false,
                    note: None,
                    end: None,
                };
                self.held.insert(slot, held);
            }
            Line::Born { slot, process } => self.of(slot, |held| held.process = Some(process)),
            Line::Prepared { .. } => {}
            Line::Running { slot } => self.of(slot, |held| held.ran = true),
            Line::Note { slot, text } => self.of(slot, |held| held.note = Some(text)),
            Line::Ended { slot, end } => self.of(slot, |held| held.end = Some(end)),
            Line::Back { slot, problems } => {
                let Some(Held { note, end, .. }) = self.held.remove(&slot) else {
                    return;
                };
                if let Some(end) = end {
                    self.past.push(Past {
                        slot,
                        note,
                        end,
                        problems,
                    });
                }
            }
            Line::Past { slot, note, end } => self.past.push(Past {
                slot,
                note,
                end,
                problems: Vec::new(),
            }),
        }
    }

    fn of(&mut self, slot: u32, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.get_mut(&slot) {
            change(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str =
        r#"{"head":{"version":1,"boot":"b","spawner":{"pid":1,"earliest":0,"latest":0},"turn":1}}"#;
    const TAKEN: &str = r#"{"taken":{"slot":5,"network":"none","at":0}}"#;

    #[test]
    fn lines_that_nobody_knows_are_counted_and_spoil_nothing() {
        let long = format!("{:?}", "x".repeat(LINE));
        for bad in [
            "",
            "{",
            "[]",
            "\"complet\"",
            HEAD,
            "{\"back\":{\"slot\":\"5\"}}",
            &long,
        ] {
            let text = format!("{HEAD}\n\"complete\"\n{bad}\n{TAKEN}\n{{\"back\":{{\"sl");
            let found = parse(text.as_bytes()).unwrap();
            assert_eq!((found.held.len(), found.unreadable), (1, 1), "{bad:.40}");
        }
    }

    #[test]
    fn another_version_or_no_head_is_no_journal() {
        let other = HEAD.replace("\"version\":1", "\"version\":2");
        for text in [
            "",
            "\n",
            TAKEN,
            &format!("{TAKEN}\n{HEAD}\n"),
            &format!("{other}\n"),
        ] {
            assert_eq!(
                parse(format!("{text}\n\"complete\"\n").as_bytes()),
                None,
                "{text}"
            );
        }
        let directory = tempfile::tempdir().unwrap();
        let absent = ["a", "b"].map(|name| directory.path().join(name));
        assert_eq!(read(&absent).unwrap(), None);
    }

    proptest! {
        #[test]
        fn anything_may_stand_in_it(tail in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut text = format!("{HEAD}\n\"complete\"\n{TAKEN}\n").into_bytes();
            text.extend_from_slice(&tail);
            prop_assert_eq!(parse(&text).map(|found| found.head.turn), Some(1));
        }
    }
}
