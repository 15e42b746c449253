//! Starting other programs.

use crate::tell;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
pub(crate) fn watched(words: &[&str], mut read: impl FnMut(&str)) -> Result<bool, String> {
    tell(&format!("==> {}", words.join(" ")));
    let failed = |error| format!("cannot run {}: {error}", words[0]);
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = command(words)?;
    command
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // Both ends of the pipe that the command holds must go, or its end is never seen.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(failed)?;
        let line = String::from_utf8_lossy(&line);
        tell(&line);
        read(&line);
    }
    Ok(child.wait().map_err(failed)?.success())
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
