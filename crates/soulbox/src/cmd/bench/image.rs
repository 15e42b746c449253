//! How quickly an image of a registry becomes layers on the disk, and what memory that takes.
//!
//! The registry is a process of its own on the loopback. What is pulled are files of this machine, in
//! layers of the same size, packed by gzip and by zstd. Beside it stands what unpacking the same layers
//! takes on all cores when the result is thrown away: less than that is not possible.

mod made;
mod served;

use super::report::{Report, Times};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use made::{Made, PACKINGS};
use served::Served;
use soulbox_node::template::TemplateStore;
use soulbox_node::template::images::Images;
use soulbox_settings::Settings;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench image
  soulbox bench image --layers 8 --size 64 --json > image.json";

/// Flags of `soulbox bench image`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many layers the image has
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    layers: u32,
    /// How many MiB of files each layer has
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1024))]
    size: u64,
    /// Where the files are taken from
    #[arg(long, value_name = "DIR", default_value = "/usr")]
    files: PathBuf,
    /// How often each is pulled
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Be the registry that serves a directory
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

impl Args {
    /// Is the registry, if it is to be.
    pub(super) fn be_registry(&self) -> Option<Result<(), Failure>> {
        let directory = self.serve.as_ref()?;
        Some(served::be(directory).map_err(|error| failed("serve an image", &error)))
    }
}

/// A directory that goes with this.
struct Ground(PathBuf);

impl Ground {
    fn new(data_dir: &Path) -> Result<Self, Failure> {
        let path = data_dir.join(format!("bench-image-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| failed("make a directory", &error))?;
        Ok(Self(path))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = soulbox_image::remove::remove_tree(&self.0);
    }
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let settings = global.settings(Vec::new())?;
    let mut report = Report::begin("image", "none");
    let ground = Ground::new(&settings.paths.data_dir)?;
    let progress = Progress::spinner("making an image");
    let (layers, size, files) = (args.layers, args.size << 20, args.files.clone());
    let place = ground.0.join("registry");
    let made = tokio::task::spawn_blocking(move || Made::make(&place, &files, layers, size));
    let made = made
        .await
        .map_err(|error| failed("make an image", &error))?;
    let made = made.map_err(|error| failed("make an image", &error))?;
    let served = Served::start(&made.directory).await?;
    report.figure("files of the image", mib(made.bytes), "MiB");
    report.figure("layers of the image", f64::from(layers), "");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for packing in PACKINGS {
        progress.say(&format!("pulling layers packed by {packing}"));
        let mut times = Times::of(format!("pull, {packing}"))?;
        let (mut peak, mut busy, mut best) = (0_u64, 0.0, Duration::MAX);
        for turn in 0..args.turns {
            let templates = ground.0.join(format!("{packing}-{turn}"));
            forget_peak();
            let (begun, before) = (Instant::now(), processor_time());
            pull(&settings, &templates, &served.image(packing)).await?;
            let took = begun.elapsed();
            let used = processor_time().saturating_sub(before);
            times.add(took);
            peak = peak.max(peak_kib());
            if took < best {
                (best, busy) = (took, used.as_secs_f64() / took.as_secs_f64());
            }
            let _ = soulbox_image::remove::remove_tree(&templates);
        }
        let blobs = made.blobs(packing);
        let alone = tokio::task::spawn_blocking(move || made::unpack_alone(&blobs, cores)).await;
        let alone = alone.map_err(|error| failed("unpack alone", &error))?;
        let alone = alone.map_err(|error| failed("unpack alone", &error))?;
        let rate = mib(made.bytes) / best.as_secs_f64();
        report.times([times]);
        report.figure(
            format!("{packing}: downloaded"),
            mib(made.packed(packing)),
            "MiB",
        );
        report.figure(
            format!("{packing}: files a second, best turn"),
            rate,
            "MiB/s",
        );
        report.figure(format!("{packing}: cores busy, best turn"), busy, "");
        report.figure(
            format!("{packing}: decompression alone, all cores"),
            alone.as_secs_f64() * 1000.0,
            "ms",
        );
        report.figure(
            format!("{packing}: most memory of the process"),
            mib(peak << 10),
            "MiB",
        );
    }
    drop(progress);
    Ok(report.end())
}

/// Gets an image into a store that has nothing yet.
async fn pull(settings: &Settings, data_dir: &Path, image: &str) -> Result<(), Failure> {
    let store = TemplateStore::new(data_dir);
    let images = Images::new(settings, &store).map_err(|error| Failure::of(Exit::USAGE, &error))?;
    let pulled = images.ground(image, None, &|_| {}).await;
    pulled.map_err(|error| Failure::of(Exit::NO, &error))?;
    Ok(())
}

/// Lets Linux forget how much memory this process had at most so far.
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// KiB that this process had at most since.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The time that this process had a core.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[allow(clippy::cast_precision_loss)] // sizes of files
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::INTERNAL, format!("cannot {what}")).because(error)
}
