use super::*;

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["new", "low/etc", "low/usr/lib", "low/data/deep"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let low = directory.path().join("low");
        symlink("usr/lib", low.join("lib")).unwrap();
        symlink("/nowhere", low.join("dangling")).unwrap();
        fs::write(low.join("data/file"), "low").unwrap();
        fs::write(
            low.join("etc/passwd"),
            "root:x:0:0::/:\nme:x:1001:1002::/:\n",
        )
        .unwrap();
        fs::write(low.join("etc/group"), "root:x:0:\nstaff:x:50:\n").unwrap();
        fs::set_permissions(low.join("data"), fs::Permissions::from_mode(0o1777)).unwrap();
        Self { directory }
    }

    fn low(&self) -> Layers {
        Layers {
            rootfs: self.directory.path().join("low"),
            ..Layers::default()
        }
    }

    fn tree(&self) -> PathBuf {
        self.directory.path().join("new")
    }

    fn copy(&self, tar: &[u8], to: &str) -> Result<u64, CopyError> {
        let tree = self.tree();
        let metadata = fs::metadata(&tree).unwrap();
        let me = Belongs {
            uid: metadata.uid(),
            gid: metadata.gid(),
        };
        let mut target = Target::new(&tree, &self.low(), me, None, 1000);
        target.untar(tar, Path::new(to), None)
    }
}

/// A tar of entries: path, kind, link or content. The paths are written as they are.
fn tar_of(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        let content = match kind {
            EntryType::Regular => text.as_bytes(),
            _ => {
                let link = &mut header.as_old_mut().linkname;
                link[..text.len()].copy_from_slice(text.as_bytes());
                &[]
            }
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn files_go_where_the_sandbox_would_find_the_path() {
    let ground = Ground::new();
    let tar = tar_of(&[
        ("a", EntryType::Directory, ""),
        ("a/file", EntryType::Regular, "text"),
        ("a/link", EntryType::Symlink, "/etc/shadow"),
        ("a/twin", EntryType::Link, "a/file"),
    ]);
    assert_eq!(ground.copy(&tar, "/lib/x").unwrap(), 4);
    let place = ground.tree().join("usr/lib/x/a");
    assert_eq!(fs::read_to_string(place.join("twin")).unwrap(), "text");
    assert_eq!(
        fs::read_link(place.join("link")).unwrap(),
        Path::new("/etc/shadow")
    );
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(place.join("file")), mode(place)), (0o640, 0o640));
    assert!(fs::symlink_metadata(ground.tree().join("lib")).is_err());
    // A directory of the layers below is in the new one as it is there.
    ground
        .copy(&tar_of(&[("file", EntryType::Regular, "new")]), "/data")
        .unwrap();
    assert_eq!(mode(ground.tree().join("data")), 0o1777);
    assert_eq!(
        fs::read_to_string(ground.tree().join("data/file")).unwrap(),
        "new"
    );
}

#[test]
fn nothing_is_written_outside() {
    let ground = Ground::new();
    let outside = ground.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let out = outside.to_str().unwrap();
    let deep = "d/".repeat(MAX_DEPTH + 1);
    let file = EntryType::Regular;
    let refused: [&[(&str, EntryType, &str)]; 8] = [
        &[("../x", file, "")],
        &[("/x", file, "")],
        &[("a/../../x", file, "")],
        &[("null", EntryType::Char, "")],
        &[("twin", EntryType::Link, "../../outside")],
        &[("twin", EntryType::Link, "data/file")],
        &[("big", file, &"x".repeat(1001))],
        &[(&deep[..90], EntryType::Directory, ""), ("d", file, "")],
    ];
    for entries in refused {
        assert!(ground.copy(&tar_of(entries), "/").is_err(), "{entries:?}");
    }
    // Links that the stream itself brought lead where a sandbox's would.
    let tar = tar_of(&[
        ("way", EntryType::Symlink, out),
        ("way/x", file, "text"),
        ("up", EntryType::Symlink, "../../../.."),
        ("up/y", file, "text"),
    ]);
    let copied = ground.copy(&tar, "/here");
    assert!(
        matches!(copied, Err(CopyError::Refused { .. })),
        "{copied:?}"
    );
    let tar = tar_of(&[
        ("up", EntryType::Symlink, "../../.."),
        ("up/y", file, "text"),
    ]);
    ground.copy(&tar, "/there").unwrap();
    assert!(ground.tree().join("y").exists());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(
        ground
            .copy(b"no tar file at all, but long enough", "/")
            .is_err()
    );
}

#[test]
fn what_is_in_the_way_is_said() {
    let ground = Ground::new();
    let file = tar_of(&[("data", EntryType::Regular, "")]);
    assert!(matches!(
        ground.copy(&file, "/"),
        Err(CopyError::InTheWay { .. })
    ));
    let below = tar_of(&[("x", EntryType::Regular, "")]);
    assert!(matches!(
        ground.copy(&below, "/data/file"),
        Err(CopyError::InTheWay { .. })
    ));
}

#[test]
fn owners_are_names_or_numbers() {
    let low = Ground::new().low();
    let _ = low;
    let ground = Ground::new();
    let of = |text: &str| {
        let belongs = Belongs::parse(text, &ground.low()).ok();
        belongs.map(|belongs| (belongs.uid, belongs.gid))
    };
    assert_eq!(of("me"), Some((1001, 1002)));
    assert_eq!(of("me:staff"), Some((1001, 50)));
    assert_eq!(of("1001"), Some((1001, 1002)));
    assert_eq!(of("7:8"), Some((7, 8)));
    assert_eq!(of("7"), Some((7, 7)));
    for unknown in ["you", "me:you", "", "-1"] {
        assert_eq!(of(unknown), None, "{unknown}");
    }
}
