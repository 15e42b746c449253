//! Template `host`, made from directories that play the host.
#![allow(clippy::unwrap_used)] // clippy knows only the test functions, not their helpers

use soulbox_image::host::{self, HostError, HostRoot, Prepared};
use soulbox_image::record::TemplateRecord;
use soulbox_image::tree::Owners;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    /// A small Debian with a tool chain, users, secrets and links to everywhere.
    fn new() -> Self {
        let ground = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        // What is made belongs to whoever runs the tests.
        fs::set_permissions(ground.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (path, target) in [
            ("bin", "usr/bin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib64"),
            ("sbin", "/usr/sbin"),
            ("etc/os-release", "../usr/lib/os-release"),
            ("etc/alternatives/cc", "/usr/bin/gcc"),
            ("etc/alternatives/browser", "/opt/browser/start"),
            ("etc/ssl/certs/a.pem", "/usr/share/ca-certificates/a.crt"),
            ("etc/ssl/certs/0a.0", "a.pem"),
            ("etc/ssl/certs/ours.pem", "/srv/ca/ours.pem"),
            ("etc/ssl/certs/hidden.pem", "/etc/ssl/private/hidden.pem"),
            ("etc/ssl/certs/key.pem", "/srv/ca/key.pem"),
            ("etc/fonts/conf.d/x", "../conf.avail/x"),
            ("usr/bin/cc", "/etc/alternatives/cc"),
        ] {
            ground.link(path, target);
        }
        for (path, text) in [
            ("usr/bin/gcc", "gcc"),
            ("usr/bin/python3", "python"),
            (
                "usr/lib/os-release",
                "ID=debian\nVERSION_CODENAME=bookworm\n",
            ),
            ("usr/lib64/ld", ""),
            ("usr/sbin/x", ""),
            (
                "usr/share/base-passwd/passwd.master",
                "bin:*:2:2:bin:/bin:/x\n",
            ),
            ("usr/share/ca-certificates/a.crt", "certificate"),
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/bash\nann:x:1001:1001::/home/ann:/bin/sh\n",
            ),
            ("etc/group", "shadow:x:42:ann\n"),
            ("etc/shadow", "root:SECRET:1:::::\n"),
            ("etc/ssh/ssh_host_key", "SECRET"),
            ("etc/machine-id", "0123456789abcdef0123456789abcdef"),
            ("etc/gitconfig", "SECRET"),
            ("etc/ld.so.cache", "cache"),
            ("etc/ld.so.conf.d/x.conf", "/usr/lib/x"),
            ("etc/java-17-openjdk/security/java.security", "java"),
            (
                "etc/java-17-openjdk/management/jmxremote.password",
                "SECRET",
            ),
            ("etc/fonts/conf.avail/x", "font"),
            ("etc/ssl/private/hidden.pem", "SECRET"),
            ("srv/ca/ours.pem", "our certificate"),
            ("srv/ca/key.pem", "-----BEGIN PRIVATE KEY-----\nSECRET\n"),
            ("opt/browser/start", "program"),
        ] {
            ground.file(path, text);
        }
        for (path, mode) in [
            ("etc/ssl/private", 0o710),
            ("etc/java-17-openjdk/management/jmxremote.password", 0o600),
            ("usr/bin/gcc", 0o755),
            ("usr/bin/python3", 0o755),
            ("opt/browser/start", 0o755),
        ] {
            fs::set_permissions(ground.host().join(path), fs::Permissions::from_mode(mode))
                .unwrap();
        }
        ground
    }

    fn host(&self) -> PathBuf {
        self.directory.path().join("host")
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("data/templates/host")
    }

    fn tree(&self, path: &str) -> PathBuf {
        self.target().join("rootfs").join(path)
    }

    fn root(&self) -> HostRoot {
        let me = fs::metadata(self.directory.path()).unwrap();
        let ids = (me.uid(), me.gid());
        let owners = Owners {
            root: ids,
            user: ids,
        };
        HostRoot::at(&self.host(), owners).unwrap()
    }

    fn prepare(&self) -> Prepared {
        host::prepare(&self.target(), &self.root()).unwrap()
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.host().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.host().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }
}

