//! Each language: hello, input, an exit code, an error. The test machine need have python, javascript, bash, perl and
//! C; the others are asked for what they lack.

use crate::server::{post, run, text};
use serde_json::{Value, json};
use soulbox_tests::server::Server;

/// Language, a program that greets who stands in its input and ends with 3, and a program that is none.
const LANGUAGES: [(&str, &str, &str); 13] = [
    (
        "python",
        "import sys\nprint('hello', input())\nsys.exit(3)",
        "def",
    ),
    (
        "javascript",
        "console.log('hello', require('fs').readFileSync(0, 'utf8').trim()); process.exit(3)",
        "function (",
    ),
    (
        "typescript",
        "import { readFileSync } from 'fs';\nconst x: string = readFileSync(0, 'utf8').trim();\nconsole.log('hello', x); process.exit(3)",
        "const x: = ",
    ),
    ("bash", "read x; echo hello $x; exit 3", "if"),
    (
        "go",
        "package main\nimport (\"fmt\"; \"os\")\nfunc main() { var x string; fmt.Scan(&x); fmt.Println(\"hello\", x); os.Exit(3) }",
        "package",
    ),
    (
        "java",
        "public class Hi { public static void main(String[] a) { var s = new java.util.Scanner(System.in); System.out.println(\"hello \" + s.next()); System.exit(3); } }",
        "public class Hi { nonsense }",
    ),
    (
        "c",
        "#include <stdio.h>\nint main() { char x[9]; scanf(\"%8s\", x); printf(\"hello %s\\n\", x); return 3; }",
        "int main( {",
    ),
    (
        "c++",
        "#include <iostream>\nint main() { std::string x; std::cin >> x; std::cout << \"hello \" << x << std::endl; return 3; }",
        "int main( {",
    ),
    (
        "rust",
        "fn main() { let mut x = String::new(); std::io::stdin().read_line(&mut x).unwrap(); println!(\"hello {}\", x.trim()); std::process::exit(3) }",
        "fn main( {",
    ),
    ("ruby", "puts \"hello #{gets.strip}\"\nexit 3", "def"),
    (
        "php",
        "<?php echo 'hello ' . trim(fgets(STDIN)) . \"\\n\"; exit(3);",
        "<?php function (",
    ),
    (
        "perl",
        "my $x = <STDIN>; print \"hello $x\\n\"; exit 3",
        "if (",
    ),
    (
        "r",
        "x <- readLines('stdin', 1); cat('hello', x, '\\n', sep=' '); quit(status=3)",
        "function(",
    ),
];

/// What every machine that tests has.
const THERE: [&str; 4] = ["python", "bash", "perl", "c"];

#[test]
fn every_language_greets_or_says_what_it_lacks() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for part in LANGUAGES.chunks(7) {
            let server = &server;
            scope.spawn(move || {
                for (language, good, bad) in part {
                    look_at(server, language, good, bad);
                }
            });
        }
    });
}

fn look_at(server: &Server, language: &str, good: &str, bad: &str) {
    let asked = |code: &str| json!({"language": language, "code": code, "stdin": "you"});
    let body = asked(good).to_string();
    let answer = post(server, "/v1/execute", body.as_bytes());
    if answer.status == 422 && !THERE.contains(&language) {
        let message = answer.message();
        assert!(
            message.contains("has no ") && message.contains(language),
            "{message}"
        );
        return;
    }
    assert_eq!(answer.status, 200, "{language}: {}", answer.body);
    let ran: Value = answer.json;
    assert_eq!(
        text(&ran, "stdout").trim(),
        "hello you",
        "{language}: {ran}"
    );
    assert_eq!(ran["exit_code"], 3, "{language}: {ran}");
    let wrong = run(server, &asked(bad));
    assert_ne!(wrong["exit_code"], 0, "{language}: {wrong}");
    assert_eq!(wrong["cause"], "exited", "{language}: {wrong}");
    let said = format!("{}{}", text(&wrong, "stderr"), text(&wrong, "stdout"));
    assert!(!said.is_empty(), "{language} says what is wrong");
}
