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
use std::time::{Duration, Instant};

/// What every program prints.
const PRINTS: &str = "hello\n";

/// The rest of a client that does something else meanwhile.
const BETWEEN: Duration = Duration::from_millis(50);

/// How long the server may take to have ready what was asked for.
const SETTLED: Duration = Duration::from_secs(20);

/// How many come before those that count: the first one compiles.
const WARM: u32 = 3;

/// What is run, and what is wanted of it.
struct Payload {
    name: &'static str,
    language: &'static str,
    code: &'static str,
    /// How long the server may rest before each, and make ready what it makes ready.
    rest: Duration,
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
            rest: Duration::ZERO,
            p50,
            p99: None,
            elsewhere: &[],
        }
    }
}

const PAYLOADS: [Payload; 8] = [
    Payload {
        p99: Some(20.0),
        rest: BETWEEN,
        elsewhere: &HELLO,
        ..Payload::of("Python hello, 50 ms between", "python", PYTHON, 5.0)
    },
    Payload {
        p99: Some(20.0),
        ..Payload::of("Python hello, none between", "python", PYTHON, 5.0)
    },
    Payload {
        rest: BETWEEN,
        ..Payload::of(
            "Python with numpy, pandas and pyplot imported, 50 ms between",
            "python",
            "import numpy, pandas\nimport matplotlib.pyplot\nprint('hello')",
            10.0,
        )
    },
    Payload {
        rest: REST,
        ..Payload::of(
            "JavaScript hello, after a second's rest",
            "javascript",
            JAVASCRIPT,
            6.0,
        )
    },
    Payload::of(
        "JavaScript hello, none between",
        "javascript",
        JAVASCRIPT,
        50.0,
    ),
    Payload {
        rest: BETWEEN,
        ..Payload::of(
            "Go hello, compiled before, 50 ms between",
            "go",
            "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"hello\") }\n",
            4.0,
        )
    },
    Payload {
        rest: BETWEEN,
        ..Payload::of(
            "C hello, compiled before, 50 ms between",
            "c",
            "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
            4.0,
        )
    },
    Payload {
        rest: BETWEEN,
        ..Payload::of(
            "Java hello, compiled before, 50 ms between",
            "java",
            "public class Main {\n  public static void main(String[] words) { System.out.println(\"hello\"); }\n}\n",
            60.0,
        )
    },
];

const PYTHON: &str = "print('hello')";
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
        let count = match payload.rest == REST {
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
        if number == WARM {
            settle(talk).await?;
        }
        tokio::time::sleep(payload.rest).await;
        let begin = Instant::now();
        let (status, body) = talk.ask(Method::POST, "/v1/execute", asked.clone()).await?;
        let took = begin.elapsed();
        let answer = serde_json::from_slice::<Answer>(&body);
        let good = |answer: &Answer| answer.exit_code == Some(0) && answer.stdout == PRINTS;
        if status != StatusCode::OK || !answer.as_ref().is_ok_and(good) {
            return Ok(Some(told(&refusal(status, &body), number)));
        }
        if number >= WARM {
            times.add(took);
        }
    }
    Ok(None)
}

/// Waits until as many sandboxes wait as are to, or a while: a server that has just begun to be asked is busy
/// with that, and loads what they are made of.
async fn settle(talk: &mut Talk) -> Result<(), Failure> {
    let begin = Instant::now();
    while begin.elapsed() < SETTLED {
        let (path, nothing) = ("/v1/pools", Bytes::new());
        let body = talk
            .expect(Method::GET, path, nothing, StatusCode::OK)
            .await?;
        let Ok(told) = serde_json::from_slice::<Pools>(&body) else {
            break;
        };
        if told.pools.iter().all(|pool| pool.ready >= pool.target) {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(())
}

/// The answer of `/v1/pools`.
#[derive(Deserialize)]
struct Pools {
    pools: Vec<PoolView>,
}

/// What is looked at of a pool.
#[derive(Deserialize)]
struct PoolView {
    ready: u32,
    target: u32,
}

/// A refusal without its advice, in a line of a table.
fn told(refusal: &str, good: u32) -> String {
    let what = refusal.split([',', ';']).next().unwrap_or_default();
    match good {
        0 => what.to_owned(),
        good => format!("{what}, after {good} good ones"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_fits_into_a_line() {
        let whole = "422: the template base has no go, which go needs; choose another";
        assert_eq!(told(whole, 0), "422: the template base has no go");
        assert_eq!(told("500: gone", 3), "500: gone, after 3 good ones");
    }
}
