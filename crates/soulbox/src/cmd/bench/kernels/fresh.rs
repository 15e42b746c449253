//! Code in a fresh sandbox each, asked for over one connection, one after the other: from the request to the whole
//! answer. What is compiled was compiled before.

use super::super::reference::Compared;
use super::super::reference::published::HELLO;
use super::super::reference::table::{Elsewhere, Line, Target};
use super::super::report::{Report, Times};
use super::super::talk::{Talk, Whom, refusal};
use super::{Args, REST};
use crate::failure::Failure;
use crate::terminal::Progress;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use std::time::Instant;

/// What every program prints.
const PRINTS: &str = "hello\n";

/// How many come before those that count: the first one compiles.
const WARM: u32 = 3;

/// What is run, and what is wanted of it.
struct Payload {
    name: &'static str,
    language: &'static str,
    code: &'static str,
    /// Whether the server may rest before each, and make ready what it makes ready.
    rest: bool,
    /// Milliseconds that half of them are not to exceed.
    p50: f64,
    /// Milliseconds that all but a hundredth are not to exceed.
    p99: Option<f64>,
    elsewhere: &'static [Elsewhere],
}

impl Payload {
    const fn of(name: &'static str, language: &'static str, code: &'static str, p50: f64) -> Self {
        Self {
            name,
            language,
            code,
            rest: false,
            p50,
            p99: None,
            elsewhere: &[],
        }
    }
}

const PAYLOADS: [Payload; 7] = [
    Payload {
        p99: Some(20.0),
        elsewhere: &HELLO,
        ..Payload::of("Python hello", "python", "print('hello')", 5.0)
    },
    Payload::of(
        "Python with numpy, pandas and pyplot imported",
        "python",
        "import numpy, pandas\nimport matplotlib.pyplot\nprint('hello')",
        10.0,
    ),
    Payload {
        rest: true,
        ..Payload::of(
            "JavaScript hello, after a second's rest",
            "javascript",
            JAVASCRIPT,
            6.0,
        )
    },
    Payload::of("JavaScript hello", "javascript", JAVASCRIPT, 50.0),
    Payload::of(
        "Go hello, compiled before",
        "go",
        "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"hello\") }\n",
        4.0,
    ),
    Payload::of(
        "C hello, compiled before",
        "c",
        "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
        4.0,
    ),
    Payload::of(
        "Java hello, compiled before",
        "java",
        "public class Main {\n  public static void main(String[] words) { System.out.println(\"hello\"); }\n}\n",
        60.0,
    ),
];

const JAVASCRIPT: &str = "console.log('hello')";

/// What is looked at of an answer.
#[derive(Deserialize)]
struct Answer {
    stdout: String,
    exit_code: Option<i32>,
}

/// Measures each payload, and holds it against what is wanted.
pub(super) async fn measure(
    server: &Whom,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    let about = "One after the other over one connection, from the request to the whole answer.";
    let mut table = Compared::new("Code in a fresh sandbox each", about, &["SoulBox"]);
    let progress = Progress::bar("running code", PAYLOADS.len() as u64);
    let mut talk = server.open().await?;
    for payload in &PAYLOADS {
        let count = match payload.rest {
            true => args.javascript,
            false => args.fresh,
        };
        let mut times = Times::of(format!("{}, fresh sandbox each", payload.name))?;
        let template = &args.common.template;
        let why = runs(&mut talk, payload, template, count, &mut times).await?;
        let at = |share| (times.count() > 0).then(|| times.millis_at(share));
        let line = Line::new(format!("{}, p50", payload.name), "ms", [at(0.5)]);
        let line = line.beside(payload.elsewhere).noting(why);
        table = table.line(line.held_to(Target::AtMost(payload.p50)));
        if let Some(most) = payload.p99 {
            let line = Line::new(format!("{}, p99", payload.name), "ms", [at(0.99)]);
            table = table.line(line.held_to(Target::AtMost(most)));
        }
        report.times([times]);
        progress.advance(1);
    }
    report.compare(table);
    Ok(())
}

/// Runs it so often. Why not, where an answer is not hello.
async fn runs(
    talk: &mut Talk,
    payload: &Payload,
    template: &str,
    count: u32,
    times: &mut Times,
) -> Result<Option<String>, Failure> {
    let asked = serde_json::json!({
        "language": payload.language, "code": payload.code, "template": template,
    });
    let asked = Bytes::from(asked.to_string());
    for number in 0..count + WARM {
        if payload.rest {
            tokio::time::sleep(REST).await;
        }
        let begin = Instant::now();
        let (status, body) = talk.ask(Method::POST, "/v1/execute", asked.clone()).await?;
        let took = begin.elapsed();
        let answer = serde_json::from_slice::<Answer>(&body);
        let good = |answer: &Answer| answer.exit_code == Some(0) && answer.stdout == PRINTS;
        if status != StatusCode::OK || !answer.as_ref().is_ok_and(good) {
            let after = format!("{}, after {number} good ones", refusal(status, &body));
            return Ok(Some(after));
        }
        if number >= WARM {
            times.add(took);
        }
    }
    Ok(None)
}
