//! `soulbox-jupyter --control FD --spec kernel.json`: runs the cells of one context in a kernel of Jupyter's.
//!
//! Towards the agent it is a kernel like our own (`kernels/python/README.md`, "Protocol"); towards the kernel it is a
//! Jupyter client over Unix sockets in a directory that nobody else can enter. `docs/decisions/0023-java-and-jupyter.md`
//! says why it is as it is.

mod bridge;
mod cell;
mod channels;
mod first;
mod frame;
mod kernel;
mod message;
mod raw;
mod signature;
mod spec;
mod teller;
mod words;
mod zmtp;

use std::path::PathBuf;
use std::process::ExitCode;

/// What the program was asked to do wrongly.
const USAGE: &str = "usage: soulbox-jupyter --control FD --spec kernel.json";

fn main() -> ExitCode {
    let Some((control, spec)) = arguments() else {
        tell(USAGE);
        return ExitCode::from(2);
    };
    match bridge::serve(control, &spec) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The number of the control socket, and the kernel's description.
fn arguments() -> Option<(i32, PathBuf)> {
    let mut words = std::env::args_os().skip(1);
    let (mut control, mut spec) = (None, None);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--control") => control = words.next()?.to_str()?.parse().ok(),
            Some("--spec") => spec = words.next().map(PathBuf::from),
            _ => return None,
        }
    }
    Some((control?, spec?))
}

/// Says something in the kernel's log, which the agent tells when the kernel does not start.
pub(crate) fn tell(text: &str) {
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("{text}\n").as_bytes());
}
