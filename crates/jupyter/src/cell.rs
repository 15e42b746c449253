//! A request of the agent's while the kernel works on it: one cell, or code of ours in steps.

use crate::channels::From;
use crate::frame::Ask;
use crate::message::{Content, Heard};
use crate::words::{Words, WordsError};
use serde_json::value::RawValue;
use std::collections::VecDeque;

/// What went wrong, as the agent is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) traceback: String,
}

impl Failure {
    pub(crate) fn new(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.into(),
            traceback: String::new(),
        }
    }
}

/// Something that the kernel is asked to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) code: String,
    /// Whether it is of the agent's, not of ours.
    pub(crate) is_cell: bool,
    /// Whether nothing is shown of it and it does not count.
    pub(crate) silent: bool,
}

/// What the agent is to be told of what a kernel has said.
#[derive(Debug)]
pub(crate) enum Told {
    Nothing,
    Stdout(String),
    Stderr(String),
    /// A value, and whether it is that of the last expression.
    Result(Box<RawValue>, bool),
    /// A value of a language whose kernel does not tell which is that of the last expression.
    Value(Box<RawValue>),
    /// The kernel asks for input.
    Question,
}

/// A request that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: String,
    /// Whether the kernel says of every value only that it is displayed, as R's does.
    displays: bool,
    steps: VecDeque<Step>,
    current: Option<Step>,
    /// The id of what the kernel was asked last.
    asked: String,
    replied: bool,
    idle: bool,
    pub(crate) interrupted: bool,
    failure: Option<Failure>,
}

impl Running {
    /// What there is to do for `ask`, for a kernel of `language`.
    pub(crate) fn new(ask: Ask, language: &str) -> Self {
        let id = ask.id().to_owned();
        let steps = steps(ask, language);
        let failure = steps
            .as_ref()
            .err()
            .map(|error| Failure::new("ValueError", error.to_string()));
        Self {
            id,
            displays: matches!(Words::of(language), Ok(Words::R)),
            steps: steps.unwrap_or_default(),
            current: None,
            asked: String::new(),
            replied: false,
            idle: false,
            interrupted: false,
            failure,
        }
    }

    /// The next step, when there is one and what is before it has ended well.
    pub(crate) fn next(&mut self) -> Option<&Step> {
        let last = self.current.as_ref();
        // What was lent is given back whatever became of the cell.
        if self.failure.is_some() && !last.is_some_and(|step| step.is_cell) {
            self.steps.clear();
        }
        self.current = self.steps.pop_front();
        (self.replied, self.idle) = (false, false);
        self.current.as_ref()
    }

    /// The kernel was asked for the step, by the message `id`.
    pub(crate) fn begun(&mut self, id: String) {
        self.asked = id;
    }

    /// Whether the cell itself is at work, which may be interrupted.
    pub(crate) fn is_at_cell(&self) -> bool {
        self.current.as_ref().is_some_and(|step| step.is_cell)
    }

    /// Whether all was said of the step; `late`: there was time enough to be told that the kernel is idle.
    pub(crate) fn is_done(&self, late: bool) -> bool {
        self.replied && (self.idle || late)
    }

    /// Whether the kernel is done with the step, and what it has published may be still to come.
    pub(crate) fn is_replied(&self) -> bool {
        self.replied
    }

    /// Whether nothing has gone wrong so far.
    pub(crate) fn is_well(&self) -> bool {
        self.failure.is_none()
    }

