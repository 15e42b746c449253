//! The spawner's program: descriptor 0 is its channel to the engine.

use rustix::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A session of its own: Ctrl-C at the terminal is for the engine, which ends the spawner by
    // closing the channel after the sandboxes' work is settled.
    let _ = rustix::process::setsid();
    let Ok(engine) = rustix::io::fcntl_dupfd_cloexec(std::io::stdin().as_fd(), 3) else {
        return ExitCode::from(2);
    };
    match soulbox_runtime::native::spawner::run(engine) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
