//! Sandboxes of templates that lie on layers.
#![allow(clippy::unwrap_used)] // clippy knows only the test functions, not their helpers

mod support;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, mknodat};
use soulbox_image::layer_store::{LayerId, LayerStore};
use soulbox_image::layers::{Layers, OPAQUE};
use soulbox_image::record::{ROOTFS, TemplateRecord};
use soulbox_image::staging::{Staging, Survive};
use soulbox_model::TemplateName;
use std::fs;
use std::path::Path;
use support::Place;

/// The most that a template may have: an older Linux takes their names in 255 bytes.
const MANY: u8 = 100;

struct Ground {
    place: Place,
}

impl Ground {
    fn layer(&self, number: u8, fill: impl FnOnce(&Path)) -> LayerId {
        let layer = LayerStore::new(&self.templates()).begin().unwrap();
        fill(layer.tree());
        let id = LayerId::of_step(&[number; 32]);
        layer.publish(&id, "test").unwrap();
        id
    }

    fn templates(&self) -> std::path::PathBuf {
        self.place.path("data/templates")
    }

    /// Makes a template of layers, the lowest first.
    fn template(&self, name: &str, layers: Vec<LayerId>) -> TemplateName {
        let name: TemplateName = name.parse().unwrap();
        let staging = Staging::new(&self.templates()).unwrap();
        let rootfs = staging.path().join(ROOTFS);
        for directory in ["dev", "etc", "proc", "run", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(directory)).unwrap();
        }
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        let shown = Layers {
            rootfs,
            ..Layers::default()
        };
        let mut record = TemplateRecord::new(name.clone(), &shown, Default::default());
        record.layers = layers;
        record.user = "root".into();
        record.write(staging.path()).unwrap();
        staging.publish(name.as_str(), Survive::ProcessEnd).unwrap();
        name
    }
}

/// A lowest layer with a shell.
fn shell_layer(tree: &Path) {
    fs::create_dir_all(tree.join("bin")).unwrap();
    fs::copy("/bin/busybox", tree.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "ls", "rm", "stat", "echo"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
    fs::create_dir_all(tree.join("closed")).unwrap();
    for (name, text) in [
        ("kept", "low"),
        ("gone", "low"),
        ("same", "low"),
        ("closed/x", "low"),
    ] {
        fs::write(tree.join(name), text).unwrap();
    }
}

#[tokio::test]
async fn a_sandbox_sees_its_layers_as_one_tree() {
    let ground = Ground {
        place: Place::new(),
    };
    let low = ground.layer(1, shell_layer);
    let middle = ground.layer(2, |tree| {
        mknodat(
            CWD,
            tree.join("gone"),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )
        .unwrap();
        fs::create_dir(tree.join("closed")).unwrap();
        lsetxattr(tree.join("closed"), OPAQUE[0], b"y", XattrFlags::empty()).unwrap();
        fs::write(tree.join("closed/y"), "middle").unwrap();
        fs::write(tree.join("same"), "middle").unwrap();
        std::os::unix::fs::chown(tree.join("same"), Some(1000), Some(1000)).unwrap();
    });
    let top = ground.layer(3, |tree| fs::write(tree.join("same2"), "top").unwrap());
    let name = ground.template("stack", vec![low.clone(), middle, top]);
    let node = ground.place.node(&[]).await;
    let mut spec = support::spec(&node);
    spec.template = name;
    let sandbox = node.create(spec.clone()).await.unwrap();
    let look =
        "cat kept same same2; echo; ls closed; ls gone; stat -c %u:%g same; echo > kept; rm same";
    let seen = support::shell(&sandbox, "root", look).await;
    assert_eq!(seen.stdout, "lowmiddletop\ny\n1000:1000\n", "{seen:?}");
    assert!(seen.stderr.contains("gone"), "{seen:?}");
    sandbox.destroy().await;
    // What one sandbox did is in no layer.
    let sandbox = node.create(spec).await.unwrap();
    let seen = support::shell(&sandbox, "root", "cat kept same").await;
    assert_eq!(seen.stdout, "lowmiddle");
    sandbox.destroy().await;
    node.stop().await;
    let tree = LayerStore::new(&ground.templates()).tree(&low);
    assert_eq!(fs::read_to_string(tree.join("kept")).unwrap(), "low");
}

#[tokio::test]
async fn a_template_may_lie_on_a_hundred_layers() {
    let ground = Ground {
        place: Place::new(),
    };
    let mut layers = vec![ground.layer(0, shell_layer)];
    for number in 1..MANY {
        layers.push(ground.layer(number, |tree| {
            fs::write(tree.join(format!("f{number}")), "x").unwrap();
        }));
    }
    let name = ground.template("many", layers);
    let node = ground.place.node(&[]).await;
    let mut spec = support::spec(&node);
    spec.template = name;
    let sandbox = node.create(spec).await.unwrap();
    let seen = support::shell(&sandbox, "root", "echo f*").await;
    assert_eq!(seen.stdout.split_whitespace().count(), 99, "{seen:?}");
    sandbox.destroy().await;
    node.stop().await;
}
