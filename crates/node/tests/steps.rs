//! Templates built in steps, by real sandboxes over real layers.
#![allow(clippy::unwrap_used)] // clippy knows only the test functions, not their helpers

mod support;

use soulbox_image::context::Context;
use soulbox_image::layer_store::LayerStore;
use soulbox_image::layers::Layers;
use soulbox_image::record::{ROOTFS, TemplateRecord};
use soulbox_image::staging::{Staging, Survive};
use soulbox_image::steps::{
    Base, Command, Copy, CopyFrom, Place as StepPlace, Plan, RegistryAuth, Run, RunMount, Stage,
    Step, StepKind,
};
use soulbox_model::TemplateName;
use soulbox_node::Node;
use soulbox_node::template::TemplateStore;
use soulbox_node::template::steps::{
    Boxed, Happened, ImageGround, Sources, StepBuilder, StepError, StepEvent, StepFailure,
};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use support::Place;
use tokio::sync::mpsc;

/// Commands of busybox that the tests use.
const PROGRAMS: [&str; 14] = [
    "sh", "cat", "ls", "rm", "stat", "echo", "chown", "mkdir", "chmod", "printf", "sleep", "id",
    "pwd", "touch",
];

#[derive(Default)]
struct Given {
    secrets: HashMap<String, Vec<u8>>,
    context: Option<Arc<Context>>,
    upload: Option<PathBuf>,
}

impl Sources for Given {
    fn context(&self) -> Option<Arc<Context>> {
        self.context.clone()
    }

    fn upload(&self, _: &str) -> Option<PathBuf> {
        self.upload.clone()
    }

    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        self.secrets.get(id).cloned()
    }

    fn image<'a>(
        &'a self,
        reference: &'a str,
        _: Option<&'a RegistryAuth>,
        _: &'a (dyn Fn(Happened) + Send + Sync),
    ) -> Boxed<'a, Result<ImageGround, StepError>> {
        let what = reference.to_owned();
        Box::pin(async move { Err(StepError::NotGiven(what)) })
    }
}

struct Ground {
    place: Place,
    node: Arc<Node>,
    given: Given,
}

struct Built {
    record: Result<TemplateRecord, StepFailure>,
    events: Vec<StepEvent>,
}

impl Built {
    fn cached(&self) -> Vec<usize> {
        let cached = self
            .events
            .iter()
            .filter(|event| event.what == Happened::Cached);
        cached.map(|event| event.step).collect()
    }

    fn lines(&self) -> Vec<&str> {
        let lines = self.events.iter().filter_map(|event| match &event.what {
            Happened::Line(line) => Some(line.as_str()),
            _ => None,
        });
        lines.collect()
    }
}

impl Ground {
    /// An engine, and a template `small` with a shell and the account `user`.
    async fn new() -> Self {
        let place = Place::new();
        let node = place.node(&[]).await;
        let ground = Self {
            place,
            node,
            given: Given::default(),
        };
        ground.small();
        ground
    }

