//! `soulbox ps`: the sandboxes of a server.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, Server};
use crate::terminal;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};
use soulbox_client::Listed;
use soulbox_model::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  soulbox ps
  soulbox ps --all
  soulbox ps --json | jq -r '.sandboxes[].sandboxID'
  soulbox kill $(soulbox ps -q)";

/// Flags of `soulbox ps`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Those that ended last, too
    #[arg(short, long)]
    all: bool,
    /// Print the ids only
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Prints the list, the newest first.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    let (live, ended) = remote::block_on(ask(&server, args.all))?;
    if args.json {
        let ended = ended.into_iter();
        let all: Vec<_> = live.iter().map(|one| json!(one)).chain(ended).collect();
        terminal::print_json(&json!({ "sandboxes": all }))?;
        return Ok(Exit::SUCCESS);
    }
    if args.quiet {
        let ids = live.iter().map(|one| one.sandbox_id.to_string());
        let ended = ended.iter().map(|one| word(one, "/sandboxID"));
        for id in ids.chain(ended) {
            terminal::print(&id)?;
        }
        return Ok(Exit::SUCCESS);
    }
    terminal::print(&table(&live, &ended))?;
    Ok(Exit::SUCCESS)
}

async fn ask(server: &Server, all: bool) -> Result<(Vec<Listed>, Vec<Value>), Failure> {
    let live = server.list().await?;
    let ended = match all {
        true => server.ended().await?,
        false => Vec::new(),
    };
    Ok((live, ended))
}

fn table(live: &[Listed], ended: &[Value]) -> String {
    let now = Moment::now();
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "id",
        "template",
        "state",
        "started",
        "time left",
        "cpus",
        "memory",
        "metadata",
    ]);
    for one in live {
        let started = Moment::parse(&one.started_at).map(|at| now.since(at));
        let left = Moment::parse(&one.end_at).map(|at| at.since(now));
        table.add_row(
            [
                one.sandbox_id.to_string(),
                one.template_id.clone(),
                one.state.clone(),
                started.map_or_else(unknown, ago),
                match one.state.as_str() {
                    "paused" => "stands still".to_owned(),
                    _ => left.map_or_else(unknown, short),
                },
                one.cpu_count.to_string(),
                format!("{} MiB", one.memory_mb),
                notes(&one.metadata),
            ]
            .map(|cell| plain(&cell)),
        );
    }
    for one in ended {
        let started = Moment::parse(&word(one, "/startedAt")).map(|at| now.since(at));
        let end = Moment::parse(&word(one, "/ended/at")).map(|at| now.since(at));
        let cause = word(one, "/ended/cause").replace('_', " ");
        table.add_row(
            [
                word(one, "/sandboxID"),
                word(one, "/template"),
                format!("ended {}: {cause}", end.map_or_else(unknown, ago)),
                started.map_or_else(unknown, ago),
                String::new(),
                String::new(),
                String::new(),
                one.pointer("/metadata")
                    .and_then(|notes| serde_json::from_value(notes.clone()).ok())
                    .map_or_else(String::new, |map| notes(&map)),
            ]
            .map(|cell| plain(&cell)),
        );
    }
    table.trim_fmt()
}

fn word(value: &Value, pointer: &str) -> String {
    let word = value.pointer(pointer).and_then(Value::as_str);
    word.unwrap_or_default().to_owned()
}

fn unknown() -> String {
    "?".to_owned()
}

fn ago(time: Duration) -> String {
    format!("{} ago", short(time))
}

/// A length of time in whole seconds, or minutes, hours, days once these are enough.
fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Metadata on one line, cut where it is long.
fn notes(metadata: &BTreeMap<String, String>) -> String {
    const LONGEST: usize = 60;
    let pairs: Vec<_> = metadata
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let line = pairs.join(" ");
    match line.chars().count() > LONGEST {
        true => line.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => line,
    }
}

/// Without what would move the cursor: clients choose metadata.
fn plain(text: &str) -> String {
    crate::failure::safe(&text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_notes_do_not_reach_the_terminal_as_escapes() {
        let one = Listed {
            sandbox_id: "iabc".parse().unwrap(),
            template_id: "host".to_owned(),
            state: "running".to_owned(),
            started_at: Moment::now().to_string(),
            end_at: Moment::now().plus(Duration::from_secs(90)).to_string(),
            cpu_count: 2,
            memory_mb: 1024,
            metadata: [("a".to_owned(), "\x1b[2J\nx".to_owned())].into(),
            isolation: String::new(),
        };
        let table = table(&[one], &[]);
        assert!(!table.contains('\x1b'), "{table:?}");
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(
            table.contains("iabc") && table.contains("running"),
            "{table}"
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(short(Duration::from_secs(59)), "59 s");
        assert_eq!(short(Duration::from_secs(600)), "10 min");
        assert_eq!(short(Duration::from_secs(3 * 86_400)), "3 days");
    }
}
