//! `run --json`.

use soulbox_tests::Soulbox;

#[test]
fn one_object_tells_everything() {
    let code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)";
    let ended = Soulbox::new()
        .run(["run", "--json", "-c", code])
        .expect_code(3);
    let run = ended.json();
    assert_eq!(run["stdout"], "out\n");
    assert_eq!(run["stderr"], "err\n");
    assert_eq!(run["exit_code"], 3);
    assert_eq!(run["signal"], serde_json::Value::Null);
    assert_eq!(run["cause"], "exited");
    assert_eq!(run["isolation"], "namespace");
    assert_eq!(run["language"], "python");
    assert_eq!(run["stdout_truncated"], false);
    for figure in ["cpu_us", "peak_memory", "duration_us"] {
        assert!(
            run[figure].as_u64().is_some_and(|figure| figure > 0),
            "{figure}: {run}"
        );
    }
    let steps = run["phases"].as_array().expect("phases");
    assert!(
        steps
            .iter()
            .any(|step| step["step"] == "run" && step["us"].is_u64()),
        "{run}"
    );
    assert_eq!(ended.stderr, "");
}

#[test]
fn bytes_that_are_no_text_come_as_base64() {
    let code = "import os; os.write(1, bytes([0, 255, 10]))";
    let run = Soulbox::new()
        .run(["run", "--json", "-c", code])
        .expect_code(0)
        .json();
    assert_eq!(run["stdout_base64"], "AP8K");
    assert_eq!(run["stdout"], "\u{0}\u{fffd}\n");
    assert!(run["stderr_base64"].is_null());
}

#[test]
fn every_cause_is_told() {
    let soulbox = Soulbox::new();
    for (arguments, code, cause) in [
        (&["-l", "bash", "-c", "kill -9 $$"][..], 137, "signalled"),
        (
            &["--timeout", "500ms", "-c", "while True: pass"],
            244,
            "timed_out",
        ),
        (
            &["--memory", "64M", "-c", "x = 'a' * (256 << 20)"],
            245,
            "out_of_memory",
        ),
        (
            &[
                "--disk",
                "2M",
                "-c",
                "open('f', 'wb').write(b'x' * (8 << 20))",
            ],
            246,
            "disk_full",
        ),
        (
            &["--max-output", "10", "-c", "print('x' * 11)"],
            247,
            "too_much_output",
        ),
    ] {
        let all = ["run", "--json"].iter().chain(arguments);
        let run = soulbox.run(all).expect_code(code).json();
        assert_eq!(run["cause"], cause, "{run}");
    }
}

#[test]
fn a_compiler_error_is_told_as_such() {
    let run = Soulbox::new()
        .run(["run", "--json", "-l", "c", "-c", "int main("])
        .json();
    assert_eq!(run["stage"], "compile", "{run}");
    assert!(
        run["stderr"]
            .as_str()
            .is_some_and(|text| text.contains("main.c")),
        "{run}"
    );
}
