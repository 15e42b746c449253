//! `template`.

use soulbox_tests::Soulbox;

#[test]
fn host_is_there_without_being_built() {
    let soulbox = Soulbox::new();
    let inspected = soulbox
        .run(["template", "inspect", "host", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(inspected["record"]["name"], "host", "{inspected}");
    let all = soulbox
        .run(["template", "ls", "--json"])
        .expect_code(0)
        .json();
    assert!(
        all["templates"]
            .as_array()
            .is_some_and(|all| all.len() == 1),
        "{all}"
    );
    assert!(
        soulbox
            .run(["template", "ls"])
            .expect_code(0)
            .text()
            .contains("host")
    );
}

#[test]
fn what_cannot_be_done_is_told() {
    let soulbox = Soulbox::new();
    for (arguments, code, told) in [
        (&["template", "rm", "host"][..], 240, "built in"),
        (&["template", "rm", "nosuch"], 241, "nosuch"),
        (
            &["template", "inspect", "base"],
            241,
            "soulbox template build base",
        ),
        (&["template", "build", "nosuch"], 241, "--recipe"),
        (
            &["template", "build", "x", "--recipe", "/no/such"],
            241,
            "/no/such",
        ),
        (&["template", "build", "../x"], 240, "template name"),
    ] {
        soulbox
            .run(arguments)
            .expect_code(code)
            .expect_stderr(&["error:", told]);
    }
}

/// Takes a minute or two: the packages come from the machine's own sources.
#[test]
fn template_build_base_makes_a_root_that_runs_code() {
    let soulbox = Soulbox::new();
    soulbox.run(["template", "build", "base"]).expect_code(0);
    let all = soulbox
        .run(["template", "ls", "--json"])
        .expect_code(0)
        .json();
    assert!(all["templates"].to_string().contains("\"base\""), "{all}");

    let run = |arguments: &[&str]| {
        let all = ["run"].iter().chain(arguments);
        soulbox.run(all).expect_code(0).text()
    };
    // It is taken by itself from now on.
    let told = soulbox
        .run(["run", "--json", "-c", "print(1)"])
        .expect_code(0)
        .json();
    assert_eq!(told["template"], "base");
    assert_eq!(run(&["-l", "bash", "-c", "sudo id -u"]), "0\n");
    assert_eq!(run(&["-l", "js", "-c", "console.log(6 * 7)"]), "42\n");
    assert_eq!(
        run(&[
            "-l",
            "c",
            "-c",
            "int printf(const char *, ...); int main() { printf(\"c\"); }"
        ]),
        "c"
    );
    for tool in ["git", "curl", "python", "npm", "ss", "tput", "realpath"] {
        run(&["-l", "bash", "-c", &format!("command -v {tool}")]);
    }
    soulbox.run(["template", "rm", "base"]).expect_code(0);
    soulbox
        .run(["run", "-t", "base", "-c", ""])
        .expect_code(241);
}
