//! Turns `policy/*.toml` into Rust tables and a system-call filter, so that nothing of it is
//! parsed or compiled when a sandbox starts. A mistake in a policy file fails the build.
//!
//! | Step | File |
//! |---|---|
//! | reading the system-call rules | [`rules`] |
//! | the rules as a BPF program | [`filter`], [`tree`], [`program`] |
//! | all other tables | [`tables`] |

#[path = "policy/filter.rs"]
pub(crate) mod filter;
#[path = "policy/program.rs"]
pub(crate) mod program;
#[path = "policy/rules.rs"]
pub(crate) mod rules;
#[path = "policy/tables.rs"]
pub(crate) mod tables;
#[path = "policy/tree.rs"]
pub(crate) mod tree;

use program::Instruction;
use rules::Architecture;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes `filter.rs`, `zygote_filter.rs` and `policy.rs` into `OUT_DIR`.
pub(crate) fn build() -> Result<(), String> {
    let directory = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../../policy");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let architecture = Architecture::from_name(&variable("CARGO_CFG_TARGET_ARCH")?)?;
    let calls = read(&directory, "seccomp.toml")?;
    let rules = rules::parse(&calls, architecture).map_err(|e| format!("seccomp.toml: {e}"))?;
    let program = filter::compile(&rules)?;
    write(&out.join("filter.rs"), &filter_source(&program))?;
    let beyond = read(&directory, "zygote.toml")?;
    let zygote = rules.of_zygote(&beyond);
    let zygote = zygote.map_err(|e| format!("zygote.toml: {e}"))?;
    let program = filter::compile(&zygote)?;
    write(&out.join("zygote_filter.rs"), &filter_source(&program))?;
    let mut source = rules::source(&rules);
    for (name, table) in tables::TABLES {
        let text = read(&directory, name)?;
        source += &table(&text).map_err(|error| format!("{name}: {error}"))?;
    }
    write(&out.join("policy.rs"), &source)
}

/// The program as a Rust expression.
fn filter_source(program: &[Instruction]) -> String {
    let mut source = String::from("&[\n");
    for Instruction { code, jt, jf, k } in program {
        // Writing to a string does not fail.
        let _ = writeln!(
            source,
            "    Instruction {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},"
        );
    }
    source + "]\n"
}

fn read(directory: &Path, name: &str) -> Result<String, String> {
    let path = directory.join(name);
    println!("cargo::rerun-if-changed={}", path.display());
    std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("cannot read the variable {name}: {error}"))
}
