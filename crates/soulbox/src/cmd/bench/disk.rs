//! Where sandboxes' writes go: each storage under many sandboxes at once, and how well its limit
//! holds.

use super::Common;
use super::bed;
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_model::{ByteSize, NetworkMode, SandboxSpec};
use soulbox_node::{Node, NodeError, Sandbox};
use soulbox_runtime::agent_client::{ProcessEvent, StartRequest};
use soulbox_settings::{Backend, Flag};
use std::sync::Arc;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench disk
  soulbox bench disk --count 1000 --at-once 50 --json > disk.json";

/// What each sandbox writes: a file of 16 MiB, and 200 small ones.
const WRITE: &str = "head -c 16M /dev/zero >/tmp/large && mkdir /tmp/small && cd /tmp/small && \
                     head -c 819200 /dev/zero | split -b 4096 -a 3 -";

/// Writes one file until it is refused, and tells its size.
const FILL: &str = "cat /dev/zero 2>/dev/null >/tmp/full; wc -c </tmp/full";

/// Makes files of 4 KiB until one is refused, and tells how many are complete.
const FILL_SMALL: &str = "mkdir /tmp/s && cd /tmp/s && \
    cat /dev/zero | split -b 4096 -a 6 - 2>/dev/null; find . -size 8 | wc -l";

/// The disk and the memory of a sandbox whose limit is tried.
const TRIED: ByteSize = ByteSize::mib(256);
const MEMORY: ByteSize = ByteSize::mib(512);

/// Flags of `soulbox bench disk`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many sandboxes of each storage
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How many live side by side
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1024))]
    at_once: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("disk", &args.common.template);
    let progress = Progress::spinner("starting");
    for backend in [Backend::Memory, Backend::Btrfs, Backend::ProjectQuota] {
        let Some(node) = start(global, backend).await? else {
            continue;
        };
        progress.say(&format!("{backend}: {} at once", args.at_once));
        let spec = bed::spec(&node, &args.common.template, NetworkMode::None)?;
        report.times(many(&node, args, &spec, backend).await?);
        progress.say(&format!("{backend}: limits"));
        limits(&node, &spec, backend, &mut report).await?;
        node.stop().await;
    }
    Ok(report.end())
}

/// An engine with that storage; none where the host does not have it.
async fn start(global: &Global, backend: Backend) -> Result<Option<Arc<Node>>, Failure> {
    let flag = |key, value: &str| Flag {
        key,
        flag: "of the bench",
        value: value.to_owned(),
    };
    let mut flags = engine::without_pools();
    flags.push(flag("storage.backend", backend.as_str()));
    flags.push(flag("spawner.create_timeout", "60s"));
    let settings = Arc::new(global.settings(flags)?);
    match Node::start(settings).await {
        Ok(node) => Ok(Some(node)),
        Err(NodeError::Storage(error)) => {
            crate::terminal::warn(&format!("note: {backend} is left out: {error}"));
            Ok(None)
        }
        Err(error) => Err(Failure::of(Exit::HOST, &error)),
    }
}

/// The times of a sandbox: create, write, destroy.
type Laps = [Duration; 3];

/// Makes, uses and ends sandboxes, `at_once` of them alive at any time.
async fn many(
    node: &Arc<Node>,
    args: &Args,
    spec: &SandboxSpec,
    backend: Backend,
) -> Result<[Times; 4], Failure> {
    let name = |what: &str| Times::of(format!("{what}, {backend}, {} at once", args.at_once));
    let mut alone = Times::of(format!("create, {backend}, alone"))?;
    // The first ones warm caches and are not counted.
    for counts in (0..5 + args.count.min(100)).map(|number| number >= 5) {
        let begin = Instant::now();
        let sandbox = engine::create(node, spec.clone()).await?;
        if counts {
            alone.add(begin.elapsed());
        }
        sandbox.destroy().await;
    }
    let (mut create, mut write, mut destroy) = (name("create")?, name("write")?, name("destroy")?);
    let mut tasks = tokio::task::JoinSet::new();
    let begin = Instant::now();
    let mut started = 0;
    loop {
        while started < args.count && tasks.len() < args.at_once as usize {
            let (node, spec) = (Arc::clone(node), spec.clone());
            tasks.spawn(async move { cycle(&node, spec).await });
            started += 1;
        }
        let Some(done) = tasks.join_next().await else {
            break;
        };
        let laps = done.map_err(|error| Failure::of(Exit::INTERNAL, &error))??;
        for (times, lap) in [&mut create, &mut write, &mut destroy]
            .into_iter()
            .zip(laps)
        {
            times.add(lap);
        }
    }
    create.took(begin.elapsed());
    Ok([alone, create, write, destroy])
}

async fn cycle(node: &Node, spec: SandboxSpec) -> Result<Laps, Failure> {
    let begin = Instant::now();
    let sandbox = engine::create(node, spec).await?;
    let created = begin.elapsed();
    let written = bed::run(&sandbox, &["/bin/sh", "-c", WRITE]).await;
    let write = begin.elapsed();
    sandbox.destroy().await;
    written?;
    Ok([created, write - created, begin.elapsed() - write])
}

/// Fills disks of a known size and tells what they held.
async fn limits(
    node: &Node,
    spec: &SandboxSpec,
    backend: Backend,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut spec = spec.clone();
    (spec.limits.disk, spec.limits.memory) = (TRIED, MEMORY);
    #[allow(clippy::cast_precision_loss, reason = "a few hundred MiB")]
    let asked = TRIED.bytes() as f64;
    let held = fill(node, &spec, FILL).await?;
    report.figure(
        format!("limit on {backend}, one file, off by"),
        (held - asked).abs() / asked * 100.0,
        "%",
    );
    let files = fill(node, &spec, FILL_SMALL).await?;
    report.figure(
        format!("files of 4 KiB that {TRIED} of {backend} hold"),
        files,
        "files",
    );
    Ok(())
}

/// The number that a script prints in a sandbox of its own.
async fn fill(node: &Node, spec: &SandboxSpec, script: &str) -> Result<f64, Failure> {
    let sandbox = engine::create(node, spec.clone()).await?;
    let told = output(&sandbox, script).await;
    sandbox.destroy().await;
    told
}

/// The number that a script prints.
async fn output(sandbox: &Sandbox, script: &str) -> Result<f64, Failure> {
    let failed = || Failure::new(Exit::INTERNAL, "cannot fill the sandbox's disk");
    let request = StartRequest {
        cmd: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        ..StartRequest::default()
    };
    let mut stream = sandbox
        .agent()
        .start(&request)
        .await
        .map_err(|error| failed().because(&error))?;
    let mut text = String::new();
    while let Some(event) = stream
        .next()
        .await
        .map_err(|error| failed().because(&error))?
    {
        if let ProcessEvent::Stdout(bytes) = event {
            text += &String::from_utf8_lossy(&bytes);
        }
    }
    text.trim().parse().map_err(|_| failed())
}
