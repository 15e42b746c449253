//! Builds whose scripts are played by the tests: what is around them.
#![allow(clippy::unwrap_used)] // clippy knows only the test functions, not their helpers

use soulbox_image::build::{Build, BuildError, BuildTurn, Parent};
use soulbox_image::host::HostRoot;
use soulbox_image::layers::Layers;
use soulbox_image::measure::TreeSize;
use soulbox_image::recipe::Recipe;
use soulbox_image::record::TemplateRecord;
use soulbox_image::staging::sweep;
use soulbox_image::tree::Owners;
use soulbox_model::{NetworkMode, TemplateName};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const SCRIPT: &str = "description = \"mine\"\nscript = \"build.sh\"\ntree = \"script\"\n\
    free_disk = \"1M\"\n\
    [needs]\nmaker = \"maker-tools\"\n\
    [template]\nworkdir = \"/work\"\n[template.env]\nA = \"b\"\n\
    [expect]\nprograms = [\"tool\"]\npaths = [\"/work\"]\n";

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    /// A store, a parent with the program `maker`, and a recipe.
    fn new(manifest: &str) -> Self {
        let ground = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        ground.program(&ground.path("parent/usr/bin/maker"));
        fs::create_dir_all(ground.path("recipe")).unwrap();
        fs::write(ground.path("recipe/recipe.toml"), manifest).unwrap();
        fs::write(ground.path("recipe/build.sh"), "true\n").unwrap();
        ground
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn program(&self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn begin(&self) -> Result<Build, BuildError> {
        let name = name();
        let turn = BuildTurn::try_take(&self.path("store"), &name)?.unwrap();
        let recipe = Recipe::load(name, &self.path("recipe")).unwrap();
        let layers = Layers {
            rootfs: self.path("parent"),
            ..Layers::default()
        };
        let mut record = TemplateRecord::new(TemplateName::host(), &layers, TreeSize::default());
        record.user = "parents".to_owned();
        record.env.insert("PARENT".to_owned(), "yes".to_owned());
        let parent = Parent {
            record: &record,
            layers: &layers,
        };
        let host = HostRoot::at(&self.path("parent"), Owners::default()).unwrap();
        Build::begin(turn, &self.path("store"), recipe, parent, &host)
    }

    /// What the script would do to `/build/rootfs`.
    fn play_script(&self, build: &Build) {
        let tree = &build.step(1000).mounts[0].host;
        self.program(&tree.join("usr/bin/tool"));
        fs::create_dir(tree.join("work")).unwrap();
        symlink("/usr/bin/tool", tree.join("usr/bin/link")).unwrap();
    }

    /// What is in the store, but for its lock files.
    fn stored(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("store")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with("lock")).collect()
    }
}

fn name() -> TemplateName {
    "mine".parse().unwrap()
}

#[test]
fn a_build_becomes_a_template_with_a_true_record() {
    let ground = Ground::new(SCRIPT);
    let build = ground.begin().unwrap();
    ground.play_script(&build);
    let record = build.finish().unwrap();
    assert_eq!(
        record,
        TemplateRecord::read(&ground.path("store/mine")).unwrap()
    );
    assert_eq!(
        (record.parent, record.files),
        (Some(TemplateName::host()), 11)
    );
    assert_eq!(record.workdir, Some("/work".into()));
    assert_eq!(record.env.get("A"), Some(&"b".to_owned()));
    assert_eq!(record.recipe.map(|hash| hash.len()), Some(64));
    assert!(ground.path("store/mine/rootfs/usr/bin/tool").exists());
    for gone in ["recipe", "inputs"] {
        assert!(!ground.path("store/mine").join(gone).exists(), "{gone}");
    }
}

#[test]
fn the_step_names_everything_that_the_script_gets() {
    let ground = Ground::new(SCRIPT);
    let build = ground.begin().unwrap();
    let step = build.step(1500);
    assert_eq!(
        (step.network, step.limits.cpu_millis),
        (NetworkMode::None, 1500)
    );
    assert_eq!(
        step.command,
        ["/bin/bash", "/build/recipe/.start.sh", "build.sh", "script"]
    );
    let guests: Vec<_> = step
        .mounts
        .iter()
        .map(|m| (m.guest.to_str().unwrap(), m.read_only))
        .collect();
    assert_eq!(
        guests,
        [
            ("/build/rootfs", false),
            ("/build/recipe", true),
            ("/build/inputs", true)
        ]
    );
    assert!(step.mounts.iter().all(|mount| mount.host.is_dir()));
    assert!(step.mounts[1].host.join(".start.sh").is_file());
}

