//! `exec`, and `shell` with an id.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::server::Server;
use soulbox_tests::{end, wait_for};

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
