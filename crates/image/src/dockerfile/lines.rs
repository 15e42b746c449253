//! A Dockerfile's text, cut into instructions: lines that a backslash joins, comments between them,
//! and the here-documents behind them.
//!
//! The parser of instructions knows here-documents only where they are a RUN's first word and
//! forgets their names, so they are cut here, by the rules of Docker's own.

use super::error::{DockerfileError, Problem};
use super::heredoc::{self, Heredoc};

/// The most bytes of a Dockerfile.
pub const MAX_BYTES: usize = 1 << 20;
/// The most instructions of a Dockerfile.
pub const MAX_INSTRUCTIONS: usize = 2000;
/// The most here-documents of one instruction.
const MAX_HEREDOCS: usize = 64;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The line of the file where it begins, from 1.
    pub(super) number: u32,
    /// Its text on one line, without what joined the lines.
    pub(super) text: String,
    /// The here-documents behind it, in the order in which it names them.
    pub(super) heredocs: Vec<Heredoc>,
}

/// Cuts `text` into instructions.
pub(super) fn cut(file: &str, text: &str, escape: char) -> Result<Vec<Line>, DockerfileError> {
    let mut lines = Lines {
        file,
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        number: 0,
    };
    let mut cut = Vec::new();
    while let Some(line) = lines.instruction(escape)? {
        if cut.len() == MAX_INSTRUCTIONS {
            return Err(
                Problem::new(format!("more than {MAX_INSTRUCTIONS} instructions"))
                    .help("join commands into fewer RUN instructions")
                    .at(file, line.number),
            );
        }
        cut.push(line);
    }
    Ok(cut)
}

struct Lines<'a> {
    file: &'a str,
    rest: &'a str,
    number: u32,
}

impl<'a> Lines<'a> {
    /// The next line, without its end.
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.number += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    fn instruction(&mut self, escape: char) -> Result<Option<Line>, DockerfileError> {
        let (mut text, mut ends) = loop {
            let Some(line) = self.next() else {
                return Ok(None);
            };
            if is_comment(line) {
                continue;
            }
            let (line, ends) = continuation(line.trim_start(), escape);
            if !(ends && line.is_empty()) {
                break (line.to_owned(), ends);
            }
        };
        let number = self.number;
        while !ends {
            let Some(line) = self.next() else {
                break;
            };
            // Both stand between joined lines without ending them.
            if is_comment(line) || line.trim().is_empty() {
                continue;
            }
            let (more, last) = continuation(line, escape);
            text.push_str(more);
            ends = last;
        }
        let text = text.trim().to_owned();
        if text.is_empty() {
            return self.instruction_after_nothing(escape);
        }
        let heredocs = self.heredocs(number, &text)?;
        Ok(Some(Line {
            number,
            text,
            heredocs,
        }))
    }

    /// A file may end in a backslash with nothing behind it.
    fn instruction_after_nothing(&mut self, escape: char) -> Result<Option<Line>, DockerfileError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.instruction(escape)
    }

    fn heredocs(&mut self, number: u32, text: &str) -> Result<Vec<Heredoc>, DockerfileError> {
        let mut heredocs = heredoc::named_in(text);
        if heredocs.len() > MAX_HEREDOCS {
            return Err(Problem::new(format!(
                "more than {MAX_HEREDOCS} here-documents in one instruction"
            ))
            .help("split the instruction")
            .at(self.file, number));
        }
        for heredoc in &mut heredocs {
            loop {
                let Some(line) = self.next() else {
                    return Err(Problem::new(format!(
                        "the here-document {} has no end",
                        heredoc.name
                    ))
                    .help(format!("end it with a line {}", heredoc.name))
                    .at(self.file, number));
                };
                let ends = match heredoc.chomp {
                    true => line.trim_start_matches('\t'),
                    false => line,
                };
                if ends == heredoc.name {
                    break;
                }
                heredoc.content.push_str(line);
                heredoc.content.push('\n');
            }
        }
        Ok(heredocs)
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without a backslash that joins it to the next one, and whether it is the last.
///
/// Blanks may follow the backslash; two backslashes are none that join.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, false),
        _ => (line, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(u32, String)> {
        cut("Dockerfile", text, '\\')
            .unwrap()
            .into_iter()
            .map(|line| (line.number, line.text))
            .collect()
    }

    #[test]
    fn lines_are_joined_and_comments_between_them_dropped() {
        let text =
            "# one\n\n  FROM a\nRUN x && \\\n# note\n\n   y \\  \n  z\r\nENV A=b\\\\\nUSER u\\";
        assert_eq!(
            texts(text),
            [
                (3, "FROM a".into()),
                (4, "RUN x &&    y   z".into()),
                (9, "ENV A=b\\\\".into()),
                (10, "USER u".into()),
            ]
        );
    }

    #[test]
    fn a_number_sign_inside_of_a_line_is_no_comment() {
        assert_eq!(
            texts("FROM a # b\nRUN echo '\\\n#x'\nUSER u"),
            [(1, "FROM a # b".into()), (2, "RUN echo 'USER u".into()),]
        );
    }

    #[test]
    fn a_backquote_escapes_where_the_file_says_so() {
        let cut = cut("Dockerfile", "FROM a\nCOPY a `\n c:\\\nUSER b", '`').unwrap();
        assert_eq!(cut[1].text, "COPY a  c:\\");
        assert_eq!(cut[2].text, "USER b");
    }

    #[test]
    fn here_documents_are_taken_with_their_names() {
        let text = "FROM a\nRUN cat <<EOF >/x && sh <<-'B C'\n# no comment \\\n$y\nEOF\n\tmore\n\tB C\nCOPY <<a <<b /d/\n1\na\nb\nUSER u";
        let cut = cut("Dockerfile", text, '\\').unwrap();
        assert_eq!(cut.len(), 4);
        let run = &cut[1];
        assert_eq!(run.text, "RUN cat <<EOF >/x && sh <<-'B C'");
        assert_eq!(run.heredocs[0].content, "# no comment \\\n$y\n");
        assert!(run.heredocs[0].expand);
        assert_eq!(run.heredocs[1].name, "B C");
        assert_eq!(run.heredocs[1].content, "\tmore\n");
        assert!(!run.heredocs[1].expand && run.heredocs[1].chomp);
        assert_eq!(cut[2].heredocs[0].content, "1\n");
        assert_eq!(cut[2].heredocs[1].content, "");
        assert_eq!((cut[3].number, cut[3].text.as_str()), (12, "USER u"));
    }

    #[test]
    fn a_here_document_without_an_end_is_refused_with_its_line() {
        let error = cut("D", "FROM a\n\nRUN <<EOF\nx\n", '\\').unwrap_err();
        assert_eq!(
            error.to_string(),
            "D:3: the here-document EOF has no end; end it with a line EOF"
        );
    }
}
