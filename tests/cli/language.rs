//! Every language runs where the template has its tools, and names what is missing where not.

use soulbox_tests::Soulbox;
use std::path::Path;

/// A language, the programs that it needs, and code that prints `6` `*` `7` and its argument.
const LANGUAGES: [(&str, &[&str], &str); 13] = [
    (
        "python",
        &["python3"],
        "import sys; print(6 * 7, sys.argv[1])",
    ),
    (
        "javascript",
        &["node"],
        "console.log(6 * 7, process.argv[2])",
    ),
    (
        "typescript",
        &["esbuild", "node"],
        "const n: number = 6 * 7; console.log(n, process.argv[2])",
    ),
    ("bash", &["bash"], "echo $((6 * 7)) $1"),
    (
        "go",
        &["go"],
        "package main\nimport (\"fmt\"; \"os\")\nfunc main() { fmt.Println(6*7, os.Args[1]) }",
    ),
    (
        "java",
        &["javac", "java"],
        "class H {} public class Six { public static void main(String[] a) \
         { System.out.println(6 * 7 + \" \" + a[0]); } }",
    ),
    (
        "c",
        &["gcc"],
        "#include <stdio.h>\nint main(int c, char **v) { printf(\"%d %s\\n\", 6 * 7, v[1]); }",
    ),
    (
        "c++",
        &["g++"],
        "#include <iostream>\nint main(int c, char **v) { std::cout << 6 * 7 << ' ' << v[1] << '\\n'; }",
    ),
    (
        "rust",
        &["rustc"],
        "fn main() { println!(\"{} {}\", 6 * 7, std::env::args().nth(1).unwrap()); }",
    ),
    ("ruby", &["ruby"], "puts \"#{6 * 7} #{ARGV[0]}\""),
    ("php", &["php"], "<?php echo 6 * 7, ' ', $argv[1], \"\\n\";"),
    ("perl", &["perl"], "print 6 * 7, ' ', $ARGV[0], \"\\n\";"),
    (
        "r",
        &["Rscript"],
        "cat(6 * 7, commandArgs(trailingOnly = TRUE)[1], fill = TRUE)",
    ),
];

/// Whether the host, whose `/usr` the template `host` shows, has a program.
fn has(program: &str) -> bool {
    let places = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    places
        .iter()
        .any(|place| Path::new(place).join(program).exists())
}

#[test]
fn every_language_runs_or_names_what_is_missing() {
    let soulbox = Soulbox::new();
    for (language, needs, code) in LANGUAGES {
        let arguments = [
            "run",
            "--template",
            "host",
            "-l",
            language,
            "-c",
            code,
            "--",
            "arg",
        ];
        let ended = soulbox.run(arguments);
        if needs.iter().all(|program| has(program)) {
            assert_eq!(ended.expect_code(0).text(), "42 arg\n", "{language}");
        } else {
            ended
                .expect_code(241)
                .expect_stderr(&[language, "apt-get install"]);
        }
    }
}

#[test]
fn a_program_is_compiled_once() {
    if !has("gcc") {
        return;
    }
    let soulbox = Soulbox::new();
    let code = "#include <stdio.h>\nint main(int c, char **v) { puts(v[1]); }";
    let run = |more: &[&str], argument: &str| {
        let words = ["run", "--template", "host", "--json", "-l", "c", "-c", code];
        let all = [&words[..], more, &["--", argument]].concat();
        soulbox.run(all).expect_code(0).json()
    };
    let did = |run: &serde_json::Value, step: &str| {
        let steps = run["phases"].as_array().expect("phases");
        steps.iter().any(|done| done["step"] == step)
    };
    let first = run(&[], "one");
    assert!(did(&first, "compile") && !did(&first, "cached"), "{first}");
    let second = run(&[], "two");
    assert_eq!(second["stdout"], "two\n");
    assert!(
        did(&second, "cached") && !did(&second, "compile"),
        "{second}"
    );
    // What the host shares may be a part of what is compiled, and changes without a word.
    let header = soulbox.file("six.h", "#define SIX 6");
    let directory = header.parent().expect("a directory").display();
    let shared = run(&["--mount", &format!("{directory}:/shared")], "x");
    assert!(did(&shared, "compile"), "{shared}");
}

#[test]
fn the_language_follows_the_ending_or_the_first_line() {
    let soulbox = Soulbox::new();
    soulbox.file("a.pl", "print 'perl';");
    assert_eq!(soulbox.run(["run", "a.pl"]).expect_code(0).text(), "perl");
    soulbox.file("script", "#!/usr/bin/env -S perl -w\nprint 'first line';");
    assert_eq!(
        soulbox.run(["run", "script"]).expect_code(0).text(),
        "first line"
    );
    soulbox.file("a.txt", "print('told')");
    assert_eq!(
        soulbox
            .run(["run", "-l", "python", "a.txt"])
            .expect_code(0)
            .text(),
        "told\n"
    );
}

#[test]
fn compiled_code_keeps_its_exit_code() {
    let code = "int main(void) { return 77; }";
    Soulbox::new()
        .run(["run", "-l", "c", "-c", code])
        .expect_code(77);
}
