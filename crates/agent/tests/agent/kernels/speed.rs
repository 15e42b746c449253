//! How long a cell takes. Run by hand on an idle machine: `cargo test --release -p soulbox-agent
//! --test agent kernels::speed -- --ignored --nocapture`.

use super::Ground;
use crate::http::Connection;
use serde_json::json;
use std::time::{Duration, Instant};

fn one(connection: &mut Connection, body: &str) -> Duration {
    let begin = Instant::now();
    connection.send_to("kernels", "POST", "/execute", &[], body.as_bytes());
    let answer = connection.answer();
    let took = begin.elapsed();
    assert!(answer.body.ends_with(b"{\"type\":\"end_of_execution\"}\n"));
    took
}

#[test]
#[ignore = "a measurement"]
fn a_cell_in_a_kept_context() {
    let Some(ground) = Ground::new() else { return };
    let mut connection = Connection::open(&ground);
    let body = json!({ "code": "echo hi" }).to_string();
    for _ in 0..200 {
        one(&mut connection, &body);
    }
    let mut times: Vec<Duration> = (0..2000).map(|_| one(&mut connection, &body)).collect();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    eprintln!(
        "one context: p5 {:?}, p50 {:?}, p95 {:?}",
        at(5),
        at(50),
        at(95)
    );
    let ids: Vec<String> = (0..10)
        .map(|_| ground.make(&json!({ "language": "bash" })))
        .collect();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for id in &ids {
            let mut connection = Connection::open(&ground);
            let body = json!({ "code": "echo hi", "context_id": id }).to_string();
            scope.spawn(move || {
                for _ in 0..500 {
                    one(&mut connection, &body);
                }
            });
        }
    });
    let each = 5000.0 / begin.elapsed().as_secs_f64();
    eprintln!("ten contexts: {each:.0} per second");
}
