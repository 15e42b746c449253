//! `process.Process` on the wire: signals, time limits, readers that come and go.

use crate::run::{
    bytes, follow, is_alive, read_run, refused, rest, run, script, select, started, wait_until,
};
use crate::support::Agent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn signals_reach_the_one_process() {
    let agent = Agent::start().init();
    let text = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let (mut connection, mut pending, pid) = started(&agent, &script(text), &[]);
    let (_, ready) = connection.frame(&mut pending).unwrap().unwrap();
    assert_eq!(bytes(&ready["event"]["data"]["stdout"]), b"ready\n");
    let send = |pid: u64, signal: Value| {
        let message = json!({"process": {"pid": pid}, "signal": signal});
        agent.unary("process.Process/SendSignal", &message)
    };
    assert_eq!(send(pid, json!(0)).0, 501);
    assert_eq!(send(pid, json!("SIGNAL_SIGTERM")), (200, json!({})));
    let messages = rest(&mut connection, pending);
    assert_eq!(
        bytes(&messages[0]["event"]["data"]["stdout"]),
        b"asked\n",
        "last words count"
    );
    assert_eq!(messages[1]["event"]["end"]["exitCode"], 7);
    let gone = json!({"code": "not_found", "message": format!("process with pid {pid} not found")});
    assert_eq!(send(pid, json!(9)), (404, gone));
}

#[test]
fn a_killed_process_ends_though_its_child_holds_the_output() {
    let agent = Agent::start().init();
    // The child ends by itself when nobody reads it any more.
    let text = "(while echo noise; do :; done) & wait";
    let (mut connection, pending, pid) = started(&agent, &script(text), &[]);
    let message = json!({"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"});
    assert_eq!(agent.unary("process.Process/SendSignal", &message).0, 200);
    let messages = rest(&mut connection, pending);
    let end = &messages[messages.len() - 2]["event"]["end"];
    assert_eq!(end["status"], "signal: killed");
}

