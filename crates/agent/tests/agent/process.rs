//! `process.Process` on the wire.

use crate::http::{Connection, frame};
use crate::support::Agent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A start of a shell script without input.
fn script(text: &str) -> Value {
    json!({"process": {"cmd": "/bin/sh", "args": ["-c", text]}, "stdin": false})
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// What a stream of events brought: pid, output by name, end event.
struct Run {
    pid: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: Value,
}

fn read_run(messages: &[Value]) -> Run {
    let pid = messages[0]["event"]["start"]["pid"]
        .as_u64()
        .expect("start comes first");
    let mut run = Run {
        pid,
        stdout: Vec::new(),
        stderr: Vec::new(),
        end: Value::Null,
    };
    for message in &messages[1..] {
        let event = &message["event"];
        if let Some(data) = event.get("data") {
            for (name, into) in [("stdout", &mut run.stdout), ("stderr", &mut run.stderr)] {
                if let Some(chunk) = data.get(name) {
                    into.extend(bytes(chunk));
                }
            }
        } else if let Some(end) = event.get("end") {
            assert!(run.end.is_null(), "one end only");
            run.end = end.clone();
        }
    }
    run
}

fn run(agent: &Agent, request: &Value) -> Run {
    let messages = agent.stream("process.Process/Start", request, &[]);
    assert_eq!(messages.last(), Some(&json!({})), "{messages:?}");
    read_run(&messages)
}

/// The error that a stream ends with, and nothing before it.
fn refused(agent: &Agent, method: &str, request: &Value, headers: &[(&str, &str)]) -> Value {
    let messages = agent.stream(&format!("process.Process/{method}"), request, headers);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0]["error"].clone()
}

/// A connection with a running process: the connection, its frames so far, the pid.
fn started(agent: &Agent, request: &Value, headers: &[(&str, &str)]) -> (Connection, Vec<u8>, u64) {
    follow(agent, "Start", request, headers)
}

fn follow(
    agent: &Agent,
    method: &str,
    request: &Value,
    headers: &[(&str, &str)],
) -> (Connection, Vec<u8>, u64) {
    let mut connection = Connection::open(agent);
    let kind = [("content-type", "application/connect+json")];
    let target = format!("/process.Process/{method}");
    connection.send(
        "POST",
        &target,
        &[&kind[..], headers].concat(),
        &frame(request),
    );
    assert_eq!(connection.head().status, 200);
    let mut pending = Vec::new();
    let (_, first) = connection.frame(&mut pending).unwrap().unwrap();
    let pid = first["event"]["start"]["pid"]
        .as_u64()
        .expect("start comes first");
    (connection, pending, pid)
}

/// Reads a stream that began with [`started`] to its end.
fn rest(connection: &mut Connection, mut pending: Vec<u8>) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some((_, json)) = connection.frame(&mut pending).unwrap() {
        messages.push(json);
    }
    messages
}

fn select(pid: u64) -> Value {
    json!({"process": {"pid": pid}})
}

