//! The documents that are made from the code.

use crate::process::{output, run};
use crate::{compatibility, policy, tell};
use std::fs;

const SETTINGS: &str = "docs/settings.md";
const CLI: &str = "docs/cli.md";
const PROGRAM: &str = "target/debug/soulbox";

const CLI_HEAD: &str = "\
# Command line

<!-- Made by `cargo xtask docs` from the program's own help. Do not edit. -->

Output for people goes to stdout, what is told about it to stderr. Progress and colours are shown on a
terminal only; `NO_COLOR` turns colours off. `--json` prints one object on one line.
";

/// Writes the documents.
pub(crate) fn write() -> Result<(), String> {
    for (path, text) in documents()? {
        fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
        tell(&format!("wrote {path}"));
    }
    Ok(())
}

/// Fails when a document is not what the code says.
pub(crate) fn check() -> Result<(), String> {
    for (path, text) in documents()? {
        let there = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        if there != text {
            return Err(format!(
                "{path} is not up to date: run `cargo xtask docs` and commit it"
            ));
        }
    }
    tell("docs: up to date");
    Ok(())
}

fn documents() -> Result<[(&'static str, String); 4], String> {
    let settings = soulbox_settings::document::markdown().map_err(|error| error.to_string())?;
    run(&["cargo", "build", "--quiet", "--package", "soulbox"])?;
    let mut page = CLI_HEAD.to_owned();
    describe(&[], &mut page)?;
    let policy = policy::document()?;
    let compatibility = compatibility::document()?;
    Ok([
        (SETTINGS, settings),
        (CLI, page),
        (policy::PATH, policy),
        (compatibility::PATH, compatibility),
    ])
}

/// Adds the help of a verb and of the verbs below it.
fn describe(verb: &[&str], page: &mut String) -> Result<(), String> {
    let words: Vec<&str> = [PROGRAM].into_iter().chain(verb.iter().copied()).collect();
    let help = output(&[&words[..], &["--help"]].concat())?;
    let title = [&["soulbox"], verb].concat().join(" ");
    page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", tidy(&help)));
    for below in verbs(&help) {
        describe(&[verb, &[below]].concat(), page)?;
    }
    Ok(())
}

/// The help without blanks at line ends.
fn tidy(help: &str) -> String {
    help.trim_end()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The verbs that a help text lists.
fn verbs(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let named = |line: &'_ str| line.starts_with("  ") && !line.starts_with("   ");
    let verbs = lines
        .filter(|line| named(line))
        .filter_map(|line| line.split_whitespace().next());
    verbs.filter(|verb| *verb != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_read_from_the_help() {
        let help = "What\n\nCommands:\n  run   Run a\n        long text\n  shell Open\n  help  Print\n\nOptions:\n  -h";
        assert_eq!(verbs(help), ["run", "shell"]);
        assert_eq!(verbs("Usage: x"), Vec::<&str>::new());
    }
}
