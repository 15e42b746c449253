//! Hello world in several languages: start, run and memory as the server tells them.

use super::super::report::{Report, Times};
use super::super::talk::{Talk, Whom, refusal};
use super::promise::Seen;
use super::scene::{Scene, Way};
use super::table::{Compared, Line, Target};
use crate::failure::Failure;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use std::time::Duration;

/// How often each is run after the first time, which compiles.
const RUNS: u32 = 20;

/// How long a start may take, in milliseconds, and what a run may hold, in megabytes.
pub(super) const START: Target = Target::Below(100.0);
pub(super) const MEMORY: Target = Target::Below(128.0);

/// How many languages there are.
pub(super) const COUNT: usize = LANGUAGES.len();

/// Name, and a program that says hello.
const LANGUAGES: [(&str, &str); 4] = [
    ("python", "print('hello')"),
    ("javascript", "console.log('hello')"),
    (
        "go",
        "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"hello\") }\n",
    ),
    (
        "java",
        "public class Main {\n  public static void main(String[] words) { System.out.println(\"hello\"); }\n}\n",
    ),
];

/// What is looked at of an answer.
#[derive(Debug, Deserialize)]
struct Answer {
    stdout: String,
    exit_code: Option<i32>,
    phases: Vec<Step>,
    duration_us: u64,
    peak_memory: u64,
}

#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    us: u64,
}

impl Answer {
    /// Microseconds until the sandbox was there: everything before the code's own files.
    fn start_us(&self) -> u64 {
        let create = self.phases.iter().take_while(|step| step.step != "copy_in");
        create.map(|step| step.us).sum()
    }

    fn is_good(&self) -> bool {
        self.exit_code == Some(0) && self.stdout == "hello\n"
    }
}

pub(super) async fn measure(
    scene: &Scene,
    soulbox: &Way,
    report: &mut Report,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let about = format!(
        "Hello world, {RUNS} times one after the other, a fresh sandbox each: the sandbox's start, the run from its files to its end, \
         the sandbox's memory at its most. What is compiled was compiled before."
    );
    let mut table = Compared::new("Languages", about, &[soulbox.name]);
    let whom = Whom::server(&soulbox.address, &[("x-api-key", &soulbox.key)])?;
    let mut talk = whom.open().await?;
    for (language, code) in LANGUAGES {
        scene.progress.say(&format!("language {language}"));
        let asked = serde_json::json!({
            "language": language, "code": code, "template": scene.template,
        });
        let asked = Bytes::from(asked.to_string());
        table = match runs(&mut talk, &asked).await? {
            Ok(answers) => told(table, language, &answers, report, seen)?,
            Err(why) => table.line(Line::new(language, "ms", [None]).noting(Some(why))),
        };
        scene.progress.advance(1);
    }
    report.compare(table);
    Ok(())
}

/// Runs it often. Why not, where the server says so.
async fn runs(talk: &mut Talk, asked: &Bytes) -> Result<Result<Vec<Answer>, String>, Failure> {
    let mut answers = Vec::new();
    for run in 0..=RUNS {
        let (status, body) = talk.ask(Method::POST, "/v1/execute", asked.clone()).await?;
        let answer = match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) if status == StatusCode::OK && answer.is_good() => answer,
            _ => return Ok(Err(refusal(status, &body))),
        };
        if run > 0 {
            answers.push(answer);
        }
    }
    Ok(Ok(answers))
}

fn told(
    table: Compared,
    language: &str,
    answers: &[Answer],
    report: &mut Report,
    seen: &mut Seen,
) -> Result<Compared, Failure> {
    let mut start = Times::of(format!("{language}, start of the sandbox"))?;
    let mut run = Times::of(format!("{language}, run"))?;
    let mut memory = 0;
    for answer in answers {
        start.add(Duration::from_micros(answer.start_us()));
        run.add(Duration::from_micros(answer.duration_us));
        memory = memory.max(answer.peak_memory);
    }
    let memory = memory as f64 / 1e6;
    if language == "python" {
        seen.start_p99 = Some(start.millis_at(0.99));
        seen.memory = Some(memory);
    }
    let line =
        |what: &str, unit, value| Line::new(format!("{language}, {what}"), unit, [Some(value)]);
    let table = table
        .line(line("start, p50", "ms", start.millis_at(0.5)).held_to(START))
        .line(line("run, p50", "ms", run.millis_at(0.5)))
        .line(line("memory, peak", "MB", memory).held_to(MEMORY));
    report.times([start, run]);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_what_comes_before_the_codes_files() {
        let answer = serde_json::json!({
            "stdout": "hello\n", "exit_code": 0, "duration_us": 900, "peak_memory": 5,
            "phases": [
                {"step": "slot", "us": 30}, {"step": "agent", "us": 70},
                {"step": "copy_in", "us": 10}, {"step": "run", "us": 800},
            ],
        });
        let answer: Answer = serde_json::from_value(answer).unwrap();
        assert_eq!(answer.start_us(), 100);
        assert!(answer.is_good());
    }
}
