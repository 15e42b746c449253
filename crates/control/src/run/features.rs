//! By what runs are alike: the language of the code and the libraries that it imports. This is a look at the text and no
//! parser: what it misses or takes for an import puts the run among others, and no more.

use soulbox_node::execute::python_imports;
use std::collections::BTreeSet;

/// How much of the code is looked at, in bytes: imports stand at the top.
const LOOKED: usize = 64 * 1024;
/// The most libraries that count.
const MOST: usize = 64;
/// The longest name of one.
const LONGEST: usize = 64;

/// The libraries that code of a language imports, in one order, each once.
pub(super) fn imports(language: &str, code: &[u8]) -> BTreeSet<String> {
    let looked = code.get(..LOOKED).unwrap_or(code);
    let mut found = BTreeSet::new();
    match language {
        "python" => python_imports(looked).for_each(|name| keep(&mut found, name)),
        "javascript" | "typescript" => of_javascript(&String::from_utf8_lossy(looked), &mut found),
        _ => {}
    }
    found
}

fn keep(found: &mut BTreeSet<String>, name: &str) {
    let fits = (1..=LONGEST).contains(&name.len())
        && name
            .chars()
            .all(|letter| letter.is_alphanumeric() || "_-@/.".contains(letter));
    if fits && found.len() < MOST {
        found.insert(name.to_owned());
    }
}

fn of_javascript(text: &str, found: &mut BTreeSet<String>) {
    for word in ["require(", "import(", "from ", "import "] {
        for (at, _) in text.match_indices(word) {
            let rest = text.get(at + word.len()..).unwrap_or_default().trim_start();
            let Some(quote) = rest.chars().next().filter(|first| "'\"`".contains(*first)) else {
                continue;
            };
            let name = rest.get(1..).and_then(|rest| rest.split_once(quote));
            let name = name.map(|(name, _)| name.strip_prefix("node:").unwrap_or(name));
            if let Some(name) = name.filter(|name| !name.starts_with(['.', '/'])) {
                let parts = if name.starts_with('@') { 2 } else { 1 };
                let parts: Vec<_> = name.splitn(parts + 1, '/').take(parts).collect();
                keep(found, &parts.join("/"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(language: &str, code: &str) -> String {
        let found: Vec<_> = imports(language, code.as_bytes()).into_iter().collect();
        found.join(" ")
    }

    #[test]
    fn libraries_are_found() {
        let python = "import os.path as p, numpy\nfrom pandas.core import x\n    import json; x = 1\nfrom . import y\n";
        assert_eq!(seen("python", python), "json numpy os pandas");
        let script = "import a from 'lodash/fp'\nconst b = require( \"node:fs\" )\nimport '@x/y/z'\nimport './own'\n";
        assert_eq!(seen("javascript", script), "@x/y fs lodash");
        assert_eq!(seen("bash", "import numpy"), "");
    }

    #[test]
    fn any_text_is_bounded() {
        let many: String = (0..1000).map(|n| format!("import m{n}\n")).collect();
        assert_eq!(imports("python", many.as_bytes()).len(), MOST);
        let odd = format!(
            "import {}\nimport a\u{0}b\nfrom \u{fffd}\nimport",
            "x".repeat(5000)
        );
        assert_eq!(seen("python", &odd), "a");
        assert_eq!(imports("javascript", b"from '\xff\xfe require(\"").len(), 0);
        let cut = format!("{}ä", "#".repeat(LOOKED - 1));
        assert_eq!(seen("python", &cut), "");
    }
}
