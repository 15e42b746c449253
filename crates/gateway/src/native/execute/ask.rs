//! What a request asks for, and what that means for the engine. A wrong field is named.

use super::content::{Content, Files, check_path};
use crate::body;
use crate::door::Gateway;
use crate::e2b::sandboxes::create::check_variables;
use crate::error::ApiError;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use soulbox_control::RunRequest;
use soulbox_model::{ByteSize, Isolation, Language, Limits, NetworkMode, TeamId};
use soulbox_node::execute::{Execution, Program};
use soulbox_node::template::TemplateStore;
use soulbox_settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most arguments.
const MOST_ARGUMENTS: usize = 10_000;
/// The most bytes of one argument or variable: Linux takes no more (`MAX_ARG_STRLEN`, with its end).
const LONGEST_WORD: usize = 128 * 1024 - 1;
/// The most bytes of all arguments and of all variables.
const MOST_WORDS: usize = 1024 * 1024;

/// What is asked for. A field that is not known is refused: a limit that is misspelt must not be taken for none.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked<'b> {
    language: Option<String>,
    /// The same.
    runtime: Option<String>,
    #[serde(borrow)]
    code: Option<Content<'b>>,
    #[serde(borrow)]
    files: Files<'b>,
    #[serde(borrow)]
    stdin: Option<Content<'b>>,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    timeout_ms: Option<u64>,
    memory_mb: Option<u64>,
    cpu: Option<f64>,
    limits: Option<LimitsWanted>,
    template: Option<String>,
    network: Option<NetworkMode>,
    return_files: Vec<String>,
    workdir: Option<String>,
    user: Option<String>,
}

/// Which limits of memory and processors a run gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LimitsWanted {
    /// Those of the request, or else of the settings.
    Declared,
    /// Less, where runs like it needed less.
    Adaptive,
}

/// Code that can be run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: RunRequest,
    pub(super) stdin: Option<Bytes>,
}

pub(super) fn parse(body: &Bytes) -> Result<Asked<'_>, ApiError> {
    body::parse(body)
}

impl<'b> Asked<'b> {
    /// What is to be run; `body` is what this was read from. Of the output no more than `share` is kept.
    pub(super) fn job(
        self,
        (gateway, team): (&Gateway, &TeamId),
        body: &Bytes,
        share: Option<u64>,
    ) -> Result<Job, ApiError> {
        let control = &gateway.control;
        let template = control.template_of_run(team, self.template.as_deref());
        let template = template.map_err(|error| no_template(gateway, team, error.into()))?;
        self.run_in(template, control.settings(), body, share)
    }

    fn run_in(
        self,
        template: soulbox_model::TemplateName,
        settings: &Settings,
        body: &Bytes,
        share: Option<u64>,
    ) -> Result<Job, ApiError> {
        let limits = limits(self.memory_mb, self.cpu, settings.sandbox.limits())?;
        let timeout = match self.timeout_ms {
            None => settings.sandbox.timeout,
            Some(0) => return Err(ApiError::bad("timeout_ms: it must be at least 1")),
            Some(millis) => Duration::from_millis(millis),
        };
        check_words("args", &self.args)?;
        check_environment(&self.env)?;
        for (name, place) in [("workdir", &self.workdir), ("user", &self.user)] {
            if place
                .as_ref()
                .is_some_and(|text| text.is_empty() || text.contains('\0'))
            {
                return Err(ApiError::bad(format!(
                    "{name}: it must not be empty or hold NUL"
                )));
            }
        }
        let language = language(self.language.as_deref(), self.runtime.as_deref())?;
        let code = self
            .code
            .ok_or_else(|| ApiError::bad("code: it is missing"))?;
        let code = code.into_bytes(body);
        too_large(code.len(), settings)?;
        let language = match language {
            Some(language) => language,
            None => Language::of_code(&code)
                .map_err(|error| ApiError::bad(format!("code: {error}")))?
                .unwrap_or_else(Language::default_for_code),
        };
        let mut program = Program::of_code(code, language, None);
        let files = self.files.into_files(body, settings.execute.files)?;
        program
            .add_files(files)
            .map_err(|error| ApiError::bad(format!("files: {error}")))?;
        let returns = self.return_files;
        if returns.len() > settings.execute.return_files as usize {
            let most = settings.execute.return_files;
            return Err(ApiError::bad(format!(
                "return_files: there are more than {most} (setting execute.return_files)"
            )));
        }
        for path in &returns {
            check_path("return_files", path)?;
        }
        let most = settings.sandbox.output.bytes();
        let execution = Execution {
            program,
            arguments: self.args,
            variables: self.env,
            uploads: Vec::new(),
            downloads: Vec::new(),
            timeout,
            output_limit: Some(share.map_or(most, |share| share.min(most))),
            drain: settings.execute.drain,
            file_limit: settings.execute.file.bytes(),
            user: self.user,
            workdir: self.workdir,
            builds: None,
        };
        Ok(Job {
            stdin: self.stdin.map(|stdin| stdin.into_bytes(body)),
            request: RunRequest {
                template,
                limits,
                adaptive: self.limits.map_or(settings.execute.adaptive, |wanted| {
                    wanted == LimitsWanted::Adaptive
                }),
                network: self.network.unwrap_or(NetworkMode::None),
                isolation: Isolation::Namespace,
                execution,
                returns,
            },
        })
    }
}

