//! `soulbox template`: what sandboxes start from.

mod build;
mod export;
mod import;
mod inspect;
mod list;
mod pull;
mod remove;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use clap::Subcommand;
use soulbox_model::TemplateName;
use soulbox_node::template::{TemplateError, TemplateStore};

/// Flags of `soulbox template`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the templates of this machine
    Ls(list::Args),
    /// Build a template from a Dockerfile or a recipe
    Build(Box<build::Args>),
    /// Make a template of an image of a registry
    Pull(pull::Args),
    /// Make a template of an image in a file or a directory
    Import(import::Args),
    /// Write a template as an image into a file
    Export(export::Args),
    /// Remove a template
    Rm(remove::Args),
    /// Tell everything about a template
    Inspect(inspect::Args),
}

/// Does what the verb says.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Ls(args) => list::run(global, args),
        Verb::Build(args) => build::run(global, args),
        Verb::Pull(args) => pull::run(global, args),
        Verb::Import(args) => import::run(global, args),
        Verb::Export(args) => export::run(global, args),
        Verb::Rm(args) => remove::run(global, args),
        Verb::Inspect(args) => inspect::run(global, args),
    }
}

/// The templates below the data directory.
fn store(global: &Global) -> Result<TemplateStore, Failure> {
    Ok(TemplateStore::new(
        &global.settings(Vec::new())?.paths.data_dir,
    ))
}

/// A name as it was given.
fn name(text: &str) -> Result<TemplateName, Failure> {
    TemplateName::of_tagged(text).map_err(|error| Failure::of(Exit::USAGE, &error))
}

/// What an error of the store means for a person.
fn failed(error: &TemplateError) -> Failure {
    let exit = match error {
        TemplateError::Missing { .. } => Exit::NOT_FOUND,
        TemplateError::Stopped(_) => Exit::KILLED,
        TemplateError::BuiltIn => Exit::USAGE,
        TemplateError::Sandbox { .. } => Exit::CREATE,
        _ => Exit::NO,
    };
    let failure = Failure::of(exit, error);
    match error {
        TemplateError::Missing { name, .. } if name.as_str() == "base" => {
            failure.help("soulbox template build base")
        }
        TemplateError::Sandbox { .. } => {
            failure.help("`soulbox doctor` says what this machine lacks")
        }
        _ => failure,
    }
}
