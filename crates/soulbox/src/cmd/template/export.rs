//! `soulbox template export`.

use super::{failed, name, store};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal::{self, Progress};
use soulbox_image::oci::archive::export::{ExportError, Packing};
use soulbox_model::TemplateName;
use soulbox_node::template::TemplateStore;
use soulbox_node::template::archives::ExportFailure;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EXAMPLES: &str = "\
Examples:
  soulbox template export mine mine.tar
  soulbox template export mine - --zstd | ssh other soulbox template import - --name mine
  soulbox template export mine - | docker load";

/// What is written at once.
const BUFFER: usize = 256 << 10;

/// Flags of `soulbox template export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The template
    name: String,
    /// The OCI archive that is written; `-` writes it to stdout
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// Pack layers by zstd, which is faster and smaller, and not by gzip, which everything reads
    #[arg(long)]
    zstd: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (store, name) = (store(global)?, name(&args.name)?);
    let stdout = args.to == Path::new("-");
    if stdout && terminal::stdout_is_terminal() {
        return Err(Failure::new(
            Exit::USAGE,
            "an archive is nothing for a terminal: name a file",
        ));
    }
    engine::take_rights()?;
    let packing = match args.zstd {
        true => Packing::Zstd,
        false => Packing::Gzip,
    };
    let runtime = engine::runtime()?;
    runtime.block_on(async {
        let stop = Stop::listen()?;
        let asked = Arc::new(AtomicBool::new(false));
        let mut exporting = tokio::task::spawn_blocking({
            let (to, asked) = (args.to.clone(), Arc::clone(&asked));
            move || match stdout {
                true => export(&store, &name, packing, &mut io::stdout().lock(), &asked),
                false => to_file(&store, &name, packing, &to, &asked),
            }
        });
        let ended = tokio::select! {
            ended = &mut exporting => ended,
            () = stop.wait() => {
                asked.store(true, Ordering::Relaxed);
                exporting.await
            }
        };
        let ending = |_| Failure::new(Exit::INTERNAL, "the export ended early");
        ended.map_err(ending)?
    })?;
    Ok(Exit::SUCCESS)
}

fn export(
    store: &TemplateStore,
    name: &TemplateName,
    packing: Packing,
    out: &mut dyn Write,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let progress = Progress::percent(&format!("packing template {name}"));
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let written = store.export(name, packing, &mut out, stop, &|done, all| {
        progress.to(done as u64 * 100 / all.max(1) as u64);
        progress.say(&format!("{done} of {all} layers packed"));
    });
    written.map_err(|error| match &error {
        ExportFailure::Template(error) => failed(error),
        ExportFailure::OfHost(_) => Failure::of(Exit::USAGE, &error),
        ExportFailure::Export { source, .. } => match source {
            ExportError::Stopped => Failure::of(Exit::KILLED, source),
            _ => Failure::of(Exit::NO, &error),
        },
    })
}

/// Writes beside the file and gives it its name when it is whole.
fn to_file(
    store: &TemplateStore,
    name: &TemplateName,
    packing: Packing,
    to: &Path,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let refused = |error: io::Error| {
        Failure::new(Exit::NO, format!("cannot write {}", to.display())).because(&error)
    };
    let last = to.file_name().unwrap_or_default().to_string_lossy();
    let aside = Aside(to.with_file_name(format!(".{last}.{}.part", std::process::id())));
    let mut file = File::create_new(&aside.0).map_err(refused)?;
    export(store, name, packing, &mut file, stop)?;
    std::fs::rename(&aside.0, to).map_err(refused)
}

/// A file that goes when it did not get its name.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}
