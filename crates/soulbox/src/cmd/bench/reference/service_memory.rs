//! What the whole service holds: the server, what makes sandboxes, zygotes, sandboxes.

use super::super::execute::{Payload, end};
use super::super::report::Report;
use super::super::service::Service;
use super::super::service::group::Group;
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
    // At once: what it has taken before stays where it was.
    let group = Group::of(soulbox.service.pid());
    let done = with_server(scene, &soulbox, group.as_ref(), concurrent, report, seen).await;
    for child in children {
        end(child).await;
    }
    if let Some(group) = group {
        group.end().await;
    }
    done
}

/// What a service holds: its groups, where they count memory, and its processes, in KiB.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    groups: Option<u64>,
    processes: u64,
}

impl Held {
    fn of(service: Service, group: Option<&Group>) -> Self {
        Self {
            groups: group.map(|group| service.group_kib(group)),
            processes: service.memory_kib(),
        }
    }

    /// The most of both.
    fn max(self, other: Self) -> Self {
        Self {
            groups: self.groups.max(other.groups),
            processes: self.processes.max(other.processes),
        }
    }

    fn line(self, what: String) -> Line {
        let here = [self.groups.map(megabytes), Some(megabytes(self.processes))];
        Line::new(what, "MB", here)
    }

    fn note(self, what: &str, report: &mut Report) {
        let name = format!("memory of the service's processes, {what}");
        report.figure(name, megabytes(self.processes), "MB");
        if let Some(groups) = self.groups {
            let name = format!("memory of the service's cgroups, {what}");
            report.figure(name, megabytes(groups), "MB");
        }
    }
}

async fn with_server(
    scene: &Scene,
    soulbox: &Way,
    group: Option<&Group>,
    concurrent: &[u32],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    scene.until_ready(soulbox).await?;
    tokio::time::sleep(SETTLE).await;
    let held = || Held::of(soulbox.service, group);
    let idle = held();
    let about = "The highest of what was seen every 250 ms while so many runs of Python sleep for a second, one after the \
                 other. Its cgroups hold the server, what makes sandboxes, zygotes and sandboxes, with what Linux keeps for \
                 them and files that they were the first to read; PSS is that of the processes alone.";
    let ways = ["SoulBox's cgroups", "PSS of its processes"];
    let mut table = Compared::new("Memory of the service", about, &ways);
    table = table.line(idle.line("idle".to_owned()));
    idle.note("idle", report);
    let mut peak = idle;
    for count in concurrent {
        scene.progress.say(&format!("memory, {count} at once"));
        let mut most = Held::default();
        let asking = scene.ask(soulbox, Payload::Wait, *count, 0);
        tokio::pin!(asking);
        let told = loop {
            tokio::select! {
                told = &mut asking => break told?,
                () = tokio::time::sleep(SAMPLE) => most = most.max(held()),
            }
        };
        let lost = told.failures > 0.0;
        let lost = lost.then(|| format!("{} failures", told.failures));
        let what = format!("{count} at once");
        most.note(&what, report);
        table = table.line(most.line(what).noting(lost));
        seen.add(&told);
        peak = peak.max(most);
        scene.progress.advance(1);
    }
    let line = peak.line("peak".to_owned()).beside(&published::PEAK);
    report.compare(table.line(line.held_to(Target::AtMost(MOST))));
    Ok(())
}

/// KiB as megabytes of a million bytes.
fn megabytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1.024 / 1000.0
}
