//! What stages are built from, and what they need of each other.

use super::*;

#[test]
fn what_from_names() {
    for (text, base) in [
        ("FROM debian:12", "debian:12"),
        ("from debian:12 as x", "debian:12"),
        ("ARG V=12\nFROM debian:$V", "debian:12"),
        ("ARG V\nFROM debian:${V:-11}", "debian:11"),
        ("FROM --platform=$BUILDPLATFORM debian", "debian"),
        ("FROM --platform=linux/x86_64 debian", "debian"),
        (
            "FROM example.org:5000/a/b@sha256:0123",
            "example.org:5000/a/b@sha256:0123",
        ),
    ] {
        let planned = planned(text, &options()).unwrap();
        let expected = Base::Image {
            reference: base.to_owned(),
            auth: None,
        };
        assert_eq!(planned.plan.stages[0].base, expected, "{text}");
    }
    let planned = planned("FROM template:base\nFROM scratch", &options()).unwrap();
    assert_eq!(planned.plan.stages[0].base, Base::Scratch);
    let planned = plan("D", "FROM template:base", &options(), &mut facts).unwrap();
    assert!(
        matches!(&planned.plan.stages[0].base, Base::Template(name) if name.as_str() == "base")
    );
}

#[test]
fn only_the_stages_that_the_target_needs_are_planned() {
    let text = "FROM a AS one\nRUN 1\nFROM gone AS unused\nRUN 2\nFROM b AS two\nCOPY --from=ONE /x /\n\
                FROM c\nRUN --mount=from=two,target=/m ls\nCOPY --from=0 /y /\nCOPY --from=busybox /z /\n\
                FROM two AS last";
    let names = |target: Option<&str>| {
        let mut options = options();
        options.target = target.map(str::to_owned);
        let planned = planned(text, &options).unwrap();
        assert_eq!(planned.plan.target, planned.plan.stages.len() - 1);
        planned.plan.stages
    };
    let stages = names(None);
    assert_eq!(stages.len(), 3);
    assert_eq!(stages[2].base, Base::Stage(1));
    let stages = names(Some("3"));
    assert_eq!(stages.len(), 3);
    let StepKind::Run(run) = &stages[2].steps[0].kind else {
        panic!("no RUN");
    };
    assert!(matches!(
        &run.mounts[0],
        RunMount::Bind {
            from: CopyFrom::Stage(1),
            ..
        }
    ));
    let StepKind::Copy(copy) = &stages[2].steps[1].kind else {
        panic!("no COPY");
    };
    assert_eq!(copy.from, CopyFrom::Stage(0));
    let StepKind::Copy(copy) = &stages[2].steps[2].kind else {
        panic!("no COPY");
    };
    assert_eq!(copy.from, CopyFrom::Image("busybox".into()));
    assert_eq!(names(Some("One")).len(), 1);
}

#[test]
fn a_child_stage_goes_on_where_its_base_ended() {
    let text = "FROM x AS a\nENV v=1\nWORKDIR /w\nONBUILD RUN echo $v\nFROM a\nWORKDIR y\nENV r=$v";
    assert_eq!(
        steps(text)[1..],
        [StepKind::Workdir("/w/y".into()), env(&[("r", "1")])]
    );
    let StepKind::Run(run) = &steps(text)[0] else {
        panic!("ONBUILD was not done");
    };
    assert_eq!(run.command, Command::Shell("echo $v".into()));
    // It is done once.
    assert_eq!(
        steps("FROM x AS a\nONBUILD RUN x\nFROM a AS b\nFROM b\nUSER u").len(),
        1
    );
}
