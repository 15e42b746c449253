//! The program inside a sandbox: PID 1, processes, terminals and files.
//!
//! It speaks E2B's envd protocol (Connect RPC in JSON, and a few plain routes) over HTTP/1.1 on
//! a Unix socket whose descriptor it inherits. One thread does everything; nothing wakes it
//! while nobody asks and no process writes.
//!
//! It checks no access token and no signature: whoever can open its socket is the host, and
//! tokens are checked by the gateway before a request comes here, for the "ok" of a program
//! inside a sandbox proves nothing.
//!
//! | What | File |
//! |---|---|
//! | taking descriptors, shutting the rest out | `boot` |
//! | connections, which request goes where | `server`, `route` |
//! | connections to the sandbox's own ports | `dial` |
//! | answers, requests, Connect RPC | `reply`, `request`, `rpc` |
//! | streams of frames, descriptors that the runtime watches | `stream`, `channel` |
//! | the host's own connections: preface, frames, descriptors | `framed` |
//! | users, paths, times, random names, bounds | `account`, `path`, `calendar`, `random`, `limits` |
//! | `process.Process` | `process` |
//! | commands whose output the host keeps | `commands` |
//! | copies of the host's zygote, and whether they fit still | `supply`, `packages` |
//! | a process of Node.js that waits for a script | `ready` |
//! | `filesystem.Filesystem` | `filesystem`, `watch` |
//! | `/files`, `/files/compose` | `files` |
//! | contexts of code, on the virtual port 49999 | `kernels` |
//! | `/health`, `/init`, `/envs`, `/metrics` | `system`, `usage` |

mod account;
mod boot;
mod calendar;
mod channel;
mod commands;
mod dial;
mod files;
mod filesystem;
mod framed;
#[cfg(fuzzing)]
pub mod fuzz;
mod kernels;
mod limits;
mod packages;
mod path;
mod process;
mod random;
mod ready;
mod reply;
mod request;
mod route;
mod rpc;
mod server;
mod state;
mod stream;
mod supply;
mod system;
mod usage;
mod watch;

use std::process::ExitCode;

/// Runs the agent. Descriptor 3 is its listening socket, descriptor 4 the pipe that it writes
/// one byte to when it accepts connections. It ends only when it cannot serve, with a message
/// on standard error.
#[must_use]
pub fn run() -> ExitCode {
    match boot::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = format!("soulbox-agent: {error}\n");
            let _ = rustix::io::write(rustix::stdio::stderr(), message.as_bytes());
            ExitCode::FAILURE
        }
    }
}
