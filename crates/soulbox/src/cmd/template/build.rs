//! `soulbox template build`.

use super::{failed, name};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use serde_json::json;
use soulbox_image::progress::BuildEvent;
use soulbox_image::recipe::{Recipe, RecipeError};
use soulbox_node::template::TemplateStore;
use soulbox_settings::Settings;
use std::path::PathBuf;
use tokio::sync::mpsc;

const EXAMPLES: &str = "\
Examples:
  soulbox template build base
  soulbox template build mine --recipe ./my-recipe --verbose";

/// How many events may wait to be shown.
const WAITING: usize = 1024;

/// Flags of `soulbox template build`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The template that is made
    name: String,
    /// The directory of the recipe [default: the built-in recipe of that name]
    #[arg(long, value_name = "DIR")]
    recipe: Option<PathBuf>,
    /// Show what the recipe's script prints
    #[arg(short, long)]
    verbose: bool,
    /// Print one JSON object about the template
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let mut settings = global.settings(engine::without_pools())?;
    engine::keep_in_memory(&mut settings);
    let name = name(&args.name)?;
    let recipe = match &args.recipe {
        Some(directory) => Recipe::load(name, directory),
        None => Recipe::built_in(&name),
    };
    let recipe = recipe.map_err(|error| refused(&error))?;
    let runtime = engine::runtime()?;
    let done = runtime.block_on(build(settings, recipe, args));
    runtime.shutdown_background();
    done
}

fn refused(error: &RecipeError) -> Failure {
    match error {
        RecipeError::Unknown { .. } => {
            Failure::of(Exit::NOT_FOUND, error).help("--recipe DIR names a recipe of your own")
        }
        RecipeError::Read { .. } => Failure::of(Exit::NOT_FOUND, error),
        _ => Failure::of(Exit::USAGE, error),
    }
}

async fn build(settings: Settings, recipe: Recipe, args: &Args) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let store = TemplateStore::new(&settings.paths.data_dir);
    let node = engine::start(settings).await?;
    let progress = Progress::percent(&format!("building template {}", recipe.name));
    let (sender, receiver) = mpsc::channel(WAITING);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu_millis = u32::try_from(cores * 1000).unwrap_or(u32::MAX);
    let mut asked = Box::pin(stop.wait());
    let building = async {
        let built = store
            .build(recipe, &*node, cpu_millis, &sender, asked.as_mut())
            .await;
        drop(sender);
        built
    };
    let (built, ()) = tokio::join!(building, show(receiver, &progress, args.verbose));
    drop(progress);
    node.stop().await;
    let record = built.map_err(|error| failed(&error))?;
    if args.json {
        terminal::print_json(&json!(record))?;
    } else {
        let size = record.size.bytes() >> 20;
        terminal::print(&format!(
            "built template {}: {size} MiB, {} files",
            record.name, record.files
        ))?;
    }
    Ok(Exit::SUCCESS)
}

/// Shows what happens until the build is over.
async fn show(mut events: mpsc::Receiver<BuildEvent>, progress: &Progress, verbose: bool) {
    while let Some(event) = events.recv().await {
        match event {
            BuildEvent::Waiting => progress.say("another process builds it; waiting"),
            BuildEvent::Phase { percent, text } => {
                progress.to(percent.into());
                progress.say(&text);
                if verbose {
                    progress.print(&format!("{percent:>3} % {text}"));
                }
            }
            BuildEvent::Line(line) if verbose => progress.print(&line),
            BuildEvent::Line(_) => {}
        }
    }
}
