//! What the code sees of the host: nothing that was not said.

use soulbox_tests::Soulbox;

#[test]
fn variables_are_passed_only_when_asked_for() {
    let soulbox = Soulbox::new();
    let run = |arguments: &[&str]| {
        let all = ["run", "-l", "bash", "-c", "env"].iter().chain(arguments);
        let mut command = soulbox.command(all);
        let child = command
            .env("SECRET", "hidden")
            .env("NAMED", "passed")
            .spawn();
        soulbox_tests::end(child.expect("starts"))
            .expect_code(0)
            .text()
    };
    let inside = run(&[]);
    assert!(
        !inside.contains("hidden") && !inside.contains("SOULBOX_"),
        "{inside}"
    );
    let inside = run(&["--env", "A=b c", "--env", "NAMED", "-e", "EMPTY="]);
    for line in ["A=b c", "NAMED=passed", "EMPTY="] {
        assert!(
            inside.lines().any(|inside| inside == line),
            "{line}: {inside}"
        );
    }
    assert!(!inside.contains("hidden"), "{inside}");
}

#[test]
fn no_descriptor_of_the_host_is_inherited() {
    let soulbox = Soulbox::new();
    let ended = soulbox
        .run(["run", "-l", "bash", "-c", "ls -l /proc/self/fd"])
        .expect_code(0);
    // stdin, stdout, stderr, the directory that is listed, and the script.
    for line in ended.text().lines().skip(1) {
        let target = line.rsplit(" -> ").next().unwrap_or_default();
        let own = ["pipe:", "/dev/null", "/proc/", "/home/user/main.sh"];
        assert!(own.iter().any(|own| target.starts_with(own)), "{line}");
    }
}

#[test]
fn only_loopback_is_there_without_a_network() {
    let soulbox = Soulbox::new();
    let code = "import socket; print([name for _, name in socket.if_nameindex()])";
    assert_eq!(
        soulbox.run(["run", "-c", code]).expect_code(0).text(),
        "['lo']\n"
    );
    let code = "import socket\ntry: socket.create_connection(('1.1.1.1', 53), 2)\nexcept OSError as e: print('refused')";
    assert_eq!(
        soulbox.run(["run", "-c", code]).expect_code(0).text(),
        "refused\n"
    );
}

#[test]
fn processes_of_the_host_are_not_seen() {
    let soulbox = Soulbox::new();
    let code = "import os; print(max(int(p) for p in os.listdir('/proc') if p.isdigit()) < 20)";
    assert_eq!(
        soulbox.run(["run", "-c", code]).expect_code(0).text(),
        "True\n"
    );
}
