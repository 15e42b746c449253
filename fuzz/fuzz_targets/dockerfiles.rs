//! Dockerfiles, as far as a plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_image::dockerfile::{BaseFacts, Options, Platform, plan};
use soulbox_image::steps::{CopyFrom, RunMount, StepKind};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut options = Options::new(Platform::host());
    options.args.push(("A".to_owned(), "$B".to_owned()));
    options.healthcheck = true;
    let mut facts = |_: &_| {
        Ok(BaseFacts {
            env: vec![("B".to_owned(), "b c".to_owned())],
            workdir: Some("w".to_owned()),
            onbuild: vec!["COPY a b".to_owned()],
        })
    };
    let Ok(planned) = plan("Dockerfile", text, &options, &mut facts) else {
        return;
    };
    assert_eq!(planned.plan.target + 1, planned.plan.stages.len());
    for (index, stage) in planned.plan.stages.iter().enumerate() {
        for step in &stage.steps {
            // A stage uses only those before it, and directories are absolute.
            let before = |from: &CopyFrom| match from {
                CopyFrom::Stage(stage) => *stage < index,
                _ => true,
            };
            match &step.kind {
                StepKind::Copy(copy) => assert!(before(&copy.from)),
                StepKind::Workdir(path) => assert!(path.starts_with('/')),
                StepKind::Run(run) => {
                    for mount in &run.mounts {
                        if let RunMount::Bind { from, target, .. } = mount {
                            assert!(before(from) && target.starts_with('/'));
                        }
                    }
                }
                _ => {}
            }
        }
    }
});