fn is_alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "never happened: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn output_and_end_are_told_apart() {
    let agent = Agent::start().init();
    let run = run(&agent, &script("echo out; echo err >&2; exit 3"));
    assert!(run.pid > 1);
    assert_eq!(
        (run.stdout.as_slice(), run.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    let words = "exit status 3";
    assert_eq!(
        run.end,
        json!({"exitCode": 3, "exited": true, "status": words, "error": words})
    );
}

#[test]
fn success_has_no_error_and_needs_no_code() {
    let agent = Agent::start().init();
    let run = run(&agent, &json!({"process": {"cmd": "true"}}));
    assert_eq!(run.end, json!({"exited": true, "status": "exit status 0"}));
}

#[test]
fn a_signal_shows_as_minus_one() {
    let agent = Agent::start().init();
    let end = run(&agent, &script("kill -9 $$")).end;
    let words = "signal: killed";
    assert_eq!(
        end,
        json!({"exitCode": -1, "status": words, "error": words})
    );
    let end = run(&agent, &script("kill -ABRT $$")).end;
    assert_eq!(end["status"], "signal: aborted", "no core file is written");
}

#[test]
fn environment_and_directory_are_the_requests() {
    let agent = Agent::start().init();
    let init = json!({"envVars": {"GLOBAL": "g", "BOTH": "global"}});
    assert_eq!(
        agent
            .request("POST", "/init", &[], init.to_string().as_bytes())
            .status,
        204
    );
    let request = json!({
        "process": {
            "cmd": "env",
            "envs": {"OWN": "o", "BOTH": "own", "HOME": "/elsewhere"},
            "cwd": "/usr",
        },
        "stdin": false,
    });
    let text = String::from_utf8(run(&agent, &request).stdout).unwrap();
    let me = crate::support::me();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let (user, logname) = (format!("USER={me}"), format!("LOGNAME={me}"));
    let expected = [
        "BOTH=own",
        "GLOBAL=g",
        "HOME=/elsewhere",
        &logname,
        "OWN=o",
        &path,
        &user,
    ];
    assert_eq!(lines, expected);

    let request = json!({"process": {"cmd": "pwd", "cwd": "/usr/../usr/./bin"}});
    assert_eq!(run(&agent, &request).stdout, b"/usr/bin\n");
    let directory = agent.directory().to_str().unwrap().to_owned() + "\n";
    let request = json!({"process": {"cmd": "pwd"}});
    assert_eq!(
        run(&agent, &request).stdout,
        directory.as_bytes(),
        "the default directory"
    );
}

#[test]
fn a_process_is_shut_off_from_the_agent() {
    let agent = Agent::start().init();
    let own = std::fs::read_to_string(format!(
        "/proc/{}/oom_score_adj",
        agent.pid().as_raw_nonzero()
    ));
    let text = "ls /proc/self/fd | wc -l; cat /proc/self/status | grep -cE '^Sig(Blk|Ign|Cgt):.0+$'; \
        ulimit -c; cat /proc/self/oom_score_adj; umask; cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$";
    let run = run(&agent, &script(text));
    let text = String::from_utf8(run.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // 0, 1, 2, and the directory that `ls` reads.
    assert_eq!(lines[0], "4", "{text}");
    // `cat` blocks, ignores and handles nothing.
    assert_eq!(lines[1..5], ["3", "0", "500", "0022"], "{text}");
    assert_eq!(lines[5], lines[6], "a session and a group of its own");
    let now = std::fs::read_to_string(format!(
        "/proc/{}/oom_score_adj",
        agent.pid().as_raw_nonzero()
    ));
    assert_eq!(
        own.unwrap(),
        now.unwrap(),
        "the agent's own score is as before"
    );
}

#[test]
fn large_and_binary_output_arrives_whole() {
    let agent = Agent::start().init();
    let run = run(
        &agent,
        &script("head -c 3000000 /dev/zero | tr '\\0' '\\377'"),
    );
    assert_eq!(run.stdout.len(), 3_000_000);
    assert!(run.stdout.iter().all(|byte| *byte == 0xff));
}

#[test]
fn chunks_are_at_most_32_kib() {
    let agent = Agent::start().init();
    let messages = agent.stream(
        "process.Process/Start",
        &script("head -c 200000 /dev/zero"),
        &[],
    );
    let chunks = messages
        .iter()
        .filter_map(|message| message["event"]["data"].get("stdout"));
    assert!(
        chunks
            .map(bytes)
            .all(|chunk| (1..=32 * 1024).contains(&chunk.len()))
    );
}

#[test]
fn silent_processes_start_at_once() {
    let agent = Agent::start().init();
    let (_connection, pending, pid) = started(&agent, &script("sleep 1000"), &[]);
    assert!(pending.is_empty() && is_alive(pid));
}

#[test]
fn what_cannot_start_says_why() {
    let agent = Agent::start().init();
    let start = |process: Value| refused(&agent, "Start", &json!({"process": process}), &[]);
    let table = [
        (
            json!({"cmd": "no-such-program"}),
            "invalid_argument",
            "cannot start 'no-such-program'",
        ),
        (
            json!({"cmd": "/etc/passwd"}),
            "invalid_argument",
            "cannot start '/etc/passwd'",
        ),
        (json!({"cmd": "/"}), "invalid_argument", "cannot start '/'"),
        (json!({"cmd": ""}), "invalid_argument", "cmd is empty"),
        (json!({"cmd": "a\0b"}), "invalid_argument", "zero bytes"),
        (
            json!({"cmd": "true", "args": ["a\0b"]}),
            "invalid_argument",
            "zero bytes",
        ),
        (
            json!({"cmd": "true", "envs": {"A": "\0"}}),
            "invalid_argument",
            "zero bytes",
        ),
        (
            json!({"cmd": "true", "cwd": "/no/where"}),
            "invalid_argument",
            "cwd '/no/where' does not exist",
        ),
        (
            json!({"cmd": "true", "cwd": "/etc/passwd"}),
            "invalid_argument",
            "cwd '/etc/passwd' does not exist",
        ),
        (
            json!({"cmd": "true", "cwd": "~other"}),
            "invalid_argument",
            "another user's home",
        ),
    ];
    for (process, code, message) in table {
        let error = start(process.clone());
        assert_eq!(error["code"], code, "{process}");
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
    }
    assert_eq!(
        refused(&agent, "Start", &json!({}), &[])["code"],
        "invalid_argument"
    );
    let (_, list) = agent.unary("process.Process/List", &json!({}));
    assert_eq!(list, json!({"processes": []}));
}

#[test]
fn users_are_chosen_by_basic_authorization() {
    let agent = Agent::start().init();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let me = basic(&format!("{}:", crate::support::me()));
    let headers = [("authorization", me.as_str())];
    let messages = agent.stream("process.Process/Start", &script("id -un"), &headers);
    let expected = crate::support::me() + "\n";
    assert_eq!(read_run(&messages).stdout, expected.as_bytes());

    let unknown = basic("root123:");
    let error = refused(
        &agent,
        "Start",
        &script("true"),
        &[("authorization", &unknown)],
    );
    let message = "invalid username: 'root123'";
    assert_eq!(
        error,
        json!({"code": "unauthenticated", "message": message})
    );
    for malformed in ["Basic !!!", "Basic", &basic("no colon"), "Basic /w=="] {
        let headers = [("authorization", malformed)];
        let messages = agent.stream("process.Process/Start", &script("true"), &headers);
        let refused = messages[0]["error"]["code"] == "unauthenticated";
        assert!(refused || malformed == "Basic", "{malformed}: {messages:?}");
    }

    if rustix::process::geteuid().is_root() {
        let nobody = basic("nobody:");
        let script = json!({"process": {"cmd": "/usr/bin/id", "cwd": "/"}, "stdin": false});
        let headers = [("authorization", nobody.as_str())];
        let run = read_run(&agent.stream("process.Process/Start", &script, &headers));
        let text = String::from_utf8(run.stdout).unwrap();
        assert!(
            text.contains("(nobody)") && !text.contains("(root)"),
            "{text}"
        );
    }
}

#[test]
fn an_agent_without_root_runs_commands_as_itself_only() {
    // The user `nobody` of every distribution.
    let Some(agent) = Agent::start_as(65_534) else {
        return;
    };
    let init = json!({"defaultUser": "nobody", "defaultWorkdir": "/"});
    assert_eq!(
        agent
            .request("POST", "/init", &[], init.to_string().as_bytes())
            .status,
        204
    );
    let run = run(&agent, &script("id -u"));
    assert_eq!(run.stdout, b"65534\n");
    let root = format!("Basic {}", STANDARD.encode("root:"));
    let error = refused(
        &agent,
        "Start",
        &script("true"),
        &[("authorization", &root)],
    );
    assert_eq!(error["code"], "permission_denied");
}

#[test]
fn input_is_written_and_closed() {
    let agent = Agent::start().init();
    let request = json!({"process": {"cmd": "cat"}, "tag": "the-cat"});
    let (mut connection, pending, pid) = started(&agent, &request, &[]);
    let input = |text: &str, process: Value| json!({"process": process, "input": {"stdin": STANDARD.encode(text)}});
    let send = |message: Value| agent.unary("process.Process/SendInput", &message);
    assert_eq!(
        send(input("by pid, ", json!({"pid": pid}))),
        (200, json!({}))
    );
    assert_eq!(send(input("", json!({"pid": pid}))), (200, json!({})));
    assert_eq!(
        send(input("by tag", json!({"tag": "the-cat"}))),
        (200, json!({}))
    );
    let close = || agent.unary("process.Process/CloseStdin", &select(pid));
    assert_eq!(close(), (200, json!({})));
    let messages = rest(&mut connection, pending);
    let first = json!({"event": {"start": {"pid": pid}}});
    assert_eq!(
        read_run(&[vec![first], messages].concat()).stdout,
        b"by pid, by tag"
    );
    let (status, error) = close();
    assert_eq!((status, &error["code"]), (404, &json!("not_found")));
}

#[test]
fn input_that_cannot_be_taken_is_refused() {
    let agent = Agent::start().init();
    let (_one, _, without) = started(&agent, &script("sleep 1000"), &[]);
    let piped = json!({"process": {"cmd": "sleep", "args": ["1000"]}});
    let (_two, _, with) = started(&agent, &piped, &[]);
    let send = |pid: u64, input: Value| {
        let message = json!({"process": {"pid": pid}, "input": input});
        let (status, error) = agent.unary("process.Process/SendInput", &message);
        (
            status,
            error["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let internal = (500, "internal".to_owned());
    let invalid = (400, "invalid_argument".to_owned());
    assert_eq!(send(without, json!({"stdin": "aGk="})), internal, "no pipe");
    assert_eq!(send(with, json!({"pty": "aGk="})), internal, "no terminal");
    assert_eq!(send(with, json!({})), invalid);
    assert_eq!(send(with, json!({"stdin": "aGk=", "pty": "aGk="})), invalid);
    assert_eq!(send(with, json!({"stdin": "***"})), invalid);
    assert_eq!(
        send(999_999, json!({"stdin": ""})),
        (404, "not_found".to_owned())
    );
    for _ in 0..2 {
        assert_eq!(
            agent.unary("process.Process/CloseStdin", &select(with)).0,
            200
        );
    }
    assert_eq!(send(with, json!({"stdin": "aGk="})), internal, "closed");
}

#[test]
fn closing_input_frees_a_writer_that_waits() {
    let agent = Agent::start().init();
    let request = json!({"process": {"cmd": "sleep", "args": ["1000"]}});
    let (_connection, _, pid) = started(&agent, &request, &[]);
    let mut writer = Connection::open(&agent);
    // More than a pipe holds, for a process that reads nothing.
    let long = STANDARD.encode(vec![0; 300_000]);
    let message = json!({"process": {"pid": pid}, "input": {"stdin": long}}).to_string();
    let headers = [("content-type", "application/json")];
    writer.send(
        "POST",
        "/process.Process/SendInput",
        &headers,
        message.as_bytes(),
    );
    // The first answer on the other connection shows that the agent has taken the first request.
    wait_until("the pipe is full", || {
        let queued = std::fs::read_link(format!("/proc/{pid}/fd/0")).is_ok();
        queued && agent.request("GET", "/health", &[], b"").status == 204
    });
    assert_eq!(
        agent.unary("process.Process/CloseStdin", &select(pid)).0,
        200
    );
    assert_eq!(writer.answer().status, 500);
}

#[test]
fn a_stream_of_input_may_be_cut_anywhere() {
    let agent = Agent::start().init();
    let (mut output, pending, pid) = started(&agent, &json!({"process": {"cmd": "cat"}}), &[]);
    let data = |text: &str| json!({"data": {"input": {"stdin": STANDARD.encode(text)}}});
    let body = [
        frame(&json!({"start": {"process": {"pid": pid}}})),
        frame(&json!({"keepalive": {}})),
        frame(&data("one ")),
        frame(&data("two")),
    ]
    .concat();
    let mut input = Connection::open(&agent);
    input
        .write(
            b"POST /process.Process/StreamInput HTTP/1.1\r\nhost: a\r\n\
              content-type: application/connect+json\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .unwrap();
    for piece in body.chunks(7) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        input.write(&chunk).unwrap();
    }
    input.write(b"0\r\n\r\n").unwrap();
    let answer = input.answer();
    assert_eq!(
        answer.header("content-type"),
        Some("application/connect+json")
    );
    assert_eq!(
        crate::http::frames(&answer.body),
        [(0, json!({})), (2, json!({}))]
    );
    assert_eq!(
        agent.unary("process.Process/CloseStdin", &select(pid)).0,
        200
    );
    let first = json!({"event": {"start": {"pid": pid}}});
    let messages = rest(&mut output, pending);
    assert_eq!(
        read_run(&[vec![first], messages].concat()).stdout,
        b"one two"
    );
}

#[test]
fn a_stream_of_input_has_its_order() {
    let agent = Agent::start().init();
    let (_output, _, pid) = started(&agent, &json!({"process": {"cmd": "cat"}}), &[]);
    let start = json!({"start": {"process": {"pid": pid}}});
    let data = json!({"data": {"input": {"stdin": ""}}});
    let error = |messages: &[&Value]| {
        let body: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
        let answer = agent.raw_stream("process.Process/StreamInput", &body, &[]);
        assert_eq!(answer.status, 200);
        crate::http::frames(&answer.body).last().unwrap().1["error"]["code"].clone()
    };
    assert_eq!(error(&[&data]), "invalid_argument");
    assert_eq!(error(&[&start, &start]), "invalid_argument");
    assert_eq!(error(&[&json!({})]), "invalid_argument");
    assert_eq!(
        error(&[&json!({"start": {"process": {"pid": 999_999}}})]),
        "not_found"
    );
    assert_eq!(error(&[&start, &data, &data]), Value::Null);
    assert_eq!(error(&[]), Value::Null);
}

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
fn living_processes_are_listed_as_they_were_asked_for() {
    let agent = Agent::start().init();
    let config = json!({"cmd": "/bin/sleep", "args": ["1000"], "envs": {"A": "b"}, "cwd": "/"});
    let request = json!({"process": config, "tag": "t"});
    let (_connection, _, pid) = started(&agent, &request, &[]);
    run(&agent, &script("true"));
    let (status, list) = agent.unary("process.Process/List", &json!({}));
    let expected = json!({"processes": [{"config": config, "pid": pid, "tag": "t"}]});
    assert_eq!((status, list), (200, expected));
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

#[test]
fn many_processes_at_once_each_get_their_own_output() {
    let agent = Agent::start().init();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let agent = &agent;
            scope.spawn(move || {
                for round in 0..10 {
                    let text = format!("{worker}-{round}");
                    let run = run(agent, &script(&format!("echo {text}; exit {worker}")));
                    assert_eq!(run.stdout, format!("{text}\n").as_bytes());
                    assert_eq!(run.end["exitCode"].as_u64().unwrap_or(0), worker);
                }
            });
        }
    });
}
