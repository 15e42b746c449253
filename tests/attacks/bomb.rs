//! Bombs: what takes all of something. Each runs in a sandbox of its own, by the program as people
//! run it, while a neighbour is measured.

mod table;

use self::table::{BOMBS, Bomb};
use crate::ground::Ground;
use crate::report::{Made, Report};
use crate::run::run;
use soulbox_tests::{Soulbox, processes_with};
use std::time::{Duration, Instant};

/// What every run has unless the bomb says otherwise: small, so that bombs are short.
const LIMITS: [&str; 10] = [
    "--memory",
    "256M",
    "--pids",
    "64",
    "--disk",
    "32M",
    "--cpu",
    "1",
    "--timeout",
    "20s",
];

/// The flags of a bomb's runs.
fn flags(bomb: &Bomb) -> Vec<&'static str> {
    let usual = LIMITS
        .chunks(2)
        .filter(|pair| !bomb.limits.contains(&pair[0]));
    usual.flatten().chain(bomb.limits).copied().collect()
}

/// How long one bomb may take with all that is around it: its own time limit and Linux's.
const LONGEST: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_hurt_only_those_who_throw_them() {
    let ground = Ground::new().await;
    let mut report = Report::new("bombs");
    let mut problems = Vec::new();
    let soulbox = Soulbox::new();
    for (number, bomb) in BOMBS.iter().enumerate() {
        // In turn as `user` and as root: what limits them knows no users.
        let user = ["user", "root"][number % 2];
        let begin = Instant::now();
        let flags = flags(bomb);
        let told = run(&soulbox, (user, bomb.language), &flags, bomb.code);
        let fits = run(&soulbox, (user, bomb.language), &flags, bomb.fits);
        let well = bomb.causes.contains(&told.cause.as_str()) && told.stdout.contains(bomb.says);
        if !well || told.stdout.contains("False") {
            problems.push(format!("{user}: {}: {}", bomb.what, told.all));
        }
        if fits.cause != "exited" {
            problems.push(format!(
                "{user}: {}: the small one: {}",
                bomb.what, fits.all
            ));
        }
        if begin.elapsed() > LONGEST {
            problems.push(format!("{}: took {:?}", bomb.what, begin.elapsed()));
        }
        let left = processes_with(&soulbox.home().display().to_string());
        if !left.is_empty() {
            problems.push(format!("{}: left {left:?}", bomb.what));
        }
        report.add(Made {
            tries: format!("a bomb: {}", bomb.what),
            user,
            refusal: told.cause,
            control: "the same, small enough to fit, ends well",
        });
    }
    let aftermath = ground.leave().await;
    report.close(&aftermath);
    assert!(problems.is_empty(), "bombs:\n  {}", problems.join("\n  "));
}
