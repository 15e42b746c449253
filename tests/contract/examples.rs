//! The examples that people read: each runs, and prints what it promises.

use crate::client::Client;
use crate::script::run_example;

const PYTHON: Client = Client::PythonInterpreter("2.11.5");
const JAVASCRIPT: Client = Client::JavaScriptInterpreter("2.8.0");

/// Asserts that each of the texts stands in `told`.
#[track_caller]
fn holds(told: &str, texts: &[&str]) {
    for text in texts {
        assert!(told.contains(text), "no {text:?} in {told}");
    }
}

#[test]
fn the_first_steps_are_as_interpreter_clients_expect() {
    let texts = [
        "x is 2\n",
        "hello from outside\n",
        "a command ran as user\n",
    ];
    holds(&run_example(PYTHON, "quickstart.py", &[]), &texts);
    holds(&run_example(JAVASCRIPT, "quickstart.mjs", &[]), &texts);
}

#[test]
fn an_interpreter_is_a_notebook() {
    let directory = tempfile::tempdir().expect("a directory");
    let told = run_example(PYTHON, "notebook.py", &[directory.path()]);
    holds(
        &told,
        &[
            "[1] a table: {'region': ['north', 'south'], 'sales': [405, 245]}\n",
            "[2] a line chart, 'Sales by month':\n",
            "[2]   north: [(1, 120), (2, 135), (3, 150)]\n",
            "[3] KeyError: 'profit'\n",
            "[4] 150\n",
            "[5] 7\n",
            "[6] [ 'month', 'region', 'sales' ]\n",
        ],
    );
    let picture = std::fs::read(directory.path().join("cell-2.png")).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG"));
}

#[test]
fn a_model_uses_an_interpreter_as_its_tool() {
    let told = run_example(PYTHON, "tool_call.py", &[]);
    holds(
        &told,
        &["\"error\": \"NameError:", "(1060, 25)", "their sum is 1060"],
    );
}
