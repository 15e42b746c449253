//! Lists the recipes in `templates/` and the other trees that recipes may ask for, so that the program has them in
//! itself: what a recipe of ours is made from needs no files beside the program.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script reads cargo's variables"
)]
#![allow(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on standard output"
)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where trees are, each in a directory of its own.
const PLACES: [&str; 2] = ["templates", "kernels"];

/// What is in a checkout for those who work on it, and in no template.
const LEFT_OUT: [&str; 6] = [
    "README.md",
    "__pycache__",
    "node_modules",
    "test",
    "tests",
    ".gitignore",
];

fn main() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let top = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let top = fs::canonicalize(top).map_err(|error| error.to_string())?;
    let mut code = String::from("pub(super) const TREES: &[(&str, &[File])] = &[\n");
    for place in PLACES {
        // A tree that is new is a change of the place.
        println!("cargo::rerun-if-changed={}", top.join(place).display());
        let trees = entries(&top.join(place))?;
        for tree in trees.into_iter().filter(|path| path.is_dir()) {
            let _ = writeln!(code, "    ({:?}, &[", format!("{place}/{}", name(&tree)));
            files(&tree, &tree, &mut code)?;
            code.push_str("    ]),\n");
        }
    }
    code.push_str("];\n");
    let path = Path::new(&variable("OUT_DIR")?).join("trees.rs");
    fs::write(&path, code).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a line for each file of `tree` below `directory`.
fn files(tree: &Path, directory: &Path, code: &mut String) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", directory.display());
    for path in entries(directory)? {
        if LEFT_OUT.contains(&name(&path).as_str()) {
            continue;
        }
        if path.is_dir() {
            files(tree, &path, code)?;
            continue;
        }
        println!("cargo::rerun-if-changed={}", path.display());
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode();
        let below = path.strip_prefix(tree).map_err(|error| error.to_string())?;
        let executable = mode & 0o111 != 0;
        let _ = writeln!(
            code,
            "        ({below:?}, {executable}, include_bytes!({path:?})),"
        );
    }
    Ok(())
}

/// What is in a directory, in order.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
