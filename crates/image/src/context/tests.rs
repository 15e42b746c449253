use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use tempfile::TempDir;

/// A context with the given files; a name that ends in `/` is a directory.
fn context(files: &[(&str, &str)]) -> (TempDir, Context) {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name.ends_with('/') {
            fs::create_dir_all(&path).unwrap();
        } else {
            fs::write(&path, content).unwrap();
        }
    }
    let context = Context::open(directory.path(), None).unwrap();
    (directory, context)
}

fn choose(context: &Context, sources: &[&str]) -> Result<Chosen, ContextError> {
    let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
    context.choose(&sources, &[])
}

fn paths(chosen: &Chosen) -> Vec<&str> {
    let paths = chosen
        .entries
        .iter()
        .map(|entry| entry.to.to_str().unwrap());
    paths.collect()
}

#[test]
fn sources_are_chosen_as_docker_does() {
    let (_directory, context) = context(&[
        ("a.txt", "1"),
        ("b.txt", "2"),
        ("c.md", "3"),
        ("d/e/f.txt", "4"),
        ("d/g.txt", "5"),
        ("arr[0].txt", "6"),
        ("empty/", ""),
    ]);
    for (sources, expected, one_file) in [
        (&["a.txt"][..], &["a.txt"][..], true),
        (&["/a.txt"], &["a.txt"], true),
        (&["./d/../a.txt"], &["a.txt"], true),
        (&["d"], &["e", "e/f.txt", "g.txt"], false),
        (&["d/"], &["e", "e/f.txt", "g.txt"], false),
        (&["d/e/f.txt"], &["f.txt"], true),
        (&["*.txt"], &["a.txt", "arr[0].txt", "b.txt"], false),
        (&["?.md"], &["c.md"], true),
        (&["d/*"], &["f.txt", "g.txt"], false),
        (&["*/*.txt"], &["g.txt"], true),
        (&["*/e"], &["f.txt"], false),
        (&["arr[[]0].txt"], &["arr[0].txt"], true),
        (&["b.txt", "a.txt"], &["b.txt", "a.txt"], false),
        (&["empty"], &[], false),
        (
            &["."],
            &[
                "a.txt",
                "arr[0].txt",
                "b.txt",
                "c.md",
                "d",
                "d/e",
                "d/e/f.txt",
                "d/g.txt",
                "empty",
            ],
            false,
        ),
    ] {
        let chosen = choose(&context, sources).unwrap();
        assert_eq!(paths(&chosen), expected, "{sources:?}");
        assert_eq!(chosen.one_file, one_file, "{sources:?}");
    }
    for source in [
        "x",
        "*.x",
        "a.txt/b",
        "..",
        "../a.txt",
        "d/../../a.txt",
        "[",
        "x/*",
    ] {
        assert!(choose(&context, &[source]).is_err(), "{source}");
    }
}

#[test]
fn what_is_ignored_does_not_exist() {
    let (directory, _) = context(&[
        (".dockerignore", "**/*.log\nsecret\nbuild/*\n!build/keep\n"),
        ("a.log", ""),
        ("a", ""),
        ("secret/key", ""),
        ("build/x", ""),
        ("build/keep/y", ""),
        ("build/keep/z.log", ""),
    ]);
    let context = Context::open(directory.path(), None).unwrap();
    let all = choose(&context, &["."]).unwrap();
    // A pattern later in the file takes back what one before left out, with all that is in it.
    assert_eq!(
        paths(&all),
        [
            ".dockerignore",
            "a",
            "build",
            "build/keep",
            "build/keep/y",
            "build/keep/z.log"
        ]
    );
    for source in ["secret", "secret/key", "a.log", "*.log"] {
        let error = choose(&context, &[source]).unwrap_err();
        assert!(
            matches!(error, ContextError::Nothing { .. }),
            "{source}: {error}"
        );
    }
    let error = choose(&context, &["secret"]).unwrap_err().to_string();
    assert!(error.ends_with(".dockerignore leaves it out"), "{error}");
    // The Dockerfile's own file takes the place of the common one.
    let dockerfile = directory.path().join("Dockerfile");
    fs::write(
        directory.path().join("Dockerfile.dockerignore"),
        "*\n!a.log",
    )
    .unwrap();
    let context = Context::open(directory.path(), Some(&dockerfile)).unwrap();
    assert_eq!(paths(&choose(&context, &["."]).unwrap()), ["a.log"]);
    fs::write(directory.path().join("Dockerfile.dockerignore"), "a\n[").unwrap();
    let error = Context::open(directory.path(), Some(&dockerfile)).unwrap_err();
    assert!(
        error.to_string().contains("Dockerfile.dockerignore:2: "),
        "{error}"
    );
}

