//! `soulbox template import`.

use super::{name, pull};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use serde_json::json;
use soulbox_image::oci::platform::Platform;
use soulbox_model::TemplateName;
use soulbox_node::template::TemplateStore;
use soulbox_node::template::archives::Archive;
use soulbox_node::template::steps::StepError;
use soulbox_settings::Settings;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

const EXAMPLES: &str = "\
Examples:
  soulbox template import debian.tar
  docker save my-image | soulbox template import - --name mine
  soulbox template import ./layout --ref 1.2 --name tools
  soulbox template import ./root --name plain";

/// How many events may wait to be shown.
const WAITING: usize = 1024;

/// Flags of `soulbox template import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What `docker save` wrote, an OCI archive or directory, or any directory with a root's files;
    /// `-` reads an archive from stdin
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
    /// The template that is made [default: the file's name up to its first point]
    #[arg(long)]
    name: Option<String>,
    /// Which image it is, where there are several: its tag
    #[arg(long = "ref", value_name = "TAG")]
    called: Option<String>,
    /// Take the image that is for this platform, such as linux/arm64 [default: this machine's]
    #[arg(long)]
    platform: Option<Platform>,
    /// Print one JSON object about the template
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let mut settings = global.settings(engine::without_pools())?;
    engine::keep_in_memory(&mut settings);
    let stdin = args.from == Path::new("-");
    let template = match (&args.name, name_of(&args.from)) {
        (Some(text), _) => name(text)?,
        (None, Some(text)) if !stdin => {
            name(&text).map_err(|failure| failure.help("--name gives it another"))?
        }
        _ => return Err(Failure::new(Exit::USAGE, "--name is needed for this image")),
    };
    let archive = Archive {
        path: match stdin {
            true => "/dev/stdin".into(),
            false => args.from.clone(),
        },
        called: args.called.clone(),
        platform: args.platform.clone().unwrap_or_else(Platform::host),
    };
    let runtime = engine::runtime()?;
    let done = runtime.block_on(import(settings, &archive, &template, args));
    // What was begun is removed by the threads that made it.
    runtime.shutdown_timeout(pull::CLEANING);
    done
}

/// The name of a file or directory up to its first point.
fn name_of(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?;
    name.split('.').next().map(str::to_owned)
}

async fn import(
    settings: Settings,
    archive: &Archive,
    template: &TemplateName,
    args: &Args,
) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let store = TemplateStore::new(&settings.paths.data_dir);
    let node = engine::start(settings).await?;
    let progress = Progress::percent(&format!("reading {}", args.from.display()));
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut asked = Box::pin(stop.wait());
    let importing = async {
        let made = archive
            .template(template, (&store, &node), &sender, asked.as_mut())
            .await;
        drop(sender);
        made
    };
    let (made, ()) = tokio::join!(importing, pull::show(receiver, &progress));
    drop(progress);
    node.stop().await;
    let record = made.map_err(|failure| match &failure.source {
        StepError::Image { source, .. } => {
            let what = format!("cannot import {}", args.from.display());
            Failure::new(Exit::NO, what).because(&**source)
        }
        _ => pull::failed(&failure),
    })?;
    if args.json {
        terminal::print_json(&json!(record))?;
    } else {
        pull::print_made(&record)?;
    }
    Ok(Exit::SUCCESS)
}