    fn small(&self) {
        let staging = Staging::new(&self.place.path("data/templates")).unwrap();
        let root = staging.path().join(ROOTFS);
        for directory in [
            "bin",
            "dev",
            "etc",
            "home/user",
            "proc",
            "run",
            "sys",
            "tmp",
        ] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in PROGRAMS {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").unwrap();
        fs::write(root.join("etc/kept"), "of the parent").unwrap();
        let home = root.join("home/user");
        std::os::unix::fs::chown(home, Some(1000), Some(1000)).unwrap();
        let layers = Layers {
            rootfs: root,
            ..Layers::default()
        };
        let name = "small".parse().unwrap();
        let record = TemplateRecord::new(name, &layers, Default::default());
        record.write(staging.path()).unwrap();
        staging.publish("small", Survive::ProcessEnd).unwrap();
    }

    async fn build(&self, steps: &[Step]) -> Built {
        self.build_until(steps, |_| false).await
    }

    /// Builds the template `mine`, and ends the build at the event that `until` picks.
    async fn build_until(&self, steps: &[Step], until: fn(&StepEvent) -> bool) -> Built {
        let plan = Plan {
            stages: vec![stage(steps)],
            target: 0,
        };
        self.carry_out(&plan, until).await
    }

    async fn carry_out(&self, plan: &Plan, until: fn(&StepEvent) -> bool) -> Built {
        let (sender, mut receiver) = mpsc::channel(1000);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let told = tokio::spawn(async move {
            let (mut events, mut stop) = (Vec::new(), Some(stop));
            while let Some(event) = receiver.recv().await {
                if let Some(stop) = stop.take_if(|_| until(&event)) {
                    stop.send(()).unwrap();
                }
                events.push(event);
            }
            events
        });
        let mut stop = std::pin::pin!(async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        let builder = StepBuilder {
            store: &self.store(),
            node: &self.node,
            sources: &self.given,
            limits: self.node.settings().sandbox.limits(),
            timeout: Duration::from_secs(60),
            events: &sender,
        };
        let name: TemplateName = "mine".parse().unwrap();
        let record = builder.build(plan, &name, stop.as_mut()).await;
        drop(sender);
        let events = told.await.unwrap();
        Built { record, events }
    }

    fn store(&self) -> TemplateStore {
        TemplateStore::new(&self.place.path("data"))
    }

    /// What a command prints in a sandbox of `mine`.
    async fn shell(&self, user: &str, script: &str) -> String {
        let mut spec = support::spec(&self.node);
        spec.template = "mine".parse().unwrap();
        let sandbox = self.node.create(spec).await.unwrap();
        let output = support::shell(&sandbox, user, script).await;
        sandbox.destroy().await;
        output.stdout + &output.stderr
    }

    /// Whatever is in the store of layers beside layers.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path("data/templates/.layers")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let known = |name: &String| name.starts_with("step-") || name == ".lock";
        names.filter(|name| !known(name)).collect()
    }
}

/// Whether any file below a directory has these bytes in it.
fn has(directory: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => has(&entry.path(), bytes),
            kind if kind.is_file() => {
                let content = fs::read(entry.path()).unwrap();
                content.windows(bytes.len()).any(|window| window == bytes)
            }
            _ => false,
        }
    })
}

fn stage(steps: &[Step]) -> Stage {
    Stage {
        name: None,
        base: Base::Template("small".parse().unwrap()),
        steps: steps.to_vec(),
    }
}

fn copy(from: CopyFrom, source: &str, to: &str) -> Step {
    step(StepKind::Copy(Copy {
        from,
        sources: vec![source.to_owned()],
        excludes: Vec::new(),
        place: StepPlace {
            to: to.to_owned(),
            owner: None,
            mode: None,
        },
        unpack: false,
    }))
}

fn step(kind: StepKind) -> Step {
    Step {
        text: format!("{kind:?}"),
        line: None,
        kind,
        force: false,
    }
}

