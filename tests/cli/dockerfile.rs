//! `template build` from a Dockerfile, over `minimal`, which takes some seconds to build.

use soulbox_tests::{Ended, Soulbox, templates};

const MINIMAL: &str = "minimal";

fn soulbox() -> Soulbox {
    let soulbox = Soulbox::new();
    templates::own(&soulbox, &[MINIMAL]);
    soulbox
}

fn build(soulbox: &Soulbox, arguments: &[&str]) -> Ended {
    let words = ["template", "build", "context"].iter().chain(arguments);
    soulbox.run(words)
}

fn inside(soulbox: &Soulbox, template: &str, code: &str) -> String {
    let words = ["run", "--template", template, "-l", "bash", "-c", code];
    soulbox.run(words).expect_code(0).text()
}

const STAGES: &str = "\
# syntax=docker/dockerfile:1
ARG GREETING=hello
FROM template:minimal AS made
USER root
RUN mkdir /out && echo of the first stage > /out/first

FROM template:minimal
USER root
ARG GREETING
ENV GREETING=${GREETING} PATH=/app:$PATH
WORKDIR /app
COPY --chmod=755 greet .
COPY --from=made /out/ .
COPY <<END inline
said $GREETING
END
RUN --mount=type=secret,id=token cat /run/secrets/token | wc -c > length
RUN <<END
#!/bin/bash
greet > greeting
END
USER user
";

#[test]
fn a_dockerfile_becomes_a_template_that_runs() {
    let soulbox = soulbox();
    soulbox.file("context/Dockerfile", STAGES);
    soulbox.file("context/greet", "#!/bin/sh\necho $GREETING from a script\n");
    soulbox.file("context/left", "out");
    soulbox.file("context/.dockerignore", "left\n");
    soulbox.file("token", "hush");
    let flags = [
        "-t",
        "mine:v1",
        "--build-arg",
        "GREETING=moin",
        "--secret",
        "id=token,src=token",
    ];
    let built = build(&soulbox, &flags).expect_code(0);
    assert!(
        built.text().contains("built template mine.v1"),
        "{}",
        built.text()
    );
    let look = "cd /app; cat first inline length greeting; id -un; ls";
    let seen = inside(&soulbox, "mine.v1", look);
    let expected = "of the first stage\nsaid moin\n4\nmoin from a script\nuser\n\
                    first\ngreet\ngreeting\ninline\nlength\n";
    assert_eq!(seen, expected);
    // Nothing of it is done again; with another last file only what follows it is.
    let again = build(&soulbox, &[&flags[..], &["--json"]].concat())
        .expect_code(0)
        .json();
    let steps = again["steps"].as_array().cloned().unwrap_or_default();
    let made: Vec<_> = steps
        .iter()
        .filter(|step| !step["size"].is_null())
        .collect();
    let anew = |step: &&&serde_json::Value| step["cached"] == false;
    // The template itself is put together each time.
    assert_eq!(made.iter().filter(anew).count(), 1, "{again}");
    soulbox.file("context/greet", "#!/bin/sh\necho changed\n");
    build(&soulbox, &flags).expect_code(0);
    assert!(inside(&soulbox, "mine.v1", "cat /app/greeting").contains("changed"));
}

#[test]
fn what_fails_is_told_with_its_line() {
    let soulbox = soulbox();
    for (text, flags, code, told) in [
        (
            "FROM template:minimal\n\nRUN echo out; exit 3",
            &[][..],
            1,
            "Dockerfile:3: failed to run command",
        ),
        (
            "FROM template:minimal\nCOPY nosuch /",
            &[],
            1,
            "Dockerfile:2: failed to copy nosuch",
        ),
        (
            "FROM template:minimal\nNOSUCH",
            &[],
            240,
            "Dockerfile:2: unknown instruction",
        ),
        ("FROM template:nosuch", &[], 240, "Dockerfile:1: "),
        (
            "FROM template:minimal AS a",
            &["--target", "b"],
            240,
            "there is no stage \"b\"",
        ),
        (
            "FROM template:minimal",
            &["--secret", "id=a,src=/no/such"],
            241,
            "/no/such",
        ),
        (
            "FROM template:minimal\nUSER root\nRUN --mount=type=secret,id=a,required true",
            &[],
            241,
            "Dockerfile:3: secret a was not given",
        ),
    ] {
        soulbox.file("context/Dockerfile", text);
        build(&soulbox, flags)
            .expect_code(code)
            .expect_stderr(&["error:", told]);
    }
    // What a step printed is there, and nothing is left of the template.
    soulbox.file(
        "context/Dockerfile",
        "FROM template:minimal\nRUN echo the reason; false",
    );
    build(&soulbox, &[])
        .expect_code(1)
        .expect_stderr(&["    the reason", "--shell-on-failure"]);
    soulbox
        .run(["template", "inspect", "context"])
        .expect_code(241);
}

#[test]
fn a_failed_step_can_be_entered() {
    let soulbox = soulbox();
    let text =
        "FROM template:minimal\nUSER root\nRUN echo made > /made\nRUN echo half > /half; false";
    soulbox.file("context/Dockerfile", text);
    let words = ["template", "build", "context", "--shell-on-failure"];
    let input = b"cat /made; ls /half 2>&1; exit\n";
    let ended = soulbox.run_with_input(&words, input).expect_code(1);
    assert!(ended.text().contains("made"), "{ended:?}");
    // What the step itself has written is not there, and nothing of the shell is left.
    assert!(ended.text().contains("/half: No such"), "{ended:?}");
    ended.expect_stderr(&["Dockerfile:4"]);
    let left = soulbox.run(["template", "ls"]).expect_code(0).text();
    assert!(!left.contains("failed-build"), "{left}");
}
