//! What a person sees: colours and progress only on a terminal, plain text in a pipe.

use crate::failure::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use soulbox_settings::Log;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// Whether stderr shows colours: it is a terminal, and `NO_COLOR` and `TERM=dumb` are not set.
pub(crate) fn stderr_has_colours() -> bool {
    has_colours(&io::stderr())
}

/// Whether stdout shows colours.
pub(crate) fn stdout_has_colours() -> bool {
    has_colours(&io::stdout())
}

fn has_colours(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// Whether somebody sits at the other end of stderr.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person reads stdout.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether reading stdin does no harm: Linux stops a program in the background of a terminal
/// (`soulbox run … &`) that reads from it.
pub(crate) fn stdin_may_be_read() -> bool {
    let foreground = rustix::termios::tcgetpgrp(io::stdin());
    !io::stdin().is_terminal() || foreground.is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Prints a text and a line end to stdout.
///
/// # Errors
/// A failure without words when the reader went away, else what writing said.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"));
    written
        .and_then(|()| out.flush())
        .map_err(|error| write_failed(&error))
}

/// Prints a value as JSON to stdout, on one line.
///
/// # Errors
/// As for [`print`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::of(crate::exit::Exit::INTERNAL, &error))?;
    print(&text)
}

/// The failure of a write to stdout.
pub(crate) fn write_failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::reader_gone();
    }
    Failure::new(crate::exit::Exit::INTERNAL, "cannot write to stdout").because(error)
}

/// Tells a line on stderr. When nobody can read it there is nothing else to do.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells what the engine logs on stderr, down to `level`. The first call counts.
pub(crate) fn log(settings: &Log) {
    let level = settings.level.parse().unwrap_or(LevelFilter::WARN);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr);
    // A second engine of the same program finds the first one's log, which is as good.
    let _ = match settings.format.as_str() {
        "json" => log.json().flatten_event(true).try_init(),
        _ => log
            .with_ansi(stderr_has_colours())
            .without_time()
            .try_init(),
    };
}

/// A line on stderr that shows that something long goes on, gone when it is dropped. Drawn only on
/// a terminal, and only when it takes longer than a moment.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows `message` and the time that passes.
    pub(crate) fn spinner(message: &str) -> Self {
        Self::styled(
            ProgressBar::new_spinner(),
            "{spinner} {msg} {elapsed}",
            message,
        )
    }

    /// Shows `message`, a bar of `length` steps and the time that is left.
    pub(crate) fn bar(message: &str, length: u64) -> Self {
        let template = "{msg} [{bar:30}] {pos}/{len} {eta}";
        Self::styled(ProgressBar::new(length), template, message)
    }

    /// Shows `message` and how much of a hundred is done.
    pub(crate) fn percent(message: &str) -> Self {
        Self::styled(
            ProgressBar::new(100),
            "[{bar:30}] {percent:>3} % {elapsed} {msg}",
            message,
        )
    }

    fn styled(bar: ProgressBar, template: &str, message: &str) -> Self {
        if !stderr_has_colours() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Changes the message.
    pub(crate) fn say(&self, message: &str) {
        self.0.set_message(message.to_owned());
    }

    /// Prints a line on stderr above the bar.
    pub(crate) fn print(&self, line: &str) {
        self.0.suspend(|| warn(line));
    }

    /// Moves the bar to `position`.
    pub(crate) fn to(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Moves the bar by `steps`.
    pub(crate) fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
