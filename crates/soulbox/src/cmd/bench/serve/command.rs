//! A command in a live sandbox.

use super::super::baseline::Baseline;
use super::super::report::{Report, Times};
use super::Args;
use super::client::{self, Address, Api, Made};
use crate::failure::Failure;
use crate::terminal::Progress;
use bytes::Bytes;
use soulbox_runtime::agent_client::{AgentClient, StartRequest};
use std::time::Instant;

/// How many are not counted at first.
const WARM: u32 = 10;
/// How many are measured before the next way has its turn.
const TURN: u32 = 10;
/// How many clients there are at once, each with its own sandbox.
const AT_ONCE: u32 = 4;

/// How a command is asked for.
#[derive(Clone)]
enum Way {
    /// As the SDKs do, at the sandbox's agent.
    Envd(Box<StartRequest>),
    /// As one that happens once and whose output is kept (docs/commands.md); what is sent.
    Recorded(Bytes),
}

/// Somebody with a sandbox.
struct User {
    api: Api,
    made: Made,
    agent: AgentClient,
}

impl User {
    async fn new(address: &Address, args: &Args) -> Result<Self, Failure> {
        let mut api = Api::new(address);
        let made = api.create(&args.common.template).await?;
        let agent = api.agent(&made)?;
        Ok(Self { api, made, agent })
    }

    /// Runs a command to its end, which must be a success.
    async fn run(&mut self, way: &Way) -> Result<(), Failure> {
        match way {
            Way::Envd(request) => client::run(&self.agent, request).await.map(drop),
            Way::Recorded(asked) => self.api.record(&self.made, asked.clone()).await,
        }
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.api.kill(&self.made).await
    }
}

pub(super) async fn measure(
    address: &Address,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    // The host's shell without its profiles, which are the operator's own.
    let shell = ("bash -c true", &["/bin/bash", "-c", "true"][..]);
    let program = ("/bin/true", &["/bin/true"][..]);
    let ways = [
        (
            "bash -l -c true",
            Way::Envd(Box::new(client::line("true"))),
            Some(shell),
        ),
        (
            "/bin/true",
            Way::Envd(Box::new(client::program("/bin/true", &[]))),
            Some(program),
        ),
        (
            "/bin/true, recorded",
            Way::Recorded(Bytes::from_static(br#"{"cmd":["/bin/true"]}"#)),
            None,
        ),
    ];
    let mut user = User::new(address, args).await?;
    let plain = Baseline::there().into_iter().next();
    let mut rows = Vec::new();
    for (name, way, outside) in &ways {
        let outside = match outside {
            None => None,
            Some((name, words)) => Some((*words, Times::of(format!("{name} on the host"))?)),
        };
        rows.push((way, Times::of(*name)?, outside));
        for _ in 0..WARM {
            user.run(way).await?;
        }
    }
    let progress = Progress::bar(
        "running commands through the server",
        u64::from(args.commands),
    );
    for _ in 0..args.commands.div_ceil(TURN) {
        for (way, inside, outside) in &mut rows {
            for _ in 0..TURN {
                let begin = Instant::now();
                user.run(way).await?;
                inside.add(begin.elapsed());
            }
            if let (Some(plain), Some((words, times))) = (plain, outside) {
                plain.measure(words, TURN, times);
            }
        }
        progress.advance(u64::from(TURN));
    }
    drop(progress);
    user.end().await?;
    for (_, inside, outside) in rows {
        report.times(std::iter::once(inside).chain(outside.map(|(_, times)| times)));
    }
    for (name, way, outside) in &ways {
        report.times([at_once(address, args, name, way).await?]);
        if let (Some(plain), Some((name, words))) = (plain, outside) {
            let times = plain.measure_at_once(words, args.commands, AT_ONCE)?;
            report.times([times.named(format!("{name} on the host, {AT_ONCE} at once"))]);
        }
    }
    Ok(())
}

/// Several clients, each with commands one after the other.
async fn at_once(address: &Address, args: &Args, name: &str, way: &Way) -> Result<Times, Failure> {
    let mut users = Vec::new();
    for _ in 0..AT_ONCE {
        let mut user = User::new(address, args).await?;
        user.run(way).await?;
        users.push(user);
    }
    let mut times = Times::of(format!("{name}, {AT_ONCE} at once"))?;
    let each = args.commands / AT_ONCE;
    let begin = Instant::now();
    let running = users.into_iter().map(|mut user| {
        let way = way.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            for _ in 0..each {
                let begin = Instant::now();
                user.run(&way).await?;
                took.push(begin.elapsed());
            }
            Ok::<_, Failure>((user, took))
        })
    });
    let running: Vec<_> = running.collect();
    let mut done = Vec::new();
    for user in running {
        let user = user.await;
        let (user, took) =
            user.map_err(|error| super::failed("a client broke").because(&error))??;
        took.into_iter().for_each(|time| times.add(time));
        done.push(user);
    }
    times.took(begin.elapsed());
    for user in done {
        user.end().await?;
    }
    Ok(times)
}
