//! `config show`, and which value wins.

use soulbox_tests::Soulbox;

#[test]
fn every_setting_is_shown_with_its_origin() {
    let soulbox = Soulbox::new();
    let page = soulbox.run(["config", "show"]).expect_code(0).text();
    for key in ["sandbox.memory", "network.subnet", "machine_dir"] {
        assert!(page.contains(key), "{page}");
    }
    let line = page
        .lines()
        .find(|line| line.trim_start().starts_with("data_dir"));
    assert!(
        line.is_some_and(|line| line.contains("variable SOULBOX_DATA_DIR")),
        "{page}"
    );
}

#[test]
fn variables_win_over_the_file_and_the_file_over_defaults() {
    let soulbox = Soulbox::new();
    let file = soulbox.file("my.toml", "[sandbox]\npids = 100\nmemory = '2G'\n");
    let mut command = soulbox.command(["config", "show", "--json", "--config"]);
    let child = command
        .arg(&file)
        .env("SOULBOX_SANDBOX_MEMORY", "3G")
        .spawn()
        .expect("starts");
    let shown = soulbox_tests::end(child).expect_code(0).json();
    let setting = |key: &str| shown["settings"][key].clone();
    assert_eq!(setting("sandbox.memory")["value"], "3 GiB");
    assert_eq!(setting("sandbox.pids")["value"], "100");
    assert_eq!(
        setting("sandbox.pids")["origin"],
        format!("{}:2", file.display())
    );
    assert_eq!(setting("sandbox.cpu")["origin"], "default");
}

#[test]
fn the_users_own_file_is_found_and_the_working_directory_is_not() {
    let soulbox = Soulbox::new();
    soulbox.file("soulbox.toml", "nonsense = 1\n");
    soulbox.run(["config", "show"]).expect_code(0);
    soulbox.file(".config/soulbox/soulbox.toml", "[sandbox]\npids = 77\n");
    let shown = soulbox
        .run(["config", "show", "--json", "--changed"])
        .expect_code(0)
        .json();
    assert_eq!(shown["settings"]["sandbox.pids"]["value"], "77");
    assert!(shown["settings"]["sandbox.cpu"].is_null());
}

#[test]
fn wrong_files_are_240_with_the_line() {
    let soulbox = Soulbox::new();
    for (text, told) in [
        (
            "[sandbox]\nmemori = '1G'\n",
            ":2: there is no setting \"sandbox.memori\"",
        ),
        ("[sandbox]\nmemory = '1K'\n", "16 MiB to 16 TiB"),
        ("[sandbox\n", ":1:"),
    ] {
        let file = soulbox.file("bad.toml", text);
        let file = file.to_str().expect("UTF-8");
        let ended = soulbox.run(["config", "show", "--config", file]);
        ended.expect_code(240).expect_stderr(&[told, "bad.toml"]);
    }
    let ended = soulbox.run(["config", "show", "--config", "/no/such.toml"]);
    ended
        .expect_code(240)
        .expect_stderr(&["/no/such.toml does not exist"]);
}

#[test]
fn unknown_variables_are_told() {
    let soulbox = Soulbox::new();
    let mut command = soulbox.command(["config", "show"]);
    let child = command
        .env("SOULBOX_SANDBOX_MEMROY", "1G")
        .spawn()
        .expect("starts");
    soulbox_tests::end(child)
        .expect_code(0)
        .expect_stderr(&["SOULBOX_SANDBOX_MEMROY"]);
}
