//! `soulbox template pull`.

use super::name;
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use serde_json::json;
use soulbox_image::oci::platform::Platform;
use soulbox_image::oci::reference::Reference;
use soulbox_image::record::TemplateRecord;
use soulbox_image::steps::RegistryAuth;
use soulbox_model::TemplateName;
use soulbox_node::template::TemplateStore;
use soulbox_node::template::images::Images;
use soulbox_node::template::steps::{Happened, StepError, StepEvent, StepFailure};
use soulbox_settings::Settings;
use std::io::Read as _;
use std::time::Duration;
use tokio::sync::mpsc;

const EXAMPLES: &str = "\
Examples:
  soulbox template pull debian:12
  soulbox template pull ghcr.io/me/tools:1.2 --name tools
  soulbox template pull registry.lan:5000/private --username me --password-stdin < password
  soulbox run --template debian -- cat /etc/os-release";

/// How many events may wait to be shown.
const WAITING: usize = 1024;
/// The longest password.
const MAX_PASSWORD: u64 = 64 << 10;
/// How long threads may take to clean up behind a pull that was given up.
pub(super) const CLEANING: Duration = Duration::from_secs(10);

/// Flags of `soulbox template pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The image, such as debian:12 or ghcr.io/me/tools@sha256:…
    image: String,
    /// The template that is made [default: the last part of the image's repository]
    #[arg(long)]
    name: Option<String>,
    /// Take the image that is for this platform, such as linux/arm64 [default: this machine's]
    #[arg(long)]
    platform: Option<Platform>,
    /// The user at the registry [default: what `docker login` was told]
    #[arg(long, requires = "password_stdin")]
    username: Option<String>,
    /// Read the user's password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Print one JSON object about the template
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let mut settings = global.settings(engine::without_pools())?;
    engine::keep_in_memory(&mut settings);
    let image: Reference = args
        .image
        .parse()
        .map_err(|error| Failure::of(Exit::USAGE, &error))?;
    let template = match &args.name {
        Some(text) => name(text)?,
        None => {
            name(image.short_name()).map_err(|failure| failure.help("--name gives it another"))?
        }
    };
    let auth = match &args.username {
        Some(username) => Some(RegistryAuth {
            username: username.clone(),
            password: password()?,
        }),
        None => None,
    };
    let runtime = engine::runtime()?;
    let done = runtime.block_on(pull(settings, &image, auth.as_ref(), &template, args));
    // What was begun is removed by the threads that made it.
    runtime.shutdown_timeout(CLEANING);
    done
}

/// What stdin holds, without the end of its line.
fn password() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Exit::USAGE, "cannot read the password").because(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn pull(
    settings: Settings,
    image: &Reference,
    auth: Option<&RegistryAuth>,
    template: &TemplateName,
    args: &Args,
) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let store = TemplateStore::new(&settings.paths.data_dir);
    let images = Images::new(&settings, &store);
    let mut images = images.map_err(|error| Failure::of(Exit::USAGE, &error))?;
    if let Some(platform) = &args.platform {
        images = images.of_platform(platform.clone());
    }
    let node = engine::start(settings).await?;
    let progress = Progress::percent(&format!("asking for {image}"));
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut asked = Box::pin(stop.wait());
    let pulling = async {
        let reference = image.to_string();
        let from = (reference.as_str(), auth);
        let made = images
            .template(from, template, (&store, &node), &sender, asked.as_mut())
            .await;
        drop(sender);
        made
    };
    let (made, ()) = tokio::join!(pulling, show(receiver, &progress));
    drop(progress);
    node.stop().await;
    let record = made.map_err(|failure| failed(&failure))?;
    if args.json {
        terminal::print_json(&json!(record))?;
    } else {
        print_made(&record)?;
    }
    Ok(Exit::SUCCESS)
}

/// Tells what was made.
pub(super) fn print_made(record: &TemplateRecord) -> Result<(), Failure> {
    let (size, layers) = (record.size.bytes() >> 20, record.layers.len());
    terminal::print(&format!(
        "made template {}: {size} MiB, {} files, {layers} layers",
        record.name, record.files
    ))
}

/// Shows what happens until the template is made.
pub(super) async fn show(mut events: mpsc::Receiver<StepEvent>, progress: &Progress) {
    while let Some(event) = events.recv().await {
        match event.what {
            Happened::Progress { percent, text } => {
                progress.to(percent.into());
                progress.say(&text);
            }
            Happened::Waits => progress.say("another process pulls it; waiting"),
            Happened::Began(text) if event.step > 0 => progress.say(&text),
            _ => {}
        }
    }
}

pub(super) fn failed(failure: &StepFailure) -> Failure {
    match &failure.source {
        StepError::Image { reference, source } => {
            let failure = Failure::new(Exit::NO, format!("cannot pull {reference}"));
            // The image is named once.
            let cause = match source.source() {
                Some(cause) if source.to_string().starts_with("cannot pull") => cause,
                _ => &**source,
            };
            failure.because(cause)
        }
        StepError::Stopped => Failure::of(Exit::KILLED, &failure.source),
        StepError::Create(_) | StepError::Agent(_) => Failure::of(Exit::CREATE, &failure.source)
            .help("`soulbox doctor` says what this machine lacks"),
        error => Failure::of(Exit::NO, error),
    }
}