    /// What became of it.
    pub(crate) fn outcome(self) -> Option<Failure> {
        match self.failure {
            // The name that an interrupt has in Python, so that clients know one name for it.
            Some(failure) if self.interrupted => Some(Failure {
                name: "KeyboardInterrupt".to_owned(),
                value: String::new(),
                ..failure
            }),
            failure => failure,
        }
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Takes in what the kernel has said.
    pub(crate) fn hear(&mut self, from: From, heard: &Heard) -> Told {
        if heard.parent.as_deref() != Some(&self.asked) {
            return Told::Nothing;
        }
        let content = match heard.content() {
            Ok(content) => content,
            Err(unreadable) => {
                if matches!(from, From::Shell | From::Published) {
                    self.fail(Failure::new("KernelMessageError", unreadable.to_string()));
                }
                // Its end is one all the same.
                Content::default()
            }
        };
        match (from, heard.kind.as_str()) {
            (From::Shell, "execute_reply") => self.reply(content),
            (From::Published, "status") => {
                self.idle |= content.execution_state.as_deref() == Some("idle");
                Told::Nothing
            }
            (From::Published, "error") => {
                self.fail(failure(content));
                Told::Nothing
            }
            (From::Published, kind) => self.shown(kind, content),
            (From::Input, "input_request") => {
                let text = "cells have no standard input; pass values in the code or in files";
                self.fail(Failure::new("StdinNotImplementedError", text));
                Told::Question
            }
            _ => Told::Nothing,
        }
    }

    fn reply(&mut self, content: Content) -> Told {
        self.replied = true;
        match content.status.as_deref() {
            Some("ok") => {}
            // Kernels say `abort` or `aborted` and nothing else of it.
            Some("error") => self.fail(failure(content)),
            _ if self.interrupted => self.fail(Failure::new("KeyboardInterrupt", "")),
            _ => {
                let text = "the kernel did not run the cell";
                self.fail(Failure::new("ExecutionAborted", text));
            }
        }
        Told::Nothing
    }

    fn shown(&self, kind: &str, content: Content) -> Told {
        let step = self.current.as_ref();
        if !step.is_some_and(|step| step.is_cell) {
            return Told::Nothing;
        }
        let silent = step.is_some_and(|step| step.silent);
        match (kind, content.name.as_deref(), content.text, content.data) {
            ("stream", Some("stderr"), Some(text), _) => Told::Stderr(text),
            ("stream", _, Some(text), _) => Told::Stdout(text),
            ("display_data", _, _, Some(data))
                if !silent && self.displays && !is_picture(&data) =>
            {
                Told::Value(data)
            }
            ("execute_result" | "display_data", _, _, Some(data)) if !silent => {
                Told::Result(data, kind == "execute_result")
            }
            _ => Told::Nothing,
        }
    }
}

fn steps(ask: Ask, language: &str) -> Result<VecDeque<Step>, WordsError> {
    let ours = |code: String| Step {
        code,
        is_cell: false,
        silent: true,
    };
    let mut steps = VecDeque::new();
    match ask {
        Ask::SetEnv { env, .. } if env.is_empty() => {}
        Ask::SetEnv { env, .. } => steps.push_back(ours(Words::of(language)?.change(&env)?)),
        Ask::Cd { path, .. } => steps.push_back(ours(Words::of(language)?.directory(&path)?)),
        Ask::Execute {
            code, env, silent, ..
        } => {
            let cell = Step {
                code,
                is_cell: true,
                silent,
            };
            match env.filter(|env| !env.is_empty()) {
                Some(env) => {
                    let words = Words::of(language)?;
                    let back = words.give_back().to_owned();
                    steps.extend([ours(words.lend(&env)?), cell, ours(back)]);
                }
                None => steps.push_back(cell),
            }
        }
    }
    Ok(steps)
}

/// Whether it has a form that is a picture.
fn is_picture(data: &RawValue) -> bool {
    data.get().contains("\"image/")
}

fn failure(content: Content) -> Failure {
    let traceback = content.traceback.unwrap_or_default();
    Failure {
        name: content.ename.unwrap_or_default(),
        value: plain(&content.evalue.unwrap_or_default()),
        traceback: plain(&traceback.join("\n")),
    }
}

/// `text` without what colours it on a terminal: `ESC [`, numbers, a letter.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        let mut rest = rest.chars();
        rest.next();
        plain.push_str(rest.as_str());
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execute(env: &str) -> Ask {
        let text = format!(r#"{{"type":"execute","id":"7","code":"1","env":{env}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn begun(env: &str) -> Running {
        let mut running = Running::new(execute(env), "R");
        running.next().unwrap();
        running.begun("m1".to_owned());
        running
    }

    fn say(running: &mut Running, from: From, kind: &str, content: &str) -> Told {
        running.hear(from, &Heard::of(kind, "m1", content))
    }

    #[test]
    fn a_cell_is_done_when_it_was_answered_and_the_kernel_is_idle() {
        let mut running = begun("null");
        let told = say(
            &mut running,
            From::Published,
            "stream",
            r#"{"name":"stdout","text":"a"}"#,
        );
        assert!(matches!(told, Told::Stdout(text) if text == "a"));
        let told = say(
            &mut running,
            From::Published,
            "execute_result",
            r#"{"data":{"text/plain":"1"}}"#,
        );
        assert!(matches!(told, Told::Result(data, true) if data.get() == r#"{"text/plain":"1"}"#));
        say(
            &mut running,
            From::Shell,
            "execute_reply",
            r#"{"status":"ok"}"#,
        );
        assert!(!running.is_done(false) && running.is_done(true));
        let of_another = Heard::of("status", "m0", r#"{"execution_state":"idle"}"#);
        running.hear(From::Published, &of_another);
        assert!(!running.is_done(false));
        say(
            &mut running,
            From::Published,
            "status",
            r#"{"execution_state":"idle"}"#,
        );
        assert!(running.is_done(false));
        assert!(running.next().is_none());
        assert_eq!(running.outcome(), None);
    }

    #[test]
    fn what_was_lent_is_given_back_from_a_cell_that_fails() {
        let mut running = begun(r#"{"A":"1"}"#);
        assert!(!running.is_at_cell());
        assert!(running.next().unwrap().is_cell);
        let error = r#"{"ename":"E","evalue":"no","traceback":["\u001b[0;31mred\u001b[0m","2"]}"#;
        say(&mut running, From::Published, "error", error);
        say(
            &mut running,
            From::Shell,
            "execute_reply",
            r#"{"status":"error","ename":"other"}"#,
        );
        assert!(running.next().unwrap().code.contains("soulbox.lent"));
        assert!(running.next().is_none());
        let failure = running.outcome().unwrap();
        assert_eq!(
            (failure.name.as_str(), failure.traceback.as_str()),
            ("E", "red\n2")
        );
    }

    #[test]
    fn nothing_runs_when_variables_cannot_be_lent() {
        let mut running = begun(r#"{"A":"1"}"#);
        say(
            &mut running,
            From::Shell,
            "execute_reply",
            r#"{"status":"error","ename":"E"}"#,
        );
        assert!(running.next().is_none());
        assert!(running.outcome().is_some());
        let mut other = Running::new(execute(r#"{"A":"1"}"#), "julia");
        assert!(other.next().is_none());
        assert_eq!(other.outcome().unwrap().name, "ValueError");
    }

    #[test]
    fn an_interrupt_has_one_name() {
        let mut running = begun("null");
        running.interrupted = true;
        say(
            &mut running,
            From::Shell,
            "execute_reply",
            r#"{"status":"abort"}"#,
        );
        assert_eq!(running.outcome().unwrap().name, "KeyboardInterrupt");
        let mut running = begun("null");
        say(
            &mut running,
            From::Shell,
            "execute_reply",
            r#"{"status":"aborted"}"#,
        );
        assert_eq!(running.outcome().unwrap().name, "ExecutionAborted");
    }
}
