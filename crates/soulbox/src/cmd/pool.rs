//! `soulbox pool`: what a server keeps ready.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::{Failure, safe};
use crate::remote;
use crate::terminal;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::{Deserialize, Serialize};

const EXAMPLES: &str = "\
Examples:
  soulbox pool ls
  soulbox pool ls --json | jq '.pools[] | select(.hitRate < 0.9)'

How many wait follows from how many were asked for lately: the settings of section pool bound it.";

/// Flags of `soulbox pool`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the pools of complete sandboxes
    #[command(after_help = "Examples:\n  soulbox pool ls\n  soulbox pool ls --json")]
    Ls {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Which server.
        #[command(flatten)]
        server: ServerFlags,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Pools {
    pools: Vec<Pool>,
}

/// A pool as the server tells it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    template: String,
    network: String,
    memory_bytes: u64,
    own: bool,
    loaded: Option<String>,
    target: u64,
    ready: u64,
    taken: u64,
    missed: u64,
    hit_rate: Option<f64>,
    arrivals_per_second: f64,
    foreseen: u64,
    forecast_error: Option<f64>,
}

/// Does what was asked.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let Verb::Ls { json, server } = &args.verb;
    let (_, server) = server.open(global)?;
    let all: Pools = remote::block_on(async { Ok(server.get("/v1/pools").await?) })?;
    match json {
        true => terminal::print_json(&all)?,
        false => terminal::print(&table(&all))?,
    }
    Ok(Exit::SUCCESS)
}

fn table(all: &Pools) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "template",
        "network",
        "memory",
        "whose",
        "waiting copy",
        "target",
        "ready",
        "taken",
        "missed",
        "hit rate",
        "per second",
        "foreseen",
        "off by",
    ]);
    for pool in &all.pools {
        let rate = pool.hit_rate.map(|rate| format!("{:.1} %", rate * 100.0));
        let off = pool.forecast_error.map(|error| format!("{error:.1}"));
        let cells = [
            safe(&pool.template),
            safe(&pool.network),
            format!("{} MiB", pool.memory_bytes >> 20),
            if pool.own { "own" } else { "anybody's" }.to_owned(),
            pool.loaded.as_deref().map(safe).unwrap_or_default(),
            pool.target.to_string(),
            pool.ready.to_string(),
            pool.taken.to_string(),
            pool.missed.to_string(),
            rate.unwrap_or_default(),
            format!("{:.2}", pool.arrivals_per_second),
            pool.foreseen.to_string(),
            off.unwrap_or_default(),
        ];
        table.add_row(cells.map(|cell| cell.replace('\n', " ")));
    }
    table.trim_fmt()
}
