use super::dress::CAPABILITY;
use super::*;
use crate::layers::OPAQUE;
use crate::layers::{is_opaque, is_whiteout};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::PathBuf;
use tar::{Builder, EntryType, Header};

/// A tar file that is being written, member by member, without any check of what is in it.
struct Tar(Vec<u8>);

impl Tar {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn raw(mut self, kind: EntryType, path: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(content.len() as u64);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path);
        old.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.push(&header, content);
        self
    }

    fn push(&mut self, header: &Header, content: &[u8]) {
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.raw(EntryType::Regular, path.as_bytes(), b"", content.as_bytes())
    }

    fn directory(self, path: &str) -> Self {
        self.raw(EntryType::Directory, path.as_bytes(), b"", b"")
    }

    fn symlink(self, path: &str, to: &str) -> Self {
        self.raw(EntryType::Symlink, path.as_bytes(), to.as_bytes(), b"")
    }

    fn twin(self, path: &str, of: &str) -> Self {
        self.raw(EntryType::Link, path.as_bytes(), of.as_bytes(), b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.raw(EntryType::XHeader, b"pax", b"", &content)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A tree with a file beside it that nothing may touch.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = tempfile::tempdir().unwrap();
        fs::create_dir(ground.path().join("tree")).unwrap();
        fs::create_dir(ground.path().join("outside")).unwrap();
        fs::write(ground.path().join("outside/secret"), "secret").unwrap();
        Self(ground)
    }

    fn unpack(&self, tar: Tar) -> Result<Unpacked, UnpackError> {
        self.limited(&tar.end(), &UnpackLimits::default())
    }

    fn limited(&self, tar: &[u8], limits: &UnpackLimits) -> Result<Unpacked, UnpackError> {
        let done = unpack(tar, &self.path(""), limits);
        let outside = self.0.path().join("outside");
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!((names(self.0.path()), names(&outside)), (2, 1));
        let secret = fs::metadata(outside.join("secret")).unwrap();
        assert_eq!((secret.nlink(), secret.len()), (1, 6));
        done
    }

    fn path(&self, path: &str) -> PathBuf {
        match path {
            "" => self.0.path().join("tree"),
            path => self.0.path().join("tree").join(path),
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn about(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(path)).unwrap()
    }
}

fn problem(tar: Tar) -> Problem {
    match Ground::new().unpack(tar) {
        Err(UnpackError::Path { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_keep_content_owner_mode_time_and_attributes() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ground = Ground::new();
    let mut tar = Tar::new().directory("./").directory("./bin/").pax(&[
        ("mtime", b"1234.5"),
        ("SCHILY.xattr.user.note", b"a\nb"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        (
            "SCHILY.xattr.security.capability",
            b"\x01\0\0\x02\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
    ]);
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_path("bin/tool").unwrap();
    header.set_mode(0o104_755);
    header.set_uid(1000);
    header.set_gid(70_000);
    header.set_mtime(99);
    header.set_size(4);
    header.set_cksum();
    tar.push(&header, b"tool");
    let tar = tar
        .twin("bin/twin", "./bin/tool")
        .symlink("sbin", "/bin/../bin");
    let done = ground.unpack(tar).unwrap();
    assert_eq!((done.entries, done.bytes, done.foreign), (5, 4, 1));
    let tool = ground.about("bin/tool");
    assert_eq!(
        (tool.uid(), tool.gid(), tool.mode() & 0o7777),
        (1000, NOBODY, 0o4755)
    );
    assert_eq!(
        (tool.mtime(), tool.mtime_nsec(), tool.nlink()),
        (1234, 500_000_000, 2)
    );
    assert_eq!(ground.about("bin").mtime(), 1_000_000);
    assert_eq!(ground.about("").mtime(), 1_000_000);
    assert_eq!(
        fs::read_link(ground.path("sbin")).unwrap(),
        Path::new("/bin/../bin")
    );
    let mut value = [0; 64];
    let mut get = |name: &str| {
        let length = rustix::fs::lgetxattr(ground.path("bin/tool"), name, &mut value);
        length.map(|length| value[..length].to_vec())
    };
    assert_eq!(get("user.note").unwrap(), b"a\nb");
    assert_eq!(get(CAPABILITY).unwrap()[5], 0x0a);
    for name in OPAQUE {
        assert_eq!(get(name), Err(Errno::NODATA), "{name}");
    }
}

#[test]
fn long_names_of_both_kinds_are_whole() {
    let ground = Ground::new();
    let long = |letter: &str| format!("{}/{}", letter.repeat(200), letter.repeat(120));
    let (one, two) = (long("a"), long("b"));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    builder.append_data(&mut header, &one, &b"1"[..]).unwrap();
    let tar = Tar(builder.into_inner().unwrap()[..].to_vec());
    let cut = tar.0.len() - 1024;
    let tar = Tar(tar.0[..cut].to_vec())
        .pax(&[("path", two.as_bytes())])
        .file("short", "2");
    let tar = tar
        .pax(&[("linkpath", two.as_bytes())])
        .twin("twin", "short");
    ground.unpack(tar).unwrap();
    assert_eq!(
        (ground.read(&one), ground.read(&two)),
        ("1".into(), "2".into())
    );
    assert_eq!(ground.read("twin"), "2");
}

#[test]
fn what_a_layer_removes_is_said_as_overlayfs_does() {
    let ground = Ground::new();
    let tar = Tar::new()
        .file("etc/.wh.gone", "")
        .file("etc/new", "x")
        .file("opt/.wh..wh..opq", "")
        .file("opt/kept", "x")
        // In both orders, a directory of this layer stays and hides what is below.
        .file("one/file", "x")
        .file(".wh.one", "")
        .file(".wh.two", "")
        .file("two/file", "x")
        .file(".wh.three", "")
        .directory("three/")
        .file("was/file", "")
        .file("was/.wh.file", "")
        .file(".wh..wh.plnk/1.2", "")
        .file(".wh..wh.aufs", "");
    ground.unpack(tar).unwrap();
    assert!(is_whiteout(&ground.about("etc/gone")));
    for path in ["opt", "one", "two", "three"] {
        assert!(is_opaque(&ground.path(path)), "{path}");
    }
    for path in ["etc/new", "opt/kept", "one/file", "two/file"] {
        assert_eq!(ground.read(path), "x");
    }
    assert!(ground.about("was/file").is_file() && !is_opaque(&ground.path("was")));
    assert_eq!(fs::read_dir(ground.path("")).unwrap().count(), 6);
}

#[test]
fn marks_where_none_can_be_are_refused() {
    for (path, expected) in [
        (".wh.", Problem::Mark),
        (".wh..", Problem::Mark),
        ("a/.wh...", Problem::Mark),
        (".wh.dir/file", Problem::Mark),
        (".wh..wh..opq", Problem::AllGone),
    ] {
        assert_eq!(problem(Tar::new().file(path, "")), expected, "{path}");
    }
    // A twin of a mark would be another mark.
    let twin = Tar::new().file(".wh.a", "").twin("b", "a");
    assert_eq!(problem(twin), Problem::Twin);
}

#[test]
fn no_path_leads_out() {
    for path in ["../x", "a/../../x", "a/..", "/../x", ".."] {
        assert_eq!(problem(Tar::new().file(path, "")), Problem::Up, "{path}");
        let twin = Tar::new().file("a", "").twin("b", path);
        assert_eq!(problem(twin), Problem::Up, "{path}");
    }
    let zero = Tar::new().pax(&[("path", b"a\0b")]).file("x", "");
    assert_eq!(problem(zero), Problem::Zero);
    let ground = Ground::new();
    ground.unpack(Tar::new().file("/etc//./x", "x")).unwrap();
    assert_eq!(ground.read("etc/x"), "x");
}

#[test]
fn links_lead_to_the_tree_or_nowhere() {
    let ground = Ground::new();
    let outside = ground.0.path().join("outside");
    let outside = outside.to_str().unwrap();
    // Within the tree this leads to the tree's own etc.
    let tar = Tar::new()
        .directory("etc")
        .symlink("up", "../../../../etc")
        .file("up/x", "x");
    ground.unpack(tar).unwrap();
    assert_eq!(ground.read("etc/x"), "x");
    for to in [outside, "../outside", "self", "/proc/self/cwd"] {
        let ground = Ground::new();
        let tar = Tar::new().symlink("self", to).file("self/secret", "x");
        let refused = ground.unpack(tar).unwrap_err();
        assert!(
            matches!(
                refused,
                UnpackError::Path {
                    problem: Problem::LinkInTheWay,
                    ..
                }
            ),
            "{to}: {refused}"
        );
        let twin = Tar::new().symlink("self", to).twin("x", "self/secret");
        assert!(ground.unpack(twin).is_err());
    }
}

#[test]
fn nothing_is_written_through_what_was_there() {
    let ground = Ground::new();
    symlink("../outside/secret", ground.path("there")).unwrap();
    let tar = Tar::new()
        .file("there", "new")
        .symlink("a", "../outside/secret")
        .file("a", "new")
        .file("one", "first")
        .twin("two", "one")
        .file("one", "last")
        .twin("one", "one")
        .file("dir/deep/file", "x")
        .file("dir", "file now")
        .file("was", "x")
        .file("d/x", "x")
        .symlink("d", "elsewhere")
        .directory("d")
        .file("d/y", "y");
    ground.unpack(tar).unwrap();
    assert_eq!(ground.read("there") + &ground.read("a"), "newnew");
    assert_eq!(
        (ground.read("one"), ground.read("two")),
        ("last".into(), "first".into())
    );
    assert_eq!(
        (ground.read("dir"), ground.read("d/y")),
        ("file now".into(), "y".into())
    );
    assert!(!ground.path("d/x").exists());
    let in_the_way = Tar::new().file("a", "").file("a/b", "");
    assert_eq!(problem(in_the_way), Problem::FileInTheWay);
    assert_eq!(
        problem(Tar::new().file("./", "x").symlink(".", "x")),
        Problem::Root
    );
}

#[test]
fn devices_are_left_out_and_pipes_are_not() {
    let ground = Ground::new();
    let tar = Tar::new()
        .raw(EntryType::Char, b"dev/null", b"", b"")
        .raw(EntryType::Block, b"dev/sda", b"", b"")
        .raw(EntryType::Fifo, b"pipe", b"", b"");
    assert_eq!(ground.unpack(tar).unwrap().devices, 2);
    assert!(ground.about("pipe").file_type().is_fifo());
    assert!(!ground.path("dev").exists());
    let twin = Tar::new().directory("a").twin("b", "a");
    assert_eq!(problem(twin), Problem::Twin);
    assert_eq!(problem(Tar::new().twin("b", "missing")), Problem::Twin);
    let odd = Tar::new().raw(EntryType::new(b'Z'), b"x", b"", b"");
    assert_eq!(problem(odd), Problem::Kind);
    let sparse = Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("x", "");
    assert_eq!(problem(sparse), Problem::Sparse);
}

#[test]
fn everything_has_a_limit() {
    let ground = Ground::new();
    let limits = UnpackLimits {
        entries: 3,
        bytes: 5,
        path: 10,
        depth: 3,
    };
    let refused = |tar: Tar| ground.limited(&tar.end(), &limits).unwrap_err();
    let many = (0..4).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), ""));
    assert!(matches!(refused(many), UnpackError::Limit { limit: 3, .. }));
    let large = Tar::new().file("a", "123").file("b", "456");
    assert!(matches!(
        refused(large),
        UnpackError::Limit { limit: 5, .. }
    ));
    for path in ["a/b/c/d", "12345678901"] {
        assert!(matches!(
            refused(Tar::new().file(path, "")),
            UnpackError::Path { .. }
        ));
    }
    let name = "n".repeat(256);
    let long = Tar::new().pax(&[("path", name.as_bytes())]).file("x", "");
    assert_eq!(problem(long), Problem::Long);
    // A header that tells of a size is not believed before its content is there.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    assert!(matches!(
        ground.limited(header.as_bytes(), &limits),
        Err(UnpackError::Limit {
            limit: 1_048_576,
            ..
        })
    ));
    let headers = (0..20).fold(Tar::new(), |tar, _| tar.pax(&[("comment", b"x")]));
    assert!(matches!(
        ground.unpack(headers),
        Err(UnpackError::Damaged(_))
    ));
    let huge = Tar::new()
        .pax(&[("size", b"18446744073709551615")])
        .file("x", "");
    assert!(ground.unpack(huge).is_err());
}

#[test]
fn ten_thousand_files_in_deep_directories_arrive() {
    let ground = Ground::new();
    let tar = (0..10_000).fold(Tar::new(), |tar, number| {
        tar.file(&format!("d/{}/{}", number % 100, number), "x")
    });
    assert_eq!(ground.unpack(tar).unwrap().bytes, 10_000);
    assert_eq!(fs::read_dir(ground.path("d/99")).unwrap().count(), 100);
}

#[test]
fn a_file_that_ends_early_is_refused() {
    let whole = Tar::new()
        .pax(&[("path", b"a")])
        .file("x", &"y".repeat(600))
        .end();
    let limits = UnpackLimits::default();
    let ground = Ground::new();
    // Between members is where a file may end: some are written without the blocks of zeros.
    for length in (1..whole.len() - 1024).step_by(7) {
        let refused = ground.limited(&whole[..length], &limits);
        assert!(
            matches!(refused, Err(UnpackError::Truncated)),
            "{length}: {refused:?}"
        );
    }
    for length in [0, whole.len() - 1024, whole.len() - 512] {
        ground.limited(&whole[..length], &limits).unwrap();
    }
    let mut damaged = whole.clone();
    damaged[1030] ^= 1;
    let refused = Ground::new().limited(&damaged, &limits);
    assert!(matches!(refused, Err(UnpackError::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_stays_in_the_tree(members in prop::collection::vec(
        (0..7u8, "(/|\\.\\./|\\.wh\\.)?[ab]{1,2}(/[ab\\.]{1,2}){0,2}",
         "(/|\\.\\./){0,4}([ab]|outside)(/[ab]|/secret)?"), 0..24)) {
        let ground = Ground::new();
        let mut tar = Tar::new();
        for (kind, path, link) in members {
            tar = match kind {
                0 | 1 => tar.file(&path, "content"),
                2 => tar.directory(&path),
                3 | 4 => tar.symlink(&path, &link),
                5 => tar.twin(&path, &link),
                _ => tar.raw(EntryType::Char, path.as_bytes(), b"", b""),
            };
        }
        // What is checked is that nothing beside the tree changed.
        let _ = ground.unpack(tar);
    }
}
