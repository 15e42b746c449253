//! `--help` and `version`.

use soulbox_tests::Soulbox;

#[test]
fn every_verb_explains_itself_with_an_example() {
    let soulbox = Soulbox::new();
    for verb in [
        &["run"][..],
        &["shell"],
        &["template", "ls"],
        &["template", "build"],
        &["template", "rm"],
        &["template", "inspect"],
        &["doctor"],
        &["ended"],
        &["config", "show"],
        &["bench", "create"],
        &["bench", "run"],
        &["bench", "exec"],
        &["bench", "memory"],
        &["bench", "leak"],
        &["bench", "execute"],
        &["bench", "kernels"],
        &["bench", "reference"],
        &["ps"],
        &["create"],
        &["cp"],
        &["events"],
        &["logs"],
        &["port-forward"],
        &["exec"],
        &["inspect"],
        &["pause"],
        &["resume"],
        &["kill"],
        &["key", "create"],
        &["key", "ls"],
        &["key", "rm"],
        &["completion"],
        &["version"],
    ] {
        let help = soulbox
            .run(verb.iter().chain(&["--help"]))
            .expect_code(0)
            .text();
        assert!(help.contains("Examples:"), "{verb:?}: {help}");
        assert!(
            help.contains(&format!("soulbox {}", verb.join(" "))),
            "{verb:?}: {help}"
        );
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let help = Soulbox::new().run(["run", "--help"]).expect_code(0).text();
    for code in 240..=250 {
        assert!(help.contains(&format!("\n  {code} ")), "{code}: {help}");
    }
}

#[test]
fn help_in_a_pipe_has_no_colours() {
    let help = Soulbox::new().run(["--help"]).expect_code(0);
    assert!(!help.stdout.contains(&0x1b));
}

#[test]
fn the_version_is_told_in_words_and_in_json() {
    let soulbox = Soulbox::new();
    let version = soulbox.run(["version", "--json"]).expect_code(0).json();
    let number = version["version"].as_str().expect("a version");
    assert!(
        soulbox
            .run(["version"])
            .expect_code(0)
            .text()
            .contains(number)
    );
    assert!(
        soulbox
            .run(["--version"])
            .expect_code(0)
            .text()
            .contains(number)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let soulbox = Soulbox::new();
    let mut child = soulbox
        .command(["completion", "bash"])
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let ended = soulbox_tests::end(child);
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
    assert!([0, 141].contains(&ended.code), "{}", ended.code);
}