/// For fuzzing: what is kept of a body holds to its bounds.
#[cfg(fuzzing)]
pub(super) fn fuzz(body: &Bytes) -> Result<(), ApiError> {
    let Ok(settings) = Settings::with(&[]) else {
        return Ok(());
    };
    let template = soulbox_model::TemplateName::host();
    let job = parse(body)?.run_in(template, &settings, body, None)?;
    assert!(job.request.limits.check().is_ok());
    assert!(!job.request.execution.timeout.is_zero());
    for file in &job.request.execution.program.files {
        assert!(!file.remote.split('/').any(|part| part == ".."));
    }
    Ok(())
}

/// A template that is not there: with what there is.
fn no_template(gateway: &Gateway, team: &TeamId, error: ApiError) -> ApiError {
    if error.status != StatusCode::NOT_FOUND {
        return error;
    }
    let control = &gateway.control;
    let store = TemplateStore::new(&control.settings().paths.data_dir);
    let listed = store.list().unwrap_or_default();
    let names = listed.into_iter().map(|one| one.name.to_string());
    let own = control.templates_of_team(team);
    let names = names.chain(own.into_iter().map(|entry| entry.name));
    // One of these may be there without ever having been used.
    let names = names.chain(["base", "host"].map(str::to_owned));
    let names: BTreeSet<_> = names
        .filter(|name| control.template(team, name).is_ok())
        .collect();
    let names: Vec<_> = names.into_iter().collect();
    let help = match names.is_empty() {
        true => "there is none yet: `soulbox template build base` makes one".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    ApiError::new(error.status, format!("template: {}; {help}", error.message))
}

fn too_large(length: usize, settings: &Settings) -> Result<(), ApiError> {
    let most = settings.execute.code;
    match length as u64 > most.bytes() {
        true => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("code: it is longer than {most} (setting execute.code)"),
        )),
        false => Ok(()),
    }
}

fn language(
    language: Option<&str>,
    runtime: Option<&str>,
) -> Result<Option<&'static Language>, ApiError> {
    let (field, name) = match (language, runtime) {
        (None, None) => return Ok(None),
        (Some(name), None) => ("language", name),
        (None, Some(name)) => ("runtime", name),
        (Some(_), Some(_)) => {
            return Err(ApiError::bad(
                "runtime: give either language or runtime, not both",
            ));
        }
    };
    let found = Language::named(name);
    found
        .map(Some)
        .map_err(|error| ApiError::bad(format!("{field}: {error}")))
}

