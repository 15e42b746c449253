//! `soulbox template build`: from a Dockerfile or from a recipe.

mod dockerfile;
mod facts;
mod given;
mod recipe;
mod show;

use super::name;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_image::recipe::{MANIFEST, Recipe};
use soulbox_model::TemplateName;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  soulbox template build base
  soulbox template build . -t mine
  soulbox template build . -f docker/Dockerfile -t mine:v2 --build-arg VERSION=1.2
  soulbox template build . -t mine --secret id=token,env=TOKEN --shell-on-failure
  soulbox template build mine --recipe ./my-recipe --verbose

A directory with a recipe.toml is a recipe, one with a Dockerfile is what the Dockerfile copies
from. A word that is the name of a built-in recipe is that recipe: ./base is a directory.";

/// The name of a file that a directory is built by.
const DOCKERFILE: &str = "Dockerfile";
/// Flags of `soulbox template build`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A directory with a Dockerfile or a recipe, a Dockerfile, or the name of a built-in recipe
    #[arg(value_name = "DIR|FILE|NAME")]
    what: String,
    /// The template that is made [default: the name of the recipe or the directory]
    #[arg(short = 't', long = "tag", value_name = "NAME[:TAG]")]
    tag: Option<String>,
    /// The directory of a recipe; then NAME is the template that is made
    #[arg(long, value_name = "DIR")]
    recipe: Option<PathBuf>,
    /// Show what the recipe's script prints; steps of a Dockerfile always show it
    #[arg(short, long)]
    verbose: bool,
    /// Print one JSON object about the template
    #[arg(long)]
    json: bool,
    /// What is for Dockerfiles.
    #[command(flatten)]
    dockerfile: dockerfile::Flags,
}

/// What is built.
#[derive(Debug)]
enum What {
    Recipe(Box<Recipe>),
    Dockerfile {
        name: TemplateName,
        /// Where files are copied from.
        directory: PathBuf,
        file: PathBuf,
    },
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let what = what(args)?;
    if let What::Recipe(_) = &what
        && let Some(flag) = args.dockerfile.given()
    {
        let why = format!("{flag} is for Dockerfiles, and {} is a recipe", args.what);
        return Err(Failure::new(Exit::USAGE, why).help(format!("leave out {flag}")));
    }
    match what {
        What::Recipe(recipe) => recipe::run(global, *recipe, args),
        What::Dockerfile {
            name,
            directory,
            file,
        } => dockerfile::run(global, args, &name, &directory, &file),
    }
}

fn what(args: &Args) -> Result<What, Failure> {
    let tag = args.tag.as_deref().map(tagged).transpose()?;
    if let Some(directory) = &args.recipe {
        let name = match tag {
            Some(tag) => tag,
            None => name(&args.what)?,
        };
        return Ok(What::Recipe(Box::new(recipe::load(name, directory)?)));
    }
    let path = Path::new(&args.what);
    let is_word = !args.what.contains('/') && !matches!(args.what.as_str(), "." | "..");
    let built_in = Recipe::built_in_names().any(|known| known == args.what);
    if is_word && (built_in || !path.exists()) && args.dockerfile.file.is_none() {
        let mut recipe = recipe::built_in(&name(&args.what)?)?;
        if let Some(tag) = tag {
            recipe.name = tag;
        }
        return Ok(What::Recipe(Box::new(recipe)));
    }
    of_path(path, tag, args.dockerfile.file.as_deref())
}

fn of_path(path: &Path, tag: Option<TemplateName>, file: Option<&Path>) -> Result<What, Failure> {
    let is_directory = match path.metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => {
            let what = format!("cannot read {}", path.display());
            return Err(Failure::new(Exit::NOT_FOUND, what)
                .because(&error)
                .help("name a directory, a Dockerfile, or a built-in recipe"));
        }
    };
    let (directory, file) = match (is_directory, file) {
        (true, None) if path.join(MANIFEST).exists() => {
            let name = tag.map_or_else(|| named_after(path), Ok)?;
            return Ok(What::Recipe(Box::new(recipe::load(name, path)?)));
        }
        (true, None) if path.join(DOCKERFILE).exists() => (path, path.join(DOCKERFILE)),
        (true, None) => {
            let what = format!(
                "{} has neither a {DOCKERFILE} nor a {MANIFEST}",
                path.display()
            );
            return Err(Failure::new(Exit::NOT_FOUND, what)
                .help("-f FILE names a Dockerfile that is called otherwise"));
        }
        (true, Some(file)) => (path, file.to_owned()),
        (false, None) => {
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            (above.unwrap_or(Path::new(".")), path.to_owned())
        }
        (false, Some(_)) => {
            let what = format!("{} is no directory, and -f names the file", path.display());
            return Err(Failure::new(Exit::USAGE, what).help("name the directory to copy from"));
        }
    };
    Ok(What::Dockerfile {
        name: tag.map_or_else(|| named_after(directory), Ok)?,
        directory: directory.to_owned(),
        file,
    })
}

/// The template that is called as a directory.
fn named_after(directory: &Path) -> Result<TemplateName, Failure> {
    let real = directory.canonicalize().ok();
    let last = real.as_deref().and_then(Path::file_name);
    let text = last.map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
    match text.parse::<TemplateName>() {
        Ok(name) if !name.is_host() => Ok(name),
        _ => Err(Failure::new(
            Exit::USAGE,
            format!("a template cannot be called as the directory, {text:?}"),
        )
        .help("name it with -t NAME")),
    }
}

/// `NAME[:TAG]`. Templates of a machine have one name each: the tag becomes a part of it.
fn tagged(text: &str) -> Result<TemplateName, Failure> {
    if text.ends_with(':') {
        return Err(
            Failure::new(Exit::USAGE, format!("{text} has an empty tag"))
                .help("write NAME or NAME:TAG"),
        );
    }
    let name = name(text)?;
    match name.is_host() {
        false => Ok(name),
        true => {
            Err(Failure::new(Exit::USAGE, "template host is built in").help("give it another name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_becomes_a_part_of_the_name() {
        for (text, expected) in [
            ("mine", Some("mine")),
            ("mine:v2", Some("mine.v2")),
            ("mine:latest", Some("mine")),
            ("mine:default", Some("mine")),
            ("mine:", None),
            ("mine:a:b", None),
            ("Mine", None),
            ("host", None),
            (":v", None),
        ] {
            let name = tagged(text).ok();
            assert_eq!(name.as_ref().map(TemplateName::as_str), expected, "{text}");
        }
    }
}
