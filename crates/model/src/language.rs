//! The languages that code can be written in, as data: how each is recognised, what its file is
//! called and which commands run it.

pub mod java;
mod table;

pub use table::LANGUAGES;

use crate::nearest::nearest;
use std::fmt;

/// A program that must exist in the template, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The name that is looked up in `PATH`, or a file's whole path.
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// One way to run a language: an optional compiler command, then the program.
///
/// Words in braces are filled in: `{file}` is the file with the code, `{sources}` all files of
/// the language in the directory that is run (one word each), `{out}` the compiled program,
/// `{classes}` the directory of compiled classes and `{class}` the class that has `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// What must exist in the template.
    pub needs: &'static [Program],
    /// The compiler command; empty when there is nothing to compile.
    pub compile: &'static [&'static str],
    /// The command that runs it; the arguments of the run follow.
    pub run: &'static [&'static str],
}

/// A language.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name, as `--language` takes it.
    pub name: &'static str,
    /// Other names that are taken.
    pub aliases: &'static [&'static str],
    /// The endings of its files, in lower case, without the dot.
    pub endings: &'static [&'static str],
    /// The programs in a `#!` line that mean it.
    pub interpreters: &'static [&'static str],
    /// What a file is called whose code came without a name.
    pub file: &'static str,
    /// File names that say where a directory of this language begins, best first.
    pub entries: &'static [&'static str],
    /// The ways to run it, the preferred one first.
    pub ways: &'static [Way],
}

