//! What each verb does, one file for each.

pub(crate) mod bench;
pub(crate) mod ca;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod ended;
pub(crate) mod env;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod template;
pub(crate) mod version;

use crate::cli::{Cli, Verb};
use crate::exit::Exit;
use crate::failure::Failure;

/// Does what the command line says.
///
/// # Errors
/// The failure to tell; its exit code is the program's.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.verb {
        Verb::Run(args) => run::run(global, &args),
        Verb::Serve(args) => serve::run(global, &args),
        Verb::Ca(args) => ca::run(global, &args),
        Verb::Env(args) => env::run(global, &args),
        Verb::Shell(args) => shell::run(global, &args),
        Verb::Doctor(args) => doctor::run(global, &args),
        Verb::Ended(args) => ended::run(global, &args),
        Verb::Config(args) => config::run(global, &args),
        Verb::Bench(args) => bench::run(global, &args),
        Verb::Completion(args) => completion::run(&args),
        Verb::Template(args) => template::run(global, &args),
        Verb::Version(args) => version::run(&args),
    }
}
