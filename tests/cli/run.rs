//! `run`: code in, output and exit code out.

use soulbox_tests::Soulbox;

#[test]
fn hello_world() {
    let ended = Soulbox::new()
        .run(["run", "-c", "print('Hello World')"])
        .expect_code(0);
    assert_eq!(ended.text(), "Hello World\n");
    assert_eq!(ended.stderr, "");
}

#[test]
fn streams_are_kept_apart() {
    let code = "import sys; print('out'); print('err', file=sys.stderr)";
    let ended = Soulbox::new().run(["run", "-c", code]).expect_code(0);
    assert_eq!(
        (ended.text().as_str(), ended.stderr.as_str()),
        ("out\n", "err\n")
    );
}

#[test]
fn the_exit_code_comes_out() {
    let soulbox = Soulbox::new();
    for code in [1, 42, 239, 255] {
        soulbox
            .run(["run", "-c", &format!("raise SystemExit({code})")])
            .expect_code(code);
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    let soulbox = Soulbox::new();
    soulbox
        .run(["run", "-l", "bash", "-c", "kill -SEGV $$"])
        .expect_code(139);
    soulbox
        .run(["run", "-l", "bash", "-c", "kill -TERM $$"])
        .expect_code(143);
}

#[test]
fn arguments_reach_the_code_as_they_are() {
    let soulbox = Soulbox::new();
    let code = "import sys; print(sys.argv[1:])";
    let ended = soulbox.run(["run", "-c", code, "--", "a b", "--memory", "-c", ""]);
    assert_eq!(
        ended.expect_code(0).text(),
        "['a b', '--memory', '-c', '']\n"
    );
}

#[test]
fn empty_code_is_code() {
    let soulbox = Soulbox::new();
    soulbox.run(["run", "-c", ""]).expect_code(0);
    soulbox.file("empty.py", "");
    soulbox.run(["run", "empty.py"]).expect_code(0);
    soulbox.run_with_input(&["run", "-"], b"").expect_code(0);
}

#[test]
fn ten_megabytes_of_code_run() {
    let soulbox = Soulbox::new();
    let mut code = "# filling\n".repeat(1 << 20);
    code.push_str("print('end')\n");
    assert!(code.len() > 10 << 20);
    soulbox.file("large.py", &code);
    assert_eq!(
        soulbox.run(["run", "large.py"]).expect_code(0).text(),
        "end\n"
    );
    let ended = soulbox
        .run_with_input(&["run", "-"], code.as_bytes())
        .expect_code(0);
    assert_eq!(ended.text(), "end\n");
}

#[test]
fn code_beyond_the_limit_is_refused() {
    let soulbox = Soulbox::new();
    soulbox.file("large.py", vec![b'#'; 2048]);
    let mut command = soulbox.command(["run", "large.py"]);
    let child = command
        .env("SOULBOX_EXECUTE_CODE", "1K")
        .spawn()
        .expect("starts");
    soulbox_tests::end(child)
        .expect_code(240)
        .expect_stderr(&["1024 bytes", "execute.code"]);
}

#[test]
fn code_that_is_no_utf8_reaches_the_interpreter() {
    let soulbox = Soulbox::new();
    soulbox.file("odd.sh", b"printf '%s' '\xff\xfe' | od -An -tx1\n");
    assert_eq!(
        soulbox.run(["run", "odd.sh"]).expect_code(0).text().trim(),
        "ff fe"
    );
}

#[test]
fn a_directory_runs_with_its_files() {
    let soulbox = Soulbox::new();
    soulbox.file(
        "project/main.py",
        "import helper, pathlib\nprint(helper.word())",
    );
    soulbox.file("project/helper/__init__.py", "from .deep import word");
    soulbox.file(
        "project/helper/deep.py",
        "def word(): return open('data/word.txt').read()",
    );
    soulbox.file("project/data/word.txt", "found");
    assert_eq!(
        soulbox.run(["run", "project"]).expect_code(0).text(),
        "found\n"
    );
}

#[test]
fn programs_of_a_directory_stay_executable() {
    use std::os::unix::fs::PermissionsExt;
    let soulbox = Soulbox::new();
    soulbox.file("project/main.sh", "./tool");
    let tool = soulbox.file("project/tool", "#!/bin/sh\necho tool ran\n");
    std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).expect("mode");
    assert_eq!(
        soulbox.run(["run", "project"]).expect_code(0).text(),
        "tool ran\n"
    );
}

#[test]
fn links_out_of_a_directory_are_left_out() {
    let soulbox = Soulbox::new();
    soulbox.file("project/main.sh", "cat stolen 2>/dev/null || echo nothing");
    let link = soulbox.home().join("project/stolen");
    std::os::unix::fs::symlink("/etc/hostname", link).expect("a link");
    let ended = soulbox.run(["run", "project"]).expect_code(0);
    assert_eq!(ended.text(), "nothing\n");
    assert!(
        ended.stderr.contains("stolen leads out"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_user_and_the_working_directory_can_be_chosen() {
    let soulbox = Soulbox::new();
    let who = |arguments: &[&str]| {
        let all = ["run", "-l", "bash", "-c", "id -un; pwd"]
            .iter()
            .chain(arguments);
        soulbox.run(all).expect_code(0).text()
    };
    assert_eq!(who(&[]), "user\n/home/user\n");
    assert_eq!(
        who(&["--user", "root", "--workdir", "/tmp"]),
        "root\n/tmp\n"
    );
    let ended = soulbox.run(["run", "--user", "nobody-here", "-c", ""]);
    ended.expect_code(241).expect_stderr(&["nobody-here"]);
    let ended = soulbox.run(["run", "--workdir", "/no/such", "-c", ""]);
    ended.expect_code(241).expect_stderr(&["/no/such"]);
}

#[test]
fn eight_at_once_do_not_meet() {
    let soulbox = Soulbox::new();
    let start = |number: usize| {
        let code = format!(
            "import time; open('n','w').write('{number}'); time.sleep(0.3); print(open('n').read())"
        );
        soulbox
            .command(["run", "-c", &code])
            .spawn()
            .expect("starts")
    };
    let all: Vec<_> = (0..8).map(start).collect();
    for (number, child) in all.into_iter().enumerate() {
        assert_eq!(
            soulbox_tests::end(child).expect_code(0).text(),
            format!("{number}\n")
        );
    }
}

#[test]
fn nothing_is_kept_between_two_runs() {
    let soulbox = Soulbox::new();
    soulbox
        .run(["run", "-c", "open('/tmp/left','w').write('x')"])
        .expect_code(0);
    let ended = soulbox.run(["run", "-c", "import os; print(os.path.exists('/tmp/left'))"]);
    assert_eq!(ended.expect_code(0).text(), "False\n");
}
