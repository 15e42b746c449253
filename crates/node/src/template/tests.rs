use super::script::{Output, ScriptEnd, ScriptError, ScriptRunner, Stop};
use super::*;
use crate::execute::Channel;
use soulbox_image::build::BuildStep;
use soulbox_image::progress::BuildEvent;
use soulbox_image::recipe::Recipe;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{Notify, mpsc};

/// A machine whose sandboxes are played: what they print, how they end, and a file that they
/// leave in the tree.
struct Played {
    prints: &'static str,
    ends: ScriptEnd,
    runs: AtomicU32,
    /// Told when a script has begun.
    begun: Notify,
    /// What a script waits for before it ends; none: it ends at once.
    until: Option<Notify>,
}

impl Played {
    fn new(prints: &'static str, ends: ScriptEnd) -> Self {
        Self {
            prints,
            ends,
            runs: AtomicU32::new(0),
            begun: Notify::new(),
            until: None,
        }
    }
}

impl ScriptRunner for Played {
    async fn run(
        &self,
        step: &BuildStep,
        output: Output<'_>,
        mut stop: Stop<'_>,
    ) -> Result<ScriptEnd, ScriptError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        fs::write(step.mounts[0].host.join("made"), "x").unwrap();
        output(Channel::Stdout, self.prints.as_bytes());
        self.begun.notify_one();
        if let Some(until) = &self.until {
            tokio::select! {
                () = until.notified() => {}
                () = stop.as_mut() => return Ok(ScriptEnd::Stopped),
            }
        }
        Ok(self.ends)
    }
}

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    /// A store with the template `parent`, and a recipe `mine` for it.
    fn new() -> Self {
        let ground = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        ground.put("parent");
        let recipe = ground.directory.path().join("recipe");
        fs::create_dir(&recipe).unwrap();
        let manifest = "description = \"x\"\nparent = \"parent\"\nscript = \"s\"\n\
                        free_disk = \"1M\"\n[expect]\npaths = [\"/made\"]\n";
        fs::write(recipe.join("recipe.toml"), manifest).unwrap();
        fs::write(recipe.join("s"), "").unwrap();
        ground
    }

    fn store(&self) -> TemplateStore {
        TemplateStore::new(self.directory.path())
    }

    fn recipe(&self) -> Recipe {
        Recipe::load(name("mine"), &self.directory.path().join("recipe")).unwrap()
    }

    /// Puts a template into the store without any build.
    fn put(&self, template: &str) {
        let staging = staging::Staging::new(&self.store().directory).unwrap();
        fs::create_dir(staging.path().join(ROOTFS)).unwrap();
        let layers = Layers {
            rootfs: staging.path().join(ROOTFS),
            ..Layers::default()
        };
        TemplateRecord::new(name(template), &layers, Default::default())
            .write(staging.path())
            .unwrap();
        staging
            .publish(template, staging::Survive::ProcessEnd)
            .unwrap();
    }

    fn listed(&self) -> Vec<String> {
        let list = self.store().list().unwrap();
        list.into_iter()
            .map(|listed| listed.name.to_string())
            .collect()
    }

    async fn build(
        &self,
        played: &Played,
    ) -> (Result<TemplateRecord, TemplateError>, Vec<BuildEvent>) {
        let (sender, mut receiver) = mpsc::channel(100);
        let mut never = std::pin::pin!(std::future::pending());
        let store = self.store();
        let built = store
            .build(self.recipe(), played, 1000, &sender, never.as_mut())
            .await;
        drop(sender);
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        (built, events)
    }

    /// What is in the store beside templates and lock files.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.store().directory).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        paths.filter(|path| hidden(path) && path.is_dir()).collect()
    }
}

fn name(text: &str) -> TemplateName {
    text.parse().unwrap()
}

