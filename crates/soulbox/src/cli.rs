//! Flags and verbs.

pub(crate) mod limit;
pub(crate) mod sandbox;
pub(crate) mod server;

use crate::cmd::{
    bench, ca, completion, config, cp, create, doctor, ended, env, events, exec, inspect, key,
    kill, logs, pause, pool, port_forward, ps, resume, run, serve, shell, template, version,
};
use crate::environment::Environment;
use crate::exit;
use crate::failure::Failure;
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand};
use soulbox_settings::{Flag, Settings};
use std::path::PathBuf;

/// Runs code that nobody has read yet, each piece in a sandbox of its own.
#[derive(Debug, Parser)]
#[command(
    name = "soulbox",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = exit::HELP,
    styles = Styles::styled()
        .header(AnsiColor::Green.on_default().bold())
        .usage(AnsiColor::Green.on_default().bold())
        .literal(AnsiColor::Cyan.on_default()),
)]
pub(crate) struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file, instead of those that are looked for
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Where templates and other files that last are kept
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub(crate) data_dir: Option<String>,
}

impl Global {
    /// Loads the settings with the flags of the verb on top.
    ///
    /// # Errors
    /// A failure that names the setting that was refused.
    pub(crate) fn settings(&self, mut flags: Vec<Flag>) -> Result<Settings, Failure> {
        if let Some(directory) = &self.data_dir {
            flags.push(Flag {
                key: "data_dir",
                flag: "--data-dir",
                value: directory.clone(),
            });
        }
        Ok(Settings::load(
            &Environment,
            self.config.as_deref(),
            &flags,
        )?)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a piece of code in a fresh sandbox
    Run(Box<run::Args>),
    /// Serve sandboxes to E2B's SDKs and other clients
    Serve(serve::Args),
    /// Print the variables that point E2B's SDKs to this machine's server
    Env(env::Args),
    /// Show the server's certificate authority and how to trust it
    Ca(ca::Args),
    /// Open a shell in a fresh sandbox, or in one of a server
    Shell(Box<shell::Args>),
    /// List the sandboxes of a server
    Ps(ps::Args),
    /// Make a sandbox on a server
    Create(Box<create::Args>),
    /// Run a command in a sandbox of a server
    Exec(exec::Args),
    /// Copy files into and out of a sandbox of a server
    Cp(cp::Args),
    /// Print the log of a sandbox of a server
    Logs(logs::Args),
    /// Tell what happened to sandboxes of a server
    Events(events::Args),
    /// Reach a port of a sandbox of a server on this machine
    PortForward(port_forward::Args),
    /// Show everything about a sandbox of a server
    Inspect(inspect::Args),
    /// Stop sandboxes of a server, with everything in memory
    Pause(pause::Args),
    /// Let paused sandboxes of a server go on
    Resume(resume::Args),
    /// End sandboxes of a server
    Kill(kill::Args),
    /// Show what a server keeps ready
    Pool(pool::Args),
    /// Make, list and remove keys of a server
    Key(key::Args),
    /// List, build, remove and inspect templates
    Template(Box<template::Args>),
    /// Say what this machine has and lacks
    Doctor(doctor::Args),
    /// List sandboxes that ended while no engine was there to tell it
    Ended(ended::Args),
    /// Show the settings in force
    Config(config::Args),
    /// Measure this machine
    Bench(bench::Args),
    /// Print the completion script of a shell
    Completion(completion::Args),
    /// Print the version
    Version(version::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_in_the_help_are_those_of_the_settings() {
        let settings = Settings::with(&[]).unwrap();
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for (flag, key) in [
            ("cpu", "sandbox.cpu"),
            ("memory", "sandbox.memory"),
            ("pids", "sandbox.pids"),
            ("disk", "sandbox.disk"),
            ("network", "sandbox.network"),
            ("timeout", "sandbox.timeout"),
        ] {
            let argument = run
                .get_arguments()
                .find(|a| a.get_long() == Some(flag))
                .unwrap();
            let help = argument.get_help().unwrap().to_string();
            let told = help
                .split("[default: ")
                .nth(1)
                .unwrap()
                .trim_end_matches(']');
            // What is told, given as a flag, must change nothing.
            let entry = |settings: &Settings| {
                settings
                    .entries
                    .iter()
                    .find(|entry| entry.key == key)
                    .unwrap()
                    .value
                    .clone()
            };
            let given = Settings::with(&[(key, told)]).unwrap();
            assert_eq!(entry(&given), entry(&settings), "--{flag}");
        }
    }

    #[test]
    fn every_verb_has_an_example_in_its_help() {
        fn check(command: &clap::Command) {
            let subcommands: Vec<_> = command.get_subcommands().collect();
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            if subcommands.is_empty() {
                assert!(
                    help.contains("soulbox "),
                    "{} has no example",
                    command.get_name()
                );
            }
            for subcommand in subcommands {
                check(subcommand);
            }
        }
        check(&Cli::command());
    }
}