/// A language that is not known, or cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// No language has that name.
    #[error("there is no language {name:?}{}; known are {}", meant(*nearest), names())]
    Unknown {
        /// The name, cut to 80 characters.
        name: String,
        /// The language that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The `#!` line names a program of no known language.
    #[error(
        "the #! line names {program:?}, which runs no known language; known are {}",
        names()
    )]
    Interpreter {
        /// The program, cut to 80 characters.
        program: String,
    },
    /// Neither the ending nor a `#!` line says.
    #[error(
        "cannot tell the language of {file:?} from its ending or a #! line; known are {}",
        names()
    )]
    Untold {
        /// The name of the file, cut to 200 characters.
        file: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// The names of all languages, for messages.
pub fn names() -> String {
    LANGUAGES
        .iter()
        .map(|language| language.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

impl Language {
    /// The language of code that comes with neither a name nor a `#!` line.
    pub fn default_for_code() -> &'static Self {
        &LANGUAGES[0]
    }

    /// The language called `name`, by name, alias or ending, whatever the case.
    ///
    /// # Errors
    /// [`LanguageError::Unknown`] lists the known ones and offers the nearest.
    pub fn named(name: &str) -> Result<&'static Self, LanguageError> {
        let lower = name.trim().to_ascii_lowercase();
        let matches = |language: &&Self| {
            language.name == lower
                || language.aliases.contains(&lower.as_str())
                || language.endings.contains(&lower.as_str())
        };
        LANGUAGES.iter().find(matches).ok_or_else(|| {
            let all = LANGUAGES
                .iter()
                .flat_map(|language| language.aliases.iter().chain([&language.name]).copied());
            LanguageError::Unknown {
                name: cut(name, 80),
                nearest: nearest(&lower, all),
            }
        })
    }

    /// The language whose ending the file name has.
    pub fn of_file_name(name: &str) -> Option<&'static Self> {
        let (stem, ending) = name.rsplit_once('.')?;
        if stem.is_empty() || stem.ends_with('/') {
            return None;
        }
        let ending = ending.to_ascii_lowercase();
        LANGUAGES
            .iter()
            .find(|language| language.endings.contains(&ending.as_str()))
    }

    /// The language of a `#!` line; none when the code has no such line.
    ///
    /// # Errors
    /// [`LanguageError::Interpreter`] when the line names a program of no known language.
    pub fn of_code(code: &[u8]) -> Result<Option<&'static Self>, LanguageError> {
        let Some(program) = interpreter(code) else {
            return Ok(None);
        };
        // `python3.11` and `ruby2.7` mean the program without its version.
        let bare = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let matches = |language: &&Self| {
            language
                .interpreters
                .iter()
                .any(|known| *known == program || *known == bare)
        };
        match LANGUAGES.iter().find(matches) {
            Some(language) => Ok(Some(language)),
            None => Err(LanguageError::Interpreter {
                program: cut(&program, 80),
            }),
        }
    }

    /// The language of a file: by its ending, else by its `#!` line.
    ///
    /// # Errors
    /// [`LanguageError`] when neither says.
    pub fn of_file(name: &str, code: &[u8]) -> Result<&'static Self, LanguageError> {
        if let Some(language) = Self::of_file_name(name) {
            return Ok(language);
        }
        Self::of_code(code)?.ok_or_else(|| LanguageError::Untold {
            file: cut(name, 200),
        })
    }

    /// What a file is called that holds `code`, which came without a name.
    pub fn file_name(&self, code: &[u8]) -> String {
        match self.name {
            "java" => format!("{}.java", java::Program::of(code).file),
            "javascript" if is_module(code) => "main.mjs".to_owned(),
            _ => self.file.to_owned(),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The longest `#!` line that Linux reads (`BINPRM_BUF_SIZE`).
const LINE_MAX: usize = 256;

/// The program that a `#!` line names, without its directory, looking through `env`.
fn interpreter(code: &[u8]) -> Option<String> {
    let line = code.strip_prefix(b"#!")?;
    let line = line.get(..LINE_MAX).unwrap_or(line);
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next()?).into_owned();
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut words = line.split_whitespace();
    let program = base(words.next()?);
    if program != "env" {
        return Some(program);
    }
    // `env` takes flags and assignments before the program: `env -S LANG=C python3 -u`.
    let named = words.find(|word| !word.starts_with('-') && !word.contains('='));
    Some(named.map_or(program, base))
}

/// Whether JavaScript is an ES module: Linux distributions' Node before 22 does not find out by
/// itself and wants the ending `.mjs`.
fn is_module(code: &[u8]) -> bool {
    let text = String::from_utf8_lossy(code.get(..65_536).unwrap_or(code));
    let starts = |line: &str| {
        ["import ", "import{", "import\"", "import'", "export "]
            .iter()
            .any(|w| line.starts_with(w))
    };
    text.lines().any(starts) && !text.contains("require(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_of_the_promise_is_there() {
        assert_eq!(
            names(),
            "python, javascript, typescript, bash, go, java, c, c++, rust, ruby, php, perl, r"
        );
        assert_eq!(Language::default_for_code().name, "python");
    }

    #[test]
    fn names_aliases_and_endings_are_unambiguous() {
        let mut seen = std::collections::BTreeSet::new();
        for language in &LANGUAGES {
            let mut own: Vec<_> = [language.name].into_iter().collect();
            own.extend(language.aliases.iter().chain(language.endings));
            own.sort_unstable();
            own.dedup();
            for name in own {
                assert!(seen.insert(name), "{name} means two languages");
            }
        }
    }

    #[test]
    fn commands_only_hold_known_blanks() {
        const BLANKS: [&str; 5] = ["{file}", "{sources}", "{out}", "{classes}", "{class}"];
        for language in &LANGUAGES {
            assert!(!language.ways.is_empty(), "{language}");
            for way in language.ways {
                for word in way.compile.iter().chain(way.run) {
                    let rest = BLANKS
                        .iter()
                        .fold((*word).to_owned(), |w, b| w.replace(b, ""));
                    assert!(!rest.contains(['{', '}']), "{language}: {word}");
                }
                let first = way.run.first().copied().unwrap_or_default();
                let needed = way.needs.iter().any(|program| program.name == first);
                assert!(
                    needed || first == "{out}",
                    "{language} runs {first} without needing it"
                );
            }
        }
    }

    #[test]
    fn languages_are_found_by_name() {
        for (name, language) in [
            ("python", "python"),
            ("PY", "python"),
            ("node", "javascript"),
            ("ts", "typescript"),
            ("cpp", "c++"),
            ("sh", "bash"),
            ("golang", "go"),
            ("R", "r"),
        ] {
            assert_eq!(
                Language::named(name).map(|l| l.name),
                Ok(language),
                "{name}"
            );
        }
    }

    #[test]
    fn unknown_names_get_the_list_and_the_nearest() {
        let error = Language::named("pyhton").unwrap_err().to_string();
        assert!(error.contains("did you mean \"python\"?"), "{error}");
        assert!(error.contains("typescript"), "{error}");
        let error = Language::named(&"x".repeat(10_000))
            .unwrap_err()
            .to_string();
        assert!(error.len() < 400, "{error}");
    }

    #[test]
    fn languages_are_found_by_ending() {
        for (file, language) in [
            ("a.py", Some("python")),
            ("/x/Main.java", Some("java")),
            ("x.CPP", Some("c++")),
            ("stats.R", Some("r")),
            ("a.tar.gz", None),
            ("README", None),
            (".py", None),
            ("dir/.py", None),
            ("", None),
        ] {
            assert_eq!(
                Language::of_file_name(file).map(|l| l.name),
                language,
                "{file}"
            );
        }
    }

    #[test]
    fn languages_are_found_by_the_first_line() {
        for (code, language) in [
            ("#!/usr/bin/python3\n", "python"),
            ("#!/usr/bin/env python3.11\nprint()", "python"),
            ("#!/usr/bin/env -S LANG=C node --x\n", "javascript"),
            ("#! /bin/sh", "bash"),
            ("#!/usr/bin/perl -w", "perl"),
            ("#!/usr/bin/env Rscript", "r"),
        ] {
            let found = Language::of_code(code.as_bytes()).unwrap();
            assert_eq!(found.map(|l| l.name), Some(language), "{code}");
        }
        assert_eq!(Language::of_code(b"print(1)"), Ok(None));
        assert_eq!(Language::of_code(b""), Ok(None));
    }

    #[test]
    fn wrong_first_lines_are_errors_and_never_panics() {
        assert!(Language::of_code(b"#!/usr/bin/cobol").is_err());
        for odd in [
            &b"#!"[..],
            b"#!\n",
            b"#!\xff\xfe\n",
            b"#!/usr/bin/env",
            b"#!/",
        ] {
            let _ = Language::of_code(odd);
        }
    }

    #[test]
    fn the_ending_wins_over_the_first_line() {
        let found = Language::of_file("a.rb", b"#!/usr/bin/python3\n");
        assert_eq!(found.map(|l| l.name), Ok("ruby"));
        let found = Language::of_file("script", b"#!/usr/bin/python3\n");
        assert_eq!(found.map(|l| l.name), Ok("python"));
        assert!(Language::of_file("script", b"hello").is_err());
    }

    #[test]
    fn code_without_a_name_gets_the_name_that_its_tools_want() {
        let name = |language: &str, code: &str| {
            Language::named(language)
                .unwrap()
                .file_name(code.as_bytes())
        };
        assert_eq!(name("python", ""), "main.py");
        assert_eq!(name("java", "public class Fib { }"), "Fib.java");
        assert_eq!(name("javascript", "import fs from 'fs';\n"), "main.mjs");
        assert_eq!(name("javascript", "const fs = require('fs');\n"), "main.js");
    }
}
