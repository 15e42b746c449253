//! Wrong usage: always 240, always with a way on, never with a colour code in a pipe.

use soulbox_tests::Soulbox;

#[test]
fn wrong_flags_are_told_with_what_was_meant() {
    let soulbox = Soulbox::new();
    for (arguments, told) in [
        (&["runn"][..], "'run'"),
        (&["run", "--memroy", "1G", "-c", ""], "--memory"),
        (&["run", "--network", "intrenet", "-c", ""], "internet"),
        (&["config", "shwo"], "show"),
        (&["run"], "--code"),
        (&["run", "-c", "1", "file.py"], "cannot be used with"),
        (&[], "Usage"),
    ] {
        let ended = soulbox
            .run(arguments)
            .expect_code(240)
            .expect_stderr(&[told]);
        assert!(
            !ended.stderr.contains('\x1b'),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn limits_out_of_range_name_the_flag_and_the_range() {
    let soulbox = Soulbox::new();
    for (flag, value, range) in [
        ("--memory", "1K", "16 MiB to 16 TiB"),
        ("--memory", "lots", "not a size"),
        ("--cpu", "0", "0.01 to 1024"),
        ("--cpu", "-1", ""),
        ("--pids", "0", "4 to 4194304"),
        ("--disk", "1", "1 MiB to 64 TiB"),
        ("--timeout", "0", "1ms to 720h"),
        ("--timeout", "soon", "not a length of time"),
        ("--max-output", "9T", "0 B to 1 GiB"),
    ] {
        let argument = format!("{flag}={value}");
        let arguments = ["run", &argument, "-c", "print(1)"];
        soulbox
            .run(arguments)
            .expect_code(240)
            .expect_stderr(&[flag, range]);
    }
}

#[test]
fn pairs_are_told_how_they_are_written() {
    let soulbox = Soulbox::new();
    for (flag, value, told) in [
        ("--file", "nothing", "LOCAL:REMOTE"),
        ("--output", "nothing", "REMOTE:LOCAL"),
        ("--mount", "nothing", "HOST:GUEST"),
        ("--mount", "/tmp:/proc", "/proc"),
        ("--mount", "/tmp:relative", "absolute"),
        ("--env", "=x", "NAME=VALUE"),
        ("--env", "NO_SUCH_VARIABLE", "NAME=VALUE"),
        ("--template", "../../etc", "template name"),
    ] {
        let ended = soulbox.run(["run", flag, value, "-c", "print(1)"]);
        ended.expect_code(240).expect_stderr(&["error:", told]);
    }
}

#[test]
fn what_does_not_exist_is_241() {
    let soulbox = Soulbox::new();
    let known = "python, javascript";
    for (arguments, told) in [
        (&["run", "missing.py"][..], "missing.py does not exist"),
        (
            &["run", "-l", "pyhton", "-c", ""],
            "did you mean \"python\"",
        ),
        (&["run", "-l", "cobol", "-c", ""], known),
        (
            &["run", "--file", "no.csv:x", "-c", ""],
            "no.csv does not exist",
        ),
        (&["run", "-t", "nosuch", "-c", ""], "template nosuch"),
        (&["run", "-t", "hots", "-c", ""], "did you mean \"host\""),
        (
            &["run", "-t", "base", "-c", ""],
            "soulbox template build base",
        ),
        (&["run", "--mount", "/no/such:/x", "-c", ""], "/no/such"),
    ] {
        soulbox
            .run(arguments)
            .expect_code(241)
            .expect_stderr(&["error:", told]);
    }
}

#[test]
fn a_file_of_no_known_language_is_told() {
    let soulbox = Soulbox::new();
    soulbox.file("notes.txt", "hello");
    let ended = soulbox.run(["run", "notes.txt"]).expect_code(241);
    ended.expect_stderr(&["notes.txt", "--language"]);
    soulbox.file("script", "#!/usr/bin/cobol\n");
    soulbox
        .run(["run", "script"])
        .expect_code(241)
        .expect_stderr(&["cobol"]);
}

#[test]
fn a_directory_without_a_beginning_is_told() {
    let soulbox = Soulbox::new();
    soulbox.file("project/a.py", "");
    soulbox.file("project/b.py", "");
    let ended = soulbox.run(["run", "project"]).expect_code(241);
    ended.expect_stderr(&["cannot tell where to begin", "main."]);
}

#[test]
fn errors_are_objects_with_json() {
    let soulbox = Soulbox::new();
    let ended = soulbox
        .run(["run", "--json", "missing.py"])
        .expect_code(241);
    let error = &ended.json()["error"];
    assert_eq!(error["exit_code"], 241);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("missing.py"))
    );
    assert!(error["help"].is_string());
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
}
