//! `template import` and `template export`: images in files.

use crate::pull::fill;
use soulbox_tests::Soulbox;
use std::fs;
use std::path::Path;

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

#[test]
fn a_template_goes_to_another_machine_as_a_file() {
    let ground = tempfile::tempdir().expect("a directory");
    let root = ground.path().join("root");
    fs::create_dir(&root).expect("a directory");
    fill(&root);
    let here = Soulbox::new();
    here.run(["template", "import", text(&root), "--name", "small"])
        .expect_code(0);
    let (file, again) = (ground.path().join("small.tar"), ground.path().join("again"));
    for (file, packing) in [(&file, None), (&again, None), (&again, Some("--zstd"))] {
        let words = ["template", "export", "small", text(file)];
        here.run(words.into_iter().chain(packing)).expect_code(0);
        if packing.is_none() && file == &again {
            let read = |path| fs::read(path).expect("a file");
            assert!(read(&again) == read(&ground.path().join("small.tar")));
        }
    }
    let there = Soulbox::new();
    let record = there
        .run(["template", "import", text(&file), "--json"])
        .expect_code(0)
        .json();
    assert_eq!(record["name"], "small", "{record}");
    there
        .run(["template", "import", text(&again), "--name", "zstd"])
        .expect_code(0);
    let code = "id -un; cat /srv/text; stat -c '%U %a' /home/user";
    for (soulbox, template) in [(&here, "small"), (&there, "small"), (&there, "zstd")] {
        let ran = soulbox
            .run(["run", "-t", template, "-l", "bash", "-c", code])
            .expect_code(0);
        assert!(
            ran.text().starts_with("user\nof the image\nuser "),
            "{}",
            ran.text()
        );
    }
    // Nothing but the files that were asked for.
    let left = fs::read_dir(ground.path()).expect("a directory").count();
    assert_eq!(left, 3);
}

#[test]
fn what_is_no_image_is_told() {
    let soulbox = Soulbox::new();
    let file = soulbox.file("no.tar", "nothing that is an archive".repeat(100));
    soulbox
        .run(["template", "import", text(&file)])
        .expect_code(1)
        .expect_stderr(&["cannot import", "no.tar"]);
    let to = file.with_file_name("host.tar");
    soulbox
        .run(["template", "export", "host", text(&to)])
        .expect_code(240)
        .expect_stderr(&["/usr from this machine"]);
    assert!(!to.exists());
    soulbox
        .run(["template", "export", "nosuch", text(&to)])
        .expect_code(241)
        .expect_stderr(&["nosuch"]);
}
