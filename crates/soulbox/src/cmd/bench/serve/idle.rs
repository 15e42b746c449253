//! The server's memory: without work, and with streams that have nothing to tell.

use super::super::report::Report;
use super::client::{self, Api};
use super::server::Server;
use super::{Args, failed, figure, megabytes};
use crate::failure::Failure;
use crate::terminal::Progress;
use std::time::Duration;

/// How long the server may settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Streams of one sandbox.
const EACH: u32 = 50;

pub(super) async fn measure(
    server: &Server,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    tokio::time::sleep(SETTLE).await;
    let idle = server.memory_kib();
    report.figure("PSS of the idle server", megabytes(idle), "MB");
    report.figure(
        "PSS of the sandboxes that it keeps ready",
        megabytes(server.agents_kib()),
        "MB",
    );
    let progress = Progress::bar("opening streams", u64::from(args.streams));
    let mut api = Api::new(server.address());
    let mut sandboxes = Vec::new();
    for _ in 0..args.streams.div_ceil(EACH) {
        let made = api.create(&args.common.template).await?;
        let agent = api.agent(&made)?;
        let sleep = client::start(&agent, &client::program("/bin/sleep", &["600"])).await?;
        sandboxes.push((made, agent, sleep));
    }
    tokio::time::sleep(SETTLE).await;
    let before = (server.memory_kib(), server.agents_kib());
    let mut streams = Vec::new();
    for (_, agent, sleep) in &sandboxes {
        for _ in 0..EACH {
            let stream = agent.connect(sleep.pid()).await;
            streams.push(stream.map_err(|error| failed("cannot open a stream").because(&error))?);
            progress.advance(1);
        }
    }
    drop(progress);
    tokio::time::sleep(SETTLE).await;
    let after = (server.memory_kib(), server.agents_kib());
    let count = f64::from(u32::try_from(streams.len()).unwrap_or(u32::MAX));
    let more = |before: u64, after: u64| figure(after.saturating_sub(before)) / count * 1.024;
    report.figure("idle streams", count, "");
    report.figure(
        "PSS of the server for an idle stream",
        more(before.0, after.0),
        "kB",
    );
    report.figure(
        "PSS of the agent for an idle stream",
        more(before.1, after.1),
        "kB",
    );
    drop(streams);
    for (made, ..) in sandboxes {
        api.kill(&made).await?;
    }
    Ok(())
}
