//! One instruction, by the parser; and what the parser is not told.

use super::error::Problem;
use super::heredoc::Heredoc;
use super::lines::Line;
use parse_dockerfile::{Instruction, ParseIter};

/// Stands for the `<<` of a here-document: the parser would look for its lines, which
/// [`super::lines`] has cut off already.
const MASK: &str = "\u{1}\u{1}";

/// Hides the here-documents of an instruction from the parser, and puts a stage before it: the
/// parser wants one.
pub(super) fn masked(line: &Line) -> String {
    match line.heredocs.is_empty() {
        true => format!("FROM scratch\n{}", line.text),
        false => format!("FROM scratch\n{}", line.text.replace("<<", MASK)),
    }
}

/// Text of a masked instruction as it was.
pub(super) fn unmasked(text: &str) -> String {
    text.replace(MASK, "<<")
}

/// Parses what [`masked`] made.
pub(super) fn parse(masked: &str) -> Result<Instruction<'_>, Problem> {
    let parser = parse_dockerfile::parse_iter(masked);
    parser
        .and_then(second)
        .map_err(|error| {
            // Its own lines and columns count from the masked text.
            let problem = format!("{error:#}");
            let help = problem.starts_with("unknown instruction").then_some(
                "a long command goes on in the next line with a \\ at the end of this one",
            );
            let problem = Problem::new(problem);
            match help {
                Some(help) => problem.help(help),
                None => problem,
            }
        })?
        .ok_or_else(|| Problem::new("there is no instruction"))
}

fn second(mut parser: ParseIter<'_>) -> Result<Option<Instruction<'_>>, parse_dockerfile::Error> {
    parser.next().transpose()?;
    parser.next().transpose()
}

/// A source of COPY: a path, or the here-document that it names.
pub(super) fn heredoc_of<'a>(word: &str, heredocs: &'a [Heredoc]) -> Option<&'a Heredoc> {
    heredocs.iter().find(|heredoc| heredoc.word == word)
}

/// The character that joins lines and escapes, by the file's directive.
pub(super) fn escape_of(text: &str) -> Result<Directives, Problem> {
    let head: String = text
        .trim_start_matches('\u{feff}')
        .split_inclusive('\n')
        .take_while(|line| line.trim_start().starts_with('#'))
        .collect();
    let head = format!("{}\nFROM scratch", head.trim_end());
    let parsed = parse_dockerfile::parse(&head)
        .map_err(|error| Problem::new(format!("{error:#}")).help("# escape= takes \\ or `"))?;
    let directives = parsed.parser_directives;
    Ok(Directives {
        escape: directives.escape.map_or('\\', |escape| escape.value.value),
        syntax: directives
            .syntax
            .map(|syntax| syntax.value.value.to_owned()),
    })
}

/// What the comments at the begin of a file direct.
#[derive(Debug)]
pub(super) struct Directives {
    pub(super) escape: char,
    pub(super) syntax: Option<String>,
}

impl Directives {
    /// Refuses syntaxes that are not Docker's own.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let Some(syntax) = &self.syntax else {
            return Ok(());
        };
        let name = syntax.strip_prefix("docker.io/").unwrap_or(syntax);
        let name = name.split(['@', ':']).next().unwrap_or(name);
        match name {
            "docker/dockerfile" | "docker/dockerfile-upstream" => Ok(()),
            _ => Err(Problem::new(format!(
                "the file asks for {syntax} to read it, and only Docker's own syntax is known"
            ))
            .help("remove the line # syntax=, or say docker/dockerfile:1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_stand_before_everything_else() {
        for (text, escape) in [
            ("FROM a", '\\'),
            ("# escape=`\nFROM a", '`'),
            ("#syntax=docker/dockerfile:1\n# ESCAPE = `\n", '`'),
            ("# a comment\n# escape=`\n", '\\'),
            ("\n# escape=`\n", '\\'),
            ("FROM a\n# escape=`\n", '\\'),
            ("# escape=\\\n", '\\'),
        ] {
            assert_eq!(escape_of(text).unwrap().escape, escape, "{text}");
        }
        assert!(escape_of("# escape=x\nFROM a").is_err());
    }

    #[test]
    fn only_dockers_syntax_is_known() {
        for (syntax, known) in [
            ("docker/dockerfile:1", true),
            ("docker/dockerfile:1.7-labs", true),
            ("docker.io/docker/dockerfile-upstream:master", true),
            ("docker/dockerfile@sha256:abc", true),
            ("example.org/mine", false),
            ("dockerfile", false),
        ] {
            let text = format!("# syntax={syntax}\nFROM a");
            assert_eq!(escape_of(&text).unwrap().check().is_ok(), known, "{syntax}");
        }
    }
}
