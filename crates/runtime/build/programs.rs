//! Builds what is embedded: static programs - the agent, the spawner and the bridge to kernels of Jupyter - and the
//! zygote's library.
//!
//! They are built by an inner cargo in a target directory of its own, for an outer one waits for
//! the lock of its own. The reasons for each step are in `docs/decisions/0001-static-programs.md`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, as `(package, binary)`.
const PROGRAMS: [(&str, &str); 3] = [
    ("soulbox-agent", "soulbox-agent"),
    ("soulbox-jupyter", "soulbox-jupyter"),
    ("soulbox-runtime", "soulbox-spawner"),
];

/// Set for the inner cargo, whose own run of this script must not build again.
const INNER: &str = "SOULBOX_INNER_BUILD";

/// A directory with programs ready-made, for packagers and quick checks. Those that it lacks are built.
const READY_MADE: &str = "SOULBOX_PROGRAMS_DIR";

/// No relocation at start: a third less private memory in each sandbox, at the price of a known
/// address of the program itself (heap and stack stay random).
const FIXED: &str = "-Crelocation-model=static";

/// The zygote's library, as it is embedded.
const LIBRARY: &str = "zygote.so";

/// Links the library without the C library and without what starts programs, and has the linker
/// refuse whatever it would then miss: it is loaded beside any C library.
const FREESTANDING: [&str; 3] = [
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-Wl,-z,defs",
];

/// Puts the programs and the library into `OUT_DIR`.
pub(crate) fn build() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={READY_MADE}");
    let out = PathBuf::from(variable("OUT_DIR")?);
    if std::env::var_os(INNER).is_some() {
        let names = PROGRAMS.iter().map(|(_, name)| *name);
        return names
            .chain([LIBRARY])
            .try_for_each(|name| write(&out.join(name), &[]));
    }
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let target = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR has no target directory")?;
    let inner = target.join("static");
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    build_library(&inner, &arch, &out)?;
    let ready_made = std::env::var_os(READY_MADE).map(PathBuf::from);
    let mut words = vec!["build"];
    let mut missing = Vec::new();
    for (package, name) in PROGRAMS {
        match ready_made.as_ref().map(|directory| directory.join(name)) {
            Some(program) if program.is_file() => {
                println!("cargo::rerun-if-changed={}", program.display());
                embed(&program, &out.join(name))?;
            }
            _ => {
                words.extend(["-p", package, "--bin", name]);
                missing.push(name);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (triple, flags) = choose_target(&arch)?;
    run_cargo(&inner, &triple, &flags, &words)?;
    let products = inner.join(&triple).join("static");
    for name in missing {
        embed(&products.join(name), &out.join(name))?;
        watch(&products.join(format!("{name}.d")))?;
    }
    Ok(())
}

/// Builds the zygote's library. Without a C library it is the same for all, so the usual target
/// serves, which links libraries without ado.
fn build_library(inner: &Path, arch: &str, out: &Path) -> Result<(), String> {
    let triple = format!("{arch}-unknown-linux-gnu");
    let words = ["rustc", "-p", "soulbox-zygote", "--lib"];
    let library = ["--features", "freestanding", "--crate-type", "cdylib"];
    run_cargo(
        inner,
        &triple,
        &FREESTANDING,
        &[&words[..], &library].concat(),
    )?;
    let products = inner.join(&triple).join("static");
    embed(&products.join("libsoulbox_zygote.so"), &out.join(LIBRARY))?;
    watch(&products.join("libsoulbox_zygote.d"))
}

/// The musl target when it is installed, else the C library's own static form.
fn choose_target(arch: &str) -> Result<(String, Vec<&'static str>), String> {
    let musl = format!("{arch}-unknown-linux-musl");
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", &musl])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    let libraries = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&libraries).is_dir() {
        return Ok((musl, vec![FIXED]));
    }
    println!(
        "cargo::warning=the target {musl} is not installed, so the agent is linked with this \
         machine's C library and takes more memory; 'rustup target add {musl}' mends it"
    );
    Ok((
        format!("{arch}-unknown-linux-gnu"),
        vec![FIXED, "-Ctarget-feature=+crt-static"],
    ))
}

fn run_cargo(target: &Path, triple: &str, flags: &[&str], words: &[&str]) -> Result<(), String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .ancestors()
        .nth(2)
        .ok_or("the workspace is not where it was")?;
    let mut cargo = Command::new(variable("CARGO")?);
    // What the outer cargo tells its build scripts would change the inner build: wrappers of
    // clippy, flags meant for the host, the outer profile.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = name.starts_with("CARGO") || name.starts_with("RUST");
        let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_OFFLINE"].contains(&name.as_ref())
            || ["CARGO_HTTP_", "CARGO_REGISTR", "RUSTUP_"]
                .iter()
                .any(|p| name.starts_with(p));
        if ours && !kept {
            cargo.env_remove(name.as_ref());
        }
    }
    cargo
        .env(INNER, "1")
        .current_dir(workspace)
        .args(words)
        .args(["--locked", "--profile", "static"]);
    cargo
        .arg("--target")
        .arg(triple)
        .arg("--target-dir")
        .arg(target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("cargo {} fails", words.join(" ")))
}

/// Copies a program to a place in `OUT_DIR` after a check that it needs no loader.
fn embed(program: &Path, place: &Path) -> Result<(), String> {
    let bytes =
        std::fs::read(program).map_err(|error| format!("cannot read {program:?}: {error}"))?;
    if has_interpreter(&bytes) {
        return Err(format!(
            "{program:?} is dynamically linked; it would not start in a sandbox"
        ));
    }
    write(place, &bytes)
}

/// Whether an ELF file asks for a dynamic loader (a program header of type PT_INTERP = 3).
fn has_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| {
        elf.get(at..at + size).map_or(0, |bytes| {
            bytes
                .iter()
                .rev()
                .fold(0_usize, |value, byte| value << 8 | usize::from(*byte))
        })
    };
    let (table, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).any(|index| number(table + index * size, 4) == 3)
}

/// Watches everything that cargo's dependency file names, and what it leaves out.
fn watch(dependencies: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(dependencies)
        .map_err(|error| format!("cannot read {dependencies:?}: {error}"))?;
    let sources = text.split_once(": ").map_or("", |(_, sources)| sources);
    for source in sources.replace("\\ ", "\u{0}").split_whitespace() {
        println!("cargo::rerun-if-changed={}", source.replace('\u{0}', " "));
    }
    for manifest in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed=../../{manifest}");
    }
    let packages = [
        "agent",
        "jupyter",
        "runtime",
        "syscall",
        "syscall/zygote",
        "wire",
        "settings",
        "model",
    ];
    for package in packages {
        println!("cargo::rerun-if-changed=../{package}/Cargo.toml");
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {path:?}: {error}"))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}
