//! Cells in contexts that keep their state, at the agent's own socket and through the real `soulbox serve`; new
//! contexts; what a context holds; and code that keeps nothing, in a fresh sandbox each.
//!
//! This process is who asks: its own share of the processors is told. Every answer is looked at: one that is not what
//! the cell prints ends the bench.

mod cell;
mod context;
mod fresh;
mod process;

use super::Common;
use super::execute::{end, serve};
use super::reference::Compared;
use super::reference::published::{CELL, CELLS, CONTEXT, CONTEXT_MEMORY, CONTEXTS};
use super::reference::table::{Elsewhere, Line, Target};
use super::report::Report;
use super::talk::{Talk, Whom};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use std::path::Path;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench kernels --template code-interpreter-v1
  soulbox bench kernels --template code-interpreter-v1 --count 2000 --json > kernels.json";

/// The virtual port of kernels.
const PORT: &str = "49999";
/// How long a server may take until it can make sandboxes, its template's zygote included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after a context was made another process surely waits for the next.
const REST: Duration = Duration::from_secs(1);
/// How many cells and contexts do not count at first.
const WARM: u32 = 10;

/// Flags of `soulbox bench kernels`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many cells are run one by one, in each way
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How many seconds the contexts that are used at once are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many contexts are used at once
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
    users: u32,
    /// How many contexts are made one by one
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    contexts: u32,
    /// How many contexts are made at once
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    burst: u32,
    /// How often each program is run in a fresh sandbox
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    fresh: u32,
    /// How often JavaScript is started in each way that needs a rest before
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    javascript: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

/// A sandbox with kernels, and the ways to it.
struct Bed {
    /// To the server itself.
    server: Whom,
    /// To the sandbox's kernels through the server.
    through: Whom,
    /// To them at the agent.
    agent: Whom,
    /// Of the sandbox.
    id: String,
}

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "sandboxID")]
    id: String,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("kernels", &args.common.template);
    let program = std::env::current_exe().map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
    let settings = global.settings(Vec::new())?;
    let (child, address, key) = serve(&program, &settings.paths.data_dir, &[]).await?;
    let pid = child.id().unwrap_or_default();
    let found = (&*address, &*key, pid, &*settings.paths.run_dir);
    let done = with_server(args, found, &mut report).await;
    end(child).await;
    done?;
    Ok(report.end())
}

/// What was measured beside what others published and what is wanted.
fn beside(args: &Args, report: &Report) -> Compared {
    let line = |what: &str, unit, value, elsewhere: &[Elsewhere], target| {
        let line = Line::new(what, unit, [value]).beside(elsewhere);
        line.held_to(target)
    };
    let p50 = |what: &str, elsewhere: &[Elsewhere], most| {
        let name = format!("{what}, p50");
        line(
            &name,
            "ms",
            report.p50(what),
            elsewhere,
            Target::AtMost(most),
        )
    };
    let plain = |what: &str| Line::new(format!("{what}, p50"), "ms", [report.p50(what)]);
    let memory = |what: &str, elsewhere: &[Elsewhere], most| {
        let name = format!("private memory of a Python context, {what}");
        let value = report.value(&name);
        line(&name, "MB", value, elsewhere, Target::AtMost(most))
    };
    let many = format!("print in {} contexts, through the server", args.users);
    let burst = format!(
        "{} new Python contexts at once, until all are there",
        args.burst
    );
    let about = "The client is one process with one thread; its share of the processors is among the figures.";
    Compared::new("Kernels", about, &["SoulBox"])
        .line(p50("print in a kept context, at the agent", &[], 0.6))
        .line(p50(
            "print in a kept context, through the server",
            &CELL,
            1.0,
        ))
        .line(line(
            &many,
            "per second",
            report.rate(&many),
            &CELLS,
            Target::AtLeast(3000.0),
        ))
        .line(p50("new Python context", &CONTEXT, 10.0))
        .line(line(
            &burst,
            "s",
            report.value(&burst),
            &CONTEXTS,
            Target::AtMost(2.0),
        ))
        .line(memory("bare", &CONTEXT_MEMORY, 4.0))
        .line(memory("with pandas imported", &[], 5.0))
        .line(plain("new JavaScript context, a process waited"))
        .line(plain("new JavaScript context, none waited"))
}

async fn with_server(
    args: &Args,
    (address, key, pid, run_dir): (&str, &str, u32, &Path),
    report: &mut Report,
) -> Result<(), Failure> {
    let server = Whom::server(address, &[("x-api-key", key)])?;
    let mut talk = server.open().await?;
    let id = make(&mut talk, &args.common.template).await?;
    let headers = [("e2b-sandbox-id", &*id), ("e2b-sandbox-port", PORT)];
    let through = Whom::server(address, &headers)?;
    let context = cell::new_context(&mut through.open().await?, "python").await?;
    let agent = process::agent_of(pid, run_dir, &context).await?;
    let bed = Bed {
        server,
        through,
        agent,
        id,
    };
    cell::one_by_one(&bed, &context, args, report).await?;
    cell::at_once(&bed, args, report).await?;
    context::one_by_one(&bed, args, report).await?;
    context::burst(&bed, args, report).await?;
    context::memory(&bed, report).await?;
    context::javascript(&bed, args, report).await?;
    let path = format!("/sandboxes/{}", bed.id);
    let wanted = StatusCode::NO_CONTENT;
    let gone = talk.expect(Method::DELETE, &path, Bytes::new(), wanted);
    gone.await?;
    let table = beside(args, report);
    report.compare(table);
    fresh::measure(&bed.server, args, report).await
}

/// Makes a sandbox as soon as the server can.
async fn make(talk: &mut Talk, template: &str) -> Result<String, Failure> {
    let asked = serde_json::json!({ "templateID": template, "timeout": 3600 });
    let asked = Bytes::from(asked.to_string());
    let begin = Instant::now();
    loop {
        let path = "/v2/sandboxes";
        let made = talk.expect(Method::POST, path, asked.clone(), StatusCode::CREATED);
        match made.await {
            Ok(answer) => {
                let made = serde_json::from_slice::<Made>(&answer);
                return made
                    .map(|made| made.id)
                    .map_err(|error| Failure::of(Exit::INTERNAL, &error));
            }
            Err(failure) if begin.elapsed() > PATIENCE => return Err(failure),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
