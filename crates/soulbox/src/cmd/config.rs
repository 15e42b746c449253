//! `soulbox config show`: the settings in force and where each came from.

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use clap::Subcommand;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};
use soulbox_settings::{Entry, Origin, Settings};

const EXAMPLES: &str = "\
Examples:
  soulbox config show
  soulbox config show --changed
  soulbox config show --json | jq '.settings[\"sandbox.memory\"]'";

/// Flags of `soulbox config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every setting, its value and where it came from
    #[command(after_help = EXAMPLES)]
    Show {
        /// Only the settings that somebody set
        #[arg(long)]
        changed: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Shows the settings.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let Verb::Show { changed, json } = args.verb;
    let settings = global.settings(Vec::new())?;
    let shown = |entry: &&Entry| !changed || entry.origin != Origin::Default;
    let entries: Vec<_> = settings.entries.iter().filter(shown).collect();
    if json {
        terminal::print_json(&document(&settings, &entries))?;
    } else {
        terminal::print(&page(&settings, &entries))?;
    }
    for name in &settings.unknown_variables {
        terminal::warn(&format!("note: the variable {name} belongs to no setting"));
    }
    Ok(Exit::SUCCESS)
}

fn page(settings: &Settings, entries: &[&Entry]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["setting", "value", "from"]);
    for entry in entries {
        table.add_row([&entry.key, &entry.value, &entry.origin.to_string()]);
    }
    let file = match &settings.file {
        Some(path) => path.display().to_string(),
        None => "none found".to_owned(),
    };
    format!("configuration file: {file}\n\n{}", table.trim_fmt())
}

fn document(settings: &Settings, entries: &[&Entry]) -> Value {
    let one = |entry: &&Entry| {
        let about = json!({
            "value": entry.value,
            "default": entry.default,
            "origin": entry.origin.to_string(),
            "variable": entry.variable,
        });
        (entry.key.clone(), about)
    };
    json!({
        "file": settings.file,
        "settings": entries.iter().map(one).collect::<serde_json::Map<_, _>>(),
        "unknown_variables": settings.unknown_variables,
    })
}