#[test]
fn a_signal_spares_the_children() {
    let agent = Agent::start().init();
    let text = "sleep 1000 > /dev/null 2>&1 & echo $!; wait";
    let (mut connection, mut pending, pid) = started(&agent, &script(text), &[]);
    let (_, first) = connection.frame(&mut pending).unwrap().unwrap();
    let child = String::from_utf8(bytes(&first["event"]["data"]["stdout"])).unwrap();
    let child: i32 = child.trim().parse().unwrap();
    let message = json!({"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"});
    assert_eq!(agent.unary("process.Process/SendSignal", &message).0, 200);
    rest(&mut connection, pending);
    assert!(is_alive(child.unsigned_abs().into()));
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_time_limit_kills_the_whole_session() {
    let agent = Agent::start().init();
    // Jobs of a shell with job control have groups of their own.
    let text = "set -m; sleep 1000 & echo $!; (sleep 1000 & echo $!); sh -c 'sleep 1000 & echo $!'; \
        sleep 1000";
    let request = json!({"process": {"cmd": "/bin/bash", "args": ["-c", text]}, "stdin": false});
    let headers = [("connect-timeout-ms", "300")];
    let before = Instant::now();
    let messages = agent.stream("process.Process/Start", &request, &headers);
    assert!(before.elapsed() >= Duration::from_millis(290));
    let pid = messages[0]["event"]["start"]["pid"].as_u64().unwrap();
    let error = &messages.last().unwrap()["error"];
    assert_eq!(error["code"], "deadline_exceeded", "{messages:?}");
    let output = messages[1..]
        .iter()
        .filter_map(|m| m["event"]["data"].get("stdout"));
    let output: Vec<u8> = output.flat_map(bytes).collect();
    let output = String::from_utf8(output).unwrap();
    let children: Vec<u64> = output.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(children.len(), 3);
    for pid in children.into_iter().chain([pid]) {
        wait_until("all are gone", || !is_alive(pid));
    }
}

#[test]
fn a_time_limit_of_a_second_reader_ends_only_its_stream() {
    let agent = Agent::start().init();
    let (_connection, _, pid) = started(&agent, &script("sleep 1000"), &[]);
    let headers = [("connect-timeout-ms", "50")];
    let messages = agent.stream("process.Process/Connect", &select(pid), &headers);
    assert_eq!(messages[1]["error"]["code"], "deadline_exceeded");
    assert!(is_alive(pid));
}

#[test]
fn a_client_that_goes_away_leaves_the_process_running() {
    let agent = Agent::start().init();
    let file = agent.path("written");
    // More than all the buffers between it and a client that does not read.
    let text = format!("head -c 5000000 /dev/zero; echo done > {file}");
    let (connection, _, pid) = started(&agent, &script(&text), &[]);
    drop(connection);
    wait_until("the output is dropped", || {
        std::path::Path::new(&file).exists()
    });
    wait_until("the process has ended", || !is_alive(pid));
}

#[test]
fn a_slow_reader_stops_the_process() {
    let agent = Agent::start().init();
    let file = agent.path("written");
    let text = format!("head -c 5000000 /dev/zero; echo done > {file}");
    let (mut connection, pending, pid) = started(&agent, &script(&text), &[]);
    // The agent answers others meanwhile, and the process sleeps in its write.
    wait_until("the process waits", || {
        assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
        let child = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let child = child.unwrap_or_default();
        let wchan = std::fs::read_to_string(format!("/proc/{}/wchan", child.trim()));
        wchan.is_ok_and(|wchan| wchan.contains("pipe_write") || wchan.contains("anon_pipe"))
    });
    assert!(!std::path::Path::new(&file).exists());
    let output = rest(&mut connection, pending);
    let output = output
        .iter()
        .filter_map(|m| m["event"]["data"].get("stdout"));
    assert_eq!(
        output.map(|chunk| bytes(chunk).len()).sum::<usize>(),
        5_000_000
    );
    assert!(std::path::Path::new(&file).exists());
}

#[test]
fn a_second_reader_gets_what_comes_from_then_on() {
    let agent = Agent::start().init();
    let request = json!({"process": {"cmd": "cat"}, "tag": "t"});
    let (mut one, mut pending, pid) = started(&agent, &request, &[]);
    let send = |text: &str| {
        let input = json!({"stdin": STANDARD.encode(text)});
        agent.unary(
            "process.Process/SendInput",
            &json!({"process": {"pid": pid}, "input": input}),
        )
    };
    send("early");
    let (_, event) = one.frame(&mut pending).unwrap().unwrap();
    assert_eq!(bytes(&event["event"]["data"]["stdout"]), b"early");
    let by_tag = json!({"process": {"tag": "t"}});
    let (mut two, other, same) = follow(&agent, "Connect", &by_tag, &[]);
    assert_eq!(pid, same);
    send("late");
    agent.unary("process.Process/CloseStdin", &select(pid));
    for messages in [rest(&mut one, pending), rest(&mut two, other)] {
        assert_eq!(
            bytes(&messages[0]["event"]["data"]["stdout"]),
            b"late",
            "{messages:?}"
        );
        assert_eq!(messages[1]["event"]["end"]["exited"], true);
        assert_eq!(messages[2], json!({}));
    }
}

#[test]
fn an_end_is_told_to_those_who_ask_late() {
    let agent = Agent::start().init();
    let first = run(&agent, &script("exit 5"));
    let late = read_run(&agent.stream("process.Process/Connect", &select(first.pid), &[]));
    assert_eq!((late.pid, late.end), (first.pid, first.end));
    for unknown in [json!({"pid": 999_999}), json!({"tag": "none"})] {
        let error = refused(&agent, "Connect", &json!({"process": unknown}), &[]);
        assert_eq!(error["code"], "not_found");
    }
    for wrong in [
        json!({}),
        json!({"process": {}}),
        json!({"process": {"pid": 1, "tag": "x"}}),
    ] {
        assert_eq!(
            refused(&agent, "Connect", &wrong, &[])["code"],
            "invalid_argument"
        );
    }
}

#[test]
fn silence_is_filled_with_keepalives() {
    let agent = Agent::start().init();
    let headers = [("keepalive-ping-interval", "1")];
    let (mut connection, mut pending, _) = started(&agent, &script("sleep 1000"), &headers);
    let before = Instant::now();
    let (_, event) = connection.frame(&mut pending).unwrap().unwrap();
    assert_eq!(event, json!({"event": {"keepalive": {}}}));
    assert!(before.elapsed() > Duration::from_millis(900));
}

#[test]
fn output_resets_the_keepalive() {
    let agent = Agent::start().init();
    let headers = [("keepalive-ping-interval", "1")];
    let text = "for i in 1 2 3 4; do sleep 0.4; echo $i; done";
    let messages = agent.stream("process.Process/Start", &script(text), &headers);
    let alive = |message: &&Value| message["event"].get("keepalive").is_some();
    assert_eq!(messages.iter().find(alive), None);
}

#[test]
fn killed_agents_drop_their_streams_without_an_end() {
    let agent = Agent::start().init();
    let (mut connection, mut pending, pid) = started(&agent, &script("sleep 1000"), &[]);
    rustix::process::kill_process(agent.pid(), rustix::process::Signal::KILL).unwrap();
    assert!(
        connection.frame(&mut pending).is_err(),
        "no last chunk, no end of stream"
    );
    let orphan = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process_group(orphan, rustix::process::Signal::KILL).unwrap();
}
