//! `cp`.

use soulbox_tests::server::Server;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

#[test]
fn files_and_directories_go_in_and_come_out() {
    let server = Server::start();
    let id = server.create(&[]);
    let client = server.client();
    let home = client.home().to_owned();
    let inside = |path: &str| format!("{id}:{path}");
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    client.file("big", &content);
    server
        .run(["cp", "big", &inside("copies/big")])
        .expect_code(0);
    server
        .run(["cp", &inside("copies/big"), "back"])
        .expect_code(0);
    assert!(fs::read(home.join("back")).expect("it is there") == content);

    // A directory, with a program in it; links are left out.
    let program = client.file("project/bin/run", "#!/bin/sh\necho ran\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mark");
    client.file("project/a b.txt", "x");
    symlink("/etc/passwd", home.join("project/link")).expect("a link");
    server
        .run(["cp", "project/", &inside("project")])
        .expect_code(0)
        .expect_stderr(&["project/link is left out"]);
    let ran = server
        .run(["exec", &id, "--", "project/bin/run"])
        .expect_code(0);
    assert_eq!(ran.text(), "ran\n");
    server
        .run(["exec", &id, "--", "test", "-e", "project/link"])
        .expect_code(1);
    server.run(["cp", &inside("project"), "out"]).expect_code(0);
    assert_eq!(
        fs::read_to_string(home.join("out/a b.txt")).expect("it is there"),
        "x"
    );
    let mode = fs::metadata(home.join("out/bin/run"))
        .expect("it is there")
        .permissions();
    assert_eq!(mode.mode() & 0o111, 0o111);
    // A directory that is there gets the source below it.
    server.run(["cp", &inside("project"), "out"]).expect_code(0);
    assert!(home.join("out/project/bin/run").is_file());

    // Pipes.
    let sent = client.run_with_input(&["cp", "-", &inside("piped")], b"from a pipe");
    sent.expect_code(0);
    let piped = server.run(["cp", &inside("piped"), "-"]).expect_code(0);
    assert_eq!(piped.text(), "from a pipe");

    for (arguments, code, told) in [
        (["cp", "none", &inside("x")], 241, "none"),
        (["cp", &inside("none"), "x"], 241, "none"),
        (["cp", "a", "b"], 240, "ID:PATH"),
        (["cp", &inside("a"), &inside("b")], 240, "both"),
        (["cp", "-", &inside("project")], 240, "directory"),
        (["cp", &inside("piped"), "missing/x"], 241, "missing"),
    ] {
        server
            .run(arguments)
            .expect_code(code)
            .expect_stderr(&[told]);
    }
}

#[test]
fn links_in_a_sandbox_lead_nowhere_on_the_host() {
    let server = Server::start();
    let id = server.create(&[]);
    let home = server.client().home().to_owned();
    let precious = server.client().file("precious", "kept");
    let script = "mkdir -p evil/sub && ln -s /etc/hostname evil/link && ln -s .. evil/up && \
         printf new > evil/file && printf new > evil/sub/file && mkfifo evil/pipe";
    server
        .run(["exec", &id, "--", "sh", "-c", script])
        .expect_code(0);
    // What lies in the way on the host are links: a file's is replaced, a directory's is refused.
    fs::create_dir(home.join("out")).expect("a directory");
    fs::create_dir(home.join("elsewhere")).expect("a directory");
    symlink(&precious, home.join("out/file")).expect("a link");
    let ended = server
        .run(["cp", &format!("{id}:evil"), "first"])
        .expect_code(0);
    let ended = ended.expect_stderr(&[
        "evil/link is left out",
        "evil/up is left out",
        "evil/pipe is left out",
    ]);
    assert!(ended.stdout.is_empty());
    assert!(!home.join("first/link").exists() && !home.join("first/up").exists());
    fs::rename(home.join("out"), home.join("evil")).expect("renamed");
    symlink(home.join("elsewhere"), home.join("evil/sub")).expect("a link");
    server
        .run(["cp", &format!("{id}:evil"), "."])
        .expect_code(241);
    assert_eq!(fs::read_to_string(&precious).expect("it is there"), "kept");
    assert_eq!(
        fs::read_dir(home.join("elsewhere"))
            .expect("it is there")
            .count(),
        0
    );
}
