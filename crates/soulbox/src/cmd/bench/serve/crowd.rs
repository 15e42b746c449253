//! Many sandboxes that live while many users make, use and end others.

use super::super::report::{Report, Times};
use super::client::{self, Address, Api};
use super::server::Server;
use super::{Args, Bed, figure, megabytes};
use crate::failure::Failure;
use crate::terminal::Progress;
use std::time::{Duration, Instant};

/// How long the server rests before it is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// Which part of the time goes by before the first look: what stays is there by then.
const WARM: u32 = 5;

/// What the users found.
#[derive(Default)]
struct Found {
    cycles: Vec<Duration>,
    failures: u64,
}

pub(super) async fn measure(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let template = &args.common.template;
    let mut api = Api::new(&bed.ready);
    let mut alive = Vec::new();
    let progress = Progress::bar("creating those that stay", u64::from(args.alive));
    for _ in 0..args.alive {
        alive.push(api.create(template).await?);
        progress.advance(1);
    }
    drop(progress);
    let progress = Progress::spinner("many users make, use and end sandboxes");
    let time = Duration::from_secs(args.seconds.into());
    let first = use_for(&bed.ready, args, time / WARM).await;
    let look = |server: &Server| (server.memory_kib(), server.descriptors());
    tokio::time::sleep(SETTLE).await;
    let before = bed.server.as_ref().map(look);
    let begin = Instant::now();
    let found = use_for(&bed.ready, args, time - time / WARM).await;
    let took = begin.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = bed.server.as_ref().map(look);
    drop(progress);
    let mut times = Times::of(format!(
        "create + command + kill, {} users, {} others alive",
        args.users, args.alive
    ))?;
    found.cycles.iter().for_each(|cycle| times.add(*cycle));
    times.took(took);
    let mut failures = first.failures + found.failures;
    for made in &alive {
        // Each of them must still be there.
        failures += u64::from(api.kill(made).await.is_err());
    }
    report.times([times]);
    report.figure("seconds with many users", time.as_secs_f64(), "s");
    report.zero("failures with many users", figure(failures));
    if let (Some(before), Some(after)) = (before, after) {
        let more = |before: u64, after: u64| figure(after) - figure(before);
        report.figure(
            "PSS of the server with many users",
            megabytes(after.0),
            "MB",
        );
        report.figure(
            "PSS of the server with many users, grew by",
            megabytes(after.0) - megabytes(before.0),
            "MB",
        );
        report.figure(
            "descriptors of the server with many users, grew by",
            more(before.1, after.1),
            "",
        );
    }
    Ok(())
}

/// Lets the users work for a while.
async fn use_for(address: &Address, args: &Args, time: Duration) -> Found {
    let end = Instant::now() + time;
    let users = (0..args.users).map(|_| {
        let (mut api, template) = (Api::new(address), args.common.template.clone());
        tokio::spawn(async move {
            let mut found = Found::default();
            while Instant::now() < end {
                let begin = Instant::now();
                match cycle(&mut api, &template).await {
                    Ok(()) => found.cycles.push(begin.elapsed()),
                    Err(failure) => {
                        failure.tell();
                        found.failures += 1;
                    }
                }
            }
            found
        })
    });
    let users: Vec<_> = users.collect();
    let mut all = Found::default();
    for user in users {
        match user.await {
            Ok(found) => {
                all.cycles.extend(found.cycles);
                all.failures += found.failures;
            }
            Err(_) => all.failures += 1,
        }
    }
    all
}

async fn cycle(api: &mut Api, template: &str) -> Result<(), Failure> {
    let made = api.create(template).await?;
    let agent = api.agent(&made)?;
    let ran = client::run(&agent, &client::line("echo here")).await;
    api.kill(&made).await?;
    ran.map(drop)
}
