//! New contexts in a sandbox that is there, and what a context holds.

use super::super::execute::part::used;
use super::super::report::{Report, Times};
use super::cell::{end_context, new_context, print, run};
use super::{Args, Bed, REST, WARM, process};
use crate::failure::Failure;
use crate::terminal::{self, Progress};
use std::time::Instant;

/// How many contexts' memory is read.
const READ: u32 = 5;

/// Python contexts, one by one, until the answer is there and until a first line was printed.
pub(super) async fn one_by_one(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let mut talk = bed.through.open().await?;
    let mut made = Times::of("new Python context")?;
    let mut said = Times::of("new Python context, to its first line")?;
    let progress = Progress::bar("making contexts", u64::from(args.contexts));
    for number in 0..args.contexts + WARM.min(args.contexts) {
        let begin = Instant::now();
        let context = new_context(&mut talk, "python").await?;
        let there = begin.elapsed();
        print(&mut talk, &context).await?;
        let whole = begin.elapsed();
        end_context(&mut talk, &context).await?;
        if number >= WARM.min(args.contexts) {
            made.add(there);
            said.add(whole);
            progress.advance(1);
        }
    }
    report.times([made, said]);
    Ok(())
}

/// Many Python contexts at once, each asked for over a connection of its own.
pub(super) async fn burst(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let progress = Progress::spinner("making many contexts at once");
    let mut talks = Vec::new();
    for _ in 0..args.burst {
        talks.push(bed.through.open().await?);
    }
    let (begin, cpu) = (Instant::now(), used());
    let tasks = talks.into_iter().map(|mut talk| {
        tokio::spawn(async move {
            let context = new_context(&mut talk, "python").await?;
            Ok::<_, Failure>((context, begin.elapsed()))
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let name = format!("{} new Python contexts at once", args.burst);
    let mut times = Times::of(&name)?;
    let (mut failures, mut contexts) = (0_u32, Vec::new());
    for task in tasks {
        match task.await {
            Ok(Ok((context, took))) => {
                times.add(took);
                contexts.push(context);
            }
            Ok(Err(failure)) => {
                terminal::warn(&failure.text(false));
                failures += 1;
            }
            Err(_) => failures += 1,
        }
    }
    let elapsed = begin.elapsed();
    times.took(elapsed);
    let share = used().saturating_sub(cpu).as_secs_f64() / elapsed.as_secs_f64();
    drop(progress);
    report.times([times]);
    if failures == 0 {
        let all = format!("{name}, until all are there");
        report.figure(all, elapsed.as_secs_f64(), "s");
    }
    report.zero(format!("failures of {name}"), failures.into());
    report.figure(format!("who asks, {name}"), share, "CPUs");
    let mut talk = bed.through.open().await?;
    for context in contexts {
        end_context(&mut talk, &context).await?;
    }
    Ok(())
}

/// Memory that a Python context shares with nobody, before and after it imports pandas.
pub(super) async fn memory(bed: &Bed, report: &mut Report) -> Result<(), Failure> {
    let mut talk = bed.through.open().await?;
    let (mut bare, mut pandas) = (Vec::new(), Vec::new());
    for _ in 0..READ {
        let context = new_context(&mut talk, "python").await?;
        print(&mut talk, &context).await?;
        bare.push(process::private_kib(&mut talk, &context).await?);
        if run(&mut talk, &context, "import pandas").await.is_ok() {
            pandas.push(process::private_kib(&mut talk, &context).await?);
        }
        end_context(&mut talk, &context).await?;
    }
    for (kib, name) in [(bare, "bare"), (pandas, "with pandas imported")] {
        if let Some(middle) = middle(kib) {
            let name = format!("private memory of a Python context, {name}");
            let kib = f64::from(u32::try_from(middle).unwrap_or(u32::MAX));
            report.figure(name, kib * 1.024 / 1000.0, "MB");
        }
    }
    Ok(())
}

/// The middle one.
fn middle(mut all: Vec<u64>) -> Option<u64> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// JavaScript: contexts for which a process waited, and those for which none did.
pub(super) async fn javascript(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let mut talk = bed.through.open().await?;
    let Ok(first) = new_context(&mut talk, "javascript").await else {
        terminal::warn("note: the template has no JavaScript kernel");
        return Ok(());
    };
    end_context(&mut talk, &first).await?;
    let mut waited = Times::of("new JavaScript context, a process waited")?;
    let mut cold = Times::of("new JavaScript context, none waited")?;
    let progress = Progress::bar("starting JavaScript", u64::from(args.javascript));
    for _ in 0..args.javascript {
        tokio::time::sleep(REST).await;
        let mut contexts = Vec::new();
        // Right behind one that took what waited there is nothing.
        for times in [&mut waited, &mut cold] {
            let begin = Instant::now();
            contexts.push(new_context(&mut talk, "javascript").await?);
            times.add(begin.elapsed());
        }
        for context in contexts {
            end_context(&mut talk, &context).await?;
        }
        progress.advance(1);
    }
    report.times([waited, cold]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_is_in_the_middle() {
        assert_eq!(middle(vec![9, 1, 5]), Some(5));
        assert_eq!(middle(Vec::new()), None);
    }
}
