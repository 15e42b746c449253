use super::*;
use crate::oci::unpack::{UnpackLimits, unpack};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

fn tar_of(tree: &Path, kind: TreeOf) -> Vec<u8> {
    let mut tar = Vec::new();
    pack(tree, kind, &mut tar).unwrap();
    tar
}

/// Everything about each entry of a tree.
fn facts(tree: &Path) -> Vec<String> {
    let mut facts = Vec::new();
    let mut todo = vec![tree.to_owned()];
    while let Some(path) = todo.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let name = path.strip_prefix(tree).unwrap().display();
        let (size, links) = match about.is_dir() {
            true => (0, 0),
            false => (about.len(), about.nlink()),
        };
        let whole = about.is_file().then(|| fs::read(&path).unwrap());
        let mut list = vec![0; 4096];
        let length = rustix::fs::llistxattr(&path, &mut list).unwrap_or_default();
        let list = String::from_utf8_lossy(&list[..length]).into_owned();
        facts.push(format!(
            "{name} {:o} {} {} {size} {links} {}.{} {:?} {} {list} {whole:?}",
            about.mode(),
            about.uid(),
            about.gid(),
            about.mtime(),
            about.mtime_nsec(),
            fs::read_link(&path).ok(),
            about.rdev(),
        ));
    }
    facts.sort();
    facts
}

/// A tree with one of everything.
fn make(tree: &Path) {
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    let long = tree.join("l".repeat(120)).join("m".repeat(130));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("file"), vec![7; 1000]).unwrap();
    fs::hard_link(long.join("file"), tree.join("twin")).unwrap();
    symlink("x".repeat(150), tree.join("link")).unwrap();
    fs::create_dir(tree.join("opaque")).unwrap();
    set(&tree.join("opaque"), OPAQUE[0], b"y");
    fs::write(tree.join("opaque/tool"), "tool").unwrap();
    set(&tree.join("opaque/tool"), "user.note", b"a\nb=c\0");
    lchown(tree.join("opaque/tool"), Some(1000), Some(50)).unwrap();
    fs::set_permissions(tree.join("opaque/tool"), fs::Permissions::from_mode(0o6755)).unwrap();
    let capability = [1, 0, 0, 2, 10, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set(&long.join("file"), "security.capability", &capability);
    for (name, kind) in [
        ("gone", FileType::CharacterDevice),
        ("pipe", FileType::Fifo),
    ] {
        let path = tree.join("opaque").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::empty(), 0).unwrap();
    }
    let old = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
    let tool = File::open(tree.join("opaque/tool")).unwrap();
    tool.set_modified(old).unwrap();
}

#[test]
fn what_is_packed_and_unpacked_is_the_same_tree() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ground = tempfile::tempdir().unwrap();
    let (tree, again) = (ground.path().join("tree"), ground.path().join("again"));
    fs::create_dir(&tree).unwrap();
    fs::create_dir(&again).unwrap();
    make(&tree);
    let tar = tar_of(&tree, TreeOf::Layer);
    unpack(&tar[..], &again, &UnpackLimits::default()).unwrap();
    // The mark of a removed file has neither owner nor time.
    let of = |tree: &Path| -> Vec<String> {
        let gone = |line: &String| !line.starts_with("opaque/gone");
        facts(tree).into_iter().filter(gone).collect()
    };
    assert_eq!(of(&tree), of(&again));
    let gone = fs::symlink_metadata(again.join("opaque/gone")).unwrap();
    assert!(crate::layers::is_whiteout(&gone));
    assert_eq!(tar, tar_of(&again, TreeOf::Layer));
}

#[test]
fn the_library_reads_what_is_written() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ground = tempfile::tempdir().unwrap();
    make(ground.path());
    let tar = tar_of(ground.path(), TreeOf::Layer);
    let mut archive = tar::Archive::new(&tar[..]);
    let paths = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        entry.path().unwrap().display().to_string()
    });
    let paths: Vec<_> = paths.collect();
    for path in [
        "./",
        "opaque/.wh.gone",
        "opaque/.wh..wh..opq",
        "opaque/tool",
    ] {
        assert!(paths.iter().any(|have| have == path), "{path} {paths:?}");
    }
}

#[test]
fn files_of_somebody_become_roots_and_no_marks() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ground = tempfile::tempdir().unwrap();
    fs::write(ground.path().join("file"), "x").unwrap();
    lchown(ground.path().join("file"), Some(1234), Some(1234)).unwrap();
    let device = ground.path().join("device");
    let kind = FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &device, kind, Mode::empty(), 0).unwrap();
    let owner = |kind| {
        let tar = tar_of(ground.path(), kind);
        let mut archive = tar::Archive::new(&tar[..]);
        let mut entries = archive.entries().unwrap();
        let file = entries.nth(1).unwrap().unwrap();
        assert_eq!(file.path().unwrap(), Path::new("file"));
        assert_eq!(entries.count(), 0);
        file.header().uid().unwrap()
    };
    assert_eq!((owner(TreeOf::Roots), owner(TreeOf::Owners)), (0, 1234));
    fs::write(ground.path().join(".wh.file"), "x").unwrap();
    let refused = pack(ground.path(), TreeOf::Roots, &mut Vec::new());
    assert!(matches!(refused, Err(PackError::Mark(_))));
}

#[test]
fn a_bottomless_tree_is_refused() {
    let ground = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("d", MAX_DEPTH + 1).collect();
    fs::create_dir_all(ground.path().join(deep)).unwrap();
    let refused = pack(ground.path(), TreeOf::Layer, &mut io::sink());
    assert!(matches!(refused, Err(PackError::Depth(_))));
}
