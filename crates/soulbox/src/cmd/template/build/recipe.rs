//! Building from a recipe.

use super::super::failed;
use super::Args;
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use serde_json::json;
use soulbox_image::progress::BuildEvent;
use soulbox_image::recipe::{Recipe, RecipeError};
use soulbox_model::TemplateName;
use soulbox_node::template::TemplateStore;
use soulbox_settings::Settings;
use std::path::Path;
use tokio::sync::mpsc;

/// How many events may wait to be shown.
const WAITING: usize = 1024;

pub(super) fn built_in(name: &TemplateName) -> Result<Recipe, Failure> {
    Recipe::built_in(name).map_err(|error| refused(&error))
}

pub(super) fn load(name: TemplateName, directory: &Path) -> Result<Recipe, Failure> {
    Recipe::load(name, directory).map_err(|error| refused(&error))
}

pub(super) fn run(global: &Global, recipe: Recipe, args: &Args) -> Result<Exit, Failure> {
    let mut settings = global.settings(engine::without_pools())?;
    engine::keep_in_memory(&mut settings);
    let runtime = engine::runtime()?;
    let done = runtime.block_on(build(settings, recipe, args));
    runtime.shutdown_background();
    done
}

fn refused(error: &RecipeError) -> Failure {
    match error {
        RecipeError::Unknown { .. } => Failure::of(Exit::NOT_FOUND, error)
            .help("name a directory as ./DIR; --recipe DIR names a recipe of your own"),
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
