//! Trees that resist, and their removal.
#![allow(clippy::unwrap_used)] // clippy knows only the test functions, not their helpers

use proptest::prelude::*;
use rustix::fs::{IFlags, Mode, OFlags};
use soulbox_image::remove::{MAX_LEVELS, RemoveError, remove_tree};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// A directory with a bystander beside the tree that must be left alone.
fn ground() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let ground = tempfile::tempdir().unwrap();
    let bystander = ground.path().join("bystander");
    fs::create_dir_all(bystander.join("kept")).unwrap();
    fs::write(bystander.join("kept/file"), "kept").unwrap();
    let tree = ground.path().join("tree");
    fs::create_dir(&tree).unwrap();
    (ground, bystander, tree)
}

/// Makes a chain of `levels` directories and returns nothing open.
fn chain(tree: &Path, levels: u32) {
    let mut at = open(tree);
    for _ in 0..levels {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(
            &at,
            "d",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .unwrap();
    }
}

#[test]
fn counts_what_it_removed_and_follows_no_link() {
    let (_ground, bystander, tree) = ground();
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/file"), "x").unwrap();
    symlink(&bystander, tree.join("a/link")).unwrap();
    symlink("..", tree.join("a/up")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    let removed = remove_tree(&tree).unwrap();
    assert_eq!((removed.directories, removed.files), (3, 4));
    assert!(!tree.exists());
    assert_eq!(
        fs::read_to_string(bystander.join("kept/file")).unwrap(),
        "kept"
    );
}

#[test]
fn a_link_in_place_of_the_tree_is_removed_and_not_followed() {
    let (_ground, bystander, tree) = ground();
    fs::remove_dir(&tree).unwrap();
    symlink(&bystander, &tree).unwrap();
    assert_eq!(remove_tree(&tree).unwrap().files, 1);
    assert!(bystander.join("kept/file").exists());
}

#[test]
fn nothing_there_is_no_error() {
    let (ground, _, _) = ground();
    assert_eq!(
        remove_tree(&ground.path().join("no/such")).unwrap(),
        Default::default()
    );
    assert!(matches!(
        remove_tree(Path::new("/")),
        Err(RemoveError::Name(_))
    ));
    assert!(matches!(
        remove_tree(&ground.path().join("..")),
        Err(RemoveError::Name(_))
    ));
}

#[test]
fn a_hundred_thousand_levels_need_few_descriptors() {
    // In memory, where making them takes a tenth of the time.
    let ground = tempfile::tempdir_in("/dev/shm").unwrap();
    let tree = ground.path().join("tree");
    fs::create_dir(&tree).unwrap();
    chain(&tree, 100_000);
    assert_eq!(remove_tree(&tree).unwrap().directories, 100_001);
    assert!(!tree.exists());
}

#[test]
fn names_that_the_removal_itself_uses_are_no_obstacle() {
    let (_ground, _, tree) = ground();
    for n in 0..4 {
        fs::create_dir_all(tree.join(format!(".lifted-{n}/full"))).unwrap();
    }
    fs::write(tree.join(".lifted-4"), "").unwrap();
    let deep: PathBuf = std::iter::repeat_n("d", MAX_LEVELS * 3).collect();
    fs::create_dir_all(tree.join(deep)).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn directories_without_any_right_are_removed() {
    let (_ground, _, tree) = ground();
    fs::create_dir_all(tree.join("shut/inner")).unwrap();
    fs::write(tree.join("shut/inner/file"), "x").unwrap();
    for path in ["shut/inner", "shut"] {
        fs::set_permissions(tree.join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn immutable_files_and_directories_are_removed() {
    let (_ground, _, tree) = ground();
    fs::create_dir(tree.join("fixed")).unwrap();
    fs::write(tree.join("fixed/file"), "x").unwrap();
    for path in ["fixed/file", "fixed"] {
        let fd = open(&tree.join(path));
        // Only root can, and not on every file system.
        if rustix::fs::ioctl_setflags(&fd, IFlags::IMMUTABLE).is_err() {
            eprintln!("files cannot be made immutable here");
            return;
        }
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn what_is_mounted_in_the_tree_is_left_alone() {
    struct Mounted(PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
        }
    }
    let (_ground, bystander, tree) = ground();
    let target = tree.join("a/mounted");
    fs::create_dir_all(&target).unwrap();
    if rustix::mount::mount_bind(&bystander, &target).is_err() {
        eprintln!("nothing can be mounted here");
        return;
    }
    let mounted = Mounted(target.clone());
    let refused = remove_tree(&tree).unwrap_err();
    assert!(
        matches!(&refused, RemoveError::Mount(path) if *path == Path::new("tree/a/mounted")),
        "{refused}"
    );
    assert!(bystander.join("kept/file").exists());
    drop(mounted);
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn a_tree_that_grows_meanwhile_is_removed_or_reported() {
    let (_ground, _, tree) = ground();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(tree.join(format!("f{n}")), "").ok();
                n += 1;
            }
        });
        let outcome = remove_tree(&tree);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(
            matches!(outcome, Ok(_) | Err(RemoveError::Busy(_))),
            "{outcome:?}"
        );
    });
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[derive(Debug, Clone)]
enum Node {
    File,
    Fifo,
    Link(String),
    Directory(u32, Vec<Node>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::File),
        Just(Node::Fifo),
        prop_oneof![Just("../.."), Just("/"), Just("."), Just("../../bystander")]
            .prop_map(|to| Node::Link(to.to_owned())),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        (0_u32..0o1000, prop::collection::vec(inner, 0..8))
            .prop_map(|(mode, entries)| Node::Directory(mode, entries))
    })
}

/// Makes the tree and counts its directories and other entries.
fn make(at: &Path, node: &Node, count: &mut (u64, u64)) {
    match node {
        Node::File => fs::write(at, "x").unwrap(),
        Node::Fifo => rustix::fs::mkfifoat(rustix::fs::CWD, at, Mode::RUSR).unwrap(),
        Node::Link(to) => symlink(to, at).unwrap(),
        Node::Directory(mode, entries) => {
            fs::create_dir(at).unwrap();
            for (n, entry) in entries.iter().enumerate() {
                make(&at.join(format!("e{n}")), entry, count);
            }
            fs::set_permissions(at, fs::Permissions::from_mode(*mode)).unwrap();
            count.0 += 1;
            return;
        }
    }
    count.1 += 1;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_goes_and_nothing_beside_it(tree in node(), levels in 0_usize..MAX_LEVELS * 3) {
        let ground = tempfile::tempdir().unwrap();
        fs::create_dir(ground.path().join("bystander")).unwrap();
        fs::write(ground.path().join("bystander/file"), "kept").unwrap();
        let root = ground.path().join("root");
        let deep: PathBuf = std::iter::repeat_n("d", levels).collect();
        fs::create_dir_all(root.join(&deep)).unwrap();
        let mut count = (levels as u64 + 1, 0);
        make(&root.join(&deep).join("tree"), &tree, &mut count);
        let removed = remove_tree(&root).unwrap();
        prop_assert_eq!((removed.directories, removed.files), count);
        prop_assert!(!root.exists());
        prop_assert_eq!(fs::read(ground.path().join("bystander/file")).unwrap(), b"kept");
    }
}
