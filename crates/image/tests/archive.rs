//! Images in files: what other tools write is imported, what is exported they take.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use soulbox_image::layer_store::{HeldLayer, LayerId, LayerStore};
use soulbox_image::layers::{Layers, OPAQUE};
use soulbox_image::measure::TreeSize;
use soulbox_image::oci::archive::export::{Export, Packing};
use soulbox_image::oci::archive::import::{Import, ImportError, Imported};
use soulbox_image::oci::pack::{TreeOf, pack};
use soulbox_image::oci::platform::Platform;
use soulbox_image::record::{Start, TemplateRecord};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn run(program: &str, words: &[&str]) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tools that images are made with"
    )]
    let done = Command::new(program).args(words).output().unwrap();
    assert!(
        done.status.success(),
        "{program} {words:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A store with two layers, of which the upper one removes and hides.
struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("templates")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn layers(&self) -> Vec<HeldLayer> {
        let store = LayerStore::new(&self.path("templates"));
        let lower = store.begin().unwrap();
        for directory in ["bin", "etc", "opt/was"] {
            fs::create_dir_all(lower.tree().join(directory)).unwrap();
        }
        for name in ["bin/tool", "etc/gone", "opt/was/file"] {
            fs::write(lower.tree().join(name), name.repeat(1000)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
        fs::write(lower.tree().join("etc/passwd"), passwd).unwrap();
        let tool = lower.tree().join("bin/tool");
        lchown(&tool, Some(1000), Some(5)).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
        fs::hard_link(&tool, lower.tree().join("bin/twin")).unwrap();
        symlink("bin", lower.tree().join("sbin")).unwrap();
        let upper = store.begin().unwrap();
        fs::create_dir_all(upper.tree().join("opt/was")).unwrap();
        fs::create_dir(upper.tree().join("etc")).unwrap();
        let (was, gone) = (upper.tree().join("opt/was"), upper.tree().join("etc/gone"));
        rustix::fs::lsetxattr(&was, OPAQUE[0], b"y", XattrFlags::empty()).unwrap();
        rustix::fs::mknodat(CWD, &gone, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        fs::write(was.join("new"), "new").unwrap();
        let publish = |layer: soulbox_image::layer_store::NewLayer, number| {
            layer
                .publish(&LayerId::of_step(&[number; 32]), "RUN x")
                .unwrap()
        };
        vec![publish(lower, 1), publish(upper, 2)]
    }

    fn export(&self, layers: &[HeldLayer], packing: Packing, to: &str) {
        let trees: Vec<_> = layers.iter().map(|layer| layer.tree.clone()).collect();
        let size = TreeSize::default();
        let mut record = TemplateRecord::new("mine".parse().unwrap(), &Layers::default(), size);
        record.created = "2026-01-31T12:00:00Z".into();
        record.workdir = Some("/opt".into());
        record.env.insert("A".into(), "b=c".into());
        record.start = Some(Start {
            command: vec!["/bin/tool".into(), "serve".into()],
            ready: None,
        });
        let export = Export {
            record: &record,
            trees: &trees,
            packing,
            aside: self.directory.path(),
            stop: &AtomicBool::new(false),
        };
        let mut file = File::create(self.path(to)).unwrap();
        export.run(&mut file, &|_, _| {}).unwrap();
    }

    /// Imports into a store of its own.
    fn import(&self, from: &str, store: &str) -> Result<Imported, ImportError> {
        let import = Import {
            from: &self.path(from),
            called: None,
            platform: &Platform::host(),
            templates: &self.path(store),
            stop: Arc::new(AtomicBool::new(false)),
        };
        import.run(&|_, _| {})
    }
}

/// Everything about a layer's tree: its tar file has it all.
fn facts(layer: &HeldLayer) -> Vec<u8> {
    let mut tar = Vec::new();
    pack(&layer.tree, TreeOf::Layer, &mut tar).unwrap();
    tar
}

fn assert_same(one: &[HeldLayer], other: &[HeldLayer]) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert!(facts(one) == facts(other), "{} {}", one.id, other.id);
    }
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let layers = ground.layers();
    for (packing, file) in [(Packing::Gzip, "gzip.tar"), (Packing::Zstd, "zstd.tar")] {
        ground.export(&layers, packing, file);
        ground.export(&layers, packing, "again.tar");
        let read = |name| fs::read(ground.path(name)).unwrap();
        assert!(
            read(file) == read("again.tar"),
            "{file} differs the second time"
        );
        let imported = ground.import(file, file.trim_end_matches(".tar")).unwrap();
        assert_same(&layers, &imported.layers);
        let process = &imported.config.config;
        assert_eq!(process.entrypoint, ["/bin/tool", "serve"]);
        assert!(process.env.contains(&"A=b=c".to_owned()));
        assert_eq!(
            (process.user.as_str(), process.working_dir.as_str()),
            ("user", "/opt")
        );
    }
    // Nothing but what was asked for is left.
    let left = fs::read_dir(ground.directory.path()).unwrap().count();
    assert_eq!(left, 6);
}

#[test]
fn skopeo_and_umoci_take_what_is_exported_and_theirs_is_imported() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let layers = ground.layers();
    ground.export(&layers, Packing::Gzip, "mine.tar");
    let archive = format!("oci-archive:{}:latest", ground.text("mine.tar"));
    let seen = run("skopeo", &["inspect", "--config", &archive]);
    assert!(
        seen.contains("\"A=b=c\"") && seen.contains("serve"),
        "{seen}"
    );
    // A directory as OCI describes it, and what umoci makes of it.
    let directory = format!("oci:{}:latest", ground.text("layout"));
    run(
        "skopeo",
        &["--insecure-policy", "copy", &archive, &directory],
    );
    let image = format!("{}:latest", ground.text("layout"));
    run(
        "umoci",
        &["unpack", "--image", &image, &ground.text("bundle")],
    );
    let rootfs = ground.path("bundle/rootfs");
    assert_eq!(
        fs::read_to_string(rootfs.join("opt/was/new")).unwrap(),
        "new"
    );
    assert!(!rootfs.join("opt/was/file").exists() && !rootfs.join("etc/gone").exists());
    assert_eq!(
        fs::metadata(rootfs.join("bin/tool"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o4755
    );
    let imported = ground.import("layout", "of-layout").unwrap();
    assert_same(&layers, &imported.layers);
    assert_eq!(imported.name.as_deref(), Some("latest"));
    // What `docker save` writes, packed and plain.
    let docker = format!("docker-archive:{}:mine:1", ground.text("docker.tar"));
    run("skopeo", &["--insecure-policy", "copy", &archive, &docker]);
    let imported = ground.import("docker.tar", "of-docker").unwrap();
    assert_same(&layers, &imported.layers);
    assert!(imported.name.is_some_and(|name| name.ends_with("mine:1")));
    run("gzip", &["--fast", &ground.text("docker.tar")]);
    assert_same(
        &layers,
        &ground.import("docker.tar.gz", "of-gzip").unwrap().layers,
    );
    // A layer that umoci adds removes what is below.
    fs::remove_dir_all(rootfs.join("bin")).unwrap();
    run(
        "umoci",
        &["repack", "--image", &image, &ground.text("bundle")],
    );
    let imported = ground.import("layout", "of-umoci").unwrap();
    assert_eq!(imported.layers.len(), 3);
    let gone = fs::symlink_metadata(imported.layers[2].tree.join("bin")).unwrap();
    assert!(soulbox_image::layers::is_whiteout(&gone));
}

#[test]
fn a_directory_is_an_image_of_one_layer() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    fs::create_dir_all(ground.path("root/etc")).unwrap();
    fs::write(ground.path("root/etc/file"), "x").unwrap();
    lchown(ground.path("root/etc/file"), Some(7), Some(8)).unwrap();
    let imported = ground.import("root", "store").unwrap();
    let again = ground.import("root", "store").unwrap();
    assert_eq!(imported.layers[0].id, again.layers[0].id);
    let mut tar = Vec::new();
    pack(&ground.path("root"), TreeOf::Owners, &mut tar).unwrap();
    assert!(facts(&imported.layers[0]) == tar);
}

#[test]
fn what_is_damaged_or_missing_is_refused_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let layers = ground.layers();
    ground.export(&layers[..1], Packing::Zstd, "whole.tar");
    let whole = fs::read(ground.path("whole.tar")).unwrap();
    for cut in [0, 100, 600, 5000, whole.len() - 1500] {
        fs::write(ground.path("cut.tar"), &whole[..cut]).unwrap();
        assert!(ground.import("cut.tar", "store").is_err(), "{cut}");
    }
    // The config with another letter in it.
    let at = whole.windows(5).position(|part| part == b"A=b=c").unwrap();
    let mut other = whole.clone();
    other[at] = b'B';
    fs::write(ground.path("other.tar"), &other).unwrap();
    let refused = ground.import("other.tar", "store").unwrap_err();
    assert!(matches!(refused, ImportError::Content { .. }), "{refused}");
    assert!(
        LayerStore::new(&ground.path("store"))
            .list()
            .unwrap()
            .is_empty()
    );
    fs::write(ground.path("no.tar"), [0; 1024]).unwrap();
    assert!(matches!(
        ground.import("no.tar", "store"),
        Err(ImportError::NoImage)
    ));
}

#[test]
fn who_stops_it_is_told_so() {
    let ground = Ground::new();
    fs::create_dir(ground.path("root")).unwrap();
    let import = Import {
        from: &ground.path("root"),
        called: None,
        platform: &Platform::host(),
        templates: &ground.path("store"),
        stop: Arc::new(AtomicBool::new(true)),
    };
    let stopped = import.run(&|_, _| {});
    assert!(matches!(stopped, Err(ImportError::Stopped)), "{stopped:?}");
    // The lock of the store itself stays.
    let left = fs::read_dir(ground.path("store/.layers")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}
