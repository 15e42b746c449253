//! What comes back of code: output, files, codes, and why it ended.

use crate::server::{code, events, live, post, run, text, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use soulbox_tests::http;
use soulbox_tests::server::Server;

#[test]
fn what_code_does_comes_back() {
    let server = Server::start();
    output_input_and_arguments(&server);
    bytes_come_back_exactly(&server);
    files_go_in_and_out(&server);
    limits_have_causes(&server);
    large_code_and_output(&server);
    a_batch_is_answered_in_order(&server);
    an_end_is_in_the_events(&server);
    a_program_is_compiled_once(&server);
    a_request_with_a_key_runs_once(&server);
}

fn output_input_and_arguments(server: &Server) {
    let asked = json!({
        "language": "python", "args": ["a b", "ä"], "stdin": "zwei\n", "env": {"X": "y"},
        "code": "import os, sys\nprint(sys.argv[1:], input(), os.environ['X'])\nprint('🦀', file=sys.stderr)\nsys.exit(7)",
    });
    let ran = run(server, &asked);
    assert_eq!(text(&ran, "stdout"), "['a b', 'ä'] zwei y\n");
    assert_eq!(text(&ran, "stderr"), "🦀\n");
    assert_eq!(ran["exit_code"], 7);
    assert_eq!(ran["cause"], "exited");
    assert_eq!(ran["isolation"], "namespace");
    for field in ["duration_us", "cpu_us", "peak_memory"] {
        assert!(
            ran[field].as_u64().is_some_and(|n| n > 0),
            "{field} of {ran}"
        );
    }
    // A syntax error is a result, in the language's own words.
    let wrong = code(server, "python", "print(");
    assert!(text(&wrong, "stderr").contains("SyntaxError"), "{wrong}");
    assert_eq!(wrong["exit_code"], 1);
    let signalled = code(server, "bash", "kill -SEGV $$");
    assert_eq!(signalled["cause"], "signalled");
    assert_eq!(signalled["signal"], 11);
    // The #! line says the language; without one it is python.
    let told = run(server, &json!({"code": "#!/bin/bash\necho $0"}));
    assert_eq!(told["language"], "bash");
    assert_eq!(run(server, &json!({"code": ""}))["language"], "python");
}

fn bytes_come_back_exactly(server: &Server) {
    let odd = code(server, "bash", r"printf 'a\xff\x00b'");
    assert_eq!(text(&odd, "stdout"), "a\u{fffd}\0b");
    assert_eq!(text(&odd, "stdout_base64"), STANDARD.encode(b"a\xff\0b"));
    let plain = code(server, "bash", "echo plain");
    assert_eq!(plain["stdout_base64"], Value::Null);
    let asked = json!({"language": "bash", "code": "od -An -tx1", "stdin": {"base64": STANDARD.encode(b"\xff\0")}});
    assert_eq!(text(&run(server, &asked), "stdout").trim(), "ff 00");
    // Code that is no UTF-8 is the language's to refuse.
    let asked = json!({"language": "bash", "code": {"base64": STANDARD.encode(b"echo '\xff' | od -An -tx1")}});
    assert_eq!(text(&run(server, &asked), "stdout").trim(), "ff 0a");
}

fn files_go_in_and_out(server: &Server) {
    let asked = json!({
        "language": "bash",
        "code": "cat a/b.txt; ./run.sh; cp bytes out.bin; echo 1 > x1.csv; echo 2 > x2.csv; ls /tmp/abs",
        "files": [
            {"path": "a/b.txt", "content": "text\n"},
            {"path": "run.sh", "content": "#!/bin/sh\necho ran\n", "executable": true},
            {"path": "bytes", "base64": STANDARD.encode(b"\xff\0")},
            {"path": "/tmp/abs", "content": ""},
        ],
        "return_files": ["out.bin", "x?.csv", "none", "nodir/*"],
    });
    let ran = run(server, &asked);
    assert_eq!(text(&ran, "stdout"), "text\nran\n/tmp/abs\n", "{ran}");
    let files = ran["files"].as_array().expect("files");
    let names: Vec<_> = files.iter().map(|file| text(file, "path")).collect();
    assert_eq!(
        names,
        [
            "/home/user/out.bin",
            "/home/user/x1.csv",
            "/home/user/x2.csv"
        ]
    );
    assert_eq!(files[0]["base64"], STANDARD.encode(b"\xff\0"));
    assert_eq!(files[1]["text"], "1\n");
    let failed = ran["failed_outputs"].as_array().expect("a list");
    assert_eq!(failed.len(), 2, "{failed:?}");
    // Other sources of a language are compiled with the code.
    let asked = json!({
        "language": "python", "code": "import lib\nprint(lib.x)", "files": {"lib.py": "x = 5"},
    });
    assert_eq!(text(&run(server, &asked), "stdout"), "5\n");
}

fn limits_have_causes(server: &Server) {
    let cause = |asked: Value| run(server, &asked)["cause"].clone();
    let slow = json!({"language": "bash", "code": "echo before; sleep 100", "timeout_ms": 300});
    let ran = run(server, &slow);
    assert_eq!(
        (&ran["cause"], text(&ran, "stdout")),
        (&json!("timed_out"), "before\n")
    );
    assert_eq!(ran["exit_code"], Value::Null);
    let memory = json!({"language": "python", "code": "x = b'x' * (1 << 30)", "memory_mb": 64});
    assert_eq!(cause(memory), "out_of_memory");
    let ran = code(server, "bash", "yes");
    assert_eq!(ran["cause"], "too_much_output");
    assert_eq!(ran["stdout_truncated"], true);
    assert_eq!(text(&ran, "stdout").len(), 8 << 20);
}

fn large_code_and_output(server: &Server) {
    let long = format!("x = '{}'\nprint(len(x))", "a".repeat(10 << 20));
    assert_eq!(text(&code(server, "python", &long), "stdout"), "10485760\n");
    let ran = code(server, "python", "print('ä' * 3_000_000)");
    assert_eq!(text(&ran, "stdout").chars().count(), 3_000_001);
}

fn a_batch_is_answered_in_order(server: &Server) {
    let requests = json!({"parallel": 2, "requests": [
        {"language": "bash", "code": "sleep 0.3; echo first"},
        {"language": "nolanguage", "code": ""},
        {"language": "bash", "code": "echo third"},
        7,
        {"language": "bash", "code": "exit 5"},
    ]});
    let answer = post(server, "/v1/execute/batch", requests.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let replies = &answer.json["replies"];
    assert_eq!(replies[0]["reply"]["stdout"], "first\n");
    assert_eq!(replies[1]["status"], 400);
    assert!(text(&replies[1]["error"], "message").starts_with("language: "));
    assert_eq!(replies[2]["reply"]["stdout"], "third\n");
    assert_eq!(replies[3]["status"], 400);
    assert_eq!(replies[4]["reply"]["exit_code"], 5);
    assert_eq!(replies.as_array().map(Vec::len), Some(5));
}

fn an_end_is_in_the_events(server: &Server) {
    let ran = code(server, "bash", "exit 3");
    let id = text(&ran, "sandbox");
    until("the end of the sandbox", || {
        !live(server).contains(&id.to_owned())
    });
    let happened = || -> Vec<_> {
        let events = events(server, id);
        events
            .iter()
            .map(|event| (event["kind"].clone(), event["cause"].clone()))
            .collect()
    };
    until("its end in the events", || happened().len() == 2);
    let happened = happened();
    assert_eq!(happened[0].0, "created");
    assert_eq!(happened[1], (json!("ended"), json!("finished")));
}

/// The steps of a run.
fn steps(ran: &Value) -> Vec<&str> {
    let phases = ran["phases"].as_array().expect("phases");
    phases.iter().map(|phase| text(phase, "step")).collect()
}

fn a_program_is_compiled_once(server: &Server) {
    let program = |more: &str| {
        json!({
            "language": "c", "files": {"say.h": format!("#define SAY \"said{more}\"")},
            "code": "#include \"say.h\"\n#include <stdio.h>\nint main(int n, char **a) { puts(a[1]); puts(SAY); return 3; }",
            "args": [format!("arg{more}")],
        })
    };
    let first = run(server, &program(""));
    assert_eq!(text(&first, "stdout"), "arg\nsaid\n", "{first}");
    assert!(steps(&first).contains(&"compile"), "{first}");
    let builds = server.home().join("data/builds/default");
    let kept = || {
        std::fs::read_dir(&builds).map_or(0, |all| {
            all.flatten()
                .filter(|one| !one.file_name().to_string_lossy().starts_with('.'))
                .count()
        })
    };
    let before = kept();
    until("the build", || kept() > 0 || before > 0);
    let mut second = program("");
    second["args"] = json!(["other"]);
    // What the program is told is no part of what the compiler makes of it, and neither are its limits.
    second["memory_mb"] = json!(128);
    let again = run(server, &second);
    assert_eq!(text(&again, "stdout"), "other\nsaid\n", "{again}");
    assert_eq!(again["exit_code"], 3);
    assert!(steps(&again).contains(&"cached"), "{again}");
    // Another header is another program, and what did not compile is no build.
    let other = run(server, &program("2"));
    assert_eq!(text(&other, "stdout"), "arg2\nsaid2\n");
    assert!(steps(&other).contains(&"compile"), "{other}");
    for _ in 0..2 {
        let wrong = code(server, "c", "int main( {");
        assert_eq!(wrong["stage"], "compile", "{wrong}");
        assert!(text(&wrong, "stderr").contains("error"), "{wrong}");
    }
}

fn a_request_with_a_key_runs_once(server: &Server) {
    let ask = |key: &str, code: &str| {
        let headers = [("X-API-KEY", server.key()), ("Idempotency-Key", key)];
        let body = json!({"language": "bash", "code": code}).to_string();
        http::ask(server, "POST", "/v1/execute", &headers, body.as_bytes())
    };
    let random = "head -c 8 /dev/urandom | od -An -tx1; exit 2";
    let answers = std::thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(|| ask("a", random))).collect();
        all.into_iter()
            .map(|one| one.join().expect("an answer"))
            .collect::<Vec<_>>()
    });
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (200, &answers[0].json));
    }
    assert_ne!(ask("b", random).json["stdout"], answers[0].json["stdout"]);
    assert_eq!(ask("a", "echo other").status, 422);
    // What was not run frees its key; what is too long to be kept is not run again.
    let long = "echo $RANDOM; head -c 300000 /dev/zero | tr '\\0' x";
    assert_eq!(ask("c", long).status, 200);
    assert_eq!(ask("c", long).status, 409);
}
