//! How a failure is told: what failed, why, and what to do.

use crate::exit::Exit;
use crate::terminal;
use soulbox_settings::SettingError;
use std::error::Error;
use std::fmt::Write;

/// A verb that could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program exits.
    pub(crate) exit: Exit,
    message: String,
    causes: Vec<String>,
    help: Option<String>,
}

impl Failure {
    /// A failure told as `message`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            help: None,
        }
    }

    /// A failure told by `error` and the errors behind it.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, error.to_string()).because_of(error.source())
    }

    /// The same with `error` as the reason.
    pub(crate) fn because(self, error: &dyn Error) -> Self {
        self.because_of(Some(error))
    }

    fn because_of(mut self, mut error: Option<&dyn Error>) -> Self {
        while let Some(cause) = error {
            self.causes.push(cause.to_string());
            error = cause.source();
        }
        self
    }

    /// The same with a line that says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whoever read our output went away: nothing to tell, and nobody to tell it to.
    pub(crate) fn reader_gone() -> Self {
        Self::new(Exit::READER_GONE, "")
    }

    /// Writes the failure to stderr.
    pub(crate) fn tell(&self) {
        if self.exit == Exit::READER_GONE {
            return;
        }
        terminal::warn(&self.text(terminal::stderr_has_colours()));
    }

    /// The failure as a JSON object.
    pub(crate) fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "message": self.message,
                "causes": self.causes,
                "help": self.help,
                "exit_code": self.exit.code(),
            }
        })
    }

    pub(crate) fn text(&self, colours: bool) -> String {
        let (red, green, off) = match colours {
            true => ("\x1b[1;31m", "\x1b[1;32m", "\x1b[0m"),
            false => ("", "", ""),
        };
        let mut text = format!("{red}error:{off} {}", safe(&self.message));
        for cause in &self.causes {
            let _ = write!(text, "\n  because: {}", safe(cause));
        }
        if let Some(help) = &self.help {
            let _ = write!(text, "\n{green}help:{off} {}", safe(help));
        }
        text
    }
}

/// The text without control characters: what a sandbox or a file said may be part of it, and no
/// escape of theirs may reach the terminal.
pub(crate) fn safe(text: &str) -> String {
    let kept = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(kept).collect()
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        let failure = Self::of(Exit::USAGE, &error);
        match error {
            SettingError::Value { .. } | SettingError::NotText { .. } => {
                failure.help("docs/settings.md lists every setting; `soulbox config show` says where each value comes from")
            }
            SettingError::Unknown { .. } => failure.help("`soulbox config show` lists every setting"),
            SettingError::Missing { .. } => failure.help("check --config and the variable SOULBOX_CONFIG"),
            SettingError::Syntax { .. } | SettingError::Unreadable { .. } => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_why_and_what_to_do() {
        let error = std::io::Error::other("disk on fire");
        let failure = Failure::new(Exit::CREATE, "cannot make the sandbox")
            .because(&error)
            .help("put it out");
        assert_eq!(
            failure.text(false),
            "error: cannot make the sandbox\n  because: disk on fire\nhelp: put it out"
        );
    }

    #[test]
    fn escapes_in_a_message_never_reach_the_terminal() {
        let text = Failure::new(Exit::CREATE, "a\x1b[2Jb\rc").text(true);
        assert!(
            !text.contains("\x1b[2J") && !text.contains('\r'),
            "{text:?}"
        );
    }
}
