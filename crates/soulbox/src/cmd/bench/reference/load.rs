//! Code in a fresh sandbox each: by one user, by many, and so many in a second.

use super::super::execute::Payload;
use super::super::execute::part::Told;
use super::super::report::Report;
use super::super::service::machine_cpu;
use super::promise::Seen;
use super::published;
use super::scene::{Scene, Way, times};
use super::table::{Compared, Line, Target};
use crate::failure::Failure;
use std::time::{Duration, Instant};

/// How many times the runs of the bubblewrap server in a second SoulBox is to do.
const TIMES_BUBBLEWRAP: f64 = 3.5;

/// What Python that says hello takes, in milliseconds: what half and what all but a hundredth do not exceed.
const HELLO: (f64, f64) = (5.0, 20.0);

fn names(ways: &[Way]) -> Vec<&'static str> {
    ways.iter().map(|way| way.name).collect()
}

/// Notes what was asked for beside the times.
fn note(name: &str, told: &Told, report: &mut Report) {
    report.figure(format!("failures, {name}"), told.failures, "");
    let late = format!("not answered before the end, {name}");
    report.figure(late, told.unanswered, "");
    report.figure(format!("who asks, {name}"), told.share, "CPUs");
}

/// That some of it failed, for who reads the table alone.
fn lost(told: &Told, way: &Way) -> Option<String> {
    let some = told.failures > 0.0;
    some.then(|| format!("{} failures of {}", told.failures, way.name))
}

/// Python that says hello, one user.
pub(super) async fn cold(
    scene: &Scene,
    ways: &[Way],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let mut rows: [Vec<Option<f64>>; 5] = Default::default();
    let mut failures = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        scene.progress.say(&format!("cold start, {}", way.name));
        let told = scene.ask(way, Payload::Hello, 1, 0).await?;
        let name = format!("cold start of hello world, {}", way.name);
        let times = times(&name, &told)?;
        let (mean, deviation) = times.mean_and_deviation();
        let at_share = |share| times.millis_at(share);
        let found = [
            mean,
            at_share(0.5),
            at_share(0.95),
            at_share(0.99),
            deviation,
        ];
        let some = times.count() > 0;
        for (row, value) in rows.iter_mut().zip(found) {
            row.push(some.then_some(value));
        }
        if at == 0 {
            seen.execution_p99 = some.then(|| at_share(0.99));
            seen.add(&told);
        }
        failures.extend(lost(&told, way));
        note(&name, &told, report);
        report.times([times]);
        scene.progress.advance(1);
    }
    let about = "Python that prints a line, from the request to the whole answer, one user; a fresh sandbox each.";
    let mut table = Compared::new("Cold start of hello world", about, &names(ways));
    let [mean, p50, p95, p99, deviation] = rows;
    let line = |name: &str, row: Vec<Option<f64>>| Line::new(name, "ms", row);
    table = table
        .line(line("mean", mean).noting(remark(&failures)))
        .line(
            line("p50", p50)
                .beside(&published::HELLO)
                .held_to(Target::AtMost(HELLO.0)),
        )
        .line(line("p95", p95))
        .line(line("p99", p99).held_to(Target::AtMost(HELLO.1)))
        .line(line("standard deviation", deviation));
    report.compare(table);
    Ok(())
}

/// Runs of fibonacci(10) in a second by so many users.
pub(super) async fn throughput(
    scene: &Scene,
    ways: &[Way],
    users: &[u32],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let about = "Each user has a connection of its own and asks again when it has its answer, so that who is slow is asked less \
                 often; what is answered in the measured time counts. A fresh sandbox each.";
    let mut table = Compared::new("Throughput of fibonacci(10)", about, &names(ways));
    for count in users {
        let (mut rates, mut failures) = (Vec::new(), Vec::new());
        for (at, way) in ways.iter().enumerate() {
            let what = format!("{count} users, {}", way.name);
            scene.progress.say(&what);
            let told = scene.ask(way, Payload::Fibonacci, *count, 0).await?;
            let name = format!("fibonacci(10), {what}");
            let times = times(&name, &told)?;
            rates.push(Some(times.per_second()));
            failures.extend(lost(&told, way));
            if at == 0 {
                seen.most_per_second = seen.most_per_second.max(Some(times.per_second()));
                seen.add(&told);
            }
            note(&name, &told, report);
            report.times([times]);
            scene.progress.advance(1);
        }
        table = table.line(with_target(*count, rates, ways).noting(remark(&failures)));
    }
    report.compare(table);
    Ok(())
}

