//! Templates built by real sandboxes, from recipes small enough to need no network.
#![allow(clippy::unwrap_used)] // clippy knows only the test functions, not their helpers

mod support;

use soulbox_image::progress::BuildEvent;
use soulbox_image::recipe::Recipe;
use soulbox_image::record::TemplateRecord;
use soulbox_model::TemplateName;
use soulbox_node::Node;
use soulbox_node::template::{TemplateError, TemplateStore};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use support::Place;
use tokio::sync::mpsc;

/// What the recipe's script may and may not do is checked by the script itself.
const SCRIPT: &str = r#"
set -eu
[ "$(id -u)" = 0 ]
[ "$(cat /build/recipe/data)" = "data of the recipe" ]
for fixed in /build/recipe /build/inputs; do
  ! touch "$fixed/x" 2>/dev/null
done
! mknod /build/rootfs/null c 1 3 2>/dev/null
mkdir -p /build/rootfs/usr/bin /build/rootfs/home/user
cp /bin/true /build/rootfs/usr/bin/tool
chmod 4755 /build/rootfs/usr/bin/tool
chown 1000:1000 /build/rootfs/home/user
ln -s /etc/shadow /build/rootfs/home/user/link
echo "::progress 50 half"
"#;

const MANIFEST: &str = "description = \"small\"\nscript = \"s.sh\"\ntree = \"script\"\n\
    memory = \"256M\"\npids = 64\nfree_disk = \"64M\"\n\
    [expect]\nprograms = [\"tool\"]\n";

struct Ground {
    place: Place,
    node: std::sync::Arc<Node>,
}

impl Ground {
    async fn new() -> Self {
        let place = Place::new();
        let node = place.node(&[]).await;
        Self { place, node }
    }

    fn recipe(&self, script: &str) -> Recipe {
        let directory = self.place.path("recipe");
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in [
            ("recipe.toml", MANIFEST),
            ("s.sh", script),
            ("data", "data of the recipe"),
        ] {
            fs::write(directory.join(name), text).unwrap();
        }
        Recipe::load("small".parse().unwrap(), &directory).unwrap()
    }

    fn store(&self) -> TemplateStore {
        TemplateStore::new(&self.place.path("data"))
    }

    fn rootfs(&self) -> PathBuf {
        self.place.path("data/templates/small/rootfs")
    }

    /// Builds, and ends the build when the script tells that it is half done if that is wanted.
    async fn build(
        &self,
        script: &str,
        end_at_half: bool,
    ) -> Result<TemplateRecord, TemplateError> {
        let (sender, mut receiver) = mpsc::channel(1000);
        let mut stop = std::pin::pin!(async move {
            while let Some(event) = receiver.recv().await {
                if end_at_half && matches!(event, BuildEvent::Phase { percent: 50, .. }) {
                    return;
                }
            }
            std::future::pending::<()>().await;
        });
        self.store()
            .build(
                self.recipe(script),
                &*self.node,
                1000,
                &sender,
                stop.as_mut(),
            )
            .await
    }

    /// What is in the store that is no template and no lock file.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place.path("data/templates")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let known = |path: &PathBuf| ["host", "small"].iter().any(|name| path.ends_with(name));
        paths.filter(|path| path.is_dir() && !known(path)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipes_tree_becomes_a_template_that_sandboxes_start_from() {
    let ground = Ground::new().await;
    let record = ground.build(SCRIPT, false).await.unwrap();
    assert_eq!(record.parent, Some(TemplateName::host()));
    let tool = fs::metadata(ground.rootfs().join("usr/bin/tool")).unwrap();
    assert_eq!((tool.uid(), tool.mode() & 0o7777), (0, 0o4755));
    let home = fs::metadata(ground.rootfs().join("home/user")).unwrap();
    assert_eq!((home.uid(), home.gid()), (1000, 1000));
    let store = fs::metadata(ground.place.path("data/templates")).unwrap();
    assert_eq!(store.mode() & 0o777, 0o700);
    assert!(ground.left().is_empty());
    let mut spec = support::spec(&ground.node);
    spec.template = "small".parse().unwrap();
    ground.node.create(spec).await.unwrap().destroy().await;
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_or_is_ended_leaves_nothing() {
    let ground = Ground::new().await;
    let failed = ground
        .build("echo 'why it failed' >&2; exit 3\n", false)
        .await;
    let said = failed.unwrap_err().to_string();
    assert!(
        said.contains("exit code 3") && said.contains("why it failed"),
        "{said}"
    );
    let endless = "mkdir /build/rootfs/x; echo '::progress 50 half'; sleep infinity\n";
    let ended = ground.build(endless, true).await;
    assert!(matches!(ended, Err(TemplateError::Stopped(_))), "{ended:?}");
    assert!(ground.left().is_empty(), "{:?}", ground.left());
    assert!(!ground.rootfs().exists());
    ground.node.stop().await;
}
