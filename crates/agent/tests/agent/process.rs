//! `process.Process` on the wire: starts, what they get, how they end.

use crate::run::{bytes, is_alive, read_run, refused, run, script, started};
use crate::support::Agent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

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
        "LANG=C.UTF-8",
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
