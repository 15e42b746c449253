//! Contents of files, both ways.

use super::super::report::{Report, Times};
use super::client::{self, Api};
use super::{Args, Bed, failed, figure};
use crate::failure::Failure;
use crate::terminal::Progress;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Bytes of the file, in MiB.
const SIZE: u32 = 64;
/// Bytes of a MiB.
const MIB: usize = 1024 * 1024;
/// Where it is in the sandbox.
const PATH: &str = "/home/user/file";

pub(super) async fn measure(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let mut api = Api::new(&bed.ready);
    let made = api.create(&args.common.template).await?;
    let agent = api.agent(&made)?;
    let content = Bytes::from(vec![b'x'; SIZE as usize * MIB]);
    let mut up = Times::of(format!("{SIZE} MiB sent"))?;
    let mut down = Times::of(format!("{SIZE} MiB fetched"))?;
    let mut inside = Times::of(format!("{SIZE} MiB copied within the sandbox"))?;
    let copy = format!("cp --reflink=never {PATH} {PATH}-2; rm {PATH}-2");
    let progress = Progress::bar("sending and fetching files", u64::from(args.files));
    let before = bed.server.as_ref().map(|server| {
        server.forget_peak();
        server.peak_kib().1
    });
    let broken = |error: &dyn std::error::Error| failed("a file was lost").because(error);
    for _ in 0..args.files {
        let begin = Instant::now();
        let sent = agent.write_file(PATH, None, content.clone()).await;
        sent.map_err(|error| broken(&error))?;
        up.add(begin.elapsed());
        let begin = Instant::now();
        let opened = agent.read_file(PATH, None, u64::MAX).await;
        let mut file = opened.map_err(|error| broken(&error))?;
        let mut came = 0;
        while let Some(piece) = file.next().await.map_err(|error| broken(&error))? {
            came += piece.len();
        }
        down.add(begin.elapsed());
        if came != content.len() {
            return Err(failed(format!(
                "{came} bytes came back of {}",
                content.len()
            )));
        }
        let begin = Instant::now();
        client::run(&agent, &client::line(&copy)).await?;
        inside.add(begin.elapsed());
        progress.advance(1);
    }
    drop(progress);
    for (times, name) in [
        (&up, "sent"),
        (&down, "fetched"),
        (&inside, "copied within"),
    ] {
        let seconds = Duration::from_secs_f64(times.millis_at(0.5) / 1000.0).as_secs_f64();
        let rate = f64::from(SIZE) * 1.048_576 / seconds;
        report.figure(format!("a file of {SIZE} MiB {name}, median"), rate, "MB/s");
    }
    if let (Some(server), Some(before)) = (&bed.server, before) {
        let more = server.peak_kib().0.saturating_sub(before);
        report.figure(
            format!("the server's memory with files of {SIZE} MiB, at most more"),
            figure(more) / 1024.0,
            "MiB",
        );
    }
    report.times([up, down, inside]);
    api.kill(&made).await
}
