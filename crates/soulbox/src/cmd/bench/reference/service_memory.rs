//! What the whole service holds: the server, what makes sandboxes, zygotes, sandboxes.

use super::super::execute::{Payload, end};
use super::super::report::Report;
use super::promise::Seen;
use super::published;
use super::scene::{Scene, Way};
use super::table::{Compared, Line, Target};
use crate::failure::Failure;
use std::time::Duration;

/// How often it is looked at. To look at two hundred processes takes a few hundredths of a second.
const SAMPLE: Duration = Duration::from_millis(250);

/// How long the service may settle before it counts as idle.
const SETTLE: Duration = Duration::from_secs(2);

/// More runs at once than are looked at, so that none waits.
const AT_ONCE: (&str, &str) = ("SOULBOX_EXECUTE_AT_ONCE", "4000");

/// What it may hold at its most, in megabytes of a million bytes.
const MOST: f64 = 400.0;

/// Measures a server of its own.
pub(super) async fn measure(
    scene: &Scene,
    concurrent: &[u32],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let mut children = Vec::new();
    let soulbox = scene.serve(&[AT_ONCE], &mut children).await?;
    let done = with_server(scene, &soulbox, concurrent, report, seen).await;
    for child in children {
        end(child).await;
    }
    done
}

async fn with_server(
    scene: &Scene,
    soulbox: &Way,
    concurrent: &[u32],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    scene.until_ready(soulbox).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = soulbox.service.memory_kib();
    let about = "Proportional set size of all processes of the service, the highest of those seen every 250 ms while \
                 so many runs of Python sleep for a second, one after the other. What Linux keeps for them (page tables, \
                 sockets, files in memory) is not in it.";
    let mut table = Compared::new("Memory of the service", about, &[soulbox.name]);
    table = table.line(Line::new("idle", "MB", [Some(megabytes(idle))]));
    let mut peak = idle;
    for count in concurrent {
        scene.progress.say(&format!("memory, {count} at once"));
        let mut most = 0;
        let asking = scene.ask(soulbox, Payload::Wait, *count, 0);
        tokio::pin!(asking);
        let told = loop {
            tokio::select! {
                told = &mut asking => break told?,
                () = tokio::time::sleep(SAMPLE) => most = most.max(soulbox.service.memory_kib()),
            }
        };
        let lost = told.failures > 0.0;
        let lost = lost.then(|| format!("{} failures", told.failures));
        let line = Line::new(format!("{count} at once"), "MB", [Some(megabytes(most))]);
        table = table.line(line.noting(lost));
        report.figure(
            format!("memory of the service, {count} at once"),
            megabytes(most),
            "MB",
        );
        seen.add(&told);
        peak = peak.max(most);
        scene.progress.advance(1);
    }
    let line = Line::new("peak", "MB", [Some(megabytes(peak))]);
    let line = line.beside(&published::PEAK);
    report.compare(table.line(line.held_to(Target::AtMost(MOST))));
    report.figure("memory of the service, idle", megabytes(idle), "MB");
    Ok(())
}

/// KiB as megabytes of a million bytes.
fn megabytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1.024 / 1000.0
}
