//! `soulbox events`: what happened to the sandboxes of a server, and what happens.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::{Failure, safe};
use crate::remote::{self, Server, find};
use crate::signal::Stop;
use crate::terminal;
use serde::Deserialize;
use serde_json::{Value, json};
use soulbox_client::follow::{Follow, Message};

const EXAMPLES: &str = "\
Examples:
  soulbox events
  soulbox events -f
  soulbox events i3f9
  soulbox events i3f9 -f --json

Without an ID: what happened since the server started, the last of it. With one: all that is remembered of that
sandbox, also after its end; followed, it ends with the sandbox.";

/// Flags of `soulbox events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The id of one sandbox, or how it begins
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Go on telling until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Print one JSON object; with --follow, one for each event
    #[arg(long)]
    json: bool,
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Events as the server tells them.
#[derive(Deserialize)]
struct Events {
    events: Vec<Value>,
}

/// Prints the events, the oldest first.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    remote::block_on(async {
        let path = match &args.id {
            Some(text) => {
                let id = find::known(&server, text).await?;
                format!("/v1/sandboxes/{id}/events")
            }
            None => "/v1/events".to_owned(),
        };
        match args.follow {
            true => follow(&server, &path, args.json).await,
            false => once(&server, &path, args.json).await,
        }
    })
}

async fn once(server: &Server, path: &str, as_json: bool) -> Result<Exit, Failure> {
    let told: Events = server.get(path).await?;
    if as_json {
        terminal::print_json(&json!({ "events": told.events }))?;
        return Ok(Exit::SUCCESS);
    }
    for event in &told.events {
        terminal::print(&line(event))?;
    }
    Ok(Exit::SUCCESS)
}

async fn follow(server: &Server, path: &str, as_json: bool) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let mut events = Follow::open(server, &format!("{path}?follow=true")).await?;
    loop {
        let message = tokio::select! {
            message = events.next() => message?,
            () = stop.wait() => return Ok(Exit::SUCCESS),
        };
        match message {
            None => return Ok(Exit::SUCCESS),
            Some(Message { kind, .. }) if kind == "stopping" => {
                return Err(Failure::new(Exit::SERVER, "the server is being stopped"));
            }
            Some(Message { kind, data }) if kind == "lagged" => {
                terminal::warn(&format!("note: events were missed: {}", safe(&data)));
            }
            Some(Message { data, .. }) => {
                let event: Value =
                    serde_json::from_str(&data).map_err(|error| server.unreadable(error))?;
                match as_json {
                    true => terminal::print_json(&event)?,
                    false => terminal::print(&line(&event))?,
                }
            }
        }
    }
}

/// An event on one line: when, whose, what, why.
fn line(event: &Value) -> String {
    let word = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut line = format!(
        "{} {} {}",
        word("timestamp"),
        word("sandboxID"),
        word("kind").replace('_', " ")
    );
    let cause = word("cause").replace('_', " ");
    for more in [cause.as_str(), word("detail")] {
        if !more.is_empty() {
            line.push_str(": ");
            line.push_str(more);
        }
    }
    safe(&line.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event = json!({
            "timestamp": "2026-01-02T03:04:05.678Z", "sandboxID": "iabc", "kind": "ended",
            "cause": "out_of_memory", "detail": "Linux killed \x1b[2Jx\ny",
        });
        assert_eq!(
            line(&event),
            "2026-01-02T03:04:05.678Z iabc ended: out of memory: Linux killed \u{fffd}[2Jx y"
        );
    }
}
