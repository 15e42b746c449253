//! Cells that print a line, in contexts that are there.

use super::super::execute::part::used;
use super::super::report::{Report, Times};
use super::super::talk::{Talk, Whom, unexpected};
use super::{Args, Bed, WARM};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// What is run, and what it prints.
pub(super) const PRINT: (&str, &str) = ("print('hi')", "hi\n");

/// How many are measured before the other way has its turn.
const TURN: u32 = 10;

#[derive(Deserialize)]
struct Context {
    id: String,
}

/// What is looked at of a line.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    value: String,
}

/// Makes a context of a language.
pub(super) async fn new_context(talk: &mut Talk, language: &str) -> Result<String, Failure> {
    let asked = serde_json::json!({ "language": language });
    let asked = Bytes::from(asked.to_string());
    let made = talk.expect(Method::POST, "/contexts", asked, StatusCode::OK);
    let made = serde_json::from_slice::<Context>(&made.await?);
    made.map(|made| made.id)
        .map_err(|error| Failure::of(Exit::INTERNAL, &error))
}

/// Ends a context.
pub(super) async fn end_context(talk: &mut Talk, context: &str) -> Result<(), Failure> {
    let path = format!("/contexts/{context}");
    let ended = talk.ask(Method::DELETE, &path, Bytes::new()).await?;
    match ended.0.is_success() {
        true => Ok(()),
        false => Err(unexpected(&path, ended.0, &ended.1)),
    }
}

/// Runs code in a context: what it printed.
pub(super) async fn run(talk: &mut Talk, context: &str, code: &str) -> Result<String, Failure> {
    let asked = serde_json::json!({ "context_id": context, "code": code });
    let asked = Bytes::from(asked.to_string());
    let answer = talk.expect(Method::POST, "/execute", asked, StatusCode::OK);
    printed(&answer.await?)
}

/// Runs the line that is measured.
pub(super) async fn print(talk: &mut Talk, context: &str) -> Result<(), Failure> {
    let (code, prints) = PRINT;
    let printed = run(talk, context, code).await?;
    match printed == prints {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::INTERNAL,
            format!("a cell printed {printed:?}"),
        )),
    }
}

/// What the lines of an answer say was printed.
fn printed(answer: &[u8]) -> Result<String, Failure> {
    let mut text = String::new();
    let mut last = String::new();
    let lines = answer.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        let line: Line =
            serde_json::from_slice(line).map_err(|error| Failure::of(Exit::INTERNAL, &error))?;
        match &*line.kind {
            "stdout" => text.push_str(&line.text),
            "error" => {
                let what = format!("a cell failed: {}", line.value);
                return Err(Failure::new(Exit::INTERNAL, what));
            }
            _ => {}
        }
        last = line.kind;
    }
    match last == "end_of_execution" {
        true => Ok(text),
        false => Err(Failure::new(Exit::INTERNAL, "a cell's end was not told")),
    }
}

/// One cell after the other, at the agent and through the server, turn and turn about.
pub(super) async fn one_by_one(
    bed: &Bed,
    context: &str,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut ways = [
        (
            bed.agent.open().await?,
            Times::of("print in a kept context, at the agent")?,
        ),
        (
            bed.through.open().await?,
            Times::of("print in a kept context, through the server")?,
        ),
    ];
    for (talk, _) in &mut ways {
        for _ in 0..WARM {
            print(talk, context).await?;
        }
    }
    let progress = Progress::bar("running cells", u64::from(args.count));
    let mut left = args.count;
    while left > 0 {
        let turn = left.min(TURN);
        for (talk, times) in &mut ways {
            for _ in 0..turn {
                let begin = Instant::now();
                print(talk, context).await?;
                times.add(begin.elapsed());
            }
        }
        left -= turn;
        progress.advance(u64::from(turn));
    }
    report.times(ways.map(|(_, times)| times));
    Ok(())
}

/// Several contexts, each used by somebody with a connection of its own.
pub(super) async fn at_once(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let progress = Progress::bar("running cells at once", 2);
    let mut talk = bed.through.open().await?;
    let mut contexts = Vec::new();
    for _ in 0..args.users {
        contexts.push(new_context(&mut talk, "python").await?);
    }
    for (whom, way) in [
        (&bed.agent, "at the agent"),
        (&bed.through, "through the server"),
    ] {
        let name = format!("print in {} contexts, {way}", args.users);
        let mut times = Times::of(&name)?;
        let share = together(whom, &contexts, args.seconds, &mut times).await?;
        report.times([times]);
        report.figure(format!("who asks, {name}"), share, "CPUs");
        progress.advance(1);
    }
    for context in contexts {
        end_context(&mut talk, &context).await?;
    }
    Ok(())
}

/// Uses contexts at once for some seconds; how many processors this took here.
async fn together(
    whom: &Whom,
    contexts: &[String],
    seconds: u64,
    times: &mut Times,
) -> Result<f64, Failure> {
    let mut users = Vec::new();
    for context in contexts {
        let mut talk = whom.open().await?;
        for _ in 0..WARM {
            print(&mut talk, context).await?;
        }
        users.push((talk, context.clone()));
    }
    let (begin, cpu) = (Instant::now(), used());
    let end = begin + Duration::from_secs(seconds);
    let users = users.into_iter().map(|(mut talk, context)| {
        tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let begin = Instant::now();
                print(&mut talk, &context).await?;
                took.push(begin.elapsed());
            }
            Ok::<_, Failure>(took)
        })
    });
    let users: Vec<_> = users.collect();
    for user in users {
        let took = user.await;
        let took = took.map_err(|error| Failure::of(Exit::INTERNAL, &error))??;
        took.into_iter().for_each(|time| times.add(time));
    }
    times.took(begin.elapsed());
    Ok(used().saturating_sub(cpu).as_secs_f64() / begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cell_that_ends_well_counts() {
        let good = concat!(
            "{\"type\":\"number_of_executions\",\"execution_count\":1}\n",
            "{\"type\":\"stdout\",\"text\":\"h\",\"timestamp\":\"t\"}\n",
            "{\"type\":\"stdout\",\"text\":\"i\\n\",\"timestamp\":\"t\"}\n",
            "{\"type\":\"end_of_execution\"}\n",
        );
        assert_eq!(printed(good.as_bytes()).unwrap(), "hi\n");
        let cut = good.rsplit_once("{\"type\":\"end").unwrap().0;
        assert!(printed(cut.as_bytes()).is_err());
        let error =
            "{\"type\":\"error\",\"value\":\"no\",\"name\":\"E\"}\n{\"type\":\"end_of_execution\"}";
        let failed = printed(error.as_bytes()).unwrap_err();
        assert!(failed.text(false).contains("no"));
    }
}
