//! The tests in a virtual machine whose Linux is older than most and has nothing but cgroup v2.
//!
//! `xtask/vm/image.sh` makes its root from the host's own packages, `xtask/vm/init` is its first
//! process. Its processor is emulated, so that it starts everywhere.

mod boot;
mod programs;

use crate::process::{exists, run};
use crate::tally::Tally;
use crate::tell;
use boot::Ended;
use programs::Program;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where everything of the machine lies. Removing it only costs time.
const DIRECTORY: &str = "target/vm";
/// How long the short form may take before it is ended: ten times what it takes.
const SHORT_LIMIT: Duration = Duration::from_secs(600);
/// How long the other forms may take.
const LONG_LIMIT: Duration = Duration::from_secs(1800);

/// Which tests run in the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// What limits, ends and cleans up: a minute.
    Short,
    /// Every test program that makes sandboxes.
    Long,
    /// One test program, with words for it.
    One(&'a str, &'a [&'a str]),
}

/// Tests that run in the machine: their crate, their program, the words for it.
type Tests = (&'static str, &'static str, &'static [&'static str]);

/// The short form. A test program that is not built yet is an error.
const SHORT: &[Tests] = &[
    ("node", "engine", &[]),
    (
        "tests",
        "cli",
        &["limits::", "leftover::", "ending::", "run::hello_world"],
    ),
    (
        "tests",
        "attacks",
        &["mount::", "namespace::", "neighbour::"],
    ),
];

/// The crates whose test programs are the long form.
const LONG: &[&str] = &["syscall", "agent", "runtime", "node", "tests"];

/// What the machine lacks, by the crate and the program that wants it.
const NOT_THERE: &[Tests] = &[(
    "tests",
    "cli",
    // Compilers, and a mirror of Debian packages.
    &[
        "--skip=json::a_compiler_error_is_told_as_such",
        "--skip=language::",
        "--skip=template::template_build",
    ],
)];

/// Whether this machine's distribution has the Linux that is booted.
pub(crate) fn is_possible() -> bool {
    Path::new(DIRECTORY).join("linux").is_dir()
        || exists(&["apt-cache", "show", "linux-image-cloud-amd64"])
}

/// Builds the programs, makes the machine, and runs them in it. Counts into `tally`.
pub(crate) fn test(form: Form<'_>, tally: &mut Tally) -> Result<(), String> {
    run(&["cargo", "build", "--quiet", "--release"])?;
    let programs = programs::build()?;
    let work = work(form, &programs)?;
    let directory = Path::new(DIRECTORY);
    let failed = |error| format!("cannot write to {DIRECTORY}: {error}");
    fs::create_dir_all(directory).map_err(failed)?;
    let lock = fs::File::create(directory.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    fs::write(directory.join("work"), work).map_err(failed)?;
    fs::write(directory.join("files"), programs::files(&programs)?).map_err(failed)?;
    run(&["xtask/vm/image.sh", DIRECTORY])?;
    let limit = match form {
        Form::Short => SHORT_LIMIT,
        Form::Long | Form::One(..) => LONG_LIMIT,
    };
    let mut ended = boot::boot(directory, limit, tally);
    if matches!(ended, Ok(Ended::Stopped)) {
        // What the emulator gets wrong once is not SoulBox's; what happens twice is looked at.
        tell("==> the virtual machine's Linux stopped, see above; once more");
        ended = boot::boot(directory, limit, tally);
    }
    // Half a gigabyte that is made anew each time.
    let _ = fs::remove_file(directory.join("root.img"));
    match ended? {
        Ended::Well => Ok(()),
        Ended::Stopped => Err("the virtual machine's Linux stopped twice".to_owned()),
    }
}

/// The list that the machine works off: a directory, a program and its words in each line.
fn work(form: Form<'_>, programs: &[Program]) -> Result<String, String> {
    let mut list = String::new();
    let mut add = |program: &Program, words: &[&str]| {
        list += &format!("{} {}", program.directory, program.path);
        for word in words.iter().chain(skipped(program)) {
            list += &format!(" {word}");
        }
        list.push('\n');
    };
    let tests = || programs.iter().filter(|program| program.is_test);
    match form {
        Form::Short => {
            for (package, name, words) in SHORT {
                let program = tests().find(|program| program.is(package, name));
                let program = program.ok_or_else(|| format!("no test program {package}/{name}"))?;
                add(program, words);
            }
        }
        Form::Long => tests()
            .filter(|program| LONG.contains(&program.package.as_str()))
            .for_each(|program| add(program, &[])),
        Form::One(name, words) => {
            let program = tests().find(|program| program.name == name);
            let known: Vec<&str> = tests().map(|program| program.name.as_str()).collect();
            let program = program
                .ok_or_else(|| format!("no test program {name}; there are {}", known.join(", ")))?;
            add(program, words);
        }
    }
    Ok(list)
}

fn skipped(program: &Program) -> &'static [&'static str] {
    let mut missing = NOT_THERE.iter();
    missing
        .find(|(package, name, _)| program.is(package, name))
        .map_or(&[], |(_, _, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(package: &str, name: &str, is_test: bool) -> Program {
        Program {
            package: package.to_owned(),
            name: name.to_owned(),
            is_test,
            directory: format!("/r/{package}"),
            path: format!("/t/{name}"),
        }
    }

    #[test]
    fn each_form_names_its_programs() {
        let programs = [
            program("node", "engine", true),
            program("agent", "soulbox-agent", false),
            program("tests", "cli", true),
            program("tests", "attacks", true),
            program("xtask", "other", true),
        ];
        let long = work(Form::Long, &programs).unwrap();
        let lines: Vec<&str> = long.lines().collect();
        assert_eq!(lines.len(), 3, "{long}");
        assert_eq!(lines[0], "/r/node /t/engine");
        assert!(lines[1].starts_with("/r/tests /t/cli --skip=json::"));
        assert_eq!(lines[2], "/r/tests /t/attacks");
        let short = work(Form::Short, &programs).unwrap();
        assert!(short.contains("/t/cli limits:: "), "{short}");
        assert!(work(Form::Short, &programs[1..]).is_err());
        let one = work(Form::One("engine", &["mounts"]), &programs).unwrap();
        assert_eq!(one, "/r/node /t/engine mounts\n");
        assert!(work(Form::One("soulbox-agent", &[]), &programs).is_err());
    }
}
