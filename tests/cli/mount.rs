//! `--mount`.

use rustix::fs::{Gid, Uid, chown};
use soulbox_tests::Soulbox;
use std::os::unix::fs::MetadataExt;

/// A directory that belongs to user 1000, as `user` does inside.
fn shared(soulbox: &Soulbox) -> String {
    let directory = soulbox.home().join("shared");
    std::fs::create_dir(&directory).expect("a directory");
    let file = soulbox.file("shared/note", "from the host");
    for path in [&directory, &file] {
        chown(path, Some(Uid::from_raw(1000)), Some(Gid::from_raw(1000))).expect("chown");
    }
    directory.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_directory_is_shared_and_owners_look_right() {
    let soulbox = Soulbox::new();
    let directory = shared(&soulbox);
    let mount = format!("{directory}:/home/user/in");
    let code = "cat in/note; stat -c %U in/note; echo reply > in/answer";
    let arguments = ["run", "--mount", &mount, "-l", "bash", "-c", code];
    assert_eq!(
        soulbox.run(arguments).expect_code(0).text(),
        "from the hostuser\n"
    );
    let answer = soulbox.home().join("shared/answer");
    assert_eq!(std::fs::read(&answer).expect("written"), b"reply\n");
    assert_eq!(std::fs::metadata(answer).expect("there").uid(), 1000);
}

#[test]
fn read_only_refuses_writing_even_to_root() {
    let soulbox = Soulbox::new();
    let mount = format!("{}:/in:ro", shared(&soulbox));
    let code = "cat /in/note; touch /in/new 2>/dev/null && echo written; \
                mount -o remount,rw /in 2>/dev/null && echo remounted; true";
    let arguments = [
        "run", "--user", "root", "--mount", &mount, "-l", "bash", "-c", code,
    ];
    assert_eq!(
        soulbox.run(arguments).expect_code(0).text(),
        "from the host"
    );
}

#[test]
fn mounts_may_lie_in_each_other() {
    let soulbox = Soulbox::new();
    let outer = shared(&soulbox);
    soulbox.file("other/inner", "inner");
    let other = soulbox.home().join("other");
    let inner = format!("{}:/a/b:ro", other.display());
    let outer = format!("{outer}:/a");
    let arguments = [
        "run",
        "--mount",
        &outer,
        "--mount",
        &inner,
        "-l",
        "bash",
        "-c",
        "cat /a/note /a/b/inner",
    ];
    // The inner mount needs a place in the outer directory.
    std::fs::create_dir(soulbox.home().join("shared/b")).expect("a place");
    assert_eq!(
        soulbox.run(arguments).expect_code(0).text(),
        "from the hostinner"
    );
}

#[test]
fn a_single_file_and_a_relative_path_can_be_mounted() {
    let soulbox = Soulbox::new();
    soulbox.file("one.txt", "one");
    let arguments = [
        "run",
        "--mount",
        "one.txt:/opt/one.txt:ro",
        "-l",
        "bash",
        "-c",
        "cat /opt/one.txt",
    ];
    assert_eq!(soulbox.run(arguments).expect_code(0).text(), "one");
}
