//! Running a family's attempts, as `user` and as root, with their controls.

use crate::attempt::{Attempt, Control, is};
use crate::ground::Ground;
use crate::report::{Made, Report};
use crate::support::shell;
use serde_json::{Value, json};
use soulbox_node::Sandbox;
use soulbox_wire::spawner::Ids;
use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

const DRIVER: &str = include_str!("inside/driver.py");

/// What programs may use in a sandbox.
const SCRATCH: &str = "/tmp/scratch";

/// The control of an attempt by an ordinary user's sandbox when it is one that takes the host's root.
const SEEN_BY_ROOT: &str = "seen in the run of root's engine";

/// Makes every attempt of a family and every control, and asserts that no attempt succeeded, that
/// each was refused as expected, that each control was seen, and that all is well afterwards.
pub(crate) async fn besiege(family: &'static str, attempts: &[Attempt]) {
    let ground = Ground::new().await;
    let mut report = Report::new(family);
    let mut problems = Vec::new();
    let of_user = |attempt: &Attempt| attempt.user;
    let of_root = |attempt: &Attempt| attempt.root;
    // Controls on the host take its root; the very words of refusals are those of root's engine.
    let as_root = ground.as_root();
    let weak = match as_root {
        true => weak_controls(&ground, attempts, &mut problems),
        false => HashMap::new(),
    };
    let neighbours = neighbour_controls(&ground, attempts).await;
    for (user, refusal) in [
        ("user", &of_user as &dyn Fn(&Attempt) -> &'static str),
        ("root", &of_root),
    ] {
        if ground.ids == Ids::One && user == "root" {
            continue;
        }
        let made: Vec<&Attempt> = attempts
            .iter()
            .filter(|attempt| !refusal(attempt).is_empty())
            .collect();
        let mut list: Vec<Value> = made
            .iter()
            .map(|attempt| row(attempt.tries, attempt.program))
            .collect();
        list.extend(made.iter().filter_map(|attempt| match attempt.control {
            Control::Inside(program) => Some(row(&inside_name(attempt), program)),
            _ => None,
        }));
        let outcomes = within(&ground, &ground.attacker, user, &list).await;
        for attempt in made {
            let outcome = told(&outcomes, attempt.tries);
            let other = !as_root && outcome != "success" && !outcome.starts_with("broken");
            let refused = other || is(outcome, refusal(attempt));
            if !refused {
                let expected = refusal(attempt);
                problems.push(format!(
                    "{user}: {}: expected {expected:?}, got {outcome:?}",
                    attempt.tries
                ));
            }
            let seen = match attempt.control {
                Control::Inside(_) => told(&outcomes, &inside_name(attempt)),
                Control::Neighbour => told(&neighbours, attempt.tries),
                _ => told(&weak, attempt.tries),
            };
            let on_host = !matches!(attempt.control, Control::Inside(_) | Control::Neighbour);
            let control = match on_host && !as_root {
                true => Ok(SEEN_BY_ROOT),
                false => judge_control(attempt, seen, outcome),
            };
            if let Err(problem) = &control {
                problems.push(format!("{user}: {}: control: {problem}", attempt.tries));
            }
            report.add(Made {
                tries: attempt.tries.to_owned(),
                user,
                refusal: outcome.to_owned(),
                control: control.unwrap_or("none"),
            });
        }
    }
    let aftermath = ground.leave().await;
    report.close(&aftermath);
    assert!(
        problems.is_empty(),
        "{family}:\n  {}",
        problems.join("\n  ")
    );
}

/// Whether the control shows that a success would be seen; the words for the report.
fn judge_control(attempt: &Attempt, seen: &str, refusal: &str) -> Result<&'static str, String> {
    let absent = ["EAFNOSUPPORT", "EPROTONOSUPPORT", "EINVAL"];
    let lacking = seen.starts_with("lacking")
        || seen == "ENOSYS"
        || matches!(attempt.control, Control::Looked) && seen == refusal && absent.contains(&seen);
    match attempt.control {
        _ if lacking => Ok("none: this host's Linux lacks it"),
        Control::Looked if seen != refusal && !seen.starts_with("broken") => {
            Ok(attempt.control.as_str())
        }
        Control::Looked => Err(format!("the host answers {seen:?} as well")),
        _ if seen == "success" => Ok(attempt.control.as_str()),
        _ => Err(format!("expected a success, got {seen:?}")),
    }
}

fn inside_name(attempt: &Attempt) -> String {
    format!("control: {}", attempt.tries)
}

fn row(tries: &str, program: &str) -> Value {
    json!({ "tries": tries, "program": program })
}

fn told<'a>(outcomes: &'a HashMap<String, String>, tries: &str) -> &'a str {
    outcomes
        .get(tries)
        .map_or("broken: not made", String::as_str)
}

/// The controls that run on the host.
fn weak_controls(
    ground: &Ground,
    attempts: &[Attempt],
    problems: &mut Vec<String>,
) -> HashMap<String, String> {
    let list: Vec<Value> = attempts
        .iter()
        .filter_map(|attempt| match attempt.control {
            Control::Same | Control::Looked => Some(row(attempt.tries, attempt.program)),
            Control::Weak(program) => Some(row(attempt.tries, program)),
            Control::Inside(_) | Control::Neighbour => None,
        })
        .collect();
    let scratch = ground.place.path("scratch");
    let facts = ground.facts(scratch.to_str().unwrap());
    #[allow(clippy::disallowed_methods, reason = "the controls run on the host")]
    let mut driver = Command::new("/usr/bin/python3");
    driver.args(["-c", DRIVER, "weak"]).stdin(Stdio::piped());
    driver.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut driver = driver.spawn().unwrap();
    let order = json!({ "facts": facts, "attempts": list }).to_string();
    let mut input = driver.stdin.take().unwrap();
    input.write_all(order.as_bytes()).unwrap();
    drop(input);
    let ended = driver.wait_with_output().unwrap();
    if !ended.status.success() {
        problems.push(String::from_utf8_lossy(&ended.stderr).into_owned());
    }
    parse(&String::from_utf8_lossy(&ended.stdout))
}

async fn neighbour_controls(ground: &Ground, attempts: &[Attempt]) -> HashMap<String, String> {
    let list: Vec<Value> = attempts
        .iter()
        .filter(|attempt| matches!(attempt.control, Control::Neighbour))
        .map(|attempt| row(attempt.tries, attempt.program))
        .collect();
    if list.is_empty() {
        return HashMap::new();
    }
    within(ground, &ground.neighbour, "user", &list).await
}

/// Runs programs in a sandbox.
async fn within(
    ground: &Ground,
    sandbox: &Sandbox,
    user: &str,
    list: &[Value],
) -> HashMap<String, String> {
    let order = json!({ "facts": ground.facts(&format!("{SCRATCH}-{user}")), "attempts": list });
    for (name, text) in [
        ("driver.py", DRIVER.to_owned()),
        ("order.json", order.to_string()),
    ] {
        let path = format!("/tmp/{user}-{name}");
        let written = sandbox.agent().write_file(&path, Some(user), text.into());
        written.await.unwrap();
    }
    let script = format!("python3 /tmp/{user}-driver.py sandbox < /tmp/{user}-order.json");
    let output = shell(sandbox, user, &script).await;
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    parse(&output.stdout)
}

fn parse(lines: &str) -> HashMap<String, String> {
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("tries"), text("outcome"))
    };
    lines.lines().map(told).collect()
}
