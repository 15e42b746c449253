//! `soulbox template inspect`.

use super::{failed, name, store};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use serde_json::json;
use soulbox_node::template::Inspected;
use std::fmt::Write;

const EXAMPLES: &str = "\
Examples:
  soulbox template inspect host
  soulbox template inspect base --json";

/// Flags of `soulbox template inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The template
    name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let store = store(global)?;
    engine::take_rights()?;
    let inspected = store
        .inspect(&name(&args.name)?)
        .map_err(|error| failed(&error))?;
    if args.json {
        terminal::print_json(&json!({
            "record": inspected.record,
            "rootfs": inspected.rootfs,
            "in_use": inspected.in_use,
            "outdated": inspected.outdated,
        }))?;
    } else {
        terminal::print(&page(&inspected))?;
    }
    Ok(Exit::SUCCESS)
}

fn page(inspected: &Inspected) -> String {
    let record = &inspected.record;
    let none = || "none".to_owned();
    let programs: Vec<_> = record.programs.iter().map(String::as_str).collect();
    let lines = [
        ("name", record.name.to_string()),
        ("what it is", record.description.clone()),
        (
            "distribution",
            format!("{} {}", record.distribution.id, record.distribution.version),
        ),
        ("made", record.created.clone()),
        (
            "parent",
            record
                .parent
                .as_ref()
                .map_or_else(none, ToString::to_string),
        ),
        ("recipe", record.recipe.clone().unwrap_or_else(none)),
        (
            "size",
            format!("{} MiB, {} files", record.size.bytes() >> 20, record.files),
        ),
        ("tree", inspected.rootfs.display().to_string()),
        ("user", record.user.clone()),
        ("programs", programs.join(" ")),
        ("in use", inspected.in_use.to_string()),
        ("outdated", inspected.outdated.to_string()),
    ];
    let mut page = String::new();
    for (name, value) in lines {
        let _ = writeln!(page, "{name:<13} {value}");
    }
    page.trim_end().to_owned()
}
