//! What is refused, what is warned of, and what is bounded.

use super::*;

#[test]
fn what_is_refused_tells_line_and_remedy() {
    for (text, expected) in [
        ("", "Dockerfile: there is no FROM; "),
        ("RUN x", "Dockerfile:1: "),
        ("FROM x\n\nNONSENSE y", "Dockerfile:3: unknown instruction"),
        (
            "FROM x\nRUN \\\n a\nENV a",
            "Dockerfile:4: ENV a has no value; ",
        ),
        ("FROM x\nRUN", "Dockerfile:2: RUN has no command"),
        ("FROM x\nCOPY a", "Dockerfile:2: COPY instruction requires"),
        (
            "FROM x\nCOPY a b c",
            "Dockerfile:2: COPY of several sources goes to a directory, and c may be a file; write c/",
        ),
        (
            "FROM x\nCOPY --from=$y a b",
            "Dockerfile:2: --from cannot hold variables; ",
        ),
        (
            "FROM x\nCOPY --from=3 a b",
            "Dockerfile:2: there is no stage 3 before this one; ",
        ),
        (
            "FROM x AS a\nCOPY --from=b a b\nFROM a AS b\nFROM b",
            "Dockerfile:2: stage b does not come before",
        ),
        (
            "FROM x AS a\nCOPY --from=a a b",
            "Dockerfile:2: stage a does not come before this one; ",
        ),
        (
            "FROM x\nCOPY --nope a b",
            "Dockerfile:2: COPY --nope is not known here; ",
        ),
        (
            "FROM x\nCOPY --chmod=u+x a b",
            "Dockerfile:2: \"u+x\" is no mode; ",
        ),
        (
            "FROM x\nCOPY --from=a --from=b a b",
            "Dockerfile:2: COPY has --from more than once",
        ),
        (
            "FROM x\nADD git@e.org:a.git b",
            "Dockerfile:2: ADD git@e.org:a.git is a repository",
        ),
        (
            "FROM x\nADD --checksum=sha256:1 https://e/f b",
            "Dockerfile:2: --checksum=sha256:1 is no checksum; ",
        ),
        (
            "FROM x\nRUN --network=host a",
            "Dockerfile:2: RUN --network=host is not supported; ",
        ),
        (
            "FROM x\nRUN --security=insecure a",
            "Dockerfile:2: RUN --security=insecure",
        ),
        (
            "FROM x\nRUN --mount=type=what a",
            "Dockerfile:2: a mount of type \"what\" is not known; ",
        ),
        (
            "FROM x\nENV a=\"${b:?give b}\"",
            "Dockerfile:2: b: give b in ",
        ),
        ("FROM x\nENV a=${b", "Dockerfile:2: "),
        ("FROM x\nENV a=\"b", "Dockerfile:2: "),
        ("FROM x\nWORKDIR $UNSET", "Dockerfile:2: WORKDIR is empty; "),
        (
            "FROM x\nUSER $UNSET",
            "Dockerfile:2: USER \"\" names no user; ",
        ),
        (
            "FROM x\nSHELL /bin/bash",
            "Dockerfile:2: expected JSON array",
        ),
        ("FROM x\nONBUILD ONBUILD RUN x", "Dockerfile:2: "),
        (
            "FROM x\nONBUILD FROM y",
            "Dockerfile:2: ONBUILD takes neither",
        ),
        (
            "FROM --platform=linux/s390x x",
            "Dockerfile:1: there is nothing to run linux/s390x on; ",
        ),
        (
            "FROM ${NOTHING}",
            "Dockerfile:1: FROM ${NOTHING} is nothing; ",
        ),
        (
            "FROM x AS 1a",
            "Dockerfile:1: \"1a\" cannot be a stage's name; ",
        ),
        ("FROM gone", "Dockerfile:1: there is no image gone"),
        (
            "FROM template:../x",
            "Dockerfile:1: \"../x\" names no template",
        ),
        (
            "# syntax=example.org/x\nFROM x",
            "Dockerfile:1: the file asks for example.org/x",
        ),
        ("# escape=x\nFROM x", "Dockerfile:1: "),
        (
            "FROM x\nRUN a\0b",
            "Dockerfile:2: there is a control character; ",
        ),
        (
            "FROM x\nRUN <<EOF\n",
            "Dockerfile:2: the here-document EOF has no end; ",
        ),
    ] {
        let refused = refused(text);
        assert!(refused.starts_with(expected), "{text}: {refused}");
    }
    let mut wanted = options();
    wanted.target = Some("nowhere".into());
    let error = planned("FROM x AS here", &wanted).unwrap_err().to_string();
    assert_eq!(
        error,
        "Dockerfile: there is no stage \"nowhere\"; there are: here"
    );
}

#[test]
fn warnings_tell_what_is_odd() {
    let mut options = options();
    options.args = vec![("nobody".to_owned(), "x".to_owned())];
    let text = "FROM x\nENV a=$typo\nVOLUME /d\nHEALTHCHECK CMD x\nONBUILD RUN y";
    let planned = planned(text, &options).unwrap();
    let lines: Vec<u32> = planned
        .warnings
        .iter()
        .map(|warning| warning.line)
        .collect();
    assert_eq!(lines, [2, 3, 4, 5, 0]);
    assert!(planned.warnings[0].text.contains("$typo"));
}

#[test]
fn variables_that_grow_are_stopped() {
    let mut text = "FROM x\nENV a=0123456789\n".to_owned();
    for _ in 0..30 {
        text.push_str("ENV a=$a$a$a$a\n");
    }
    assert!(refused(&text).contains("KiB in a word"));
    let long = "x".repeat(100_000);
    let text = format!("FROM x\nENV a={long}\nENV {}", "b=$a ".repeat(1000));
    assert!(refused(&text).contains("MiB"));
    let text = format!("FROM x\n{}", "USER u\n".repeat(MAX_INSTRUCTIONS));
    assert!(refused(&text).contains("instructions"));
    assert!(refused(&"FROM x\n".repeat(101)).contains("stages"));
    assert!(refused(&"#".repeat(MAX_BYTES + 1)).contains("KiB"));
}
