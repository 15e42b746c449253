//! Programs that are really started.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use rustix::fd::AsFd as _;
use rustix::io::Errno;
use rustix::process::{Gid, Rlimit, Uid};
use rustix::process::{WaitOptions, WaitStatus};
use soulbox_syscall::process::{Identity, Program, StartError, Step, start};
use std::ffi::CString;
use std::io::Read as _;
use std::path::Path;

struct Case {
    paths: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: CString,
}

fn case(paths: &[&str], arguments: &[&str]) -> Case {
    let strings = |texts: &[&str]| texts.iter().map(|t| CString::new(*t).unwrap()).collect();
    Case {
        paths: strings(paths),
        arguments: strings(arguments),
        environment: strings(&["PATH=/usr/bin:/bin", "COLOUR=blue"]),
        directory: CString::new("/").unwrap(),
    }
}

/// Runs it to its end: its status, and what it wrote to its standard output and error.
fn run(case: &Case) -> Result<(WaitStatus, String), StartError> {
    let null = std::fs::File::open("/dev/null").unwrap();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let program = Program {
        paths: &case.paths,
        arguments: &case.arguments,
        environment: &case.environment,
        directory: &case.directory,
        stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
        control: None,
        controls_terminal: false,
        identity: None,
        open_files: Some(Rlimit {
            current: Some(77),
            maximum: Some(99),
        }),
    };
    let pid = start(&program)?;
    drop(writer);
    let mut text = String::new();
    std::fs::File::from(reader)
        .read_to_string(&mut text)
        .unwrap();
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty())
        .unwrap()
        .unwrap();
    Ok((status, text))
}

#[test]
fn a_program_gets_what_it_was_given_and_no_more() {
    let script = "echo $COLOUR; pwd; ulimit -n; ulimit -Hn; ulimit -c; ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' \
        /proc/self/status; cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$";
    let (status, text) = run(&case(&["/bin/bash"], &["bash", "-c", script])).unwrap();
    assert_eq!(status.exit_status(), Some(0));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[..5], ["blue", "/", "77", "99", "0"], "{text}");
    // `ls` itself has the directory open as the fourth.
    assert_eq!(lines[5..9], ["0", "1", "2", "3"], "{text}");
    assert_eq!(lines[9], "SigBlk:\t0000000000000000");
    assert_eq!(lines[10], "SigIgn:\t0000000000000000");
    assert_eq!(lines[11], lines[12], "leader of its session and group");
}

#[test]
fn paths_are_tried_in_turn() {
    let found = case(
        &["/nonexistent/true", "/etc/passwd/true", "/bin/true"],
        &["true"],
    );
    assert_eq!(run(&found).unwrap().0.exit_status(), Some(0));
    let errno = |paths: &[&str]| run(&case(paths, &["x"])).map(|_| ()).unwrap_err();
    let missing = StartError {
        step: Step::Execute,
        errno: Errno::NOENT,
    };
    assert_eq!(errno(&["/nonexistent"]), missing);
    assert_eq!(errno(&[]), missing);
    let refused = StartError {
        step: Step::Execute,
        errno: Errno::ACCESS,
    };
    assert_eq!(errno(&["/etc/passwd", "/nonexistent"]), refused);
}

#[test]
fn a_failed_start_leaves_no_child() {
    let mut wrong = case(&["/bin/true"], &["true"]);
    wrong.directory = CString::new("/nonexistent").unwrap();
    let error = run(&wrong).map(|_| ()).unwrap_err();
    assert_eq!(
        error,
        StartError {
            step: Step::Directory,
            errno: Errno::NOENT
        }
    );
    assert_eq!(
        error.to_string(),
        "cannot enter the working directory: No such file or directory (os error 2)"
    );
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    for pid in children.split_whitespace() {
        let comm = std::fs::read_to_string(Path::new("/proc").join(pid).join("comm"));
        assert_ne!(comm.unwrap_or_default().trim(), "true");
    }
}

#[test]
fn another_user_is_become_by_root_alone() {
    let identity = Identity {
        uid: Uid::from_raw(1234),
        gid: Gid::from_raw(2345),
        groups: &[Gid::from_raw(7), Gid::from_raw(8)],
    };
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let case = case(&["/bin/sh"], &["sh", "-c", "id -u; id -g; id -G"]);
    let program = Program {
        paths: &case.paths,
        arguments: &case.arguments,
        environment: &case.environment,
        directory: &case.directory,
        stdio: [null.as_fd(), writer.as_fd(), null.as_fd()],
        control: None,
        controls_terminal: false,
        identity: Some(identity),
        open_files: None,
    };
    let result = start(&program);
    drop(writer);
    if !rustix::process::geteuid().is_root() {
        let refused = StartError {
            step: Step::Identity,
            errno: Errno::PERM,
        };
        assert_eq!(result, Err(refused));
        return;
    }
    let mut text = String::new();
    std::fs::File::from(reader)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "1234\n2345\n2345 7 8\n");
    let ended = rustix::process::waitpid(Some(result.unwrap()), WaitOptions::empty());
    assert_eq!(ended.unwrap().unwrap().1.exit_status(), Some(0));
}

#[test]
fn a_control_socket_is_descriptor_3_whatever_its_number_was() {
    let case = case(
        &["/bin/sh"],
        &["sh", "-c", "echo \"$0\" >&3; ls /proc/self/fd", "hello"],
    );
    let null = std::fs::File::open("/dev/null").unwrap();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let program = Program {
        paths: &case.paths,
        arguments: &case.arguments,
        environment: &case.environment,
        directory: &case.directory,
        stdio: [null.as_fd(), writer.as_fd(), null.as_fd()],
        control: Some(writer.as_fd()),
        controls_terminal: false,
        identity: None,
        open_files: None,
    };
    let pid = start(&program).unwrap();
    drop(writer);
    let mut text = String::new();
    std::fs::File::from(reader)
        .read_to_string(&mut text)
        .unwrap();
    rustix::process::waitpid(Some(pid), WaitOptions::empty()).unwrap();
    // `ls` itself has the directory open as the fifth.
    assert_eq!(text, "hello\n0\n1\n2\n3\n4\n");
}
