//! `--file` and `--output`.

use soulbox_tests::Soulbox;

#[test]
fn files_go_in_and_come_out() {
    let soulbox = Soulbox::new();
    let content: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    soulbox.file("in.bin", &content);
    let code = "open('deep/out.bin','wb').write(open('deep/in.bin','rb').read()[::-1])";
    let arguments = [
        "run",
        "--file",
        "in.bin:deep/in.bin",
        "--output",
        "deep/out.bin:out.bin",
    ];
    soulbox
        .run(arguments.iter().chain(&["-c", code]))
        .expect_code(0);
    let out = std::fs::read(soulbox.home().join("out.bin")).expect("the file came out");
    assert!(out.iter().rev().eq(&content));
}

#[test]
fn files_come_out_of_code_that_failed() {
    let soulbox = Soulbox::new();
    let code = "open('/tmp/log','w').write('why'); raise SystemExit(9)";
    let arguments = ["run", "--output", "/tmp/log:log", "-c", code];
    soulbox.run(arguments).expect_code(9);
    assert_eq!(
        std::fs::read(soulbox.home().join("log")).expect("the file came out"),
        b"why"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_and_replaces_nothing() {
    let soulbox = Soulbox::new();
    soulbox.file("kept", "old");
    let arguments = ["run", "--output", "nothing:kept", "-c", "print(1)"];
    let ended = soulbox
        .run(arguments)
        .expect_code(241)
        .expect_stderr(&["nothing", "out of"]);
    assert_eq!(ended.text(), "1\n");
    assert_eq!(
        std::fs::read(soulbox.home().join("kept")).expect("still there"),
        b"old"
    );
}

#[test]
fn files_are_the_users_own() {
    let soulbox = Soulbox::new();
    soulbox.file("a", "");
    let code = "stat -c '%U %a' a main.sh";
    let ended = soulbox
        .run(["run", "--file", "a:a", "-l", "bash", "-c", code])
        .expect_code(0);
    assert_eq!(ended.text(), "user 644\nuser 644\n");
}

#[test]
fn names_with_blanks_and_other_letters_work() {
    let soulbox = Soulbox::new();
    soulbox.file("grüße an alle.txt", "hallo");
    let arguments = [
        "run",
        "--file",
        "grüße an alle.txt:ein ort/ä&b.txt",
        "-l",
        "bash",
        "-c",
        "cat 'ein ort/ä&b.txt'",
    ];
    assert_eq!(soulbox.run(arguments).expect_code(0).text(), "hallo");
}
