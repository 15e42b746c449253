//! The commands that run a program: a language's way with its blanks filled in.

use crate::execute::program::Program;
use soulbox_model::language::Way;

/// Where a compiler puts the program: outside the home, so that it meets no file of the code.
const OUT: &str = "/tmp/.soulbox-program";

/// Where a compiler puts classes.
const CLASSES: &str = "/tmp/.soulbox-classes";

/// The commands of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The compiler's command, where there is one.
    pub compile: Option<Vec<String>>,
    /// The program's command, with its arguments.
    pub run: Vec<String>,
    /// What the compiler makes, where there is one.
    pub product: Option<Product>,
}

/// What a compiler makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Product {
    /// This file.
    File(String),
    /// The files below this directory.
    Directory(String),
}

impl Plan {
    /// The commands of `way` for `program`.
    pub fn of(way: &Way, program: &Program, arguments: &[String]) -> Self {
        let compile = (!way.compile.is_empty()).then(|| fill(way.compile, program));
        let mut run = fill(way.run, program);
        let product = compile.as_ref().and_then(|_| product(way));
        run.extend(arguments.iter().cloned());
        Self {
            compile,
            run,
            product,
        }
    }
}

/// What the command that runs a program takes of its compiler.
fn product(way: &Way) -> Option<Product> {
    way.run.iter().find_map(|word| match *word {
        "{classes}" => Some(Product::Directory(CLASSES.to_owned())),
        word if word.starts_with("{out}") => Some(Product::File(word.replace("{out}", OUT))),
        _ => None,
    })
}

fn fill(words: &[&str], program: &Program) -> Vec<String> {
    let mut filled = Vec::new();
    for word in words {
        if *word == "{sources}" {
            filled.extend(program.sources.iter().cloned());
            continue;
        }
        let word = word.replace("{file}", &program.entry).replace("{out}", OUT);
        let word = word.replace("{classes}", CLASSES);
        filled.push(word.replace("{class}", &program.class));
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::Language;

    fn plan(language: &str, code: &str) -> Plan {
        let language = Language::named(language).unwrap();
        let program = Program::of_code(code.as_bytes().to_vec().into(), language, None);
        Plan::of(
            &language.ways[0],
            &program,
            &["-x".to_owned(), "{out}".to_owned()],
        )
    }

    #[test]
    fn an_interpreter_gets_the_file_and_the_arguments() {
        let plan = plan("python", "");
        assert_eq!((&plan.compile, &plan.product), (&None, &None));
        assert_eq!(plan.run, ["python3", "/home/user/main.py", "-x", "{out}"]);
    }

    #[test]
    fn a_compiler_runs_first() {
        let plan = plan("java", "public class Fib {}");
        let classes = Product::Directory("/tmp/.soulbox-classes".to_owned());
        assert_eq!(plan.product, Some(classes));
        let compile = plan.compile.unwrap().join(" ");
        assert_eq!(
            compile,
            "javac -d /tmp/.soulbox-classes /home/user/Fib.java"
        );
        assert_eq!(
            plan.run[..4],
            ["java", "-cp", "/tmp/.soulbox-classes", "Fib"]
        );
    }
}