/// These limits over what is usual.
fn limits(memory_mb: Option<u64>, cpu: Option<f64>, usual: Limits) -> Result<Limits, ApiError> {
    let mut limits = usual;
    if let Some(megabytes) = memory_mb {
        limits.memory = ByteSize(megabytes.saturating_mul(1 << 20));
        limits.memory_max = limits.memory;
    }
    if let Some(cpus) = cpu {
        let millis = cpus * 1000.0;
        // What is no number at all is in no range either.
        if !(0.0..=f64::from(u32::MAX)).contains(&millis) {
            return Err(ApiError::bad(format!(
                "cpu: {cpus} is out of range: it is a number of processors, such as 0.5"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "its range was looked at"
        )]
        let millis = millis.round() as u32;
        limits.cpu_millis = millis;
    }
    limits.check().map_err(|error| {
        let field = match error.limit {
            "cpu" => "cpu: ",
            "memory" | "memory max" => "memory_mb: ",
            _ => "",
        };
        ApiError::bad(format!("{field}{error}"))
    })?;
    Ok(limits)
}

fn check_words(field: &str, words: &[String]) -> Result<(), ApiError> {
    if words.len() > MOST_ARGUMENTS {
        return Err(ApiError::bad(format!(
            "{field}: there are more than {MOST_ARGUMENTS}"
        )));
    }
    for (at, word) in words.iter().enumerate() {
        if word.contains('\0') {
            return Err(ApiError::bad(format!(
                "{field}[{at}]: it must not hold NUL"
            )));
        }
        if word.len() > LONGEST_WORD {
            return Err(ApiError::bad(format!(
                "{field}[{at}]: it is longer than {LONGEST_WORD} bytes"
            )));
        }
    }
    match words.iter().map(String::len).sum::<usize>() > MOST_WORDS {
        true => Err(ApiError::bad(format!(
            "{field}: they are longer than {MOST_WORDS} bytes together; use stdin or files"
        ))),
        false => Ok(()),
    }
}

fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    check_variables("env", variables)?;
    let sizes = variables
        .iter()
        .map(|(name, value)| name.len() + value.len() + 1);
    let (longest, all) = sizes.fold((0, 0), |(longest, all), size| {
        (size.max(longest), all + size)
    });
    match longest > LONGEST_WORD || all > MOST_WORDS {
        true => Err(ApiError::bad(format!(
            "env: one is longer than {LONGEST_WORD} bytes, or all are than {MOST_WORDS}"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::TemplateName;

    fn job(text: &str) -> Result<Job, String> {
        let settings = Settings::with(&[]).unwrap();
        let body = Bytes::copy_from_slice(text.as_bytes());
        let asked = parse(&body).map_err(|error| error.message)?;
        let job = asked.run_in(TemplateName::host(), &settings, &body, None);
        job.map_err(|error| error.message)
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (bad, start) in [
            ("{}", "code: "),
            (r#"{"code":1}"#, "code: "),
            (r#"{"code":{"base64":"?"}}"#, "code"),
            (r#"{"code":"","timeout_ms":-1}"#, "timeout_ms: "),
            (r#"{"code":"","timeout_ms":0}"#, "timeout_ms: "),
            (r#"{"code":"","memory_mb":-1}"#, "memory_mb: "),
            (r#"{"code":"","memory_mb":1}"#, "memory_mb: "),
            (r#"{"code":"","cpu":-0.5}"#, "cpu: "),
            (r#"{"code":"","cpu":1e300}"#, "cpu: "),
            (r#"{"code":"","limits":"none"}"#, "limits: "),
            (r#"{"code":"","args":["a\u0000"]}"#, "args[0]: "),
            (r#"{"code":"","args":"a"}"#, "args: "),
            (r#"{"code":"","env":{"A=":""}}"#, "env."),
            (r#"{"code":"","env":{"A":"\u0000"}}"#, "env."),
            (r#"{"code":"","language":"pyton"}"#, "language: "),
            (r#"{"code":"","runtime":"cobol"}"#, "runtime: "),
            (r#"{"code":"","runtime":"c","language":"c"}"#, "runtime: "),
            (r#"{"code":"","network":"all"}"#, "network: "),
            (r#"{"code":"","files":{"../x":""}}"#, "files: "),
            (r#"{"code":"","files":{"/a/../../x":""}}"#, "files: "),
            (r#"{"code":"","files":{"x/":""}}"#, "files: "),
            (r#"{"code":"","files":{"":""}}"#, "files: "),
            (r#"{"code":"","files":{"./main.py":""}}"#, "files: "),
            (r#"{"code":"","files":[{"path":"x"}]}"#, "files"),
            (r#"{"code":"","files":7}"#, "files: "),
            (r#"{"code":"","return_files":["../x"]}"#, "return_files: "),
            (r#"{"code":"","workdir":""}"#, "workdir: "),
            (r#"{"code":"","tiemout_ms":1}"#, "tiemout_ms: "),
            (r##"{"code":"#!/usr/bin/cobol\n"}"##, "code: "),
        ] {
            let message = job(bad).expect_err(bad);
            assert!(message.starts_with(start), "{bad}: {message}");
        }
    }

    #[test]
    fn what_is_asked_for_reaches_the_engine() {
        let job = job(
            r##"{"code":"#!/usr/bin/env ruby\n","memory_mb":64,"cpu":0.5,"timeout_ms":1500,"args":["a"],
                "env":{"A":"b"},"files":[{"path":"x/./y","base64":"AP8=","executable":true}],"stdin":"in"}"##,
        )
        .unwrap();
        let RunRequest {
            limits, execution, ..
        } = job.request;
        assert_eq!(limits.memory, ByteSize::mib(64));
        assert_eq!(limits.memory_max, ByteSize::mib(64));
        assert_eq!(limits.cpu_millis, 500);
        assert_eq!(execution.timeout, Duration::from_millis(1500));
        assert_eq!(execution.program.language.name, "ruby");
        let file = execution.program.files.last().unwrap();
        assert_eq!(file.remote, "/home/user/x/y");
        assert!(file.executable);
        assert_eq!(job.stdin.unwrap(), "in");
    }

    #[test]
    fn code_without_escapes_is_not_copied() {
        let body = Bytes::from_static(br#"{"code":"print(1)"}"#);
        let code = parse(&body).unwrap().code.unwrap().into_bytes(&body);
        assert!(body.as_ptr_range().contains(&code.as_ptr()));
    }
}
