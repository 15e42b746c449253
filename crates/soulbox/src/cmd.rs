//! What each verb does, one file for each.

pub(crate) mod bench;
pub(crate) mod ca;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod doctor;
pub(crate) mod ended;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod pause;
pub(crate) mod pool;
pub(crate) mod port_forward;
pub(crate) mod ps;
pub(crate) mod resume;
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
        Verb::Pool(args) => pool::run(global, &args),
        Verb::Ps(args) => ps::run(global, &args),
        Verb::Create(args) => create::run(global, &args),
        Verb::Exec(args) => exec::run(global, &args),
        Verb::Cp(args) => cp::run(global, &args),
        Verb::Logs(args) => logs::run(global, &args),
        Verb::Events(args) => events::run(global, &args),
        Verb::PortForward(args) => port_forward::run(global, &args),
        Verb::Inspect(args) => inspect::run(global, &args),
        Verb::Pause(args) => pause::run(global, &args),
        Verb::Resume(args) => resume::run(global, &args),
        Verb::Kill(args) => kill::run(global, &args),
        Verb::Key(args) => key::run(global, &args),
        Verb::Doctor(args) => doctor::run(global, &args),
        Verb::Ended(args) => ended::run(global, &args),
        Verb::Config(args) => config::run(global, &args),
        Verb::Bench(args) => bench::run(global, &args),
        Verb::Completion(args) => completion::run(&args),
        Verb::Template(args) => template::run(global, &args),
        Verb::Version(args) => version::run(&args),
    }
}