fn run(text: &str) -> Step {
    step(StepKind::Run(Run {
        command: Command::Shell(text.to_owned()),
        user: None,
        env: Vec::new(),
        mounts: Vec::new(),
        network: false,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_makes_a_layer_of_what_it_wrote() {
    let ground = Ground::new().await;
    let steps = [
        step(StepKind::User {
            name: "root".into(),
            create: false,
            sudo: false,
        }),
        run("echo one > /etc/mine; chmod 4755 /etc/mine; rm /etc/kept; mkdir -p /opt/a"),
        step(StepKind::Env(vec![("WHO".into(), "me".into())])),
        step(StepKind::Workdir("/opt/b".into())),
        run("echo $WHO > here; touch /opt/a/x; echo said; sh -c 'echo wrong >&2'"),
        step(StepKind::User {
            name: "other".into(),
            create: true,
            sudo: true,
        }),
        run("echo mine > ~/file; pwd"),
    ];
    let built = ground.build(&steps).await;
    let record = built.record.as_ref().unwrap();
    assert_eq!(record.layers.len(), 6, "{record:?}");
    assert_eq!(
        (record.user.as_str(), record.env["WHO"].as_str()),
        ("other", "me")
    );
    assert_eq!(built.lines(), ["said", "wrong", "/opt/b"]);
    assert!(built.cached().is_empty());
    let look = "stat -c '%a %u' /etc/mine; cat /opt/b/here; ls /opt/a; stat -c %U /home/other/file; ls /etc/kept; \
                cat /etc/sudoers.d/other; id -u";
    let seen = ground.shell("other", look).await;
    let seen: Vec<_> = seen.lines().collect();
    for wanted in ["4755 0", "me", "x", "other", "1001"] {
        assert!(seen.contains(&wanted), "{seen:?}");
    }
    assert!(
        seen.iter()
            .any(|line| line.contains("/etc/kept") && line.contains("No such"))
    );
    // The parent's files are on disk once.
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let bottom = LayerStore::new(&ground.place.path("data/templates")).tree(&record.layers[0]);
    let parent = ground.place.path("data/templates/small/rootfs/bin/busybox");
    assert_eq!(inode(&bottom.join("bin/busybox")), inode(&parent));
    assert_eq!(ground.left(), [""; 0]);
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_done_again() {
    let ground = Ground::new().await;
    let [one, two, three] = ["echo 1 > ~/1", "echo 2 > ~/2", "echo 3 > ~/3"].map(run);
    assert_eq!(
        ground.build(&[one.clone(), two.clone()]).await.cached(),
        [0; 0]
    );
    let again = ground
        .build(&[one.clone(), two.clone(), three.clone()])
        .await;
    assert_eq!(again.cached(), [1, 2]);
    // Another user, another variable, another order, and force.
    let root = step(StepKind::User {
        name: "root".into(),
        create: false,
        sudo: false,
    });
    assert_eq!(ground.build(&[root, one.clone()]).await.cached(), [0; 0]);
    let variable = step(StepKind::Env(vec![("A".into(), "b".into())]));
    let steps = [one.clone(), variable, two.clone()];
    assert_eq!(ground.build(&steps).await.cached(), [1]);
    assert_eq!(
        ground.build(&[two.clone(), one.clone()]).await.cached(),
        [0; 0]
    );
    let forced = Step {
        force: true,
        ..two.clone()
    };
    let steps = [one.clone(), forced, three.clone()];
    let first = ground.build(&steps).await;
    assert_eq!(first.cached(), [1]);
    // What was forced is what later builds take.
    let after = ground.build(&[one, two, three]).await;
    assert_eq!(after.cached(), [1, 2, 3]);
    assert_eq!(first.record.unwrap().layers, after.record.unwrap().layers);
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_says_which_and_why_and_what_was_done_stays() {
    let ground = Ground::new().await;
    let done = run("echo done > ~/done");
    let built = ground.build(&[done.clone(), run("echo why; exit 3")]).await;
    let failure = built.record.as_ref().unwrap_err();
    assert_eq!((failure.stage, failure.step), (0, 2));
    let said = failure.to_string();
    assert_eq!(
        said,
        "failed to run command 'echo why; exit 3': command failed: exit status 3"
    );
    assert_eq!(built.lines(), ["why"]);
    assert_eq!(ground.left(), [""; 0]);
    let unknown = StepKind::Run(Run {
        command: Command::Shell("whoami".into()),
        user: Some("root123".into()),
        env: Vec::new(),
        mounts: Vec::new(),
        network: false,
    });
    let built = ground.build(&[done, step(unknown)]).await;
    assert_eq!(built.cached(), [1]);
    let said = built.record.unwrap_err().to_string();
    assert_eq!(
        said,
        "failed to run command 'whoami': command failed: unauthenticated: invalid username: 'root123'"
    );
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_ended_leaves_what_was_done_and_nothing_else() {
    let ground = Ground::new().await;
    let steps = [run("echo done > ~/done"), run("echo begun; sleep 1000")];
    let begun = |event: &StepEvent| event.what == Happened::Line("begun".into());
    let built = ground.build_until(&steps, begun).await;
    assert!(matches!(
        built.record.unwrap_err().source,
        StepError::Stopped
    ));
    assert!(ground.store().get(&"mine".parse().unwrap()).is_err());
    let again = ground.build(&[steps[0].clone()]).await;
    assert_eq!(again.cached(), [1]);
    ground.node.stop().await;
    assert_eq!(ground.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_the_same_at_once_do_the_work_once() {
    let ground = Ground::new().await;
    let steps = [run("echo $$ > ~/which; sleep 1")];
    let (one, other) = tokio::join!(ground.build(&steps), ground.build(&steps));
    let cached = [one.cached(), other.cached()].concat();
    assert_eq!(cached, [1]);
    assert_eq!(one.record.unwrap().layers, other.record.unwrap().layers);
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_there_for_its_command_only() {
    let mut ground = Ground::new().await;
    ground
        .given
        .secrets
        .insert("token".into(), b"hunter2".to_vec());
    let secret = |required| {
        step(StepKind::Run(Run {
            command: Command::Shell("cat /run/secrets/token; echo; echo $TOKEN > /dev/null".into()),
            user: Some("root".into()),
            env: Vec::new(),
            mounts: vec![RunMount::Secret {
                id: "token".into(),
                target: Some("/run/secrets/token".into()),
                env: Some("TOKEN".into()),
                required,
                mode: 0o400,
                uid: 0,
                gid: 0,
            }],
            network: false,
        }))
    };
    let built = ground.build(&[secret(true)]).await;
    assert_eq!(built.lines(), ["hunter2"], "{:?}", built.record);
    assert!(!has(&ground.place.path("data/templates"), b"hunter2"));
    assert_eq!(ground.shell("root", "ls -A /run").await, "");
    // Without it the build says so.
    ground.given.secrets.clear();
    let said = ground
        .build(&[run("echo x > ~/x"), secret(true)])
        .await
        .record
        .unwrap_err();
    assert_eq!(said.to_string(), "secret token was not given to the build");
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied_from_a_directory_an_upload_and_another_stage() {
    let mut ground = Ground::new().await;
    let directory = ground.place.path("context");
    fs::create_dir_all(directory.join("app")).unwrap();
    fs::write(directory.join("app/main"), "one").unwrap();
    symlink("main", directory.join("app/link")).unwrap();
    fs::write(directory.join("left"), "out").unwrap();
    fs::write(directory.join(".dockerignore"), "left\n").unwrap();
    ground.given.context = Some(Arc::new(Context::open(&directory, None).unwrap()));
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("up", directory.join("app")).unwrap();
    let upload = ground.place.path("upload.tar");
    fs::write(&upload, tar.into_inner().unwrap()).unwrap();
    ground.given.upload = Some(upload);
    let uploaded = || CopyFrom::Upload { hash: "x".into() };
    let plan = Plan {
        stages: vec![
            stage(&[run("echo made > ~/made")]),
            stage(&[
                copy(CopyFrom::Context, "app", "/srv/app"),
                copy(CopyFrom::Context, "app/main", "/srv/renamed"),
                copy(uploaded(), "up/main", "mine"),
                copy(CopyFrom::Stage(0), "/home/user/made", "/srv/"),
                copy(
                    CopyFrom::Inline {
                        name: "f".into(),
                        content: "text\n".into(),
                    },
                    "f",
                    "/srv/inline",
                ),
            ]),
        ],
        target: 1,
    };
    let built = ground.carry_out(&plan, |_| false).await;
    built.record.unwrap();
    let look =
        "cd /srv; cat app/link renamed made inline; stat -c %u /srv/app/main ~/mine; ls /srv";
    let seen = ground.shell("user", look).await;
    assert_eq!(
        seen,
        "oneonemade\ntext\n0\n1000\napp\ninline\nmade\nrenamed\n"
    );
    // Only what changed is copied again.
    fs::write(directory.join("app/other"), "two").unwrap();
    let again = ground.carry_out(&plan, |_| false).await;
    assert_eq!(again.cached(), [1], "{:?}", again.record);
    let third = ground.carry_out(&plan, |_| false).await;
    assert_eq!(third.cached(), [1, 1, 2, 3, 4, 5]);
    for (source, why) in [("left", "leaves it out"), ("../up", ""), ("none", "")] {
        let built = ground
            .build(&[copy(CopyFrom::Context, source, "/srv/")])
            .await;
        let said = built.record.unwrap_err().to_string();
        assert!(
            said.contains("failed to copy") && said.contains(why),
            "{said}"
        );
    }
    ground.node.stop().await;
    assert_eq!(ground.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_template_runs_is_up_when_a_sandbox_is_there() {
    let ground = Ground::new().await;
    let start = |text: &str| step(StepKind::Start(Some(Command::Shell(text.to_owned()))));
    let ready = |text: &str| step(StepKind::Ready(Some(text.to_owned())));
    let steps = [
        step(StepKind::Env(vec![("WORD".into(), "up".into())])),
        start("sleep 0.2; echo $WORD > /home/user/state; echo listening; sleep 1000"),
        ready("cat /home/user/state"),
    ];
    let built = ground.build(&steps).await;
    built.record.as_ref().unwrap();
    assert_eq!(ground.shell("user", "cat /home/user/state").await, "up\n");
    // One that does not come up is no template, and its log tells why.
    let fails = [start("echo no port; exit 4"), ready("cat /home/user/state")];
    let failure = ground.build(&fails).await.record.unwrap_err();
    assert_eq!(failure.step, 3);
    let said = failure.to_string();
    assert!(
        said.contains("exit status 4") && said.contains("no port"),
        "{said}"
    );
    ground.node.stop().await;
    assert_eq!(ground.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_be_a_number() {
    let ground = Ground::new().await;
    let user = |name: &str| {
        step(StepKind::User {
            name: name.into(),
            create: false,
            sudo: false,
        })
    };
    let steps = [
        user("1000:0"),
        run("id -u; id -g"),
        user("4321"),
        run("id -u; id -g"),
    ];
    let built = ground.build(&steps).await;
    assert_eq!(
        built.lines(),
        ["1000", "0", "4321", "0"],
        "{:?}",
        built.record
    );
    assert_eq!(ground.shell("4321", "id -u").await, "4321\n");
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_show_files_that_no_layer_gets() {
    let mut ground = Ground::new().await;
    let directory = ground.place.path("context");
    fs::create_dir_all(directory.join("app")).unwrap();
    fs::write(directory.join("app/main"), "one\n").unwrap();
    fs::write(directory.join("app/left"), "out").unwrap();
    fs::write(directory.join(".dockerignore"), "**/left\n").unwrap();
    ground.given.context = Some(Arc::new(Context::open(&directory, None).unwrap()));
    let bind = |from, source: &str, target: &str| RunMount::Bind {
        from,
        source: source.into(),
        target: target.into(),
    };
    let script = "#!/bin/sh\ncat /m/app/main /m/file /m/stage; ls /m/app; cat /m/app/* > ~/seen\n";
    let run_script = step(StepKind::Run(Run {
        command: Command::Exec(vec!["/run/pipes/S".into()]),
        user: None,
        env: Vec::new(),
        mounts: vec![
            bind(CopyFrom::Context, "app", "/m/app"),
            bind(CopyFrom::Context, "app/main", "/m/file"),
            bind(CopyFrom::Stage(0), "/home/user/made", "/m/stage"),
            bind(
                CopyFrom::Inline {
                    name: "S".into(),
                    content: script.into(),
                },
                "/",
                "/run/pipes/S",
            ),
        ],
        network: false,
    }));
    let plan = Plan {
        stages: vec![stage(&[run("echo made > ~/made")]), stage(&[run_script])],
        target: 1,
    };
    let built = ground.carry_out(&plan, |_| false).await;
    assert_eq!(
        built.lines(),
        ["one", "one", "made", "main"],
        "{:?}",
        built.record
    );
    let seen = ground.shell("user", "cat ~/seen; ls /m /run/pipes").await;
    assert!(
        seen.starts_with("one\n") && !seen.contains("main"),
        "{seen}"
    );
    // What is mounted is an input of the step; what is left out is none.
    fs::write(directory.join("app/left"), "still out").unwrap();
    assert_eq!(ground.carry_out(&plan, |_| false).await.cached(), [1, 1]);
    fs::write(directory.join("app/main"), "two\n").unwrap();
    let again = ground.carry_out(&plan, |_| false).await;
    assert_eq!(again.cached(), [1]);
    assert_eq!(again.lines()[0], "two");
    ground.node.stop().await;
    assert_eq!(ground.left(), [""; 0]);
}
