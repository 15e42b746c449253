//! A Dockerfile becomes a [`Plan`]: stages, variables and paths resolved as Docker does, and only
//! what the wanted stage needs.
//!
//! | What | File |
//! |---|---|
//! | cutting the text into instructions | `lines`, `heredoc` |
//! | parsing one instruction | `parsed`, `flags`, `mounts`, `pairs` |
//! | quotes and variables | `words`, `glob` |
//! | which stage is built from what | `stages` |
//! | what an instruction does | `translate`, `files`, `variables` |
//!
//! Where SoulBox differs from Docker is told in `docs/templates.md`; nothing is left out silently:
//! what cannot be done is refused, what means less here is a [`Warning`].

mod error;
mod files;
mod flags;
mod glob;
mod heredoc;
mod lines;
mod mounts;
mod pairs;
mod parsed;
mod stages;
mod translate;
mod variables;
mod words;

#[cfg(test)]
mod tests;

pub use error::{DockerfileError, Warning};
pub use lines::{MAX_BYTES, MAX_INSTRUCTIONS};

use crate::steps::{Base, Plan};
use error::Problem;

/// What a build is asked for besides its Dockerfile.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--build-arg`: values for ARG.
    pub args: Vec<(String, String)>,
    /// `--target`: the name or number of the stage that is wanted; none: the last one.
    pub target: Option<String>,
    /// What sandboxes run on.
    pub platform: Platform,
    /// Whether HEALTHCHECK's command tells when the start command is ready.
    pub healthcheck: bool,
}

impl Options {
    /// Nothing asked for, on `platform`.
    pub fn new(platform: Platform) -> Self {
        Self {
            args: Vec::new(),
            target: None,
            platform,
            healthcheck: false,
        }
    }
}

/// A system and a processor, in the words of Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: &'static str,
    /// `amd64`, `arm64`.
    pub arch: &'static str,
}

impl Platform {
    /// This machine's.
    pub fn host() -> Self {
        Self {
            os: "linux",
            arch: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        }
    }
}

/// What a base says about itself that the steps over it depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseFacts {
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub workdir: Option<String>,
    /// Its ONBUILD instructions, which are done first.
    pub onbuild: Vec<String>,
}

/// A Dockerfile that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is done.
    pub plan: Plan,
    /// What the author should know.
    pub warnings: Vec<Warning>,
}

/// Reads the Dockerfile `text`; `file` is its name for messages. `facts` is asked once for each
/// image and template that a needed stage is built from.
///
/// # Errors
/// [`DockerfileError`], with the line.
pub fn plan(
    file: &str,
    text: &str,
    options: &Options,
    facts: &mut dyn FnMut(&Base) -> Result<BaseFacts, String>,
) -> Result<Planned, DockerfileError> {
    if text.len() > MAX_BYTES {
        return Err(
            Problem::new(format!("it has more than {} KiB", MAX_BYTES >> 10))
                .help("COPY large texts from files of the context")
                .at(file, 0),
        );
    }
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}');
    if let Some(at) = text.find(control) {
        let line = text[..at].matches('\n').count() + 1;
        return Err(Problem::new("there is a control character")
            .help("is it a text?")
            .at(file, u32::try_from(line).unwrap_or(0)));
    }
    let directives = parsed::escape_of(text).map_err(|problem| problem.at(file, 1))?;
    directives.check().map_err(|problem| problem.at(file, 1))?;
    let lines = lines::cut(file, text, directives.escape)?;
    let read = stages::read(file, lines, directives.escape, options)?;
    translate::plan(read, options, facts)
}

/// The mode of `--chmod` and `mode=`.
fn mode(text: &str) -> Result<u32, Problem> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| {
            Problem::new(format!("{text:?} is no mode"))
                .help("write it in octal, such as 755; u+x and its like are not supported")
        })
}