/// Every entry of a tree, with the content of files and the targets of links.
fn everything(at: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            everything(&path, found);
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            found.push((path, target.display().to_string()));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

#[test]
fn tool_chains_find_what_they_need() {
    let ground = Ground::new();
    assert_eq!(ground.prepare(), Prepared::Made);
    let link = |path| fs::read_link(ground.tree(path)).unwrap();
    let text = |path| fs::read_to_string(ground.tree(path)).unwrap();
    for (path, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib64", "usr/lib64"),
        ("etc/alternatives/cc", "/usr/bin/gcc"),
        ("etc/os-release", "../usr/lib/os-release"),
        ("etc/ssl/certs/0a.0", "a.pem"),
        ("etc/fonts/conf.d/x", "../conf.avail/x"),
    ] {
        assert_eq!(link(path), Path::new(target), "{path}");
    }
    for (path, content) in [
        ("etc/ld.so.cache", "cache"),
        ("etc/ssl/certs/ours.pem", "our certificate"),
        ("etc/java-17-openjdk/security/java.security", "java"),
        ("etc/resolv.conf", "nameserver 127.0.0.53\n"),
        ("etc/hostname", "sandbox\n"),
        ("etc/machine-id", ""),
    ] {
        assert_eq!(text(path), content, "{path}");
    }
    assert!(text("etc/passwd").contains("user:x:1000:1000::/home/user:/bin/bash\n"));
    assert!(text("etc/passwd").contains("bin:x:2:2::/bin:/usr/sbin/nologin\n"));
    for (path, mode) in [("tmp", 0o1777), ("home/user", 0o755), ("etc/shadow", 0o640)] {
        let found = fs::metadata(ground.tree(path)).unwrap().mode() & 0o7777;
        assert_eq!(found, mode, "{path}");
    }
    let record = TemplateRecord::read(&ground.target()).unwrap();
    assert_eq!(record.distribution.codename, "bookworm");
    assert!(record.programs.contains("python3") && record.programs.contains("gcc"));
}

#[test]
fn no_secret_of_the_host_comes_along() {
    let ground = Ground::new();
    ground.prepare();
    let mut found = Vec::new();
    everything(&ground.target(), &mut found);
    for (path, content) in &found {
        assert!(!content.contains("SECRET"), "{path:?}");
        assert!(!content.contains("0123456789abcdef"), "{path:?}");
        assert!(!content.contains("ann"), "{path:?}: {content}");
    }
    for path in [
        "etc/alternatives/browser",
        "etc/ssl/certs/hidden.pem",
        "etc/ssl/private",
    ] {
        assert!(fs::symlink_metadata(ground.tree(path)).is_err(), "{path}");
    }
    let store = fs::metadata(ground.target().parent().unwrap()).unwrap();
    assert_eq!(store.mode() & 0o777, 0o700);
}

#[test]
fn it_is_made_anew_only_when_the_host_changed() {
    let ground = Ground::new();
    assert_eq!(ground.prepare(), Prepared::Made);
    assert_eq!(ground.prepare(), Prepared::Kept);
    ground.file("etc/unrelated", "x");
    ground.file("usr/bin/new", "x");
    assert_eq!(ground.prepare(), Prepared::Kept);
    let changes: [&dyn Fn(); 6] = [
        &|| ground.link("etc/alternatives/java", "/usr/bin/java"),
        &|| ground.file("etc/ld.so.cache", "another cache"),
        &|| ground.file("etc/java-21-openjdk/x", "x"),
        &|| ground.file("etc/java-17-openjdk/security/java.security", "edited"),
        &|| ground.file("etc/group", "shadow:x:43:\n"),
        &|| ground.file("usr/bin/sudo", ""),
    ];
    for (n, change) in changes.iter().enumerate() {
        change();
        assert_eq!(ground.prepare(), Prepared::Made, "change {n}");
        assert_eq!(ground.prepare(), Prepared::Kept, "change {n}");
    }
    let sudoers = fs::metadata(ground.tree("etc/sudoers.d/user")).unwrap();
    assert_eq!(sudoers.mode() & 0o777, 0o440);
}

#[test]
fn a_damaged_one_is_made_anew() {
    let ground = Ground::new();
    ground.prepare();
    fs::write(ground.target().join("stamp"), "soulbox 0\n").unwrap();
    assert_eq!(ground.prepare(), Prepared::Made);
}

#[test]
fn a_host_with_its_programs_outside_of_usr_is_refused_with_a_way_out() {
    let ground = Ground::new();
    fs::remove_file(ground.host().join("bin")).unwrap();
    ground.file("bin/sh", "");
    let refused = host::prepare(&ground.target(), &ground.root()).unwrap_err();
    assert!(matches!(&refused, HostError::NotMerged(_)), "{refused:?}");
    assert!(refused.to_string().contains("usrmerge"), "{refused}");
    let left: Vec<_> = fs::read_dir(ground.target().parent().unwrap())
        .unwrap()
        .collect();
    assert!(
        left.iter()
            .all(|entry| entry.as_ref().unwrap().path().is_file()),
        "{left:?}"
    );
}

#[test]
fn a_directory_too_large_to_be_settings_is_refused() {
    let ground = Ground::new();
    let large = "x".repeat(15 << 20);
    for n in 0..5 {
        ground.file(&format!("etc/fonts/large{n}"), &large);
    }
    let refused = host::prepare(&ground.target(), &ground.root()).unwrap_err();
    assert!(matches!(refused, HostError::Files(_)), "{refused:?}");
}

#[test]
fn many_at_once_make_it_once() {
    let ground = Ground::new();
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| usize::from(ground.prepare() == Prepared::Made)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(made, 1);
    assert!(ground.tree("etc/passwd").exists());
}
