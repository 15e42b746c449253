//! Docker's rules, each as a row of a table: what a file says and what the plan has.

use super::*;
use crate::steps::{Command, CopyFrom, RunMount, StepKind};
use proptest::prelude::*;

mod refusals;
mod staged;

fn options() -> Options {
    Options::new(Platform {
        os: "linux",
        arch: "amd64",
    })
}

/// An image with a variable, a directory and, by its name, an instruction for whoever builds on it.
fn facts(base: &Base) -> Result<BaseFacts, String> {
    let onbuild = match base {
        Base::Image { reference, .. } if reference == "hooked" => {
            vec!["RUN echo $BASE".to_owned(), "ARG late=1".to_owned()]
        }
        Base::Image { reference, .. } if reference == "gone" => {
            return Err("there is no image gone".to_owned());
        }
        _ => Vec::new(),
    };
    Ok(BaseFacts {
        env: vec![
            ("BASE".to_owned(), "image".to_owned()),
            ("PATH".to_owned(), "/opt/bin:/bin".to_owned()),
        ],
        workdir: Some("/srv".to_owned()),
        onbuild,
    })
}

fn planned(text: &str, options: &Options) -> Result<Planned, DockerfileError> {
    plan("Dockerfile", text, options, &mut facts)
}

fn steps(text: &str) -> Vec<StepKind> {
    let planned = planned(text, &options()).unwrap();
    let target = &planned.plan.stages[planned.plan.target];
    target.steps.iter().map(|step| step.kind.clone()).collect()
}

fn last(text: &str) -> StepKind {
    steps(text).pop().unwrap()
}

fn refused(text: &str) -> String {
    planned(text, &options()).unwrap_err().to_string()
}

fn env(pairs: &[(&str, &str)]) -> StepKind {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    StepKind::Env(pairs.collect())
}

fn run(text: &str) -> crate::steps::Run {
    match last(text) {
        StepKind::Run(run) => run,
        other => panic!("{other:?} is no RUN"),
    }
}

fn copy(text: &str) -> crate::steps::Copy {
    match last(text) {
        StepKind::Copy(copy) => copy,
        other => panic!("{other:?} is no COPY"),
    }
}

#[test]
fn variables_of_env_are_replaced() {
    for (text, expected) in [
        ("ENV a=1 b=2", env(&[("a", "1"), ("b", "2")])),
        ("ENV a hello world", env(&[("a", "hello world")])),
        ("ENV P=/x:$PATH", env(&[("P", "/x:/opt/bin:/bin")])),
        ("ENV P=${BASE:-no}${NO:-yes}", env(&[("P", "imageyes")])),
        (
            "ENV P='$BASE' Q=\"$BASE x\" R=a\\ b S=\\$BASE",
            env(&[
                ("P", "$BASE"),
                ("Q", "image x"),
                ("R", "a b"),
                ("S", "$BASE"),
            ]),
        ),
        // All values of one instruction are taken from before it.
        (
            "ENV abc=hello\nENV abc=bye def=$abc",
            env(&[("abc", "bye"), ("def", "hello")]),
        ),
        (
            "ENV abc=hello\nENV abc=bye\nENV ghi=$abc",
            env(&[("ghi", "bye")]),
        ),
        (
            "ENV a=1 \\\n  # note\n  b=2",
            env(&[("a", "1"), ("b", "2")]),
        ),
        (
            "WORKDIR /a\nWORKDIR b\nWORKDIR ../c/.",
            StepKind::Workdir("/a/c".into()),
        ),
        ("WORKDIR b", StepKind::Workdir("/srv/b".into())),
        (
            "ENV D=/d\nWORKDIR $D/$UNSET",
            StepKind::Workdir("/d".into()),
        ),
        ("WORKDIR \"/a b\"", StepKind::Workdir("/a b".into())),
        (
            "SHELL [\"/bin/bash\", \"-c\"]",
            StepKind::Shell(vec!["/bin/bash".into(), "-c".into()]),
        ),
        ("EXPOSE 80/tcp $BASE", StepKind::Nothing),
        ("LABEL a=\"b c\" d=$BASE", StepKind::Nothing),
        ("VOLUME [\"/data\"]", StepKind::Nothing),
        ("STOPSIGNAL SIGTERM", StepKind::Nothing),
        ("MAINTAINER somebody", StepKind::Nothing),
    ] {
        assert_eq!(last(&format!("FROM x\n{text}")), expected, "{text}");
    }
}