#[test]
fn excluded_files_are_not_copied() {
    let (_directory, context) =
        context(&[("d/a.md", ""), ("d/e/b.md", ""), ("d/c", ""), ("a.md", "")]);
    let exclude = |sources: &[&str], excludes: &[&str]| {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let chosen = context.choose(&owned(sources), &owned(excludes)).unwrap();
        paths(&chosen)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(exclude(&["d"], &["*.md"]), ["c", "e", "e/b.md"]);
    assert_eq!(exclude(&["d"], &["**/*.md"]), ["c", "e"]);
    assert_eq!(exclude(&["d", "a.md"], &["*.md", "e"]), ["c"]);
}

#[test]
fn links_stay_links_and_none_leads_out() {
    let (directory, context) = context(&[("d/a", "1"), ("e/", "")]);
    let root = directory.path();
    symlink("a", root.join("d/inside")).unwrap();
    symlink("/etc/passwd", root.join("d/outside")).unwrap();
    symlink("../../../etc", root.join("etc")).unwrap();
    symlink("d", root.join("link")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("/d/a", root.join("e/absolute")).unwrap();
    UnixListener::bind(root.join("d/socket")).unwrap();
    let chosen = choose(&context, &["d"]).unwrap();
    assert_eq!(paths(&chosen), ["a", "inside", "outside"]);
    assert_eq!(chosen.entries[2].kind, Kind::Link("/etc/passwd".into()));
    // What a source names is followed, within the context.
    assert_eq!(
        paths(&choose(&context, &["link"]).unwrap()),
        ["a", "inside", "outside"]
    );
    let absolute = choose(&context, &["e/absolute"]).unwrap();
    assert_eq!(paths(&absolute), ["absolute"]);
    assert_eq!(absolute.entries[0].from, Path::new("d/a"));
    for source in ["etc/passwd", "d/outside", "loop", "etc"] {
        assert!(choose(&context, &[source]).is_err(), "{source}");
    }
}

#[test]
fn the_digest_is_of_names_modes_and_contents() {
    let (directory, context) = context(&[("a", "1"), ("d/b", "2")]);
    let digest = || *choose(&context, &["."]).unwrap().digest();
    let before = digest();
    let path = directory.path().join("a");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(digest(), before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let executable = digest();
    assert_ne!(executable, before);
    fs::write(&path, "3").unwrap();
    let changed = digest();
    assert_ne!(changed, executable);
    fs::rename(&path, directory.path().join("c")).unwrap();
    assert_ne!(digest(), changed);
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "another program reads what was written"
)]
fn a_tar_file_has_what_was_chosen() {
    let long = format!("{}/{}", "x".repeat(90), "y".repeat(200));
    let (directory, context) = context(&[
        ("a", "1"),
        ("d/b", &"2".repeat(1000)),
        (&long, "3"),
        ("e/", ""),
    ]);
    symlink("z".repeat(150), directory.path().join("link")).unwrap();
    let path = directory.path().join("d/b");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let chosen = choose(&context, &["."]).unwrap();
    let to = tempfile::tempdir().unwrap();
    let archive = to.path().join("archive.tar");
    chosen
        .write_tar(&context, &mut File::create(&archive).unwrap())
        .unwrap();
    let done = Command::new("tar")
        .args(["-xpf", "archive.tar", "--no-same-owner"])
        .current_dir(to.path())
        .status()
        .unwrap();
    assert!(done.success());
    fs::remove_file(&archive).unwrap();
    let unpacked = Context::open(to.path(), None).unwrap();
    assert_eq!(choose(&unpacked, &["."]).unwrap().digest(), chosen.digest());
    assert_eq!(chosen.bytes, 1002);
}

#[test]
fn a_file_that_changes_meanwhile_is_told() {
    let (directory, context) = context(&[("a", "1"), ("b", "2")]);
    let chosen = choose(&context, &["."]).unwrap();
    let path = directory.path().join("b");
    fs::write(&path, "longer").unwrap();
    let error = chosen.write_tar(&context, &mut Vec::new()).unwrap_err();
    assert!(
        matches!(&error, ContextError::Changed(changed) if *changed == path),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    let error = chosen.write_tar(&context, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ContextError::Changed(_)), "{error}");
}

#[test]
fn a_deep_context_is_refused() {
    let (directory, context) = context(&[]);
    fs::create_dir_all(directory.path().join("d/".repeat(MAX_DEPTH + 1))).unwrap();
    let error = choose(&context, &["."]).unwrap_err();
    assert!(matches!(error, ContextError::TooMany), "{error}");
}
