//! A command in a live sandbox.

use super::super::baseline::Baseline;
use super::super::report::{Report, Times};
use super::Args;
use super::client::{self, Address, Api};
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_runtime::agent_client::StartRequest;
use std::time::Instant;

/// How many are not counted at first.
const WARM: u32 = 10;
/// How many are measured before the next way has its turn.
const TURN: u32 = 10;
/// How many clients there are at once, each with its own sandbox.
const AT_ONCE: u32 = 4;

pub(super) async fn measure(
    address: &Address,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    // The host's shell without its profiles, which are the operator's own.
    let ways = [
        (
            ("bash -l -c true", "bash -c true"),
            client::line("true"),
            &["/bin/bash", "-c", "true"][..],
        ),
        (
            ("/bin/true", "/bin/true"),
            client::program("/bin/true", &[]),
            &["/bin/true"][..],
        ),
    ];
    let mut api = Api::new(address);
    let made = api.create(&args.common.template).await?;
    let agent = api.agent(&made)?;
    let plain = Baseline::there().into_iter().next();
    let mut rows = Vec::new();
    for ((name, outside), request, words) in &ways {
        let (inside, outside) = (
            Times::of(*name)?,
            Times::of(format!("{outside} on the host"))?,
        );
        rows.push((request, *words, inside, outside));
        for _ in 0..WARM {
            client::run(&agent, request).await?;
        }
    }
    let progress = Progress::bar(
        "running commands through the server",
        u64::from(args.commands),
    );
    for _ in 0..args.commands.div_ceil(TURN) {
        for (request, words, inside, outside) in &mut rows {
            for _ in 0..TURN {
                let begin = Instant::now();
                client::run(&agent, request).await?;
                inside.add(begin.elapsed());
            }
            if let Some(plain) = plain {
                plain.measure(words, TURN, outside);
            }
        }
        progress.advance(u64::from(TURN));
    }
    drop(progress);
    api.kill(&made).await?;
    for (_, _, inside, outside) in rows {
        report.times([inside, outside]);
    }
    for ((name, outside), request, words) in &ways {
        let count = args.commands;
        let inside = at_once(address, args, name, request).await?;
        report.times([inside]);
        if let Some(plain) = plain {
            report.times([plain
                .measure_at_once(words, count, AT_ONCE)?
                .named(format!("{outside} on the host, {AT_ONCE} at once"))]);
        }
    }
    Ok(())
}

/// Several clients, each with commands one after the other.
async fn at_once(
    address: &Address,
    args: &Args,
    name: &str,
    request: &StartRequest,
) -> Result<Times, Failure> {
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        let mut api = Api::new(address);
        let made = api.create(&args.common.template).await?;
        let agent = api.agent(&made)?;
        client::run(&agent, request).await?;
        clients.push((api, made, agent));
    }
    let mut times = Times::of(format!("{name}, {AT_ONCE} at once"))?;
    let each = args.commands / AT_ONCE;
    let begin = Instant::now();
    let running = clients.iter().map(|(_, _, agent)| {
        let (agent, request) = (agent.clone(), request.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            for _ in 0..each {
                let begin = Instant::now();
                client::run(&agent, &request).await?;
                took.push(begin.elapsed());
            }
            Ok::<_, Failure>(took)
        })
    });
    let running: Vec<_> = running.collect();
    for client in running {
        let took = client.await;
        let took = took.map_err(|error| super::failed("a client broke").because(&error))??;
        took.into_iter().for_each(|time| times.add(time));
    }
    times.took(begin.elapsed());
    for (mut api, made, _) in clients {
        api.kill(&made).await?;
    }
    Ok(times)
}
