//! `shell`, with and without a terminal.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use soulbox_tests::Soulbox;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

#[test]
fn commands_from_a_pipe_run_and_the_exit_code_comes_out() {
    let soulbox = Soulbox::new();
    let ended = soulbox.run_with_input(&["shell"], b"id -un; echo to stderr >&2; exit 3\n");
    let ended = ended.expect_code(3).expect_stderr(&["to stderr"]);
    assert_eq!(ended.text(), "user\n");
}

#[test]
fn a_command_can_be_named() {
    let soulbox = Soulbox::new();
    let ended = soulbox
        .run(["shell", "--user", "root", "--", "id", "-un"])
        .expect_code(0);
    assert_eq!(ended.text(), "root\n");
    soulbox
        .run(["shell", "--", "no-such-program"])
        .expect_code(241)
        .expect_stderr(&["no-such-program"]);
}

#[test]
fn a_terminal_is_a_terminal_of_the_right_size() {
    let soulbox = Soulbox::new();
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&main).expect("grantpt");
    unlockpt(&main).expect("unlockpt");
    let name = ptsname(&main, Vec::new())
        .expect("its name")
        .into_string()
        .expect("UTF-8");
    let side = File::options()
        .read(true)
        .write(true)
        .open(name)
        .expect("its other side");
    let size = Winsize {
        ws_col: 93,
        ws_row: 31,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&main, size).expect("its size");

    let end = || Stdio::from(side.try_clone().expect("a copy"));
    let mut command = soulbox.command(["shell"]);
    let mut child = command
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .expect("starts");
    drop(command);
    drop(side);
    let mut main = File::from(main);
    let mut seen = String::new();
    let mut read_until = |main: &mut File, text: &str| {
        let mut bytes = [0; 1024];
        while !seen.contains(text) {
            let length = main.read(&mut bytes).unwrap_or(0);
            assert!(length > 0, "ended before {text:?}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    };
    read_until(&mut main, "$ ");
    // What is typed is echoed, so the answer is looked for in a form that was not typed.
    main.write_all(b"test -t 0 && stty size | tr ' ' x\n")
        .expect("typing");
    read_until(&mut main, "31x93");
    main.write_all(b"exit 7\n").expect("typing");
    assert_eq!(child.wait().expect("it ends").code(), Some(7));
}
