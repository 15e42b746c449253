//! `template pull`: images of a registry become templates.

use soulbox_tests::registry::Registry;
use soulbox_tests::{Soulbox, end};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// A root with a shell that runs code, of the host's own files.
pub(crate) fn fill(root: &Path) {
    for directory in ["bin", "etc", "lib", "lib64", "srv"] {
        fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    // What `ldd /bin/bash` tells, without running it for its output's sake.
    let libraries = [
        "/bin/bash",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libtinfo.so.6",
        "/lib/x86_64-linux-gnu/libc.so.6",
    ];
    for path in libraries {
        let to = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        fs::copy(path, to).expect("a file");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox");
    for program in [
        "sh", "cat", "id", "mkdir", "chown", "chmod", "printf", "stat",
    ] {
        symlink("busybox", root.join("bin").join(program)).expect("a link");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("accounts");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("groups");
    fs::write(root.join("srv/text"), "of the image\n").expect("a file");
}

#[test]
fn an_image_becomes_a_template_whose_sandboxes_run() {
    let registry = Registry::start();
    let config = [
        "--config.env",
        "GREETING=hello",
        "--config.workingdir",
        "/srv",
    ];
    let image = registry.push("me/small:1", &config, fill);
    let soulbox = Soulbox::new();
    soulbox
        .run(["template", "pull", &image])
        .expect_code(1)
        .expect_stderr(&["cannot pull", "somebody without a password"]);
    let pull = [
        "template",
        "pull",
        &image,
        "--username",
        "me",
        "--password-stdin",
        "--json",
    ];
    let wrong = soulbox.run_with_input(&pull, b"WRONG\n").expect_code(1);
    assert!(!wrong.stderr.contains("WRONG"), "{}", wrong.stderr);
    let record = soulbox
        .run_with_input(&pull, b"SECRET\n")
        .expect_code(0)
        .json();
    assert_eq!(record["name"], "small", "{record}");
    assert_eq!(record["user"], "user", "{record}");
    assert_eq!(record["workdir"], "/srv", "{record}");
    let code = "id -un; echo $GREETING; cat /srv/text; stat -c %U /bin/busybox";
    let ran = soulbox
        .run(["run", "-t", "small", "-l", "bash", "-c", code])
        .expect_code(0);
    assert_eq!(ran.text(), "user\nhello\nof the image\nroot\n");
    // The same layers under another name, without the network being asked for them.
    let again = [&pull[..], &["--name", "other"]].concat();
    let again = soulbox
        .run_with_input(&again, b"SECRET\n")
        .expect_code(0)
        .json();
    assert_eq!(again["layers"], record["layers"]);
    soulbox.run(["template", "rm", "small"]).expect_code(0);
    let code = "cat /srv/text";
    let ran = soulbox
        .run(["run", "-t", "other", "-l", "bash", "-c", code])
        .expect_code(0);
    assert_eq!(ran.text(), "of the image\n");
    // Nobody wrote the password down.
    assert!(!has(soulbox.home(), b"SECRET"));
}

#[test]
fn a_dockerfile_begins_with_an_image() {
    let registry = Registry::start();
    let image = registry.push("me/ground:1", &["--config.env", "GREETING=hello"], fill);
    let soulbox = Soulbox::new();
    // As `docker login` writes it: `me:SECRET`.
    let logins = format!(
        r#"{{"auths": {{"{}": {{"auth": "bWU6U0VDUkVU"}}}}}}"#,
        registry.address()
    );
    let logins = soulbox.file("config.json", logins);
    let dockerfile = format!("FROM {image}\nENV LOUD=$GREETING!\nRUN echo $LOUD > /srv/made\n");
    let dockerfile = soulbox.file("Dockerfile", dockerfile);
    let mut command = soulbox.command(["template", "build", "-t", "built", "-f"]);
    command
        .arg(&dockerfile)
        .arg(dockerfile.parent().expect("a directory"))
        .env("SOULBOX_REGISTRY_AUTH_FILE", logins);
    end(command.spawn().expect("the program starts")).expect_code(0);
    // A helper that knows the password does as well.
    let helper = "#!/bin/sh\n[ \"$1\" = get ] && cat > /dev/null || exit 1\n\
                  echo '{\"Username\": \"me\", \"Secret\": \"SECRET\"}'\n";
    let helper = soulbox.file("docker-credential-test", helper);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("it can run");
    let helpers = soulbox.file("helpers.json", r#"{"credsStore": "test"}"#);
    let path = helper.parent().expect("a directory").display().to_string();
    let mut command = soulbox.command(["template", "pull", &image]);
    command
        .env("SOULBOX_REGISTRY_AUTH_FILE", helpers)
        .env("PATH", format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"));
    end(command.spawn().expect("the program starts")).expect_code(0);
    let code = "cat /srv/made /srv/text";
    let run = [
        "run", "-t", "built", "--user", "root", "-l", "bash", "-c", code,
    ];
    assert_eq!(
        soulbox.run(run).expect_code(0).text(),
        "hello!\nof the image\n"
    );
}

/// Whether any file below a directory has these bytes in it.
fn has(directory: &Path, bytes: &[u8]) -> bool {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry")).any(|entry| {
        let kind = entry.file_type().expect("a kind");
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => has(&entry.path(), bytes),
            (_, true) => {
                let content = fs::read(entry.path()).unwrap_or_default();
                content.windows(bytes.len()).any(|part| part == bytes)
            }
            _ => false,
        }
    })
}

#[test]
fn a_pull_that_is_ended_leaves_no_template() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let image = format!("{}/x:1", silent.local_addr().expect("an address"));
    let soulbox = Soulbox::new();
    let child = soulbox
        .command(["template", "pull", &image])
        .spawn()
        .expect("the program starts");
    let _asked = silent.accept().expect("a connection");
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let ended = end(child);
    assert_eq!(ended.code, 248, "{}", ended.stderr);
    let all = soulbox
        .run(["template", "ls", "--json"])
        .expect_code(0)
        .json();
    assert!(
        all["templates"].as_array().is_some_and(Vec::is_empty),
        "{all}"
    );
}

#[test]
fn what_is_no_image_is_told() {
    let soulbox = Soulbox::new();
    for (arguments, code, told) in [
        (&["Debian"][..], 240, "no repository"),
        (&["a/../b"], 240, "no repository"),
        (&["x", "--name", "../y"], 240, "template name"),
        (&["x", "--platform", "a/b/c/d"], 240, "no platform"),
        (&["x", "--username", "me"], 240, "--password-stdin"),
        (&["127.0.0.1:1/x"], 1, "cannot be reached"),
    ] {
        let arguments = [&["template", "pull"], arguments].concat();
        soulbox
            .run(arguments)
            .expect_code(code)
            .expect_stderr(&[told]);
    }
}
