//! A recipe that is hostile: its script leaves a tree whose links and files are to lead the engine,
//! or the mounts of later sandboxes, somewhere else.

use crate::ground::Ground;
use crate::report::{Made, Report};
use soulbox_image::recipe::Recipe;
use soulbox_node::template::TemplateStore;
use std::fs;
use std::time::Duration;
use tokio::sync::mpsc;

/// What the script does to the tree, and a word of the refusal. An empty word: the template is
/// built, and a sandbox of it comes to life behind the usual walls or not at all.
const TREES: &[(&str, &str, &str)] = &[
    ("a link where /proc is mounted", "ln -s /etc proc", "/proc"),
    ("a link where /dev is mounted", "ln -s /tmp dev", "/dev"),
    ("a link where /sys is mounted", "ln -s @/ sys", "/sys"),
    (
        "a link that climbs where /tmp is",
        "ln -s ../../../../../.. tmp",
        "/tmp",
    ),
    ("a link to the host where /etc is", "ln -s @ etc", "/etc"),
    ("a link where /run is", "ln -s / run", "/run"),
    ("a file where /proc is mounted", "touch proc", "/proc"),
    ("a pipe where /dev is mounted", "mkfifo dev", "/dev"),
    (
        "a link to the host in place of its program",
        "ln -sf @/secret usr/bin/tool",
        "tool",
    ),
    (
        "a pipe in place of its program",
        "rm usr/bin/tool; mkfifo usr/bin/tool",
        "tool",
    ),
    (
        "a pipe in place of os-release",
        "mkdir etc; mkfifo etc/os-release",
        "",
    ),
    (
        "a link to the host in place of os-release",
        "mkdir etc; ln -s @/secret etc/os-release",
        "",
    ),
    (
        "a device in place of os-release",
        "mkdir etc; ln -s /dev/zero etc/os-release",
        "",
    ),
    (
        "a link to the host in place of passwd",
        "mkdir etc; ln -s @/secret etc/passwd",
        "",
    ),
    ("a loop of links", "ln -s b a; ln -s a b", ""),
    (
        "names that are control characters",
        "touch \"$(printf 'a\\nb\\033[2J')\"",
        "",
    ),
    (
        "a tree of 2,000 levels",
        "python3 -c 'import os\nfor n in range(2000): os.mkdir(\"d\"); os.chdir(\"d\")'",
        "deeper than",
    ),
    (
        "attributes of overlays",
        "mkdir x; python3 -c 'import os\nfor n in (\"trusted\", \"user\"):\n  try: os.setxattr(\"x\", n + \".overlay.redirect\", b\"/\")\n  except OSError: pass'",
        "",
    ),
    (
        "a white-out for /usr",
        "mknod gone c 0 0 2>/dev/null; true",
        "",
    ),
];

const MANIFEST: &str = "description = \"hostile\"\nscript = \"s.sh\"\ntree = \"script\"\n\
    memory = \"256M\"\npids = 64\nfree_disk = \"64M\"\n[expect]\nprograms = [\"tool\"]\n";

/// What every script begins with: a tree that is fit on its own.
const BEGIN: &str = "set -eu\ncd /build/rootfs\nmkdir -p usr/bin\ncp /bin/true usr/bin/tool\n";

/// Builds a template with this script; the refusal, if it was refused.
async fn build(ground: &Ground, script: &str) -> Option<String> {
    let directory = ground.place.path("recipe");
    fs::create_dir_all(&directory).unwrap();
    let here = ground.place.path("");
    let here = here.to_str().unwrap().trim_end_matches('/');
    let script = format!("{BEGIN}{}\n", script.replace('@', here));
    fs::write(directory.join("recipe.toml"), MANIFEST).unwrap();
    fs::write(directory.join("s.sh"), script).unwrap();
    let recipe = Recipe::load("hostile".parse().unwrap(), &directory).unwrap();
    let store = TemplateStore::new(&ground.place.path("data"));
    let (events, _told) = mpsc::channel(1000);
    let mut never = std::pin::pin!(std::future::pending::<()>());
    let building = store.build(recipe, &*ground.node, 1000, &events, never.as_mut());
    let built = tokio::time::timeout(Duration::from_secs(30), building).await;
    let told = built.unwrap().err()?;
    let mut words = told.to_string();
    let mut cause = std::error::Error::source(&told);
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    Some(words)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_recipe_leads_nothing_astray() {
    let ground = Ground::new().await;
    let mut report = Report::new("recipes");
    let mut problems = Vec::new();
    if let Some(refusal) = build(&ground, "true").await {
        problems.push(format!("the control: {refusal}"));
    }
    for (tries, script, word) in TREES {
        let refusal = build(&ground, script).await;
        let outcome = match (&refusal, word.is_empty()) {
            (Some(refusal), false) if refusal.contains(word) => refusal.clone(),
            (None, true) => live(&ground, &mut problems, tries).await,
            _ => {
                problems.push(format!("{tries}: {refusal:?}"));
                "success".to_owned()
            }
        };
        report.add(Made {
            tries: format!("a recipe leaves {tries}"),
            user: "recipe",
            refusal: outcome,
            control: "the same recipe without it is built",
        });
    }
    let rights = fs::metadata(ground.place.path("secret")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&rights) & 0o777, 0o666);
    let aftermath = ground.leave().await;
    report.close(&aftermath);
    assert!(problems.is_empty(), "recipes:\n  {}", problems.join("\n  "));
}

/// A sandbox of the hostile template: made behind the usual walls, or refused. Nothing of the
/// host's secret is in what is told about the template.
async fn live(ground: &Ground, problems: &mut Vec<String>, tries: &str) -> String {
    let record = ground.place.path("data/templates/hostile/template.json");
    if fs::read_to_string(record)
        .unwrap()
        .contains("secret of the host")
    {
        problems.push(format!("{tries}: the record tells a secret"));
    }
    let mut wanted = crate::support::spec(&ground.node);
    wanted.template = "hostile".parse().unwrap();
    match ground.node.create(wanted).await {
        Ok(sandbox) => {
            let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", sandbox.pid())).unwrap();
            let places: Vec<&str> = mounts
                .lines()
                .filter_map(|line| line.split(' ').nth(4))
                .collect();
            for place in ["/proc", "/proc/sys", "/proc/cmdline", "/dev", "/sys"] {
                if !places.contains(&place) {
                    problems.push(format!("{tries}: nothing is mounted on {place}"));
                }
            }
            sandbox.destroy().await;
            "built, and its sandbox has every mask".to_owned()
        }
        Err(error) => format!("built, and no sandbox is made: {error}"),
    }
}
