//! The kernels' own suites, run where kernels run: in the template that has them, with its Python, its Node.js and its
//! libraries. Each takes about half a minute, most of which it waits. Java's is in `./test --all` alone, for its template
//! takes some minutes to build.

use soulbox_tests::{Soulbox, templates};
use std::path::Path;

/// Puts the suites of the checkout beside a copy of the kernels in the template, which are of the same files.
const PREPARE: &str = "set -e\n\
    cp -r /usr/lib/soulbox/kernels /tmp/\n\
    for suite in python/tests bash/tests javascript/test java/tests; do\n\
        [ ! -e /tmp/kernels/${suite%/*} ] || cp -r /mnt/$suite /tmp/kernels/${suite%/*}/\n\
    done\n\
    cd /tmp/kernels\n";

/// The template of most kernels, behind that which it is made from.
const USUAL: [&str; 2] = [templates::BASE, templates::INTERPRETER];

/// Runs the suite of a kernel in a sandbox of the last of these templates.
fn pass(made: &[&str], command: &str) {
    let soulbox = Soulbox::new();
    templates::share(&soulbox, made);
    let template = made.last().copied().unwrap_or_default();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kernels = format!("{}:/mnt:ro", checkout.join("kernels").display());
    let agent = checkout.join("crates/agent/src/ready");
    let agent = format!("{}:/agent:ro", agent.display());
    let script = format!("{PREPARE}{command}");
    let arguments = [
        "run",
        "-t",
        template,
        "--memory",
        "1G",
        "--timeout",
        "170s",
        "--mount",
        &kernels,
        "--mount",
        &agent,
        "-l",
        "bash",
        "-c",
        &script,
    ];
    let ran = soulbox.run(arguments);
    let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), ran.stderr);
    let last = told
        .char_indices()
        .rev()
        .nth(20_000)
        .map_or(0, |(at, _)| at);
    assert_eq!(ran.code, 0, "{}", &told[last..]);
    assert!(told.contains("Ran ") || told.contains("# pass "), "{told}");
}

#[test]
fn python_passes_its_suite() {
    pass(
        &USUAL,
        "cd python && python3 -m unittest discover -t . -s tests",
    );
}

#[test]
fn bash_passes_its_suite() {
    pass(
        &USUAL,
        "cd bash && python3 -m unittest discover -t . -s tests",
    );
}

#[test]
fn javascript_passes_its_suite() {
    // What waits for one-shot scripts lies in the agent.
    pass(
        &USUAL,
        "cd javascript && SOULBOX_WAIT=/agent/wait.cjs node --test test/",
    );
}

#[test]
#[ignore = "long: ./test --all runs it"]
fn java_passes_its_suite() {
    pass(
        &[templates::BASE, templates::INTERPRETER, templates::FULL],
        "cd java && python3 -m unittest discover -t . -s tests",
    );
}
