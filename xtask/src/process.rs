//! Starting other programs.

use crate::tell;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// A command from its words.
#[allow(clippy::disallowed_methods)] // tasks are tools around the product: they start programs
fn command(words: &[&str]) -> Result<Command, String> {
    let (program, arguments) = words.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    Ok(command)
}

/// Runs a program that must succeed; its output goes where ours goes.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    tell(&format!("==> {}", words.join(" ")));
    let status = command(words)?.status();
    match status.map_err(|error| format!("cannot start {}: {error}", words[0]))? {
        status if status.success() => Ok(()),
        status => Err(format!("{} failed: {status}", words.join(" "))),
    }
}

/// Runs a program and gives back what it printed on stdout.
pub(crate) fn output(words: &[&str]) -> Result<String, String> {
    // The width of help texts must not depend on who makes them.
    let out = command(words)?
        .env_remove("COLUMNS")
        .stderr(Stdio::inherit())
        .output();
    let out = out.map_err(|error| format!("cannot start {}: {error}", words[0]))?;
    if !out.status.success() {
        return Err(format!("{} failed: {}", words.join(" "), out.status));
    }
    String::from_utf8(out.stdout).map_err(|_| format!("{} printed no UTF-8", words.join(" ")))
}

/// Runs a program, passes its lines on and hands each to `read`. Gives back whether it succeeded.
pub(crate) fn watched(words: &[&str], read: impl FnMut(&str)) -> Result<bool, String> {
    watched_for(Duration::MAX, words, read)
}

/// The same for a program that is killed after `limit`.
pub(crate) fn watched_for(
    limit: Duration,
    words: &[&str],
    mut read: impl FnMut(&str),
) -> Result<bool, String> {
    tell(&format!("==> {}", words.join(" ")));
    followed(limit, words, |line| {
        tell(line);
        read(line);
    })
}

/// Runs a program that is killed after `limit` and hands its lines to `read`, without a word.
pub(crate) fn followed(
    limit: Duration,
    words: &[&str],
    mut read: impl FnMut(&str),
) -> Result<bool, String> {
    let failed = |error| format!("cannot run {}: {error}", words[0]);
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = command(words)?;
    command
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // Both ends of the pipe that the command holds must go, or its end is never seen.
    drop(command);
    // The one end of this channel goes when the program's output has ended.
    let (running, over) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = child.kill();
        }
        child.wait()
    });
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(failed)?;
        read(&String::from_utf8_lossy(&line));
    }
    drop(running);
    let status = watch.join().map_err(|_| "the watch panicked".to_owned())?;
    Ok(status.map_err(failed)?.success())
}

/// Whether a program can be started.
pub(crate) fn exists(words: &[&str]) -> bool {
    let quiet = |mut command: Command| {
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()
    };
    command(words)
        .ok()
        .and_then(quiet)
        .is_some_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let mut lines = Vec::new();
        let words = ["sh", "-c", "echo begun; exec sleep 600"];
        let limit = Duration::from_millis(300);
        let done = watched_for(limit, &words, |line| lines.push(line.to_owned()));
        assert_eq!((done, lines), (Ok(false), vec!["begun".to_owned()]));
        assert_eq!(watched(&["true"], |_| {}), Ok(true));
    }
}