/// From ten users on there is a target, and there are figures of others.
fn with_target(users: u32, rates: Vec<Option<f64>>, ways: &[Way]) -> Line {
    let bubblewrap = ways.iter().position(|way| way.name == "bubblewrap");
    let bubblewrap = bubblewrap.and_then(|at| rates.get(at).copied().flatten());
    let line = Line::new(format!("{users} users"), "per second", rates);
    if users < 10 {
        return line;
    }
    let line = line.beside(&published::FIBONACCI);
    match bubblewrap {
        Some(rate) => line.held_to(Target::AtLeast((TIMES_BUBBLEWRAP * rate).ceil())),
        None => line,
    }
}

fn remark(all: &[String]) -> Option<String> {
    (!all.is_empty()).then(|| all.join(", "))
}

/// Processors that so many runs in a second take.
pub(super) async fn cpu(
    scene: &Scene,
    ways: &[Way],
    rates: &[u32],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let about = "Processor time of the whole machine without that of who asks, in a second of fibonacci(10), asked for \
                 evenly whatever the answers take. Whatever else the machine does is in it: its load is told above. A \
                 service that cannot keep up answers fewer, as noted.";
    let mut table = Compared::new("Processors", about, &names(ways));
    for rate in rates {
        let (mut taken, mut behind) = (Vec::new(), Vec::new());
        for (at, way) in ways.iter().enumerate() {
            let what = format!("{rate} per second, {}", way.name);
            scene.progress.say(&what);
            // As many users as requests in a second: each asks once in a second.
            let asking = scene.ask(way, Payload::Fibonacci, *rate, *rate);
            let (told, (machine, own)) = tokio::join!(asking, processors(scene, way));
            let told = told?;
            let cpus = (machine - told.share).max(0.0);
            let name = format!("fibonacci(10), {what}");
            let times = times(&name, &told)?;
            taken.push(Some(cpus));
            if times.per_second() < 0.95 * f64::from(*rate) {
                let answered = times.per_second();
                behind.push(format!("{} answered {answered:.0} per second", way.name));
            }
            behind.extend(lost(&told, way));
            if at == 0 {
                seen.add(&told);
                // bubblewrap does not wait for what it starts, so that such a sum tells nothing of it.
                report.figure(format!("processors of its processes, {name}"), own, "CPUs");
            }
            note(&name, &told, report);
            report.figure(format!("processors, {name}"), cpus, "CPUs");
            report.times([times]);
            scene.progress.advance(1);
        }
        let line = Line::new(format!("{rate} per second"), "CPUs", taken);
        table = table.line(line.noting(remark(&behind)));
    }
    report.compare(table);
    Ok(())
}

/// How many processors the machine takes while it is measured, and how many of that the processes of a service.
async fn processors(scene: &Scene, way: &Way) -> (f64, f64) {
    tokio::time::sleep(Duration::from_secs(scene.method.warm_up)).await;
    let (begin, before) = (Instant::now(), (machine_cpu(), way.service.cpu()));
    tokio::time::sleep(Duration::from_secs(scene.method.seconds)).await;
    let seconds = begin.elapsed().as_secs_f64();
    let share = |after: Duration, before| after.saturating_sub(before).as_secs_f64() / seconds;
    (
        share(machine_cpu(), before.0),
        share(way.service.cpu(), before.1),
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::service::Service;
    use super::*;

    fn way(name: &'static str) -> Way {
        Way {
            name,
            address: String::new(),
            key: String::new(),
            service: Service::of(0),
        }
    }

    #[test]
    fn many_users_are_held_to_bubblewrap_of_the_same_run() {
        let ways = [way("SoulBox"), way("bubblewrap")];
        let line = with_target(10, vec![Some(350.0), Some(100.0)], &ways);
        assert_eq!(
            (line.target, line.met),
            (Some(Target::AtLeast(350.0)), Some(true))
        );
        let line = with_target(10, vec![Some(349.0), Some(100.0)], &ways);
        assert_eq!(line.met, Some(false));
        let line = with_target(1, vec![Some(1.0), Some(100.0)], &ways);
        assert_eq!((line.target, line.elsewhere.len()), (None, 0));
        let line = with_target(100, vec![Some(1.0)], &ways[..1]);
        assert_eq!((line.target, line.elsewhere.len()), (None, 3));
    }
}
