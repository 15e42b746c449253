//! What a build tells while it runs.
//!
//! A script reports with lines of the form `::progress PERCENT TEXT`; all others are shown as
//! they are. Both come from inside the sandbox, so they are cut, counted and freed of everything
//! that a terminal could take for a command.

use std::collections::VecDeque;

/// The longest line that is kept, in bytes; the rest of it is dropped.
const MAX_LINE: usize = 2048;
/// How many lines are kept for the message of a build that failed.
const KEPT_LINES: usize = 30;
const MARK: &str = "::progress ";

/// Something that happened in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// Another process builds the same template; it is waited for.
    Waiting,
    /// A phase began.
    Phase {
        /// How much of the build is done, 0 to 100. Never less than before.
        percent: u8,
        /// What is being done.
        text: String,
    },
    /// The script printed a line.
    Line(String),
}

/// Cuts what a script prints into lines.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    percent: u8,
    kept: VecDeque<String>,
}

impl Lines {
    /// Takes output in pieces of any size and gives what happened in them.
    pub fn feed(&mut self, output: &[u8]) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        for byte in output {
            match byte {
                b'\n' | b'\r' => events.extend(self.end()),
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
        events
    }

    /// The output ended.
    pub fn end(&mut self) -> Option<BuildEvent> {
        let line = printable(&std::mem::take(&mut self.line));
        if line.is_empty() {
            return None;
        }
        if let Some((percent, text)) = parse(&line) {
            // Never 100: what follows the script is not done then.
            self.percent = self.percent.max(percent.min(98));
            return Some(BuildEvent::Phase {
                percent: self.percent,
                text: text.to_owned(),
            });
        }
        if self.kept.len() == KEPT_LINES {
            self.kept.pop_front();
        }
        self.kept.push_back(line.clone());
        Some(BuildEvent::Line(line))
    }

    /// The last lines, for the message of a build that failed.
    pub fn last(&self) -> String {
        Vec::from_iter(self.kept.iter().map(String::as_str)).join("\n")
    }
}

fn parse(line: &str) -> Option<(u8, &str)> {
    let (percent, text) = line.strip_prefix(MARK)?.split_once(' ')?;
    let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
    Some((percent, text.trim()))
}

/// The text of a line without escape sequences and control characters.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // `ESC [ … letter` is dropped whole, of other sequences only the escape.
            '\u{1b}' if characters.as_str().starts_with('[') => {
                characters.next();
                characters.find(|c| ('@'..='~').contains(c));
            }
            '\t' => plain.push(' '),
            c if c.is_control() || is_direction(c) => {}
            c => plain.push(c),
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// True for characters that change the direction of text, which can make a line look like another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(output: &[u8]) -> Vec<BuildEvent> {
        let mut lines = Lines::default();
        let mut events = lines.feed(output);
        events.extend(lines.end());
        events
    }

    fn line(text: &str) -> BuildEvent {
        BuildEvent::Line(text.into())
    }

    #[test]
    fn pieces_make_the_same_lines_as_the_whole() {
        let output = "one\r\n::progress 40 unpacking git\ntwo".as_bytes();
        let whole = events(output);
        let phase = BuildEvent::Phase {
            percent: 40,
            text: "unpacking git".into(),
        };
        assert_eq!(whole, [line("one"), phase, line("two")]);
        let mut lines = Lines::default();
        let mut pieces: Vec<_> = output
            .chunks(1)
            .flat_map(|piece| lines.feed(piece))
            .collect();
        pieces.extend(lines.end());
        assert_eq!(pieces, whole);
    }

    #[test]
    fn progress_goes_forward_only_and_never_to_the_end() {
        let percents: Vec<_> = events(b"::progress 50 a\n::progress 20 b\n::progress 100 c\n")
            .into_iter()
            .map(|event| match event {
                BuildEvent::Phase { percent, .. } => percent,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(percents, [50, 50, 98]);
        for odd in ["::progress x y", "::progress 300 y", "::progress 5"] {
            assert_eq!(events(odd.as_bytes()), [line(odd)]);
        }
    }

    #[test]
    fn nothing_in_a_line_reaches_the_terminal_as_a_command() {
        assert_eq!(
            events(b"a\x1b[31mred\x1b[0m\x07b\tc\x1b]0;title\x07\xff"),
            [line("aredb c]0;title\u{fffd}")]
        );
        assert_eq!(events("x\u{202e}y".as_bytes()), [line("xy")]);
        assert_eq!(events(b"\x1b[").len(), 0);
        assert_eq!(
            events(&[b'x'; 10 * MAX_LINE]),
            [line(&"x".repeat(MAX_LINE))]
        );
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut lines = Lines::default();
        for n in 0..100 {
            lines.feed(format!("line {n}\n").as_bytes());
        }
        assert_eq!(lines.last().lines().count(), KEPT_LINES);
        assert!(lines.last().ends_with("line 99"));
    }
}