#[test]
fn arguments_come_from_outside_then_by_default_then_from_before_the_stages() {
    let mut options = options();
    options.args = vec![
        ("given".to_owned(), "out".to_owned()),
        ("https_proxy".to_owned(), "p".to_owned()),
    ];
    for (text, expected) in [
        ("FROM x\nARG given=in\nENV r=$given", "out"),
        ("FROM x\nARG given\nENV r=$given", "out"),
        ("FROM x\nENV r=$given", ""),
        ("FROM x\nARG other=in\nENV r=$other", "in"),
        ("FROM x\nARG other\nENV r=${other-unset}", "unset"),
        ("ARG other=top\nFROM x\nARG other\nENV r=$other", "top"),
        ("ARG other=top\nFROM x\nENV r=$other", ""),
        ("ARG other=top\nFROM x\nARG other=in\nENV r=$other", "in"),
        ("ARG a=1\nARG b=${a}2\nFROM x\nARG b\nENV r=$b", "12"),
        ("FROM x\nARG a=1\nENV a=2\nENV r=$a", "2"),
        ("FROM x\nARG a=$BASE b=$a\nENV r=$b", "image"),
        ("FROM x\nARG TARGETARCH\nENV r=$TARGETARCH", "amd64"),
        (
            "FROM x\nARG TARGETPLATFORM BUILDOS\nENV r=$TARGETPLATFORM,$BUILDOS",
            "linux/amd64,linux",
        ),
        ("FROM x\nENV r=$TARGETARCH", ""),
        ("FROM x AS one\nARG a=1\nFROM one\nENV r=$a", "1"),
        ("FROM x AS one\nARG a=1\nFROM x\nENV r=$a", ""),
        ("FROM hooked\nENV r=$late", "1"),
    ] {
        let planned = planned(text, &options).unwrap();
        let steps = &planned.plan.stages[planned.plan.target].steps;
        assert_eq!(
            steps.last().unwrap().kind,
            env(&[("r", expected)]),
            "{text}"
        );
    }
    let text = "FROM x\nARG given\nARG none\nENV mine=1\nRUN env";
    let planned = planned(text, &options).unwrap();
    let StepKind::Run(run) = &planned.plan.stages[0].steps[3].kind else {
        panic!("no RUN");
    };
    let expected =
        [("given", "out"), ("https_proxy", "p")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(run.env, expected);
}

#[test]
fn commands_in_both_forms() {
    for (text, command) in [
        ("RUN a && \\\n  b", Command::Shell("a &&   b".into())),
        (
            "RUN [\"a\", \"$b\"]",
            Command::Exec(vec!["a".into(), "$b".into()]),
        ),
        ("RUN ['a']", Command::Shell("['a']".into())),
        (
            "RUN [ -e /x ] && y",
            Command::Shell("[ -e /x ] && y".into()),
        ),
        (
            "RUN echo $HOME \"${x}\" \\$y",
            Command::Shell("echo $HOME \"${x}\" \\$y".into()),
        ),
        (
            "RUN <<EOF\na\n  b $c\nEOF",
            Command::Shell("a\n  b $c\n".into()),
        ),
        ("RUN <<-EOF\n\ta\n\tEOF", Command::Shell("a\n".into())),
        (
            "RUN python3 <<EOF >/x\nprint(1)\nEOF",
            Command::Shell("python3 <<EOF >/x\nprint(1)\nEOF\n".into()),
        ),
        (
            "RUN cat <<A <<'B'\n1\nA\n2\nB",
            Command::Shell("cat <<A <<'B'\n1\nA\n2\nB\n".into()),
        ),
    ] {
        assert_eq!(run(&format!("FROM x\n{text}")).command, command, "{text}");
    }
    let script = run("FROM x\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF");
    assert_eq!(script.command, Command::Exec(vec!["/run/pipes/EOF".into()]));
    assert_eq!(
        script.mounts,
        [RunMount::Bind {
            from: CopyFrom::Inline {
                name: "EOF".into(),
                content: "#!/usr/bin/env python3\nprint(1)\n".into()
            },
            source: "/".into(),
            target: "/run/pipes/EOF".into()
        }]
    );
}

#[test]
fn options_of_run() {
    assert!(run("FROM x\nRUN a").network);
    assert!(!run("FROM x\nRUN --network=none a").network);
    let text = "FROM x\nWORKDIR /w\nARG d=deps\nRUN --mount=type=cache,target=$d \\\n --mount=type=secret,id=k make --fast";
    let run = run(text);
    assert_eq!(run.command, Command::Shell("make --fast".into()));
    assert!(matches!(&run.mounts[0], RunMount::Cache { target, .. } if target == "/w/deps"));
    assert!(matches!(&run.mounts[1], RunMount::Secret { id, .. } if id == "k"));
}

#[test]
fn sources_and_places_of_copy() {
    for (text, sources, to) in [
        ("COPY a b", &["a"][..], "b"),
        ("COPY a .", &["a"], "./"),
        ("COPY a* b c/", &["a*", "b"], "c/"),
        ("COPY [\"a b\", \"c\", \"d e/\"]", &["a b", "c"], "d e/"),
        ("COPY $BASE.txt /x/$BASE", &["image.txt"], "/x/image"),
        ("COPY --link . .", &["."], "./"),
        ("COPY arr[[]0].txt /d/", &["arr[[]0].txt"], "/d/"),
    ] {
        let copy = copy(&format!("FROM x\n{text}"));
        assert_eq!(copy.sources, sources, "{text}");
        assert_eq!(copy.place.to, to, "{text}");
        assert!(!copy.unpack);
    }
    let copy =
        copy("FROM x\nARG u=me\nCOPY --chown=$u:1 --chmod=0755 --exclude=*.md --exclude=x a b");
    assert_eq!(copy.place.owner.as_deref(), Some("me:1"));
    assert_eq!(copy.place.mode, Some(0o755));
    assert_eq!(copy.excludes, ["*.md", "x"]);
}

#[test]
fn here_documents_are_files() {
    let steps = steps("FROM x\nCOPY <<a <<'b' c /d/\n$BASE \"q\"\na\n$BASE\nb");
    let contents: Vec<_> = steps
        .iter()
        .map(|step| match step {
            StepKind::Copy(copy) => (copy.from.clone(), copy.sources.clone()),
            other => panic!("{other:?} is no COPY"),
        })
        .collect();
    let inline = |name: &str, content: &str| CopyFrom::Inline {
        name: name.into(),
        content: content.into(),
    };
    assert_eq!(
        contents,
        [
            (inline("a", "image \"q\"\n"), vec!["a".to_owned()]),
            (inline("b", "$BASE\n"), vec!["b".to_owned()]),
            (CopyFrom::Context, vec!["c".to_owned()]),
        ]
    );
}

#[test]
fn add_fetches_unpacks_and_copies() {
    assert!(copy("FROM x\nADD a.tar.gz /d/").unpack);
    assert!(!copy("FROM x\nADD --unpack=false a.tar.gz /d/").unpack);
    let sum = "a".repeat(64);
    let added = last(&format!(
        "FROM x\nADD --checksum=sha256:{sum} https://e.org/f /d/"
    ));
    assert!(
        matches!(added, StepKind::AddUrl { url, checksum: Some(c), .. } if url == "https://e.org/f" && c.ends_with(&sum))
    );
    assert_eq!(steps("FROM x\nADD http://a/b c d/").len(), 2);
}

#[test]
fn the_start_command_and_its_arguments() {
    let exec = |words: &[&str]| Some(Command::Exec(words.iter().map(|w| (*w).into()).collect()));
    for (text, expected) in [
        (
            "ENTRYPOINT [\"a\", \"b\"]",
            StepKind::Start(exec(&["a", "b"])),
        ),
        (
            "ENTRYPOINT a b",
            StepKind::Start(Some(Command::Shell("a b".into()))),
        ),
        ("ENTRYPOINT []", StepKind::Start(None)),
        ("CMD [\"a\"]", StepKind::StartArguments(exec(&["a"]))),
        (
            "CMD a $b",
            StepKind::StartArguments(Some(Command::Shell("a $b".into()))),
        ),
        ("CMD []", StepKind::StartArguments(None)),
        ("HEALTHCHECK CMD a", StepKind::Nothing),
    ] {
        assert_eq!(last(&format!("FROM x\n{text}")), expected, "{text}");
    }
    // ENTRYPOINT takes away what the base has, not what this stage has said.
    let own = steps("FROM x\nCMD [\"a\"]\nENTRYPOINT [\"b\"]");
    assert_eq!(
        own[1..],
        [
            StepKind::Start(exec(&["b"])),
            StepKind::StartArguments(exec(&["a"]))
        ]
    );
    let base = steps("FROM x AS y\nCMD [\"a\"]\nFROM y\nENTRYPOINT [\"b\"]");
    assert_eq!(base, [StepKind::Start(exec(&["b"]))]);
    let mut asked = options();
    asked.healthcheck = true;
    for (text, ready) in [
        (
            "HEALTHCHECK --interval=5s CMD curl -f http://localhost/",
            Some("curl -f http://localhost/"),
        ),
        ("HEALTHCHECK CMD [\"a\", \"it's\"]", Some("'a' 'it'\\''s'")),
        ("HEALTHCHECK NONE", None),
    ] {
        let planned = planned(&format!("FROM x\n{text}"), &asked).unwrap();
        let ready = StepKind::Ready(ready.map(str::to_owned));
        assert_eq!(planned.plan.stages[0].steps[0].kind, ready, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_planned_or_refused(text in "(FROM|RUN|COPY|ENV|ARG|ADD|CMD|[ \n\\\\\"$<{}:=a-eE-]){0,60}") {
        let _ = planned(&text, &options());
    }

    #[test]
    fn a_command_reaches_the_shell_as_it_is_written(command in "[a-z][ -~]{0,60}[a-z]") {
        prop_assume!(!command.contains("<<"));
        prop_assert_eq!(run(&format!("FROM x\nRUN {command}")).command, Command::Shell(command));
    }
}
