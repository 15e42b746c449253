//! `soulbox template ls`.

use super::{failed, store};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};
use soulbox_node::template::Listed;

const EXAMPLES: &str = "\
Examples:
  soulbox template ls
  soulbox template ls --json";

/// Flags of `soulbox template ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let all = store(global)?.list().map_err(|error| failed(&error))?;
    if args.json {
        let templates: Vec<_> = all.iter().map(document).collect();
        terminal::print_json(&json!({ "templates": templates }))?;
    } else {
        terminal::print(&table(&all))?;
    }
    Ok(Exit::SUCCESS)
}

fn document(listed: &Listed) -> Value {
    match &listed.record {
        Ok(record) => json!(record),
        Err(error) => json!({ "name": listed.name, "error": error.to_string() }),
    }
}

fn table(all: &[Listed]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["name", "distribution", "size", "made", "what it is"]);
    for listed in all {
        let name = listed.name.to_string();
        match &listed.record {
            Ok(record) => {
                let distribution = &record.distribution;
                table.add_row([
                    name,
                    format!("{} {}", distribution.id, distribution.version),
                    format!("{} MiB", record.size.bytes() >> 20),
                    record.created.clone(),
                    record.description.clone(),
                ]);
            }
            Err(error) => {
                table.add_row([name, "?".into(), "?".into(), "?".into(), error.to_string()]);
            }
        }
    }
    table.trim_fmt()
}