#[test]
fn only_a_tree_that_was_the_parents_inherits_its_defaults() {
    for (tree, user, inherits) in [
        ("script", "user", false),
        ("sandbox", "parents", true),
        ("copy", "parents", true),
    ] {
        let ground = Ground::new(&SCRIPT.replace("\"script\"", &format!("\"{tree}\"")));
        let build = ground.begin().unwrap();
        ground.play_script(&build);
        let record = build.finish().unwrap();
        assert_eq!(
            (record.user.as_str(), record.env.contains_key("PARENT")),
            (user, inherits)
        );
        assert_eq!(record.env.get("A"), Some(&"b".to_owned()));
    }
}

#[test]
fn every_tree_has_the_directories_that_sandboxes_mount_on() {
    let ground = Ground::new(SCRIPT);
    let build = ground.begin().unwrap();
    ground.play_script(&build);
    build.finish().unwrap();
    for path in ["dev", "proc", "sys", "tmp"] {
        assert!(
            ground.path("store/mine/rootfs").join(path).is_dir(),
            "{path}"
        );
    }
    let build = ground.begin().unwrap();
    ground.play_script(&build);
    symlink("/etc", build.step(1000).mounts[0].host.join("proc")).unwrap();
    let refused = build.finish().unwrap_err();
    assert!(
        matches!(refused, BuildError::Top { path: "proc", .. }),
        "{refused}"
    );
}

#[test]
fn an_abandoned_build_leaves_nothing() {
    let ground = Ground::new(SCRIPT);
    let build = ground.begin().unwrap();
    ground.play_script(&build);
    drop(build);
    assert_eq!(ground.stored(), [""; 0]);
}

#[test]
fn a_killed_build_is_swept() {
    let ground = Ground::new(SCRIPT);
    drop(ground.begin().unwrap());
    fs::create_dir_all(ground.path("store/.build-killed/rootfs/usr")).unwrap();
    assert_eq!(sweep(&ground.path("store")).unwrap(), 1);
    assert_eq!(ground.stored(), [""; 0]);
}

#[test]
fn one_template_is_built_by_one_at_a_time() {
    let ground = Ground::new(SCRIPT);
    let build = ground.begin().unwrap();
    let store = ground.path("store");
    assert!(BuildTurn::try_take(&store, &name()).unwrap().is_none());
    let other = "other".parse().unwrap();
    assert!(BuildTurn::try_take(&store, &other).unwrap().is_some());
    drop(build);
    assert!(BuildTurn::try_take(&store, &name()).unwrap().is_some());
}

#[test]
fn a_failed_build_keeps_the_older_template() {
    let ground = Ground::new(SCRIPT);
    let first = ground.begin().unwrap();
    ground.play_script(&first);
    let first = first.finish().unwrap();
    // The second makes nothing, so what the recipe promises is missing.
    let refused = ground.begin().unwrap().finish().unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("tool") && said.contains("/work"), "{said}");
    assert_eq!(
        TemplateRecord::read(&ground.path("store/mine")).unwrap(),
        first
    );
    assert_eq!(ground.stored(), ["mine"]);
}

#[test]
fn a_newer_template_takes_the_place_of_the_older() {
    let ground = Ground::new(SCRIPT);
    for _ in 0..2 {
        let build = ground.begin().unwrap();
        ground.play_script(&build);
        build.finish().unwrap();
    }
    assert_eq!(ground.stored(), ["mine"]);
}

#[test]
fn what_is_missing_is_said_before_anything_is_done() {
    let ground = Ground::new(SCRIPT);
    fs::remove_file(ground.path("parent/usr/bin/maker")).unwrap();
    let said = ground.begin().unwrap_err().to_string();
    assert!(said.contains("install maker-tools"), "{said}");
    let huge = Ground::new(&SCRIPT.replace("1M", "60T"));
    let said = huge.begin().unwrap_err().to_string();
    assert!(said.contains("needs 60 TiB"), "{said}");
    assert_eq!(huge.stored(), [""; 0]);
}

#[test]
fn a_full_disk_is_told_from_another_failure() {
    let ground = Ground::new(SCRIPT);
    let build = ground.begin().unwrap();
    let how = || "exit code 1".to_owned();
    let other = build.failed(how(), "E: no such package".into());
    assert!(other.to_string().contains("E: no such package"), "{other}");
    let full = build.failed(how(), "tar: x: No space left on device".into());
    assert!(matches!(full, BuildError::DiskFull { .. }), "{full}");
}
