//! `template`.

use soulbox_tests::{Soulbox, templates};

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
        (&["template", "build", "../x"], 241, "../x"),
        (&["template", "build", "X"], 240, "template name"),
        (&["template", "build", "/"], 241, "neither a Dockerfile"),
        (
            &["template", "build", "base", "--target", "x"],
            240,
            "--target",
        ),
    ] {
        soulbox
            .run(arguments)
            .expect_code(code)
            .expect_stderr(&["error:", told]);
    }
}

/// Takes a minute if no test has built it before: the packages come from the machine's own sources.
#[test]
fn template_build_base_makes_a_root_that_runs_code() {
    let soulbox = Soulbox::new();
    templates::share(&soulbox, &[templates::BASE]);
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
}

/// As the one before, and another minute.
#[test]
fn template_build_of_the_interpreter_has_libraries_for_data() {
    let soulbox = Soulbox::new();
    templates::share(&soulbox, &[templates::BASE, templates::INTERPRETER]);
    let code = "import pandas, matplotlib.pyplot as plt\n\
                plt.title('日本')\nplt.savefig('x.png')\n\
                print(pandas.Series([1, 2]).sum())";
    let told = soulbox.run(["run", "-t", templates::INTERPRETER, "-c", code]);
    let told = told.expect_code(0);
    // Neither a font that is missing nor a list of fonts that is made is told.
    assert_eq!((told.text().as_str(), told.stderr.as_str()), ("3\n", ""));
    let specs = "cd /usr/lib/soulbox/kernels && ls */kernel.json && python3 -m json.tool python/kernel.json >/dev/null \
                 && ls python/soulbox_kernel/__pycache__ | grep -c pyc";
    let told = soulbox.run([
        "run",
        "-t",
        templates::INTERPRETER,
        "-l",
        "bash",
        "-c",
        specs,
    ]);
    let text = told.expect_code(0).text();
    for kernel in ["bash", "javascript", "python", "typescript"] {
        assert!(text.contains(&format!("{kernel}/kernel.json")), "{text}");
    }
}

#[test]
fn template_of_ones_own_is_built_listed_and_removed() {
    let soulbox = Soulbox::new();
    soulbox.file(
        "recipe/recipe.toml",
        "description = \"mine\"\nscript = \"build.sh\"\ntree = \"script\"\nfree_disk = \"1M\"\n\
         parts = [\"kernels/typescript\"]\n[expect]\npaths = [\"/kernel.json\"]\n",
    );
    soulbox.file(
        "recipe/build.sh",
        "cp kernels/typescript/kernel.json /build/rootfs/\n",
    );
    soulbox
        .run(["template", "build", "mine", "--recipe", "recipe"])
        .expect_code(0);
    let listed = || soulbox.run(["template", "ls"]).expect_code(0).text();
    assert!(listed().contains("mine"));
    soulbox.run(["template", "rm", "mine"]).expect_code(0);
    assert!(!listed().contains("mine"));
    soulbox
        .run(["run", "-t", "mine", "-c", ""])
        .expect_code(241);
}
