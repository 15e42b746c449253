//! `completion`.

use soulbox_tests::Soulbox;

#[test]
fn every_shell_gets_a_script_that_knows_the_verbs() {
    let soulbox = Soulbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = soulbox.run(["completion", shell]).expect_code(0).text();
        assert!(
            script.contains("doctor") && script.contains("memory"),
            "{shell}"
        );
    }
    soulbox.run(["completion", "tcsh"]).expect_code(240);
}

#[test]
#[allow(clippy::disallowed_methods)] // asks the shell itself
fn bash_takes_its_script() {
    let soulbox = Soulbox::new();
    let script = soulbox.run(["completion", "bash"]).expect_code(0).stdout;
    let file = soulbox.file("soulbox.bash", script);
    let status = std::process::Command::new("bash")
        .arg("-n")
        .arg(file)
        .status();
    assert!(status.expect("bash").success());
}
