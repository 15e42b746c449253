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
    // Else the channel would stay open when the spawner lets go of it.
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
    if null.is_ok_and(|null| rustix::stdio::dup2_stdin(null).is_err()) {
        return ExitCode::from(2);
    }
    match soulbox_runtime::native::spawner::run(engine) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
