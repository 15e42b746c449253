//! The program `soulbox`: one file for each verb under `cmd/`; wires the parts together.
//!
//! | What | File |
//! |---|---|
//! | flags and verbs | [`cli`] |
//! | what each verb does | [`cmd`] |
//! | starting the engine, and what its errors mean | [`engine`] |
//! | a running server, as a client of it | [`remote`] |
//! | a command in a sandbox, at our own terminal | [`session`] |
//! | Ctrl-C and its kin | [`signal`] |
//! | what the exit codes mean | [`exit`] |
//! | how a failure is told | [`failure`] |
//! | the environment and files that settings are read from | [`environment`] |
//! | colours, progress, printing | [`terminal`] |
//! | what this machine has | [`doctor`] |

mod cli;
mod cmd;
mod doctor;
mod engine;
mod environment;
mod exit;
mod failure;
mod remote;
mod session;
mod signal;
mod terminal;

use clap::Parser;
use cli::Cli;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let exit = cmd::run(cli).unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    });
    exit.into()
}

/// Prints what clap has to say: help and version are no failures.
fn usage(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (true, _) => Exit::USAGE,
        (false, Ok(())) => Exit::SUCCESS,
        (false, Err(_)) => Exit::READER_GONE,
    }
}