#[test]
fn templates_are_listed_also_when_one_is_damaged() {
    let ground = Ground::new();
    ground.put("other");
    fs::write(ground.store().directory.join("other/template.json"), "{").unwrap();
    fs::create_dir(ground.store().directory.join(".build-x")).unwrap();
    fs::create_dir(ground.store().directory.join("Not A Name")).unwrap();
    assert_eq!(ground.listed(), ["other", "parent"]);
    let list = ground.store().list().unwrap();
    assert!(list[0].record.is_err() && list[1].record.is_ok());
    assert!(
        TemplateStore::new(Path::new("/no/such"))
            .list()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_template_that_is_held_is_not_removed() {
    let ground = Ground::new();
    let (store, parent) = (ground.store(), name("parent"));
    let held = store.get(&parent).unwrap();
    assert!(store.inspect(&parent).unwrap().in_use);
    assert!(matches!(
        store.remove(&parent),
        Err(TemplateError::InUse(_))
    ));
    assert!(held.layers.rootfs.is_dir());
    drop(held);
    assert!(!store.inspect(&parent).unwrap().in_use);
    store.remove(&parent).unwrap();
    assert!(ground.listed().is_empty() && ground.left().is_empty());
}

#[test]
fn a_template_knows_when_another_took_its_place() {
    let ground = Ground::new();
    let held = ground.store().get(&name("parent")).unwrap();
    assert!(held.is_current());
    ground.put("parent");
    assert!(!held.is_current());
    assert!(ground.store().get(&name("parent")).unwrap().is_current());
    // Nobody who starts now waits for the old one, and it is not swept away below its users.
    assert_eq!(ground.store().sweep().unwrap(), 0);
    drop(held);
    assert_eq!(ground.store().sweep().unwrap(), 1);
}

#[test]
fn what_is_missing_or_built_in_is_said() {
    let ground = Ground::new();
    let store = ground.store();
    for refused in [
        store.get(&name("bse")).map(drop),
        store.inspect(&name("bse")).map(drop),
        store.remove(&name("bse")),
    ] {
        let said = refused.unwrap_err().to_string();
        assert_eq!(said, "there is no template bse; there are: host, parent");
    }
    assert!(matches!(
        store.remove(&TemplateName::host()),
        Err(TemplateError::BuiltIn)
    ));
}

#[test]
fn what_a_killed_build_left_is_swept() {
    let ground = Ground::new();
    fs::create_dir_all(ground.store().directory.join(".build-x/rootfs")).unwrap();
    assert_eq!(ground.store().sweep().unwrap(), 1);
    assert_eq!(
        TemplateStore::new(Path::new("/no/such")).sweep().unwrap(),
        0
    );
    assert_eq!(ground.listed(), ["parent"]);
}

#[tokio::test]
async fn a_build_tells_its_progress_and_becomes_a_template() {
    let ground = Ground::new();
    let played = Played::new("::progress 50 half\nline\n", ScriptEnd::Exited(0));
    let (built, events) = ground.build(&played).await;
    assert_eq!(built.unwrap().parent, Some(name("parent")));
    let percents: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Phase { percent, .. } => Some(*percent),
            _ => None,
        })
        .collect();
    assert_eq!(percents, [0, 50, 99, 100]);
    assert!(events.contains(&BuildEvent::Line("line".into())));
    assert_eq!(ground.listed(), ["mine", "parent"]);
    assert!(
        ground
            .store()
            .get(&name("mine"))
            .unwrap()
            .layers
            .rootfs
            .join("made")
            .exists()
    );
}

#[tokio::test]
async fn a_script_that_fails_is_told_with_its_last_lines_and_leaves_nothing() {
    for (ends, how) in [
        (ScriptEnd::Exited(3), "exit code 3"),
        (ScriptEnd::Signalled(9), "signal 9"),
        (ScriptEnd::TimedOut, "not done after 1800 s"),
        (ScriptEnd::OutOfMemory, "out of memory at 2 GiB"),
    ] {
        let ground = Ground::new();
        let (built, _) = ground.build(&Played::new("why it failed", ends)).await;
        let said = built.unwrap_err().to_string();
        assert!(
            said.contains(how) && said.contains("why it failed"),
            "{said}"
        );
        assert_eq!(ground.listed(), ["parent"]);
        assert!(ground.left().is_empty());
    }
}

#[tokio::test]
async fn a_build_that_is_ended_leaves_nothing() {
    let ground = Ground::new();
    let played = Played {
        until: Some(Notify::new()),
        ..Played::new("", ScriptEnd::Exited(0))
    };
    let (sender, _receiver) = mpsc::channel(100);
    let store = ground.store();
    let mut stop = std::pin::pin!(played.begun.notified());
    let built = store
        .build(ground.recipe(), &played, 1000, &sender, stop.as_mut())
        .await;
    assert!(matches!(built, Err(TemplateError::Stopped(_))), "{built:?}");
    assert_eq!(ground.listed(), ["parent"]);
    assert!(ground.left().is_empty());
}

#[tokio::test]
async fn the_second_of_two_builds_takes_the_result_of_the_first() {
    let ground = Ground::new();
    let first = Played {
        until: Some(Notify::new()),
        ..Played::new("", ScriptEnd::Exited(0))
    };
    let second = Played::new("", ScriptEnd::Exited(1));
    let (sender, mut receiver) = mpsc::channel(100);
    let store = ground.store();
    let (mut never, mut neither) = (
        std::pin::pin!(std::future::pending()),
        std::pin::pin!(std::future::pending()),
    );
    let (one, two, ()) = tokio::join!(
        ground.build(&first),
        async {
            first.begun.notified().await;
            store
                .build(ground.recipe(), &second, 1000, &sender, neither.as_mut())
                .await
        },
        async {
            assert_eq!(receiver.recv().await, Some(BuildEvent::Waiting));
            first.until.as_ref().unwrap().notify_one();
        },
    );
    assert_eq!(one.0.unwrap(), two.unwrap());
    assert_eq!(second.runs.load(Ordering::Relaxed), 0);
    // Without anything to wait for, a build builds.
    let again = store
        .build(ground.recipe(), &second, 1000, &sender, never.as_mut())
        .await;
    assert!(again.is_err());
}
