//! What is printed comes out as it is, or is cut where it was said to be.

use soulbox_tests::Soulbox;
use std::io::Read;

#[test]
fn binary_output_is_not_touched() {
    let code = "import os; os.write(1, bytes(range(256)) * 4096)";
    let ended = Soulbox::new().run(["run", "-c", code]).expect_code(0);
    let expected: Vec<u8> = (0..=255).cycle().take(256 * 4096).collect();
    assert!(ended.stdout == expected, "{} bytes", ended.stdout.len());
}

#[test]
fn output_without_a_limit_streams_through() {
    let code = "import os\nfor _ in range(320): os.write(1, b'x' * 65536)";
    let ended = Soulbox::new().run(["run", "-c", code]).expect_code(0);
    assert_eq!(ended.stdout.len(), 320 * 65536);
}

#[test]
fn output_is_cut_to_the_byte_and_told() {
    let arguments = ["run", "--max-output", "1K", "-c", "print('x' * 5000)"];
    let ended = Soulbox::new().run(arguments).expect_code(247);
    assert_eq!(ended.stdout.len(), 1024);
    assert!(ended.stderr.contains("1 KiB") && ended.stderr.contains("--max-output"));
}

#[test]
fn the_json_reply_keeps_eight_mebibytes() {
    let code = "import os\nwhile True: os.write(1, b'x' * 65536)";
    let run = Soulbox::new()
        .run(["run", "--json", "-c", code])
        .expect_code(247)
        .json();
    assert_eq!(run["stdout"].as_str().map(str::len), Some(8 << 20));
    assert_eq!(
        (&run["stdout_truncated"], &run["stderr_truncated"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn output_comes_while_the_code_runs() {
    let soulbox = Soulbox::new();
    let code = "import sys; print('first', flush=True); sys.stdin.read(); print('second')";
    let mut command = soulbox.command(["run", "-c", code]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    soulbox_tests::wait_for(&mut child, "first\n");
    drop(child.stdin.take());
    soulbox_tests::wait_for(&mut child, "second\n");
    soulbox_tests::end(child).expect_code(0);
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let soulbox = Soulbox::new();
    let mut child = soulbox
        .command(["run", "-l", "bash", "-c", "yes"])
        .spawn()
        .expect("starts");
    let mut some = [0; 100];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut some).expect("output");
    drop(stdout);
    let ended = soulbox_tests::end(child).expect_code(141);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_closed_stdout_of_the_code_is_the_codes_own_matter() {
    let ended = Soulbox::new().run([
        "run",
        "-l",
        "bash",
        "-c",
        "exec >&- 2>&-; sleep 0.1; exit 5",
    ]);
    ended.expect_code(5);
}
