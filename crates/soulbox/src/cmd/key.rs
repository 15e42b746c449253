//! `soulbox key`: the keys of a server.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::{Failure, safe};
use crate::remote;
use crate::terminal;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  soulbox key create ci
  soulbox key create first --team acme
  soulbox key ls
  soulbox key rm 1f3c

A key sees the sandboxes of its team alone. Keys of the team default are the operator's: with --team they act
for any team, and make its first key.";

/// Flags of `soulbox key`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a key and print it: it is told this once
    #[command(after_help = "Examples:\n  soulbox key create ci\n  soulbox key create ci > key")]
    Create {
        /// What it is for
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Which server.
        #[command(flatten)]
        server: ServerFlags,
    },
    /// List the keys, without what is secret of them
    #[command(after_help = "Examples:\n  soulbox key ls\n  soulbox key ls --json")]
    Ls {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Which server.
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Remove keys: who has them is refused from then on
    #[command(after_help = "Examples:\n  soulbox key rm 1f3c\n  soulbox key rm ci")]
    Rm {
        /// Their ids or names, or how the ids begin
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// Which server.
        #[command(flatten)]
        server: ServerFlags,
    },
}

/// A key as the server tells it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: String,
    name: String,
    mask: Mask,
    created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mask {
    prefix: String,
    masked_value_prefix: String,
    masked_value_suffix: String,
}

/// Does what was asked.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Create { name, json, server } => create(global, server, name, *json),
        Verb::Ls { json, server } => list(global, server, *json),
        Verb::Rm { ids, server } => remove(global, server, ids),
    }
}

fn create(global: &Global, flags: &ServerFlags, name: &str, json: bool) -> Result<Exit, Failure> {
    let (_, server) = flags.open(global)?;
    let made: Key = remote::block_on(async {
        let made = server.post("/api-keys", &json!({ "name": name })).await;
        made.map_err(Failure::from)
    })?;
    match (json, &made.key) {
        (true, _) => terminal::print_json(&made)?,
        (false, Some(key)) => terminal::print(key)?,
        (false, None) => {
            return Err(Failure::new(
                Exit::SERVER,
                "the server made a key and did not tell it",
            ));
        }
    }
    Ok(Exit::SUCCESS)
}

fn list(global: &Global, flags: &ServerFlags, json: bool) -> Result<Exit, Failure> {
    let (_, server) = flags.open(global)?;
    let all: Vec<Key> = remote::block_on(async { Ok(server.get("/api-keys").await?) })?;
    if json {
        terminal::print_json(&json!({ "keys": all }))?;
        return Ok(Exit::SUCCESS);
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["id", "name", "key", "made"]);
    for key in &all {
        let mask = &key.mask;
        let shown = format!(
            "{}{}…{}",
            mask.prefix, mask.masked_value_prefix, mask.masked_value_suffix
        );
        let cells = [&key.id, &key.name, &shown, &key.created_at];
        table.add_row(cells.map(|cell| safe(cell).replace('\n', " ")));
    }
    terminal::print(&table.trim_fmt())?;
    Ok(Exit::SUCCESS)
}

fn remove(global: &Global, flags: &ServerFlags, asked: &[String]) -> Result<Exit, Failure> {
    let (_, server) = flags.open(global)?;
    remote::block_on(async {
        let all: Vec<Key> = server.get("/api-keys").await?;
        let ids = asked.iter().map(|text| choose(text, &all));
        for id in ids.collect::<Result<Vec<_>, _>>()? {
            let path = format!("/api-keys/{id}");
            server.have_done(Method::DELETE, &path, None).await?;
            terminal::print(&id)?;
        }
        Ok(Exit::SUCCESS)
    })
}

/// The id of the one key that is meant.
fn choose(text: &str, all: &[Key]) -> Result<String, Failure> {
    let whole = all.iter().filter(|key| key.id == text || key.name == text);
    let mut found: Vec<_> = whole.map(|key| key.id.clone()).collect();
    if found.is_empty() && !text.is_empty() {
        let begun = all.iter().filter(|key| key.id.starts_with(text));
        found = begun.map(|key| key.id.clone()).collect();
    }
    let plain = |id: &String| {
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    match found.as_slice() {
        [one] if plain(one) => Ok(one.clone()),
        [] | [_] => {
            let names = all
                .iter()
                .flat_map(|key| [key.name.as_str(), key.id.as_str()]);
            let failure = Failure::new(Exit::NOT_FOUND, format!("there is no key {text:?}"));
            Err(match soulbox_model::nearest(text, names) {
                Some(near) => failure.help(format!("did you mean {near:?}?")),
                None => failure.help("`soulbox key ls` lists the keys"),
            })
        }
        many => Err(Failure::new(
            Exit::USAGE,
            format!("{text:?} means {} keys: {}", many.len(), many.join(", ")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_its_name_or_how_the_id_begins() {
        let key = |id: &str, name: &str| Key {
            id: id.to_owned(),
            name: name.to_owned(),
            mask: Mask {
                prefix: String::new(),
                masked_value_prefix: String::new(),
                masked_value_suffix: String::new(),
            },
            created_at: String::new(),
            key: None,
        };
        let all = [key("ab12", "ci"), key("ab34", "dev"), key("ff00", "dev")];
        assert_eq!(choose("ci", &all).unwrap(), "ab12");
        assert_eq!(choose("f", &all).unwrap(), "ff00");
        assert_eq!(choose("ab", &all).unwrap_err().exit, Exit::USAGE);
        assert_eq!(choose("dev", &all).unwrap_err().exit, Exit::USAGE);
        assert_eq!(choose("", &all).unwrap_err().exit, Exit::NOT_FOUND);
    }
}
