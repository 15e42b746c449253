//! Why a Dockerfile was refused: file, line, what is wrong, and what to do about it.

use std::fmt;

/// Why a Dockerfile cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DockerfileError {
    /// The file, as the reader knows it.
    pub file: String,
    /// The line where the instruction begins, from 1; 0 if it is about the whole file.
    pub line: u32,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// What is wrong, for parts that know neither the file nor the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    what: String,
    help: Option<String>,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn at(self, file: &str, line: u32) -> DockerfileError {
        DockerfileError {
            file: file.to_owned(),
            line,
            problem: self.what,
            help: self.help,
        }
    }
}

/// What could be meant otherwise than the author thinks. The build goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line where the instruction begins.
    pub line: u32,
    /// What is odd.
    pub text: String,
}
