//! `exec`, and `shell` with an id.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::server::Server;
use soulbox_tests::{end, wait_for};
use std::io::Write as _;
use std::process::Stdio;

#[test]
fn a_command_has_our_stdin_our_output_and_gives_its_exit_code() {
    let server = Server::start();
    let id = server.create(&["--env", "OF_ALL=1"]);
    let script = "cat; echo $OF_ALL $MINE $PWD $(id -un); echo to stderr >&2; exit 3";
    let arguments = [
        "exec",
        &id,
        "--user",
        "root",
        "--workdir",
        "/tmp",
        "-e",
        "MINE=2",
        "--",
        "sh",
        "-c",
        script,
    ];
    let input = vec![b'x'; 300_000];
    let ended = server.client().run_with_input(&arguments, &input);
    let ended = ended.expect_code(3).expect_stderr(&["to stderr"]);
    let text = ended.text();
    assert_eq!(text.trim_start_matches('x'), "1 2 /tmp root\n");
    assert_eq!(text.bytes().filter(|b| *b == b'x').count(), input.len());

    // Without the dashes, all that follows is the command's.
    let ended = server
        .run(["exec", &id, "echo", "--json", "-t"])
        .expect_code(0);
    assert_eq!(ended.text(), "--json -t\n");
    let killed = ["exec", &id, "--", "sh", "-c", "kill -9 $$"];
    server.run(killed).expect_code(137);
    server
        .run(["exec", &id, "--", "no-such-program"])
        .expect_code(241)
        .expect_stderr(&["no-such-program"]);
    // Input that ends at once, and a command that does not read any.
    let long = server
        .client()
        .run_with_input(&["exec", &id, "--", "true"], &input);
    long.expect_code(0);
    let shell = server
        .client()
        .run_with_input(&["shell", &id], b"echo in $$; exit 5\n");
    let shell = shell.expect_code(5);
    assert!(shell.text().starts_with("in "), "{}", shell.text());
    assert!(server.run(["ps"]).expect_code(0).text().contains("running"));
}

#[test]
fn ctrl_c_goes_to_the_command() {
    let server = Server::start();
    let id = server.create(&[]);
    let start = |script: &str| {
        let mut command = server
            .client()
            .command(["exec", &id, "--", "bash", "-c", script]);
        let mut child = command.spawn().expect("starts");
        wait_for(&mut child, "ready");
        child
    };
    let traps = start("trap 'echo caught; exit 7' INT; echo ready; sleep 1000");
    kill_process(Pid::from_child(&traps), Signal::INT).expect("a signal");
    let ended = end(traps).expect_code(7);
    assert!(ended.text().contains("caught"), "{}", ended.text());
    let ends = start("echo ready; sleep 1000");
    kill_process(Pid::from_child(&ends), Signal::INT).expect("a signal");
    end(ends).expect_code(130);
    // One that goes on is killed by the second.
    let mut deaf = start("trap 'echo caught' INT; echo ready; while :; do sleep 1000; done");
    kill_process(Pid::from_child(&deaf), Signal::INT).expect("a signal");
    wait_for(&mut deaf, "caught");
    kill_process(Pid::from_child(&deaf), Signal::INT).expect("a signal");
    end(deaf).expect_code(137);
}

#[test]
fn a_server_that_is_killed_and_comes_back_loses_no_output_and_no_input() {
    let mut server = Server::start();
    let id = server.create(&[]);
    let run = |script: &str| {
        let mut command = server
            .client()
            .command(["exec", &id, "--", "bash", "-c", script]);
        command.stdin(Stdio::piped()).spawn().expect("starts")
    };
    let mut counts =
        run("for i in $(seq 300); do echo line $i; echo error $i >&2; sleep 0.01; done; exit 7");
    let mut reads = run("echo ready; cat; echo over");
    let mut silent = run("echo ready; sleep 1000");
    wait_for(&mut counts, "line 20\n");
    wait_for(&mut reads, "ready\n");
    wait_for(&mut silent, "ready\n");
    server.crash();
    let mut stdin = reads.stdin.take().expect("a pipe");
    stdin.write_all(b"after the crash\n").expect("it is read");
    drop(stdin);

    let ended = end(counts).expect_code(7);
    let lines = |word: &str, from: usize| -> String {
        (from..=300).map(|i| format!("{word} {i}\n")).collect()
    };
    assert_eq!(ended.text(), lines("line", 21));
    assert_eq!(ended.stderr, lines("error", 1));
    assert_eq!(end(reads).expect_code(0).text(), "after the crash\nover\n");

    kill_process(Pid::from_child(&silent), Signal::INT).expect("a signal");
    end(silent).expect_code(130);
}

#[test]
fn output_is_passed_on_however_much_there_is() {
    let server = Server::start_with(&[("SOULBOX_COMMANDS_OUTPUT", "64K")]);
    let id = server.create(&[]);
    let much = "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2";
    let ended = server
        .run(["exec", &id, "--", "sh", "-c", much])
        .expect_code(0);
    assert_eq!(
        (ended.stdout.len(), ended.stderr.len()),
        (3_000_000, 1_000_000)
    );
}
